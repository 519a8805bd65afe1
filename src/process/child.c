/*
 * process/child.c: the life of a child, and this process's own object.
 *
 * Whatever started it, a child takes its name, gives up its parent's standard input, runs its
 * target, ends its own children, flushes, leaves the family, and exits by _exit: handlers that its
 * parent registered are the parent's.
 */
#include "process/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/handle.h"
#include "base/log.h"
#include "base/name.h"
#include "heap/family.h"
#include "heap/member.h"
#include "object/object.h"
#include "platform/platform.h"
#include "process/finalize.h"
#include "process/crash.h"
#include "process/launch.h"
#include "process/tracker.h"

static MP__FORK_DATA mp_process main_process = {
    .state = MP__STARTED,
    .name = (char *)(uintptr_t) "MainProcess", /* never freed */
    .identity = (char *)(uintptr_t) "",
    .sentinel = -1,
    .verdict = -1,
    .start_pipe = -1,
    .lifeline = -1,
};
static MP__FORK_DATA mp_process *self = &main_process;
static MP__FORK_DATA bool is_child;         /* started by the library */
static MP__FORK_DATA struct mp__birth born; /* of a child */
static mp_process parent;                   /* of a child, filled in when first asked for */
static MP__FORK_DATA bool parent_told;      /* under the children's mutex */
static char **program_argv;

mp_process *
mp__process_self(void)
{
    return self;
}

void
mp__process_know_pid(void)
{
    pid_t pid = getpid();
    if (self->pid != pid) { /* in a child of a plain fork() */
        self->owner = self->pid = pid;
    }
}

mp_process *
mp_current_process(void)
{
    if (!mp__handle_live(self, MP__PROCESS)) {
        mp__handle_add(self, MP__PROCESS);
    }
    mp__process_know_pid();
    return self;
}

mp_process *
mp_parent_process(void)
{
    if (!is_child) {
        return NULL;
    }
    mp__handle_add(&parent, MP__PROCESS);
    mp__children_lock(); /* held across fork: no child finds it half filled in */
    if (!parent_told) {
        parent.state = MP__STARTED;
        parent.owner = born.parent_is_os_parent ? self->pid : 0;
        parent.foreign = true;
        parent.pid = born.parent_pid;
        parent.name = (char *)(uintptr_t)born.parent_name;
        parent.sentinel = parent.verdict = parent.start_pipe = -1;
        parent_told = true;
    }
    mp__children_unlock();
    return &parent;
}

char **
mp__program_argv(void)
{
    return program_argv;
}

/* ---- ending ---------------------------------------------------------------------------------- */

static MP_NORETURN_ATTR void
finish(int code)
{
    mp__log_info("process exiting with exitcode %d", code);
    mp__plat_flush_output(); /* what an exit handler prints comes after */
    mp__process_shutdown();
    mp__plat_flush_output();
    if (born.method == &mp__popen_forkserver) {
        mp__crash_tell_end(self, code);
    }
    _exit(code & 0xff);
}

void
mp_exit(int code)
{
    if (is_child) {
        finish(code);
    }
    exit(code);
}

void
mp_exit_message(const char *text)
{
    fflush(stdout);
    fprintf(stderr, "%s\n", text ? text : "");
    mp_exit(1);
}

pid_t
mp__process_parent_pid(void)
{
    return is_child ? born.parent_pid : 0;
}

/* As Python's traceback of an uncaught exception, cut down to its first and last line. */
static void
report(const char *text)
{
    fflush(stdout);
    fprintf(stderr, "Process %s:\n%s\n", self->name, text);
}

void
mp_fail(const char *format, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    report(text);
    mp_exit(1);
}

/* A negative MP_E code as result of a target is an uncaught exception. */
static int
exit_code_of(int result)
{
    if (result > -20000 || *mp_err_name(result) == '\0') {
        return result;
    }
    char text[700];
    const char *detail = mp_last_error() == result ? mp_last_error_text() : "";
    snprintf(text, sizeof text, "%s: %s", mp_err_name(result),
             *detail ? detail : mp_strerror(result));
    report(text);
    return 1;
}

/* The arguments do not fit the target's variables: mp_args_get() ends the child. */
static void
exit_for_args(int code)
{
    (void)code;
    finish(exit_code_of(mp_last_error()));
}

/* ---- beginning ------------------------------------------------------------------------------- */

void
mp__child_give_up_stdin(bool copied)
{
    const char path[] = "/dev/null"; /* on the stack: one page less for a forked child to map */
    int fd = open(path, O_RDONLY);
    if (fd > 0) {
        dup2(fd, 0);
        close(fd);
    }
    mp__child_forget_stdin(copied && fd >= 0);
}

void
mp__child_forget_stdin(bool copied)
{
    /* A thread that was reading when its process forked may have left the stream locked. */
    if (copied && mp__plat_stdin_has_unread() && ftrylockfile(stdin) == 0) {
        rewind(stdin);
        funlockfile(stdin);
    }
}

bool
mp__parent_ended(const mp_process *p)
{
    if (p->owner == getpid() && getppid() != p->pid) {
        return true; /* another took us over; the pid may be anybody's by now */
    }
    if (p->owner != getpid() && self->owner == getpid() && self->start_pipe >= 0 &&
        mp__plat_poll_in(self->start_pipe, MP__TRY) == 1) {
        return true; /* its end is the parent's; but children that it forked may hold copies */
    }
    return mp__plat_process_ended(p->pid, born.parent_start, -1, 0);
}

void
mp__child_main(mp_process *p, const struct mp__birth *birth)
{
    pid_t pid = getpid();
    bool prepared = self->reporter == pid; /* a spare */
    is_child = true;
    born = *birth;
    parent_told = false; /* a child of a child: what was told was its parent's */
    self = p;
    mp__name_set(p->name);
    p->owner = p->pid = pid;
    p->state = MP__STARTED;
    mp__args_exit_hook = exit_for_args;
    mp__context_pin(birth->method);
    mp__crash_watch(p, prepared);
    if (p->lifeline >= 0) {
        mp__plat_die_with(p->lifeline);
    }
    if (birth->null_stdin) {
        mp__child_forget_stdin(true);
    } else if (!birth->has_stdin &&
               birth->method != &mp__popen_forkserver) { /* its server did it */
        mp__child_give_up_stdin(birth->method == &mp__popen_fork);
    }
    mp__exit_forget();
    mp__after_fork_run();
    mp__log_info("child process calling self.run()");
    finish(exit_code_of(mp__process_run(p)));
}

/* Touch, in a child that is forked ahead, what its end will touch. */
void
mp__child_warm(void)
{
    born.method = NULL;
    mp__args_exit_hook = exit_for_args;
    mp__context_pin(&mp__popen_forkserver);
    mp__crash_prepare();
}

/* ---- mp_freeze_support ----------------------------------------------------------------------- */

/* What the mark says. */
struct mark {
    unsigned long long inode, kind, count, base, size, block;
};

static MP_NORETURN_ATTR void
be_server(int sock, int lifeline, const void *preload)
{
    int status = mp__plat_die_with(lifeline); /* first: what is preloaded may hang */
    if (status < 0) {
        mp__error_os(-status, "having the forkserver end with its client");
    }
    mp__child_give_up_stdin(false);
    if (status == 0) {
        status = mp__preload_run(preload);
    }
    mp__launch_answer(sock, status);
    if (status < 0) {
        _exit(1);
    }
    mp__forkserver_main(sock, lifeline);
}

/* Whatever goes wrong is answered. */
static MP_NORETURN_ATTR void
be_spawned(const struct mark *m)
{
    const int answer = MP__CHILD_FD, heap = MP__CHILD_FD + 1, end = MP__CHILD_FD + (int)m->count;
    int fds[MP__CHILD_FDS], count = 0;
    for (int fd = answer; fd < end; fd++) {
        fcntl(fd, F_SETFD, FD_CLOEXEC); /* what this child runs has no business with them */
        if (fd > heap) {
            fds[count++] = fd;
        }
    }
    if (m->kind == MP__HELLO_TRACKER) {
        mp__tracker_deaf();
        mp__launch_answer(answer, 0);
        close(answer);
        mp__tracker_main(heap); /* which it has in its place */
    }
    int status = mp__heap_adopt(heap, m->base, m->size);
    if (status == 0) {
        status = mp__process_init();
    }
    if (status < 0) {
        mp__launch_answer(answer, status);
        _exit(1);
    }
    const void *block = (const void *)(uintptr_t)m->block;
    if (m->kind == MP__HELLO_SERVER) {
        be_server(answer, count > 0 ? fds[0] : -1, block);
    }
    mp__launch_run(block, fds, count, answer, true);
}

/* The number behind the next ':' of the mark.  As strtoull(), which is some pages of libc's that a child
   would map for nothing else. */
static unsigned long long
next_field(const char **at)
{
    unsigned long long n = 0;
    while (**at && **at != ':') {
        ++*at;
    }
    *at += **at == ':';
    for (; **at >= '0' && **at <= '9'; ++*at) {
        n = n * 10 + (unsigned)(**at - '0');
    }
    return n;
}

/* Whether spawn made this process: the mark is there, and descriptor 3 is what it names, not one that
   somebody else starts programs with. */
static bool
is_spawned(struct mark *ret)
{
    const char *at = getenv(MP__CHILD_ENV);
    struct stat st;
    if (!at) {
        return false;
    }
    ret->inode = next_field(&at);
    ret->kind = next_field(&at);
    ret->count = next_field(&at);
    ret->base = next_field(&at);
    ret->size = next_field(&at);
    ret->block = next_field(&at);
    return ret->count >= 2 && ret->count <= MP__CHILD_FDS && fstat(MP__CHILD_FD, &st) == 0 &&
           (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) &&
           ret->inode == (unsigned long long)st.st_ino;
}

/* As they are now: a parser of options may sort argv later.  Few have more than there is room for here,
   and to a spawned child its first malloc() would be a dozen microseconds. */
static void
keep_arguments(int argc, char **argv)
{
    static MP__FORK_DATA char *near[16];
    size_t n = argc > 0 ? (size_t)argc : 0;
    char **copy = NULL;
    if (argv && !program_argv) {
        copy = n < sizeof near / sizeof *near ? near : malloc((n + 1) * sizeof *copy);
    }
    if (copy) {
        memcpy(copy, argv, n * sizeof *copy);
        copy[n] = NULL;
    }
    program_argv = copy ? copy : argv;
}

void
mp_freeze_support(int argc, char **argv)
{
    keep_arguments(argc, argv);
#if defined __GNUC__
    mp__plat_func_anchor((uintptr_t)__builtin_return_address(0));
#endif
    struct mark mark;
    if (is_spawned(&mark)) {
        unsetenv(MP__CHILD_ENV);
        be_spawned(&mark);
    }
}
