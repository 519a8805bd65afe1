/* sync/lock.h: the shared structs of Lock and RLock, for rooms that embed one. */
#ifndef MP_SYNC_LOCK_H
#define MP_SYNC_LOCK_H

#include <stddef.h>

#include <mp/synchronize.h>

#include "heap/heap.h"

/* The protocol is heap/owned.h's; the owner is a process: any thread may release. */
struct mp_lock {
    mp__head head;
    uint64_t unused[3]; /* MP__HEAP_OWN */
    _Atomic uint64_t word;
};

/*
 * RLock: owned by a thread of a process, which the word names both.
 *
 * Writers   word: as Lock.  depth: the owner only, while it owns
 * Death     the next owner writes depth anew
 */
struct mp_rlock {
    mp__head head;
    uint64_t unused[3]; /* MP__HEAP_OWN */
    _Atomic uint64_t word;
    uint32_t depth;
};

_Static_assert(offsetof(struct mp_lock, word) >= MP__HEAP_OWN, "waiters change it");
_Static_assert(offsetof(struct mp_rlock, word) >= MP__HEAP_OWN, "waiters change it");

/* A free RLock in memory of the heap that somebody else frees. */
void mp__rlock_init(mp_rlock *l);

#endif
