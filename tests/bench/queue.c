/*
 * queue.c: messages from one process to another, and by one thread to itself.
 *
 * The contenders are in queue_*.c and peer_queue.py.  A stream is timed from the first message put
 * to the last one got; a round trip is a message there and one back.
 */
#include "queue.h"

#include <stdlib.h>
#include <string.h>

#include <mp/mp.h>

enum way { STREAM, ROUND_TRIP, ALONE };

static const struct {
    enum way way;
    size_t size;
} shapes[] = {
    {STREAM, 8}, {STREAM, 64}, {STREAM, 4096}, {ROUND_TRIP, 8}, {ALONE, 8},
};
static const struct bench_case cases[] = {
    {"8 B", "ns", 0},
    {"64 B", "ns", 0},
    {"4 KiB", "ns", 0},
    {"8 B round trip", "ns", 0},
    {"8 B put and got by one", "ns", 0},
};
enum { CASES = sizeof cases / sizeof *cases, MOST_KINDS = 16 };

/* A kind in a case. */
struct stand {
    const struct queue_kind *kind;
    size_t which;
};

struct run {
    struct stand stand;
    void *channel;
    struct bench_pair *pair;
    char data[2][QUEUE_LARGEST]; /* of the two processes */
};

static void
side(void *state, int which, long ops)
{
    struct run *r = state;
    const struct queue_kind *kind = r->stand.kind;
    size_t size = shapes[r->stand.which].size;
    enum way way = shapes[r->stand.which].way;
    char *data = r->data[which];
    for (long i = 0; i < ops; i++) {
        if (which == 0) {
            memcpy(data, &i, sizeof i);
            kind->put(r->channel, 0, data, size);
            if (way == ROUND_TRIP) {
                kind->get(r->channel, 1, data, size);
            }
        } else {
            kind->get(r->channel, 0, data, size);
            long got;
            memcpy(&got, data, sizeof got);
            bench_check(got == i, kind->name);
            if (way == ROUND_TRIP) {
                kind->put(r->channel, 1, data, size);
            }
        }
    }
}

static void *
open_run(const void *with)
{
    struct run *r = calloc(1, sizeof *r);
    bench_check(r != NULL, "no memory");
    r->stand = *(const struct stand *)with;
    r->channel = r->stand.kind->open(shapes[r->stand.which].size);
    if (shapes[r->stand.which].way != ALONE) {
        r->pair = bench_pair_open(side, r);
    }
    return r;
}

static double
round_run(void *state, long ops)
{
    struct run *r = state;
    if (r->pair) {
        return (double)bench_pair_round(r->pair, ops) / (double)ops;
    }
    const struct queue_kind *kind = r->stand.kind;
    size_t size = shapes[r->stand.which].size;
    int64_t began = bench_now();
    for (long i = 0; i < ops; i++) {
        kind->put(r->channel, 0, r->data[0], size);
        kind->get(r->channel, 0, r->data[0], size);
    }
    return (double)(bench_now() - began) / (double)ops;
}

static void
close_run(void *state)
{
    struct run *r = state;
    if (r->pair) {
        bench_pair_close(r->pair);
    }
    r->stand.kind->close(r->channel);
    free(r);
}

void
queue_add(const struct queue_kind *kind)
{
    static struct stand stands[MOST_KINDS][CASES];
    static struct bench_contender added[MOST_KINDS][CASES];
    static size_t kinds;
    bench_check(kinds < MOST_KINDS, "too many kinds of queue");
    for (size_t i = 0; i < CASES; i++) {
        stands[kinds][i] = (struct stand){kind, i};
        added[kinds][i] = (struct bench_contender){cases[i].name, kind->name, open_run,
                                                   round_run,     close_run,  &stands[kinds][i]};
    }
    bench_add(added[kinds++], CASES);
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    bench_add_peer("CPython Queue", "python3", "peer_queue.py");
    bench_add_peer("CPython SimpleQueue", "python3", "peer_queue.py");
    bench_add_peer("CPython Pipe", "python3", "peer_queue.py");
    return bench_main(argc, argv, "queue", cases, CASES);
}
