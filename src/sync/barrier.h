/*
 * sync/barrier.h: the shared struct of Barrier.
 *
 * Layout    state: {BROKEN, ACTION, SLEEPERS, era:29 | round:32}; sleepers wait on the low half.
 *           A round ends by opening or by breaking; each end counts round up, and a break counts
 *           era up, too.  slot[i]: {identity:32 | round:32}, who came as number i, and to which
 *           round; of another round than the state's: free.  ended[era]: {era:32 | round:32}, the
 *           round that broke, which ended that era.  began: when number 0 came
 * Writers   slot: whoever comes, by CAS, into the first free one; so the slots of a round fill from
 *           0 on, and whoever fills the last one leads: it runs the action and opens.  state: the
 *           leader; whoever breaks, aborts or resets.  ended: they, before they change the state.
 *           began: number 0.  The rest: the creator
 * Commit    sync.barrier.arrive: the CAS of the slot.  On the state: sync.barrier.action: the
 *           barrier is full, time-outs are over; sync.barrier.open; sync.barrier.break;
 *           sync.barrier.mend
 * Waiting   spin about 3 us, then sleep in slices while the low half is the round; the first one
 *           sets SLEEPERS, and whoever ends the round wakes all if it is set
 * Death     Arriving is one CAS that carries the identity: nobody waits without a name.  In its
 *           slices each party looks at the next one that came (the last one at the first), and once
 *           all came, at the leader; when that is dead it breaks the round.  If any is dead, some
 *           dead one comes next after a living one.  The leader looks at all if number 0 came
 *           longer than a slice ago.  A death before or after the CASes of the state changes
 *           nothing for the others; before the wake-up, their slices end
 * Fork      a slot names the process that came; its children did not come
 * Always    slots 0 .. n-1 are of the state's round and no other is, for some n; what is stored
 *           late into a slot, of a round that has ended, is free for the state's round.  A round
 *           that opened has filled all slots, and its members may leave late: nobody waits for
 *           them, for they find in state and ended how their round ended.
 *           tests/model/barrier.pml
 */
#ifndef MP_SYNC_BARRIER_H
#define MP_SYNC_BARRIER_H

#include <mp/synchronize.h>

#include "heap/funcref.h"
#include "heap/heap.h"

/* Breaks that a party may sleep through after its own round; after more it is told of a break. */
#define MP__BARRIER_ERAS 16

struct mp_barrier { /* what waiters change is behind MP__HEAP_OWN bytes */
    mp__head head;
    uint32_t parties;
    double timeout; /* of waits that give none */
    mp__funcref action;
    void *arg;
    _Atomic uint64_t ended[MP__BARRIER_ERAS];
    _Alignas(64) _Atomic uint64_t state;
    _Alignas(64) _Atomic int64_t began; /* in the line that number 0 has to write anyhow */
    _Atomic uint64_t slot[];
};

#endif
