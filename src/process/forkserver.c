/*
 * process/forkserver.c: the server that forks children on request.
 *
 * A process of its own, spawned from the program's image, with one thread and nothing but the heap
 * and one socket; so its forks are quick and safe whatever its client's size and threads.
 *
 * Waiting   pselect on the socket, with SIGCHLD let through only there, so no end is missed
 * Death     of the client: the socket ends; daemons it had are ended, the others go on, and the
 *           server exits.  Of a child: its exit code goes to the client by the child's socket.
 * Fork      a child closes the server's socket and those of its siblings
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "heap/member.h"
#include "platform/platform.h"
#include "process/launch.h"

struct served {
    pid_t pid; /* 0: free */
    int status_fd;
    bool daemon;
};
static struct served *table;
static size_t table_size;

static struct served *
free_row(void)
{
    for (size_t i = 0; i < table_size; i++) {
        if (table[i].pid == 0) {
            return &table[i];
        }
    }
    size_t wanted = table_size ? table_size * 2 : 32;
    struct served *more = realloc(table, wanted * sizeof *more);
    if (!more) {
        return NULL;
    }
    memset(more + table_size, 0, (wanted - table_size) * sizeof *more);
    struct served *row = more + table_size;
    table = more;
    table_size = wanted;
    return row;
}

static void
on_sigchld(int signal_number)
{
    (void)signal_number; /* it only ends the wait */
}

static void
tell_end(const siginfo_t *info)
{
    for (size_t i = 0; i < table_size; i++) {
        if (table[i].pid == info->si_pid) {
            struct mp__end end = {.exitcode = info->si_code == CLD_EXITED ? info->si_status & 0xff
                                                                          : -info->si_status};
            struct iovec iov = {&end, sizeof end};
            mp__plat_write_all(table[i].status_fd, &iov, 1);
            close(table[i].status_fd);
            table[i].pid = 0;
        }
    }
}

/* Tell the clients of all children that have ended.  Before they are reaped: so no pid is another's
   while a client may still take it for its child's, and the client waits less. */
static void
reap(void)
{
    siginfo_t info;
    for (;;) {
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0) {
            return;
        }
        mp__member_reaped(info.si_pid);
        tell_end(&info);
        while (waitpid(info.si_pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
}

static MP_NORETURN_ATTR void
in_child(const struct mp__hello *hello, int sock, const int *fds, int count,
         const sigset_t *inherited)
{
    close(sock);
    for (size_t i = 0; i < table_size; i++) {
        if (table[i].pid != 0) {
            close(table[i].status_fd);
        }
    }
    signal(SIGCHLD, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    sigprocmask(SIG_SETMASK, inherited, NULL);
    mp__launch_run((const void *)(uintptr_t)hello->block, fds + 1, count - 1, fds[0], false);
}

/* A request without memory or process for it: answer on the socket that came with it. */
static void
refuse(int status_fd, int err)
{
    mp__launch_answer(status_fd, mp__error_os(err, "the forkserver cannot fork"));
}

static void
start_child(const struct mp__hello *hello, int sock, const int *fds, int count,
            const sigset_t *inherited)
{
    struct served *row = free_row();
    mp__launch_prepare((const void *)(uintptr_t)hello->block);
    pid_t pid = row ? fork() : -1;
    if (pid == 0) {
        in_child(hello, sock, fds, count, inherited);
    }
    if (pid < 0) {
        refuse(fds[0], row ? errno : ENOMEM);
        close(fds[0]);
    } else {
        row->pid = pid;
        row->status_fd = fds[0];
        row->daemon = hello->daemon != 0;
    }
    for (int i = 1; i < count; i++) {
        close(fds[i]);
    }
}

static void
signal_child(const struct mp__hello *hello)
{
    for (size_t i = 0; i < table_size; i++) {
        if (table[i].pid == hello->pid && hello->pid > 0) {
            kill(hello->pid, hello->signal);
        }
    }
}

static MP_NORETURN_ATTR void
client_is_gone(void)
{
    for (size_t i = 0; i < table_size; i++) {
        if (table[i].pid != 0 && table[i].daemon) {
            kill(table[i].pid, SIGTERM);
        }
    }
    _exit(0);
}

static void
serve_one(int sock, const sigset_t *inherited)
{
    struct mp__hello hello;
    int fds[MP__LAUNCH_FDS + 1], count = MP__LAUNCH_FDS + 1;
    int status = mp__launch_receive(sock, &hello, fds, &count);
    if (status == -EMFILE) {
        return; /* the asker's socket came with it and is closed now: that tells */
    }
    if (status < 0) {
        client_is_gone();
    }
    if (hello.kind == MP__HELLO_CHILD && count > 0) {
        start_child(&hello, sock, fds, count, inherited);
    } else if (hello.kind == MP__HELLO_SIGNAL) {
        signal_child(&hello);
    }
}

void
mp__forkserver_main(int sock)
{
    sigset_t blocked, inherited;
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sigemptyset(&sa.sa_mask);
    sa.sa_handler = on_sigchld;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigprocmask(SIG_BLOCK, &blocked, &inherited);
    sigaction(SIGCHLD, &sa, NULL);
    mp__child_give_up_stdin(false);
    signal(SIGINT, SIG_IGN); /* an interrupt from the terminal is for the children */
    for (;;) {
        fd_set set;
        FD_ZERO(&set);
        FD_SET((unsigned)sock, &set); /* MP__CHILD_FD, far below FD_SETSIZE */
        int ready = pselect(sock + 1, &set, NULL, NULL, NULL, &inherited);
        reap();
        if (ready > 0) {
            serve_one(sock, &inherited);
        }
    }
}
