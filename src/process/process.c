/* process/process.c: the public calls on mp_process. */
#include "process/process.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/handle.h"
#include "base/name.h"
#include "heap/heap.h"
#include "platform/platform.h"
#include "process/attributes.h"
#include "process/crash.h"

/* ---- names ----------------------------------------------------------------------------------- */

/* {pid:32 | count:32}: a child finds another's pid in it. */
static MP__FORK_DATA _Atomic uint64_t counter;

/* The number of the next child of this process.  Python counts at construction, and from 1 again in
   every child. */
static unsigned
next_number(pid_t owner)
{
    uint64_t pid = (uint64_t)owner << 32, seen = atomic_load(&counter), next;
    do {
        next = (seen >> 32 << 32 == pid ? seen : pid) + 1;
    } while (!atomic_compare_exchange_weak(&counter, &seen, next));
    return (unsigned)(next & UINT32_MAX);
}

/* As stpcpy; printf is much code for a program to have at hand at each start. */
static char *
put(char *to, const char *text)
{
    while ((*to = *text++) != '\0') {
        to++;
    }
    return to;
}

static char *
put_number(char *to, unsigned n)
{
    if (n >= 10) {
        to = put_number(to, n / 10);
    }
    *to = (char)('0' + n % 10);
    to[1] = '\0';
    return to + 1;
}

/*
 * The object of programs that have one at a time, with its texts: parent and child write to it right
 * after the fork, and here that is no page more to copy.
 */
#define NEAR_ROOM 48
static MP__FORK_DATA struct {
    mp_process object;
    char identity[NEAR_ROOM], name[NEAR_ROOM];
} near;
static MP__FORK_DATA atomic_bool near_taken;

/* What a child's number and the ':' before it take, with the NUL. */
#define NUMBER_ROOM 12

/*
 * An object that is all 0 but for its owner, its identity ("3" in the main process, "1:3" in its first
 * child) and the name that it has by default, which lie behind it.  NULL: no memory.
 */
static mp_process *
blank(const mp_context *context)
{
    const char *mine = mp__process_self()->identity;
    const char *prefix = context ? context->process_prefix : "Process";
    size_t identity_room = strlen(mine) + NUMBER_ROOM, room = strlen(prefix) + 1 + identity_room;
    mp_process *p;
    char *identity = near.identity, *name = near.name;
    if (room <= NEAR_ROOM && !atomic_exchange(&near_taken, true)) {
        p = &near.object;
    } else {
        p = malloc(sizeof *p + identity_room + room);
        if (!p) {
            return NULL;
        }
        identity = (char *)(p + 1);
        name = identity + identity_room;
    }
    memset(p, 0, sizeof *p);
    p->owner = getpid();
    p->identity = identity;
    p->name = name;
    char *end = put(identity, mine);
    put_number(*mine ? put(end, ":") : end, next_number(p->owner));
    put(put(put(name, prefix), "-"), identity);
    return p;
}

static void
drop(mp_process *p)
{
    if (p == &near.object) {
        atomic_store(&near_taken, false);
    } else {
        free(p);
    }
}

void
mp__process_destroy(mp_process *p)
{
    int saved = errno;
    p->waiters = 0; /* in a child of fork: the parent's */
    mp__children_close_sentinel(p);
    mp_args_free(p->args);
    mp_args_free(p->userdata);
    mp__authkey_unref(p->authkey);
    free(p->attributes);
    mp__crash_free(p->crash);
    if (p->name_is_ours) {
        free(p->name);
    }
    drop(p);
    if (errno != saved) {
        errno = saved; /* else its page, after a fork, would be copied for nothing */
    }
}

/* ---- making ---------------------------------------------------------------------------------- */

static int
check_options(const mp_process_options *o)
{
    for (size_t i = 0; i < sizeof o->reserved / sizeof *o->reserved; i++) {
        if (o->reserved[i]) {
            return mp__error(MP_EVALUE, "mp_process_new: a reserved option is not 0 (initialise "
                                        "the struct with = {0} or designators)");
        }
    }
    if (o->daemon < -1 || o->daemon > 1) {
        return mp__error(MP_EVALUE, "mp_process_new: daemon is %d, not one of enum mp_daemon",
                         o->daemon);
    }
    return 0;
}

mp_process *
mp_process_new(mp_target target, mp_args *args, const mp_process_options *options)
{
    static const mp_process_options defaults;
    const mp_process_options *o = options ? options : &defaults;
    mp_process *p = NULL;
    struct mp__attributes *attributes = NULL;
    if (check_options(o) == 0 && mp__process_init() == 0 &&
        mp__attributes_make(o, &attributes) == 0) {
        p = blank(o->context);
        if (!p) {
            free(attributes);
            mp__error(MP_ENOMEM, "mp_process_new: no memory");
        }
    }
    if (!p) {
        mp_args_free(args);
        return NULL;
    }
    p->attributes = attributes;
    p->target = target;
    p->args = args;
    p->context = o->context;
    p->sentinel = p->verdict = p->start_pipe = p->lifeline = -1;
    p->daemon =
        o->daemon == MP_DAEMON_INHERIT ? mp__process_self()->daemon : o->daemon == MP_DAEMON_YES;
    if (o->name && *o->name) {
        p->name = strdup(o->name);
        p->name_is_ours = p->name != NULL;
    }
    if (mp__authkey_inherit(p) < 0) {
        mp__process_destroy(p);
        return NULL;
    }
    if (!p->name || mp__handle_add(p, MP__PROCESS) < 0) {
        mp__process_destroy(p);
        mp__error(MP_ENOMEM, "mp_process_new: no memory");
        return NULL;
    }
    return p;
}

int
mp_process_free(mp_process *p)
{
    if (!p) {
        return 0;
    }
    int status = mp__handle_check(p, MP__PROCESS, "mp_process_free");
    if (status < 0) {
        return status;
    }
    if (p == mp__process_self() || p->foreign) {
        return mp__error(MP_EVALUE, "mp_process_free: %s is not yours to free", p->name);
    }
    if (!mp__handle_remove(p, MP__PROCESS)) {
        return mp__error(MP_EVALUE, "mp_process_free: freed by another thread meanwhile");
    }
    bool needed = false;
    if (p->owner == getpid()) {
        mp__children_lock();
        needed = !mp__children_poll(p) || p->held > 0;
        p->detached = true;
        mp__children_unlock();
    }
    if (!needed) {
        mp__process_destroy(p);
    }
    return 0;
}

/* ---- starting -------------------------------------------------------------------------------- */

static int
not_usable(const mp_process *p, const char *call)
{
    return mp__error(MP_EVALUE, "%s: %s is closed", call, p->name);
}

/* 0 when p is a live object of this process, not closed. */
static int
check(mp_process *p, const char *call)
{
    int status = mp__handle_check(p, MP__PROCESS, call);
    if (status == 0 && p->state == MP__CLOSED) {
        status = not_usable(p, call);
    }
    return status;
}

static int
check_owner(mp_process *p, const char *call)
{
    int status = check(p, call);
    if (status == 0 && (p->owner != getpid() || p->foreign || p == mp__process_self())) {
        status = mp__error(MP_ESTATE, "%s: %s is not a child of this process", call, p->name);
    }
    return status;
}

int
mp_process_start(mp_process *p)
{
    int status = mp__heap_join(); /* first: an image that missed mp_freeze_support() ends here */
    if (status == 0) {
        status = check_owner(p, "mp_process_start");
    }
    if (status < 0) {
        return status;
    }
    if (mp__process_self()->daemon) {
        return mp__error(MP_ESTATE, "mp_process_start: %s is a daemon, and may not have children",
                         mp__process_self()->name);
    }
    enum mp__state expected = MP__INITIAL;
    if (!atomic_compare_exchange_strong(&p->state, &expected, MP__STARTING)) {
        return mp__error(MP_ESTATE, "mp_process_start: %s was started before", p->name);
    }
    mp__children_sweep();
    mp__plat_flush_output();
    const mp_context *context = p->context ? p->context : mp__context_in_use();
    p->popen = context->popen;
    p->ticket = mp__crash_ticket();
    status = p->popen->launch(p);
    if (status < 0) {
        mp__children_cut(p);
        p->popen = NULL;
        p->pid = 0;
        p->state = MP__INITIAL;
        return status;
    }
    mp_args_free(p->args); /* the child has its own */
    p->args = NULL;
    p->run = NULL;
    mp__children_add(p);
    return 0;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool
not_started(const mp_process *p)
{
    enum mp__state state = p->state;
    return state == MP__INITIAL || state == MP__STARTING;
}

int
mp_process_join(mp_process *p, double timeout)
{
    mp__deadline until;
    int status = check_owner(p, "mp_process_join");
    if (status < 0 || (status = mp__deadline_from(timeout, "mp_process_join", &until)) < 0) {
        return status;
    }
    if (not_started(p)) {
        return mp__error(MP_ESTATE, "mp_process_join: %s was not started", p->name);
    }
    status = mp__children_wait(p, until);
    return status < 0
               ? mp__error(status, "mp_process_join: %s (pid %d) still runs", p->name, (int)p->pid)
               : 0;
}

int
mp_process_is_alive(mp_process *p)
{
    int status = check(p, "mp_process_is_alive");
    if (status < 0 || p == mp__process_self()) {
        return status < 0 ? status : 1;
    }
    if (p->foreign) {
        return !mp__parent_ended(p);
    }
    status = check_owner(p, "mp_process_is_alive");
    return status < 0 ? status : p->state == MP__STARTED && !mp__children_ended(p);
}

int
mp_process_exitcode(mp_process *p, int *ret_code)
{
    int status = check(p, "mp_process_exitcode");
    if (status < 0) {
        return status;
    }
    if (!ret_code) {
        return mp__error(MP_EVALUE, "mp_process_exitcode: NULL");
    }
    if (p->owner != getpid() || p->foreign || p == mp__process_self() || not_started(p) ||
        !mp__children_ended(p)) {
        return MP_NOT_YET;
    }
    if (p->lost) {
        return mp__error(-ECHILD,
                         "mp_process_exitcode: %s (pid %d) has ended, but its status was taken by "
                         "another waitpid() of this program, or SIGCHLD is ignored",
                         p->name, (int)p->pid);
    }
    *ret_code = p->exitcode;
    return 0;
}

/* In another process than the owner, under fork: while the sentinel is silent the pid is still that
   of the child. */
static int
signal_as_stranger(mp_process *p, int signal_number)
{
    if (p->sentinel < 0 || mp__plat_poll_in(p->sentinel, MP__TRY) != 0) {
        return 0;
    }
    return mp__plat_signal(p->pid, p->sentinel_is_pidfd ? p->sentinel : -1, signal_number);
}

static int
send_signal(mp_process *p, int signal_number, const char *call)
{
    int status = check(p, call);
    if (status < 0) {
        return status;
    }
    if (not_started(p) || !p->popen || p == mp__process_self()) {
        return mp__error(MP_ESTATE, "%s: %s is not a started child", call, p->name);
    }
    if (p->owner != getpid()) {
        status = signal_as_stranger(p, signal_number);
    } else {
        mp__children_lock();
        status = mp__children_poll(p) ? 0 : p->popen->signal(p, signal_number);
        mp__children_unlock();
    }
    if (status < 0 && status != -ESRCH) {
        return mp__error_os(-status, "%s: signal %d to %s (pid %d)", call, signal_number, p->name,
                            (int)p->pid);
    }
    return 0;
}

int
mp_process_terminate(mp_process *p)
{
    return send_signal(p, SIGTERM, "mp_process_terminate");
}

int
mp_process_kill(mp_process *p)
{
    return send_signal(p, SIGKILL, "mp_process_kill");
}

int
mp_process_interrupt(mp_process *p)
{
    return send_signal(p, SIGINT, "mp_process_interrupt");
}

int
mp_process_close(mp_process *p)
{
    int status = mp__handle_check(p, MP__PROCESS, "mp_process_close");
    if (status < 0 || p->state == MP__CLOSED || p == mp__process_self() || p->foreign) {
        return status;
    }
    if (p->state != MP__INITIAL) {
        status = check_owner(p, "mp_process_close");
        if (status == 0 && (p->state == MP__STARTING || !mp__children_ended(p))) {
            status =
                mp__error(MP_ESTATE, "mp_process_close: %s still runs; join it first", p->name);
        }
    }
    if (status == 0) {
        mp__children_lock();
        mp_args *args = p->args;
        p->args = NULL;
        p->state = MP__CLOSED;
        mp__children_close_sentinel(p);
        mp__children_unlock();
        mp_args_free(args);
    }
    return status;
}

pid_t
mp_process_pid(mp_process *p)
{
    int status = check(p, "mp_process_pid");
    if (status == 0 && p == mp__process_self()) {
        return getpid(); /* a child of a plain fork() has its parent's object */
    }
    return status < 0 ? status : p->pid;
}

int
mp_process_sentinel(mp_process *p)
{
    int status = check(p, "mp_process_sentinel");
    if (status == 0 && p->sentinel < 0) {
        status = mp__error(MP_EVALUE, "mp_process_sentinel: %s %s", p->name,
                           not_started(p) ? "was not started" : "has none");
    }
    return status < 0 ? status : p->sentinel;
}

const char *
mp_process_name(mp_process *p)
{
    return mp__handle_check(p, MP__PROCESS, "mp_process_name") < 0 ? NULL : p->name;
}

int
mp_process_set_name(mp_process *p, const char *name)
{
    int status = mp__handle_check(p, MP__PROCESS, "mp_process_set_name");
    if (status < 0) {
        return status;
    }
    if (!name) {
        return mp__error(MP_EVALUE, "mp_process_set_name: NULL");
    }
    char *copy = strdup(name);
    if (!copy) {
        return mp__error(MP_ENOMEM, "mp_process_set_name: no memory");
    }
    if (p == mp__process_self()) {
        mp__name_set(name);
    }
    mp__children_lock(); /* a start in another thread may be copying the old one */
    char *old = p->name_is_ours ? p->name : NULL;
    p->name = copy;
    p->name_is_ours = true;
    mp__children_unlock();
    free(old);
    return 0;
}

int
mp_process_daemon(mp_process *p)
{
    int status = mp__handle_check(p, MP__PROCESS, "mp_process_daemon");
    return status < 0 ? status : p->daemon;
}

int
mp_process_set_daemon(mp_process *p, bool daemon)
{
    int status = check_owner(p, "mp_process_set_daemon");
    if (status == 0 && p->state != MP__INITIAL) {
        status = mp__error(MP_ESTATE, "mp_process_set_daemon: %s was started already", p->name);
    }
    if (status == 0) {
        p->daemon = daemon;
    }
    return status;
}
