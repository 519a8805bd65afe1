/*
 * process/popen_fork.c: the child is a copy of the parent.
 *
 * The sentinel is a pidfd where the system has them, else a pipe whose other end only the child
 * keeps.
 */
#include "process/process.h"

#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "platform/platform.h"
#include "process/launch.h"

/* In the child: p is a copy, and becomes this process's own object. */
static MP_NORETURN_ATTR void
in_child(mp_process *p, pid_t parent_pid, bool main_thread)
{
    if (p->sentinel >= 0) {
        close(p->sentinel); /* the parent's end of the pipe; ours stays open until we end */
        p->sentinel = -1;
    }
    const struct mp__birth birth = {
        .method = &mp__popen_fork,
        .parent_name = mp__process_self()->name,
        .parent_pid = parent_pid,
        .parent_main_thread = main_thread,
        .parent_is_os_parent = true,
    };
    mp__child_main(p, &birth);
}

/* Without pidfds: the pipe, made before the fork. */
static int
open_pipe(mp_process *p)
{
    int fds[2];
    int status = mp__plat_pipe(fds);
    if (status == 0) {
        status = mp__plat_lift_pair(fds);
    }
    if (status < 0) {
        return mp__error_os(-status, "mp_process_start: no pipe to see the end of %s", p->name);
    }
    p->sentinel = fds[0];
    p->start_pipe = fds[1];
    return 0;
}

static void
close_pipe(mp_process *p, bool sentinel_too)
{
    if (p->start_pipe >= 0) {
        close(p->start_pipe);
        p->start_pipe = -1;
    }
    if (sentinel_too && p->sentinel >= 0) {
        close(p->sentinel);
        p->sentinel = -1;
    }
}

static int
launch(mp_process *p)
{
    if (!mp__children_have_pidfds() && open_pipe(p) < 0) {
        return mp_last_error();
    }
    pid_t parent_pid = getpid();
    bool main_thread = mp__plat_tid() == (uint32_t)parent_pid;
    mp_current_process(); /* its name is the child's parent_process().name */
    pid_t pid = fork();
    if (pid == 0) {
        in_child(p, parent_pid, main_thread);
    }
    int err = errno;
    close_pipe(p, pid < 0);
    if (pid < 0) {
        return mp__error_os(err, "mp_process_start: fork for %s", p->name);
    }
    p->pid = pid;
    if (p->sentinel < 0) {
        /* Without a free descriptor it runs all the same: waiting then looks now and again. */
        p->sentinel = mp__plat_pidfd(pid);
        p->sentinel_is_pidfd = p->sentinel >= 0;
    }
    return 0;
}

const struct mp__popen mp__popen_fork = {
    .method = "fork",
    .launch = launch,
    .poll = mp__children_poll_pid,
    .signal = mp__children_signal_pid,
};
