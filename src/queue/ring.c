/* queue/ring.c: a ring as a whole: its beginning and end, counting, shutting down, checking. */
#include "queue/ring.h"

#include <limits.h>

#include "heap/family.h"
#include "heap/heap.h"
#include "queue/inner.h"

int
mp__ring_init(struct mp__ring *r, uint32_t maxsize, uint64_t maxbytes)
{
    r->maxsize = maxsize;
    r->maxbytes = maxbytes;
    int status = mp__ring_new_segment(&r->first, MP__SEGMENT_FIRST);
    if (status == 0) {
        struct mp__segment *s = mp__segment_in(&r->first);
        uint64_t start = mp__place(0, s->base);
        atomic_init(&r->tail_seg, s);
        atomic_init(&r->tail, start);
        atomic_init(&r->head, start);
        atomic_init(&r->put_bytes.at[0].place, start);
        atomic_init(&r->got_bytes.at[0].place, start);
        r->head_seen = start;
        r->order = 1;
    }
    return status;
}

/* ---- dropping all ---------------------------------------------------------------------------- */

/* Under get_lock: all messages go, and the blocks of those that have one. */
static void
drop_records(struct mp__ring *r)
{
    for (struct mp__cursor c; (c = mp__ring_oldest(r)).header != 0;) {
        uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
        void *block = mp__record_is_ref(c.header) ? mp__record_block(c.unit) : NULL;
        if (block) {
            atomic_store_explicit(&r->take_head, head, memory_order_release);
            atomic_store_explicit(&r->drop_block, block, memory_order_release);
        }
        mp__ring_head_to(r, mp__place_after(head, 1, c.unit + mp__record_units(c.header)),
                         mp__record_len(c.header)); /* queue.get.consume */
        if (block) {
            mp__heap_free_from(&r->drop_block, block, NULL);
        }
        mp__ring_retire(r);
    }
}

static uint64_t
in_ring(struct mp__ring *r)
{
    return mp__messages_between(atomic_load_explicit(&r->head, memory_order_relaxed),
                                atomic_load_explicit(&r->tail, memory_order_acquire));
}

void
mp__ring_drop(struct mp__ring *r)
{
    if (atomic_load_explicit(&r->shut, memory_order_acquire) != MP__RING_DROPPED ||
        (atomic_load(&r->dropped) && in_ring(r) == 0 && atomic_load(&r->returned) == 0)) {
        return;
    }
    if (mp__ring_lock_get_until(r, MP__TRY) < 0) {
        return; /* another comes later */
    }
    /* Once: what comes back later is counted by itself. */
    if (atomic_load_explicit(&r->dropped, memory_order_relaxed) == 0) {
        atomic_store_explicit(&r->dropped, 1 + in_ring(r) + atomic_load(&r->returned),
                              memory_order_release);
    }
    for (struct mp__slot *s; (s = mp__slot_returned(r)) != NULL;) {
        mp__slot_become(s, mp__self(), MP__SLOT_FILLING);
        mp__slot_free(s);
    }
    mp__slot_recount(r);
    drop_records(r);
    mp__ring_unlock_get(r);
    mp__slot_trim(r);
    mp__ring_shrink(r);
}

int
mp__ring_shutdown(struct mp__ring *r, bool immediate)
{
    uint32_t shut = immediate ? MP__RING_DROPPED : MP__RING_DRAINS;
    /* Under the lock: no put is on its way when it is shut, and none comes after. */
    mp__ring_lock_put(r);
    if (atomic_load_explicit(&r->shut, memory_order_relaxed) < shut) {
        atomic_store_explicit(&r->shut, shut, memory_order_seq_cst); /* queue.shutdown.commit */
    }
    mp__ring_unlock_put(r);
    mp__park_wake_all(&r->put_waiters, &r->put_event);
    mp__park_wake_all(&r->get_waiters, &r->get_event);
    mp__ring_drop(r);
    if (atomic_load(&r->watched)) {
        mp__ring_watched(r);
    }
    return 0;
}

void
mp__ring_came_slow(struct mp__ring *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        mp__park_wake_one(&r->get_waiters, &r->get_event);
    }
    if (atomic_load_explicit(&r->watched, memory_order_relaxed) != 0) {
        mp__ring_watched(r);
    }
}

void
mp__ring_freed(struct mp__ring *r)
{
    atomic_store_explicit(&r->serial, 0, memory_order_seq_cst); /* queue.free.begin */
    atomic_store_explicit(&r->shut, MP__RING_FREED, memory_order_seq_cst);
}

void
mp__ring_wake(struct mp__ring *r)
{
    mp__park_wake_all(&r->put_waiters, &r->put_event);
    mp__park_wake_all(&r->get_waiters, &r->get_event);
    /* Those who wait for their turn see that it is freed before they take the lock. */
    mp__plat_wake(mp__park_half(&r->put_lock.word), INT_MAX);
    mp__plat_wake(mp__park_half(&r->get_lock.word), INT_MAX);
}

void
mp__ring_done(struct mp__ring *r)
{
    mp__ring_freed(r);
    mp__ring_lock_put(r); /* what dead processes left behind is put in order first */
    mp__ring_unlock_put(r);
    mp__ring_lock_get(r);
    drop_records(r);
    /* The head into the last segment, and only that is left: who is killed from here on leaves that
       one or none, so that another may begin again. */
    mp__ring_head_to(r,
                     mp__place_after(atomic_load_explicit(&r->head, memory_order_relaxed), 0,
                                     mp__ring_oldest(r).unit),
                     0);
    mp__ring_retire(r);
    mp__ring_unlock_get(r);
    mp__slot_done(r);
    for (struct mp__segment *s; (s = mp__segment_in(&r->first)) != NULL;) {
        mp__heap_free_from(&r->first, s, mp__segment_in(&s->next));
    }
    mp__ring_wake(r);
}

/* ---- counting -------------------------------------------------------------------------------- */

/*
 * Bring in order what dead processes left uncounted.  Who lives and does not let a lock go, stopped,
 * has not put or got yet.  wait: know that somebody lives before that is believed.
 */
static void
settle(struct mp__ring *r, bool wait)
{
    if (atomic_load_explicit(&r->put_lock.word, memory_order_acquire) != 0) {
        /* Somebody is putting, or died there with its message committed and not yet counted. */
        int status = wait ? mp__ilock_acquire_until(&r->put_lock, MP__TRY, NULL)
                          : mp__ilock_acquire(&r->put_lock, MP__TRY);
        if (status == MP_OWNER_DIED) {
            mp__ring_recover_put(r);
        }
        if (status >= 0) {
            mp__ring_unlock_put(r);
        }
    }
    if (atomic_load_explicit(&r->shelves, memory_order_acquire)) {
        if (atomic_load_explicit(&r->get_lock.word, memory_order_acquire) != 0) {
            int status = wait ? mp__ilock_acquire_until(&r->get_lock, MP__TRY, NULL)
                              : mp__ilock_acquire(&r->get_lock, MP__TRY);
            if (status == MP_OWNER_DIED) {
                mp__ring_recover_get(r);
            }
            if (status >= 0) {
                mp__ring_unlock_get(r);
            }
        }
        mp__slot_reap(r);
    }
}

/* What is in it at one moment. */
struct contents {
    uint32_t messages;
    uint64_t bytes;
};

static struct contents
count(struct mp__ring *r, bool wait)
{
    settle(r, wait);
    if (atomic_load_explicit(&r->shut, memory_order_acquire) == MP__RING_DROPPED) {
        return (struct contents){0, 0};
    }
    for (;;) {
        uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
        uint32_t returned = atomic_load_explicit(&r->returned, memory_order_acquire);
        uint64_t returned_bytes = atomic_load_explicit(&r->returned_bytes, memory_order_acquire);
        uint64_t bytes = returned_bytes;
        uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
        if (r->maxbytes) {
            bytes += mp__bytes_at(&r->put_bytes, tail) - mp__bytes_at(&r->got_bytes, head);
        }
        if (atomic_load_explicit(&r->head, memory_order_acquire) == head &&
            atomic_load_explicit(&r->returned, memory_order_acquire) == returned &&
            (!r->maxbytes || atomic_load_explicit(&r->tail, memory_order_acquire) == tail)) {
            uint64_t n = mp__messages_between(head, tail);
            if (n > MP__RING_MOST) { /* got before it was counted: -1, and its bytes less than 0 */
                n = 0;
                bytes = returned_bytes;
            }
            return (struct contents){(uint32_t)n + returned, bytes};
        }
    }
}

uint32_t
mp__ring_count(struct mp__ring *r)
{
    return count(r, true).messages;
}

bool
mp__ring_readable(struct mp__ring *r)
{
    return count(r, false).messages != 0 || mp__ring_is_shutdown(r);
}

uint64_t
mp__ring_held(struct mp__ring *r)
{
    return r->maxbytes ? count(r, true).bytes : 0;
}

/* Messages put until the tail was there, without those that a shutdown dropped. */
static uint32_t
puts_until(const struct mp__ring *r, uint64_t tail)
{
    uint64_t dropped = atomic_load_explicit(&r->dropped, memory_order_acquire);
    return ((uint32_t)mp__place_sequence(tail) - (uint32_t)(dropped ? dropped - 1 : 0) -
            atomic_load_explicit(&r->late, memory_order_acquire)) &
           MP__RING_PUTS_MASK;
}

uint32_t
mp__ring_puts_seen(const struct mp__ring *r)
{
    return puts_until(r, atomic_load_explicit(&r->tail, memory_order_acquire));
}

uint32_t
mp__ring_puts(struct mp__ring *r)
{
    settle(r, true);
    mp__ring_drop(r);
    /* What was got was put, though its putter, stopped before that, has not counted it. */
    uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    return puts_until(r, mp__messages_between(head, tail) > MP__RING_MOST ? head : tail);
}

/* ---- invariants ------------------------------------------------------------------------------ */

/* What is wrong with a message's record, NULL: nothing. */
static const char *
check_record(struct mp__ring *r, uint64_t unit, uint64_t header)
{
    if (!mp__record_is_ref(header)) {
        return mp__record_len(header) > MP__INLINE_MOST ? "a big message lies in the ring" : NULL;
    }
    struct mp__parcel *p = mp__record_block(unit);
    if (mp__heap_block_size(p) < sizeof *p + mp__record_len(header)) {
        return "a message's block is no block of that size";
    }
    MP__EACH_SLOT(r, s)
    {
        if (mp__slot_parcel(s) == p) {
            return "a block is in the ring and in a slot";
        }
    }
    return NULL;
}

static const char *
check_records(struct mp__ring *r)
{
    uint64_t head = atomic_load(&r->head), tail = atomic_load(&r->tail);
    uint64_t unit = mp__place_unit(head), sequence = mp__place_sequence(head), bytes = 0;
    struct mp__segment *s = mp__segment_in(&r->first);
    while (s && !mp__segment_has(s, unit)) {
        s = mp__segment_in(&s->next);
    }
    for (uint64_t steps = 0; s && steps <= UINT64_C(1) << 29; steps++) {
        if (!mp__segment_has(s, unit)) {
            return "a record lies outside of its segment";
        }
        uint64_t header = atomic_load(mp__record(unit));
        const char *wrong = NULL;
        switch (mp__record_type(header)) {
        case 0:
            if (unit != mp__place_unit(tail) || sequence != mp__place_sequence(tail)) {
                return "the records end, but not at the tail";
            }
            if (r->maxbytes &&
                bytes != mp__bytes_at(&r->put_bytes, tail) - mp__bytes_at(&r->got_bytes, head)) {
                return "the bytes are not counted right";
            }
            return s == mp__segment_in(&r->tail_seg) ? NULL : "the tail is in another segment";
        case MP__RECORD_SKIP:
            unit = s->base;
            break;
        case MP__RECORD_LINK:
            s = mp__segment_in(&s->next);
            unit = mp__record_len(header);
            break;
        default:
            wrong = check_record(r, unit, header);
            sequence = (sequence + 1) & MP__SEQUENCE_MASK;
            unit += mp__record_units(header);
            bytes += mp__record_len(header);
        }
        if (wrong) {
            return wrong;
        }
    }
    return s ? "the records go round in a ring" : "no segment holds the record";
}

const char *
mp__ring_check(struct mp__ring *r)
{
    const char *wrong = mp__slot_check(r);
    return wrong ? wrong : check_records(r);
}
