/* sync/park.c: sliced sleeps, and wake-ups by claimed registrations. */
#include "sync/park.h"

#include <limits.h>

#include "base/recovery.h"

bool
mp__park(_Atomic uint32_t *word, uint32_t seen, mp__deadline until)
{
    int64_t left = mp__deadline_left(until);
    if (left == 0) {
        return true;
    }
    mp__plat_wait(word, seen, mp__slice_of(left, MP__SLICE));
    return false;
}

bool
mp__park_unregister(_Atomic uint32_t *waiters)
{
    uint32_t n = atomic_load_explicit(waiters, memory_order_relaxed);
    while (n != 0) {
        if (atomic_compare_exchange_weak_explicit(waiters, &n, n - 1, memory_order_acquire,
                                                  memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

void
mp__park_leave(_Atomic uint32_t *waiters, _Atomic uint32_t *word, uint32_t seen)
{
    if (atomic_load_explicit(word, memory_order_relaxed) == seen && mp__park_unregister(waiters) &&
        atomic_load_explicit(word, memory_order_relaxed) != seen) {
        atomic_fetch_add_explicit(word, 1, memory_order_release);
        mp__plat_wake(word, 1);
    }
}

void
mp__park_wake_one_slow(_Atomic uint32_t *waiters, _Atomic uint32_t *word)
{
    if (mp__park_unregister(waiters)) {
        atomic_fetch_add_explicit(word, 1, memory_order_release);
        mp__plat_wake(word, 1);
    }
}

void
mp__park_wake_all(_Atomic uint32_t *waiters, _Atomic uint32_t *word)
{
    /* Before or after a registration, as changes of one word are: then we see the waiter, or it has
       what we published before it looks. */
    if (atomic_exchange_explicit(waiters, 0, memory_order_seq_cst) != 0) {
        atomic_fetch_add_explicit(word, 1, memory_order_release);
        mp__plat_wake(word, INT_MAX);
    }
}
