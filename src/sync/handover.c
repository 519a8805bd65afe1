/* sync/handover.c: wake-ups that are due when a lock is released. */
#include "sync/handover.h"

#include "base/hot_tls.h"
#include "heap/owned.h"

/* More than these are woken at once. */
#define MOST 16

static MP__HOT_TLS struct {
    _Atomic uint32_t *word[MOST];
    int n;
} due;

/* Have the release look: set the bit of sleepers.  False when the lock is not this thread's. */
static bool
mark(_Atomic uint64_t *lock)
{
    uint64_t mine = mp__owned_by_me(), seen = mine;
    while (!atomic_compare_exchange_weak_explicit(lock, &seen, mine | MP__PLAT_WAITERS,
                                                  memory_order_relaxed, memory_order_relaxed)) {
        if (seen == (mine | MP__PLAT_WAITERS)) {
            return true;
        }
        if (seen != mine) {
            return false;
        }
    }
    return true;
}

void
mp__handover_later(_Atomic uint64_t *lock, _Atomic uint32_t *word)
{
    if (due.n < MOST && mark(lock)) {
        due.word[due.n++] = word;
    } else {
        mp__plat_wake(word, 1);
    }
}

void
mp__handover_now(void)
{
    while (due.n > 0) {
        mp__plat_wake(due.word[--due.n], 1);
    }
}
