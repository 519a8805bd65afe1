/* sync/lock.h: the shared structs of Lock and RLock, for rooms that embed one. */
#ifndef MP_SYNC_LOCK_H
#define MP_SYNC_LOCK_H

#include <mp/synchronize.h>

#include "heap/heap.h"

/* The protocol is heap/owned.h's; the owner is a process: any thread may release. */
struct mp_lock {
    mp__head head;
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
    _Atomic uint64_t word;
    uint32_t depth;
};

/* A free RLock in memory of the heap that somebody else frees. */
void mp__rlock_init(mp_rlock *l);

#endif
