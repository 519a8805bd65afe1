/* queue_kernel.c: the kernel's own message queues: POSIX's, which has files, and System V's. */
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <unistd.h>

#include "queue.h"

enum { LONGEST = 8192 }; /* both allow so much by default */

/* ---- POSIX ----------------------------------------------------------------------------------- */

struct posix {
    mqd_t queues[2];
};

static void *
open_posix(size_t size)
{
    struct posix *c = malloc(sizeof *c);
    bench_check(c != NULL, "no memory");
    for (int i = 0; i < 2; i++) {
        static int number;
        char name[64];
        struct mq_attr attr = {.mq_maxmsg = 10, .mq_msgsize = (long)size};
        snprintf(name, sizeof name, "/mp-bench-%d-%d", (int)getpid(), number++);
        c->queues[i] = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attr);
        bench_check(c->queues[i] != (mqd_t)-1, "mq_open");
        mq_unlink(name);
    }
    return c;
}

static void
put_posix(void *channel, int queue, const void *data, size_t size)
{
    struct posix *c = channel;
    bench_check(mq_send(c->queues[queue], data, size, 0) == 0, "mq_send");
}

static void
get_posix(void *channel, int queue, void *data, size_t size)
{
    struct posix *c = channel;
    bench_check(mq_receive(c->queues[queue], data, size, NULL) == (ssize_t)size, "mq_receive");
}

static void
close_posix(void *channel)
{
    struct posix *c = channel;
    mq_close(c->queues[0]);
    mq_close(c->queues[1]);
    free(c);
}

/* ---- System V -------------------------------------------------------------------------------- */

struct message {
    long type;
    char data[LONGEST];
};

struct system_v {
    int queues[2];
};

static void *
open_system_v(size_t size)
{
    struct system_v *c = malloc(sizeof *c);
    (void)size;
    bench_check(c && (c->queues[0] = msgget(IPC_PRIVATE, IPC_CREAT | 0600)) >= 0 &&
                    (c->queues[1] = msgget(IPC_PRIVATE, IPC_CREAT | 0600)) >= 0,
                "msgget");
    return c;
}

static void
put_system_v(void *channel, int queue, const void *data, size_t size)
{
    struct system_v *c = channel;
    struct message m;
    m.type = 1;
    memcpy(m.data, data, size);
    bench_check(msgsnd(c->queues[queue], &m, size, 0) == 0, "msgsnd");
}

static void
get_system_v(void *channel, int queue, void *data, size_t size)
{
    struct system_v *c = channel;
    struct message m;
    bench_check(msgrcv(c->queues[queue], &m, sizeof m.data, 0, 0) == (ssize_t)size, "msgrcv");
    memcpy(data, m.data, size);
}

static void
close_system_v(void *channel)
{
    struct system_v *c = channel;
    msgctl(c->queues[0], IPC_RMID, NULL);
    msgctl(c->queues[1], IPC_RMID, NULL);
    free(c);
}

static const struct queue_kind posix = {"POSIX mq",  open_posix, put_posix, get_posix,
                                        close_posix, 0,          LONGEST};
static const struct queue_kind system_v = {
    "System V msg", open_system_v, put_system_v, get_system_v, close_system_v, 0, LONGEST};
QUEUE_CONTENDER(posix)
QUEUE_CONTENDER(system_v)
