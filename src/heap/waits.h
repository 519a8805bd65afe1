/*
 * heap/waits.h: who waits for what, and since when: for diagnostics, at the price of one store.
 *
 * Layout    behind struct mp__family, one kilobyte for each slot of the table of members: a count,
 *           and a pair of words for each of the process's threads that ever waited:
 *               who   {identity of the process:32 | tid:32}; tid 0: being claimed; 0: free
 *               what  {object / 16 from the heap's base:36 | since, in 4.2 ms, cut to 28 bits}
 *           A what of 0: the thread does not wait.  Its pages are reserved when the first process
 *           that needs them waits; the bits of family->waits_ready tell which may be read.
 * Writers   who: a thread of the process, with its first wait, by CAS; the same thread as it ends.
 *           what: the thread that who names
 * Commit    heap.waits.begin: the store of what; heap.waits.end: the store of 0
 * Waiting   nobody waits for anything here; readers walk the words while they change
 * Death     the words name an identity: when that is dead they say nothing.  The next process that
 *           gets the slot has another one and takes them over
 * Fork      the child's thread claims words of its own slot with its first wait
 * Always    a pair is changed by one thread only.  What a reader tells was true at one moment, or
 *           (when the pair changed hands under its eyes) is left out
 *
 * Threads beyond the pairs of a slot are not named, but counted.  Who holds a lock is in its word
 * (owned.h).  Times are right for waits up to 13 days; longer ones seem younger.
 */
#ifndef MP_HEAP_WAITS_H
#define MP_HEAP_WAITS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MP__WAITS_BYTES 1024 /* of a member's slot */
#define MP__WAITS_PAIRS (MP__WAITS_BYTES / 16 - 1)

struct mp__waits_slot {
    _Atomic uint64_t beyond; /* {identity:32 | threads that wait and found no pair:32} */
    uint64_t reserved;
    struct mp__waits_pair {
        _Atomic uint64_t who;
        _Atomic uint64_t what;
    } pair[MP__WAITS_PAIRS];
};

/*
 * This thread is about to sleep for the first time in a call that waits for `object`, which begins
 * with an mp__head in the heap.  Not before the fast path and the spinning have failed.  In pairs;
 * of nested ones the outermost counts.
 */
void mp__waiting(const void *object);

/* It has what it waited for, or has given up. */
void mp__waiting_done(void);

/* One thread that waits. */
struct mp__wait {
    pid_t pid;
    uint32_t tid;       /* mp__plat_tid() of it */
    const void *object; /* may have been freed since */
    uint32_t tag;       /* enum mp__tag of the object now; 0: freed */
    int64_t since;      /* ns on the monotonic clock, to 5 ms */
};

/*
 * Whether a thread of a live process is noted as waiting for it: for who frees it, after a seq_cst
 * store that says so.  Who waits reads that seq_cst after mp__waiting(): then either he sees the
 * store, or is seen here.
 */
bool mp__waits_for(const void *object);

/*
 * Tell each thread of the family that waits, without stopping any.  Returns how many more there
 * are that could not be noted.
 */
size_t mp__waits_each(void (*tell)(void *ctx, const struct mp__wait *wait), void *ctx);

#endif
