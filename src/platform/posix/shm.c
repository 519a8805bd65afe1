/*
 * platform/posix/shm.c: shared memory from shm_open, its name removed at once.
 *
 * POSIX cannot seal a file nor give single pages back.
 */

/* glibc shows MAP_ANONYMOUS and MAP_NORESERVE, which are not in POSIX.1-2008, only with this. */
#define _DEFAULT_SOURCE 1

#include "platform/common.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

int
mp__plat_shm_create(size_t size)
{
    int fd = mp__plat_shm_nameless();
    if (fd < 0) {
        return fd;
    }
    int status = mp__plat_shm_resize(fd, size);
    if (status < 0) {
        close(fd);
        return status;
    }
    return fd;
}

int
mp__plat_shm_reserve(int fd, void *base, size_t offset, size_t len)
{
    (void)base;
    if (fd < 0 || len == 0) {
        return 0; /* memory without a file: POSIX has no call for it */
    }
    /* It may be a cancellation point, and the caller holds a lock of the family. */
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    int status;
    size_t piece = len;
    do {
        if (piece > len) {
            piece = len;
        }
        status = posix_fallocate(fd, (off_t)offset, (off_t)piece);
        if (status == 0) {
            offset += piece;
            len -= piece;
        } else if (status == EINTR && piece > 1) {
            piece = piece / 2; /* a signal may undo the whole call: only less can get through */
        }
    } while (len > 0 && (status == 0 || status == EINTR));
    pthread_setcancelstate(state, &state);
    return -status;
}

int
mp__plat_shm_discard(int fd, void *base, size_t offset, size_t len)
{
    (void)fd;
    (void)base;
    (void)offset;
    (void)len;
    return -ENOTSUP;
}

void *
mp__plat_map(int fd, void *at, size_t size)
{
    int flags = MAP_SHARED | MAP_NORESERVE;
    if (fd < 0) {
#ifdef MAP_ANONYMOUS
        flags |= MAP_ANONYMOUS;
#else
        errno = ENOTSUP;
        return MAP_FAILED;
#endif
    }
    /* Without MAP_FIXED, which would replace other mappings, the address is only a wish. */
    void *got = mmap(at, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (got != MAP_FAILED && at != NULL && got != at) {
        munmap(got, size);
        errno = EEXIST;
        return MAP_FAILED;
    }
    return got;
}
