/*
 * queue_floor.c: what no queue can be faster than: a cache line that goes to the other process and
 * back; and one or two memcpy of a message, one after the other.
 */
#include <stdlib.h>
#include <string.h>

#include "queue.h"

/* ---- a cache line ---------------------------------------------------------------------------- */

struct lines {
    _Alignas(64) _Atomic long there;
    _Alignas(64) _Atomic long back;
};

static void *
open_lines(size_t size)
{
    (void)size;
    return bench_shared(sizeof(struct lines));
}

static void
put_line(void *channel, int queue, const void *data, size_t size)
{
    struct lines *l = channel;
    long i;
    (void)size;
    memcpy(&i, data, sizeof i);
    atomic_store_explicit(queue ? &l->back : &l->there, i + 1, memory_order_release);
}

static void
get_line(void *channel, int queue, void *data, size_t size)
{
    struct lines *l = channel;
    _Atomic long *word = queue ? &l->back : &l->there;
    long i;
    (void)size;
    while ((i = atomic_load_explicit(word, memory_order_acquire)) == 0) {
#if defined __x86_64__
        __builtin_ia32_pause();
#endif
    }
    atomic_store_explicit(word, 0, memory_order_relaxed);
    i--;
    memcpy(data, &i, sizeof i);
}

static void
close_lines(void *channel)
{
    bench_shared_free(channel, sizeof(struct lines));
}

/* ---- memcpy ---------------------------------------------------------------------------------- */

enum { PLACES = 4, KEPT = 1 << 16 };

/* All by the first process; the second one only hears the numbers. */
struct copies {
    _Alignas(64) _Atomic long put;
    _Alignas(64) long got;
    char *places, *out;
    size_t size;
    long numbers[KEPT]; /* of the messages */
};

static void *
open_copies(size_t size)
{
    struct copies *c = bench_shared(sizeof *c);
    c->size = PLACES * size;
    c->places = bench_shared(c->size);
    c->out = bench_shared(size);
    memset(c->places, 1, c->size);
    memset(c->out, 1, size);
    return c;
}

/* Where the message is now. */
static char *
copy_in(struct copies *c, const void *data, size_t size)
{
    long n = atomic_load_explicit(&c->put, memory_order_relaxed);
    char *to = c->places + (size_t)(n % PLACES) * size;
    memcpy(to, data, size);
    memcpy(&c->numbers[n % KEPT], data, sizeof(long));
    atomic_store_explicit(&c->put, n + 1, memory_order_release);
    return to;
}

static void
put_once(void *channel, int queue, const void *data, size_t size)
{
    (void)queue;
    copy_in(channel, data, size);
}

static void
put_twice(void *channel, int queue, const void *data, size_t size)
{
    struct copies *c = channel;
    (void)queue;
    memcpy(c->out, copy_in(c, data, size), size);
}

static void
hear(void *channel, int queue, void *data, size_t size)
{
    struct copies *c = channel;
    (void)queue, (void)size;
    while (atomic_load_explicit(&c->put, memory_order_acquire) <= c->got) {
#if defined __x86_64__
        __builtin_ia32_pause();
#endif
    }
    memcpy(data, &c->numbers[c->got++ % KEPT], sizeof(long));
}

static void
close_copies(void *channel)
{
    struct copies *c = channel;
    bench_shared_free(c->out, c->size / PLACES);
    bench_shared_free(c->places, c->size);
    bench_shared_free(c, sizeof *c);
}

static const struct queue_kind line = {"a cache line, bare", open_lines,  put_line, get_line,
                                       close_lines,          QUEUE_FLOOR, 0};
static const struct queue_kind two = {
    "two memcpy", open_copies, put_twice, hear, close_copies, QUEUE_STREAMS | QUEUE_BIG, 0};
static const struct queue_kind one = {
    "one memcpy", open_copies, put_once, hear, close_copies, QUEUE_STREAMS | QUEUE_BIG, 0};
QUEUE_CONTENDER(line)
QUEUE_CONTENDER(two)
QUEUE_CONTENDER(one)
