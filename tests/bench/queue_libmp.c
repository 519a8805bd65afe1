/* queue_libmp.c: mp_queue, with bytes: copied in and out, and lent. */
#include <stdlib.h>
#include <string.h>

#include <mp/mp.h>

#include "queue.h"

struct channel {
    mp_queue *queues[2];
};

static void *
open_channel(size_t size)
{
    struct channel *c = malloc(sizeof *c);
    /* Its memory is bounded, as that of the others is. */
    int64_t most = size < 65536 ? 0 : 64;
    bench_check(c && (c->queues[0] = mp_queue_new(most)) && (c->queues[1] = mp_queue_new(most)),
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

/* The message is made once more each time: that is the one copy. */
static void
put_lent(void *channel, int queue, const void *data, size_t size)
{
    struct channel *c = channel;
    void *mine = mp_queue_reserve(c->queues[queue], size);
    bench_check(mine != NULL, "mp_queue_reserve");
    memcpy(mine, data, size);
    bench_check(mp_queue_commit(c->queues[queue], mine, size, MP_FOREVER) == 0, "mp_queue_commit");
}

/* Used where it lies; the caller is shown its beginning. */
static void
get_lent(void *channel, int queue, void *data, size_t size)
{
    struct channel *c = channel;
    const void *theirs;
    size_t got = 0;
    bench_check(mp_queue_peek_bytes(c->queues[queue], &theirs, &got, MP_FOREVER) == 0 &&
                    got == size,
                "mp_queue_peek_bytes");
    memcpy(data, theirs, 8);
    bench_check(mp_queue_release(c->queues[queue], theirs) == 0, "mp_queue_release");
}

static const struct queue_kind libmp = {BENCH_LIBMP, open_channel, put, get, close_channel, 0, 0};
static const struct queue_kind loans = {
    "libmp, loans", open_channel, put_lent, get_lent, close_channel, QUEUE_STREAMS | QUEUE_BIG, 0};
QUEUE_CONTENDER(libmp)
QUEUE_CONTENDER(loans)
