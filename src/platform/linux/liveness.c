/*
 * platform/linux/liveness.c: whether a process still runs.
 *
 * /proc/PID/stat tells what kill(pid, 0) cannot: that a process is a zombie, and when it started,
 * so that another process with the same number is not taken for it.
 */
#include "platform/linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* Fields of the line, counted from 1 as in proc(5). */
enum { FIELD_STATE = 3, FIELD_THREADS = 20, FIELD_START = 22 };

struct status {
    char state;
    long threads;
    uint32_t start;
};

static int
read_line(pid_t pid, char *line, size_t size)
{
    char path[32];
    int fd;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    do {
        fd = open(path, O_RDONLY | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        return -errno;
    }
    ssize_t n = mp__plat_read_all(fd, line, size - 1);
    close(fd);
    if (n <= 0) {
        return n < 0 ? (int)n : -ESRCH;
    }
    line[n] = '\0';
    return 0;
}

static int
read_status(pid_t pid, struct status *ret)
{
    char line[1024];
    int status = read_line(pid, line, sizeof line);
    if (status < 0) {
        return status;
    }
    /* The name may hold spaces and brackets: fields are counted after its last bracket. */
    char *at = strrchr(line, ')');
    if (at == NULL) {
        return -EINVAL;
    }
    for (int field = 2; field < FIELD_START; field++) {
        at = strchr(at, ' ');
        if (at == NULL) {
            return -EINVAL;
        }
        at++;
        if (field + 1 == FIELD_STATE) {
            ret->state = *at;
        } else if (field + 1 == FIELD_THREADS) {
            ret->threads = strtol(at, NULL, 10);
        }
    }
    ret->start = (uint32_t)strtoull(at, NULL, 10);
    if (ret->start == 0) {
        ret->start = 1; /* 0 means that it is not known */
    }
    return 0;
}

uint32_t
mp__plat_start_time(pid_t pid)
{
    struct status s;
    return pid > 0 && read_status(pid, &s) == 0 ? s.start : 0;
}

bool
mp__plat_process_ended(pid_t pid, uint32_t start, int lock_fd, off_t lock_byte)
{
    struct status s;
    (void)lock_fd;
    (void)lock_byte;
    if (pid <= 0) {
        return true;
    }
    if (read_status(pid, &s) < 0) {
        /* Gone, or hidden from us (hidepid), or no /proc here: absent is not yet dead. */
        return kill(pid, 0) < 0 && errno == ESRCH;
    }
    if (start != 0 && start != s.start) {
        return true;
    }
    /* The first thread may have ended alone, by pthread_exit(): then others are still counted. */
    return (s.state == 'Z' || s.state == 'X' || s.state == 'x') && s.threads <= 1;
}

int
mp__plat_hold(int lock_fd, off_t lock_byte)
{
    (void)lock_fd;
    (void)lock_byte;
    return 0;
}

void
mp__plat_drop(int lock_fd, off_t lock_byte)
{
    (void)lock_fd;
    (void)lock_byte;
}

int
mp__plat_pidfd(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd >= 0) {
        return fd;
    }
    /* An old kernel, or a filter of system calls that does not know this one. */
    return errno == ENOSYS || errno == EPERM ? -ENOTSUP : -errno;
}

int
mp__plat_die_with_parent(void)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -ENOTSUP : 0;
}
