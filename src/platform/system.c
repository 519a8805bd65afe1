/* platform/system.c: clock, processors and the random device, the same on both sides. */
#include "platform/common.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int64_t
mp__plat_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * MP__S + (int64_t)t.tv_nsec;
}

int
mp__plat_cpus(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > INT_MAX ? INT_MAX : (int)n;
}

/* Where there is such a directory, it has one in it for each thread. */
int
mp__plat_threads(void)
{
    struct stat st;
    if (stat("/proc/self/task", &st) < 0 || !S_ISDIR(st.st_mode) || st.st_nlink < 3) {
        return 0;
    }
    return st.st_nlink > INT_MAX ? INT_MAX : (int)st.st_nlink - 2;
}

int
mp__plat_urandom(void *buf, size_t len)
{
    int fd;
    do {
        fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        return -errno;
    }
    ssize_t got = mp__plat_read_all(fd, buf, len);
    close(fd);
    if (got < 0) {
        return (int)got;
    }
    return (size_t)got == len ? 0 : -EIO;
}
