/* queue/put.c: putting into the chain of rings; the protocol is in ring.h. */
#include <string.h>

#include "base/error.h"
#include "heap/family.h"
#include "heap/heap.h"
#include "queue/inner.h"

/* Turns of waiting for a consumer that makes progress, before the ring grows. */
#define GROW_SPINS 200
#define GROW_MOST  2000

/* Messages flow when so many bytes have gone round, each turn in so short a time ... */
#define FLOW_BYTES (UINT64_C(8) << 20)
#define FLOW_TURN  (2 * MP__MS)
/* ... and no longer when so many messages take so long, and again and again. */
#define FLOW_LOOK      256
#define FLOW_LOOK_TIME (25 * MP__MS)
#define FLOW_SLOW      4
/* What lasts shorter is tried less often: after so many times as many bytes at most. */
#define FLOW_LASTS (100 * MP__MS)
#define FLOW_REST  63

/* What of the bytes behind the tail the next puts will write: two cache lines, some puts ahead. */
#define AHEAD_FROM 256
#define AHEAD_TO   384

/* A message on its way in: its bytes, or the slot with its block. */
struct message {
    uint64_t header;
    const void *data;
    struct mp__slot *slot; /* NULL: it lies in the ring */
};

/* ---- segments -------------------------------------------------------------------------------- */

int
mp__ring_new_segment(_Atomic(void *) *where, uint64_t bytes)
{
    int status = mp__heap_alloc_to(sizeof(struct mp__segment) + bytes, 64, where);
    if (status == 0) {
        struct mp__segment *s = mp__segment_in(where);
        uint64_t start = (uint64_t)(uintptr_t)(s + 1) - mp__family->base;
        s->base = start / MP__UNIT;
        s->end = s->base + bytes / MP__UNIT;
        atomic_init(&s->next, NULL);
        atomic_store_explicit(mp__record(s->base), 0, memory_order_relaxed);
    }
    return status;
}

/* A size for a segment that is to hold so many bytes. */
static uint64_t
segment_bytes(uint64_t wanted)
{
    uint64_t bytes = MP__SEGMENT_FIRST;
    while (bytes < wanted && bytes < MP__SEGMENT_MOST) {
        bytes *= 4;
    }
    return bytes;
}

/* ---- recovery -------------------------------------------------------------------------------- */

/* The record at tail that refers to the dead one's block is committed: the slot has it no more. */
static void
block_is_given(struct mp__ring *r)
{
    struct mp__slot *slot = atomic_load_explicit(&r->giving, memory_order_relaxed);
    if (slot) {
        atomic_store_explicit(&slot->block, NULL, memory_order_release);
        atomic_store_explicit(&r->giving, NULL, memory_order_release);
        /* Last: then it is anybody's, and who recovers must not take it for the dead one's. */
        atomic_store_explicit(&slot->word, 0, memory_order_release);
    }
}

/* The tail catches up with what a dead producer committed; a segment it did not link is freed. */
void
mp__ring_recover_put(struct mp__ring *r)
{
    /* What one who died while he recovered had not committed is taken back, so that next_seg is not
       NULL for the moment only. */
    mp__heap_settle();
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    struct mp__segment *next = mp__segment_in(&r->next_seg), *s = mp__segment_in(&r->tail_seg);
    /* Ask the old segment: the new one may have died before its range was written. */
    if (next && (next == s || !mp__segment_has(s, mp__place_unit(tail)))) {
        atomic_store_explicit(&r->tail_seg, next, memory_order_release);
        atomic_store_explicit(&r->next_seg, NULL, memory_order_release);
        s = next;
        next = NULL;
    }
    for (;;) {
        uint64_t unit = mp__place_unit(tail), bytes = 0;
        uint64_t header = atomic_load_explicit(mp__record(unit), memory_order_acquire);
        if (header == 0) {
            break;
        }
        if (mp__record_type(header) == MP__RECORD_SKIP) {
            tail = mp__place_after(tail, 0, s->base);
            continue;
        }
        if (mp__record_type(header) == MP__RECORD_LINK) {
            tail = mp__place_after(tail, 0, mp__record_len(header));
            /* tail first: then the segments tell which of the two stores was the last. */
            mp__ring_tail_to(r, tail, 0);
            atomic_store_explicit(&r->tail_seg, next, memory_order_release);
            atomic_store_explicit(&r->next_seg, NULL, memory_order_release);
            s = next;
            next = NULL;
            continue;
        }
        block_is_given(r); /* before the tail passes it */
        bytes = mp__record_len(header);
        tail = mp__place_after(tail, 1, unit + mp__record_units(header));
        mp__ring_tail_to(r, tail, bytes);
    }
    /* What is not committed: the block stays the slot's. */
    atomic_store_explicit(&r->giving, NULL, memory_order_release);
    r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
    if (next) {
        /* The dead one may have written it down in s already; mp__ring_done() would follow that. */
        atomic_store_explicit(&s->next, NULL, memory_order_release);
        mp__heap_free_from(&r->next_seg, next, NULL); /* unless it never was there */
    }
}

/* ---- finding room ---------------------------------------------------------------------------- */

/* Where a record of `need` units goes in the tail's segment, as seen from `head`. */
enum fit { NO_ROOM, AT_TAIL, AT_BASE };
static inline enum fit
fit(const struct mp__segment *s, uint64_t tail, uint64_t head, uint64_t need)
{
    uint64_t to = mp__place_unit(tail), from = mp__place_unit(head);
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
    uint64_t to = mp__place_unit(tail), from = mp__place_unit(head);
    if (!mp__segment_has(s, from)) {
        return UINT64_MAX;
    }
    return to >= from ? to - from : s->end - s->base - (from - to);
}

/*
 * Messages that go round in a small segment have all their cache lines in the caches of both sides,
 * and each line that one side takes from the other's is dear.  In a segment larger than both caches
 * they come from the cache that both share, for less than half.  So messages that flow get such a
 * segment, until they flow no more, or nobody takes any.
 */
static bool
flow_begins(struct mp__ring *r, uint64_t bytes)
{
    int64_t now = mp__plat_now(), took = now - r->flowed_at;
    r->flowed_at = now;
    if (took >= FLOW_TURN) {
        return false; /* a pause, or not fast enough: it does not count */
    }
    r->flowed += bytes;
    if (r->flowed < FLOW_BYTES) {
        return false;
    }
    r->flowed = 0;
    if (r->flow_rest > 0) {
        r->flow_rest--;
        return false;
    }
    r->flowing_from = now;
    r->flow_slow = 0;
    atomic_store_explicit(&r->flowing, true, memory_order_relaxed);
    return true;
}

/* At each FLOW_LOOK-th message.  One that took long may have been a pause. */
static bool
flows_on(struct mp__ring *r)
{
    int64_t now = mp__plat_now();
    r->flow_slow = now - r->flowed_at < FLOW_LOOK_TIME ? 0 : r->flow_slow + 1;
    r->flowed_at = now;
    return r->flow_slow < FLOW_SLOW;
}

void
mp__ring_flows_no_more(struct mp__ring *r)
{
    if (!atomic_load_explicit(&r->flowing, memory_order_relaxed)) {
        return;
    }
    bool lasted = mp__plat_now() - r->flowing_from > FLOW_LASTS;
    r->flow_rest = lasted ? 0 : r->flow_next;
    r->flow_next = lasted ? 0 : r->flow_next < FLOW_REST ? r->flow_next * 2 + 1 : FLOW_REST;
    atomic_store_explicit(&r->flowing, false, memory_order_relaxed);
}

/* The size of a segment to go on in: larger for what flows, smaller for what is few; 0: this one. */
static inline uint64_t
better_bytes(struct mp__ring *r, const struct mp__segment *s, uint64_t tail, enum fit f,
             uint64_t need)
{
    uint64_t bytes = mp__segment_bytes(s);
    if (__builtin_expect(bytes < MP__SEGMENT_LEAVE, 1)) {
        return f == AT_BASE && flow_begins(r, bytes) ? MP__SEGMENT_FLOW : 0;
    }
    if (f != AT_BASE && mp__place_sequence(tail) % FLOW_LOOK != 0) {
        return 0;
    }
    bool flows = atomic_load_explicit(&r->flowing, memory_order_relaxed) && flows_on(r);
    if (flows && bytes <= MP__SEGMENT_FLOW) {
        return 0;
    }
    r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
    uint64_t used = units_used(s, tail, r->head_seen);
    if (used == UINT64_MAX || used * MP__UNIT >= bytes / 64) {
        return 0;
    }
    if (flows) {
        return MP__SEGMENT_FLOW;
    }
    mp__ring_flows_no_more(r);
    return segment_bytes((used * 8 + need) * MP__UNIT);
}

/* ---- the record ------------------------------------------------------------------------------ */

/* All of it but the header, and the empty header behind. */
static inline void
write_record(uint64_t unit, uint64_t need, const struct message *m)
{
    if (m->slot) {
        *(void **)mp__record_data(unit) = mp__slot_parcel(m->slot);
    } else {
        mp__record_copy(mp__record_data(unit), m->data, mp__record_len(m->header));
    }
    atomic_store_explicit(mp__record(unit + need), 0, memory_order_relaxed);
}

/* Just before the commit, and after it: from the slot into the ring. */
static inline void
give(struct mp__ring *r, const struct message *m)
{
    if (m->slot) {
        atomic_store_explicit(&r->giving, m->slot, memory_order_release);
    }
}

static inline void
given(struct mp__ring *r, const struct message *m)
{
    if (m->slot) {
        block_is_given(r);
    }
}

/* Continue in a new segment, with the message in it (NULL: without).  0 or MP_ENOMEM. */
static int
link_segment(struct mp__ring *r, uint64_t tail, uint64_t bytes, const struct message *m,
             uint64_t need)
{
    struct mp__segment *old = mp__segment_in(&r->tail_seg);
    int status = mp__ring_new_segment(&r->next_seg, bytes);
    if (status < 0) {
        return status;
    }
    struct mp__segment *s = mp__segment_in(&r->next_seg);
    /* The head of now is in a segment that lives, so never in this new one: fit() relies on it. */
    r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
    if (m) {
        write_record(s->base, need, m);
        give(r, m);
        atomic_store_explicit(mp__record(s->base), m->header, memory_order_release);
    }
    atomic_store_explicit(&old->next, s, memory_order_release);
    atomic_store_explicit(mp__record(mp__place_unit(tail)),
                          mp__record_header(MP__RECORD_LINK, s->base),
                          memory_order_release); /* queue.put.commit */
    if (m) {
        given(r, m);
    }
    /* In this order: mp__ring_recover_put() reads the progress from it. */
    mp__ring_tail_to(r, mp__place_after(tail, m != NULL, s->base + need),
                     m ? mp__record_len(m->header) : 0);
    atomic_store_explicit(&r->tail_seg, s, memory_order_release);
    atomic_store_explicit(&r->next_seg, NULL, memory_order_release);
    return 0;
}

int
mp__ring_link_small(struct mp__ring *r)
{
    return link_segment(r, atomic_load_explicit(&r->tail, memory_order_relaxed), MP__SEGMENT_FIRST,
                        NULL, 0);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static bool
too_many(struct mp__ring *r, uint64_t tail)
{
    return mp__messages_between(r->head_seen, tail) +
               atomic_load_explicit(&r->returned, memory_order_relaxed) >=
           r->maxsize;
}

static bool
too_much(struct mp__ring *r, uint64_t tail, size_t len)
{
    return mp__bytes_at(&r->put_bytes, tail) - r->got_seen +
               atomic_load_explicit(&r->returned_bytes, memory_order_relaxed) + len >
           r->maxbytes;
}

/* The newest head, and the bytes that were got up to it. */
static void
look_at_head(struct mp__ring *r)
{
    uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    for (uint64_t again = 0; again != head && r->maxbytes;) {
        r->got_seen = mp__bytes_at(&r->got_bytes, head);
        again = head;
        head = atomic_load_explicit(&r->head, memory_order_acquire);
    }
    r->head_seen = head;
}

/* Whether the limits leave no room for it. */
static inline bool
full(struct mp__ring *r, uint64_t tail, size_t len)
{
    if (__builtin_expect(!too_many(r, tail) && (!r->maxbytes || !too_much(r, tail, len)), 1)) {
        return false;
    }
    look_at_head(r);
    return too_many(r, tail) || (r->maxbytes && too_much(r, tail, len));
}

/* ---- putting --------------------------------------------------------------------------------- */

/* Under put_lock: 0; MP_EFULL; MP_ESHUTDOWN; MP_ENOMEM. */
static inline int
put_locked(struct mp__ring *r, const struct message *m)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    uint64_t need = mp__record_units(m->header);
    size_t len = mp__record_len(m->header);
    uint32_t shut = atomic_load_explicit(&r->shut, memory_order_relaxed);
    if (__builtin_expect(shut, 0)) {
        return shut == MP__RING_FREED ? mp__ring_gone() : MP_ESHUTDOWN;
    }
    if (full(r, tail, len)) {
        return MP_EFULL;
    }
    struct mp__segment *s = mp__segment_in(&r->tail_seg);
    enum fit f = fit(s, tail, r->head_seen, need);
    if (f == NO_ROOM) {
        f = fit_patiently(r, s, tail, need);
    }
    if (f == NO_ROOM) {
        return link_segment(r, tail, segment_bytes(mp__segment_bytes(s) * 2), m, need);
    }
    uint64_t other = better_bytes(r, s, tail, f, need);
    if (__builtin_expect(other != 0, 0) && link_segment(r, tail, other, m, need) == 0) {
        return 0; /* without memory for another we stay in this one */
    }
    uint64_t unit = f == AT_BASE ? s->base : mp__place_unit(tail);
    write_record(unit, need, m);
    give(r, m);
    atomic_store_explicit(mp__record(unit), m->header, memory_order_release); /* queue.put.commit */
    if (f == AT_BASE) {
        atomic_store_explicit(mp__record(mp__place_unit(tail)),
                              mp__record_header(MP__RECORD_SKIP, 0),
                              memory_order_release); /* queue.put.commit */
    }
    given(r, m);
    mp__ring_tail_to(r, mp__place_after(tail, 1, unit + need), len);
    for (uint64_t ahead = AHEAD_FROM; ahead < AHEAD_TO; ahead += 64) {
        mp__record_to_write(unit + need, ahead);
    }
    return 0;
}

static int
check_len(const struct mp__ring *r, size_t len)
{
    if (__builtin_expect(r->maxbytes && len > r->maxbytes, 0)) {
        return mp__error(MP_EVALUE, "a message of %zu bytes is above the queue's limit of %llu",
                         len, (unsigned long long)r->maxbytes);
    }
    return 0;
}

/* Put up to n messages, of which those behind the first are small.  *ret_done is how many. */
static int
put_some(struct mp__ring *r, const struct message *m, size_t n, size_t *ret_done,
         mp__deadline until)
{
    int status = mp__ring_lock_put_until(r, until);
    if (status < 0) {
        return status;
    }
    for (;;) {
        size_t done = 0;
        status = put_locked(r, m);
        while (status == 0 && ++done < n) {
            status = put_locked(r, &m[done]);
        }
        if (done > 0 || status != MP_EFULL || until == MP__TRY) {
            mp__ring_unlock_put(r);
            *ret_done = done;
            if (done > 0) {
                mp__ring_came(r, done);
                return 0;
            }
            return status;
        }
        int waited = mp__ring_await_room(r, until);
        if (waited < 0 && waited != MP_ETIMEOUT) {
            return waited;
        }
        until = waited == MP_ETIMEOUT ? MP__TRY : until; /* one more look */
    }
}

int
mp__ring_put_slot(struct mp__ring *r, enum mp__ring_type type, struct mp__slot *s, size_t len,
                  mp__deadline until)
{
    struct mp__parcel *p = mp__slot_parcel(s);
    p->header = mp__record_header(type, len);
    struct message m = {.header = mp__record_header(type | MP__RECORD_REF, len), .slot = s};
    size_t done;
    return put_some(r, &m, 1, &done, until);
}

/* Whether a put would fail now, before its bytes are copied for nothing. */
static int
put_would(struct mp__ring *r, size_t len)
{
    int status = mp__ring_lock_put_until(r, MP__TRY);
    if (status < 0) {
        return status;
    }
    uint32_t shut = atomic_load_explicit(&r->shut, memory_order_relaxed);
    if (shut) {
        status = shut == MP__RING_FREED ? mp__ring_gone() : MP_ESHUTDOWN;
    } else if (full(r, atomic_load_explicit(&r->tail, memory_order_relaxed), len)) {
        status = MP_EFULL;
    }
    mp__ring_unlock_put(r);
    return status;
}

/* A message in a block of its own. */
static int
put_big(struct mp__ring *r, enum mp__ring_type type, const void *data, size_t len,
        mp__deadline until)
{
    if (len > mp__family->size) {
        return mp__error(MP_ENOMEM, "a message of %zu bytes does not fit the family's heap", len);
    }
    int status = until == MP__TRY ? put_would(r, len) : 0;
    if (status < 0) {
        return status;
    }
    struct mp__slot *s = mp__slot_lend(r, len);
    if (!s) {
        return MP_ENOMEM;
    }
    mp__block_put(mp__slot_parcel(s)->bytes, data, len);
    status = mp__ring_put_slot(r, type, s, len, until);
    if (status < 0 && status != MP_EVALUE) { /* that would be: freed meanwhile, with its slots */
        mp__slot_release(r, s, true);
    }
    return status;
}

int
mp__ring_put(struct mp__ring *r, enum mp__ring_type type, const void *data, size_t len,
             mp__deadline until)
{
    int status = check_len(r, len);
    if (status < 0) {
        return status;
    }
    if (__builtin_expect(len > MP__INLINE_MOST, 0)) {
        return put_big(r, type, data, len, until);
    }
    struct message m = {.header = mp__record_header(type, len), .data = data};
    status = mp__ring_lock_put_until(r, until);
    if (__builtin_expect(status < 0, 0)) {
        return status;
    }
    for (;;) {
        status = put_locked(r, &m);
        if (__builtin_expect(status != MP_EFULL || until == MP__TRY, 1)) {
            mp__ring_unlock_put(r);
            if (status == 0) {
                mp__ring_came(r, 1);
            }
            return status;
        }
        int waited = mp__ring_await_room(r, until);
        if (waited < 0 && waited != MP_ETIMEOUT) {
            return waited;
        }
        until = waited == MP_ETIMEOUT ? MP__TRY : until; /* one more look */
    }
}

/* The small ones from the first on that go in under one lock. */
static size_t
batch(struct message *m, enum mp__ring_type type, const struct mp__ring_part *parts, size_t n)
{
    size_t count = 0, bytes = 0;
    while (count < n && count < MP__BATCH_MESSAGES && bytes < MP__BATCH_BYTES &&
           parts[count].len <= MP__INLINE_MOST) {
        m[count] = (struct message){.header = mp__record_header(type, parts[count].len),
                                    .data = parts[count].data};
        bytes += parts[count].len;
        count++;
    }
    return count;
}

int
mp__ring_put_many(struct mp__ring *r, enum mp__ring_type type, const struct mp__ring_part *parts,
                  size_t n, size_t *ret_done, mp__deadline until)
{
    struct message m[MP__BATCH_MESSAGES];
    *ret_done = 0;
    for (size_t i = 0; i < n; i++) {
        int status = check_len(r, parts[i].len);
        if (status < 0) {
            return status;
        }
    }
    while (*ret_done < n) {
        const struct mp__ring_part *part = &parts[*ret_done];
        size_t count = batch(m, type, part, n - *ret_done), done = 1;
        int status = count == 0 ? put_big(r, type, part->data, part->len, until)
                                : put_some(r, m, count, &done, until);
        if (status < 0) {
            return status;
        }
        *ret_done += done;
    }
    return 0;
}
