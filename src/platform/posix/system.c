/* platform/posix/system.c: randomness, the processors this process may use, the state of stdin. */
#include "platform/common.h"

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

/* There is no way to ask. */
bool
mp__plat_stdin_has_unread(void)
{
    return true;
}
