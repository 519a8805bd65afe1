/* platform/shm.c: what shared files have in common on both sides. */
#include "platform/common.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

#define MOST_TRIES 16

int
mp__plat_shm_nameless(void)
{
    for (int i = 0; i < MOST_TRIES; i++) {
        uint64_t random[2];
        int status = mp__plat_random(random, sizeof random);
        if (status < 0) {
            return status;
        }
        char name[48];
        snprintf(name, sizeof name, "/mp-%016llx%016llx", (unsigned long long)random[0],
                 (unsigned long long)random[1]);
        int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (fd >= 0) {
            /* At once and while it is empty: a death in between leaves a name of no bytes. */
            shm_unlink(name);
            return fd;
        }
        if (errno != EEXIST && errno != EINTR) {
            return -errno;
        }
    }
    return -EEXIST;
}

int
mp__plat_shm_resize(int fd, size_t size)
{
    struct rlimit limit;
    if (size > INT64_MAX) {
        return -EFBIG;
    }
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        size > limit.rlim_cur) {
        return -EFBIG;
    }
    while (ftruncate(fd, (off_t)size) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

size_t
mp__plat_shm_committed(int fd)
{
    struct stat file;
    if (fd < 0 || fstat(fd, &file) < 0) {
        return 0;
    }
    return (size_t)file.st_blocks * 512;
}
