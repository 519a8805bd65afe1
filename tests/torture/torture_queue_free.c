/*
 * torture_queue_free.c: the free of a queue, killed after each instruction.
 *
 * It is free, or somebody else frees it: then not a block of the heap is missing, whatever the dead
 * one had done of it.  Who slept in one of its calls comes back with MP_EVALUE, and so does who had
 * a message of it on loan.
 */
#include "torture/torture.h"

#include <string.h>

#include "heap/alloc.h"
#include "queue/inner.h"
#include "queue/queue.h"

#define BIG  6000 /* lies in a block of its own */
#define LONG 20.0 /* who has not come back by then never will */

static struct world {
    mp_queue *queue;
    mp_event *freed; /* who has a loan may go on */
    size_t blocks;   /* of the heap, before there was a queue */
} world;

static const unsigned char bytes[BIG];

/* ---- queues before the victim ----------------------------------------------------------------- */

static void
new_queue(struct world *w, int64_t maxsize, bool joinable)
{
    w->blocks = torture_blocks();
    w->queue = mp_queue_new_with(maxsize, &(mp_queue_options){.joinable = joinable});
    mp_child_check(w->queue);
}

static void
fill(struct world *w, int count, size_t size)
{
    for (int i = 0; i < count; i++) {
        mp_child_ok(mp_queue_put_bytes(w->queue, bytes, size, 0));
    }
}

static void
drain(struct world *w, int count)
{
    static unsigned char buffer[BIG];
    size_t len;
    for (int i = 0; i < count; i++) {
        mp_child_ok(mp_queue_get_bytes(w->queue, buffer, sizeof buffer, &len, 0));
    }
}

static void
empty_queue(void *arg)
{
    new_queue(arg, 0, false);
}

static void
full_queue(void *arg)
{
    new_queue(arg, 1, false);
    fill(arg, 1, 8);
}

static void
joinable_queue(void *arg)
{
    new_queue(arg, 0, true);
    fill(arg, 1, 8);
}

/* Messages of all kinds, a block that is kept, and loans of the survivor's. */
static void
mixture(void *arg)
{
    struct world *w = arg;
    const void *data;
    size_t len;
    new_queue(w, 0, false);
    fill(w, 4, BIG);
    drain(w, 1);
    mp_child_check(mp_queue_reserve(w->queue, BIG));
    mp_child_ok(mp_queue_peek_bytes(w->queue, &data, &len, 0));
    mp_child_ok(mp_queue_peek_bytes(w->queue, &data, &len, 0));
    mp_child_ok(mp_queue_give_back(w->queue, data));
    fill(w, 3, 100);
}

/* More messages than one segment holds, and more loans than one shelf. */
static void
long_one(void *arg)
{
    struct world *w = arg;
    new_queue(w, 0, false);
    fill(w, 20, 1000);
    for (int i = 0; i < 32; i++) {
        mp_child_check(mp_queue_reserve(w->queue, BIG));
    }
}

/* Nothing in two segments: one that was left for a small one, and head was not moved yet. */
static void
two_segments(void *arg)
{
    struct world *w = arg;
    new_queue(w, 0, false);
    struct mp__ring *r = &w->queue->ring;
    fill(w, 1, 100);
    drain(w, 1);
    mp__ring_lock_put(r);
    mp_child_ok(mp__ring_link_small(r));
    mp__ring_unlock_put(r);
}

static void
one_to_lend(void *arg)
{
    struct world *w = arg;
    w->freed = mp_event_new();
    mp_child_check(w->freed);
    new_queue(w, 0, false);
    fill(w, 2, BIG);
}

static void
free_event(void *arg)
{
    mp_child_ok(mp_event_free(((struct world *)arg)->freed));
}

/* ---- operations ------------------------------------------------------------------------------- */

static void
do_free(void *arg)
{
    mp_queue_free(((struct world *)arg)->queue);
}

static int
free_it_too(void *arg)
{
    return mp_queue_free(((struct world *)arg)->queue);
}

static int
get_one(void *arg, int which)
{
    mp_obj o;
    (void)which;
    int status = mp_queue_get(((struct world *)arg)->queue, &o, LONG);
    mp_obj_free(o);
    return status;
}

static int
put_one(void *arg, int which)
{
    (void)which;
    return mp_queue_put_bytes(((struct world *)arg)->queue, bytes, 8, LONG);
}

static int
join_it(void *arg, int which)
{
    (void)which;
    return mp_joinable_queue_join(((struct world *)arg)->queue, LONG);
}

static int
borrow(void *arg, int which)
{
    struct world *w = arg;
    const void *data;
    size_t len;
    if (which == 0) {
        mp_child_ok(mp_queue_peek_bytes(w->queue, &data, &len, 0));
    } else {
        data = mp_queue_reserve(w->queue, BIG);
    }
    mp_child_check(data);
    mp_event_wait(w->freed, LONG);
    return which == 0 ? mp_queue_release(w->queue, data)
                      : mp_queue_cancel(w->queue, (void *)(uintptr_t)data);
}

/* ---- what is left ----------------------------------------------------------------------------- */

static const char *
all_is_back(struct world *w)
{
    mp_obj o;
    if (mp_queue_free(w->queue) != MP_EVALUE || mp_queue_put(w->queue, 1, 0) != MP_EVALUE ||
        mp_queue_get(w->queue, &o, 0) != MP_EVALUE) {
        return "what is freed is used";
    }
    if (torture_blocks() != w->blocks) {
        return "a block of the heap is lost";
    }
    const char *wrong = mp__alloc_check();
    if (wrong) {
        return wrong;
    }
    mp_queue *q = mp_queue_new(0); /* most likely in the same place */
    mp_child_check(q);
    mp_child_ok(mp_queue_put(q, 7, 0));
    mp_child_ok(mp_queue_get(q, &o, 0));
    mp_child_ok(mp_queue_free(q));
    return mp_as_int(o) == 7 ? NULL : "a new queue is out of order";
}

/* Free it, if the dead one has not; NULL, or that it cannot be. */
static const char *
finish(struct world *w, bool finished)
{
    double start = mp_test_now();
    int status = mp_queue_free(w->queue);
    torture_waited(mp_test_now() - start);
    if (finished && status == 0) {
        return "it is freed twice";
    }
    return status == 0 || status == MP_EVALUE ? NULL : "it cannot be freed";
}

static const char *
check(void *arg, bool finished)
{
    const char *wrong = finish(arg, finished);
    return wrong ? wrong : all_is_back(arg);
}

/* A second one died in it, too, or has done it. */
static const char *
check_again(void *arg, bool finished)
{
    (void)finished;
    return check(arg, false);
}

static const char *
all_are_told(int count)
{
    if (torture_back(count, LONG) != count) {
        return "who waited does not come back";
    }
    for (int i = 0; i < count; i++) {
        if (torture_result(i) != MP_EVALUE) {
            return "who waited is told something else";
        }
    }
    return NULL;
}

#define WAITERS 2

static const char *
check_waiters(void *arg, bool finished)
{
    if (!finished) { /* else they come back without us */
        torture_mark();
    }
    const char *wrong = finish(arg, finished);
    wrong = wrong ? wrong : all_are_told(WAITERS);
    return wrong ? wrong : all_is_back(arg);
}

static const char *
check_borrowers(void *arg, bool finished)
{
    struct world *w = arg;
    const char *wrong = finish(w, finished);
    torture_mark();
    mp_child_ok(mp_event_set(w->freed));
    wrong = wrong ? wrong : all_are_told(WAITERS);
    return wrong ? wrong : all_is_back(w);
}

/* The one that arrived has freed it, or the dead one had, or we do. */
static const char *
check_another(void *arg, bool finished)
{
    if (torture_back(1, LONG) != 1) {
        return "the other's free does not return";
    }
    int status = torture_result(0);
    if ((status != 0 && status != MP_EVALUE) || (finished && status == 0)) {
        return "the other's free says something else";
    }
    const char *wrong = finish(arg, finished || status == 0);
    return wrong ? wrong : all_is_back(arg);
}

/* ---- the cases -------------------------------------------------------------------------------- */

#define CASE(title, before_it, test)                                                               \
    .name = title,                                                                                 \
    .commits = "queue.free.begin heap.journal.commit heap.ilock.acquire heap.ilock.release",       \
    .set_up = before_it, .operation = do_free, .check = test, .arg = &world

static const struct torture_case cases[] = {
    {CASE("queue.free.commit", empty_queue, check)},
    {CASE("queue.free.commit+loans", mixture, check)},
    {CASE("queue.free.commit+long", long_one, check), .stride = 5},
    {CASE("queue.free.commit+two segments", two_segments, check)},
    {CASE("queue.free.commit+getters", empty_queue, check_waiters), .parked = WAITERS,
     .park = get_one},
    {CASE("queue.free.commit+putters", full_queue, check_waiters), .parked = WAITERS,
     .park = put_one},
    {CASE("queue.free.commit+joiners", joinable_queue, check_waiters), .parked = WAITERS,
     .park = join_it},
    {CASE("queue.free.commit+borrowers", one_to_lend, check_borrowers), .parked = WAITERS,
     .park = borrow, .tear_down = free_event},
    {CASE("queue.free.commit+another", mixture, check_another), .arrive = free_it_too},
    {CASE("queue.free.commit+again", mixture, check_again), .recovery = do_free, .stride = 17,
     .quick = 200},
};
TORTURE_CASES(queue, cases)
