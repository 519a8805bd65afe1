/*
 * queue/slot.h: blocks with a message's bytes, on their way into the ring or out of it.
 *
 * Layout    A block is a struct mp__parcel and the bytes.  Slots lie in shelves, blocks of the heap
 *           chained from ring->shelves; they are added and stay until the ring's end.  A slot is
 *           a word {owner's identity:32 | size of the block in KiB:29 | state:3} and a block:
 *               EMPTY     nobody's, no block
 *               KEPT      nobody's, a block that stays warm for the next message
 *               FILLING   the owner's: bytes not yet a message, or no longer one
 *               TAKING    the owner's: about to take a message out of the ring
 *               PEEKED    the owner's: a message that is out of the ring
 *               RETURNED  nobody's: a message that goes out before those of the ring, by order
 *               DROPPED   nobody's: was PEEKED, and came back after an immediate shutdown
 * Writers   from EMPTY or KEPT: any process, by CAS.  FILLING, PEEKED, TAKING: the owner.  RETURNED:
 *           the holder of get_lock.
 * Commit    queue.slot.claim    the CAS to FILLING or TAKING
 *           queue.put.commit    of a message in a block: the record's header; ring->giving names the
 *                               slot before, so that who recovers takes the block out of it
 *           queue.get.consume   of the same: the store of head; ring->taking names the slot before,
 *                               so that who recovers decides which of ring and slot has the block
 *           queue.peek.release  the store of the word: KEPT, or FILLING and then the block is freed;
 *                               of a loan before that the CAS to FILLING
 *           queue.peek.give_back  the store of RETURNED; so too for an owner who is dead
 *           queue.peek.again    the store of PEEKED in a slot that was RETURNED
 * Waiting   nobody waits for a slot: there is always another shelf
 * Death     FILLING of a dead owner: freed by a holder of put_lock, who has recovered, so that
 *           `giving` is settled.  TAKING of a dead owner: the same under get_lock; PEEKED becomes
 *           RETURNED there.  Who waits for a message looks for the dead between two slices, and who
 *           gets one now and then.
 * Fork      a child owns no slot
 * Always    a block is in one slot or in one record; EMPTY has no block
 */
#ifndef MP_QUEUE_SLOT_H
#define MP_QUEUE_SLOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heap/member.h"
#include "queue/ring.h"

enum mp__slot_state {
    MP__SLOT_EMPTY,
    MP__SLOT_KEPT,
    MP__SLOT_FILLING,
    MP__SLOT_TAKING,
    MP__SLOT_PEEKED,
    MP__SLOT_RETURNED,
    MP__SLOT_DROPPED
};

struct mp__slot {
    _Atomic uint64_t word;
    _Atomic(void *) block; /* struct mp__parcel */
    uint64_t order;        /* PEEKED, RETURNED: the lower was taken first */
    uint64_t pad;
};

#define MP__SHELF_SLOTS 30
struct mp__shelf {
    _Atomic(void *) next;
    uint64_t pad[7];
    struct mp__slot slot[MP__SHELF_SLOTS];
};

struct mp__parcel {
    uint64_t header;       /* {type | len} of the message, without REF */
    struct mp__slot *slot; /* that lent it: only to look it up again */
    uint64_t kib;          /* of the block, as in a slot's word */
    uint64_t pad[5];
    unsigned char bytes[];
};
_Static_assert(sizeof(struct mp__parcel) == 64, "bytes are aligned as promised");

static inline uint64_t
mp__slot_word(mp__ident owner, uint64_t kib, enum mp__slot_state state)
{
    return (uint64_t)owner << 32 | kib << 3 | (uint64_t)state;
}

static inline enum mp__slot_state
mp__slot_state(uint64_t word)
{
    return (enum mp__slot_state)(word & 7);
}

static inline mp__ident
mp__slot_owner(uint64_t word)
{
    return (mp__ident)(word >> 32);
}

static inline uint64_t
mp__slot_kib(uint64_t word)
{
    return word >> 3 & ((UINT64_C(1) << 29) - 1);
}

/* The next state of a slot that the caller may change. */
static inline void
mp__slot_become(struct mp__slot *s, mp__ident owner, enum mp__slot_state state)
{
    uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed);
    atomic_store_explicit(&s->word, mp__slot_word(owner, mp__slot_kib(word), state),
                          memory_order_release);
}

/* From one state of ours to another, unless another thread of ours was faster. */
static inline bool
mp__slot_move(struct mp__slot *s, enum mp__slot_state from, enum mp__slot_state to)
{
    uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed);
    return mp__slot_owner(word) == mp__self() && mp__slot_state(word) == from &&
           atomic_compare_exchange_strong_explicit(
               &s->word, &word, mp__slot_word(mp__slot_owner(word), mp__slot_kib(word), to),
               memory_order_acq_rel, memory_order_relaxed);
}

static inline struct mp__parcel *
mp__slot_parcel(struct mp__slot *s)
{
    return atomic_load_explicit(&s->block, memory_order_acquire);
}

static inline struct mp__shelf *
mp__shelf_in(_Atomic(void *) *where)
{
    return atomic_load_explicit(where, memory_order_acquire);
}

/* All slots of a ring. */
#define MP__EACH_SLOT(r, s)                                                                        \
    for (struct mp__shelf *shelf_ = mp__shelf_in(&(r)->shelves); shelf_;                           \
         shelf_ = mp__shelf_in(&shelf_->next))                                                     \
        for (struct mp__slot *s = shelf_->slot; s < shelf_->slot + MP__SHELF_SLOTS; s++)

/* A slot of this process without a block; NULL with MP_ENOMEM.  Any lock may be held. */
struct mp__slot *mp__slot_claim(struct mp__ring *r, enum mp__slot_state state);

/* The same, and with a block for len bytes. */
struct mp__slot *mp__slot_fill(struct mp__ring *r, enum mp__slot_state state, size_t len);

/* A block for len bytes that is FILLING; no lock is held.  NULL with MP_ENOMEM. */
struct mp__slot *mp__slot_lend(struct mp__ring *r, size_t len);

/* Out of FILLING or PEEKED: keep its block for later, or free it.  was_lent: it may not be read. */
void mp__slot_release(struct mp__ring *r, struct mp__slot *s, bool was_lent);

/* Free its block, if it has one, and then it is EMPTY; the slot is the caller's. */
void mp__slot_free(struct mp__slot *s);

/* PEEKED back to the front, or, after an immediate shutdown, away.  Under get_lock. */
void mp__slot_give_back(struct mp__ring *r, struct mp__slot *s);

/* Whether blocks are kept, for all we know. */
bool mp__slot_keeps(struct mp__ring *r);

/* Free what is kept. */
void mp__slot_trim(struct mp__ring *r);

/* The slot of this process, in that state, that has lent this; NULL. */
struct mp__slot *mp__slot_lent(struct mp__ring *r, const void *data, enum mp__slot_state state);

/* Look for dead owners; true: a message has come back.  No lock is held. */
bool mp__slot_reap(struct mp__ring *r);

/* The same, unless somebody has of late. */
bool mp__slot_look(struct mp__ring *r);

/* Count anew what follows from the slots; under get_lock. */
void mp__slot_recount(struct mp__ring *r);

/* The returned message that is the next; NULL.  Under get_lock. */
struct mp__slot *mp__slot_returned(struct mp__ring *r);

/* Put what a dead process left of a new shelf in order.  Free all of it. */
void mp__slot_done(struct mp__ring *r);

/* As mp__ring_check(). */
const char *mp__slot_check(struct mp__ring *r);

#endif
