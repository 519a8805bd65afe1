/* queue_libmp.c: mp_queue, with bytes. */
#include <stdlib.h>

#include <mp/mp.h>

#include "queue.h"

struct channel {
    mp_queue *queues[2];
};

static void *
open_channel(size_t size)
{
    struct channel *c = malloc(sizeof *c);
    (void)size;
    bench_check(c && (c->queues[0] = mp_queue_new(0)) && (c->queues[1] = mp_queue_new(0)),
                "mp_queue_new");
    return c;
}

static void
put(void *channel, int queue, const void *data, size_t size)
{
    struct channel *c = channel;
    bench_check(mp_queue_put_bytes(c->queues[queue], data, size, MP_FOREVER) == 0,
                "mp_queue_put_bytes");
}

static void
get(void *channel, int queue, void *data, size_t size)
{
    struct channel *c = channel;
    size_t got = 0;
    bench_check(mp_queue_get_bytes(c->queues[queue], data, size, &got, MP_FOREVER) == 0 &&
                    got == size,
                "mp_queue_get_bytes");
}

static void
close_channel(void *channel)
{
    struct channel *c = channel;
    bench_check(mp_queue_free(c->queues[0]) == 0 && mp_queue_free(c->queues[1]) == 0,
                "mp_queue_free");
    free(c);
}

static const struct queue_kind libmp = {BENCH_LIBMP, open_channel, put, get, close_channel};
QUEUE_CONTENDER(libmp)
