/*
 * test_process_fault.c: processes amid deaths and shortages: a killed forkserver, stolen statuses,
 * SIGCHLD ignored, no descriptors, no processes, non-owners, kills at every moment of a start.
 */
#include "mp_test.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "heap/family.h"
#include "helpers/process.h"
#include "platform/platform.h"
#include "process/crash.h"
#include "process/launch.h"
#include "step.h"

/* Run body in a child of a plain fork: what it changes is its own. */
static void
apart(void (*body)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        body();
        exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int
do_nothing(const mp_args *args)
{
    (void)args;
    return 0;
}

static int
wait_for_go(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    struct note *n = p;
    atomic_store(&n->number[0], getppid());
    atomic_fetch_add(&n->ready, 1);
    wait_for(&n->go, 1);
    atomic_store(&n->number[1], 1);
    return 0;
}

/* ---- the forkserver's death -------------------------------------------------------------------*/

/* Kill the server of a child that waits, and wait until it is dead. */
static void
kill_server(struct note *n)
{
    wait_for(&n->ready, 1);
    pid_t server = (pid_t)n->number[0];
    assert_true(server > 1 && server != getpid());
    assert_int_equal(kill(server, SIGKILL), 0);
    while (is_running(server)) {
        nap();
    }
}

static void
test_forkserver_killed_its_child_finishes_and_is_waited_for(void **state)
{
    (void)state;
    if (!method_is("forkserver")) {
        skip();
    }
    struct note *n = note_new();
    int code = 1;
    mp_process *p = start(wait_for_go, mp_args((void *)n));
    kill_server(n);
    assert_int_equal(mp_process_is_alive(p), 1);
    assert_int_equal(mp_process_exitcode(p, &code), MP_NOT_YET);
    mp_assert_code(mp_process_join(p, 0.02), MP_ETIMEOUT);
    mp_process *q = start(do_nothing, NULL); /* by a new server */
    assert_int_equal(finish(q), 0);
    assert_int_equal(mp_process_is_alive(p), 1);
    atomic_store(&n->go, 1);
    code = finish(p);
    assert_true(code == 0 || code == 255);
    assert_int_equal(n->number[1], 1);
    mp_free(n);
}

static void
test_forkserver_killed_its_children_can_be_ended(void **state)
{
    (void)state;
    if (!method_is("forkserver")) {
        skip();
    }
    for (int new_server = 0; new_server < 2; new_server++) {
        struct note *n = note_new();
        mp_process *p = start(wait_for_go, mp_args((void *)n));
        pid_t pid = mp_process_pid(p);
        kill_server(n);
        if (new_server) {
            assert_int_equal(finish(start(do_nothing, NULL)), 0);
        }
        mp_assert_ok(mp_process_terminate(p));
        mp_assert_ok(mp_process_join(p, MP_FOREVER));
        while (is_running(pid)) { /* its new parent reaps it, or not: then it is a zombie */
            nap();
        }
        mp_assert_ok(mp_process_free(p));
        mp_free(n);
    }
}

static struct note *daemons; /* it reads this until its end */

static void
leave_a_daemon_of_a_dead_server(void)
{
    struct note *n = daemons;
    mp_process *p = mp_process_new(wait_for_go, mp_args((void *)n),
                                   &(mp_process_options){.daemon = MP_DAEMON_YES});
    mp_child_ok(mp_process_start(p));
    wait_for(&n->ready, 1);
    kill((pid_t)n->number[0], SIGKILL);
    while (is_running((pid_t)n->number[0])) {
        nap();
    } /* the end of this process terminates the daemon and waits for it */
}

static void
test_forkserver_killed_daemons_end_with_the_program(void **state)
{
    (void)state;
    if (!method_is("forkserver")) {
        skip();
    }
    daemons = note_new();
    apart(leave_a_daemon_of_a_dead_server);
    mp_free(daemons);
}

/* The children of a process that /proc tells of, at most `most`. */
static int
children_of(pid_t parent, pid_t *ret, int most)
{
    int count = 0;
    DIR *dir = opendir("/proc");
    for (struct dirent *e; dir && (e = readdir(dir)) && count < most;) {
        char path[300], text[512];
        long its_parent = -1;
        snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
        FILE *f = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? fopen(path, "re") : NULL;
        size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
        text[n] = '\0';
        char *bracket = strrchr(text, ')');
        if (bracket && sscanf(bracket + 1, " %*c %ld", &its_parent) == 1 && its_parent == parent) {
            ret[count++] = (pid_t)atol(e->d_name);
        }
        if (f) {
            fclose(f);
        }
    }
    if (dir) {
        closedir(dir);
    }
    return count;
}

#define MOST_SPARES 8

/* Start a child, wait until its server has made spares again, and end it; their number. */
static int
spares_of_the_server(pid_t *ret_server, pid_t *ret)
{
    struct note *n = note_new();
    mp_process *p = start(wait_for_go, mp_args((void *)n));
    pid_t own = mp_process_pid(p);
    wait_for(&n->ready, 1);
    *ret_server = (pid_t)n->number[0];
    atomic_store(&n->go, 1);
    assert_int_equal(finish(p), 0);
    int count = 0;
    while (count == 0) { /* it makes them after it told the end */
        count = children_of(*ret_server, ret, MOST_SPARES);
        for (int i = 0; i < count; i++) {
            if (ret[i] == own) {
                ret[i--] = ret[--count];
            }
        }
        nap();
    }
    mp_free(n);
    return count;
}

static void
test_forkserver_spare_killed_costs_no_start(void **state)
{
    (void)state;
    if (!method_is("forkserver")) {
        skip();
    }
    for (int round = 0; round < 20; round++) {
        pid_t server, spares[MOST_SPARES];
        int count = spares_of_the_server(&server, spares);
        for (int i = 0; i < count; i++) {
            kill(spares[i], SIGKILL); /* and do not wait: it may die as it is taken */
        }
        for (int i = 0; i < 3; i++) {
            assert_int_equal(finish(start(do_nothing, NULL)), 0);
        }
    }
}

/*
 * Stop the server, which ends its spares before it ends.  One that has no processor for 2 s is
 * killed instead: its spares then see to their own end, and those that are stopped once they go on.
 */
static void
settle_without(const pid_t *spares, int count)
{
    double began = mp_test_now();
    mp__process_settle();
    bool in_order = mp_test_now() - began < 1.9;
    for (int i = 0; i < count; i++) {
        while (!in_order && is_running(spares[i])) {
            kill(spares[i], SIGCONT);
            nap();
        }
        assert_false(is_running(spares[i]));
    }
}

static void
test_forkserver_stopped_leaves_no_spare(void **state)
{
    (void)state;
    if (!method_is("forkserver")) {
        skip();
    }
    for (int round = 0; round < 20; round++) {
        pid_t server, spares[MOST_SPARES];
        int count = spares_of_the_server(&server, spares);
        settle_without(spares, count);
        assert_false(is_running(server));
    }
}

static void
test_forkserver_stopped_ends_spares_that_hang(void **state)
{
    (void)state;
    if (!method_is("forkserver")) {
        skip();
    }
    pid_t server, spares[MOST_SPARES];
    int count = spares_of_the_server(&server, spares);
    for (int i = 0; i < count; i++) {
        assert_int_equal(kill(spares[i], SIGSTOP), 0);
    }
    settle_without(spares, count);
}

static void
test_forkserver_killed_takes_its_spares_along(void **state)
{
    (void)state;
    if (!method_is("forkserver")) {
        skip();
    }
    for (int round = 0; round < 20; round++) {
        pid_t server, spares[MOST_SPARES];
        int count = spares_of_the_server(&server, spares);
        assert_int_equal(kill(server, SIGKILL), 0);
        while (is_running(server)) { /* while it dies a status may still be lost with it */
            nap();
        }
        assert_int_equal(finish(start(do_nothing, NULL)), 0);
        for (int i = 0; i < count; i++) {
            while (is_running(spares[i])) {
                nap();
            }
        }
    }
}

static void
test_forkserver_ignores_interrupts(void **state)
{
    (void)state;
    if (!method_is("forkserver")) {
        skip();
    }
    struct note *n = note_new();
    mp_process *p = start(wait_for_go, mp_args((void *)n));
    wait_for(&n->ready, 1);
    pid_t server = (pid_t)n->number[0];
    kill(server, SIGINT);
    struct note *m = note_new();
    mp_process *q = start(wait_for_go, mp_args((void *)m));
    wait_for(&m->ready, 1);
    assert_int_equal(m->number[0], server);
    mp_assert_ok(mp_process_interrupt(q)); /* its children do not ignore it */
    assert_int_equal(finish(q), -SIGINT);
    atomic_store(&n->go, 1);
    assert_int_equal(finish(p), 0);
    mp_free(n);
    mp_free(m);
}

/* ---- statuses that others take ----------------------------------------------------------------*/

static void
steal_statuses(void)
{
    int code = 5;
    for (int i = 0; i < 10; i++) {
        mp_process *p = mp_process_new(do_nothing, NULL, NULL);
        mp_child_ok(mp_process_start(p));
        while (waitpid(mp_process_pid(p), NULL, 0) < 0 && errno == EINTR) {
        }
        mp_child_ok(mp_process_join(p, MP_FOREVER));
        mp_child_check(mp_process_is_alive(p) == 0);
        if (method_is("forkserver")) { /* it is no child of ours: nobody can */
            mp_child_ok(mp_process_exitcode(p, &code));
            mp_child_check(code == 0);
        } else {
            mp_child_code(mp_process_exitcode(p, &code), -ECHILD);
            mp_child_check(strstr(mp_last_error_text(), "waitpid") != NULL);
        }
        mp_child_ok(mp_process_terminate(p));
        mp_child_ok(mp_process_free(p));
    }
    /* and of one that ends while it is waited for */
    struct note *n = mp_calloc(1, sizeof *n);
    mp_process *p = mp_process_new(wait_for_go, mp_args((void *)n), NULL);
    mp_child_ok(mp_process_start(p));
    wait_for(&n->ready, 1);
    mp_child_code(mp_process_join(p, 0), MP_ETIMEOUT);
    atomic_store(&n->go, 1);
    while (!method_is("forkserver") && waitpid(-1, NULL, 0) < 0 && errno == EINTR) {
    }
    mp_child_ok(mp_process_join(p, MP_FOREVER));
    mp_child_ok(mp_process_free(p));
    mp_free(n);
}

static void
test_status_stolen_by_waitpid_is_told(void **state)
{
    (void)state;
    apart(steal_statuses);
}

static void
ignore_sigchld(void)
{
    signal(SIGCHLD, SIG_IGN);
    mp__process_settle();
    for (int i = 0; i < 10; i++) {
        int code = 0;
        mp_process *p =
            mp_process_new(i % 2 ? do_nothing : hang, i % 2 ? NULL : mp_args((void *)0), NULL);
        mp_child_ok(mp_process_start(p));
        mp_child_check(mp_process_is_alive(p) >= 0);
        if (i % 2 == 0) {
            mp_child_check(mp_process_is_alive(p) == 1);
            mp_child_ok(mp_process_terminate(p));
        }
        mp_child_ok(mp_process_join(p, MP_FOREVER));
        int status = mp_process_exitcode(p, &code);
        mp_child_check(status == -ECHILD || (status == 0 && code == (i % 2 ? 0 : -SIGTERM)));
        mp_child_check(mp_process_is_alive(p) == 0);
        mp_child_ok(mp_process_free(p));
    }
    struct sigaction sa;
    sigaction(SIGCHLD, NULL, &sa);
    mp_child_check(sa.sa_handler == SIG_IGN);
}

static void
test_sigchld_ignored_does_not_hang(void **state)
{
    (void)state;
    apart(ignore_sigchld);
}

/* The descriptor is the caller's to poll in his own way.  A join for ever sleeps all the same. */
static void
test_sentinel_made_non_blocking_is_joined_asleep(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp_process *p = start(wait_for_go, mp_args((void *)n));
    int fd = mp_process_sentinel(p);
    assert_true(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
    wait_for(&n->ready, 1);
    pid_t pid = fork(); /* lets the child go when we sleep */
    if (pid == 0) {
        wait_until_asleep(getppid(), 50); /* one that is awake is not seen so by chance */
        atomic_store(&n->go, 1);
        _exit(0);
    }
    assert_true(pid > 0);
    mp_assert_ok(mp_process_join(p, MP_FOREVER)); /* one that never sleeps is never let go */
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    mp_assert_ok(mp_process_free(p));
    mp_free(n);
}

/* ---- a copy of the object in another process --------------------------------------------------*/

static mp_process *copied;

static void
use_a_copy(void)
{
    int code = 3;
    mp_child_code(mp_process_join(copied, 0), MP_ESTATE);
    mp_child_code(mp_process_start(copied), MP_ESTATE);
    mp_child_code(mp_process_is_alive(copied), MP_ESTATE);
    mp_child_code(mp_process_close(copied), MP_ESTATE);
    mp_child_code(mp_process_set_daemon(copied, true), MP_ESTATE);
    mp_child_check(mp_process_exitcode(copied, &code) == MP_NOT_YET && code == 3);
    mp_child_check(mp_process_pid(copied) > 0);
    mp_child_check(mp_process_name(copied) != NULL);
    size_t count = 5;
    free(mp_active_children(&count));
    mp_child_check(count == 0);
    mp_child_ok(mp_process_terminate(copied)); /* this works, as in Python */
    mp_child_ok(mp_process_free(copied));      /* this process's copy */
}

static void
start_a_copy(void)
{
    mp_child_code(mp_process_start(copied), MP_ESTATE);
    mp_child_code(mp_process_terminate(copied), MP_ESTATE);
    mp_child_ok(mp_process_free(copied));
}

static void
check_current(void)
{
    mp_child_check(mp_process_pid(mp_current_process()) == getpid());
    mp_process *p = mp_process_new(do_nothing, NULL, NULL);
    mp_child_ok(mp_process_start(p));
    mp_child_ok(mp_process_join(p, MP_FOREVER));
    mp_child_ok(mp_process_free(p));
}

static void
test_process_of_another_process_may_only_be_signalled(void **state)
{
    (void)state;
    copied = mp_process_new(do_nothing, mp_args(1), NULL);
    apart(start_a_copy);
    mp_assert_ok(mp_process_start(copied)); /* the owner's is as it was */
    assert_int_equal(finish(copied), 0);
}

static void
test_process_copy_terminates_the_child(void **state)
{
    (void)state;
    struct note *n = note_new();
    copied = start(hang, mp_args((void *)n));
    wait_for(&n->ready, 1);
    apart(use_a_copy);
    assert_int_equal(finish(copied), -SIGTERM);
    mp_free(n);
}

static int
fork_and_look(const mp_args *args)
{
    (void)args;
    mp_current_process();
    pid_t pid = fork();
    if (pid == 0) {
        check_current();
        mp_exit(17);
    }
    int status = 0;
    mp_child_check(waitpid(pid, &status, 0) == pid);
    mp_child_check(WIFEXITED(status) && WEXITSTATUS(status) == 17);
    return 0;
}

static void
test_plain_fork_in_a_child_is_a_process_of_its_own(void **state)
{
    (void)state;
    apart(check_current);
    assert_int_equal(finish(start(fork_and_look, NULL)), 0);
}

static int
leave_an_orphan(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    struct note *n = p;
    pid_t pid = fork();
    if (pid == 0) {
        close(1);
        close(2);
        wait_for(&n->go, 1);
        _exit(0);
    }
    atomic_store(&n->number[0], pid);
    return 9;
}

/* An orphan of the child that lives on must not hide the child's end. */
static void
test_orphan_of_a_child_does_not_delay_its_end(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp_process *p = start(leave_an_orphan, mp_args((void *)n));
    struct pollfd fd = {.fd = mp_process_sentinel(p), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 20000), 1);
    assert_true(is_running((pid_t)n->number[0]));
    mp_assert_ok(mp_process_join(p, 10)); /* its descriptors close a little before its end */
    assert_int_equal(mp_process_is_alive(p), 0);
    assert_int_equal(poll(&fd, 1, 0), 1);
    assert_int_equal(finish(p), 9);
    pid_t orphan = (pid_t)n->number[0];
    atomic_store(&n->go, 1);
    while (is_running(orphan)) {
        nap();
    }
    mp_free(n);
}

/* ---- shortages --------------------------------------------------------------------------------*/

static void
run_out_of_descriptors(void)
{
    struct rlimit old, low;
    int taken[64], count = 0;
    run_in_child(do_nothing, NULL, NULL); /* the program's file is looked for once */
    mp_process *p = mp_process_new(do_nothing, NULL, NULL);
    mp__process_settle();
    getrlimit(RLIMIT_NOFILE, &old);
    low = old;
    low.rlim_cur = 40;
    setrlimit(RLIMIT_NOFILE, &low);
    while (count < 64 && (taken[count] = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0) {
        count++;
    }
    for (;;) { /* one more free descriptor at a time, until it can start */
        int status = mp_process_start(p);
        if (status == 0) {
            break;
        }
        mp_child_check(status == -EMFILE || status == MP_ERUNTIME);
        mp_child_check(mp_last_error_text()[0] != '\0');
        mp_child_check(mp_process_is_alive(p) == 0);
        mp_child_check(count > 0);
        close(taken[--count]);
    }
    mp_child_ok(mp_process_join(p, MP_FOREVER));
    int code = -1;
    mp_child_ok(mp_process_exitcode(p, &code));
    mp_child_check(code == 0);
    mp_child_ok(mp_process_free(p));
    while (count > 0) {
        close(taken[--count]);
    }
    mp__process_settle();
    setrlimit(RLIMIT_NOFILE, &old);
}

static void
test_start_without_descriptors_fails_and_works_later(void **state)
{
    (void)state;
    apart(run_out_of_descriptors);
}

static void
run_the_server_out_of_descriptors(void)
{
    struct note *n = mp_calloc(1, sizeof *n);
    struct rlimit old, low;
    mp__process_settle();
    getrlimit(RLIMIT_NOFILE, &old);
    low = old;
    low.rlim_cur = 24;
    setrlimit(RLIMIT_NOFILE, &low);
    mp_process *p[64];
    mp_process *first = mp_process_new(wait_for_go, mp_args((void *)n), NULL);
    mp_child_ok(mp_process_start(first)); /* the server has the low limit now */
    low.rlim_cur = 200;
    setrlimit(RLIMIT_NOFILE, &low);
    int count = 0, status = 0;
    while (count < 64) {
        p[count] = mp_process_new(hang, mp_args((void *)n), NULL);
        status = mp_process_start(p[count]);
        if (status) {
            mp_child_ok(mp_process_free(p[count]));
            break;
        }
        count++;
    }
    mp_child_check(count > 5 && count < 64);
    mp_child_check(status < 0);
    mp_child_check(mp_last_error_text()[0] != '\0');
    for (int i = 0; i < count; i++) {
        int code = 0;
        mp_child_ok(mp_process_terminate(p[i]));
        mp_child_ok(mp_process_join(p[i], MP_FOREVER));
        mp_child_ok(mp_process_exitcode(p[i], &code));
        mp_child_check(code == -SIGTERM); /* the server lives and tells */
        mp_child_ok(mp_process_free(p[i]));
    }
    mp_process *q = mp_process_new(do_nothing, NULL, NULL);
    mp_child_ok(mp_process_start(q));
    mp_child_ok(mp_process_join(q, MP_FOREVER));
    mp_child_ok(mp_process_free(q));
    atomic_store(&n->go, 1);
    mp_child_ok(mp_process_join(first, MP_FOREVER));
    mp_child_ok(mp_process_free(first));
    mp_free(n);
}

static void
test_forkserver_without_descriptors_refuses_and_goes_on(void **state)
{
    (void)state;
    if (!method_is("forkserver")) {
        skip();
    }
    apart(run_the_server_out_of_descriptors);
}

static void
run_out_of_processes(void)
{
    struct rlimit old, low;
    mp__process_settle();
    getrlimit(RLIMIT_NPROC, &old);
    low = old;
    low.rlim_cur = 1;
    setrlimit(RLIMIT_NPROC, &low);
    mp_process *p = mp_process_new(do_nothing, NULL, NULL);
    mp_child_code(mp_process_start(p), -EAGAIN);
    mp_child_check(mp_process_is_alive(p) == 0);
    setrlimit(RLIMIT_NPROC, &old);
    mp_child_ok(mp_process_start(p));
    mp_child_ok(mp_process_join(p, MP_FOREVER));
    mp_child_ok(mp_process_free(p));
}

static void
test_start_without_processes_fails_and_works_later(void **state)
{
    (void)state;
    if (getuid() == 0) {
        skip(); /* the limit does not bind root */
    }
    apart(run_out_of_processes);
}

/* ---- kills at any moment ----------------------------------------------------------------------*/

static int
start_for_ever(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    struct note *n = p;
    for (;;) {
        mp_process *c = mp_process_new(do_nothing, mp_args("some", "arguments"), NULL);
        mp_child_ok(mp_process_start(c));
        mp_child_ok(mp_process_join(c, MP_FOREVER));
        mp_child_ok(mp_process_free(c));
        atomic_fetch_add(&n->ready, 1);
    }
    return 0;
}

/* A parent that is killed while it starts children leaves a family that works.  It leaves memory
   too, for as long as the family lives: so this is a program of its own. */
static int
case_kill_parents(void)
{
    struct note *n = mp_calloc(1, sizeof *n);
    unsigned random = 12345;
    for (int i = 0; i < 15; i++) {
        mp_process *p = mp_process_new(start_for_ever, mp_args((void *)n), NULL);
        mp_child_ok(mp_process_start(p));
        wait_for(&n->ready, atomic_load(&n->ready) + 1);
        random = random * 1103515245 + 12345;
        nanosleep(&(struct timespec){.tv_nsec = (long)(random >> 8) % 3000000}, NULL);
        mp_child_ok(mp_process_kill(p));
        mp_child_ok(mp_process_join(p, MP_FOREVER));
        mp_child_ok(mp_process_free(p));
    }
    return run_in_child(do_nothing, NULL, NULL);
}

static void
test_parent_killed_amid_starts_leaves_the_family_working(void **state)
{
    (void)state;
    char argument[64], out[1000];
    snprintf(argument, sizeof argument, "kill-parents:%s", method_name());
    int status = mp_test_run_self(argument, out, sizeof out);
    assert_string_equal(out, "");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int
mark_that_it_ran(const mp_args *args)
{
    void *ran;
    mp_args_get(args, &ran);
    *(int *)ran = 1;
    return 0;
}

/* A start that was given up: the child comes late, and its answer reaches nobody. */
static void
test_child_whose_answer_nobody_hears_does_not_run(void **state)
{
    (void)state;
    int *ran = mp_calloc(1, sizeof *ran);
    mp_process *p = mp_process_new(mark_that_it_ran, mp_args((void *)ran), NULL);
    struct mp__launch l;
    int pair[2], status;
    mp_assert_ok(mp__launch_make(p, "forkserver", &l));
    mp_assert_ok(mp__plat_socketpair(pair));
    close(pair[0]);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        mp__launch_run(l.block, NULL, 0, pair[1], false);
    }
    close(pair[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_int_equal(*ran, 0);
    mp__launch_done(&l);
    mp_assert_ok(mp_process_free(p));
    mp_assert_ok(mp_free(ran));
}

/* ---- a parent that is stopped ------------------------------------------------------------------*/

#define PATIENCE_OF_IT 3.0 /* so long it waits: much longer than to be led there */

static void
await_word(void *pipe)
{
    mp__launch_patience = (int64_t)(PATIENCE_OF_IT * MP__S);
    mp_child_ok(mp__spawn_await_word(((int *)pipe)[0], getppid(), -1));
}

/* A parent has looked for its child's answer in vain, and is stopped for longer than it waits. */
static void
test_answer_is_heard_though_the_parent_was_stopped_for_long(void **state)
{
    (void)state;
    int fds[2];
    if (!step_possible()) {
        skip();
    }
    assert_int_equal(pipe(fds), 0);
    struct step s;
    step_begin(&s, NULL, await_word, fds);
    double before;
    do {
        before = mp_test_now();
        assert_true(step_on(&s, 1));
    } while (mp_test_now() - before < 0.15); /* a look for 0.2 s */
    assert_int_equal(write(fds[1], "", 1), 1);
    for (double over = mp_test_now() + PATIENCE_OF_IT; mp_test_now() < over;) {
        nap(); /* it stands still meanwhile: that is what it is about */
    }
    while (step_on(&s, 1)) {
    }
    step_kill(&s);
    close(fds[0]);
    close(fds[1]);
}

/* ---- crashes ----------------------------------------------------------------------------------*/

/* This process is a child of that ticket. */
static void
become_reporter(void *ticket)
{
    mp_process *self = mp_current_process();
    self->owner = self->pid = getpid();
    self->ticket = *(const uint64_t *)ticket;
    mp__crash_watch(self, false);
}

/* What its handler does when it aborts. */
static void
write_report(void *arg)
{
    struct sigaction sa;
    siginfo_t info = {.si_signo = SIGABRT, .si_code = SI_USER};
    ucontext_t context;
    (void)arg;
    getcontext(&context);
    sigaction(SIGABRT, NULL, &sa);
    sa.sa_sigaction(SIGABRT, &info, &context);
}

static pid_t
crash_as(uint64_t ticket)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        become_reporter(&ticket);
        raise(SIGFPE);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    return pid;
}

/* Their parent finds what one left. */
static void
assert_report(uint64_t ticket, int signal_number, pid_t pid)
{
    mp_process p = {.ticket = ticket, .exitcode = -signal_number};
    mp__crash_collect(&p);
    assert_non_null(p.crash);
    assert_int_equal(p.crash->record.signal, signal_number);
    assert_int_equal(p.crash->record.pid, pid);
    mp__crash_free(p.crash);
}

/* Nobody has asked for the reports of many, when one more crashes and another is not done with its. */
static void
test_crash_reports_of_two_are_not_mixed_though_one_is_stopped(void **state)
{
    (void)state;
    if (!step_possible()) {
        skip();
    }
    struct mp__crash_table *t = (struct mp__crash_table *)(void *)mp__family->crashes;
    uint64_t slow;
    while ((slow = mp__crash_ticket()) % MP__CRASH_SLOTS != 0) {
    }
    for (size_t i = 0; i < MP__CRASH_SLOTS; i++) {
        atomic_store(&t->slots[i].owner, 0);
    }
    t->slots[0].record.signal = 0;
    struct step s;
    step_begin(&s, become_reporter, write_report, &slow);
    while (t->slots[0].record.signal == 0) {
        assert_true(step_on(&s, 1));
    }
    for (size_t i = 1; i < MP__CRASH_SLOTS; i++) {
        crash_as(mp__crash_ticket());
    }
    uint64_t other = mp__crash_ticket();
    assert_int_equal(other % MP__CRASH_SLOTS, 0);
    pid_t pid = crash_as(other);
    while (t->slots[0].record.pid != s.pid) {
        assert_true(step_on(&s, 1));
    }
    assert_report(other, SIGFPE, pid);
    while (atomic_load(&t->slots[0].done) != slow) {
        assert_true(step_on(&s, 1));
    }
    assert_report(slow, SIGABRT, s.pid);
    step_kill(&s);
    for (size_t i = 0; i < MP__CRASH_SLOTS; i++) {
        atomic_store(&t->slots[i].owner, 0);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_child_whose_answer_nobody_hears_does_not_run),
    cmocka_unit_test(test_forkserver_killed_its_child_finishes_and_is_waited_for),
    cmocka_unit_test(test_forkserver_killed_its_children_can_be_ended),
    cmocka_unit_test(test_forkserver_killed_daemons_end_with_the_program),
    cmocka_unit_test(test_forkserver_spare_killed_costs_no_start),
    cmocka_unit_test(test_forkserver_stopped_leaves_no_spare),
    cmocka_unit_test(test_forkserver_stopped_ends_spares_that_hang),
    cmocka_unit_test(test_forkserver_killed_takes_its_spares_along),
    cmocka_unit_test(test_forkserver_ignores_interrupts),
    cmocka_unit_test(test_status_stolen_by_waitpid_is_told),
    cmocka_unit_test(test_sigchld_ignored_does_not_hang),
    cmocka_unit_test(test_sentinel_made_non_blocking_is_joined_asleep),
    cmocka_unit_test(test_process_of_another_process_may_only_be_signalled),
    cmocka_unit_test(test_process_copy_terminates_the_child),
    cmocka_unit_test(test_plain_fork_in_a_child_is_a_process_of_its_own),
    cmocka_unit_test(test_orphan_of_a_child_does_not_delay_its_end),
    cmocka_unit_test(test_start_without_descriptors_fails_and_works_later),
    cmocka_unit_test(test_forkserver_without_descriptors_refuses_and_goes_on),
    cmocka_unit_test(test_start_without_processes_fails_and_works_later),
    cmocka_unit_test(test_parent_killed_amid_starts_leaves_the_family_working),
    cmocka_unit_test(test_answer_is_heard_though_the_parent_was_stopped_for_long),
    cmocka_unit_test(test_crash_reports_of_two_are_not_mixed_though_one_is_stopped),
};

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    if (argc > 1 && strncmp(argv[1], "kill-parents:", 13) == 0) {
        return mp_set_start_method(argv[1] + 13, false) == 0 ? case_kill_parents() : 90;
    }
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
}
