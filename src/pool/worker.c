/* pool/worker.c: the worker's side: wait for a job, claim chunks, run them. */
#include "pool/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "object/object.h"
#include "sync/handles.h"
#include "sync/park.h"

void
mp__job_fail(struct mp__job *job, int code, size_t item, const char *text)
{
    uint32_t none = 0;
    if (atomic_compare_exchange_strong(&job->failed, &none, 1)) {
        job->code = code;
        job->failed_item = item;
        snprintf(job->text, sizeof job->text, "%s", text);
        atomic_store_explicit(&job->failed, 2, memory_order_release);
    }
}

/* The text of a failure with this code that this process noted, else the code's own. */
static const char *
text_of(int code)
{
    return mp_last_error() == code && *mp_last_error_text() ? mp_last_error_text()
                                                            : mp_strerror(code);
}

/* ---- tasks ----------------------------------------------------------------------------------- */

/* Run the task on item i, a value, and store its pickled result. */
static void
run_object(struct mp__job *job, mp_task task, size_t i)
{
    mp_obj item, result;
    const unsigned char *data = job->in + job->in_at[i];
    int status = mp__obj_load(data, job->in_at[i + 1] - job->in_at[i], &mp__family_handles, &item);
    if (status < 0) {
        mp__job_fail(job, status, i, mp_last_error_text());
        return;
    }
    result = task(item);
    mp_obj_free(item);
    void *pickle = NULL;
    size_t len = 0;
    if (mp_obj_kind(result) == MP_KIND_ERROR) {
        status = mp_error_code(result);
        status = status < 0 ? status : MP_ETASK; /* 0 and news are no errors */
        mp__job_fail(job, status, i, mp_error_message(result));
    } else {
        status = mp__obj_dump(result, &mp__family_handles, &pickle, &len);
        if (status == 0) {
            status = mp__heap_alloc_to(sizeof(struct mp__result) + len, 16, &job->results[i]);
        }
        if (status < 0) {
            mp__job_fail(job, status, i, text_of(status));
        }
    }
    if (status == 0) {
        struct mp__result *r = atomic_load_explicit(&job->results[i], memory_order_relaxed);
        r->len = len;
        memcpy(r->data, pickle, len);
    }
    free(pickle);
    mp_obj_free(result);
}

static void
run_element(struct mp__job *job, mp_array_task task, size_t i)
{
    int status = task(job->in + i * job->in_size, job->out + i * job->out_size);
    if (status != 0) {
        char text[160];
        int code = status < 0 ? status : MP_ETASK;
        snprintf(text, sizeof text, "the task returned %d", status);
        mp__job_fail(job, code, i,
                     status < 0 && mp_last_error() == status ? mp_last_error_text() : text);
    }
}

/* All items of a chunk, also after errors; the row tells how far it is. */
static void
run_chunk(struct mp__team_row *row, struct mp__job *job, mp__func task, uint32_t chunk)
{
    const size_t *resume = atomic_load(&job->resume);
    size_t i = resume && resume[chunk] ? resume[chunk] : chunk * job->chunksize;
    size_t end = mp__chunk_end(job, chunk);
    for (; i < end; i++) {
        atomic_store_explicit(&row->item, i, memory_order_release);
        if (job->kind == MP__JOB_OBJECTS) {
            run_object(job, (mp_task)task, i);
        } else {
            run_element(job, (mp_array_task)task, i);
        }
    }
    atomic_store_explicit(&row->item, end, memory_order_release);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

/* A chunk of our own, or UINT32_MAX when none is free.  me: what its word becomes. */
static uint32_t
claim(struct mp__team_row *row, struct mp__job *job, uint32_t me)
{
    atomic_store_explicit(&row->item, MP__NO_ITEM, memory_order_release);
    for (;;) {
        uint32_t c = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed);
        bool hint_is_used_up = c >= job->chunks;
        if (hint_is_used_up) {
            /* Those whose taker died, before its claim or after it, are left over: look. */
            for (c = 0;
                 c < job->chunks && atomic_load_explicit(&job->chunk[c], memory_order_relaxed) != 0;
                 c++) {
            }
            if (c == job->chunks) {
                return UINT32_MAX;
            }
        }
        uint32_t none = MP__CHUNK_FREE;
        if (atomic_compare_exchange_strong(&job->chunk[c], &none, me)) { /* pool.chunk.claim */
            return c;
        }
    }
}

static void
finish_chunk(struct mp__team *team, struct mp__job *job, uint32_t chunk)
{
    atomic_store_explicit(&job->chunk[chunk], MP__CHUNK_DONE,
                          memory_order_release); /* pool.chunk.done */
    if (atomic_fetch_add(&job->finished, 1) + 1 == job->chunks) {
        mp__park_wake_all(&team->done_waiters, &team->done_event);
    }
}

/* When the last look at the pool's process was, and how many chunks may pass before the clock. */
struct pace {
    int64_t looked;
    uint32_t chunks, stride;
};
#define MOST_STRIDE 64

/* Asked between chunks, of which there may be millions: whether the pool's process has died. */
static bool
nobody_waits(const struct mp__team *team, struct pace *pace)
{
    if (++pace->chunks < pace->stride) {
        return false;
    }
    int64_t now = mp__plat_now();
    bool slow = now - pace->looked >= MP__SLICE;
    pace->chunks = 0;
    pace->stride = slow ? 1 : pace->stride < MOST_STRIDE ? pace->stride * 2 : MOST_STRIDE;
    if (!slow) {
        return false;
    }
    pace->looked = now;
    return mp__member_dead(team->owner);
}

/* How many chunks it did. */
static size_t
work(struct mp__team *team, struct mp__team_row *row, struct mp__job *job)
{
    size_t done = 0;
    struct pace pace = {mp__plat_now(), 0, 1};
    uint32_t me = (uint32_t)(row - team->row) + 1, chunk;
    mp__func task = NULL;
    int status = mp__funcref_find(&job->task, &task);
    while (atomic_load_explicit(&team->state, memory_order_relaxed) != MP__TEAM_TERMINATED &&
           (chunk = claim(row, job, me)) != UINT32_MAX) {
        if (status == 0) {
            run_chunk(row, job, task, chunk);
        } else {
            mp__job_fail(job, status, chunk * job->chunksize, mp_last_error_text());
        }
        finish_chunk(team, job, chunk);
        done++;
        if (nobody_waits(team, &pace)) {
            break;
        }
    }
    return done;
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* Work on the team's job, if there is one.  How many chunks of it were done here. */
static size_t
look_for_work(struct mp__team *team, struct mp__team_row *row)
{
    size_t done = 0;
    struct mp__job *job = atomic_load(&team->job);
    if (job) {
        atomic_store(&row->job, job);
        if (atomic_load(&team->job) == job) {
            done = work(team, row, job);
        }
        atomic_store(&row->job, NULL);
        mp__park_wake_all(&team->done_waiters, &team->done_event);
    }
    return done;
}

static int
initialize(struct mp__team *team, struct mp__team_row *row, mp_obj initargs)
{
    mp__func initializer;
    int status = mp__funcref_find(&team->initializer, &initializer);
    if (status == 0 && initializer) {
        mp_args *args = mp__args_from_tuple(mp_obj_ref(initargs));
        status = args ? ((mp_initializer)initializer)(args) : MP_ENOMEM;
        mp_args_free(args);
    }
    if (status >= 0) {
        atomic_store(&row->ready, 1);
    }
    return status;
}

int
mp__pool_worker(const mp_args *args)
{
    struct mp__team *team = mp_as_handle(mp_args_item(args, 0), MP_HANDLE_POINTER);
    struct mp__team_row *row = &team->row[mp_as_int(mp_args_item(args, 1))];
    int status = initialize(team, row, mp_args_item(args, 2));
    if (status < 0) {
        return status;
    }
    size_t done = 0; /* what Python's workers call tasks are chunks */
    for (;;) { /* whoever publishes changes work_event, so between two looks nothing is missed */
        uint32_t seen = atomic_load(&team->work_event);
        done += look_for_work(team, row);
        if (atomic_load(&team->state) != MP__TEAM_OPEN) {
            mp__log_debug("worker got sentinel -- exiting");
            break;
        }
        for (int i = 0; i < MP__SPINS && atomic_load(&team->work_event) == seen; i++) {
            mp__plat_pause();
        }
        mp__park_register(&team->work_waiters);
        if (atomic_load(&team->work_event) == seen) {
            mp__park(&team->work_event, seen, MP__NEVER);
        }
        if (atomic_load(&team->work_event) == seen) {
            mp__park_leave(&team->work_waiters, &team->work_event, seen);
            if (mp__member_dead(team->owner)) {
                mp__log_debug("worker got EOFError or OSError -- exiting");
                break; /* nobody will ever ask again */
            }
        }
    }
    mp__log_debug("worker exiting after %zu tasks", done);
    return 0;
}
