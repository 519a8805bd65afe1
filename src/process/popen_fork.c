/*
 * process/popen_fork.c: the child is a copy of the parent.
 *
 * The sentinel is a pidfd where the system has them, else a pipe whose other end only the child
 * keeps.
 */
#include "process/process.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base/error.h"
#include "object/object.h"
#include "platform/platform.h"
#include "process/attributes.h"
#include "process/launch.h"
#include "process/tracker.h"

/* So often a parent that waits for a report looks whether the child lives. */
#define LOOK_NS (20 * MP__MS)

/*
 * A child that can fail before its target runs, for it has attributes or descriptors to get, tells
 * by a pipe whether it did; all others have nothing to tell.
 */
static int
open_report(const mp_process *p, int report[2])
{
    report[0] = report[1] = -1;
    if (!p->attributes && !mp__args_may_have_fds(p->args) && !mp__args_may_have_fds(p->userdata)) {
        return 0;
    }
    int status = mp__plat_pipe(report);
    if (status == 0) {
        status = mp__plat_lift_pair(report);
    }
    return status < 0 ? mp__error_os(-status, "mp_process_start: no pipe to hear from %s", p->name)
                      : 0;
}

static void
close_report(int report[2])
{
    for (int i = 0; i < 2; i++) {
        if (report[i] >= 0) {
            close(report[i]);
        }
        report[i] = -1;
    }
}

/* In the child: all that can fail.  Ends it when it does. */
static void
prepare(mp_process *p, int report[2], struct mp__birth *birth)
{
    if (report[1] < 0) {
        return;
    }
    int status = mp__args_own_fds(p->args);
    if (status == 0) {
        status = mp__args_own_fds(p->userdata);
    }
    if (status == 0 && p->attributes) {
        status = mp__attributes_apply(p->attributes, true, &birth->has_stdin);
    }
    if (mp__launch_answer(report[1], status) < 0 || status < 0) {
        _exit(1);
    }
    close_report(report);
}

/* In the child: p is a copy, and becomes this process's own object. */
static MP_NORETURN_ATTR void
in_child(mp_process *p, pid_t parent_pid, bool null_stdin, int lifeline, int report[2])
{
    if (p->sentinel >= 0) {
        close(p->sentinel); /* the parent's end of the pipe; ours stays open until we end */
        p->sentinel = -1;
    }
    p->lifeline = lifeline;
    struct mp__birth birth = {
        .method = &mp__popen_fork,
        .parent_name = mp__process_self()->name,
        .parent_pid = parent_pid,
        .parent_is_os_parent = true,
        .null_stdin = null_stdin && !p->attributes, /* they may say what it is to be */
    };
    prepare(p, report, &birth);
    mp__child_main(p, &birth);
}

/* The pidfd of the child, if it has one. */
static int
pidfd_of(const mp_process *p)
{
    return p->sentinel_is_pidfd ? p->sentinel : -1;
}

/*
 * Hear the child's report.  0, or what was wrong, with text, and the child is reaped.  Another
 * child, forked meanwhile by another thread, may hold the pipe open too: so an end is looked for.
 */
static int
hear(const mp_process *p, int report[2])
{
    if (report[0] < 0) {
        return 0;
    }
    close(report[1]);
    report[1] = -1;
    struct mp__answer answer;
    mp__deadline until = mp__plat_now() + MP__LAUNCH_PATIENCE;
    int status = MP_ETIMEOUT, code, ended = 0;
    for (bool last = false; status == MP_ETIMEOUT && !last;) {
        last = ended != 0 || mp__deadline_passed(until);
        status = mp__launch_await(report[0], mp__plat_now() + LOOK_NS, &answer);
        if (status == MP_ETIMEOUT) {
            ended = mp__plat_child_ended(p->pid, pidfd_of(p), &code);
        }
    }
    if (status == MP_ETIMEOUT && ended == 0) {
        status = mp__error(MP_ERUNTIME,
                           "mp_process_start: %s did not come to its options within %d s; is no "
                           "file among them a pipe that nobody opens?",
                           p->name, (int)(MP__LAUNCH_PATIENCE / MP__S));
    } else if (status == MP_ETIMEOUT || status == -EPIPE) {
        status = mp__error(MP_ERUNTIME, "mp_process_start: %s died before its target ran", p->name);
    }
    if (status < 0 && ended >= 0) {                    /* else somebody else reaped it */
        mp__plat_signal(p->pid, pidfd_of(p), SIGKILL); /* if we could not hear it */
        mp__plat_reap(p->pid, pidfd_of(p));
    }
    return status;
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

/* In the parent: see the end of the child, by the pipe or its pidfd.  Without a free descriptor it runs
   all the same: waiting then looks now and again. */
static void
watch(mp_process *p, pid_t pid)
{
    p->pid = pid;
    if (p->sentinel < 0) {
        p->sentinel = mp__plat_pidfd(pid);
        p->sentinel_is_pidfd = p->sentinel >= 0;
    }
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
        p->sentinel_is_pidfd = false;
    }
}

static int
launch(mp_process *p)
{
    int report[2];
    if (mp__context_check_threads(p->name) < 0) {
        return mp_last_error();
    }
    if (!mp__children_have_pidfds() && open_pipe(p) < 0) {
        return mp_last_error();
    }
    if (open_report(p, report) < 0) {
        close_pipe(p, true);
        return mp_last_error();
    }
    int lifeline = p->daemon ? mp__children_lifeline(p) : -1;
    if (p->daemon && lifeline < 0) {
        close_report(report);
        close_pipe(p, true);
        return lifeline;
    }
    pid_t parent_pid = p->owner;
    bool null_stdin = mp__plat_stdin_is_null(); /* here: to the child it would be a page more */
    mp_current_process();                       /* its name is the child's parent_process().name */
    bool tracked = mp__tracker_runs(); /* most have none, and need not write to one page more */
    if (tracked) {
        mp__tracker_keep = true;
    }
    pid_t pid = fork();
    if (tracked) {
        mp__tracker_keep = false;
    }
    if (pid == 0) {
        in_child(p, parent_pid, null_stdin, lifeline, report);
    }
    int err = errno;
    if (lifeline >= 0) {
        close(lifeline);
    }
    int status;
    if (pid < 0) {
        status = mp__error_os(err, "mp_process_start: fork for %s", p->name);
    } else {
        watch(p, pid);
        status = hear(p, report);
    }
    close_pipe(p, status < 0);
    close_report(report);
    if (status == 0) {
        p->started = p->sentinel_is_pidfd ? 0 : mp__plat_start_time(pid);
    }
    return status;
}

const struct mp__popen mp__popen_fork = {
    .method = "fork",
    .launch = launch,
    .poll = mp__children_poll_pid,
    .signal = mp__children_signal_pid,
};
