/*
 * heap/ilock.h: the lock inside the library: crash-safe, process-shared, not recursive.
 *
 * Held for short sections of library code only, never across a user's function, an encoding or a
 * wait, and one at a time per thread.  Whoever gets it from a dead owner is told, and must bring
 * the protected structure to a consistent state before going on.
 *
 * It is an owned word (owned.h), and the kernel's help: while a thread takes, holds or releases such
 * a lock, the kernel knows the word: if the thread dies, the next in line is woken at once and need
 * not wait for its slice.
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
#include "base/hot_tls.h"
#include "base/recovery.h"
#include "heap/owned.h"
#include "platform/platform.h"

/* {owner's identity:32 | DIED, WAITERS, tid:30}; the low half is the word sleepers wait on. */
typedef struct mp__ilock {
    _Atomic uint64_t word; /* 0: free */
} mp__ilock;

/* Locks this thread holds, innermost last: a queue's lock is held while the heap's is taken. */
#define MP__ILOCKS_DEEPEST 4
extern MP__HOT_TLS struct mp__ilocks {
    mp__ilock *lock[MP__ILOCKS_DEEPEST];
    int depth;
} mp__ilocks;

static inline void
mp__ilock_hint(_Atomic uint64_t *word)
{
    if (MP__RECOVERS) {
        mp__plat_dying_hint(word);
    }
}

/* The innermost lock this thread holds is what the kernel shall look at when the thread dies. */
static inline void
mp__ilock_hint_innermost(void)
{
    int n = mp__ilocks.depth;
    mp__ilock_hint(__builtin_expect(n > 0, 0) && n <= MP__ILOCKS_DEEPEST
                       ? &mp__ilocks.lock[n - 1]->word
                       : NULL);
}

static inline int
mp__ilock_acquired(mp__ilock *l, int status)
{
    if (__builtin_expect(status < 0, 0)) {
        mp__ilock_hint_innermost();
        return status;
    }
    int n = mp__ilocks.depth++;
    if (__builtin_expect(n < MP__ILOCKS_DEEPEST, 1)) {
        mp__ilocks.lock[n] = l;
    }
    return status;
}

/* 0; MP_OWNER_DIED: taken over, repair; MP_ETIMEOUT (without text). */
static inline int
mp__ilock_acquire(mp__ilock *l, mp__deadline until)
{
    uint64_t mine = mp__owned_by_me();
    mp__ilock_hint(&l->word);
    return mp__ilock_acquired(l, mp__owned_acquire(&l->word, mine, until)); /* heap.ilock.acquire */
}

/*
 * The same, for a caller whose own wait ends at `until`.  A lock is held for microseconds, so who
 * does not get it waits a second all the same, and then on unless the holder was stopped.
 * object: what it is a lock of, with an mp__head; MP_EVALUE (without text): it was freed while we
 * waited.  Or NULL.
 */
int mp__ilock_acquire_slowly(mp__ilock *l, uint64_t mine, mp__deadline until, const void *object);
static inline int
mp__ilock_acquire_until(mp__ilock *l, mp__deadline until, const void *object)
{
    uint64_t mine = mp__owned_by_me(), seen = 0;
    mp__ilock_hint(&l->word);
    bool free = atomic_compare_exchange_strong_explicit(&l->word, &seen, mine, memory_order_acquire,
                                                        memory_order_relaxed);
    return mp__ilock_acquired(
        l, __builtin_expect(free, 1) ? 0 : mp__ilock_acquire_slowly(l, mine, until, object));
}

static inline void
mp__ilock_release(mp__ilock *l)
{
    /* heap.ilock.release */
    mp__owned_release(&l->word);
    mp__ilocks.depth--;
    mp__ilock_hint_innermost();
}

#endif
