/* platform/passing.c: descriptors that travel over a stream socket, the same on both sides. */
#include "platform/common.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Without it the descriptors are made close-on-exec one by one, a moment later. */
#ifdef MSG_CMSG_CLOEXEC
#define AT_ONCE MSG_CMSG_CLOEXEC
#else
#define AT_ONCE 0
#endif

/* Room for the most descriptors that the system passes at once, aligned for the header. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(MP__PLAT_MOST_FDS * sizeof(int))];
};

/* What has come of a message so far. */
struct incoming {
    int *fds;
    int most;
    int count;
    bool lost; /* the system had to drop some: the table of descriptors is full */
};

static void
wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    poll(&p, 1, -1);
}

int
mp__plat_send_fds(int sock, const void *data, size_t len, const int *fds, int n)
{
    if (len == 0 || n < 0 || n > MP__PLAT_MOST_FDS) {
        return -EINVAL;
    }
    struct iovec part = {(void *)(uintptr_t)data, len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    union control control;
    size_t bytes = (size_t)n * sizeof *fds;
    if (n > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = (__typeof__(message.msg_controllen))CMSG_SPACE(bytes);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = (__typeof__(header->cmsg_len))CMSG_LEN(bytes);
        memcpy(CMSG_DATA(header), fds, bytes);
    }
    ssize_t sent;
    while ((sent = sendmsg(sock, &message, MSG_NOSIGNAL)) < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            wait_for(sock, POLLOUT);
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    /* The descriptors went with the first byte; what a full socket did not take follows alone. */
    part.iov_base = (char *)part.iov_base + sent;
    part.iov_len -= (size_t)sent;
    return mp__plat_write_all(sock, &part, 1);
}

static void
take_rights(const unsigned char *data, size_t count, struct incoming *in)
{
    for (size_t i = 0; i < count; i++) {
        int fd;
        memcpy(&fd, data + i * sizeof fd, sizeof fd);
        if (in->count < in->most && (AT_ONCE != 0 || mp__plat_cloexec(fd) == 0)) {
            in->fds[in->count++] = fd;
        } else {
            close(fd);
        }
    }
}

static void
take_control(struct msghdr *message, struct incoming *in)
{
    size_t left = (size_t)message->msg_controllen;
    char *at = message->msg_control;
    /* Not CMSG_NXTHDR, which some libcs write so that strict conversion warnings refuse it. */
    while (left >= CMSG_LEN(0)) {
        struct cmsghdr *h = (struct cmsghdr *)(void *)at;
        size_t whole = (size_t)h->cmsg_len;
        if (whole < CMSG_LEN(0) || whole > left) {
            break;
        }
        size_t bytes = whole - CMSG_LEN(0);
        if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
            take_rights(CMSG_DATA(h), bytes / sizeof(int), in);
        }
        size_t step = CMSG_SPACE(bytes);
        if (step > left) {
            break;
        }
        at += step;
        left -= step;
    }
    if (message->msg_flags & MSG_CTRUNC) {
        in->lost = true;
    }
}

/* 0; -ENODATA; -errno. */
static int
receive(int sock, char *data, size_t len, struct incoming *in)
{
    while (len > 0) {
        union control control;
        struct iovec part = {data, len};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        ssize_t n = recvmsg(sock, &message, AT_ONCE);
        if (n > 0) {
            take_control(&message, in);
            data += n;
            len -= (size_t)n;
        } else if (n == 0 || errno == ECONNRESET) {
            /* A reset: the other side went and left something of ours unread. */
            return -ENODATA;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            wait_for(sock, POLLIN);
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

int
mp__plat_recv_fds(int sock, void *data, size_t len, int *fds, int *n)
{
    struct incoming in = {.fds = fds, .most = *n};
    int status = receive(sock, data, len, &in);
    if (status == 0 && in.lost) {
        status = -EMFILE;
    }
    if (status < 0) {
        while (in.count > 0) {
            close(fds[--in.count]);
        }
    }
    *n = in.count;
    return status;
}
