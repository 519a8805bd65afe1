/* queue_object.c: mp_queue with an object: encoded, sent, decoded. */
#include <stdlib.h>

#include <mp/mp.h>

#include "bench.h"

struct run {
    mp_queue *queue;
    struct bench_pair *pair;
};

static void
put(mp_queue *q)
{
    bench_check(mp_queue_put(q, mp_list(42, mp_none(), "hello"), MP_FOREVER) == 0, "mp_queue_put");
}

static void
get(mp_queue *q)
{
    mp_obj o;
    bench_check(mp_queue_get(q, &o, MP_FOREVER) == 0 && mp_obj_len(o) == 3, "mp_queue_get");
    mp_obj_free(o);
}

static void
side(void *state, int which, long ops)
{
    struct run *r = state;
    for (long i = 0; i < ops; i++) {
        if (which == 0) {
            put(r->queue);
        } else {
            get(r->queue);
        }
    }
}

static void *
open_run(const void *with)
{
    struct run *r = calloc(1, sizeof *r);
    bench_check(r && (r->queue = mp_queue_new(0)), "mp_queue_new");
    r->pair = with ? bench_pair_open(side, r) : NULL;
    return r;
}

static double
round_run(void *state, long ops)
{
    struct run *r = state;
    if (r->pair) {
        return (double)bench_pair_round(r->pair, ops) / (double)ops;
    }
    int64_t began = bench_now();
    for (long i = 0; i < ops; i++) {
        put(r->queue);
        get(r->queue);
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
    mp_queue_free(r->queue);
    free(r);
}

static const struct bench_contender objects[] = {
    {"[42, None, 'hello']", BENCH_LIBMP, open_run, round_run, close_run, ""},
    {"[42, None, 'hello'] put and got by one", BENCH_LIBMP, open_run, round_run, close_run, NULL},
};
BENCH_CONTENDERS(objects)
