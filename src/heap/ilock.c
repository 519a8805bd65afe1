/* heap/ilock.c: the internal locks that each thread holds; the rest is in the header. */
#include "heap/ilock.h"

#include "base/error.h"

MP__HOT_TLS struct mp__ilocks mp__ilocks;

/*
 * How long a lock is waited for by those who do not want to wait: so long when its holder is stopped,
 * and longer when it is only out of luck on a busy machine.
 */
#define PATIENCE MP__S
#define MOST     (10 * MP__S)

int
mp__ilock_acquire_slowly(mp__ilock *l, uint64_t mine, mp__deadline until, const void *object)
{
    int64_t now = mp__plat_now(), end = now + MOST, next = now + PATIENCE;
    for (next = until > next ? until : next;; next += PATIENCE) {
        int status = mp__owned_acquire_slow(&l->word, mine, next, object);
        uint64_t word = atomic_load_explicit(&l->word, memory_order_relaxed);
        if (status != MP_ETIMEOUT || next >= end ||
            (word != 0 && mp__plat_thread_stopped((uint32_t)(word & MP__PLAT_TID)))) {
            return status;
        }
    }
}
