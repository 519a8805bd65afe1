/*
 * heap/journal.h: changing several words of shared memory as one.
 *
 * An undo log, written under a crash-safe lock.  Each change first notes the old value here; the
 * store of count = 0 at the end is the commit.  Whoever takes the lock over from a dead owner rolls
 * back what stands in the log: the operation then never happened.  Rolling back twice is the same
 * as once, so a death during recovery is harmless.
 *
 * Writers   the holder of the lock that guards the words
 * Commit    heap.journal.commit: the store of count = 0
 * Death     entries are complete before count covers them, and count covers them before the word
 *           changes.  Only the program's order matters, so compiler fences are enough: a process
 *           dies between two instructions, and its stores have reached memory before anyone learns
 *           of its death.
 *
 * The words change by relaxed atomic stores, because some are looked at without the lock (a block's
 * header by whoever frees it).
 */
#ifndef MP_HEAP_JOURNAL_H
#define MP_HEAP_JOURNAL_H

#include <stdatomic.h>
#include <stdint.h>

#define MP__JOURNAL_ENTRIES 62

struct mp__journal {
    _Atomic uint64_t count;
    struct {
        uint64_t *word;
        uint64_t old;
    } entry[MP__JOURNAL_ENTRIES];
};

/* *word = value, undone unless committed.  The caller bounds the number of changes. */
static inline void
mp__journal_set(struct mp__journal *j, uint64_t *word, uint64_t value)
{
    uint64_t n = atomic_load_explicit(&j->count, memory_order_relaxed);
    j->entry[n].word = word;
    j->entry[n].old = atomic_load_explicit((_Atomic uint64_t *)word, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&j->count, n + 1, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit((_Atomic uint64_t *)word, value, memory_order_relaxed);
}

static inline void
mp__journal_commit(struct mp__journal *j)
{
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&j->count, 0, memory_order_release); /* heap.journal.commit */
}

static inline void
mp__journal_rollback(struct mp__journal *j)
{
    uint64_t n = atomic_load_explicit(&j->count, memory_order_acquire);
    while (n > 0) {
        n--;
        atomic_store_explicit((_Atomic uint64_t *)j->entry[n].word, j->entry[n].old,
                              memory_order_relaxed);
    }
    mp__journal_commit(j);
}

#endif
