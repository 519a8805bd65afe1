/*
 * process/popen_forkserver.c: asking the forkserver of this process for a child.
 *
 * The server is this program's image, spawned at the first use, with one socket between it and us;
 * every process that starts children this way has its own.  It offers a spare child with one end
 * of that child's socket, and its pidfd; on the socket we say what the child is to be, the child
 * answers, and the server later writes the exit code.  The child keeps the other end too, so that it
 * does not end before the child has.  The pidfd is the sentinel.  A child that ends in order has told
 * its code (crash.h), so the socket is heard only for the others.  Without a pidfd the socket is the
 * sentinel, and is heard for all.
 * The server ends when its own socket closes, and if it cannot, for it hangs or is stopped, by its
 * lifeline, as a daemon does: whichever way we end.  If we end in order, and it not even so, we kill
 * it.
 *
 * Writers   one at a time talks with the server, under talk, and may wait for it.  What it changes
 *           here it changes under the mutex, which is held across fork and never while anything
 *           waits: so a server that hangs delays only those that want a child of it.
 * Death     of the server: children go on; their status is lost and read as 255, as in Python; the
 *           next start makes a new server.  Of ours: see forkserver.c.
 * Fork      a child of fork() forgets its parent's server and closes its copy of the socket
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork.h"
#include "heap/heap.h"
#include "platform/platform.h"
#include "process/crash.h"
#include "process/launch.h"

/* What the exit code is when the server took it along. */
#define LOST_EXITCODE 255

#define NUDGE_NS (200 * MP__MS)

/* A server that was told to end by its socket is ended by its lifeline after this long. */
#define END_PATIENCE (2 * MP__S)

static MP__FORK_DATA pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static MP__FORK_DATA pthread_mutex_t talk = PTHREAD_MUTEX_INITIALIZER; /* before the mutex */
static MP__FORK_DATA atomic_bool talked; /* whether there may be anything to stop */
static MP__FORK_DATA int sock = -1;
static MP__FORK_DATA pid_t server = -1;
static MP__FORK_DATA int server_pidfd = -1; /* if the system has them */
static MP__FORK_DATA int lifeline = -1;     /* the writing end */
static uint64_t taken;                      /* the number of its latest spare that was received */

/* Spares that were offered and not used yet. */
static struct spare {
    pid_t pid;
    int fd;
    int pidfd; /* if the system has them */
} stock[MP__SPARES];
static MP__FORK_DATA size_t stocked;

/* So often a spare may be found dead. */
#define TRIES (MP__SPARES + 2)

void
mp__forkserver_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void
mp__forkserver_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

static void
drop_spare(const struct spare *s)
{
    close(s->fd);
    if (s->pidfd >= 0) {
        close(s->pidfd);
    }
}

static void
drop_stock(void)
{
    while (stocked > 0) {
        drop_spare(&stock[--stocked]);
    }
}

/* Under the mutex. */
static void
close_one(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

void
mp__forkserver_forked(void)
{
    drop_stock();
    close_one(&sock);
    close_one(&server_pidfd);
    close_one(&lifeline);
    server = -1;
    atomic_store(&talked, false);
    pthread_mutex_init(&talk, NULL); /* a thread may have held it that is not in the child */
}

/* Under the mutex.  By its lifeline, also when we do not know its pid yet; but to end by that it must
   run, on some systems, which somebody may keep from it. */
static void
kill_server(void)
{
    int code;
    close_one(&lifeline);
    if (server >= 0 && mp__plat_child_ended(server, server_pidfd, &code) == 0) {
        mp__plat_signal(server, server_pidfd, SIGKILL);
    }
}

/* Under talk. */
static void
stop(void)
{
    int code;
    mp__forkserver_lock();
    drop_stock();
    close_one(&sock); /* it sees the end of the file and exits */
    mp__forkserver_unlock();
    if (server >= 0 && mp__spawn_await_end(server, server_pidfd, mp__plat_now() + END_PATIENCE,
                                           &code) == MP_ETIMEOUT) {
        mp__forkserver_lock();
        kill_server();
        mp__forkserver_unlock();
        mp__spawn_await_end(server, server_pidfd, mp__plat_now() + MP__LAUNCH_PATIENCE, &code);
    }
    mp__forkserver_lock();
    close_one(&lifeline);
    close_one(&server_pidfd);
    server = -1;
    mp__forkserver_unlock();
}

static void
begin_talk(void)
{
    atomic_store(&talked, true); /* first: who ends this process meanwhile waits for us */
    pthread_mutex_lock(&talk);
}

/* Take talk; from one who waits for a server that does not come by ending that. */
static void
interrupt_talk(void)
{
    const struct timespec nap = {.tv_nsec = MP__MS};
    mp__deadline until = mp__plat_now() + END_PATIENCE;
    while (pthread_mutex_trylock(&talk) != 0) {
        if (mp__deadline_passed(until)) {
            mp__forkserver_lock();
            kill_server();
            mp__forkserver_unlock();
            pthread_mutex_lock(&talk);
            return;
        }
        nanosleep(&nap, NULL); /* POSIX has no timed lock on a clock that nobody sets */
    }
}

void
mp__forkserver_stop(void)
{
    if (!atomic_load(&talked)) {
        return; /* the end of most children: it needs no page of libc for the locks */
    }
    interrupt_talk();
    stop();
    pthread_mutex_unlock(&talk);
}

/* ---- taking a spare ---------------------------------------------------------------------------*/

static bool
is_gone(int status)
{
    return status == -ENODATA || status == -EPIPE || status == -ECONNRESET;
}

static int
ask_for_spare(void)
{
    struct mp__hello hello = {.magic = MP__HELLO_MAGIC, .kind = MP__HELLO_NEXT};
    hello.number = taken;
    return mp__plat_send_fds(sock, &hello, sizeof hello, NULL, 0);
}

/* Receive one offer, which has come.  0; -errno, is_gone() or the server's own: it has no spare. */
static int
receive_offer(void)
{
    struct mp__hello offer = {.number = taken};
    struct spare *s = &stock[stocked];
    int fds[2], count = 2;
    int status = mp__launch_receive(sock, &offer, fds, &count);
    taken = offer.number; /* also of one whose descriptor found no room here */
    if (status == 0 && offer.pid < 0) {
        return offer.pid;
    }
    if (status == 0 && count == 0) {
        return -EPROTO;
    }
    *s = (struct spare){offer.pid, fds[0], count > 1 ? fds[1] : -1};
    stocked += status == 0;
    return status;
}

/*
 * All that were offered are received, before one is wanted: sockets that stay under way in a socket
 * are work to the system whenever any socket is closed.
 */
static int
receive_offers(void)
{
    int status = 0;
    mp__forkserver_lock();
    while (status == 0 && stocked < MP__SPARES && mp__plat_poll_in(sock, MP__TRY) == 1) {
        status = receive_offer();
    }
    mp__forkserver_unlock();
    return status;
}

/*
 * Under talk: a spare of the running server, which is asked for one when it has offered none.  As
 * receive_offer(), and MP_ETIMEOUT: the server hangs.
 */
static int
take_offer(struct spare *ret)
{
    int status = receive_offers();
    if (stocked == 0 && status == 0) {
        status = ask_for_spare();
        if (status == 0) {
            status = mp__spawn_await_word(sock, server, server_pidfd);
        }
        if (status == 0) {
            status = receive_offers();
        }
    }
    if (stocked > 0) {
        mp__forkserver_lock();
        *ret = stock[0];
        memmove(stock, stock + 1, --stocked * sizeof *stock);
        mp__forkserver_unlock();
        return 0;
    }
    return status;
}

/* Its lifeline; the reading end.  -1 with an error. */
static int
open_lifeline(void)
{
    int fds[2];
    mp__forkserver_lock();
    int status = mp__plat_pipe(fds);
    if (status == 0) {
        status = mp__plat_lift_pair(fds);
    }
    if (status == 0) {
        lifeline = fds[1];
    }
    mp__forkserver_unlock();
    if (status < 0) {
        mp__error_os(-status, "mp_process_start: no pipe to end the forkserver by");
        return -1;
    }
    return fds[0];
}

/* Under talk, without a server: make one.  0 or an error with text. */
static int
run_server(void)
{
    int status = 0, fd = -1, pidfd = -1;
    pid_t pid = -1;
    struct mp__launch l = {.block = mp__preload_describe(&status), .lifeline = -1, .tracker = -1};
    if (status == 0 && (l.fds[0] = open_lifeline()) < 0) {
        status = mp_last_error();
    }
    if (status == 0) {
        l.fd_count = 1;
        status = mp__spawn_image(MP__HELLO_SERVER, &l, &pid, &pidfd, &fd);
        close(l.fds[0]);
    }
    mp_free(l.block);
    mp__forkserver_lock();
    if (status == 0) {
        server = pid;
        server_pidfd = pidfd;
        sock = fd;
        taken = 0;
    } else {
        close_one(&lifeline);
    }
    mp__forkserver_unlock();
    return status;
}

int
mp_forkserver_ensure_running(void)
{
    int code, status = mp__heap_join();
    if (status == 0) {
        status = mp__spawn_possible();
    }
    if (status < 0) {
        return status;
    }
    begin_talk();
    if (sock >= 0 && mp__plat_child_ended(server, server_pidfd, &code) != 0) {
        stop(); /* it died since */
    }
    if (sock < 0) {
        status = run_server();
    }
    pthread_mutex_unlock(&talk);
    return status;
}

/* A spare of a server that is made when there is none or it died.  0 or an error with text. */
static int
take_spare(mp_process *p, struct spare *ret)
{
    int status = 0;
    begin_talk();
    for (int made = 0;;) {
        if (sock < 0) {
            status = run_server();
            made++;
        }
        if (status < 0) {
            pthread_mutex_unlock(&talk);
            return status;
        }
        status = take_offer(ret);
        p->server = server;
        if (!is_gone(status)) {
            break;
        }
        stop(); /* it died since */
        if (made == 2) {
            break;
        }
    }
    pthread_mutex_unlock(&talk);
    if (is_gone(status)) {
        return mp__error(MP_ERUNTIME, "mp_process_start: the forkserver dies at once");
    }
    if (status == MP_ETIMEOUT) {
        return mp__error(MP_ERUNTIME, "mp_process_start: the forkserver hangs");
    }
    return status < 0 ? mp__error_os(-status, "mp_process_start: the forkserver has no child for "
                                              "us (each takes a descriptor there: RLIMIT_NOFILE)")
                      : 0;
}

/* Make a spare what l describes.  0, -EPIPE: it died first; or an error with text. */
static int
employ(const struct mp__launch *l, pid_t pid, int fd, bool *ret_hung)
{
    struct mp__answer answer;
    struct mp__hello hello = {.magic = MP__HELLO_MAGIC, .kind = MP__HELLO_CHILD};
    hello.block = (uint64_t)(uintptr_t)l->block;
    int status = mp__plat_send_fds(fd, &hello, sizeof hello, l->fds, l->fd_count);
    if (status < 0) {
        return is_gone(status)
                   ? -EPIPE
                   : mp__error_os(-status, "mp_process_start: sending %d descriptors", l->fd_count);
    }
    status = mp__spawn_await_word(fd, pid, -1);
    if (status == 0) {
        status = mp__launch_read(fd, &answer);
    }
    *ret_hung = status == MP_ETIMEOUT;
    return *ret_hung ? mp__error(MP_ERUNTIME, "mp_process_start: the child hung before it had "
                                              "joined")
                     : status;
}

static int
launch(mp_process *p)
{
    struct mp__launch l;
    struct spare s = {-1, -1, -1};
    bool hung = false;
    int status = mp__spawn_possible();
    if (status == 0) {
        status = mp__launch_make(p, "forkserver", &l);
    }
    if (status < 0) {
        return status;
    }
    /* A spare may have died since it was offered, with its server or alone. */
    for (int i = 0; i < TRIES && (i == 0 || status == -EPIPE); i++) {
        status = take_spare(p, &s);
        if (status == 0) {
            status = employ(&l, s.pid, s.fd, &hung);
            if (status < 0) {
                drop_spare(&s);
            }
        }
    }
    mp__launch_sent(&l);
    if (!hung) { /* else it may be read yet, by a child that then finds nobody to answer */
        mp__launch_done(&l);
    }
    if (status == -EPIPE) {
        return mp__error(MP_ERUNTIME,
                         "mp_process_start: the child died before it had joined, %d times", TRIES);
    }
    if (status == 0) {
        p->pid = s.pid;
        p->sentinel_is_pidfd = s.pidfd >= 0;
        p->sentinel = p->sentinel_is_pidfd ? s.pidfd : s.fd;
        p->verdict = p->sentinel_is_pidfd ? s.fd : -1;
    }
    return status;
}

/* ---- a child that runs ------------------------------------------------------------------------*/

/* A server that somebody stopped tells no end: now and again it is told to go on. */
static void
nudge(const mp_process *p)
{
    static _Atomic int64_t latest;
    int64_t now = mp__plat_now();
    if (now - atomic_load_explicit(&latest, memory_order_relaxed) > NUDGE_NS) {
        atomic_store_explicit(&latest, now, memory_order_relaxed);
        mp__forkserver_lock();
        if (server == p->server) {
            mp__plat_signal(server, server_pidfd, SIGCONT);
        }
        mp__forkserver_unlock();
    }
}

/* Whether the server has told the end, on fd; p has the code then. */
static bool
server_told(mp_process *p, int fd)
{
    if (mp__plat_poll_in(fd, MP__TRY) != 1) {
        nudge(p);
        return false;
    }
    int32_t code;
    p->exitcode =
        mp__plat_read_all(fd, &code, sizeof code) == (ssize_t)sizeof code ? code : LOST_EXITCODE;
    return true;
}

static int
poll_status(mp_process *p)
{
    if (!p->sentinel_is_pidfd) {
        if (!server_told(p, p->sentinel)) {
            return 0;
        }
    } else {
        p->dead = p->dead || mp__plat_poll_in(p->sentinel, MP__TRY) == 1;
        if (!p->dead || !(mp__crash_told_end(p, &p->exitcode) || server_told(p, p->verdict))) {
            return 0;
        }
        p->dead = false;
    }
    return 1;
}

/*
 * Not by way of the server, which may die with the request.  Without a pidfd from it: the server tells
 * an end before it reaps, and a child that it cannot reap any more closes its own end of the sentinel:
 * so while that is silent the pid is the child's, and a descriptor made before that look stays its own.
 */
static int
send_signal(mp_process *p, int signal_number)
{
    if (p->sentinel_is_pidfd) {
        return mp__children_signal_pid(p, signal_number);
    }
    int pidfd = mp__plat_pidfd(p->pid), status = 0;
    if (mp__plat_poll_in(p->sentinel, MP__TRY) == 0) {
        status = mp__plat_signal(p->pid, pidfd, signal_number);
    }
    if (pidfd >= 0) {
        close(pidfd);
    }
    return status;
}

const struct mp__popen mp__popen_forkserver = {
    .method = "forkserver",
    .launch = launch,
    .poll = poll_status,
    .signal = send_signal,
};
