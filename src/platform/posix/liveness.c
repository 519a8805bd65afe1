/*
 * platform/posix/liveness.c: whether a process still runs, by the record lock it holds.
 *
 * The system drops a process's record locks when it ends, before it becomes a zombie, and a number
 * used again does not bring them back.  Three rules of POSIX to know: the locks belong to the
 * process, so all threads share them and a forked child has none; closing any descriptor of the
 * file drops them all; and F_GETLK never reports one's own.
 */
#include "platform/common.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

bool
mp__plat_thread_stopped(uint32_t number)
{
    (void)number;
    return true;
}

uint32_t
mp__plat_start_time(pid_t pid)
{
    (void)pid;
    return 0;
}

static struct flock
one_byte(short type, off_t byte)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return lock;
}

bool
mp__plat_process_ended(pid_t pid, uint32_t start, int lock_fd, off_t lock_byte)
{
    (void)start;
    if (pid <= 0) {
        return true;
    }
    if (pid == getpid()) {
        return false;
    }
    if (lock_fd >= 0) {
        struct flock lock = one_byte(F_WRLCK, lock_byte);
        if (fcntl(lock_fd, F_GETLK, &lock) == 0) {
            return lock.l_type == F_UNLCK;
        }
    }
    return kill(pid, 0) < 0 && errno == ESRCH;
}

int
mp__plat_hold(int lock_fd, off_t lock_byte)
{
    if (lock_fd < 0) {
        return 0;
    }
    struct flock lock = one_byte(F_WRLCK, lock_byte);
    while (fcntl(lock_fd, F_SETLK, &lock) < 0) {
        if (errno == EACCES) {
            return -EAGAIN; /* POSIX allows both for: another process holds it */
        }
        if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

void
mp__plat_drop(int lock_fd, off_t lock_byte)
{
    if (lock_fd >= 0) {
        struct flock lock = one_byte(F_UNLCK, lock_byte);
        fcntl(lock_fd, F_SETLK, &lock);
    }
}

int
mp__plat_pidfd(pid_t pid)
{
    (void)pid;
    return -ENOTSUP;
}

int
mp__plat_signal(pid_t pid, int pidfd, int signal_number)
{
    (void)pidfd;
    return kill(pid, signal_number) < 0 ? -errno : 0;
}

int
mp__plat_child_ended(pid_t pid, int pidfd, int *ret_code)
{
    (void)pidfd;
    return mp__plat_wait_id(P_PID, (id_t)pid, WEXITED | WNOHANG | WNOWAIT, ret_code);
}

int
mp__plat_child_await(pid_t pid, int pidfd, int *ret_code)
{
    (void)pidfd;
    return mp__plat_wait_id(P_PID, (id_t)pid, WEXITED | WNOWAIT, ret_code);
}

void
mp__plat_reap(pid_t pid, int pidfd)
{
    int code;
    (void)pidfd;
    mp__plat_wait_id(P_PID, (id_t)pid, WEXITED, &code);
}

int
mp__plat_die_with(int fd)
{
    return mp__plat_watch(fd);
}

int
mp__plat_die_with_forker(bool on)
{
    (void)on;
    return -ENOTSUP;
}
