/* platform/linux/system.c: randomness and the processors this process may use. */
#include "platform/linux/linux.h"

#include <errno.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Enough for any kernel there is; the loop below only must end. */
#define MOST_CPUS (1 << 20)

int
mp__plat_random(void *buf, size_t len)
{
    size_t got = 0;
    while (got < len) {
        /* Not the function: that is a cancellation point. */
        long n = syscall(SYS_getrandom, (char *)buf + got, len - got, 0);
        if (n >= 0) {
            got += (size_t)n;
        } else if (errno == ENOSYS || errno == EPERM) {
            return mp__plat_urandom(buf, len);
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

int
mp__plat_usable_cpus(void)
{
    /* The kernel refuses (EINVAL) a set smaller than its own, of a size it does not tell. */
    for (int most = 1024; most <= MOST_CPUS; most *= 4) {
        cpu_set_t *set = CPU_ALLOC((size_t)most);
        if (set == NULL) {
            break;
        }
        size_t size = CPU_ALLOC_SIZE((size_t)most);
        CPU_ZERO_S(size, set);
        int status = sched_getaffinity(0, size, set);
        int error = status < 0 ? errno : 0;
        int n = status < 0 ? 0 : CPU_COUNT_S(size, set);
        CPU_FREE(set);
        if (status == 0 && n > 0) {
            return n;
        }
        if (error != EINVAL) {
            break;
        }
    }
    return mp__plat_cpus();
}
