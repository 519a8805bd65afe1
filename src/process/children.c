/*
 * process/children.c: the children of this process: the list of them, reaping, and what happens to
 * them when this process ends.
 *
 * Writers   one mutex over the list, and over every wait for a status: so of two threads that join
 *           one child, both learn its exit code.  Nobody sleeps under it.
 * Orphans   a daemon hangs on a pipe whose writing end only its parent has: however that ends, and
 *           whichever thread started it, the system sees to the daemon's end (lifeline).
 * Death     a status that somebody else took (waitpid(-1), SIGCHLD ignored) is noted as lost
 * Fork      the child starts with an empty list; objects it inherits belong to their owner
 */
#include "process/process.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/handle.h"
#include "base/log.h"
#include "base/name.h"
#include "heap/heap.h"
#include "heap/member.h"
#include "platform/platform.h"
#include "process/crash.h"
#include "process/finalize.h"
#include "process/launch.h"
#include "process/tracker.h"

/* Without pidfds a sentinel may be held open by strangers: look for ourselves this often. */
#define LOOK_MS 50

/* So long who asks whether a child has ended waits for the exit code of one that is dead. */
#define PATIENCE MP__S

static MP__FORK_DATA pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static MP__FORK_DATA pthread_once_t once = PTHREAD_ONCE_INIT;
static MP__FORK_DATA mp_process *first;
static MP__FORK_DATA mp_process *first_line; /* of those with a lifeline, started or about to be */
static MP__FORK_DATA int init_status;

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
    mp__children_lock(); /* in this order, everywhere */
    mp__forkserver_lock();
    mp__preload_lock();
    mp__spawn_lock();
}

static void
in_parent(void)
{
    mp__spawn_unlock();
    mp__preload_unlock();
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
    if (me->lifeline >= 0) {
        close(me->lifeline);
        me->lifeline = -1;
    }
    for (mp_process *p = first_line; p; p = p->line_next) {
        close(p->lifeline); /* it is our parent's alone: else its daemons would wait for us too */
        p->lifeline = -1;
    }
    first_line = NULL;
    mp__spawn_forked();
    mp__spawn_unlock();
    mp__preload_unlock();
    mp__forkserver_forked();
    mp__forkserver_unlock();
    first = NULL;
    mp__children_unlock();
}

static void
init(void)
{
    mp__name_set(mp__process_self()->name); /* so that no child has to install its hooks */
    mp__process_know_pid();                 /* before there are threads that ask for it */
    init_status = mp__fork_hooks(before_fork, in_parent, in_child);
    if (init_status == 0) {
        init_status = mp__registry_init();
    }
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

/* Under the mutex. */
static void
cut(mp_process *p)
{
    if (p->lifeline < 0) {
        return;
    }
    if (p->line_back) {
        p->line_back->line_next = p->line_next;
    } else {
        first_line = p->line_next;
    }
    if (p->line_next) {
        p->line_next->line_back = p->line_back;
    }
    p->line_next = p->line_back = NULL;
    close(p->lifeline);
    p->lifeline = -1;
}

void
mp__children_cut(mp_process *p)
{
    mp__children_lock();
    cut(p);
    mp__children_unlock();
}

int
mp__children_lifeline(mp_process *p)
{
    int fds[2];
    mp__children_lock(); /* held over fork: no child gets the end without knowing of it */
    int status = mp__plat_pipe(fds);
    if (status == 0) {
        status = mp__plat_lift_pair(fds);
    }
    if (status == 0) {
        p->lifeline = fds[1];
        p->line_back = NULL;
        p->line_next = first_line;
        if (first_line) {
            first_line->line_back = p;
        }
        first_line = p;
    }
    mp__children_unlock();
    return status < 0
               ? mp__error_os(-status, "mp_process_start: no pipe to end the daemon %s by", p->name)
               : fds[0];
}

bool
mp__children_poll(mp_process *p)
{
    if (p->state == MP__STARTED && p->popen->poll(p)) {
        mp__crash_collect(p);
        p->state = MP__ENDED;
        take_out(p);
        cut(p);
    }
    return p->state != MP__STARTED;
}

/* The same in a walk over the list: one that nobody has any more is freed with its end. */
static bool
poll_or_drop(mp_process *p)
{
    bool ended = mp__children_poll(p);
    if (ended && p->detached && p->held == 0) {
        mp__process_destroy(p);
    }
    return ended;
}

/* The pidfd of a child that has one. */
static int
pidfd_of(const mp_process *p)
{
    return p->sentinel_is_pidfd ? p->sentinel : -1;
}

int
mp__children_poll_pid(mp_process *p)
{
    int status = p->seen ? 1 : mp__plat_child_ended(p->pid, pidfd_of(p), &p->exitcode);
    if (status >= 0 && !p->sentinel_is_pidfd && p->started != 0) {
        uint32_t start = mp__plat_start_time(p->pid);
        if (start != 0 && start != p->started) {
            status = -ECHILD; /* another child of ours has the pid, so somebody reaped this one */
        }
    }
    if (status == 0) {
        return 0;
    }
    if (status > 0) {
        /* While it is a zombie its pid is nobody else's: what it left in the table is freed now. */
        mp__member_reaped(p->pid);
        mp__plat_reap(p->pid, pidfd_of(p));
    }
    p->lost = status < 0;
    return 1;
}

int
mp__children_signal_pid(mp_process *p, int signal_number)
{
    return mp__plat_signal(p->pid, pidfd_of(p), signal_number);
}

/* Whether waitid() will do: its end is then seen and known by one call. */
static bool
is_for_waitid(const mp_process *p, mp__deadline until)
{
    return until == MP__NEVER && p->sentinel_is_pidfd && p->popen->poll == mp__children_poll_pid;
}

/* Without the mutex; with it again, what came of it. */
static void
wait_for_end(mp_process *p)
{
    int code = 0;
    p->waiters++;
    mp__children_unlock();
    int status = mp__plat_child_await(p->pid, p->sentinel, &code);
    mp__children_lock();
    p->waiters--;
    if (status == 1 && p->state == MP__STARTED) {
        p->exitcode = code;
        p->seen = true;
    }
}

int
mp__children_wait(mp_process *p, mp__deadline until)
{
    int status = 0;
    bool early = false; /* a child that closes its end before its own has it readable too soon */
    mp__children_lock();
    /* Its end would be seen by the sentinel at once: a join that follows the start need not ask. */
    bool ask = until != MP__NEVER || !p->sentinel_is_pidfd || p->state != MP__STARTED;
    for (; !ask || !mp__children_poll(p); ask = true) {
        if (mp__deadline_passed(until)) {
            status = MP_ETIMEOUT;
            break;
        }
        if (is_for_waitid(p, until)) {
            wait_for_end(p);
            continue;
        }
        struct pollfd fd = {p->dead ? p->verdict : p->sentinel, POLLIN, 0};
        int cap_ms = p->sentinel_is_pidfd && !p->dead ? -1 : LOOK_MS;
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
    mp__crash_log();
    return status;
}

bool
mp__children_ended(mp_process *p)
{
    mp__children_lock();
    bool ended = mp__children_poll(p), dead = p->dead;
    mp__children_unlock();
    mp__crash_log();
    return ended || (dead && mp__children_wait(p, mp__plat_now() + PATIENCE) == 0);
}

void
mp__children_close_sentinel(mp_process *p)
{
    if (p->waiters > 0) {
        return;
    }
    if (p->sentinel >= 0) {
        close(p->sentinel);
    }
    if (p->verdict >= 0) {
        close(p->verdict);
    }
    p->sentinel = p->verdict = -1;
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
    mp__crash_log();
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
        if (!poll_or_drop(p) && !p->detached && !p->dead) {
            list[count++] = p;
        }
    }
    mp__children_unlock();
    mp__crash_log();
    if (!list) {
        mp__error(MP_ENOMEM, "mp_active_children: no memory for %zu children", room);
    }
    if (ret_count) {
        *ret_count = list ? count : 0;
    }
    return list;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Under the mutex: reap all that have ended.  The oldest that has not, or NULL. */
static mp_process *
reap(void)
{
    mp_process *found = NULL;
    for (mp_process *p = first, *next; p; p = next) {
        next = p->next;
        if (!poll_or_drop(p)) {
            found = p;
        }
    }
    return found;
}

static void
reap_all(void)
{
    mp__children_lock();
    reap();
    mp__children_unlock();
}

/* The oldest child that runs, held; or NULL. */
static mp_process *
any_running(void)
{
    mp__children_lock();
    mp_process *p = reap();
    if (p) {
        p->held++;
    }
    mp__children_unlock();
    return p;
}

/* Under the mutex.  One that nobody has any more is freed. */
static void
let_go(mp_process *p)
{
    p->held--;
    if (p->held == 0 && p->detached && p->state != MP__STARTED) {
        mp__process_destroy(p);
    }
}

/* The oldest child, a daemon if daemons, that was not called at this step of the end; it is now, and
   is held. */
static mp_process *
call_next(bool daemons, char name[MP__NAME_BYTES])
{
    mp_process *found = NULL;
    mp__children_lock();
    for (mp_process *p = first; p; p = p->next) {
        if (daemons ? p->daemon && !p->end_called : !p->join_called) {
            found = p;
        }
    }
    if (found) {
        found->held++;
        *(daemons ? &found->end_called : &found->join_called) = true;
        snprintf(name, MP__NAME_BYTES, "%s", found->name);
    }
    mp__children_unlock();
    return found;
}

static void
terminate(mp_process *p)
{
    mp__children_lock();
    if (!mp__children_poll(p)) {
        p->popen->signal(p, SIGTERM);
    }
    let_go(p);
    mp__children_unlock();
}

static void
join(mp_process *p)
{
    mp__children_wait(p, MP__NEVER); /* and takes it from the list */
    mp__children_lock();
    let_go(p);
    mp__children_unlock();
}

void
mp__children_end(void)
{
    char name[MP__NAME_BYTES];
    mp_process *p;
    reap_all(); /* nobody ends those that have ended, nor joins them below */
    while ((p = call_next(true, name)) != NULL) {
        mp__log_info("calling terminate() for daemon %s", name);
        terminate(p);
    }
    reap_all();
    while ((p = call_next(false, name)) != NULL) {
        mp__log_info("calling join() for process %s", name);
        join(p);
    }
    while ((p = any_running()) != NULL) {
        join(p); /* one that another thread started meanwhile */
    }
}

void
mp__process_settle(void)
{
    mp__forkserver_stop();
    mp__tracker_end();
    mp__children_sweep();
    mp__heap_arenas_end();
}
