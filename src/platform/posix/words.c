/*
 * platform/posix/words.c: waiting on a word in shared memory, by looking again and again.
 *
 * POSIX has no wait across processes that survives the death of a waiter: a process killed in
 * pthread_cond_wait leaves the condition's counters wrong for ever, one killed with a semaphore's
 * unit takes it along, and pipes have to be open in all processes beforehand.  So a waiter naps,
 * for times that grow from 20 us to 2 ms, and looks at the word; a waker has nothing to do.  It
 * costs a sleeper 500 looks a second, and a wake-up comes at most one nap late.
 */
#include "platform/common.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#define FIRST_NAP (INT64_C(20) * 1000)
#define LAST_NAP  (INT64_C(2) * MP__MS)

static int
nap_until_changed(_Atomic uint32_t *word, uint32_t expected, int64_t ns)
{
    const int64_t start = mp__plat_now();
    int64_t nap = FIRST_NAP;
    while (atomic_load_explicit(word, memory_order_acquire) == expected) {
        int64_t left = ns - (mp__plat_now() - start);
        if (left <= 0) {
            return -ETIMEDOUT;
        }
        int64_t this_nap = nap < left ? nap : left;
        const struct timespec t = {(time_t)(this_nap / MP__S), (long)(this_nap % MP__S)};
        nanosleep(&t, NULL);
        nap = nap < LAST_NAP / 2 ? nap * 2 : LAST_NAP;
    }
    return 0;
}

int
mp__plat_wait(_Atomic uint32_t *word, uint32_t expected, int64_t ns)
{
    /* As on linux/, no cancellation in here: the caller is registered as a waiter. */
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    int status = nap_until_changed(word, expected, ns);
    pthread_setcancelstate(state, &state);
    return status;
}

int
mp__plat_wake(_Atomic uint32_t *word, int n)
{
    (void)word;
    (void)n;
    return 0;
}
