/*
 * heap/ilock.h: the lock inside the library: crash-safe, process-shared, not recursive.
 *
 * Held for short sections of library code only, never across a user's function, an encoding or a
 * wait, and one at a time per thread.  Whoever gets it from a dead owner is told, and must bring
 * the protected structure to a consistent state before going on.
 *
 * It stands in heap/ because the heap's own lock is one of these, and the table of members tells
 * whether an owner is dead.
 */
#ifndef MP_HEAP_ILOCK_H
#define MP_HEAP_ILOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/deadline.h"

/* {owner's identity:32 | DIED, WAITERS, tid:30}; the low half is the word sleepers wait on. */
typedef struct mp__ilock {
    _Atomic uint64_t word; /* 0: free */
} mp__ilock;

/* 0; MP_OWNER_DIED: taken over, repair; MP_ETIMEOUT (without text). */
int mp__ilock_acquire(mp__ilock *l, mp__deadline until);
void mp__ilock_release(mp__ilock *l);

#endif
