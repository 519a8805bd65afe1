/*
 * platform/linux/words.c: waiting on a word in shared memory, by futex.
 *
 * The calls are made without the libc, which has no name for them.  Not the PRIVATE forms: the
 * word is shared between processes.
 */
#include "platform/linux/linux.h"

#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1 };

int
mp__plat_wait(_Atomic uint32_t *word, uint32_t expected, int64_t ns)
{
    if (ns < 0) {
        ns = 0;
    }
    const struct timespec left = {(time_t)(ns / MP__S), (long)(ns % MP__S)};
    if (syscall(SYS_futex, (void *)word, FUTEX_WAIT, expected, &left, NULL, 0) == 0) {
        return 0;
    }
    /* EAGAIN: the word differs.  EINTR: as good as a wake-up. */
    return errno == ETIMEDOUT ? -ETIMEDOUT : 0;
}

int
mp__plat_wake(_Atomic uint32_t *word, int n)
{
    long woken = syscall(SYS_futex, (void *)word, FUTEX_WAKE, n, NULL, NULL, 0);
    return woken > 0 ? (int)woken : 0;
}
