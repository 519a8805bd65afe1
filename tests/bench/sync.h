/* sync.h: what the contenders of group sync share. */
#ifndef MP_BENCH_SYNC_H
#define MP_BENCH_SYNC_H

#include <pthread.h>
#include <semaphore.h>
#include <stdalign.h>

#include <mp/mp.h>

#include "bench.h"

/* One thing that two processes contend for, and what it guards, apart from each other. */
struct contest {
    alignas(64) union {
        pthread_mutex_t mutex;
        char room[256];
        sem_t sems[2];
        void *handle, *handles[2]; /* libmp's objects */
    } on;
    alignas(64) volatile long count;
    struct bench_pair *pair;
};

static inline struct contest *
contest_new(void)
{
    return bench_shared(sizeof(struct contest));
}

static inline void
contest_free(struct contest *c)
{
    if (c->pair) {
        bench_pair_close(c->pair);
    }
    bench_shared_free(c, sizeof *c);
}

/* Both processes, ops times each; nanoseconds of one section. */
static inline double
contest_round(struct contest *c, long ops)
{
    c->count = 0;
    double ns = (double)bench_pair_round(c->pair, ops);
    bench_check(c->count == 2 * ops, "the counter is wrong: two were inside at once");
    return ns / (double)(2 * ops);
}

/* Process-shared ones, the mutex of a type and plain or robust. */
void init_mutex(pthread_mutex_t *mutex, int type, int robust);
void init_condition(pthread_cond_t *condition);

/*
 * Contenders of something that is acquired and released, TAKE and GIVE being expressions of
 * `struct contest *c`: name_alone() and, by name_side(), name_pair().
 */
#define ACQUIRED_AND_RELEASED(name, TAKE, GIVE)                                                    \
    static double name##_alone(void *state, long ops)                                              \
    {                                                                                              \
        struct contest *c = state;                                                                 \
        int64_t began = bench_now();                                                               \
        for (long i = 0; i < ops; i++) {                                                           \
            TAKE;                                                                                  \
            GIVE;                                                                                  \
        }                                                                                          \
        return (double)(bench_now() - began) / (double)ops;                                        \
    }                                                                                              \
    static void name##_side(void *state, int which, long ops)                                      \
    {                                                                                              \
        struct contest *c = state;                                                                 \
        (void)which;                                                                               \
        for (long i = 0; i < ops; i++) {                                                           \
            TAKE;                                                                                  \
            c->count++;                                                                            \
            GIVE;                                                                                  \
        }                                                                                          \
    }                                                                                              \
    static double name##_pair(void *state, long ops)                                               \
    {                                                                                              \
        struct contest *c = state;                                                                 \
        if (!c->pair) {                                                                            \
            c->pair = bench_pair_open(name##_side, c);                                             \
        }                                                                                          \
        return contest_round(c, ops);                                                              \
    }

/* name_pair() of name_side(): nanoseconds of one of its operations, which both take part in. */
#define TOGETHER(name)                                                                             \
    static double name##_pair(void *state, long ops)                                               \
    {                                                                                              \
        struct contest *c = state;                                                                 \
        if (!c->pair) {                                                                            \
            c->pair = bench_pair_open(name##_side, c);                                             \
        }                                                                                          \
        return (double)bench_pair_round(c->pair, ops) / (double)ops;                               \
    }

#endif
