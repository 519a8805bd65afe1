/* sync_value.c: adding one to a shared number, beside a mutex and an int, and a C11 atomic. */
#include "sync.h"

static void *
open_value(const void *with)
{
    struct contest *c = contest_new();
    (void)with;
    c->on.handle = mp_value_new('l', 0);
    bench_check(c->on.handle != NULL, "mp_value_new");
    return c;
}

static void
close_value(void *state)
{
    struct contest *c = state;
    bench_check(mp_value_free(c->on.handle) == 0, "mp_value_free");
    contest_free(c);
}

static void
value_side(void *state, int which, long ops)
{
    struct contest *c = state;
    (void)which;
    for (long i = 0; i < ops; i++) {
        MP_WITH(mp_value_get_lock(c->on.handle)) {
            *(long *)mp_value_data(c->on.handle) += 1;
        }
    }
}

static double
value_alone(void *state, long ops)
{
    int64_t began = bench_now();
    value_side(state, 0, ops);
    return (double)(bench_now() - began) / (double)ops;
}

static double
value_pair(void *state, long ops)
{
    struct contest *c = state;
    if (!c->pair) {
        c->pair = bench_pair_open(value_side, c);
    }
    long *number = mp_value_data(c->on.handle);
    *number = 0;
    double ns = (double)bench_pair_round(c->pair, ops);
    bench_check(*number == 2 * ops, "the value is wrong: two were inside at once");
    return ns / (double)(2 * ops);
}

/* ---- the system -------------------------------------------------------------------------------*/

static void *
open_mutex(const void *with)
{
    struct contest *c = contest_new();
    (void)with;
    init_mutex(&c->on.mutex, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED);
    return c;
}

static void *
open_atomic(const void *with)
{
    (void)with;
    return contest_new();
}

static void
close_contest(void *state)
{
    contest_free(state);
}

static void
mutex_side(void *state, int which, long ops)
{
    struct contest *c = state;
    (void)which;
    for (long i = 0; i < ops; i++) {
        pthread_mutex_lock(&c->on.mutex);
        c->count++;
        pthread_mutex_unlock(&c->on.mutex);
    }
}

static double
mutex_alone(void *state, long ops)
{
    int64_t began = bench_now();
    mutex_side(state, 0, ops);
    return (double)(bench_now() - began) / (double)ops;
}

static double
mutex_pair(void *state, long ops)
{
    struct contest *c = state;
    if (!c->pair) {
        c->pair = bench_pair_open(mutex_side, c);
    }
    return contest_round(c, ops);
}

static void
atomic_side(void *state, int which, long ops)
{
    struct contest *c = state;
    _Atomic long *number = (_Atomic long *)(void *)c->on.room;
    (void)which;
    for (long i = 0; i < ops; i++) {
        atomic_fetch_add(number, 1);
    }
}

static double
atomic_alone(void *state, long ops)
{
    int64_t began = bench_now();
    atomic_side(state, 0, ops);
    return (double)(bench_now() - began) / (double)ops;
}

static double
atomic_pair(void *state, long ops)
{
    struct contest *c = state;
    if (!c->pair) {
        c->pair = bench_pair_open(atomic_side, c);
    }
    return (double)bench_pair_round(c->pair, ops) / (double)(2 * ops);
}

static const struct bench_contender values[] = {
    {"Value += 1 free", BENCH_LIBMP, open_value, value_alone, close_value, NULL},
    {"Value += 1 free", "pthread mutex", open_mutex, mutex_alone, close_contest, NULL},
    {"Value += 1 free", "C11 atomic add", open_atomic, atomic_alone, close_contest, NULL},
    {"Value += 1 contended", BENCH_LIBMP, open_value, value_pair, close_value, NULL},
    {"Value += 1 contended", "pthread mutex", open_mutex, mutex_pair, close_contest, NULL},
    {"Value += 1 contended", "C11 atomic add", open_atomic, atomic_pair, close_contest, NULL},
};
BENCH_CONTENDERS(values)
