/*
 * process/resource_tracker.c: the clients' side of the resource tracker.
 *
 * Writers   `turn` is held for a whole call: one launch or one line at a time.  `mutex` is over the
 *           state, for a few instructions, and across fork; so a tracker that does not read holds
 *           up no fork.
 * Waiting   for a full pipe, which the tracker empties unless somebody stopped it: without `turn`
 *           and with the caller's signals
 * Signals   blocked while `turn` is held: a handler that comes here finds it free, or another
 *           thread's.  Cancellation likewise.
 * Death     of the tracker: the next line meets a broken pipe; see send_line().  Of ours: a line is
 *           written by one write, of no more than a pipe takes whole.
 * Fork      the child of a plain fork closes its copy of the pipe, also one that another thread was
 *           just making; a child that the library starts keeps it.  Neither may wait for the
 *           tracker, nor for who has `turn` here.
 */
#include <mp/resource_tracker.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/error.h"
#include "base/fork.h"
#include "base/log.h"
#include "heap/family.h"
#include "platform/platform.h"
#include "process/process.h"
#include "process/tracker.h"

/* So long the end of this process waits for the tracker's, which others may hold up. */
#define END_PATIENCE MP__S

/* Trackers of ours that were let go and have not been reaped; beyond that they are left to init. */
#define MOST_LEAVING 8

/* Trackers that may die under one call. */
#define TRIES 3

/* Where descriptors are made while the child of a fork comes to close them. */
#define SLACK 64

/* So often who waits for room in the pipe looks whether it still is the tracker's. */
#define LOOK_MS 50

_Thread_local bool mp__tracker_keep;
static _Thread_local bool launches; /* this thread forks the tracker itself */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int init_status;
static MP__FORK_DATA pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
MP__FORK_LEAF(mutex);

/* Under mutex; changed by who has `turn`, and in the child of a fork. */
static MP__FORK_DATA _Atomic int tracker_fd = -1; /* the writing end */
static struct stat tracker_pipe;               /* what it must be: the program may have closed it */
static MP__FORK_DATA pid_t tracker_pid;        /* 0: not ours to wait for */
static MP__FORK_DATA int making[2] = {-1, -1}; /* the pipe of a launch */

/* Under mutex. */
static pid_t leaving[MOST_LEAVING];
static MP__FORK_DATA size_t leaving_count;
static MP__FORK_DATA pid_t reaped_pid; /* the latest, for who asks for its end later */
static int reaped_code;
static bool reaped_told; /* somebody did */

/* ---- fork ------------------------------------------------------------------------------------ */

static void
close_and_forget(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

bool
mp__tracker_runs(void)
{
    return atomic_load_explicit(&tracker_fd, memory_order_relaxed) >= 0;
}

/* Whether the descriptor is still what we had: its number may be another file's by now. */
static bool
is_ours(int fd)
{
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == tracker_pipe.st_dev &&
           st.st_ino == tracker_pipe.st_ino;
}

static void
in_child(void)
{
    if (!launches) {
        int fd = atomic_load(&tracker_fd);
        close_and_forget(&making[0]);
        close_and_forget(&making[1]);
        if (!mp__tracker_keep) {
            if (is_ours(fd)) {
                close(fd);
            }
            atomic_store(&tracker_fd, -1);
        }
        tracker_pid = reaped_pid = 0;
        leaving_count = 0;
        pthread_mutex_init(&turn, NULL); /* whoever had it is not here */
    }
}

static void
init(void)
{
    init_status = mp__process_init();
    if (init_status == 0) {
        init_status = mp__fork_hooks(NULL, NULL, in_child);
    }
}

/* ---- a call ---------------------------------------------------------------------------------- */

struct call {
    sigset_t mask;
    int cancel;
};

static int
begin(struct call *c)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t most;
    pthread_once(&once, init);
    if (init_status < 0) {
        return mp__error(init_status, "resource_tracker: no memory");
    }
    sigfillset(&most);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        sigdelset(&most, faults[i]);
    }
    pthread_sigmask(SIG_BLOCK, &most, &c->mask);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &c->cancel);
    pthread_mutex_lock(&turn);
    return 0;
}

static void
end(const struct call *c)
{
    pthread_mutex_unlock(&turn);
    pthread_setcancelstate(c->cancel, NULL);
    pthread_sigmask(SIG_SETMASK, &c->mask, NULL);
}

/* ---- trackers that leave --------------------------------------------------------------------- */

/* Under mutex: reap it if it has ended, and take it from the list.  1 and *ret_code, 0, -ECHILD. */
static int
collect(pid_t pid, int pidfd, int *ret_code)
{
    size_t i = 0;
    while (i < leaving_count && leaving[i] != pid) {
        i++;
    }
    if (i == leaving_count) {
        *ret_code = reaped_code;
        return reaped_pid == pid ? 1 : -ECHILD;
    }
    int status = mp__plat_child_ended(pid, pidfd, ret_code);
    if (status != 0) {
        if (status > 0) {
            mp__plat_reap(pid, pidfd);
            reaped_pid = pid;
            reaped_code = *ret_code;
            reaped_told = false;
        }
        leaving[i] = leaving[--leaving_count];
    }
    return status;
}

/* Under mutex. */
static void
reap_leaving(void)
{
    int code;
    for (size_t i = leaving_count; i-- > 0;) {
        collect(leaving[i], -1, &code);
    }
}

/* Under mutex, by who has `turn`: be no client of the tracker any more. */
static void
let_go(void)
{
    int fd = atomic_load(&tracker_fd);
    if (is_ours(fd)) {
        close(fd);
    }
    atomic_store(&tracker_fd, -1);
    if (tracker_pid > 0) {
        reap_leaving();
        if (leaving_count == MOST_LEAVING) {
            memmove(leaving, leaving + 1, --leaving_count * sizeof *leaving);
        }
        leaving[leaving_count++] = tracker_pid;
    }
    tracker_pid = 0;
}

/* Wait for a tracker that leaves.  1 and *ret_code; 0: the time is over; -ECHILD. */
static int
wait_for(pid_t pid, mp__deadline until, int *ret_code)
{
    int pidfd = mp__plat_pidfd(pid), status;
    int64_t nap = MP__MS / 4;
    for (;;) {
        pthread_mutex_lock(&mutex);
        status = collect(pid, pidfd, ret_code);
        pthread_mutex_unlock(&mutex);
        if (status != 0 || mp__deadline_passed(until)) {
            break;
        }
        if (pidfd >= 0) {
            mp__plat_poll_in(pidfd, until);
        } else {
            nanosleep(&(struct timespec){.tv_nsec = nap}, NULL);
            nap = nap < 16 * MP__MS ? nap * 2 : nap;
        }
    }
    if (pidfd >= 0) {
        close(pidfd);
    }
    return status;
}

/* ---- launching ------------------------------------------------------------------------------- */

static MP_NORETURN_ATTR void
in_tracker(int fd, int last)
{
    int keep[] = {STDERR_FILENO, fd};
    mp__tracker_deaf();
    if (mp__family) {
        munmap((void *)(uintptr_t)mp__family->base, mp__family->size); /* it is not of the family */
    }
    mp__fds_close_others(keep, 2, last);
    mp__tracker_main(fd);
}

/* A tracker that is a child of fork().  0, or an error with text. */
static int
fork_tracker(int fd, pid_t *ret_pid)
{
    int last = mp__fds_highest() + SLACK;
    launches = true;
    pid_t pid = fork();
    if (pid == 0) {
        in_tracker(fd, last);
    }
    launches = false;
    *ret_pid = pid;
    return pid < 0 ? mp__error_os(errno, "resource_tracker: fork") : 0;
}

/* By who has `turn`, without a tracker.  0, or an error with text. */
static int
launch(void)
{
    pthread_mutex_lock(&mutex); /* no fork comes between the pipe and the note of it */
    reap_leaving();
    int ends[2], status = mp__plat_pipe(ends);
    if (status == 0) {
        status = mp__plat_lift_pair(ends);
    }
    if (status == 0) {
        memcpy(making, ends, sizeof making);
    }
    pthread_mutex_unlock(&mutex);
    if (status < 0) {
        return mp__error_os(-status, "resource_tracker: no pipe to it");
    }
    pid_t pid = -1;
    status = mp__program_argv() ? mp__spawn_tracker(ends[0], &pid) : MP_ENOTSUP;
    if (status < 0) {
        /* No mp_freeze_support(), or the image cannot be run, or has no descriptors to spare. */
        status = fork_tracker(ends[0], &pid);
    }
    pthread_mutex_lock(&mutex);
    close_and_forget(&making[0]);
    if (status == 0) {
        fstat(making[1], &tracker_pipe);
        tracker_pid = pid;
        atomic_store(&tracker_fd, making[1]);
        making[1] = -1;
    }
    close_and_forget(&making[1]);
    pthread_mutex_unlock(&mutex);
    return status;
}

/* The tracker died, or the program closed our end.  Whether it died. */
static bool
give_up(void)
{
    pthread_mutex_lock(&mutex);
    bool died = is_ours(atomic_load(&tracker_fd));
    let_go();
    reap_leaving();
    reaped_told = true; /* by a warning */
    pthread_mutex_unlock(&mutex);
    return died;
}

/* By who has `turn`.  *ret_died: how many trackers did.  0, or an error with text. */
static int
send_line(const char *line, size_t len, int *ret_died)
{
    int status = 0;
    *ret_died = 0;
    for (int i = 0; i < TRIES; i++) {
        int fd = atomic_load(&tracker_fd);
        if (fd < 0) {
            status = launch();
            fd = atomic_load(&tracker_fd);
        }
        if (status < 0) {
            return status;
        }
        struct iovec iov = {(void *)(uintptr_t)line, len};
        status = is_ours(fd) ? mp__plat_write_all(fd, &iov, 1) : -EBADF;
        if (status == 0) {
            return 0;
        }
        *ret_died += give_up();
        status = 0;
    }
    return mp__error(MP_ERUNTIME, "resource_tracker: it dies at once, %d times", TRIES);
}

/* As begin(), when the pipe has room for a line. */
static int
begin_with_room(struct call *c)
{
    for (;;) {
        int status = begin(c);
        struct pollfd p = {.fd = atomic_load(&tracker_fd), .events = POLLOUT};
        if (status < 0 || p.fd < 0 || poll(&p, 1, 0) != 0) {
            return status; /* also when it is broken: sending tells */
        }
        end(c);
        poll(&p, 1, LOOK_MS); /* it may be closed by another thread, meanwhile */
    }
}

/* A whole call.  Afterwards, for the log's handler is the program's: tell of trackers that died. */
static int
request(const char *line, size_t len)
{
    struct call c;
    int died, status = begin_with_room(&c);
    if (status < 0) {
        return status;
    }
    status = send_line(line, len, &died);
    end(&c);
    if (died > 0) {
        mp__log_warning("resource_tracker: process died unexpectedly, relaunching.  Some resources "
                        "might leak.");
    }
    return status;
}

static int
request_for(const char *command, const char *name, const char *type)
{
    char line[MP__TRACKER_LINE];
    int len = mp__tracker_format(line, command, name, type);
    return len < 0 ? len : request(line, (size_t)len);
}

/* ---- the public calls ------------------------------------------------------------------------ */

int
mp_resource_tracker_ensure_running(void)
{
    return request_for("PROBE", "0", "noop");
}

int
mp_resource_tracker_register(const char *name, const char *type)
{
    return request_for("REGISTER", name, type);
}

int
mp_resource_tracker_unregister(const char *name, const char *type)
{
    return request_for("UNREGISTER", name, type);
}

int
mp_resource_tracker_getfd(void)
{
    int status = mp_resource_tracker_ensure_running();
    return status < 0 ? status : atomic_load(&tracker_fd);
}

int
mp_resource_tracker_setfd(int fd)
{
    struct stat st;
    struct call c;
    int mode = fd < 0 || fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode) ? -1 : fcntl(fd, F_GETFL);
    if (mode < 0 || (mode & O_ACCMODE) == O_RDONLY) {
        return mp__error(MP_EVALUE, "mp_resource_tracker_setfd: %d is no writing end of a pipe",
                         fd);
    }
    int status = begin(&c);
    if (status < 0) {
        return status;
    }
    pthread_mutex_lock(&mutex);
    if (fd != atomic_load(&tracker_fd) || !is_ours(fd)) {
        let_go();
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        tracker_pipe = st;
        atomic_store(&tracker_fd, fd);
    }
    pthread_mutex_unlock(&mutex);
    end(&c);
    return 0;
}

/* The one that left last, if nobody was told its end; -1: none. */
static pid_t
stop(void)
{
    pthread_mutex_lock(&mutex);
    let_go();
    pid_t pid = leaving_count > 0 ? leaving[leaving_count - 1] : reaped_told ? -1 : reaped_pid;
    pthread_mutex_unlock(&mutex);
    return pid > 0 ? pid : -1;
}

int
mp_resource_tracker_stop(double timeout, int *ret_exitcode)
{
    struct call c;
    mp__deadline until;
    int code = 0, status = mp__deadline_from(timeout, "mp_resource_tracker_stop", &until);
    status = status < 0 ? status : begin(&c);
    if (status < 0) {
        return status;
    }
    pid_t pid = stop();
    end(&c);
    if (pid <= 0) {
        return MP_NOT_YET;
    }
    status = wait_for(pid, until, &code);
    if (status == 0) {
        return mp__error(MP_ETIMEOUT, "mp_resource_tracker_stop: others are its clients still");
    }
    if (status < 0) {
        return mp__error_os(-status, "mp_resource_tracker_stop: its status");
    }
    pthread_mutex_lock(&mutex);
    reaped_told |= reaped_pid == pid;
    pthread_mutex_unlock(&mutex);
    if (ret_exitcode) {
        *ret_exitcode = code;
    }
    return 0;
}

/* ---- children and the end -------------------------------------------------------------------- */

int
mp__tracker_share(void)
{
    if (atomic_load_explicit(&tracker_fd, memory_order_relaxed) < 0) {
        return -1;
    }
    pthread_mutex_lock(&mutex);
    int fd = atomic_load(&tracker_fd), copy = -1;
    if (is_ours(fd)) {
        copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        copy = copy < 0 ? -errno : copy;
    }
    pthread_mutex_unlock(&mutex);
    return copy;
}

void
mp__tracker_adopt(int fd)
{
    if (mp_resource_tracker_setfd(fd) < 0) {
        close(fd);
    }
}

void
mp__tracker_end(void)
{
    struct call c;
    int code;
    pthread_mutex_lock(&mutex);
    bool any = atomic_load(&tracker_fd) >= 0 || leaving_count > 0;
    pthread_mutex_unlock(&mutex);
    if (!any || begin(&c) < 0) {
        return;
    }
    pid_t pid = stop();
    end(&c);
    if (pid > 0) {
        wait_for(pid, mp__plat_now() + END_PATIENCE, &code);
    }
    pthread_mutex_lock(&mutex);
    reap_leaving();
    reaped_told = true;
    pthread_mutex_unlock(&mutex);
}
