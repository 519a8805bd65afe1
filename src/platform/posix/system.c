/* platform/posix/system.c: randomness and the processors this process may use. */
#include "platform/common.h"

#include <errno.h>

int
mp__plat_random(void *buf, size_t len)
{
    return mp__plat_urandom(buf, len);
}

/* POSIX does not tell which of the processors a process may run on. */
int
mp__plat_usable_cpus(void)
{
    return mp__plat_cpus();
}

int
mp__plat_set_cpus(const int32_t *cpus, size_t count)
{
    (void)cpus;
    (void)count;
    return -ENOTSUP;
}
