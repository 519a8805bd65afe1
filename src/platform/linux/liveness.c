/*
 * platform/linux/liveness.c: whether a process still runs.
 *
 * /proc/PID/stat tells what kill(pid, 0) cannot: that a process is a zombie, and when it started,
 * so that another process with the same number is not taken for it.
 */
#include "platform/linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/common.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#define P_PIDFD_ 3 /* P_PIDFD, which older headers do not have */

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
    int fd, state;
    ssize_t n;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    /* No cancellation in here: the caller may hold a lock. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    do {
        fd = open(path, O_RDONLY | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    n = fd < 0 ? -errno : mp__plat_read_all(fd, line, size - 1);
    if (fd >= 0) {
        close(fd);
    }
    pthread_setcancelstate(state, &state);
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

/*
 * Without /proc we know of our own children only; nobody else would reap them while we wait for
 * what they hold.
 */
static bool
is_our_zombie(pid_t pid)
{
    siginfo_t info = {.si_pid = 0};
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    int status = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
    pthread_setcancelstate(state, &state);
    return status == 0 && info.si_pid == pid;
}

bool
mp__plat_thread_stopped(uint32_t number)
{
    struct status s;
    return read_status((pid_t)number, &s) < 0 || s.state == 'T' || s.state == 't';
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
        /* Gone, or hidden from us (hidepid), or no /proc here, or no descriptor left: absent is not
           yet dead. */
        return kill(pid, 0) < 0 ? errno == ESRCH : is_our_zombie(pid);
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
mp__plat_signal(pid_t pid, int pidfd, int signal_number)
{
    if (pidfd >= 0) {
        if (syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0) == 0) {
            return 0;
        }
        if (errno != ENOSYS && errno != EPERM) {
            return -errno;
        }
    }
    return kill(pid, signal_number) < 0 ? -errno : 0;
}

/* With its pidfd if that works: Linux 5.3 opens them and cannot wait by them. */
static int
wait_child(pid_t pid, int pidfd, int options, int *ret_code)
{
    int status = -EINVAL;
    if (pidfd >= 0) {
        status = mp__plat_wait_id((idtype_t)P_PIDFD_, (id_t)pidfd, options, ret_code);
    }
    return status != -EINVAL ? status : mp__plat_wait_id(P_PID, (id_t)pid, options, ret_code);
}

int
mp__plat_child_ended(pid_t pid, int pidfd, int *ret_code)
{
    return wait_child(pid, pidfd, WEXITED | WNOHANG | WNOWAIT, ret_code);
}

int
mp__plat_child_await(pid_t pid, int pidfd, int *ret_code)
{
    int status;
    /* -EAGAIN: somebody made the descriptor non-blocking, and then it does not wait. */
    while ((status = wait_child(pid, pidfd, WEXITED | WNOWAIT, ret_code)) == -EAGAIN &&
           mp__plat_poll_in(pidfd, MP__NEVER) == 1) {
    }
    return status;
}

void
mp__plat_reap(pid_t pid, int pidfd)
{
    int code;
    wait_child(pid, pidfd, WEXITED, &code);
}

/*
 * The kernel can send a chosen signal to the owner of a descriptor when something happens to it;
 * on a pipe that nobody writes to, only its end can happen.  Unlike PR_SET_PDEATHSIG it does not
 * depend on which thread of the parent made this process.
 */
int
mp__plat_die_with(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) {
        return -errno;
    }
    if (fcntl(fd, F_SETSIG, SIGKILL) < 0 || fcntl(fd, F_SETOWN, getpid()) < 0 ||
        fcntl(fd, F_SETFL, flags | O_ASYNC) < 0) {
        return mp__plat_watch(fd); /* a filter of system calls, an emulator */
    }
    if (mp__plat_poll_in(fd, MP__TRY) == 1) {
        kill(getpid(), SIGKILL); /* it ended before we asked */
    }
    return 0;
}

int
mp__plat_die_with_forker(bool on)
{
    return prctl(PR_SET_PDEATHSIG, on ? SIGKILL : 0) < 0 ? -errno : 0;
}
