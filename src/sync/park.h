/*
 * sync/park.h: how every wait of the library sleeps.
 *
 * Read the word, test the condition again, sleep while the word has not changed.  Publishers change
 * the word, then wake.  A publisher killed between the two would leave a sleeper behind, so sleeps
 * are sliced: after a slice the caller looks at its condition, and at who should have woken it.
 */
#ifndef MP_SYNC_PARK_H
#define MP_SYNC_PARK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/deadline.h"
#include "platform/platform.h"

/* The longest sleep without a look around. */
#define MP__SLICE (50 * MP__MS)

/* Tests of a condition before the first sleep, about 3 us. */
#define MP__SPINS 100

/* The low half of a word, to sleep on while the high half changes. */
static inline _Atomic uint32_t *
mp__park_half(_Atomic uint64_t *word)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (_Atomic uint32_t *)word + 1;
#else
    return (_Atomic uint32_t *)word;
#endif
}

/*
 * Sleep while *word == seen, at most a slice and not beyond the deadline.
 * True when the deadline has passed, and only then.
 */
bool mp__park(_Atomic uint32_t *word, uint32_t seen, mp__deadline until);

/*
 * Counting sleepers, so that wakers make no system call when there are none.  A waiter registers,
 * tests its condition once more, and sleeps; a waker takes one registration off per wake-up; a
 * waiter that leaves by itself takes one off if there is any.  A waiter killed in its sleep leaves
 * one registration behind, which the next waker uses up with one call for nothing: it heals itself.
 *
 * Always    registrations and wake-ups that are due are never fewer than those asleep on an
 *           unchanged word: without deaths no sleeper needs its slice.  tests/model/park.pml
 */
static inline void
mp__park_register(_Atomic uint32_t *waiters)
{
    atomic_fetch_add_explicit(waiters, 1, memory_order_seq_cst);
}

/*
 * A waiter that registered goes on: if *word still is `seen` nobody has claimed its registration, and
 * it takes one off.  What it took off may be another's, when its own was claimed in just this
 * moment; then it owes that one a wake-up, and pays.
 */
void mp__park_leave(_Atomic uint32_t *waiters, _Atomic uint32_t *word, uint32_t seen);

/* Take one off, if there is any; whoever did owes a change of the word and a wake-up. */
bool mp__park_unregister(_Atomic uint32_t *waiters);

/*
 * After publishing, and after releasing the lock under which it was published: if anybody is
 * registered, take one off, change *word and wake one sleeper of it.
 */
void mp__park_wake_one_slow(_Atomic uint32_t *waiters, _Atomic uint32_t *word);
static inline void
mp__park_wake_one(_Atomic uint32_t *waiters, _Atomic uint32_t *word)
{
    /* A full fence, which pairs with the seq_cst add of mp__park_register: either we see the
       waiter or it sees what we published.  On x86 the locked instruction that released the lock
       is one already. */
#if defined __x86_64__
    atomic_signal_fence(memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
    if (atomic_load_explicit(waiters, memory_order_relaxed) != 0) {
        mp__park_wake_one_slow(waiters, word);
    }
}

/* The same for everybody; no lock needs to have been released before. */
void mp__park_wake_all(_Atomic uint32_t *waiters, _Atomic uint32_t *word);

#endif
