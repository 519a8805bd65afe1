/*
 * test_pid_fault.c: pids that are used again: they fool neither is_alive, nor terminate, nor a lock.
 *
 * A process that must have a certain pid gets it by the counter in /proc that a privileged process
 * may set, in a namespace of its own; where that cannot be had, the tests are left out.
 */
#define _GNU_SOURCE /* unshare */
#include "mp_test.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "helpers/process.h"
#include "platform/platform.h"

#define TRIES 2000

/* Asked by a leak checker at the end: it needs a thread, and a process whose children are to be in
   another namespace of pids can make none. */
int __lsan_is_turned_off(void);
int
__lsan_is_turned_off(void)
{
    return 1;
}

static bool alone; /* in our own namespace of pids */

static bool
next_pid_is(pid_t pid)
{
    if (!alone) {
        return false;
    }
    FILE *f = fopen("/proc/sys/kernel/ns_last_pid", "w");
    bool ok = f && fprintf(f, "%d", (int)pid - 1) > 0;
    return f && fclose(f) == 0 && ok;
}

/* A child of a plain fork with this pid, which runs body; 0: there is no way to have it. */
static pid_t
fork_as(pid_t wanted, void (*body)(void *), void *arg)
{
    fflush(NULL);
    for (int i = 0; i < TRIES && next_pid_is(wanted); i++) {
        pid_t pid = fork();
        if (pid == 0) {
            if (getpid() == wanted) {
                body(arg);
            }
            _exit(0);
        }
        assert_true(pid > 0);
        if (pid == wanted) {
            return pid;
        }
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
    return 0;
}

static void
stay(void *arg)
{
    (void)arg;
    pause_for_ever();
}

static int
end_of(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int
do_nothing(const mp_args *args)
{
    (void)args;
    return 0;
}

/* ---- processes --------------------------------------------------------------------------------*/

/* p has ended, another child has its pid: p's calls are about p. */
static void
check_ended(mp_process *p, pid_t newcomer, int exitcode_status)
{
    int code;
    assert_int_equal(mp_process_is_alive(p), 0);
    mp_assert_ok(mp_process_join(p, 10));
    assert_int_equal(mp_process_exitcode(p, &code), exitcode_status);
    mp_assert_ok(mp_process_terminate(p));
    mp_assert_ok(mp_process_kill(p));
    assert_int_equal(waitpid(newcomer, NULL, WNOHANG), 0);
    assert_int_equal(kill(newcomer, SIGUSR2), 0);
    assert_int_equal(end_of(newcomer), -SIGUSR2);
    mp_assert_ok(mp_process_free(p));
}

static void
test_process_stolen_and_its_pid_used_again_has_ended(void **state)
{
    (void)state;
    if (method_is("forkserver") || mp__plat_pidfd(-1) == -ENOTSUP) {
        skip(); /* the child is not ours to steal; without pidfds there is no telling */
    }
    mp_process *p = start(do_nothing, NULL);
    pid_t pid = mp_process_pid(p);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    pid_t newcomer = fork_as(pid, stay, NULL);
    if (newcomer == 0) {
        mp_assert_ok(mp_process_free(p));
        skip();
    }
    check_ended(p, newcomer, -ECHILD);
}

static void
test_process_reaped_and_its_pid_used_again_has_ended(void **state)
{
    (void)state;
    mp_process *p = start(do_nothing, NULL);
    pid_t pid = mp_process_pid(p);
    mp_assert_ok(mp_process_join(p, MP_FOREVER));
    pid_t newcomer = fork_as(pid, stay, NULL);
    if (newcomer == 0) {
        mp_assert_ok(mp_process_free(p));
        skip();
    }
    check_ended(p, newcomer, 0);
}

static int
tell_server_and_hang(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    struct note *n = p;
    atomic_store(&n->number[0], getppid());
    return hang(args);
}

/* Neither a server nor anybody else that waits: the pid is free as soon as the child has ended. */
static void
test_forkserver_child_without_server_and_its_pid_used_again_has_ended(void **state)
{
    (void)state;
    if (!method_is("forkserver")) {
        skip();
    }
    struct note *n = note_new();
    mp_process *p = start(tell_server_and_hang, mp_args((void *)n));
    wait_for(&n->ready, 1);
    pid_t pid = mp_process_pid(p), server = (pid_t)n->number[0];
    assert_int_equal(kill(server, SIGKILL), 0);
    while (is_running(server)) {
        nap();
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    for (int i = 0; i < 1000 && state_of(pid) != 0; i++) {
        nap(); /* until the system's first process has reaped it, if it does */
    }
    pid_t newcomer = fork_as(pid, stay, NULL);
    if (newcomer == 0) {
        mp_assert_ok(mp_process_join(p, MP_FOREVER));
        mp_assert_ok(mp_process_free(p));
        mp__process_settle();
        mp_free(n);
        skip();
    }
    check_ended(p, newcomer, 0);
    mp__process_settle();
    mp_free(n);
}

/* From now on for ever: as on a system that is too old. */
static bool
forbid_pidfds(void)
{
#ifdef SYS_pidfd_open
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof code / sizeof *code, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
#else
    return false;
#endif
}

static void
wait_for_a_later_start(void)
{
    /* The system counts a process's age in hundredths of a second. */
    int64_t later = mp__plat_now() + 30 * MP__MS;
    while (mp__plat_now() < later) {
        nap();
    }
}

/* The last of all tests, for it forbids.  A process is told from another by when it started. */
static void
test_process_stolen_without_pidfds_and_its_pid_used_again_has_ended(void **state)
{
    (void)state;
    if (method_is("forkserver") || mp__plat_start_time(getpid()) == 0 || !alone ||
        !forbid_pidfds()) {
        skip();
    }
    mp_process *p = start(do_nothing, NULL);
    pid_t pid = mp_process_pid(p);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    wait_for_a_later_start();
    pid_t newcomer = fork_as(pid, stay, NULL);
    if (newcomer == 0) {
        mp_assert_ok(mp_process_free(p));
        skip();
    }
    check_ended(p, newcomer, -ECHILD);
}

/* ---- locks ------------------------------------------------------------------------------------*/

static void
take_and_die(void *arg)
{
    mp_lock *lock = arg;
    mp_child_ok(mp_lock_acquire(lock, MP_FOREVER));
    raise(SIGKILL);
}

static void
stay_as_a_member(void *arg)
{
    struct note *n = arg;
    mp_lock *other = (mp_lock *)n->number[0];
    mp_child_ok(mp_lock_acquire(other, 0)); /* takes a slot in the table */
    atomic_fetch_add(&n->ready, 1);
    pause_for_ever();
}

static void
take_over(void *arg)
{
    mp_child_code(mp_lock_acquire(arg, 10), MP_OWNER_DIED);
    mp_child_ok(mp_lock_release(arg));
    _exit(7);
}

/* The pid of a process that died with the lock and was reaped, by a plain waitpid: nobody told the
   family. */
static pid_t
die_with(mp_lock *lock)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        take_and_die(lock);
    }
    assert_int_equal(end_of(pid), -SIGKILL);
    return pid;
}

static void
test_lock_of_a_dead_whose_pid_is_another_process_is_taken_over(void **state)
{
    (void)state;
    for (int member = 0; member < 2; member++) {
        mp_lock *lock = mp_lock_new(), *other = mp_lock_new();
        struct note *n = note_new();
        n->number[0] = (long)other;
        pid_t pid = die_with(lock);
        wait_for_a_later_start();
        pid_t newcomer = fork_as(pid, member ? stay_as_a_member : stay, n);
        if (newcomer == 0) {
            mp_free(n);
            mp_assert_ok(mp_lock_free(other));
            mp_assert_ok(mp_lock_free(lock));
            skip();
        }
        if (member) {
            wait_for(&n->ready, 1);
        }
        mp_assert_code(mp_lock_acquire(lock, 10), MP_OWNER_DIED);
        mp_assert_ok(mp_lock_release(lock));
        kill(newcomer, SIGKILL);
        assert_int_equal(end_of(newcomer), -SIGKILL);
        mp_free(n);
        mp_assert_ok(mp_lock_free(other));
        mp_assert_ok(mp_lock_free(lock));
    }
}

static void
test_lock_of_a_dead_whose_pid_is_ours_is_taken_over(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new();
    pid_t newcomer = fork_as(die_with(lock), take_over, lock);
    if (newcomer == 0) {
        mp_assert_ok(mp_lock_free(lock));
        skip();
    }
    assert_int_equal(end_of(newcomer), 7);
    mp_assert_ok(mp_lock_free(lock));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_process_stolen_and_its_pid_used_again_has_ended),
    cmocka_unit_test(test_process_reaped_and_its_pid_used_again_has_ended),
    cmocka_unit_test(test_forkserver_child_without_server_and_its_pid_used_again_has_ended),
    cmocka_unit_test(test_lock_of_a_dead_whose_pid_is_another_process_is_taken_over),
    cmocka_unit_test(test_lock_of_a_dead_whose_pid_is_ours_is_taken_over),
    cmocka_unit_test(test_process_stolen_without_pidfds_and_its_pid_used_again_has_ended),
};

/* The first process of the namespace: what is left falls to it. */
static int
reap_until(pid_t program)
{
    int status = 0, result = 1;
    for (pid_t pid; (pid = waitpid(-1, &status, 0)) > 0 || errno == EINTR;) {
        if (pid == program) {
            result = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
            break;
        }
    }
    return result;
}

/* Go on as the only program that counts pids; returns in it, or where that is not allowed. */
static void
be_alone(void)
{
    if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0) {
        return;
    }
    pid_t first = fork();
    if (first != 0) {
        exit(first > 0 ? reap_until(first) : 1);
    }
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("proc", "/proc", "proc", 0, NULL) < 0) {
        fprintf(stderr, "no namespace of pids: all is left out\n");
        _exit(0);
    }
    pid_t program = fork();
    if (program != 0) {
        _exit(program > 0 ? reap_until(program) : 1);
    }
    alone = true;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    be_alone();
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
}
