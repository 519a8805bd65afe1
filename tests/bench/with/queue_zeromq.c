/*
 * queue_zeromq.c: ZeroMQ's PUSH and PULL sockets between processes, over ipc.
 *
 * Its contexts do not live through fork(): each process makes its own when it first needs one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <zmq.h>

#include "queue.h"

struct ends {
    pid_t owner; /* who made the rest; 0: nobody yet */
    void *context;
    void *push[2], *pull[2];
};

struct channel {
    char path[2][64];
    struct ends ends;
};

static void *
open_channel(size_t size)
{
    static int number;
    struct channel *c = calloc(1, sizeof *c);
    (void)size;
    bench_check(c != NULL, "no memory");
    number++;
    for (int i = 0; i < 2; i++) {
        snprintf(c->path[i], sizeof c->path[i], "/tmp/mp-bench-zeromq-%d-%d-%d", (int)getpid(),
                 number, i);
    }
    return c;
}

/* This process's ends. */
static struct ends *
ends_of(struct channel *c)
{
    if (c->ends.owner != getpid()) {
        c->ends = (struct ends){.owner = getpid(), .context = zmq_ctx_new()};
        bench_check(c->ends.context != NULL, "zmq_ctx_new");
    }
    return &c->ends;
}

/* The reader has the address. */
static void *
make(struct channel *c, int queue, int type)
{
    char address[80];
    int none = 0;
    void *socket = zmq_socket(ends_of(c)->context, type);
    bench_check(socket != NULL && zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none) == 0,
                "zmq_socket");
    snprintf(address, sizeof address, "ipc://%s", c->path[queue]);
    int status = type == ZMQ_PULL ? zmq_bind(socket, address) : zmq_connect(socket, address);
    bench_check(status == 0, address);
    return socket;
}

static void
put(void *channel, int queue, const void *data, size_t size)
{
    void **push = &ends_of(channel)->push[queue];
    if (!*push) {
        *push = make(channel, queue, ZMQ_PUSH);
    }
    bench_check(zmq_send(*push, data, size, 0) == (int)size, "zmq_send");
}

static void
get(void *channel, int queue, void *data, size_t size)
{
    void **pull = &ends_of(channel)->pull[queue];
    if (!*pull) {
        *pull = make(channel, queue, ZMQ_PULL);
    }
    bench_check(zmq_recv(*pull, data, size, 0) == (int)size, "zmq_recv");
}

static void
close_channel(void *channel)
{
    struct channel *c = channel;
    struct ends *e = ends_of(c);
    for (int i = 0; i < 2; i++) {
        if (e->push[i]) {
            zmq_close(e->push[i]);
        }
        if (e->pull[i]) {
            zmq_close(e->pull[i]);
        }
        unlink(c->path[i]);
    }
    zmq_ctx_term(e->context);
    free(c);
}

static const struct queue_kind zeromq = {"ZeroMQ ipc",  open_channel, put, get,
                                         close_channel, QUEUE_PAIRS,  0};
QUEUE_CONTENDER(zeromq)
