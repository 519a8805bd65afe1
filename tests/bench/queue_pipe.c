/* queue_pipe.c: pipe(2), and a socket pair, which keeps the messages' borders if they are small. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "queue.h"

struct channel {
    int fds[2][2];
};

static void *
open_pipes(size_t size)
{
    struct channel *c = malloc(sizeof *c);
    (void)size;
    bench_check(c && pipe(c->fds[0]) == 0 && pipe(c->fds[1]) == 0, "pipe");
    return c;
}

static void *
open_sockets(size_t size)
{
    struct channel *c = malloc(sizeof *c);
    int type = size > 65536 ? SOCK_STREAM : SOCK_SEQPACKET;
    bench_check(c && socketpair(AF_UNIX, type, 0, c->fds[0]) == 0 &&
                    socketpair(AF_UNIX, type, 0, c->fds[1]) == 0,
                "socketpair");
    return c;
}

static void
put(void *channel, int queue, const void *data, size_t size)
{
    struct channel *c = channel;
    /* Up to PIPE_BUF bytes go in one piece, and more of them when the reader waits. */
    for (size_t done = 0; done < size;) { /* a big stream's may go in pieces */
        ssize_t n = write(c->fds[queue][1], (const char *)data + done, size - done);
        bench_check(n > 0, "write");
        done += (size_t)n;
    }
}

static void
get(void *channel, int queue, void *data, size_t size)
{
    struct channel *c = channel;
    for (size_t got = 0; got < size;) { /* a pipe may give a part */
        ssize_t n = read(c->fds[queue][0], (char *)data + got, size - got);
        bench_check(n > 0, "read");
        got += (size_t)n;
    }
}

static void
close_channel(void *channel)
{
    struct channel *c = channel;
    for (int i = 0; i < 2; i++) {
        close(c->fds[i][0]);
        close(c->fds[i][1]);
    }
    free(c);
}

static const struct queue_kind pipes = {"pipe", open_pipes, put, get, close_channel, 0, 0};
QUEUE_CONTENDER(pipes)
static const struct queue_kind sockets = {
    "socketpair", open_sockets, put, get, close_channel, 0, 0};
QUEUE_CONTENDER(sockets)
