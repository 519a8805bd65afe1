/*
 * queue.h: what a contender of group queue is.
 *
 * A file queue_<name>.c has a struct queue_kind with the few functions below and ends with
 * QUEUE_CONTENDER(kind); that puts it into every case that it can stand in.
 */
#ifndef MP_BENCH_QUEUE_H
#define MP_BENCH_QUEUE_H

#include "bench.h"

enum { QUEUE_LARGEST = 1 << 20 };

/* What a contender cannot, or is not for. */
enum {
    QUEUE_PAIRS = 1,   /* not from many to many */
    QUEUE_STREAMS = 2, /* streams only: no round trips, nothing by one alone */
    QUEUE_FLOOR = 4,   /* round trips only: what the machine itself takes for one */
    QUEUE_BIG = 8      /* only of messages of 64 KiB and more */
};

/*
 * Messages of bytes from one process to another.  A channel has two queues: 0 from the first
 * process to the second, 1 back.  All calls wait; any failure is bench_check()'s.
 */
struct queue_kind {
    const char *name;
    void *(*open)(size_t size); /* before the fork; NULL: the system does not allow it */
    void (*put)(void *channel, int queue, const void *data, size_t size);
    void (*get)(void *channel, int queue, void *data, size_t size); /* a message of this size */
    void (*close)(void *channel);
    unsigned not_for; /* of the above */
    size_t most;      /* bytes of a message; 0: any number */
};

/* The contenders of a kind, one for each case: for QUEUE_CONTENDER. */
void queue_add(const struct queue_kind *kind);

#define QUEUE_CONTENDER(kind)                                                                      \
    static __attribute__((constructor)) void queue_register_##kind(void)                           \
    {                                                                                              \
        queue_add(&(kind));                                                                        \
    }

#endif
