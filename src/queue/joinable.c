/* queue/joinable.c: mp_joinable_queue: counting unfinished tasks; see queue.h. */
#include "queue/queue.h"

#include <limits.h>

#include "base/error.h"
#include "heap/waits.h"
#include "queue/segment.h"
#include "sync/park.h"

#undef mp_joinable_queue_put

/* Messages are counted as the ring's sequence numbers are. */
#define MASK MP__SEQUENCE_MASK

/*
 * An immediate shutdown takes messages back from the count while somebody may just be saying that
 * they are done: so few below zero are zero.
 */
#define BELOW_ZERO 4096

/* Tasks more than this are refused. */
#define MOST_UNFINISHED (MASK - (UINT64_C(1) << 20))

mp_queue *
mp_joinable_queue_new(int64_t maxsize)
{
    return mp__queue_new(MP__QUEUE_JOINABLE, maxsize, NULL, "mp_joinable_queue_new");
}

mp_queue *
mp_context_joinable_queue(const mp_context *ctx, int64_t maxsize)
{
    (void)ctx; /* as in mp_context_queue() */
    return mp__queue_new(MP__QUEUE_JOINABLE, maxsize, NULL, "mp_context_joinable_queue");
}

int
mp_joinable_queue_put(mp_queue *q, mp_obj item, double timeout)
{
    return (mp_queue_put)(q, item, timeout);
}

int
mp_joinable_queue_get(mp_queue *q, mp_obj *ret_item, double timeout)
{
    return mp_queue_get(q, ret_item, timeout);
}

/* ---- counting -------------------------------------------------------------------------------- */

static uint64_t
difference(uint64_t puts, uint64_t done)
{
    uint64_t n = (puts - done) & MASK;
    return n > MASK - BELOW_ZERO ? 0 : n;
}

/* Unfinished tasks at one moment during the call; *ret_done is `done` of that moment. */
static uint64_t
unfinished(mp_queue *q, uint64_t *ret_done)
{
    for (;;) {
        uint64_t done = atomic_load_explicit(&q->done, memory_order_acquire);
        uint64_t n = difference(mp__ring_puts(&q->ring), done);
        if (atomic_load_explicit(&q->done, memory_order_acquire) == done) {
            *ret_done = done;
            return n;
        }
    }
}

/* The same, but what is said to be some may be more: for those who do not want to disturb putters. */
static uint64_t
some_unfinished(mp_queue *q, uint64_t *ret_done)
{
    *ret_done = atomic_load_explicit(&q->done, memory_order_acquire);
    uint64_t n = (mp__ring_puts_seen(&q->ring) - *ret_done) & MASK;
    /* The number that is seen lags behind, so may be below `done`.  After a shutdown nobody puts, and
       what the dead had in loan may be dropped: then we look for it. */
    return n > 0 && n <= MASK / 2 && !mp__ring_is_shutdown(&q->ring) ? n : unfinished(q, ret_done);
}

int
mp__joinable_check_room(mp_queue *q, const char *call)
{
    /* Now and then, not to fetch the line of `done` with each put. */
    uint64_t puts = mp__ring_puts_seen(&q->ring);
    if ((puts & 0xffff) < 0x100) {
        uint64_t done = atomic_load_explicit(&q->done, memory_order_acquire);
        if (difference(puts, done) > MOST_UNFINISHED) {
            return mp__error(MP_EOVERFLOW, "%s: more than %llu unfinished tasks", call,
                             (unsigned long long)MOST_UNFINISHED);
        }
    }
    return 0;
}

/* When so many were done.  Who says it late, after others put again, says nothing new. */
static void
none_unfinished(mp_queue *q, uint64_t done)
{
    uint64_t seen = atomic_load_explicit(&q->none_at, memory_order_relaxed);
    while (seen < done &&
           !atomic_compare_exchange_weak_explicit(&q->none_at, &seen, done, memory_order_seq_cst,
                                                  memory_order_relaxed)) {
    }
    mp__park_wake_all(&q->join_waiters, &q->join_event);
}

void
mp__joinable_dropped(mp_queue *q)
{
    uint64_t done;
    if (unfinished(q, &done) == 0) {
        none_unfinished(q, done);
    }
}

void
mp__joinable_freed(mp_queue *q)
{
    mp__park_wake_all(&q->join_waiters, &q->join_event);
}

/* ---- task_done and join ---------------------------------------------------------------------- */

/* 0 when it is a live joinable queue. */
static int
check(mp_queue *q, const char *call)
{
    int status = mp__shared_check(q, MP__TAG_QUEUE, call);
    if (status == 0 && q->kind != MP__QUEUE_JOINABLE) {
        status = mp__error(MP_EATTR, "%s: the queue was not made by mp_joinable_queue_new()", call);
    }
    return status;
}

int
mp_joinable_queue_task_done(mp_queue *q)
{
    int status = check(q, "mp_joinable_queue_task_done");
    if (status < 0) {
        return status;
    }
    uint64_t done;
    do {
        if (some_unfinished(q, &done) == 0) {
            return mp__error(MP_EVALUE, "mp_joinable_queue_task_done: called more often than items "
                                        "were put");
        }
    } while (!atomic_compare_exchange_weak_explicit(
        &q->done, &done, done + 1, memory_order_seq_cst,
        memory_order_relaxed)); /* queue.joinable.task_done */
    if (some_unfinished(q, &done) == 0) {
        none_unfinished(q, done);
    }
    return 0;
}

/* Whether there was a moment without tasks since so many were done; or there is one. */
static bool
none_since(mp_queue *q, uint64_t from)
{
    uint64_t done;
    return atomic_load_explicit(&q->none_at, memory_order_seq_cst) > from ||
           some_unfinished(q, &done) == 0;
}

enum slept { AGAIN, LATE, FREED };

/* Sleep once, unless that is so.  LATE: the deadline has passed. */
static enum slept
sleep_once(mp_queue *q, uint64_t from, mp__deadline until)
{
    const uint64_t serial = q->serial;
    uint32_t seen = atomic_load_explicit(&q->join_event, memory_order_acquire);
    mp__park_register(&q->join_waiters);
    bool late = false;
    if (!none_since(q, from)) {
        late = mp__park(&q->join_event, seen, until);
        if (!mp__shared_live(q, MP__TAG_QUEUE) || q->serial != serial) {
            return FREED; /* that is somebody else's memory now */
        }
    }
    mp__park_leave(&q->join_waiters, &q->join_event, seen);
    return late ? LATE : AGAIN;
}

int
mp_joinable_queue_join(mp_queue *q, double timeout)
{
    mp__deadline until;
    int status = check(q, "mp_joinable_queue_join");
    if (status < 0 || (status = mp__deadline_from(timeout, "mp_joinable_queue_join", &until)) < 0) {
        return status;
    }
    /* Who puts again right after the last task was done does not keep us. */
    uint64_t from;
    if (some_unfinished(q, &from) == 0) {
        return 0;
    }
    enum slept slept = until == MP__TRY ? LATE : AGAIN;
    bool over = false;
    mp__waiting(q);
    while (slept == AGAIN && !over) {
        slept = sleep_once(q, from, until);
        over = slept != FREED && none_since(q, from);
    }
    uint64_t left = over || slept == FREED ? 0 : unfinished(q, &from);
    mp__waiting_done(); /* last: who frees it waits for us */
    if (slept == FREED) {
        return mp__error(MP_EVALUE, "mp_joinable_queue_join: the queue was freed meanwhile");
    }
    return over ? 0
                : mp__error(MP_ETIMEOUT, "mp_joinable_queue_join: %llu tasks are not done yet",
                            (unsigned long long)left);
}
