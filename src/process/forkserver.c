/*
 * process/forkserver.c: the server that forks children on request.
 *
 * A process of its own, spawned from the program's image, with one thread and nothing but the heap
 * and one socket; so its forks are quick and safe whatever its client's size and threads.
 *
 * It forks ahead: a spare child waits on a socket pair for the hello that makes it somebody.  The
 * client is offered the other end and talks to the spare itself, so that a start costs neither the
 * fork nor the way through the server.  Spares are made when a child has ended, or when the client
 * asks because it took the last one: not when one is taken, for that is when the processors are
 * wanted by the one that was.
 *
 * Waiting   pselect on the socket, with SIGCHLD let through only there, so no end is missed
 * Death     of the client: the server ends by its lifeline, and the spares with it; children have
 *           their own ways to learn of it.  Of a client that ends in order: the socket ends, and with
 *           it an offer in it; a spare sees the end of its own and exits, and then the server.
 *           Of a child: its exit code goes to the client by the child's socket, where it is read if
 *           the child has not told it (crash.h).  Of the server: a spare
 *           that is then taken sees that its parent is another, and leaves; the client makes a new
 *           server.
 * Fork      a spare closes the server's socket and those of its siblings
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "heap/funcref.h"
#include "heap/member.h"
#include "platform/platform.h"
#include "process/launch.h"

/* Many more than there ever are spares of which it is not known yet that they are taken. */
#define NOTES 64

/* So long a spare may take to see that its client is gone. */
#define SPARES_END (MP__S / 2)

struct served {
    pid_t pid;       /* 0: free */
    int status_fd;   /* its own end of its socket, on which its end is told */
    uint64_t number; /* of a spare; 0: it is known to be taken */
};
static struct served *table;
static size_t table_size;

/*
 * What a spare tells the server without a call: that it was taken, and for what.
 *
 * Writers   the spare, once, when its hello has come; the server reads
 * Death     in the midst: target is torn then, and prepares nothing that anybody asks for
 */
struct notes {
    _Atomic uint64_t taken[NOTES]; /* of spare n, at n % NOTES: n when it is a child */
    mp__funcref target;
};
static struct notes *notes;
static uint64_t offered; /* the number of the latest spare */
static int lifeline;     /* by which we end with our client; -1 */

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

static struct served *
row_of(pid_t pid)
{
    for (size_t i = 0; i < table_size && pid > 0; i++) {
        if (table[i].pid == pid) {
            return &table[i];
        }
    }
    return NULL;
}

static _Atomic uint64_t *
note_of(uint64_t number)
{
    return &notes->taken[number % NOTES];
}

static bool
is_spare(struct served *row)
{
    if (row->number != 0 && atomic_load(note_of(row->number)) == row->number) {
        row->number = 0; /* taken; its note may be another's from now on */
    }
    return row->pid != 0 && row->number != 0;
}

static unsigned
spares(void)
{
    unsigned n = 0;
    for (size_t i = 0; i < table_size; i++) {
        n += is_spare(&table[i]);
    }
    return n;
}

/* ---- a spare ----------------------------------------------------------------------------------*/

static MP_NORETURN_ATTR void
be_spare(int own, pid_t server, uint64_t number)
{
    struct mp__hello hello;
    int fds[MP__HELLO_FDS], count = MP__HELLO_FDS;
    mp__plat_die_with_forker(true); /* also when we are stopped */
    mp__launch_warm();              /* nobody waits for us yet */
    atomic_load_explicit(note_of(number), memory_order_relaxed);
    int status = mp__launch_receive(own, &hello, fds, &count);
    mp__plat_die_with_forker(false);
    if (status == -ENODATA || getppid() != server) {
        _exit(1); /* nobody wants us, or would tell our end: the client makes another server */
    }
    if (status < 0) {
        mp__launch_answer(own, mp__error_os(-status, "receiving descriptors"));
        _exit(1);
    }
    const void *block = (const void *)(uintptr_t)hello.block;
    mp__launch_target(block, &notes->target);
    atomic_store_explicit(note_of(number), number, memory_order_release);
    signal(SIGINT, SIG_DFL);
    mp__launch_run(block, fds, count, own, false);
}

static MP_NORETURN_ATTR void
in_spare(int sock, int own, pid_t server, const sigset_t *inherited)
{
    close(sock);
    if (lifeline >= 0) {
        close(lifeline);
    }
    for (size_t i = 0; i < table_size; i++) {
        if (table[i].pid != 0) {
            close(table[i].status_fd);
        }
    }
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_SETMASK, inherited, NULL);
    be_spare(own, server, offered + 1);
}

/* The new spare's pid, with the client's end of its socket and its pidfd, if there are such: from us,
   because who reaps it knows whose the pid is.  Or -errno. */
static int
fork_spare(int sock, const sigset_t *inherited, int ret_fds[2])
{
    int pair[2];
    struct served *row = free_row();
    int status = row ? mp__plat_socketpair(pair) : -ENOMEM;
    if (status == 0) {
        status = mp__plat_lift_pair(pair);
    }
    if (status < 0) {
        return status;
    }
    mp__funcref target = notes->target; /* what the last child was for: the next's will be found */
    mp__launch_prepare(&target);
    pid_t server = getpid(), pid = fork();
    if (pid == 0) {
        close(pair[0]);
        in_spare(sock, pair[1], server, inherited);
    }
    if (pid < 0) {
        status = -errno;
        close(pair[0]);
        close(pair[1]);
        return status;
    }
    *row = (struct served){.pid = pid, .status_fd = pair[1], .number = ++offered};
    ret_fds[0] = pair[0];
    ret_fds[1] = mp__plat_pidfd(pid);
    return pid;
}

/* Offer the client a new spare; if it asked, tell it why there is none. */
static bool
offer(int sock, const sigset_t *inherited, bool asked)
{
    int fds[2] = {-1, -1};
    int pid = fork_spare(sock, inherited, fds), count = pid > 0 ? 1 + (fds[1] >= 0) : 0;
    if (pid > 0 || asked) {
        struct mp__hello hello = {.magic = MP__HELLO_MAGIC, .kind = MP__HELLO_OFFER};
        hello.pid = pid;
        hello.number = offered;
        int status = mp__plat_send_fds(sock, &hello, sizeof hello, fds, count);
        if (pid > 0 &&
            status < 0) { /* the system passes no descriptors now: nobody has that spare */
            pid = hello.pid = status;
            hello.number = --offered;
            if (asked) {
                mp__plat_send_fds(sock, &hello, sizeof hello, NULL, 0);
            }
        }
    }
    while (count > 0) {
        close(fds[--count]);
    }
    return pid > 0;
}

static void
refill(int sock, const sigset_t *inherited)
{
    while (spares() < MP__SPARES && offer(sock, inherited, false)) {
    }
}

/* ---- ends -------------------------------------------------------------------------------------*/

static void
on_sigchld(int signal_number)
{
    (void)signal_number; /* it only ends the wait */
}

static void
tell_end(struct served *row, const siginfo_t *info)
{
    if (row) {
        struct mp__end end = {.exitcode = info->si_code == CLD_EXITED ? info->si_status & 0xff
                                                                      : -info->si_status};
        struct iovec iov = {&end, sizeof end};
        mp__plat_write_all(row->status_fd, &iov, 1);
        close(row->status_fd);
        row->pid = 0;
    }
}

/* Tell the clients of all children that have ended.  Before they are reaped: so no pid is another's
   while a client may still take it for its child's, and the client waits less. */
/* Whether one was a child: spares that die are not replaced until the client asks. */
static bool
reap(void)
{
    siginfo_t info;
    bool child_ended = false;
    for (;;) {
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0) {
            return child_ended;
        }
        struct served *row = row_of(info.si_pid);
        child_ended |= row && !is_spare(row);
        mp__member_reaped(info.si_pid);
        tell_end(row, &info);
        while (waitpid(info.si_pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
}

/* They hang, or are stopped.  Whatever they read now, their answer finds nobody. */
static void
kill_spares(void)
{
    for (size_t k = 0; k < table_size; k++) {
        if (is_spare(&table[k])) {
            kill(table[k].pid, SIGKILL);
        }
    }
}

/* Spares that nobody took end by themselves; without us nobody would reap them. */
static MP_NORETURN_ATTR void
client_is_gone(const sigset_t *inherited)
{
    const struct timespec slice = {.tv_nsec = 10 * MP__MS}; /* one that is taken makes no noise */
    mp__deadline until = mp__plat_now() + SPARES_END;
    for (reap(); spares() > 0; reap()) {
        if (mp__deadline_passed(until)) {
            kill_spares();
        }
        pselect(0, NULL, NULL, NULL, &slice, inherited);
    }
    _exit(0);
}

/* ---- the server -------------------------------------------------------------------------------*/

static void
serve_one(int sock, const sigset_t *inherited)
{
    struct mp__hello hello;
    int none = 0;
    if (mp__launch_receive(sock, &hello, NULL, &none) < 0) {
        client_is_gone(inherited);
    }
    if (hello.kind == MP__HELLO_NEXT && hello.number == offered && offer(sock, inherited, true)) {
        refill(sock, inherited);
    } /* else the offer is on its way */
}

void
mp__forkserver_main(int sock, int own_lifeline)
{
    lifeline = own_lifeline;
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
    notes = mp__plat_map(-1, NULL, sizeof *notes);
    if (notes == MAP_FAILED) {
        _exit(1); /* the client sees it, and tries once more */
    }
    notes->target.null = 1;
    refill(sock, &inherited);
    for (;;) {
        fd_set set;
        FD_ZERO(&set);
        FD_SET((unsigned)sock, &set); /* MP__CHILD_FD, far below FD_SETSIZE */
        int ready = pselect(sock + 1, &set, NULL, NULL, NULL, &inherited);
        if (reap()) {
            refill(sock, &inherited);
        }
        if (ready > 0) {
            serve_one(sock, &inherited);
        }
    }
}
