/*
 * torture_queue_watch.c: queues that are watched (mp_queue_fileno()), killed after each instruction
 * of what arms, tells and disarms.
 *
 * Others watch as well, by level and by edge.  Whatever the dead one had done, they are told of each
 * message that lies in the queue, and their descriptors are quiet when there is none.
 */
#include "torture/torture.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LONG     20.0 /* who has not come back by then never will */
#define STOP     -1   /* for one watcher: it may go */
#define ONE      7
#define BY_EDGE  1 /* the watcher that waits so; the other one by level */
#define WATCHERS 2

static struct world {
    mp_queue *queue;
    int fd; /* the survivor's own */
} world;

static void
watched_queue(void *arg)
{
    struct world *w = arg;
    w->queue = mp_queue_new(0);
    mp_child_check(w->queue);
    w->fd = mp_queue_fileno(w->queue);
    mp_child_check(w->fd >= 0);
}

/* Only companions watch it. */
static void
new_queue(void *arg)
{
    struct world *w = arg;
    w->queue = mp_queue_new(0);
    mp_child_check(w->queue);
}

static void
one_message(void *arg)
{
    watched_queue(arg);
    mp_child_ok(mp_queue_put(((struct world *)arg)->queue, ONE, 0));
}

static void
free_queue(void *arg)
{
    mp_child_ok(mp_queue_free(((struct world *)arg)->queue));
}

/* ---- operations ------------------------------------------------------------------------------- */

static void
arm(void *arg)
{
    mp_child_check(mp_queue_fileno(((struct world *)arg)->queue) >= 0);
}

static void
disarm(void *arg)
{
    mp_child_ok(mp_queue_unwatch(((struct world *)arg)->queue));
}

static void
put_one(void *arg)
{
    mp_queue_put(((struct world *)arg)->queue, ONE, 0);
}

static int
put_one_too(void *arg)
{
    return mp_queue_put(((struct world *)arg)->queue, ONE, 0);
}

/* As who waits for edges must: until there is none. */
static void
get_all(void *arg)
{
    mp_obj o;
    while (mp_queue_get(((struct world *)arg)->queue, &o, 0) == 0) {
        mp_obj_free(o);
    }
}

static void
do_free(void *arg)
{
    mp_queue_free(((struct world *)arg)->queue);
}

/* ---- watchers --------------------------------------------------------------------------------- */

/* Take what is there: 0, 1 when STOP was among it, MP_EVALUE. */
static int
take(mp_queue *q)
{
    for (;;) {
        mp_obj o;
        int status = mp_queue_get(q, &o, 0);
        if (status < 0) {
            return status == MP_EEMPTY ? 0 : status;
        }
        if (mp_as_int(o) == STOP) {
            return 1;
        }
    }
}

static int
watch(void *arg, int which)
{
    struct world *w = arg;
    int fd = mp_queue_fileno(w->queue), waits = epoll_create1(EPOLL_CLOEXEC), status;
    struct epoll_event e = {.events = EPOLLIN | (which == BY_EDGE ? (uint32_t)EPOLLET : 0)};
    mp_child_check(fd >= 0 && waits >= 0 && epoll_ctl(waits, EPOLL_CTL_ADD, fd, &e) == 0);
    do {
        while (epoll_wait(waits, &e, 1, -1) != 1) {
        }
    } while ((status = take(w->queue)) == 0);
    close(waits);
    return status;
}

/* ---- what is left ----------------------------------------------------------------------------- */

static const char *
all_return(int status)
{
    if (torture_back(WATCHERS, LONG) != WATCHERS) {
        return "who watches is not told";
    }
    for (int i = 0; i < WATCHERS; i++) {
        if (torture_result(i) != status) {
            return "who watches is told something else";
        }
    }
    return NULL;
}

/* The message that is there is taken by who watches, without our help; then all are stopped. */
static const char *
check_watchers(void *arg, bool finished)
{
    struct world *w = arg;
    (void)finished;
    double start = mp_test_now();
    while (mp_queue_qsize(w->queue) > 0) {
        if (mp_test_now() - start > LONG) {
            return "a message lies there, and nobody is told";
        }
        poll(NULL, 0, 1);
    }
    torture_waited(mp_test_now() - start);
    torture_mark();
    for (int i = 0; i < WATCHERS; i++) {
        mp_child_ok(mp_queue_put(w->queue, STOP, 0));
    }
    return all_return(1);
}

/* The survivor's descriptor says so, soon. */
static bool
says(int fd, bool readable)
{
    struct pollfd p = {fd, POLLIN, 0};
    double start = mp_test_now();
    while (poll(&p, 1, readable ? 10 : 0) != readable) {
        if (mp_test_now() - start > LONG) {
            return false;
        }
        if (!readable) {
            poll(NULL, 0, 1);
        }
    }
    torture_waited(mp_test_now() - start);
    return true;
}

/* One of ours has put a message meanwhile. */
static const char *
check_survivor(void *arg, bool finished)
{
    struct world *w = arg;
    mp_obj o;
    (void)finished;
    if (torture_back(1, LONG) != 1 || torture_result(0) != 0) {
        return "the other cannot put";
    }
    int64_t n = mp_queue_qsize(w->queue);
    if (!says(w->fd, n > 0)) {
        return "the descriptor says something else";
    }
    while (mp_queue_get(w->queue, &o, 0) == 0) {
        n--;
    }
    if (n != 0) {
        return "the messages are not those that were counted";
    }
    struct pollfd p = {w->fd, POLLIN, 0};
    if (poll(&p, 1, 0) != 0) {
        return "the descriptor is readable, and we took all";
    }
    mp_child_ok(mp_queue_put(w->queue, ONE, 0));
    return poll(&p, 1, 0) == 1 ? NULL : "the descriptor does not tell of our own message";
}

static const char *
check_freed(void *arg, bool finished)
{
    struct world *w = arg;
    if (!finished) {
        torture_mark();
    }
    int status = mp_queue_free(w->queue);
    if ((status != 0 && status != MP_EVALUE) || (finished && status == 0)) {
        return "it cannot be freed, or twice";
    }
    return all_return(MP_EVALUE);
}

/* The survivor's own descriptor comes to its end, and then it is let go. */
static const char *
check_freed_here(void *arg, bool finished)
{
    struct world *w = arg;
    struct pollfd p = {w->fd, POLLIN, 0};
    double start = mp_test_now();
    while (finished && !(poll(&p, 1, 10) == 1 && (p.revents & POLLHUP))) {
        if (mp_test_now() - start > LONG) {
            return "the descriptor does not come to its end";
        }
    }
    torture_waited(mp_test_now() - start);
    int status = mp_queue_unwatch(w->queue);
    if (status != 0 && status != MP_EVALUE) {
        return "it cannot be let go";
    }
    status = mp_queue_free(w->queue);
    return (status != 0 && status != MP_EVALUE) || (finished && status == 0)
               ? "it cannot be freed, or twice"
               : NULL;
}

/* ---- the cases -------------------------------------------------------------------------------- */

#define WATCHED                                                                                    \
    .commits = "queue.put.commit queue.get.consume heap.ilock.acquire heap.ilock.release",         \
    .parked = WATCHERS, .park = watch, .set_up = new_queue, .arg = &world

#define ALONE(before_it)                                                                           \
    .commits = "queue.put.commit queue.get.consume heap.ilock.acquire heap.ilock.release",         \
    .set_up = before_it, .arg = &world

static const struct torture_case cases[] = {
    {WATCHED, .name = "queue.watch.arm+others", .operation = arm, .check = check_watchers,
     .tear_down = free_queue, .stride = 3},
    {WATCHED, .name = "queue.watch.tell+others", .operation = put_one, .check = check_watchers,
     .tear_down = free_queue},
    {WATCHED, .name = "queue.watch.tell+of one's own", .before = arm, .operation = put_one,
     .check = check_watchers, .tear_down = free_queue, .stride = 2},
    {WATCHED, .name = "queue.watch.disarm+others", .before = arm, .operation = disarm,
     .check = check_watchers, .tear_down = free_queue},
    {WATCHED, .name = "queue.watch.free+others", .operation = do_free, .check = check_freed,
     .stride = 3},
    {ALONE(watched_queue), .name = "queue.watch.arm+a message", .operation = arm,
     .arrive = put_one_too, .check = check_survivor, .tear_down = free_queue, .stride = 3},
    {ALONE(one_message), .name = "queue.watch.look+a message", .before = arm, .operation = get_all,
     .arrive = put_one_too, .check = check_survivor, .tear_down = free_queue, .stride = 2},
    {ALONE(watched_queue), .name = "queue.watch.disarm+a message", .before = arm,
     .operation = disarm, .arrive = put_one_too, .check = check_survivor, .tear_down = free_queue,
     .stride = 3},
    {ALONE(one_message), .name = "queue.watch.free", .before = arm, .operation = do_free,
     .check = check_freed_here, .stride = 3},
};
TORTURE_CASES(queue, cases)
