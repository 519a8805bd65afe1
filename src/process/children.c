/*
 * process/children.c: the children of this process: the list of them, reaping, and what happens to
 * them when this process ends.
 *
 * Writers   one mutex over the list, and over every wait for a status: so of two threads that join
 *           one child, both learn its exit code.  Nobody sleeps under it.
 * Death     a status that somebody else took (waitpid(-1), SIGCHLD ignored) is noted as lost
 * Fork      the child starts with an empty list; objects it inherits belong to their owner
 */
#include "process/process.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/handle.h"
#include "heap/member.h"
#include "platform/platform.h"

/* Without pidfds a sentinel may be held open by strangers: look for ourselves this often. */
#define LOOK_MS 50

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static mp_process *first;
static int init_status;

void
mp__children_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void
mp__children_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

static void
before_fork(void)
{
    mp__children_lock(); /* in this order: a signal through the forkserver takes both too */
    mp__forkserver_lock();
}

static void
in_parent(void)
{
    mp__forkserver_unlock();
    mp__children_unlock();
}

static void
in_child(void)
{
    mp_process *me = mp__process_self();
    if (me->start_pipe >= 0) {
        close(me->start_pipe); /* it tells the end of the process that forked, not of this one */
        me->start_pipe = -1;
    }
    mp__forkserver_forked();
    mp__forkserver_unlock();
    first = NULL;
    mp__children_unlock();
}

static void
init(void)
{
    init_status = mp__fork_hooks(before_fork, in_parent, in_child);
    if (init_status == 0 && atexit(mp__process_shutdown) != 0) {
        init_status = mp__error(MP_ENOMEM, "no memory for the library's exit handler");
    }
}

int
mp__process_init(void)
{
    pthread_once(&once, init);
    return init_status;
}

/* ---- the list -------------------------------------------------------------------------------- */

void
mp__children_add(mp_process *p)
{
    mp__children_lock();
    p->back = NULL;
    p->next = first;
    if (first) {
        first->back = p;
    }
    first = p;
    p->state = MP__STARTED;
    mp__children_unlock();
}

static void
take_out(mp_process *p)
{
    if (p->back) {
        p->back->next = p->next;
    } else if (first == p) {
        first = p->next;
    }
    if (p->next) {
        p->next->back = p->back;
    }
    p->next = p->back = NULL;
}

bool
mp__children_poll(mp_process *p)
{
    if (p->state == MP__STARTED && p->popen->poll(p)) {
        p->state = MP__ENDED;
        take_out(p);
    }
    return p->state != MP__STARTED;
}

/* The same in a walk over the list: one that nobody has any more is freed with its end. */
static bool
poll_or_drop(mp_process *p)
{
    bool ended = mp__children_poll(p);
    if (ended && p->detached) {
        mp__process_destroy(p);
    }
    return ended;
}

int
mp__children_poll_pid(mp_process *p)
{
    siginfo_t info;
    int status, r;
    do {
        info.si_pid = 0;
        r = waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT);
    } while (r < 0 && errno == EINTR);
    if (r == 0 && info.si_pid == 0) {
        return 0;
    }
    if (r == 0) {
        /* While it is a zombie its pid is nobody else's: what it left in the table is freed now. */
        mp__member_reaped(p->pid);
        pid_t got;
        do {
            got = waitpid(p->pid, &status, 0);
        } while (got < 0 && errno == EINTR);
        r = got == p->pid ? 0 : -1;
    }
    if (r < 0) {
        p->lost = true;
    } else {
        p->exitcode = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    }
    return 1;
}

int
mp__children_signal_pid(mp_process *p, int signal_number)
{
    return kill(p->pid, signal_number) < 0 ? -errno : 0;
}

int
mp__children_wait(mp_process *p, mp__deadline until)
{
    int status = 0;
    bool early = false; /* a child that closes its end before its own has it readable too soon */
    mp__children_lock();
    while (!mp__children_poll(p)) {
        if (mp__deadline_passed(until)) {
            status = MP_ETIMEOUT;
            break;
        }
        struct pollfd fd = {p->sentinel, POLLIN, 0};
        int cap_ms = p->sentinel_is_pidfd ? -1 : LOOK_MS;
        p->waiters++;
        mp__children_unlock();
        if (early) {
            nanosleep(&(struct timespec){.tv_nsec = MP__MS}, NULL);
        } else {
            early = poll(&fd, 1, mp__deadline_poll_ms(until, cap_ms)) > 0 && cap_ms >= 0;
        }
        mp__children_lock();
        p->waiters--;
    }
    if (p->state == MP__CLOSED) {
        mp__children_close_sentinel(p); /* by another thread, meanwhile */
    }
    mp__children_unlock();
    return status;
}

void
mp__children_close_sentinel(mp_process *p)
{
    if (p->waiters == 0 && p->sentinel >= 0) {
        close(p->sentinel);
        p->sentinel = -1;
    }
}

bool
mp__children_have_pidfds(void)
{
    static _Atomic int known; /* 0: not asked yet, 1: no, 2: yes */
    int k = atomic_load_explicit(&known, memory_order_relaxed);
    if (k == 0) {
        int fd = mp__plat_pidfd(getpid());
        if (fd >= 0) {
            close(fd);
        }
        k = fd == -ENOTSUP ? 1 : 2;
        atomic_store_explicit(&known, k, memory_order_relaxed);
    }
    return k == 2;
}

void
mp__process_destroy(mp_process *p)
{
    int saved = errno;
    if (p->sentinel >= 0) {
        close(p->sentinel);
    }
    mp_args_free(p->args);
    if (p->name_is_ours) {
        free(p->name);
    }
    free(p->identity);
    free(p);
    errno = saved;
}

void
mp__children_sweep(void)
{
    mp__children_lock();
    for (mp_process *p = first, *next; p; p = next) {
        next = p->next;
        if (p->detached) {
            poll_or_drop(p);
        }
    }
    mp__children_unlock();
}

mp_process **
mp_active_children(size_t *ret_count)
{
    size_t count = 0, room = 0;
    mp_process **list = NULL;
    mp__children_lock();
    for (mp_process *p = first; p; p = p->next) {
        room++;
    }
    list = malloc((room + 1) * sizeof *list);
    for (mp_process *p = first, *next; p && list; p = next) {
        next = p->next;
        if (!poll_or_drop(p) && !p->detached) {
            list[count++] = p;
        }
    }
    mp__children_unlock();
    if (!list) {
        mp__error(MP_ENOMEM, "mp_active_children: no memory for %zu children", room);
    }
    if (ret_count) {
        *ret_count = list ? count : 0;
    }
    return list;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* The oldest child that runs, NULL; what was let go of and has ended is freed on the way. */
static mp_process *
any_running(void)
{
    mp_process *found = NULL;
    mp__children_lock();
    for (mp_process *p = first, *next; p; p = next) {
        next = p->next;
        if (!poll_or_drop(p)) {
            found = p;
        }
    }
    mp__children_unlock();
    return found;
}

void
mp__process_shutdown(void)
{
    mp__children_lock();
    for (mp_process *p = first, *next; p; p = next) {
        next = p->next;
        if (p->daemon && !poll_or_drop(p)) {
            p->popen->signal(p, SIGTERM);
        }
    }
    mp__children_unlock();
    mp_process *p;
    while ((p = any_running()) != NULL) {
        mp__children_wait(p, MP__NEVER);
        if (p->detached) {
            mp__process_destroy(p); /* the wait took it from the list */
        }
    }
    mp__process_settle();
    mp__member_leave();
}

void
mp__process_settle(void)
{
    mp__forkserver_stop();
    mp__children_sweep();
}
