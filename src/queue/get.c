/* queue/get.c: getting from the chain of rings; the protocol is in ring.h. */
#include <string.h>

#include "base/error.h"
#include "heap/heap.h"
#include "queue/inner.h"

/* At which sequences a getter looks around for dead owners of slots: a mask. */
#define LOOK_GET 15

/* Kept blocks go back when so many messages have passed that needed none ... */
#define KEEP_FOR 1000
/* ... or when who does not wait finds the queue empty after so many that did need one. */
#define LONG_RUN 8

/* What of the bytes behind the head the next gets will read: nearer than producers prepare theirs. */
#define AHEAD_FROM 128
#define AHEAD_TO   256

/*
 * The next of big messages takes its producer the time of a copy: it is waited for awake about so
 * long, a look for so many bytes, since to sleep and be woken takes as long.
 */
#define PATIENCE_BYTES 100
#define PATIENCE_MOST  (1 << 20)

/* What a getter wants, and what it got. */
struct want {
    mp__ring_place place; /* NULL: a slot, with the message in it */
    void *ctx;
    size_t most;
    size_t done;
    struct mp__slot *slot; /* PEEKED by us */
    void *to;              /* where its bytes go */
    bool shrink;           /* the ring is big and empty */
    bool plain;            /* get_plainly() may do */
    bool bytes;            /* without a place: no object, MP_ETYPE */
    bool big;              /* without a place: no small one, MP_ETYPE */
};

/* ---- recovery -------------------------------------------------------------------------------- */

void
mp__ring_recover_get(struct mp__ring *r)
{
    mp__heap_settle();
    void *dropping = atomic_load_explicit(&r->drop_block, memory_order_relaxed);
    if (dropping && atomic_load_explicit(&r->head, memory_order_relaxed) !=
                        atomic_load_explicit(&r->take_head, memory_order_relaxed)) {
        mp__heap_free_from(&r->drop_block, dropping, NULL);
    }
    atomic_store_explicit(&r->drop_block, NULL, memory_order_release);
    struct mp__slot *s = atomic_load_explicit(&r->taking, memory_order_acquire);
    if (s) {
        struct mp__parcel *p = mp__slot_parcel(s);
        if (atomic_load_explicit(&r->head, memory_order_relaxed) !=
            atomic_load_explicit(&r->take_head, memory_order_relaxed)) {
            uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed);
            atomic_store_explicit(&s->word,
                                  mp__slot_word(mp__slot_owner(word), p->kib, MP__SLOT_PEEKED),
                                  memory_order_release);
        } else {
            struct mp__cursor c = mp__ring_oldest(r);
            if (mp__record_is_ref(c.header) && p == mp__record_block(c.unit)) {
                atomic_store_explicit(&s->block, NULL, memory_order_release); /* it is the ring's */
            }
        }
        atomic_store_explicit(&r->taking, NULL, memory_order_release);
    }
    mp__slot_recount(r);
}

/* ---- segments -------------------------------------------------------------------------------- */

void
mp__ring_retire(struct mp__ring *r)
{
    uint64_t unit = mp__place_unit(atomic_load_explicit(&r->head, memory_order_relaxed));
    for (;;) {
        struct mp__segment *s = mp__segment_in(&r->first);
        /* tail_seg stays: whoever recovers a dead producer still reads it. */
        if (mp__segment_has(s, unit) || s == mp__segment_in(&r->tail_seg)) {
            return;
        }
        mp__heap_free_from(&r->first, s, mp__segment_in(&s->next));
    }
}

void
mp__ring_shrink(struct mp__ring *r)
{
    int status = mp__ilock_acquire(&r->put_lock, MP__TRY);
    if (status == MP_ETIMEOUT) {
        return; /* somebody puts: it is not empty for long */
    }
    if (status == MP_OWNER_DIED) {
        mp__ring_recover_put(r);
    }
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    bool moved = false;
    if (atomic_load_explicit(&r->shut, memory_order_relaxed) != MP__RING_FREED &&
        mp__messages_between(atomic_load(&r->head), tail) == 0) {
        mp__ring_flows_no_more(r);
        moved = mp__segment_bytes(mp__segment_in(&r->tail_seg)) >= MP__SEGMENT_LEAVE &&
                mp__ring_link_small(r) == 0;
    }
    mp__ring_unlock_put(r);
    if (moved && mp__ring_lock_get_until(r, MP__TRY) == 0) {
        struct mp__cursor c = mp__ring_oldest(r);
        /* Over SKIP and LINK only: the same message is the next one. */
        mp__ring_head_to(r, mp__place_after(atomic_load(&r->head), 0, c.unit), 0);
        mp__ring_retire(r);
        mp__ring_unlock_get(r);
    }
}

/* ---- taking, under get_lock ------------------------------------------------------------------- */

/* Into the slot, which is TAKING, out of the ring. */
static void
take_into(struct mp__ring *r, struct mp__slot *s, struct mp__parcel *p, const struct mp__cursor *c)
{
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed);
    s->order = r->order++;
    atomic_store_explicit(&r->take_head, head, memory_order_release);
    atomic_store_explicit(&r->taking, s, memory_order_release);
    atomic_store_explicit(&s->block, p, memory_order_release);
    mp__ring_head_to(r, mp__place_after(head, 1, c->unit + mp__record_units(c->header)),
                     mp__record_len(c->header)); /* queue.get.consume */
    atomic_store_explicit(&s->word, mp__slot_word(mp__slot_owner(word), p->kib, MP__SLOT_PEEKED),
                          memory_order_release);
    atomic_store_explicit(&r->taking, NULL, memory_order_release);
}

static int
placed(struct want *w, uint64_t header)
{
    int status = 0;
    if (w->place) {
        w->to = w->place(w->ctx, (enum mp__ring_type)(mp__record_type(header) & ~MP__RECORD_REF),
                         mp__record_len(header), &status);
        return w->to ? 0 : status;
    }
    bool is_bytes = (mp__record_type(header) & ~MP__RECORD_REF) == MP__RING_BYTES;
    bool is_big = mp__record_len(header) > MP__INLINE_MOST;
    return (w->bytes && !is_bytes) || (w->big && !is_big) ? MP_ETYPE : 0;
}

/* A message that lies in a block, or goes into one to be peeked at. */
static int
take_out(struct mp__ring *r, struct want *w, const struct mp__cursor *c)
{
    int status = placed(w, c->header);
    if (status < 0 || (w->place && !w->to)) {
        return status;
    }
    bool ref = mp__record_is_ref(c->header);
    size_t len = mp__record_len(c->header);
    struct mp__slot *s =
        ref ? mp__slot_claim(r, MP__SLOT_TAKING) : mp__slot_fill(r, MP__SLOT_TAKING, len);
    if (!s) {
        return MP_ENOMEM;
    }
    struct mp__parcel *p = ref ? mp__record_block(c->unit) : mp__slot_parcel(s);
    if (!ref) {
        memcpy(p->bytes, mp__record_data(c->unit), len);
        p->header = c->header;
    }
    take_into(r, s, p, c);
    atomic_fetch_add_explicit(&r->run, 1, memory_order_relaxed);
    r->patience = (uint32_t)(len < PATIENCE_MOST ? len : PATIENCE_MOST) / PATIENCE_BYTES;
    w->slot = s;
    w->done = 1;
    return 0;
}

/* A message that came back. */
static int
take_returned(struct mp__ring *r, struct want *w)
{
    struct mp__slot *s = mp__slot_returned(r);
    uint64_t header = mp__slot_parcel(s)->header;
    int status = placed(w, header);
    if (status < 0 || (w->place && !w->to)) {
        return status;
    }
    mp__slot_become(s, mp__self(), MP__SLOT_PEEKED); /* queue.peek.again */
    atomic_fetch_sub_explicit(&r->returned_bytes, mp__record_len(header), memory_order_relaxed);
    atomic_fetch_sub_explicit(&r->returned, 1, memory_order_seq_cst);
    w->slot = s;
    w->done = 1;
    return 0;
}

static inline void
read_ahead(uint64_t unit)
{
    for (uint64_t ahead = AHEAD_FROM; ahead < AHEAD_TO; ahead += 64) {
        mp__record_to_read(unit, ahead);
    }
}

/* Messages that lie in the ring, up to w->most and no more than one lock's worth. */
static inline int
take_small(struct mp__ring *r, struct want *w, struct mp__cursor *c)
{
    size_t done = 0, bytes = 0;
    uint64_t end = 0;
    int status = 0;
    for (;;) {
        size_t len = mp__record_len(c->header);
        void *to = w->place(w->ctx, (enum mp__ring_type)mp__record_type(c->header), len, &status);
        if (__builtin_expect(!to, 0)) {
            break;
        }
        mp__record_copy(to, mp__record_data(c->unit), len);
        bytes += len;
        end = c->unit + mp__record_units(c->header);
        if (++done >= w->most || done >= MP__BATCH_MESSAGES || bytes >= MP__BATCH_BYTES) {
            break;
        }
        c->unit = end;
        mp__cursor_settle(c);
        if (c->header == 0 || mp__record_is_ref(c->header)) {
            break;
        }
    }
    if (done == 0) {
        return status;
    }
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    mp__ring_head_to(r, mp__place_after(head, done, end), bytes); /* queue.get.consume */
    w->done = done;
    read_ahead(end);
    return 0;
}

/* 0 with w->done messages; MP_EEMPTY; MP_ESHUTDOWN; what place said. */
static inline int
take(struct mp__ring *r, struct want *w, struct mp__cursor *c)
{
    uint32_t shut = atomic_load_explicit(&r->shut, memory_order_acquire);
    *c = mp__ring_oldest(r);
    if (__builtin_expect(shut == MP__RING_DROPPED, 0)) {
        return MP_ESHUTDOWN;
    }
    if (__builtin_expect(atomic_load_explicit(&r->returned, memory_order_relaxed) != 0, 0)) {
        return take_returned(r, w);
    }
    if (c->header == 0) {
        return shut ? MP_ESHUTDOWN
                    : MP_EEMPTY; /* who shut it down had put_lock: no more will come */
    }
    if (__builtin_expect(!w->place || mp__record_is_ref(c->header), 0)) {
        return take_out(r, w, c);
    }
    return take_small(r, w, c);
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* At a look around between messages. */
static void
trim_unused(struct mp__ring *r, uint64_t head)
{
    uint64_t at = atomic_load_explicit(&r->kept_at, memory_order_relaxed);
    if (mp__slot_keeps(r) && ((mp__place_sequence(head) - at) & MP__SEQUENCE_MASK) > KEEP_FOR) {
        mp__slot_trim(r);
    }
}

/* Nothing is there for who does not wait.  True: now there is. */
static bool
look_once(struct mp__ring *r)
{
    mp__ring_flow_ends(r);
    if (atomic_load_explicit(&r->shelves, memory_order_relaxed)) {
        mp__ring_trim_after_run(r, LONG_RUN);
        return mp__slot_reap(r);
    }
    return false;
}

static inline bool
is_time_to_look(uint64_t head)
{
    return (mp__place_sequence(head) & LOOK_GET) == 0;
}

/* After the lock: what was taken is used, and others are told. */
static inline void
taken(struct mp__ring *r, struct want *w, uint64_t head)
{
    mp__ring_went(r, w->done);
    if (w->slot && w->place) {
        struct mp__parcel *p = mp__slot_parcel(w->slot);
        mp__block_get(w->to, p->bytes, mp__record_len(p->header));
        mp__slot_release(r, w->slot, false);
    }
    if (__builtin_expect(atomic_load_explicit(&r->shelves, memory_order_relaxed) != NULL, 0) &&
        is_time_to_look(head)) {
        mp__slot_look(r);
        trim_unused(r, head);
    }
}

/* Under get_lock, before it is let go: the head of now, and what else is to be done. */
static inline uint64_t
leave(struct mp__ring *r, struct want *w, const struct mp__cursor *c)
{
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (mp__ring_is_big(r, c->segment)) {
        struct mp__cursor now = mp__ring_oldest(r);
        w->shrink = now.header == 0;
    }
    if (__builtin_expect(c->segment != mp__segment_in(&r->first), 0)) {
        mp__ring_retire(r);
    }
    mp__ring_unlock_get(r);
    return head;
}

/*
 * What get() does in the usual case, in a few instructions: one small message of a small segment, and
 * nothing else to look after.  False, and nothing has changed, when it is not that.
 */
static inline bool
get_plainly(struct mp__ring *r, mp__ring_place where, void *ctx, int *ret_status)
{
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    uint64_t unit = mp__place_unit(head);
    const struct mp__segment *s = mp__segment_in(&r->first);
    if (!mp__segment_has(s, unit) || mp__ring_is_big(r, s) ||
        (atomic_load_explicit(&r->shelves, memory_order_relaxed) && is_time_to_look(head)) ||
        (atomic_load_explicit(&r->shut, memory_order_acquire) |
         atomic_load_explicit(&r->returned, memory_order_relaxed)) != 0) {
        return false;
    }
    uint64_t header = atomic_load_explicit(mp__record(unit), memory_order_acquire);
    unsigned type = mp__record_type(header);
    if (type != MP__RING_OBJECT && type != MP__RING_BYTES) {
        return false;
    }
    size_t len = mp__record_len(header);
    *ret_status = 0;
    void *to = where(ctx, (enum mp__ring_type)type, len, ret_status);
    if (__builtin_expect(to != NULL, 1)) {
        mp__record_copy(to, mp__record_data(unit), len);
        uint64_t end = unit + mp__record_units(header);
        mp__ring_head_to(r, mp__place_after(head, 1, end), len); /* queue.get.consume */
        read_ahead(end);
    }
    return true;
}

/* Under get_lock, which it lets go. */
static int
get(struct mp__ring *r, struct want *w, mp__deadline until)
{
    for (bool looked = false;;) {
        struct mp__cursor c;
        if (atomic_load_explicit(&r->shut, memory_order_acquire) == MP__RING_FREED) {
            mp__ring_unlock_get(r);
            return mp__ring_gone();
        }
        int status = take(r, w, &c);
        if (__builtin_expect(status == MP_EEMPTY && until != MP__TRY, 0)) {
            status = mp__ring_await(r, &c, until);
            if (status < 0 && status != MP_ETIMEOUT) {
                return status;
            }
            if (status == MP_ETIMEOUT) {
                until = MP__TRY; /* one more look: what came late is still good */
            }
            if (w->plain && get_plainly(r, w->place, w->ctx, &status)) {
                mp__ring_unlock_get(r);
                mp__ring_went(r, status == 0);
                return status;
            }
            continue;
        }
        uint64_t head = leave(r, w, &c);
        if (__builtin_expect(status == 0, 1)) {
            taken(r, w, head);
        }
        if (__builtin_expect(w->shrink, 0)) {
            mp__ring_shrink(r);
            w->shrink = false;
        }
        if (status == MP_EEMPTY || status == MP_ESHUTDOWN) {
            mp__ring_drop(r);
            if (!looked && look_once(r)) {
                looked = true;
                if ((status = mp__ring_lock_get_until(r, until)) < 0) {
                    return status;
                }
                continue;
            }
        }
        return status;
    }
}

int
mp__ring_get(struct mp__ring *r, mp__ring_place where, void *ctx, mp__deadline until)
{
    int status = mp__ring_lock_get_until(r, until);
    if (__builtin_expect(status < 0, 0)) {
        return status;
    }
    if (__builtin_expect(get_plainly(r, where, ctx, &status), 1)) {
        mp__ring_unlock_get(r);
        mp__ring_went(r, status == 0);
        return status;
    }
    struct want w = {.place = where, .ctx = ctx, .most = 1, .plain = true};
    return get(r, &w, until);
}

int
mp__ring_get_many(struct mp__ring *r, mp__ring_place where, void *ctx, size_t most,
                  size_t *ret_done, mp__deadline until)
{
    *ret_done = 0;
    while (*ret_done < most) {
        struct want w = {.place = where, .ctx = ctx, .most = most - *ret_done};
        mp__deadline now = *ret_done ? MP__TRY : until;
        int status = mp__ring_lock_get_until(r, now);
        status = status < 0 ? status : get(r, &w, now);
        if (status < 0 || w.done == 0) {
            return *ret_done ? 0 : status;
        }
        *ret_done += w.done;
    }
    return 0;
}

static int
peek(struct mp__ring *r, struct want *w, void **ret_data, size_t *ret_len,
     enum mp__ring_type *ret_type, mp__deadline until)
{
    int status = mp__ring_lock_get_until(r, until);
    status = status < 0 ? status : get(r, w, until);
    if (status == 0) {
        struct mp__parcel *p = mp__slot_parcel(w->slot);
        p->slot = w->slot;
        *ret_data = p->bytes;
        *ret_len = mp__record_len(p->header);
        *ret_type = (enum mp__ring_type)mp__record_type(p->header);
    }
    return status;
}

int
mp__ring_peek(struct mp__ring *r, void **ret_data, size_t *ret_len, enum mp__ring_type *ret_type,
              mp__deadline until)
{
    struct want w = {.most = 1};
    return peek(r, &w, ret_data, ret_len, ret_type, until);
}

int
mp__ring_peek_bytes(struct mp__ring *r, void **ret_data, size_t *ret_len, mp__deadline until)
{
    struct want w = {.most = 1, .bytes = true};
    enum mp__ring_type type;
    return peek(r, &w, ret_data, ret_len, &type, until);
}

int
mp__ring_peek_big(struct mp__ring *r, void **ret_data, size_t *ret_len,
                  enum mp__ring_type *ret_type, mp__deadline until)
{
    struct want w = {.most = 1, .big = true};
    return peek(r, &w, ret_data, ret_len, ret_type, until);
}
