/* platform/linux/system.c: randomness and the processors this process may use. */
#include "platform/linux/linux.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Enough for any kernel there is; the loop below only must end. */
#define MOST_CPUS (1 << 20)

/* The kernel's own sets have at most so many in every system that is built today. */
#define MOST_COMMON_CPUS 8192

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

/* Set exactly this set, of `size` bytes.  0 or -errno, -EINVAL: the kernel took less, or none. */
static int
set_exactly(const cpu_set_t *set, size_t size)
{
    cpu_set_t *now = malloc(size);
    cpu_set_t *before = malloc(size);
    int status = now == NULL || before == NULL ? -ENOMEM : 0;
    if (status == 0) {
        memset(before, 0, size);
        memset(now, 0, size);
        /* The size may be less than the kernel's sets have: then what is there cannot be kept. */
        bool known = sched_getaffinity(0, size, before) == 0;
        if (sched_setaffinity(0, size, set) < 0) {
            status = -errno;
        } else if (sched_getaffinity(0, size, now) == 0 && memcmp(now, set, size) != 0) {
            status = -EINVAL;
            if (known) {
                sched_setaffinity(0, size, before);
            }
        }
    }
    free(now);
    free(before);
    return status;
}

int
mp__plat_set_cpus(const int32_t *cpus, size_t count)
{
    int32_t most = MOST_COMMON_CPUS - 1;
    for (size_t i = 0; i < count; i++) {
        if (cpus[i] < 0 || cpus[i] >= MOST_CPUS) {
            return -EINVAL;
        }
        most = cpus[i] > most ? cpus[i] : most;
    }
    cpu_set_t *set = CPU_ALLOC((size_t)most + 1);
    if (set == NULL) {
        return -ENOMEM;
    }
    size_t size = CPU_ALLOC_SIZE((size_t)most + 1);
    CPU_ZERO_S(size, set);
    for (size_t i = 0; i < count; i++) {
        CPU_SET_S((size_t)cpus[i], size, set);
    }
    int status = set_exactly(set, size);
    CPU_FREE(set);
    return status;
}
