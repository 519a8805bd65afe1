/* queue/ring.c: putting into and getting from the chain of rings; the protocol is in ring.h. */
#include "queue/ring.h"

#include <string.h>

#include "base/error.h"
#include "heap/family.h"
#include "heap/heap.h"
#include "queue/segment.h"
#include "sync/park.h"

/* A queue's first segment, and the largest made for small messages; each is 4 x the one before. */
#define FIRST_BYTES (UINT64_C(16) << 10)
#define MOST_BYTES  (UINT64_C(16) << 20)

/* From this size on, a segment that is nearly empty is left for a small one. */
#define LEAVE_BYTES (UINT64_C(1) << 20)

/* Turns of waiting for a consumer that makes progress, before the ring grows. */
#define GROW_SPINS 200
#define GROW_MOST  2000

static inline uint64_t
place(uint64_t sequence, uint64_t unit)
{
    return sequence << MP__UNIT_BITS | unit;
}

static inline uint64_t
unit_of(uint64_t p)
{
    return p & MP__UNIT_MASK;
}

static inline uint64_t
sequence_of(uint64_t p)
{
    return p >> MP__UNIT_BITS;
}

static inline uint64_t
messages_between(uint64_t head, uint64_t tail)
{
    return (sequence_of(tail) - sequence_of(head)) & MP__SEQUENCE_MASK;
}

static inline uint64_t
units_for(uint64_t len)
{
    return (MP__RECORD_HEADER + len + MP__UNIT - 1) / MP__UNIT;
}

static struct mp__segment *
segment(_Atomic(void *) *slot)
{
    return atomic_load_explicit(slot, memory_order_acquire);
}

/* ---- segments -------------------------------------------------------------------------------- */

/* Make a segment of at least bytes and store it in *slot.  0 or MP_ENOMEM. */
static int
new_segment(_Atomic(void *) *slot, uint64_t bytes)
{
    int status = mp__heap_alloc_to(sizeof(struct mp__segment) + bytes, 64, slot);
    if (status == 0) {
        struct mp__segment *s = segment(slot);
        uint64_t start = (uint64_t)(uintptr_t)(s + 1) - mp__family->base;
        s->base = start / MP__UNIT;
        s->end = s->base + bytes / MP__UNIT;
        atomic_init(&s->next, NULL);
        atomic_store_explicit(mp__record(s->base), 0, memory_order_relaxed);
    }
    return status;
}

/* A size for a segment that is to hold `units` and the next message of `need` units. */
static uint64_t
segment_bytes(uint64_t units, uint64_t need)
{
    uint64_t wanted = (units + need) * MP__UNIT, bytes = FIRST_BYTES;
    while (bytes < wanted && bytes < MOST_BYTES) {
        bytes *= 4;
    }
    uint64_t least = (need + 4) * MP__UNIT;
    return bytes < least ? least : bytes;
}

/* ---- putting --------------------------------------------------------------------------------- */

/* The tail catches up with what a dead producer committed; a segment it did not link is freed. */
static void
recover_put(struct mp__ring *r)
{
    /* Frees nothing.  But what one who died while he recovered had not committed is taken back, so
       that next_seg is not NULL for the moment only. */
    mp__heap_free_from(&r->next_seg, NULL, NULL);
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    struct mp__segment *next = segment(&r->next_seg), *s = segment(&r->tail_seg);
    /* Ask the old segment: the new one may have died before its range was written. */
    if (next && (next == s || !mp__segment_has(s, unit_of(tail)))) {
        atomic_store_explicit(&r->tail_seg, next, memory_order_release);
        atomic_store_explicit(&r->next_seg, NULL, memory_order_release);
        s = next;
        next = NULL;
    }
    uint64_t unit = unit_of(tail), sequence = sequence_of(tail);
    for (;;) {
        uint64_t header = atomic_load_explicit(mp__record(unit), memory_order_acquire);
        if (header == 0) {
            break;
        }
        if (mp__record_type(header) == MP__RECORD_SKIP) {
            unit = s->base;
        } else if (mp__record_type(header) == MP__RECORD_LINK) {
            unit = mp__record_len(header);
            /* tail first: then the segments tell which of the two stores was the last. */
            atomic_store_explicit(&r->tail, place(sequence, unit), memory_order_release);
            atomic_store_explicit(&r->tail_seg, next, memory_order_release);
            atomic_store_explicit(&r->next_seg, NULL, memory_order_release);
            s = next;
            next = NULL;
        } else {
            sequence = (sequence + 1) & MP__SEQUENCE_MASK;
            unit += units_for(mp__record_len(header));
        }
    }
    atomic_store_explicit(&r->tail, place(sequence, unit), memory_order_relaxed);
    r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
    if (next) {
        /* The dead one may have written it down in s already; mp__ring_done() would follow that. */
        atomic_store_explicit(&s->next, NULL, memory_order_release);
        mp__heap_free_from(&r->next_seg, next, NULL); /* unless it never was there */
    }
}

static void
lock_put(struct mp__ring *r)
{
    if (mp__ilock_acquire(&r->put_lock, MP__NEVER) == MP_OWNER_DIED) {
        recover_put(r);
    }
}

/* Where a record of `need` units goes in the tail's segment, as seen from `head`. */
enum fit { NO_ROOM, AT_TAIL, AT_BASE };
static enum fit
fit(const struct mp__segment *s, uint64_t tail, uint64_t head, uint64_t need)
{
    uint64_t to = unit_of(tail), from = unit_of(head);
    if (!mp__segment_has(s, from)) {
        /* The reader is in an older segment: nothing of this one was read yet. */
        return s->end - to >= need + 1 ? AT_TAIL : NO_ROOM;
    }
    if (from <= to) {
        if (s->end - to >= need + 1) {
            return AT_TAIL;
        }
        return from - s->base >= need + 2 ? AT_BASE : NO_ROOM;
    }
    return from - to >= need + 2 ? AT_TAIL : NO_ROOM;
}

/* The same with the newest head, and a little patience while a consumer makes progress. */
static enum fit
fit_patiently(struct mp__ring *r, const struct mp__segment *s, uint64_t tail, uint64_t need)
{
    r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
    enum fit f = fit(s, tail, r->head_seen, need);
    if (f != NO_ROOM || (s->end - s->base) < need + 2) {
        return f;
    }
    for (int idle = 0, turns = 0; f == NO_ROOM && idle < GROW_SPINS && turns < GROW_MOST; turns++) {
        mp__plat_pause();
        uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
        idle++;
        if (head != r->head_seen) {
            r->head_seen = head;
            f = fit(s, tail, head, need);
            idle = 0;
        }
    }
    return f;
}

/* Units between head and tail when both are in s, else "many". */
static uint64_t
units_used(const struct mp__segment *s, uint64_t tail, uint64_t head)
{
    uint64_t to = unit_of(tail), from = unit_of(head);
    if (!mp__segment_has(s, from)) {
        return UINT64_MAX;
    }
    return to >= from ? to - from : s->end - s->base - (from - to);
}

/* Whether to leave a big segment that holds little, so that its pages go back. */
static bool
too_big(struct mp__ring *r, const struct mp__segment *s, uint64_t tail, enum fit f)
{
    uint64_t bytes = (s->end - s->base) * MP__UNIT;
    if (bytes < LEAVE_BYTES || (f != AT_BASE && (sequence_of(tail) & 255))) {
        return false;
    }
    r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
    uint64_t used = units_used(s, tail, r->head_seen);
    return used != UINT64_MAX && used * MP__UNIT < bytes / 64;
}

static void
write_record(uint64_t unit, uint64_t need, const void *data, size_t len)
{
    if (len) {
        memcpy((void *)(mp__record(unit) + 1), data, len);
    }
    atomic_store_explicit(mp__record(unit + need), 0, memory_order_relaxed);
}

/* Continue in a new segment, with the message in it (need 0: without).  0 or MP_ENOMEM. */
static int
link_segment(struct mp__ring *r, uint64_t tail, uint64_t bytes, uint64_t header, const void *data,
             size_t len, uint64_t need)
{
    struct mp__segment *old = segment(&r->tail_seg);
    int status = new_segment(&r->next_seg, bytes);
    if (status < 0) {
        return status;
    }
    struct mp__segment *s = segment(&r->next_seg);
    /* The head of now is in a segment that lives, so never in this new one: fit() relies on it. */
    r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
    uint64_t sequence = sequence_of(tail);
    if (need) {
        write_record(s->base, need, data, len);
        atomic_store_explicit(mp__record(s->base), header, memory_order_release);
        sequence = (sequence + 1) & MP__SEQUENCE_MASK;
    }
    atomic_store_explicit(&old->next, s, memory_order_release);
    atomic_store_explicit(mp__record(unit_of(tail)), mp__record_header(MP__RECORD_LINK, s->base),
                          memory_order_release); /* queue.put.commit */
    /* In this order: recover_put() reads the progress from it. */
    atomic_store_explicit(&r->tail, place(sequence, s->base + need), memory_order_release);
    atomic_store_explicit(&r->tail_seg, s, memory_order_release);
    atomic_store_explicit(&r->next_seg, NULL, memory_order_release);
    return 0;
}

/* Under put_lock: 0; MP_EFULL: maxsize messages are in it; MP_ENOMEM. */
static int
put_locked(struct mp__ring *r, enum mp__ring_type type, const void *data, size_t len)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    uint64_t need = units_for(len), header = mp__record_header((unsigned)type, len);
    struct mp__segment *s = segment(&r->tail_seg);
    if (messages_between(r->head_seen, tail) >= r->maxsize) {
        r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
        if (messages_between(r->head_seen, tail) >= r->maxsize) {
            return MP_EFULL;
        }
    }
    enum fit f = fit(s, tail, r->head_seen, need);
    if (f == NO_ROOM) {
        f = fit_patiently(r, s, tail, need);
    }
    if (f == NO_ROOM) {
        return link_segment(r, tail, segment_bytes((s->end - s->base) * 2, need), header, data, len,
                            need);
    }
    if (too_big(r, s, tail, f) &&
        link_segment(r, tail, segment_bytes(units_used(s, tail, r->head_seen) * 8, need), header,
                     data, len, need) == 0) {
        return 0; /* without memory for a small one we stay in the big one */
    }
    uint64_t unit = f == AT_BASE ? s->base : unit_of(tail);
    write_record(unit, need, data, len);
    atomic_store_explicit(mp__record(unit), header, memory_order_release); /* queue.put.commit */
    if (f == AT_BASE) {
        atomic_store_explicit(mp__record(unit_of(tail)), mp__record_header(MP__RECORD_SKIP, 0),
                              memory_order_release); /* queue.put.commit */
    }
    atomic_store_explicit(&r->tail, place((sequence_of(tail) + 1) & MP__SEQUENCE_MASK, unit + need),
                          memory_order_relaxed);
    return 0;
}

/* Sleep until a consumer made room.  True when the deadline has passed.  Lets put_lock go. */
static bool
wait_for_room(struct mp__ring *r, mp__deadline until)
{
    uint64_t head = r->head_seen;
    uint32_t seen = atomic_load_explicit(&r->put_event, memory_order_acquire);
    mp__ilock_release(&r->put_lock);
    for (int i = 0; i < MP__SPINS; i++) {
        if (atomic_load_explicit(&r->head, memory_order_acquire) != head) {
            return false;
        }
        mp__plat_pause();
    }
    mp__park_register(&r->put_waiters);
    bool late = false;
    if (atomic_load_explicit(&r->head, memory_order_seq_cst) == head) {
        late = mp__park(&r->put_event, seen, until);
    }
    mp__park_leave(&r->put_waiters, &r->put_event, seen);
    return late;
}

int
mp__ring_put(struct mp__ring *r, enum mp__ring_type type, const void *data, size_t len,
             mp__deadline until)
{
    if (len > mp__family->size) { /* also keeps the arithmetic of places from wrapping */
        return mp__error(MP_ENOMEM, "a message of %zu bytes does not fit the family's heap", len);
    }
    for (;;) {
        lock_put(r);
        int status = put_locked(r, type, data, len);
        if (status != MP_EFULL) {
            mp__ilock_release(&r->put_lock);
            if (status == 0) {
                mp__park_wake_one(&r->get_waiters, &r->get_event);
            }
            return status;
        }
        if (until == MP__TRY) {
            mp__ilock_release(&r->put_lock);
            return MP_EFULL;
        }
        if (wait_for_room(r, until)) {
            return MP_EFULL;
        }
    }
}

/* ---- getting --------------------------------------------------------------------------------- */

/* Free the segments that were read empty; under get_lock. */
static void
retire(struct mp__ring *r)
{
    uint64_t unit = unit_of(atomic_load_explicit(&r->head, memory_order_relaxed));
    for (;;) {
        struct mp__segment *s = segment(&r->first);
        /* tail_seg stays: whoever recovers a dead producer still reads it. */
        if (mp__segment_has(s, unit) || s == segment(&r->tail_seg)) {
            return;
        }
        mp__heap_free_from(&r->first, s, segment(&s->next));
    }
}

/*
 * Follow SKIP and LINK from head; the unit of the oldest message or of the empty header.
 * *ret_header is what was there: an empty header may have become a SKIP or LINK since.
 */
static uint64_t
oldest(struct mp__ring *r, struct mp__segment **ret_segment, uint64_t *ret_header)
{
    uint64_t unit = unit_of(atomic_load_explicit(&r->head, memory_order_relaxed));
    struct mp__segment *s = segment(&r->first);
    while (!mp__segment_has(s, unit)) {
        s = segment(&s->next);
    }
    for (;;) {
        uint64_t header = atomic_load_explicit(mp__record(unit), memory_order_acquire);
        if (mp__record_type(header) == MP__RECORD_SKIP) {
            unit = s->base;
        } else if (mp__record_type(header) == MP__RECORD_LINK) {
            unit = mp__record_len(header);
            s = segment(&s->next);
        } else {
            *ret_segment = s;
            *ret_header = header;
            return unit;
        }
    }
}

/* Under get_lock: 0, MP_EEMPTY, or what place said. */
static int
get_locked(struct mp__ring *r, uint64_t unit, uint64_t header, mp__ring_place where, void *ctx)
{
    if (header == 0) {
        return MP_EEMPTY;
    }
    size_t len = mp__record_len(header);
    int status = 0;
    void *to = where(ctx, (enum mp__ring_type)mp__record_type(header), len, &status);
    if (!to) {
        return status;
    }
    if (len) {
        memcpy(to, (const void *)(mp__record(unit) + 1), len);
    }
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    atomic_store_explicit(&r->head,
                          place((sequence_of(head) + 1) & MP__SEQUENCE_MASK, unit + units_for(len)),
                          memory_order_release); /* queue.get.consume */
    return 0;
}

/* An empty queue in a big segment moves to a small one.  Called without locks. */
static void
give_back_pages(struct mp__ring *r)
{
    int status = mp__ilock_acquire(&r->put_lock, MP__TRY);
    if (status == MP_ETIMEOUT) {
        return; /* somebody puts: it is not empty for long */
    }
    if (status == MP_OWNER_DIED) {
        recover_put(r);
    }
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    struct mp__segment *s = segment(&r->tail_seg);
    bool moved = false;
    if (messages_between(atomic_load(&r->head), tail) == 0 &&
        (s->end - s->base) * MP__UNIT >= LEAVE_BYTES) {
        moved = link_segment(r, tail, FIRST_BYTES, 0, NULL, 0, 0) == 0;
    }
    mp__ilock_release(&r->put_lock);
    if (moved) {
        mp__ilock_acquire(&r->get_lock, MP__NEVER);
        uint64_t header, unit = oldest(r, &s, &header), head = atomic_load(&r->head);
        /* Over SKIP and LINK only: the same message is the next one. */
        atomic_store_explicit(&r->head, place(sequence_of(head), unit), memory_order_release);
        retire(r);
        mp__ilock_release(&r->get_lock);
    }
}

/*
 * The queue is empty: test the header a while, then sleep.  Lets get_lock go: the record at head
 * may be freed from then on, so it is tested before.  True when the deadline has passed.
 */
static bool
wait_for_message(struct mp__ring *r, uint64_t unit, const struct mp__segment *s, mp__deadline until)
{
    bool big = (s->end - s->base) * MP__UNIT >= LEAVE_BYTES;
    for (int i = 0; i < MP__SPINS; i++) {
        if (atomic_load_explicit(mp__record(unit), memory_order_relaxed) != 0) {
            mp__ilock_release(&r->get_lock);
            return false;
        }
        mp__plat_pause();
    }
    uint32_t seen = atomic_load_explicit(&r->get_event, memory_order_acquire);
    mp__park_register(&r->get_waiters);
    bool came = atomic_load_explicit(mp__record(unit), memory_order_seq_cst) != 0;
    mp__ilock_release(&r->get_lock);
    bool late = false;
    if (!came) {
        if (big) {
            give_back_pages(r);
        }
        late = mp__park(&r->get_event, seen, until);
    }
    mp__park_leave(&r->get_waiters, &r->get_event, seen);
    return late;
}

int
mp__ring_get(struct mp__ring *r, mp__ring_place where, void *ctx, mp__deadline until)
{
    for (;;) {
        mp__ilock_acquire(&r->get_lock, MP__NEVER); /* a dead consumer leaves nothing to repair */
        struct mp__segment *s;
        uint64_t header, unit = oldest(r, &s, &header);
        int status = get_locked(r, unit, header, where, ctx);
        if (status != MP_EEMPTY || until == MP__TRY) {
            if (s != segment(&r->first)) {
                retire(r);
            }
            mp__ilock_release(&r->get_lock);
            if (status == 0) {
                mp__park_wake_one(&r->put_waiters, &r->put_event);
            }
            return status;
        }
        if (wait_for_message(r, unit, s, until)) {
            return MP_EEMPTY;
        }
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

int
mp__ring_init(struct mp__ring *r, uint32_t maxsize)
{
    r->maxsize = maxsize;
    int status = new_segment(&r->first, FIRST_BYTES);
    if (status == 0) {
        struct mp__segment *s = segment(&r->first);
        atomic_init(&r->tail_seg, s);
        atomic_init(&r->tail, place(0, s->base));
        atomic_init(&r->head, place(0, s->base));
        r->head_seen = place(0, s->base);
    }
    return status;
}

void
mp__ring_done(struct mp__ring *r)
{
    lock_put(r); /* what a dead producer left behind is put in order first */
    mp__ilock_release(&r->put_lock);
    for (struct mp__segment *s; (s = segment(&r->first)) != NULL;) {
        mp__heap_free_from(&r->first, s, segment(&s->next));
    }
}

uint32_t
mp__ring_count(struct mp__ring *r)
{
    if (atomic_load_explicit(&r->put_lock.word, memory_order_acquire) != 0) {
        /* Somebody is putting, or died there with its message committed and not yet counted. */
        lock_put(r);
        mp__ilock_release(&r->put_lock);
    }
    for (;;) {
        uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
        uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
        if (atomic_load_explicit(&r->head, memory_order_acquire) == head) {
            uint64_t n = messages_between(head, tail);
            return n > MP__RING_MOST ? 0 : (uint32_t)n; /* read before it was counted: -1 */
        }
    }
}

const char *
mp__ring_check(struct mp__ring *r)
{
    uint64_t head = atomic_load(&r->head), tail = atomic_load(&r->tail);
    uint64_t unit = unit_of(head), sequence = sequence_of(head);
    struct mp__segment *s = segment(&r->first);
    while (s && !mp__segment_has(s, unit)) {
        s = segment(&s->next);
    }
    for (uint64_t steps = 0; s && steps <= UINT64_C(1) << 29; steps++) {
        if (!mp__segment_has(s, unit)) {
            return "a record lies outside of its segment";
        }
        uint64_t header = atomic_load(mp__record(unit));
        switch (mp__record_type(header)) {
        case 0:
            if (unit != unit_of(tail) || sequence != sequence_of(tail)) {
                return "the records end, but not at the tail";
            }
            return s == segment(&r->tail_seg) ? NULL : "the tail is in another segment";
        case MP__RECORD_SKIP:
            unit = s->base;
            break;
        case MP__RECORD_LINK:
            s = segment(&s->next);
            unit = mp__record_len(header);
            break;
        default:
            sequence = (sequence + 1) & MP__SEQUENCE_MASK;
            unit += units_for(mp__record_len(header));
        }
    }
    return s ? "the records go round in a ring" : "no segment holds the record";
}
