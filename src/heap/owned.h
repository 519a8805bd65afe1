/*
 * heap/owned.h: a lock word that knows its owner; the core of the internal and the public locks.
 *
 * Layout    {owner's identity:32 | WAITERS, DIED, tid:30}, 0 free; sleepers wait on the low half
 * Writers   whoever wins the CAS from 0, or from a dead owner's word; whoever releases; the kernel
 *           sets DIED when it sees an owning thread die (mp__plat_dying_hint)
 * Commit    heap.owned.acquire: the CAS; heap.owned.release: the exchange
 * Waiting   spin about 3 us, then sleep in slices of 2, 4 .. 50 ms on the low half
 * Death     seen by the DIED bit at once, else after a slice: the owner's identity is judged by the
 *           member table.  The take-over CAS compares the whole word, so only one wins, and a
 *           table slot that was used again does not match.  Killed between the exchange and the
 *           wake-up: the sleepers' slices end.
 * Fork      a child has another identity and owns nothing
 * Always    a word is taken when it is 0, or from an owner that is dead, which MP_OWNER_DIED tells.
 *           Without deaths no sleeper needs its slice: while anybody sleeps, the word has the bit
 *           or somebody who was woken is about to set it.  tests/model/owned.pml
 */
#ifndef MP_HEAP_OWNED_H
#define MP_HEAP_OWNED_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/deadline.h"
#include "base/hot_tls.h"
#include "heap/member.h"
#include "platform/platform.h"

/* mp__owned_by_me() once it was asked for; 0 before, and in the child of a fork. */
extern MP__HOT_TLS uint64_t mp__owned_mine;
uint64_t mp__owned_learn_mine(void);

/* What this thread writes into a word that it owns. */
static inline uint64_t
mp__owned_by_me(void)
{
    uint64_t mine = mp__owned_mine;
    return __builtin_expect(mine != 0, 1) ? mine : mp__owned_learn_mine();
}

static inline mp__ident
mp__owned_owner(uint64_t word)
{
    return (mp__ident)(word >> 32);
}

int mp__owned_acquire_slow(_Atomic uint64_t *word, uint64_t mine, mp__deadline until,
                           const void *object);
void mp__owned_wake(_Atomic uint64_t *word);

/*
 * 0; MP_OWNER_DIED; MP_ETIMEOUT (without text).  object: what the word is of, with an mp__head, for
 * a diagnostic to say what this thread waits for (waits.h); NULL for locks of the library's own.
 * MP_EVALUE (without text): the object was freed while we waited.
 */
static inline int
mp__owned_acquire_for(_Atomic uint64_t *word, uint64_t mine, mp__deadline until, const void *object)
{
    uint64_t seen = 0;
    if (__builtin_expect(atomic_compare_exchange_strong_explicit(
                             word, &seen, mine, memory_order_acquire, memory_order_relaxed),
                         1)) {
        return 0;
    }
    return mp__owned_acquire_slow(word, mine, until, object);
}

static inline int
mp__owned_acquire(_Atomic uint64_t *word, uint64_t mine, mp__deadline until)
{
    return mp__owned_acquire_for(word, mine, until, NULL);
}

/* What the word was: 0 when nobody owned it. */
static inline uint64_t
mp__owned_release(_Atomic uint64_t *word)
{
    uint64_t seen = atomic_exchange_explicit(word, 0, memory_order_release);
    if (__builtin_expect((seen & MP__PLAT_WAITERS) != 0, 0)) {
        mp__owned_wake(word);
    }
    return seen;
}

#endif
