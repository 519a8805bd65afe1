/* pool/pool.c: the team: starting workers, replacing them, and ending them. */
#include <mp/pool.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/handle.h"
#include "base/log.h"
#include "object/object.h"
#include "pool/job.h"
#include "process/process.h"

/* Workers that end in their initializer, one after the other, before the pool gives up. */
#define MOST_FAILED_STARTS 8

/* Every worker has a slot in the table of members, and so has their parent. */
#define MOST_WORKERS (MP__MEMBER_SLOTS - 2)

/* Private to the process that made the pool; what the workers see is in team. */
struct mp_pool {
    struct mp__team *team;
    const mp_context *context;
    mp_obj initargs;          /* a tuple */
    pthread_mutex_t one_map;  /* held while a map runs */
    pthread_mutex_t one_join; /* held while workers are joined */
    pthread_mutex_t mutex;    /* over workers and failed_starts; taken last */
    mp_process **workers;     /* team->size of them; NULL: none in this row */
    int failed_starts;
};

struct mp__team *
mp__pool_team(mp_pool *pool)
{
    return pool->team;
}

/* ---- workers --------------------------------------------------------------------------------- */

/* As Python names them: ForkPoolWorker-1. */
static int
name_worker(mp_process *p, const mp_context *context)
{
    char name[96];
    int prefix = (int)(strlen(context->process_prefix) - strlen("Process"));
    snprintf(name, sizeof name, "%.*sPoolWorker-%s", prefix, context->process_prefix, p->identity);
    return mp_process_set_name(p, name);
}

/* Start the worker of row i.  0 or the error. */
static int
start_worker(mp_pool *pool, uint32_t i)
{
    struct mp__team_row *row = &pool->team->row[i];
    const mp_process_options options = {.daemon = MP_DAEMON_YES, .context = pool->context};
    atomic_store(&row->ready, 0);
    atomic_store(&row->job, NULL);
    atomic_store(&row->item, MP__NO_ITEM);
    mp_process *p = mp_process_new(
        mp__pool_worker, mp_args((void *)pool->team, i, mp_obj_ref(pool->initargs)), &options);
    if (!p) {
        return mp_last_error();
    }
    int status = name_worker(p, pool->context);
    if (status == 0) {
        status = mp_process_start(p);
    }
    if (status < 0) {
        mp_process_free(p);
        return status;
    }
    pool->workers[i] = p;
    return 0;
}

/* How a worker ended, in words. */
static void
describe_end(mp_process *p, char *text, size_t size)
{
    int code = 0;
    if (mp_process_exitcode(p, &code) != 0) {
        snprintf(text, size, "its worker %s ended", mp_process_name(p));
    } else if (code < 0) {
        snprintf(text, size, "its worker %s was killed by signal %d", mp_process_name(p), -code);
    } else {
        snprintf(text, size, "its worker %s exited with code %d", mp_process_name(p), code);
    }
}

/* Settle what a worker that ended has left in its row. */
static void
bury_worker(mp_pool *pool, uint32_t i)
{
    struct mp__team *team = pool->team;
    mp_process *p = pool->workers[i];
    struct mp__job *job = atomic_load(&team->job);
    /* Another job than the team's is over; the row was about to learn it. */
    if (job && atomic_load(&team->row[i].job) == job) {
        char how[160];
        describe_end(p, how, sizeof how);
        mp__job_bury(team, job, i, how);
    }
    atomic_store(&team->row[i].job, NULL);
    if (atomic_load(&team->state) == MP__TEAM_OPEN) { /* else it is the joiner's */
        pool->failed_starts = atomic_load(&team->row[i].ready) ? 0 : pool->failed_starts + 1;
        mp_process_free(p);
        pool->workers[i] = NULL;
    }
}

int
mp__pool_tend(mp_pool *pool)
{
    uint32_t alive = 0, added = 0;
    int status = 0;
    pthread_mutex_lock(&pool->mutex);
    for (uint32_t i = 0; i < pool->team->size; i++) {
        if (pool->workers[i] && mp_process_is_alive(pool->workers[i]) == 1) {
            alive++;
        } else if (pool->workers[i]) {
            bury_worker(pool, i);
        }
    }
    for (uint32_t i = 0; i < pool->team->size && status == 0; i++) {
        if (pool->workers[i] || atomic_load(&pool->team->state) != MP__TEAM_OPEN) {
            continue;
        }
        if (pool->failed_starts >= MOST_FAILED_STARTS) {
            status = mp__error(MP_EPROCESS,
                               "the pool's workers end in their initializer, %d in a row; their "
                               "messages are on stderr",
                               pool->failed_starts);
        } else {
            status = start_worker(pool, i);
            alive += status == 0;
            added += status == 0;
        }
    }
    pthread_mutex_unlock(&pool->mutex);
    while (added-- > 0) {
        mp__log_debug("added worker");
    }
    return alive ? 0 : status;
}

/* End whatever runs and wait for it. */
static void
end_workers(mp_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    for (uint32_t i = 0; i < pool->team->size; i++) {
        if (pool->workers[i]) {
            mp_process_terminate(pool->workers[i]);
        }
    }
    pthread_mutex_unlock(&pool->mutex);
}

/* Wait for all.  The pool is not open any more, so nobody else lets go of a worker. */
static void
join_workers(mp_pool *pool)
{
    pthread_mutex_lock(&pool->one_join);
    for (uint32_t i = 0; i < pool->team->size; i++) {
        pthread_mutex_lock(&pool->mutex);
        mp_process *p = pool->workers[i];
        pthread_mutex_unlock(&pool->mutex);
        if (p) {
            mp_process_join(p, MP_FOREVER); /* in its row meanwhile: it can be terminated */
            pthread_mutex_lock(&pool->mutex);
            pool->workers[i] = NULL;
            atomic_store(&pool->team->row[i].job, NULL); /* a map may wait for that */
            pthread_mutex_unlock(&pool->mutex);
            mp_process_free(p);
        }
    }
    pthread_mutex_unlock(&pool->one_join);
}

/* ---- making ---------------------------------------------------------------------------------- */

static int
check_options(const mp_pool_options *o)
{
    if (o->processes < 0) {
        return mp__error(MP_EVALUE, "mp_pool_new: %d processes", o->processes);
    }
    if (o->processes > MOST_WORKERS) {
        return mp__error(MP_EVALUE, "mp_pool_new: %d processes; a family has room for %d",
                         o->processes, MOST_WORKERS);
    }
    for (size_t i = 0; i < sizeof o->reserved / sizeof *o->reserved; i++) {
        if (o->reserved[i]) {
            return mp__error(MP_EVALUE, "mp_pool_new: a reserved option is not 0 (initialise the "
                                        "struct with = {0} or designators)");
        }
    }
    return 0;
}

static struct mp__team *
new_team(uint32_t size, mp_initializer initializer)
{
    struct mp__team *t =
        mp__shared_new(sizeof *t + size * sizeof(struct mp__team_row), MP__TAG_POOL);
    if (t) {
        t->owner = mp__self();
        t->size = size;
        if (mp__funcref_make((mp__func)initializer, &t->initializer) < 0) {
            mp__shared_free(t, MP__TAG_POOL, "mp_pool_new");
            t = NULL;
        }
    }
    return t;
}

static void
destroy(mp_pool *pool)
{
    if (pool->team) {
        mp__shared_free(pool->team, MP__TAG_POOL, "mp_pool_free");
    }
    mp_obj_free(pool->initargs);
    pthread_mutex_destroy(&pool->one_map);
    pthread_mutex_destroy(&pool->one_join);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->workers);
    free(pool);
}

/* The private object and the team, without workers.  NULL with the error noted. */
static mp_pool *
new_pool(const mp_pool_options *o)
{
    int wanted = o->processes ? o->processes : mp_usable_cpu_count();
    mp_pool *pool = calloc(1, sizeof *pool);
    mp_process **workers = calloc((size_t)wanted, sizeof *workers);
    if (!pool || !workers) {
        free(pool);
        free(workers);
        mp__error(MP_ENOMEM, "mp_pool_new: no memory");
        return NULL;
    }
    pool->workers = workers;
    pthread_mutex_init(&pool->one_map, NULL);
    pthread_mutex_init(&pool->one_join, NULL);
    pthread_mutex_init(&pool->mutex, NULL);
    pool->initargs = mp_obj_ref(mp__args_tuple(o->initargs));
    pool->context = o->context ? o->context : mp__context_in_use();
    if (mp__heap_join() == 0) {
        pool->team = new_team((uint32_t)wanted, o->initializer);
    }
    if (!pool->team || mp__handle_add(pool, MP__POOL) < 0) {
        destroy(pool);
        return NULL;
    }
    return pool;
}

mp_pool *
mp_pool_new(const mp_pool_options *options)
{
    static const mp_pool_options defaults;
    const mp_pool_options *o = options ? options : &defaults;
    mp_pool *pool = check_options(o) == 0 ? new_pool(o) : NULL;
    int status = pool ? 0 : mp_last_error();
    for (uint32_t i = 0; pool && status == 0 && i < pool->team->size; i++) {
        status = start_worker(pool, i);
        if (status == 0) {
            mp__log_debug("added worker");
        }
    }
    mp_args_free(o->initargs);
    if (status < 0 && pool) {
        char why[512];
        snprintf(why, sizeof why, "%s", mp_last_error_text());
        mp_pool_free(pool);
        mp__error_text(status, why);
        pool = NULL;
    }
    return pool;
}

/* ---- state ----------------------------------------------------------------------------------- */

/* 0, or MP_EVALUE: no live pool, or that of the process this one was forked from. */
static int
check_pool(mp_pool *pool, const char *call)
{
    int status = mp__handle_check(pool, MP__POOL, call);
    if (status == 0 && pool->team->owner != mp__self()) {
        status = mp__error(MP_EVALUE, "%s: the pool belongs to another process", call);
    }
    return status;
}

int
mp__pool_begin(mp_pool *pool, const char *call)
{
    int status = check_pool(pool, call);
    if (status < 0) {
        return status;
    }
    pthread_mutex_lock(&pool->one_map);
    uint32_t state = atomic_load(&pool->team->state);
    if (state != MP__TEAM_OPEN) {
        pthread_mutex_unlock(&pool->one_map);
        return mp__error(MP_EVALUE, "%s: the pool is %s", call,
                         state == MP__TEAM_CLOSED ? "closed" : "terminated");
    }
    return 0;
}

void
mp__pool_end(mp_pool *pool)
{
    pthread_mutex_unlock(&pool->one_map);
}

int
mp_pool_close(mp_pool *pool)
{
    int status = check_pool(pool, "mp_pool_close");
    if (status < 0) {
        return status;
    }
    mp__log_debug("closing pool");
    pthread_mutex_lock(&pool->one_map); /* what is under way is finished first */
    uint32_t open = MP__TEAM_OPEN;
    atomic_compare_exchange_strong(&pool->team->state, &open, MP__TEAM_CLOSED);
    pthread_mutex_unlock(&pool->one_map);
    mp__team_announce(pool->team);
    return 0;
}

int
mp_pool_terminate(mp_pool *pool)
{
    int status = check_pool(pool, "mp_pool_terminate");
    if (status < 0) {
        return status;
    }
    mp__log_debug("terminating pool");
    atomic_store(&pool->team->state, MP__TEAM_TERMINATED);
    end_workers(pool);
    mp__team_announce(pool->team);
    mp__park_wake_all(&pool->team->done_waiters, &pool->team->done_event);
    return 0;
}

int
mp_pool_join(mp_pool *pool)
{
    int status = check_pool(pool, "mp_pool_join");
    if (status < 0) {
        return status;
    }
    if (atomic_load(&pool->team->state) == MP__TEAM_OPEN) {
        return mp__error(MP_EVALUE, "mp_pool_join: the pool is open; close or terminate it first");
    }
    mp__log_debug("joining pool");
    join_workers(pool);
    return 0;
}

int
mp_pool_free(mp_pool *pool)
{
    if (!pool) {
        return 0;
    }
    int status = check_pool(pool, "mp_pool_free");
    if (status < 0) {
        return status;
    }
    bool all_joined = true;
    for (uint32_t i = 0; i < pool->team->size; i++) {
        all_joined = all_joined && !pool->workers[i];
    }
    if (!all_joined) {
        mp_pool_terminate(pool);
        join_workers(pool);
    }
    if (!mp__handle_remove(pool, MP__POOL)) {
        return mp__error(MP_EVALUE, "mp_pool_free: freed by another thread meanwhile");
    }
    destroy(pool);
    return 0;
}

int
mp_pool_processes(mp_pool *pool)
{
    int status = mp__handle_check(pool, MP__POOL, "mp_pool_processes");
    return status < 0 ? status : (int)pool->team->size;
}
