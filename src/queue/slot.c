/* queue/slot.c: the table of blocks on their way; slot.h tells the rules. */
#include "queue/slot.h"

#include <string.h>

#include "base/error.h"
#include "heap/family.h"
#include "heap/heap.h"
#include "platform/platform.h"
#include "queue/inner.h"

/* What is kept warm: in all, and the least that a block holds, so that it suits many. */
#define KEPT_MOST 4096 /* KiB */
#define LEAST     4    /* KiB */

/* So many slots take turns where blocks are lent, if they have what is wanted. */
#define TURNS 4
/* From about so many KiB in the ring on, a producer waits for a kept block: ns for each KiB. */
#define AHEAD    1536
#define WAIT_KIB 400
#define IDLE_KIB 100

/* In so many puts, in ns for each KiB of them: a flow, or nearly none. */
#define STRETCH   8
#define FLOW_KIB  1000
#define SLOW_KIB  100000
#define FLOW_MOST 512 /* KiB: of a bigger one the lines are gone when it is used again */

/* How often those who put and get look for dead owners. */
#define LOOK (40 * MP__MS)

#define KIB_MOST ((UINT64_C(1) << 29) - 1)

static uint64_t
load(struct mp__slot *s)
{
    return atomic_load_explicit(&s->word, memory_order_acquire);
}

static bool
swap(struct mp__slot *s, uint64_t seen, uint64_t word)
{
    return atomic_compare_exchange_strong_explicit(&s->word, &seen, word, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

/* ---- shelves --------------------------------------------------------------------------------- */

/* Where the next shelf is to be linked. */
static _Atomic(void *) *
shelf_end(struct mp__ring *r, const struct mp__shelf *wanted, bool *ret_there)
{
    _Atomic(void *) *end = &r->shelves;
    *ret_there = false;
    for (struct mp__shelf *s; (s = mp__shelf_in(end)) != NULL; end = &s->next) {
        *ret_there = *ret_there || s == wanted;
    }
    return end;
}

static void
recover_shelves(struct mp__ring *r)
{
    mp__heap_settle();
    struct mp__shelf *fresh = mp__shelf_in(&r->new_shelf);
    bool linked;
    shelf_end(r, fresh, &linked);
    if (linked) {
        atomic_store_explicit(&r->new_shelf, NULL, memory_order_release);
    } else if (fresh) {
        mp__heap_free_from(&r->new_shelf, fresh, NULL);
    }
}

static void
lock_shelves(struct mp__ring *r)
{
    if (mp__ilock_acquire(&r->shelf_lock, MP__NEVER) == MP_OWNER_DIED) {
        recover_shelves(r);
    }
}

/* Add a shelf after `last`, the last that the caller saw.  0 or MP_ENOMEM. */
static int
add_shelf(struct mp__ring *r, _Atomic(void *) *last)
{
    int status = 0;
    lock_shelves(r);
    if (!mp__shelf_in(last)) {
        status = mp__heap_alloc_to(sizeof(struct mp__shelf), 64, &r->new_shelf);
        if (status == 0) {
            struct mp__shelf *fresh = mp__shelf_in(&r->new_shelf);
            memset(fresh, 0, sizeof *fresh);
            atomic_store_explicit(last, fresh, memory_order_release);
            atomic_store_explicit(&r->new_shelf, NULL, memory_order_release);
        }
    }
    mp__ilock_release(&r->shelf_lock);
    return status;
}

/* ---- claiming and releasing ------------------------------------------------------------------- */

static struct mp__slot *
claim(struct mp__ring *r, enum mp__slot_state state, uint64_t kib)
{
    uint64_t word = mp__slot_word(mp__self(), kib, state);
    _Atomic(void *) *end = &r->shelves;
    for (;;) {
        struct mp__shelf *shelf = mp__shelf_in(end);
        if (!shelf) {
            if (add_shelf(r, end) < 0) {
                return NULL;
            }
            continue;
        }
        for (int i = 0; i < MP__SHELF_SLOTS; i++) {
            struct mp__slot *s = &shelf->slot[i];
            if (atomic_load_explicit(&s->word, memory_order_relaxed) == 0 && swap(s, 0, word)) {
                return s; /* queue.slot.claim */
            }
        }
        end = &shelf->next;
    }
}

struct mp__slot *
mp__slot_claim(struct mp__ring *r, enum mp__slot_state state)
{
    return claim(r, state, 0);
}

/*
 * KiB of what is kept, about: a death may put it too high, and two who trim and keep at the same time
 * too low.  What is too high is put right by the next trim.  What is too low would let what is kept
 * be forgotten, so it is put right here.
 */
static uint32_t
kept_kib(struct mp__ring *r)
{
    uint32_t in = atomic_load_explicit(&r->kept_in, memory_order_relaxed);
    int32_t kib = (int32_t)(in - atomic_load_explicit(&r->kept_out, memory_order_relaxed));
    if (__builtin_expect(kib < 0, 0)) {
        atomic_compare_exchange_strong_explicit(&r->kept_in, &in, in - (uint32_t)kib,
                                                memory_order_relaxed, memory_order_relaxed);
        return 0;
    }
    return (uint32_t)kib;
}

bool
mp__slot_keeps(struct mp__ring *r)
{
    return kept_kib(r) != 0;
}

static bool
claim_if_kept(struct mp__ring *r, struct mp__slot *s, enum mp__slot_state state, uint64_t kib)
{
    uint64_t seen = atomic_load_explicit(&s->word, memory_order_relaxed), has = mp__slot_kib(seen);
    if (mp__slot_state(seen) != MP__SLOT_KEPT || has < kib || has > 2 * kib ||
        !swap(s, seen, mp__slot_word(mp__self(), has, state))) { /* queue.slot.claim */
        return false;
    }
    atomic_fetch_add_explicit(&r->kept_out, (uint32_t)has, memory_order_relaxed);
    return true;
}

/*
 * A kept block for so much, not much too big; NULL.  By turns: the cache lines of one that a consumer
 * has just read are the consumer's, and to take them back is dearer than to take some from the cache
 * that both share.  Of blocks that were lent, and may not have been read, a few take turns while they
 * are enough: their lines are in our own cache still.
 */
static struct mp__slot *
claim_kept(struct mp__ring *r, enum mp__slot_state state, uint64_t kib)
{
    uint32_t turn = atomic_load_explicit(&r->turn, memory_order_relaxed);
    if (atomic_load_explicit(&r->was_lent, memory_order_relaxed)) {
        turn %= TURNS;
    }
    for (int behind = 1; behind >= 0; behind--) {
        uint32_t number = 0;
        MP__EACH_SLOT(r, s)
        {
            if ((number++ >= turn) == behind && claim_if_kept(r, s, state, kib)) {
                atomic_store_explicit(&r->turn, number, memory_order_relaxed);
                return s;
            }
        }
    }
    return NULL;
}

static uint64_t
kib_for(size_t len)
{
    uint64_t kib = (len + 1023) / 1024;
    return kib < LEAST ? LEAST : kib;
}

/* With a block of fresh memory; NULL with MP_ENOMEM. */
static struct mp__slot *
fresh(struct mp__ring *r, enum mp__slot_state state, uint64_t kib)
{
    if (kib > KIB_MOST) {
        mp__error(MP_ENOMEM, "a message of %llu KiB does not fit the family's heap",
                  (unsigned long long)kib);
        return NULL;
    }
    struct mp__slot *s = claim(r, state, kib);
    if (!s) {
        return NULL;
    }
    size_t size = sizeof(struct mp__parcel) + kib * 1024;
    int status = mp__heap_alloc_to(size, 64, &s->block);
    if (status < 0) {
        mp__slot_trim(r);
        status = mp__heap_alloc_to(size, 64, &s->block);
    }
    if (status < 0) {
        atomic_store_explicit(&s->word, 0, memory_order_release);
        return NULL;
    }
    mp__slot_parcel(s)->kib = kib;
    return s;
}

struct mp__slot *
mp__slot_fill(struct mp__ring *r, enum mp__slot_state state, size_t len)
{
    uint64_t kib = kib_for(len);
    struct mp__slot *s = mp__slot_keeps(r) ? claim_kept(r, state, kib) : NULL;
    return s ? s : fresh(r, state, kib);
}

/* KiB in the ring, if all messages were as big as this one. */
static uint64_t
backlog(struct mp__ring *r, uint64_t head, uint64_t kib)
{
    return kib * mp__messages_between(head, atomic_load_explicit(&r->tail, memory_order_relaxed));
}

/* Whether this is one of the puts at which to look around. */
static bool
is_stretch(struct mp__ring *r)
{
    return atomic_load_explicit(&r->flow_puts, memory_order_relaxed) % STRETCH == 0;
}

/*
 * A producer ahead of its consumers does best to wait for a block that they let go: one with fresh
 * pages costs ten times a copy.  One that is so far ahead that no cache holds what is between them
 * waits for them to come near, else each copy would go by way of memory, for ever.  We wait no longer
 * than fresh pages cost, and less when nobody takes a message.  NULL: none came.
 */
static struct mp__slot *
kept_block(struct mp__ring *r, uint64_t kib)
{
    struct mp__slot *s = is_stretch(r) ? NULL : claim_kept(r, MP__SLOT_FILLING, kib);
    if (s) {
        return s; /* and the consumers' cache line with the head was not touched */
    }
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    uint64_t ahead = backlog(r, head, kib);
    bool far = ahead > KEPT_MOST;
    s = far ? NULL : claim_kept(r, MP__SLOT_FILLING, kib);
    if (s || kib > KEPT_MOST || ahead < AHEAD ||
        atomic_load_explicit(&r->waited_at, memory_order_relaxed) == head) {
        return s ? s : claim_kept(r, MP__SLOT_FILLING, kib);
    }
    int64_t now = mp__plat_now(), end = now + 5000 + (int64_t)kib * WAIT_KIB;
    for (int64_t idle = 0; now < end && idle < 5000 + (int64_t)kib * IDLE_KIB;) {
        for (int i = 0; i < 8; i++) {
            mp__plat_pause();
        }
        uint64_t head_now = atomic_load_explicit(&r->head, memory_order_relaxed);
        far = far && backlog(r, head_now, kib) >= AHEAD;
        s = far ? NULL : claim_kept(r, MP__SLOT_FILLING, kib);
        if (s) {
            return s;
        }
        int64_t before = now;
        now = mp__plat_now();
        idle = head_now == head ? idle + (now - before) : 0;
        head = head_now;
    }
    atomic_store_explicit(&r->waited_at, head, memory_order_relaxed);
    return claim_kept(r, MP__SLOT_FILLING, kib);
}

/*
 * Whether to take one more block although some are kept: while messages flow and are copied, their
 * blocks shall be more than the cache of one side holds; see claim_kept().  Those who no longer flow
 * give them back.
 */
static bool
flow_wants_more(struct mp__ring *r, uint64_t kib)
{
    if (!is_stretch(r)) {
        return false;
    }
    int64_t now = mp__plat_now(),
            took = now - atomic_exchange_explicit(&r->flow_at, now, memory_order_relaxed),
            stretch = STRETCH * (int64_t)kib;
    uint64_t kept = kept_kib(r), head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (took > stretch * SLOW_KIB && kept > TURNS * kib) {
        mp__slot_trim(r);
    }
    return took < stretch * FLOW_KIB && kib <= FLOW_MOST &&
           kept + backlog(r, head, kib) + kib <= KEPT_MOST &&
           !atomic_load_explicit(&r->was_lent, memory_order_relaxed);
}

struct mp__slot *
mp__slot_lend(struct mp__ring *r, size_t len)
{
    mp__slot_look(r);
    uint64_t kib = kib_for(len);
    atomic_store_explicit(&r->flow_puts, /* about: no locked addition */
                          atomic_load_explicit(&r->flow_puts, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    struct mp__slot *s = flow_wants_more(r, kib) ? fresh(r, MP__SLOT_FILLING, kib) : NULL;
    s = s ? s : kept_block(r, kib);
    s = s ? s : mp__slot_fill(r, MP__SLOT_FILLING, len);
    if (!s) {
        mp__slot_reap(r); /* the dead may have what is missing */
        s = mp__slot_fill(r, MP__SLOT_FILLING, len);
    }
    if (s) {
        mp__slot_parcel(s)->slot = NULL;
    }
    return s;
}

static void
free_block(struct mp__slot *s)
{
    /* Again when a dead process's allocation that we saw is taken back. */
    for (void *block; (block = atomic_load_explicit(&s->block, memory_order_acquire)) != NULL;) {
        mp__heap_free_from(&s->block, block, NULL);
    }
}

void
mp__slot_free(struct mp__slot *s)
{
    free_block(s);
    atomic_store_explicit(&s->word, 0, memory_order_release);
}

void
mp__slot_give_back(struct mp__ring *r, struct mp__slot *s)
{
    if (atomic_load_explicit(&r->shut, memory_order_acquire) != MP__RING_DROPPED) {
        mp__slot_become(s, 0, MP__SLOT_RETURNED); /* queue.peek.give_back */
    } else {
        mp__slot_become(s, 0, MP__SLOT_DROPPED); /* queue.peek.give_back */
        free_block(s);
    }
}

/* Take a kept block, but none of this size, and free it; false: there is none. */
static bool
evict(struct mp__ring *r, uint64_t but)
{
    MP__EACH_SLOT(r, s)
    {
        uint64_t seen = atomic_load_explicit(&s->word, memory_order_relaxed),
                 has = mp__slot_kib(seen);
        if (mp__slot_state(seen) == MP__SLOT_KEPT && has != but &&
            swap(s, seen, mp__slot_word(mp__self(), has, MP__SLOT_FILLING))) {
            atomic_fetch_add_explicit(&r->kept_out, (uint32_t)has, memory_order_relaxed);
            mp__slot_free(s);
            return true;
        }
    }
    return false;
}

void
mp__slot_release(struct mp__ring *r, struct mp__slot *s, bool was_lent)
{
    uint64_t seen = atomic_load_explicit(&s->word, memory_order_relaxed), kib = mp__slot_kib(seen);
    if (kib <= KEPT_MOST && atomic_load_explicit(&r->shut, memory_order_relaxed) == MP__RING_OPEN) {
        if (kept_kib(r) + kib <= KEPT_MOST || evict(r, kib)) {
            uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
            atomic_store_explicit(&r->kept_at, (uint32_t)mp__place_sequence(head),
                                  memory_order_relaxed);
            if (atomic_load_explicit(&r->was_lent, memory_order_relaxed) != was_lent) {
                atomic_store_explicit(&r->was_lent, was_lent, memory_order_relaxed);
            }
            atomic_fetch_add_explicit(&r->kept_in, (uint32_t)kib, memory_order_relaxed);
            mp__slot_become(s, 0, MP__SLOT_KEPT); /* queue.peek.release */
            return;
        }
    }
    mp__slot_become(s, mp__slot_owner(seen), MP__SLOT_FILLING); /* queue.peek.release */
    mp__slot_free(s);
}

void
mp__slot_trim(struct mp__ring *r)
{
    uint32_t in = atomic_load_explicit(&r->kept_in, memory_order_relaxed);
    while (evict(r, 0)) {
    }
    /* What came before we looked is gone, also if a death had put the counts wrong. */
    uint32_t out = atomic_load_explicit(&r->kept_out, memory_order_relaxed);
    while ((int32_t)(in - out) > 0 &&
           !atomic_compare_exchange_weak_explicit(&r->kept_out, &out, in, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

struct mp__slot *
mp__slot_lent(struct mp__ring *r, const void *data, enum mp__slot_state state)
{
    struct mp__parcel *p = (struct mp__parcel *)((uintptr_t)data - sizeof *p);
    if ((uintptr_t)data % 64 || !mp_heap_contains(p) || mp__heap_block_size(p) == 0) {
        return NULL;
    }
    MP__EACH_SLOT(r, s)
    {
        uint64_t word = load(s);
        if (s == p->slot && mp__slot_owner(word) == mp__self() && mp__slot_state(word) == state &&
            mp__slot_parcel(s) == p) {
            return s;
        }
    }
    return NULL;
}

/* ---- the dead -------------------------------------------------------------------------------- */

/* Owners that were asked about in this look: mostly there are few. */
struct asked {
    mp__ident alive, dead;
};

static bool
owner_died(struct asked *a, uint64_t word)
{
    mp__ident owner = mp__slot_owner(word);
    if (owner == 0 || owner == mp__self() || owner == a->alive) {
        return false;
    }
    if (owner == a->dead) {
        return true;
    }
    bool dead = mp__member_dead(owner);
    *(dead ? &a->dead : &a->alive) = owner;
    return dead;
}

static void
free_of_dead(struct mp__ring *r, struct asked *a, enum mp__slot_state state)
{
    MP__EACH_SLOT(r, s)
    {
        uint64_t seen = load(s);
        if (mp__slot_state(seen) == state && owner_died(a, seen) &&
            swap(s, seen, mp__slot_word(mp__self(), mp__slot_kib(seen), MP__SLOT_FILLING))) {
            mp__heap_settle(); /* now that it is ours: what its owner had not freed comes back to it */
            mp__slot_free(s);
        }
    }
}

/* How many messages of the dead came back. */
static size_t
return_of_dead(struct mp__ring *r, struct asked *a)
{
    size_t count = 0;
    MP__EACH_SLOT(r, s)
    {
        uint64_t seen = load(s);
        if (mp__slot_state(seen) == MP__SLOT_PEEKED && owner_died(a, seen)) {
            mp__slot_give_back(r, s);
            count++;
        }
    }
    return count;
}

bool
mp__slot_reap(struct mp__ring *r)
{
    struct asked a = {0, 0};
    bool puts = false, gets = false;
    MP__EACH_SLOT(r, s)
    {
        uint64_t seen = load(s);
        if (owner_died(&a, seen)) {
            *(mp__slot_state(seen) == MP__SLOT_FILLING ? &puts : &gets) = true;
        }
    }
    if (puts && mp__ring_lock_put_until(r, MP__TRY) == 0) {
        free_of_dead(r, &a, MP__SLOT_FILLING);
        mp__ring_unlock_put(r);
    }
    size_t back = 0;
    if (gets && mp__ring_lock_get_until(r, MP__TRY) == 0) {
        free_of_dead(r, &a, MP__SLOT_TAKING);
        back = return_of_dead(r, &a);
        mp__slot_recount(r);
        mp__ring_unlock_get(r);
        mp__ring_came(r, back);
    }
    return back > 0;
}

bool
mp__slot_look(struct mp__ring *r)
{
    if (!atomic_load_explicit(&r->shelves, memory_order_relaxed)) {
        return false;
    }
    int64_t now = mp__plat_now();
    if (now - atomic_load_explicit(&r->looked_at, memory_order_relaxed) < LOOK) {
        return false;
    }
    atomic_store_explicit(&r->looked_at, now, memory_order_relaxed);
    return mp__slot_reap(r);
}

void
mp__slot_recount(struct mp__ring *r)
{
    uint32_t count = 0, late = 0;
    uint64_t bytes = 0;
    MP__EACH_SLOT(r, s)
    {
        enum mp__slot_state state = mp__slot_state(load(s));
        late += state == MP__SLOT_DROPPED;
        if (state == MP__SLOT_RETURNED) {
            count++;
            bytes += mp__record_len(mp__slot_parcel(s)->header);
        }
    }
    atomic_store_explicit(&r->late, late, memory_order_relaxed);
    atomic_store_explicit(&r->returned_bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&r->returned, count, memory_order_seq_cst);
}

struct mp__slot *
mp__slot_returned(struct mp__ring *r)
{
    struct mp__slot *first = NULL;
    MP__EACH_SLOT(r, s)
    {
        if (mp__slot_state(load(s)) == MP__SLOT_RETURNED && (!first || s->order < first->order)) {
            first = s;
        }
    }
    return first;
}

/* ---- the whole ------------------------------------------------------------------------------- */

void
mp__slot_done(struct mp__ring *r)
{
    lock_shelves(r);
    mp__ilock_release(&r->shelf_lock);
    mp__heap_settle();
    MP__EACH_SLOT(r, s)
    {
        mp__slot_free(s);
    }
    for (struct mp__shelf *s; (s = mp__shelf_in(&r->shelves)) != NULL;) {
        mp__heap_free_from(&r->shelves, s, mp__shelf_in(&s->next));
    }
}

const char *
mp__slot_check(struct mp__ring *r)
{
    uint32_t returned = 0;
    MP__EACH_SLOT(r, s)
    {
        uint64_t word = load(s);
        struct mp__parcel *p = mp__slot_parcel(s);
        enum mp__slot_state state = mp__slot_state(word);
        if (word == 0 && p) {
            return "an empty slot has a block";
        }
        if (p && mp__heap_block_size(p) < sizeof *p + mp__slot_kib(word) * 1024) {
            return "a slot's block is not a block of that size";
        }
        if (!p &&
            (state == MP__SLOT_KEPT || state == MP__SLOT_PEEKED || state == MP__SLOT_RETURNED)) {
            return "a slot has no block";
        }
        returned += state == MP__SLOT_RETURNED;
    }
    if (returned != atomic_load(&r->returned) && atomic_load(&r->shut) != MP__RING_DROPPED) {
        return "the number of returned messages is off";
    }
    return NULL;
}
