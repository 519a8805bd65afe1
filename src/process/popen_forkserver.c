/*
 * process/popen_forkserver.c: asking the forkserver of this process for a child.
 *
 * The server is this program's image, spawned at the first use, with one socket between it and us;
 * every process that starts children this way has its own.  A request carries one end of a
 * socket pair, on which the child answers and the server later writes the exit code: our end is
 * the sentinel.  The child keeps the other end too, so that it does not end before the child has.
 * The server ends when its own socket closes, whichever way we end.
 *
 * Writers   the socket: one request at a time, under the mutex
 * Death     of the server: children go on, and are signalled from here then; their status is lost
 *           and read as 255, as in Python; the next start makes a new server.  Of ours: see
 *           forkserver.c.
 * Fork      a child of fork() forgets its parent's server and closes its copy of the socket
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string.h>

#include "base/error.h"
#include "platform/platform.h"
#include "process/launch.h"

/* What the exit code is when the server took it along. */
#define LOST_EXITCODE 255

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int sock = -1;
static pid_t server = -1;

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

void
mp__forkserver_forked(void)
{
    if (sock >= 0) {
        close(sock);
    }
    sock = -1;
    server = -1;
}

/* Under the mutex. */
static void
stop(void)
{
    if (sock >= 0) {
        close(sock); /* it sees the end of the file and exits */
        while (waitpid(server, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    sock = -1;
    server = -1;
}

void
mp__forkserver_stop(void)
{
    mp__forkserver_lock();
    stop();
    mp__forkserver_unlock();
}

/* Send one hello, under the mutex, to a server that is made when there is none or it died. */
static int
request(const struct mp__hello *hello, const int *fds, int n)
{
    for (int fresh = 0;; fresh = 1) {
        int status = 0;
        if (sock < 0) {
            status = mp__spawn_image(MP__HELLO_SERVER, NULL, &server, &sock);
        }
        if (status < 0) {
            return status;
        }
        status = mp__plat_send_fds(sock, hello, sizeof *hello, fds, n);
        if (status != -EPIPE && status != -ECONNRESET) {
            return status < 0 ? mp__error_os(-status, "mp_process_start: asking the forkserver")
                              : 0;
        }
        stop(); /* it died since */
        if (fresh) {
            return mp__error(MP_ERUNTIME, "mp_process_start: the forkserver dies at once");
        }
    }
}

static int
ask_for_child(const struct mp__launch *l, int status_fd, mp_process *p)
{
    struct mp__hello hello;
    int fds[MP__LAUNCH_FDS + 1], n = 0;
    memset(&hello, 0, sizeof hello);
    hello.magic = MP__HELLO_MAGIC;
    hello.kind = MP__HELLO_CHILD;
    hello.daemon = p->daemon;
    hello.block = (uint64_t)(uintptr_t)l->block;
    fds[n++] = status_fd;
    for (int i = 0; i < l->fd_count; i++) {
        fds[n++] = l->fds[i];
    }
    mp__forkserver_lock();
    int status = request(&hello, fds, n);
    p->server = server;
    mp__forkserver_unlock();
    return status;
}

static int
launch(mp_process *p)
{
    struct mp__launch l;
    struct mp__answer answer;
    int pair[2];
    int status = mp__spawn_possible();
    if (status == 0) {
        status = mp__launch_make(p, "forkserver", &l);
    }
    if (status < 0) {
        return status;
    }
    /* Not a pipe: writing to a socket without SIGPIPE takes one system call, to a pipe five. */
    status = mp__plat_socketpair(pair);
    if (status == 0) {
        status = mp__plat_lift_pair(pair);
    }
    if (status < 0) {
        mp__launch_done(&l);
        return mp__error_os(-status, "mp_process_start: no socket to see the end of %s", p->name);
    }
    status = ask_for_child(&l, pair[1], p);
    close(pair[1]);
    bool hung = false;
    if (status == 0) {
        status = mp__launch_await(pair[0], mp__plat_now() + MP__LAUNCH_PATIENCE, &answer);
        hung = status == MP_ETIMEOUT;
        if (status == -EPIPE || hung) {
            status = mp__error(MP_ERUNTIME,
                               hung ? "mp_process_start: the forkserver or the child hung before "
                                      "the child had joined"
                                    : "mp_process_start: the forkserver or the child died before "
                                      "the child had joined, or the forkserver has no descriptor "
                                      "free (it keeps one for each child; see RLIMIT_NOFILE)");
        }
    }
    if (!hung) { /* else it may be read yet, by a child that then finds nobody to answer */
        mp__launch_done(&l);
    }
    if (status < 0) {
        close(pair[0]);
        return status;
    }
    p->pid = answer.pid;
    p->sentinel = pair[0];
    return 0;
}

static int
poll_status(mp_process *p)
{
    if (mp__plat_poll_in(p->sentinel, MP__TRY) != 1) {
        return 0;
    }
    int32_t code;
    p->exitcode = mp__plat_read_all(p->sentinel, &code, sizeof code) == (ssize_t)sizeof code
                      ? code
                      : LOST_EXITCODE;
    return 1;
}

/*
 * The server sends the signal: it is the parent, and knows whether the pid is still its child's.
 * When it is gone we do: the child runs as long as the sentinel, which was just polled, is silent.
 */
static int
send_signal(mp_process *p, int signal_number)
{
    struct mp__hello hello;
    memset(&hello, 0, sizeof hello);
    hello.magic = MP__HELLO_MAGIC;
    hello.kind = MP__HELLO_SIGNAL;
    hello.pid = (int32_t)p->pid;
    hello.signal = signal_number;
    mp__forkserver_lock();
    int status = sock < 0 || p->server != server
                     ? -EPIPE
                     : mp__plat_send_fds(sock, &hello, sizeof hello, NULL, 0);
    mp__forkserver_unlock();
    if (status == -EPIPE || status == -ECONNRESET) {
        status = kill(p->pid, signal_number) < 0 ? -errno : 0;
    }
    return status;
}

const struct mp__popen mp__popen_forkserver = {
    .method = "forkserver",
    .launch = launch,
    .poll = poll_status,
    .signal = send_signal,
};
