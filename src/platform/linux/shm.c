/*
 * platform/linux/shm.c: shared memory from memfd_create, sized once and sealed.
 *
 * The seals keep a peer from truncating the file under the others (SIGBUS); pages are still
 * reserved and punched out at will.
 */
#include "platform/linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Names that older headers lack; the numbers are the kernel's for ever. */
#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 1U
#endif
#ifndef MFD_ALLOW_SEALING
#define MFD_ALLOW_SEALING 2U
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif
#ifndef FALLOC_FL_KEEP_SIZE
#define FALLOC_FL_KEEP_SIZE 1
#endif
#ifndef FALLOC_FL_PUNCH_HOLE
#define FALLOC_FL_PUNCH_HOLE 2
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_REMOVE
#define MADV_REMOVE 9
#endif
#ifndef MADV_DONTDUMP
#define MADV_DONTDUMP 16
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* From so many bytes on the system is asked what it has; it costs little beside the pages. */
#define ASK_FIRST ((size_t)64 << 20)

/* An empty file that can be sealed, or -errno. */
static int
new_memfd(void)
{
    const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    long fd = syscall(SYS_memfd_create, "mp", flags | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) {
        fd = syscall(SYS_memfd_create, "mp", flags); /* the kernel does not know that flag yet */
    }
    return fd < 0 ? -errno : (int)fd;
}

int
mp__plat_shm_create(size_t size)
{
    int fd = new_memfd();
    /* Refused altogether: an old kernel, a filter of system calls, vm.memfd_noexec. */
    bool sealable = !(fd == -ENOSYS || fd == -EPERM || fd == -EACCES || fd == -EINVAL);
    if (!sealable) {
        fd = mp__plat_shm_nameless();
    }
    if (fd < 0) {
        return fd;
    }
    /* As shm_open would: nobody else's, even if they find it through /proc. */
    fchmod(fd, 0600);
    int status = mp__plat_shm_resize(fd, size);
    if (status == 0 && sealable &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        status = -errno;
    }
    if (status < 0) {
        close(fd);
        return status;
    }
    return fd;
}

static size_t
page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Memory without a file: fault the pages in, if the kernel has a call for it. */
static int
populate(void *base, size_t offset, size_t len)
{
    size_t before = offset % page_size();
    char *at = (char *)base + offset - before;
    while (madvise(at, len + before, MADV_POPULATE_WRITE) < 0) {
        if (errno == EINVAL) {
            return 0; /* an older kernel: the first touch does it */
        }
        if (errno == EFAULT) {
            return -ENOMEM; /* how the kernel says that a fault would fail */
        }
        if (errno != EINTR && errno != EAGAIN) {
            return -errno;
        }
    }
    return 0;
}

/* kB behind a name of /proc/meminfo, as bytes; -1: it is not there. */
static int64_t
figure(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at == NULL ? -1 : strtoll(at + strlen(name), NULL, 10) * 1024;
}

/* Whether there is no memory for so much. */
static bool
is_too_much(size_t len)
{
    char text[2048];
    int state;
    ssize_t n = -1;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* the caller may hold a lock */
    int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = mp__plat_read_all(fd, text, sizeof text - 1);
        close(fd);
    }
    pthread_setcancelstate(state, &state);
    if (n <= 0) {
        return false;
    }
    text[n] = '\0';
    int64_t available = figure(text, "MemAvailable:"), swap = figure(text, "SwapFree:");
    return available >= 0 && len > (size_t)available + (swap > 0 ? (size_t)swap : 0);
}

int
mp__plat_shm_reserve(int fd, void *base, size_t offset, size_t len)
{
    /* The kernel promises such pages to anybody, hands them out until there are none, and then
       ends processes of its choice: what cannot be is refused before. */
    if (len >= ASK_FIRST && is_too_much(len)) {
        return -ENOMEM;
    }
    if (fd < 0) {
        return populate(base, offset, len);
    }
    size_t piece = len;
    while (len > 0) {
        if (piece > len) {
            piece = len;
        }
        /* Not the function: that is a cancellation point. */
        if (syscall(SYS_fallocate, fd, 0, (off_t)offset, (off_t)piece) == 0) {
            offset += piece;
            len -= piece;
        } else if (errno == EINTR) {
            /* A signal undoes the whole call: with a timer running, only less can get through. */
            if (piece > page_size()) {
                piece /= 2;
            }
        } else if (errno == EOPNOTSUPP || errno == ENOSYS) {
            return populate(base, offset, len);
        } else {
            return -errno;
        }
    }
    return 0;
}

int
mp__plat_shm_discard(int fd, void *base, size_t offset, size_t len)
{
    long status;
    do {
        if (fd < 0) {
            status = madvise((char *)base + offset, len, MADV_REMOVE);
        } else {
            status = syscall(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                             (off_t)offset, (off_t)len);
        }
    } while (status < 0 && errno == EINTR);
    if (status == 0) {
        return 0;
    }
    return errno == EOPNOTSUPP || errno == ENOSYS || (fd < 0 && errno == EINVAL) ? -ENOTSUP
                                                                                 : -errno;
}

void *
mp__plat_map(int fd, void *at, size_t size)
{
    int flags = MAP_SHARED | MAP_NORESERVE;
    if (fd < 0) {
        flags |= MAP_ANONYMOUS;
    }
    if (at != NULL) {
        flags |= MAP_FIXED_NOREPLACE;
    }
    void *got = mmap(at, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (got == MAP_FAILED) {
        return MAP_FAILED;
    }
    if (at != NULL && got != at) {
        /* Kernels before 4.17 take the address for a wish. */
        munmap(got, size);
        errno = EEXIST;
        return MAP_FAILED;
    }
    /* A dump of a crash would read every hole of the file, and so fill it.  May be refused. */
    int keep = errno;
    madvise(got, size, MADV_DONTDUMP);
    errno = keep;
    return got;
}
