/*
 * sync_wait.c: what two processes hand to each other: Condition, Event and Barrier, beside a
 * pthread mutex and condition, sem_t, and the pthread barrier.
 *
 * An operation of a ping-pong is a turn of each process: there and back.
 */
#include "sync.h"

static void
close_contest(void *state)
{
    contest_free(state);
}

/* ---- Condition: each waits for its turn and gives it to the other ------------------------------*/

static void *
open_condition(const void *with)
{
    struct contest *c = contest_new();
    (void)with;
    mp_rlock *own = NULL;
    c->on.handle = mp_condition_new(own);
    bench_check(c->on.handle != NULL, "mp_condition_new");
    return c;
}

static void
close_condition(void *state)
{
    struct contest *c = state;
    bench_check(mp_condition_free(c->on.handle) == 0, "mp_condition_free");
    contest_free(c);
}

static void
mp_condition_side(void *state, int which, long ops)
{
    struct contest *c = state;
    for (long i = 0; i < ops; i++) {
        mp_condition_acquire(c->on.handle, MP_FOREVER);
        while (c->count != which) {
            mp_condition_wait(c->on.handle, MP_FOREVER);
        }
        c->count = !which;
        mp_condition_notify(c->on.handle, 1);
        mp_condition_release(c->on.handle);
    }
}
TOGETHER(mp_condition)

/* A mutex and a condition; for an event also its flag. */
struct monitor {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    bool flag;
};

static struct monitor *
monitors(struct contest *c)
{
    _Static_assert(2 * sizeof(struct monitor) <= sizeof c->on, "two have room");
    return (struct monitor *)(void *)c->on.room;
}

static void *
open_monitors(const void *with)
{
    struct contest *c = contest_new();
    const int *robust = with;
    for (int i = 0; i < 2; i++) {
        init_mutex(&monitors(c)[i].mutex, PTHREAD_MUTEX_DEFAULT, *robust);
        init_condition(&monitors(c)[i].condition);
    }
    return c;
}

static void
condition_side(void *state, int which, long ops)
{
    struct contest *c = state;
    struct monitor *m = monitors(c);
    for (long i = 0; i < ops; i++) {
        pthread_mutex_lock(&m->mutex);
        while (c->count != which) {
            pthread_cond_wait(&m->condition, &m->mutex);
        }
        c->count = !which;
        pthread_cond_signal(&m->condition);
        pthread_mutex_unlock(&m->mutex);
    }
}
TOGETHER(condition)

/* ---- Event: each has its own, clears it and sets the other's ----------------------------------*/

static void *
open_events(const void *with)
{
    struct contest *c = contest_new();
    (void)with;
    for (int i = 0; i < 2; i++) {
        c->on.handles[i] = mp_event_new();
        bench_check(c->on.handles[i] != NULL, "mp_event_new");
    }
    return c;
}

static void
close_events(void *state)
{
    struct contest *c = state;
    for (int i = 0; i < 2; i++) {
        bench_check(mp_event_free(c->on.handles[i]) == 0, "mp_event_free");
    }
    contest_free(c);
}

/* Process 0 begins; SET, WAIT and CLEAR are of event number e. */
#define EVENT_SIDE(name, SET, WAIT, CLEAR)                                                         \
    static void name##_side(void *state, int which, long ops)                                      \
    {                                                                                              \
        struct contest *c = state;                                                                 \
        int e = !which;                                                                            \
        if (which == 0) {                                                                          \
            SET;                                                                                   \
        }                                                                                          \
        for (long i = 0; i < ops; i++) {                                                           \
            e = which;                                                                             \
            WAIT;                                                                                  \
            CLEAR;                                                                                 \
            e = !which;                                                                            \
            if (which == 1 || i + 1 < ops) {                                                       \
                SET;                                                                               \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    TOGETHER(name)

EVENT_SIDE(mp_event, mp_event_set(c->on.handles[e]), mp_event_wait(c->on.handles[e], MP_FOREVER),
           mp_event_clear(c->on.handles[e]))

static void
monitor_store(struct monitor *m, bool flag)
{
    pthread_mutex_lock(&m->mutex);
    m->flag = flag;
    if (flag) {
        pthread_cond_broadcast(&m->condition);
    }
    pthread_mutex_unlock(&m->mutex);
}

static void
monitor_wait(struct monitor *m)
{
    pthread_mutex_lock(&m->mutex);
    while (!m->flag) {
        pthread_cond_wait(&m->condition, &m->mutex);
    }
    pthread_mutex_unlock(&m->mutex);
}

EVENT_SIDE(event, monitor_store(&monitors(c)[e], true), monitor_wait(&monitors(c)[e]),
           monitor_store(&monitors(c)[e], false))

static void *
open_sems(const void *with)
{
    struct contest *c = contest_new();
    (void)with;
    bench_check(sem_init(&c->on.sems[0], 1, 0) == 0 && sem_init(&c->on.sems[1], 1, 0) == 0,
                "sem_init");
    return c;
}

EVENT_SIDE(sem, sem_post(&c->on.sems[e]), sem_wait(&c->on.sems[e]), (void)0)

/* ---- Barrier ----------------------------------------------------------------------------------*/

static void *
open_barrier(const void *with)
{
    struct contest *c = contest_new();
    (void)with;
    c->on.handle = mp_barrier_new(2, NULL);
    bench_check(c->on.handle != NULL, "mp_barrier_new");
    return c;
}

static void
close_barrier(void *state)
{
    struct contest *c = state;
    bench_check(mp_barrier_free(c->on.handle) == 0, "mp_barrier_free");
    contest_free(c);
}

static void
mp_barrier_side(void *state, int which, long ops)
{
    struct contest *c = state;
    (void)which;
    for (long i = 0; i < ops; i++) {
        bench_check(mp_barrier_wait(c->on.handle, MP_FOREVER) >= 0, "mp_barrier_wait");
    }
}
TOGETHER(mp_barrier)

static pthread_barrier_t *
barrier_of(struct contest *c)
{
    return (pthread_barrier_t *)(void *)c->on.room;
}

static void *
open_pthread_barrier(const void *with)
{
    struct contest *c = contest_new();
    pthread_barrierattr_t kind;
    (void)with;
    bench_check(pthread_barrierattr_init(&kind) == 0 &&
                    pthread_barrierattr_setpshared(&kind, PTHREAD_PROCESS_SHARED) == 0 &&
                    pthread_barrier_init(barrier_of(c), &kind, 2) == 0,
                "pthread_barrier_init");
    pthread_barrierattr_destroy(&kind);
    return c;
}

static void
barrier_side(void *state, int which, long ops)
{
    struct contest *c = state;
    (void)which;
    for (long i = 0; i < ops; i++) {
        pthread_barrier_wait(barrier_of(c));
    }
}
TOGETHER(barrier)

static const int plain = PTHREAD_MUTEX_STALLED, robust = PTHREAD_MUTEX_ROBUST;

static const struct bench_contender waits[] = {
    {"Condition ping-pong", BENCH_LIBMP, open_condition, mp_condition_pair, close_condition, NULL},
    {"Condition ping-pong", "pthread condition", open_monitors, condition_pair, close_contest,
     &plain},
    {"Condition ping-pong", "pthread condition, robust", open_monitors, condition_pair,
     close_contest, &robust},
    {"Event ping-pong", BENCH_LIBMP, open_events, mp_event_pair, close_events, NULL},
    {"Event ping-pong", "pthread condition and flag", open_monitors, event_pair, close_contest,
     &plain},
    {"Event ping-pong", "sem_t", open_sems, sem_pair, close_contest, NULL},
    {"Barrier of 2", BENCH_LIBMP, open_barrier, mp_barrier_pair, close_barrier, NULL},
    {"Barrier of 2", "pthread barrier", open_pthread_barrier, barrier_pair, close_contest, NULL},
};
BENCH_CONTENDERS(waits)
