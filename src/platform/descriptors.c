/*
 * platform/descriptors.c: reading, writing and waiting on descriptors, the same on both sides.
 *
 * A descriptor may have come from anybody, so a non-blocking one is waited for with poll().
 */
#include "platform/common.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int
mp__plat_cloexec(int fd)
{
    int flags = fcntl(fd, F_GETFD);
    if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0) {
        return -errno;
    }
    return 0;
}

int
mp__plat_socketpair(int ret_fds[2])
{
#ifdef SOCK_CLOEXEC
    /* At once, so that an exec in another thread cannot slip between. */
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret_fds) < 0 ? -errno : 0;
#else
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ret_fds) < 0) {
        return -errno;
    }
    int status = mp__plat_cloexec(ret_fds[0]);
    if (status == 0) {
        status = mp__plat_cloexec(ret_fds[1]);
    }
    if (status < 0) {
        close(ret_fds[0]);
        close(ret_fds[1]);
    }
    return status;
#endif
}

/* Whether the call that failed with errno is to be tried again; may wait for the descriptor. */
static bool
try_again(int fd, short events)
{
    if (errno == EINTR) {
        return true;
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
        return false;
    }
    struct pollfd p = {.fd = fd, .events = events};
    while (poll(&p, 1, -1) < 0) {
        if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

/* Drop what was written, and empty parts, from the front of the vector. */
static void
advance(struct iovec **iov, int *count, size_t written)
{
    while (*count > 0 && written >= (*iov)->iov_len) {
        written -= (*iov)->iov_len;
        (*iov)++;
        (*count)--;
    }
    if (*count > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + written;
        (*iov)->iov_len -= written;
    }
}

/* 0 when all is written; -ENOTSOCK when fd is no socket; -errno. */
static int
write_socket(int fd, struct iovec **iov, int *count)
{
    while (*count > 0) {
        struct msghdr message = {.msg_iov = *iov};
        /* The field's type differs between systems; sizes are small. */
        message.msg_iovlen = (__typeof__(message.msg_iovlen))*count;
        ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (n >= 0) {
            advance(iov, count, (size_t)n);
        } else if (!try_again(fd, POLLOUT)) {
            return -errno;
        }
    }
    return 0;
}

static int
write_other(int fd, struct iovec *iov, int count)
{
    while (count > 0) {
        ssize_t n = writev(fd, iov, count);
        if (n >= 0) {
            advance(&iov, &count, (size_t)n);
        } else if (!try_again(fd, POLLOUT)) {
            return -errno;
        }
    }
    return 0;
}

/*
 * A write to a closed pipe raises SIGPIPE in the writing thread, and no flag prevents it: keep it
 * blocked meanwhile, and take it back when it is ours, that is, when none was pending before.
 */
static int
write_without_sigpipe(int fd, struct iovec *iov, int count)
{
    sigset_t pipe_set;
    sigset_t pending;
    sigset_t old;
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigemptyset(&pending);
    sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    int status = -pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
    if (status < 0) {
        return status;
    }
    status = write_other(fd, iov, count);
    if (status == -EPIPE && !was_pending) {
        const struct timespec at_once = {0, 0};
        while (sigtimedwait(&pipe_set, NULL, &at_once) < 0 && errno == EINTR) {
        }
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return status;
}

int
mp__plat_write_all(int fd, struct iovec *iov, int count)
{
    advance(&iov, &count, 0);
    if (count <= 0) {
        return 0;
    }
    int status = write_socket(fd, &iov, &count);
    return status == -ENOTSOCK ? write_without_sigpipe(fd, iov, count) : status;
}

ssize_t
mp__plat_read_all(int fd, void *buf, size_t len)
{
    size_t got = 0;
    while (got < len) {
        ssize_t n = read(fd, (char *)buf + got, len - got);
        if (n > 0) {
            got += (size_t)n;
        } else if (n == 0) {
            break;
        } else if (!try_again(fd, POLLIN)) {
            return -errno;
        }
    }
    return (ssize_t)got;
}

int
mp__plat_poll_in(int fd, mp__deadline until)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = poll(&p, 1, mp__deadline_poll_ms(until, -1));
        if (n > 0) {
            return (p.revents & POLLNVAL) ? -EBADF : 1;
        }
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        /* After a signal there may be no time left, but one look without waiting is owed. */
        if (n == 0 && mp__deadline_passed(until)) {
            return 0;
        }
    }
}

int
mp__plat_lift(int fd)
{
    if (fd > STDERR_FILENO) {
        return fd;
    }
    int lifted = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int status = lifted < 0 ? -errno : lifted;
    close(fd);
    return status;
}

int
mp__plat_lift_pair(int fds[2])
{
    for (int i = 0; i < 2; i++) {
        fds[i] = mp__plat_lift(fds[i]);
        if (fds[i] < 0) {
            close(fds[!i]);
            return fds[i];
        }
    }
    return 0;
}
