/* sync/park.c: sliced sleeps, and wake-ups by claimed registrations. */
#include "sync/park.h"

#include <limits.h>

bool
mp__park(_Atomic uint32_t *word, uint32_t seen, mp__deadline until)
{
    int64_t left = mp__deadline_left(until);
    if (left == 0) {
        return true;
    }
    mp__plat_wait(word, seen, left < MP__SLICE ? left : MP__SLICE);
    return false;
}

bool
mp__park_unregister(_Atomic uint32_t *waiters)
{
    uint32_t n = atomic_load_explicit(waiters, memory_order_relaxed);
    while (n != 0) {
        if (atomic_compare_exchange_weak_explicit(waiters, &n, n - 1, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            return true;
        }
    }
    return false;
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
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_exchange_explicit(waiters, 0, memory_order_relaxed) != 0) {
        atomic_fetch_add_explicit(word, 1, memory_order_release);
        mp__plat_wake(word, INT_MAX);
    }
}
