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
 * RLock: owned by a thread of a process.
 *
 * Writers   word: as Lock.  tid and depth: the owner only, while it owns; tid is cleared before the
 *           word is released, or a sibling thread that just acquired could see a stale one.
 * Death     the next owner writes tid and depth anew
 */
struct mp_rlock {
    mp__head head;
    _Atomic uint64_t word;
    _Atomic uint32_t tid;
    uint32_t depth;
};

/* A free RLock in memory of the heap that somebody else frees. */
void mp__rlock_init(mp_rlock *l);

#endif
