/* platform/posix/crash.c: POSIX tells neither where a thread was nor what its code belongs to. */
#include "platform/common.h"

#include <errno.h>
#include <signal.h>

size_t
mp__plat_crash_frames(const void *context, uint64_t *ret_frames, size_t most)
{
    (void)context;
    (void)ret_frames;
    (void)most;
    return 0;
}

void
mp__plat_crash_modules(const uint64_t *addresses, size_t n, mp__plat_code *ret_code,
                       mp__plat_modules *ret_modules)
{
    (void)addresses;
    for (size_t i = 0; i < n; i++) {
        ret_code[i].module = -1;
    }
    ret_modules->count = 0;
}

int
mp__plat_symbol(const char *path, uint64_t offset, bool by_address, char *buf, size_t size,
                uint64_t *ret_within)
{
    (void)path;
    (void)offset;
    (void)by_address;
    (void)buf;
    (void)size;
    (void)ret_within;
    return -ENOTSUP;
}

void
mp__plat_raise_again(int signal_number, void *info)
{
    (void)info;
    raise(signal_number);
}
