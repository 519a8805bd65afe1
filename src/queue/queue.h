/*
 * queue/queue.h: mp_queue, in all its kinds: a ring, and what its class adds to it.
 *
 * Layout    in the family's heap
 *             head, serial, kind, element, block   creator, before anyone else has the pointer
 *             freer                         who frees it
 *             ring                          ring.h
 *             done ..                       only of a JoinableQueue; joinable.c
 * Writers   done: whoever says task_done, by CAS.  none_at: whoever saw that none is unfinished, by
 *           CAS to a later one
 *           freer, the tag: the holder of the bell's lock (watch.c)
 * Commit    queue.joinable.task_done   the CAS of done
 *           queue.free.begin           the store of 0 in ring.serial: who sleeps in its calls leaves
 *           queue.free.commit          that of the heap's step in which its block is freed, and
 *                                      `block` is NULL
 * Waiting   joiners sleep on join_event, in slices.  Who frees it waits until nobody is noted as
 *           waiting for it (heap/waits.h), for 2 s; then its block is not freed, but what hangs on
 *           it is
 * Death     Unfinished tasks are the messages ever put less `done`: put commits both by one store, so
 *           nobody dies between them.  Who dies after queue.joinable.task_done has not stored
 *           none_at nor woken anybody: joiners see it at their slices' ends.
 *           Who frees it has changed the tag to ~tag: until queue.free.commit anybody else may free
 *           it once the freer is dead, and goes on where that one was
 * Fork      what this process closed (closed.c) stays closed in its child; what it watches
 *           (watch.c) is not watched there
 * Always    done <= messages put
 */
#ifndef MP_QUEUE_QUEUE_H
#define MP_QUEUE_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mp/queue.h>

#include "base/deadline.h"
#include "heap/heap.h"
#include "heap/member.h"
#include "queue/ring.h"
#include "queue/segment.h"

enum mp__queue_kind { MP__QUEUE_PLAIN, MP__QUEUE_JOINABLE, MP__QUEUE_SIMPLE };

struct mp_queue {
    mp__head head;
    uint64_t serial; /* no other queue of the family ever has it */
    enum mp__queue_kind kind;
    mp__ident freer;
    size_t element;        /* bytes of every message; 0: any */
    _Atomic(void *) block; /* its own; NULL once it is freed */
    struct mp__ring ring;
    _Alignas(64) _Atomic uint64_t done; /* tasks, ever */
    _Atomic uint64_t none_at; /* `done` when last none was unfinished, but for who died just then */
    _Atomic uint32_t join_waiters, join_event;
};

/*
 * Messages up to this size need no allocation on the way, and a getter takes them out in one step: they
 * are never late.
 */
#define MP__QUEUE_SMALL MP__INLINE_MOST

/* A queue of this kind; options may be NULL.  NULL with text for `call`. */
mp_queue *mp__queue_new(enum mp__queue_kind kind, int64_t maxsize, const mp_queue_options *options,
                        const char *call);

/* ---- closed in this process ------------------------------------------------------------------ */

extern _Atomic uint32_t mp__queues_closed; /* how many */

/* Whether this process closed it. */
bool mp__queue_is_closed(const mp_queue *q);

/* It is being freed. */
void mp__queue_forget_closed(const mp_queue *q);

/* MP_EVALUE, of a SimpleQueue MP_ECLOSED, with text. */
int mp__queue_closed_error(const mp_queue *q, const char *call);

/* 0 when it is live and not closed here; else an error with text. */
static inline int
mp__queue_check(mp_queue *q, const char *call)
{
    int status = mp__shared_check(q, MP__TAG_QUEUE, call);
    if (__builtin_expect(status == 0 &&
                             atomic_load_explicit(&mp__queues_closed, memory_order_relaxed) != 0,
                         0) &&
        mp__queue_is_closed(q)) {
        status = mp__queue_closed_error(q, call);
    }
    return status;
}

/* The same, and a time-out. */
static inline int
mp__queue_begin(mp_queue *q, double timeout, const char *call, mp__deadline *ret_until)
{
    int status = mp__queue_check(q, call);
    return status < 0 ? status : mp__deadline_from(timeout, call, ret_until);
}

/* The text of what the ring said without one: full, empty, shut down. */
int mp__queue_said(const mp_queue *q, int status, const char *call);

/* The user's hook is told that item cannot be encoded; this thread's error stays as it is. */
void mp__queue_not_encoded(mp_queue *q, mp_obj item, int code);

/* MP_ETYPE when a message of len bytes is no element of this queue. */
int mp__queue_check_size(const mp_queue *q, size_t len, const char *call);

/* The oldest message as an object; *ret_item is None before and on error.  Statuses without text. */
int mp__queue_get_one(mp_queue *q, mp_obj *ret_item, mp__deadline until, const char *call);

/* ---- JoinableQueue --------------------------------------------------------------------------- */

/* MP_EOVERFLOW when there are nearly too many unfinished tasks to count. */
int mp__joinable_check_room(mp_queue *q, const char *call);

/* The queue was shut down, and may have dropped unfinished tasks. */
void mp__joinable_dropped(mp_queue *q);

/* It is being freed: who waits in join leaves. */
void mp__joinable_freed(mp_queue *q);

/* ---- watching: a descriptor that tells ------------------------------------------------------- */

extern _Atomic uint32_t mp__watching; /* queues that this process watches */

/*
 * A descriptor that is readable while q is, or -errno.  In pairs with mp__watch_end(): the last one
 * closes it, and ends the thread with the last queue.
 */
int mp__watch_begin(mp_queue *q);
void mp__watch_end(mp_queue *q);

/* The user's own one of these, if he asked for it. */
int mp__watch_user(mp_queue *q, bool on);

/* It is being freed: nobody watches it any more. */
void mp__watch_forget(mp_queue *q);

/*
 * Be the one who frees q, at which no process's watcher is looking then: 0; MP_EVALUE when it is not
 * live, nor left by one who died while he freed it.
 */
int mp__watch_claim(mp_queue *q, const char *call);

/* This process took from q or put in it: its descriptor tells so at once. */
void mp__watch_look(mp_queue *q, bool was_empty);
static inline void
mp__watch_changed(mp_queue *q)
{
    if (__builtin_expect(atomic_load_explicit(&mp__watching, memory_order_relaxed) != 0, 0)) {
        mp__watch_look(q, false);
    }
}

/* The same after a get of which the caller may conclude that q was empty (was_empty). */
static inline void
mp__watch_got(mp_queue *q, bool was_empty)
{
    if (__builtin_expect(atomic_load_explicit(&mp__watching, memory_order_relaxed) != 0, 0)) {
        mp__watch_look(q, was_empty);
    }
}

#endif
