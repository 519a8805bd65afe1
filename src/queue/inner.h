/* queue/inner.h: what the files behind ring.h share. */
#ifndef MP_QUEUE_INNER_H
#define MP_QUEUE_INNER_H

#include "heap/ilock.h"
#include "queue/ring.h"
#include "queue/segment.h"
#include "queue/slot.h"
#include "sync/park.h"

#include <mp/error.h>

/* A queue's first segment, and the largest; each is 4 x the one before. */
#define MP__SEGMENT_FIRST (UINT64_C(16) << 10)
#define MP__SEGMENT_MOST  (UINT64_C(16) << 20)

/* From this size on, a segment that is nearly empty is left for a small one. */
#define MP__SEGMENT_LEAVE (UINT64_C(1) << 20)

/* The segment that flowing messages have: more than the caches of both sides hold. */
#define MP__SEGMENT_FLOW (UINT64_C(2) << 20)

/* What goes in or out under one lock: a few microseconds' work. */
#define MP__BATCH_MESSAGES 32
#define MP__BATCH_BYTES    (16 << 10)

/* ---- locks ----------------------------------------------------------------------------------- */

/* Bring in order what a dead holder left; under the lock. */
void mp__ring_recover_put(struct mp__ring *r);
void mp__ring_recover_get(struct mp__ring *r);

static inline void
mp__ring_lock_put(struct mp__ring *r)
{
    if (__builtin_expect(mp__ilock_acquire(&r->put_lock, MP__NEVER) == MP_OWNER_DIED, 0)) {
        mp__ring_recover_put(r);
    }
}

/* With text. */
int mp__ring_gone(void);

/*
 * The lock for a caller that waits until then: 0; MP_EFULL: somebody who lives does not let it go;
 * MP_EVALUE with text: the queue was freed while we waited for it.
 */
static inline int
mp__ring_lock_put_until(struct mp__ring *r, mp__deadline until)
{
    int status = mp__ilock_acquire_until(&r->put_lock, until, r->object);
    if (__builtin_expect(status == MP_OWNER_DIED, 0)) {
        mp__ring_recover_put(r);
    }
    return __builtin_expect(status >= 0, 1) ? 0 : status == MP_EVALUE ? mp__ring_gone() : MP_EFULL;
}

static inline void
mp__ring_unlock_put(struct mp__ring *r)
{
    mp__ilock_release(&r->put_lock);
}

static inline void
mp__ring_lock_get(struct mp__ring *r)
{
    if (__builtin_expect(mp__ilock_acquire(&r->get_lock, MP__NEVER) == MP_OWNER_DIED, 0)) {
        mp__ring_recover_get(r);
    }
}

/* As mp__ring_lock_put_until(), with MP_EEMPTY. */
static inline int
mp__ring_lock_get_until(struct mp__ring *r, mp__deadline until)
{
    int status = mp__ilock_acquire_until(&r->get_lock, until, r->object);
    if (__builtin_expect(status == MP_OWNER_DIED, 0)) {
        mp__ring_recover_get(r);
    }
    return __builtin_expect(status >= 0, 1) ? 0 : status == MP_EVALUE ? mp__ring_gone() : MP_EEMPTY;
}

static inline void
mp__ring_unlock_get(struct mp__ring *r)
{
    mp__ilock_release(&r->get_lock);
}

/* ---- head and tail, and the bytes up to them -------------------------------------------------- */

/* The bytes that belong to a place; the caller has the lock, or looks again whether it still is. */
static inline uint64_t
mp__bytes_at(const struct mp__ring_bytes *b, uint64_t place)
{
    int i = atomic_load_explicit(&b->at[0].place, memory_order_acquire) == place ? 0 : 1;
    return atomic_load_explicit(&b->at[i].bytes, memory_order_acquire);
}

static inline void
mp__bytes_set(struct mp__ring_bytes *b, uint64_t before, uint64_t after, uint64_t more)
{
    int i = atomic_load_explicit(&b->at[0].place, memory_order_relaxed) == before ? 0 : 1;
    uint64_t sum = atomic_load_explicit(&b->at[i].bytes, memory_order_relaxed) + more;
    atomic_store_explicit(&b->at[!i].bytes, sum, memory_order_release);
    atomic_store_explicit(&b->at[!i].place, after, memory_order_release);
}

/* The store of tail or head, with the bytes of the messages that it passes. */
static inline void
mp__ring_tail_to(struct mp__ring *r, uint64_t place, uint64_t bytes)
{
    if (__builtin_expect(r->maxbytes != 0, 0)) {
        mp__bytes_set(&r->put_bytes, atomic_load_explicit(&r->tail, memory_order_relaxed), place,
                      bytes);
    }
    atomic_store_explicit(&r->tail, place, memory_order_release);
}

static inline void
mp__ring_head_to(struct mp__ring *r, uint64_t place, uint64_t bytes)
{
    if (__builtin_expect(r->maxbytes != 0, 0)) {
        mp__bytes_set(&r->got_bytes, atomic_load_explicit(&r->head, memory_order_relaxed), place,
                      bytes);
    }
    atomic_store_explicit(&r->head, place, memory_order_release);
}

/* ---- segments -------------------------------------------------------------------------------- */

/* Make a segment of at least bytes and store it in *where.  0 or MP_ENOMEM. */
int mp__ring_new_segment(_Atomic(void *) *where, uint64_t bytes);

/* An empty queue in a big segment moves to a small one.  Called without locks. */
void mp__ring_shrink(struct mp__ring *r);

/* Under put_lock: end the newest segment with a LINK to a small one.  0 or MP_ENOMEM. */
int mp__ring_link_small(struct mp__ring *r);

/* Whether it is to be left when it is empty. */
static inline bool
mp__ring_is_big(const struct mp__ring *r, const struct mp__segment *s)
{
    uint64_t bytes = mp__segment_bytes(s);
    return __builtin_expect(bytes >= MP__SEGMENT_LEAVE, 0) &&
           (bytes > MP__SEGMENT_FLOW || !atomic_load_explicit(&r->flowing, memory_order_relaxed));
}

/* Nobody waits any more for what flowed: its segment goes back.  Called without locks. */
static inline void
mp__ring_flow_ends(struct mp__ring *r)
{
    if (atomic_load_explicit(&r->flowing, memory_order_relaxed)) {
        mp__ring_shrink(r);
    }
}

/* Under put_lock: no big segment for them any more. */
void mp__ring_flows_no_more(struct mp__ring *r);

/* Free the segments that were read empty; under get_lock. */
void mp__ring_retire(struct mp__ring *r);

/* ---- reading --------------------------------------------------------------------------------- */

/* A record and its segment; header 0: there is none yet. */
struct mp__cursor {
    struct mp__segment *segment;
    uint64_t unit, header;
};

/* Follow SKIP and LINK. */
static inline void
mp__cursor_settle(struct mp__cursor *c)
{
    for (;;) {
        c->header = atomic_load_explicit(mp__record(c->unit), memory_order_acquire);
        unsigned type = mp__record_type(c->header);
        if (__builtin_expect(type != MP__RECORD_SKIP && type != MP__RECORD_LINK, 1)) {
            return;
        }
        if (type == MP__RECORD_SKIP) {
            c->unit = c->segment->base;
        } else {
            c->unit = mp__record_len(c->header);
            c->segment = mp__segment_in(&c->segment->next);
        }
    }
}

/* The oldest message in the ring; under get_lock. */
static inline struct mp__cursor
mp__ring_oldest(struct mp__ring *r)
{
    struct mp__cursor c = {
        .segment = mp__segment_in(&r->first),
        .unit = mp__place_unit(atomic_load_explicit(&r->head, memory_order_relaxed))};
    while (!mp__segment_has(c.segment, c.unit)) {
        c.segment = mp__segment_in(&c.segment->next);
    }
    mp__cursor_settle(&c);
    return c;
}

/* ---- waiting: await.c ------------------------------------------------------------------------ */

/*
 * Under get_lock, which it may let go and take again: wait for a message behind the cursor, which is
 * at the end.  0, maybe for nothing; MP_ETIMEOUT: the deadline has passed; and without the lock:
 * MP_EEMPTY: nobody lets it go; MP_EVALUE with text: the queue was freed meanwhile.
 */
int mp__ring_await(struct mp__ring *r, const struct mp__cursor *c, mp__deadline until);

/* Under put_lock, when there is no room; likewise, with MP_EFULL. */
int mp__ring_await_room(struct mp__ring *r, mp__deadline until);

/* The queue is empty: free the kept blocks, if at least so many big messages came before. */
void mp__ring_trim_after_run(struct mp__ring *r, uint32_t least);

/* ---- telling others --------------------------------------------------------------------------- */

void mp__ring_came_slow(struct mp__ring *r, size_t n);

/* n messages have come; after the lock under which they came. */
static inline void
mp__ring_came(struct mp__ring *r, size_t n)
{
    /* As in mp__park_wake_one(): who registers, or watches, sees the messages, or we see him. */
#if defined __x86_64__
    atomic_signal_fence(memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
    if (__builtin_expect((atomic_load_explicit(&r->get_waiters, memory_order_relaxed) |
                          atomic_load_explicit(&r->watched, memory_order_relaxed)) != 0,
                         0)) {
        mp__ring_came_slow(r, n);
    }
}

/* n messages have gone; likewise. */
static inline void
mp__ring_went(struct mp__ring *r, size_t n)
{
    if (__builtin_expect(r->maxbytes != 0, 0)) {
        mp__park_wake_all(&r->put_waiters, &r->put_event); /* they need room of different size */
        return;
    }
    for (size_t i = 0; i < n; i++) {
        mp__park_wake_one(&r->put_waiters, &r->put_event);
    }
}

/* Drop what an immediate shutdown found; anybody may, and may have begun.  Called without locks. */
void mp__ring_drop(struct mp__ring *r);

/* Put the message of a slot; commit takes the block out of it.  As mp__ring_put(). */
int mp__ring_put_slot(struct mp__ring *r, enum mp__ring_type type, struct mp__slot *s, size_t len,
                      mp__deadline until);

#endif
