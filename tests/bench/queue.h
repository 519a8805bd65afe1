/*
 * queue.h: what a contender of group queue is.
 *
 * A file queue_<name>.c has a struct queue_kind with the few functions below and ends with
 * QUEUE_CONTENDER(kind); that puts it into every case.
 */
#ifndef MP_BENCH_QUEUE_H
#define MP_BENCH_QUEUE_H

#include "bench.h"

enum { QUEUE_LARGEST = 64 << 10 };

/*
 * Messages of bytes from one process to another.  A channel has two queues: 0 from the first
 * process to the second, 1 back.  All calls wait; any failure is bench_check()'s.
 */
struct queue_kind {
    const char *name;
    void *(*open)(size_t size); /* before the fork */
    void (*put)(void *channel, int queue, const void *data, size_t size);
    void (*get)(void *channel, int queue, void *data, size_t size); /* a message of this size */
    void (*close)(void *channel);
};

/* The contenders of a kind, one for each case: for QUEUE_CONTENDER. */
void queue_add(const struct queue_kind *kind);

#define QUEUE_CONTENDER(kind)                                                                      \
    static __attribute__((constructor)) void queue_register_##kind(void)                           \
    {                                                                                              \
        queue_add(&(kind));                                                                        \
    }

#endif
