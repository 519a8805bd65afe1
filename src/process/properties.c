/* process/properties.c: less of a process's life than of what can be said of it, and told to it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/handle.h"
#include "object/object.h"
#include "process/process.h"

/* 0 when p is a process of ours that was not started: it can still be told what to do. */
static int
check_unstarted(mp_process *p, const char *call)
{
    int status = mp__handle_check(p, MP__PROCESS, call);
    if (status < 0) {
        return status;
    }
    if (p->state == MP__CLOSED) {
        return mp__error(MP_EVALUE, "%s: %s is closed", call, p->name);
    }
    if (p->owner != getpid() || p->foreign || p == mp__process_self()) {
        return mp__error(MP_ESTATE, "%s: %s is not a child of this process", call, p->name);
    }
    return p->state == MP__INITIAL
               ? 0
               : mp__error(MP_ESTATE, "%s: %s was started already", call, p->name);
}

int
mp_process_set_args(mp_process *p, mp_args *args)
{
    int status = check_unstarted(p, "mp_process_set_args");
    if (status < 0) {
        mp_args_free(args);
        return status;
    }
    mp_args_free(p->args);
    p->args = args;
    return 0;
}

const mp_args *
mp_process_args(mp_process *p)
{
    return mp__handle_check(p, MP__PROCESS, "mp_process_args") < 0 ? NULL : p->args;
}

/* ---- running --------------------------------------------------------------------------------- */

int
mp_process_set_run(mp_process *p, mp_run run)
{
    int status = check_unstarted(p, "mp_process_set_run");
    if (status == 0) {
        p->run = run;
    }
    return status;
}

int
mp__process_run(mp_process *p)
{
    static _Thread_local const mp_process *inside; /* whose own run() runs in this thread */
    if (p->run && inside != p) {
        const mp_process *outer = inside;
        if (p == mp__process_self()) {
            mp_current_process(); /* from now on it can be asked */
        }
        inside = p;
        int result = p->run(p);
        inside = outer;
        return result;
    }
    return p->target ? p->target(p->args) : 0;
}

int
mp_process_run(mp_process *p)
{
    if (p == mp__process_self()) {
        return mp__process_run(p);
    }
    int status =
        check_unstarted(p, "mp_process_run"); /* a start takes target and arguments along */
    return status < 0 ? status : mp__process_run(p);
}

/* ---- data of the user's ---------------------------------------------------------------------- */

int
mp_process_set_userdata(mp_process *p, mp_obj data)
{
    int status = mp__handle_check(p, MP__PROCESS, "mp_process_set_userdata");
    if (status < 0) {
        mp_obj_free(data);
        return status;
    }
    mp_args *holder = mp_args_of(1, &data); /* as the arguments are, so that it travels like them */
    if (!holder) {
        return mp_last_error();
    }
    mp_args_free(p->userdata);
    p->userdata = holder;
    return 0;
}

mp_obj
mp_process_userdata(mp_process *p)
{
    return mp__handle_check(p, MP__PROCESS, "mp_process_userdata") < 0
               ? mp_none()
               : mp_args_item(p->userdata, 0);
}

/* ---- in words -------------------------------------------------------------------------------- */

pid_t
mp_process_ident(mp_process *p)
{
    return mp_process_pid(p);
}

const char *
mp_process_identity(mp_process *p)
{
    return mp__handle_check(p, MP__PROCESS, "mp_process_identity") < 0 ? NULL
           : p->foreign                                                ? ""
                                                                       : p->identity;
}

/* "-SIGKILL", as Python writes the exit code of a signal; NULL for one without a name. */
static const char *
signal_name(int signal_number)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {
        {SIGHUP, "-SIGHUP"},       {SIGINT, "-SIGINT"},   {SIGQUIT, "-SIGQUIT"},
        {SIGILL, "-SIGILL"},       {SIGTRAP, "-SIGTRAP"}, {SIGABRT, "-SIGABRT"},
        {SIGBUS, "-SIGBUS"},       {SIGFPE, "-SIGFPE"},   {SIGKILL, "-SIGKILL"},
        {SIGUSR1, "-SIGUSR1"},     {SIGSEGV, "-SIGSEGV"}, {SIGUSR2, "-SIGUSR2"},
        {SIGPIPE, "-SIGPIPE"},     {SIGALRM, "-SIGALRM"}, {SIGTERM, "-SIGTERM"},
        {SIGCHLD, "-SIGCHLD"},     {SIGCONT, "-SIGCONT"}, {SIGSTOP, "-SIGSTOP"},
        {SIGTSTP, "-SIGTSTP"},     {SIGTTIN, "-SIGTTIN"}, {SIGTTOU, "-SIGTTOU"},
        {SIGURG, "-SIGURG"},       {SIGXCPU, "-SIGXCPU"}, {SIGXFSZ, "-SIGXFSZ"},
        {SIGVTALRM, "-SIGVTALRM"}, {SIGPROF, "-SIGPROF"}, {SIGSYS, "-SIGSYS"},
#ifdef SIGSTKFLT
        {SIGSTKFLT, "-SIGSTKFLT"},
#endif
#ifdef SIGWINCH
        {SIGWINCH, "-SIGWINCH"},
#endif
#ifdef SIGPOLL
        {SIGPOLL, "-SIGPOLL"},
#endif
#ifdef SIGPWR
        {SIGPWR, "-SIGPWR"},
#endif
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].number == signal_number) {
            return names[i].name;
        }
    }
    return NULL;
}

/* What is told of a process after its name. */
struct facts {
    const char *class, *status;
    long pid, parent; /* 0: not told; parent < 0: None */
    bool stopped;
    int exitcode;
};

static void
look_at(mp_process *p, struct facts *f)
{
    mp_process *self = mp__process_self();
    f->class = p->context ? p->context->process_prefix : "Process";
    f->parent = (long)p->owner;
    if (p == self) {
        f->status = "started";
        f->parent = (long)mp__process_parent_pid();
        if (f->parent == 0) {
            f->class = "_MainProcess";
            f->parent = -1;
        }
    } else if (p->foreign) {
        f->class = "_ParentProcess";
        f->status = "unknown";
        f->parent = -1;
    } else if (p->state == MP__CLOSED) {
        f->status = "closed";
    } else {
        enum mp__state state = p->state;
        bool initial = state == MP__INITIAL || state == MP__STARTING;
        f->pid = initial ? 0 : (long)p->pid;
        f->status = initial ? "initial" : "started";
        if (p->owner != getpid()) {
            f->status = "unknown";
        } else if (!initial && mp_process_is_alive(p) == 0) {
            f->status = "stopped";
            f->stopped = mp_process_exitcode(p, &f->exitcode) == 0;
        }
    }
}

char *
mp_process_repr(mp_process *p)
{
    if (mp__handle_check(p, MP__PROCESS, "mp_process_repr") < 0) {
        return NULL;
    }
    struct facts f = {.class = "", .status = ""};
    look_at(p, &f);
    mp_obj text = mp_from_str(p->name);
    char *name = mp_obj_repr(text);
    mp_obj_free(text);
    char pid[32] = "", parent[32], code[48] = "";
    if (f.pid > 0) {
        snprintf(pid, sizeof pid, " pid=%ld", f.pid);
    }
    snprintf(parent, sizeof parent, f.parent < 0 ? "None" : "%ld", f.parent);
    const char *signal_text = f.exitcode < 0 ? signal_name(-f.exitcode) : NULL;
    if (f.stopped && signal_text) {
        snprintf(code, sizeof code, " exitcode=%s", signal_text);
    } else if (f.stopped) {
        snprintf(code, sizeof code, " exitcode=%d", f.exitcode);
    }
    size_t size = strlen(f.class) + (name ? strlen(name) : 0) + 200;
    char *s = name ? malloc(size) : NULL;
    if (s) {
        snprintf(s, size, "<%s name=%s%s parent=%s %s%s%s>", f.class, name, pid, parent, f.status,
                 code, p->daemon ? " daemon" : "");
    } else {
        mp__error(MP_ENOMEM, "mp_process_repr: no memory");
    }
    free(name);
    return s;
}
