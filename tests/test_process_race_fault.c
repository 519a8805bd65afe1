/*
 * test_process_race_fault.c: starts while other threads fork, sweep and name, and starts of children
 * that die before they can say a word.
 */
#include "mp_test.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "helpers/process.h"

#define PATIENCE 25.0 /* far less than a start's own */

static int
do_nothing(const mp_args *args)
{
    (void)args;
    return 0;
}

static const char *const methods[] = {"fork", "spawn", "forkserver"};

static mp_process *
new_by(const char *method, mp_target target, mp_args *args)
{
    mp_process *p = mp_context_process(mp_get_context(method), target, args, NULL);
    assert_non_null(p);
    return p;
}

/* Threads that work until the test has seen enough. */
static atomic_bool enough;

static void
run_until_enough(void *(*work)(void *), void *arg, pthread_t *ret)
{
    atomic_store(&enough, false);
    assert_int_equal(pthread_create(ret, NULL, work, arg), 0);
}

static void
stop_thread(pthread_t thread)
{
    atomic_store(&enough, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- forks -------------------------------------------------------------------------------------*/

static void *
fork_and_wait(void *arg)
{
    while (!atomic_load(&enough)) {
        pid_t pid = fork();
        if (pid == 0) {
            _exit(0);
        }
        mp_child_check(waitpid(pid, NULL, 0) == pid);
    }
    return arg;
}

/*
 * An object that goes in a sweep of the children, with all it has: locks are taken there that a fork
 * takes too.  In a program of its own, which makes arguments before it knows of processes.
 */
static int
sweep_amid_forks(void)
{
    pthread_t thread[2];
    mp_args_free(mp_args("first"));
    for (int i = 0; i < 2; i++) {
        run_until_enough(fork_and_wait, NULL, &thread[i]);
    }
    double until = mp_test_now() + 2;
    while (mp_test_now() < until) {
        mp_process *p = mp_context_process(mp_context_fork(), do_nothing, NULL, NULL);
        mp_child_check(p != NULL);
        mp_child_ok(mp_process_set_userdata(p, mp_from("something to free")));
        mp_child_ok(mp_process_start(p));
        mp_child_ok(mp_process_free(p)); /* a later start finds it ended */
    }
    for (int i = 0; i < 2; i++) {
        stop_thread(thread[i]);
    }
    return 0;
}

static void
test_objects_freed_by_sweeps_amid_forks(void **state)
{
    (void)state;
    char out[1000];
    assert_int_equal(mp_test_run_self("sweeps", out, sizeof out), 0);
    assert_string_equal(out, "");
}

/* Children of forks that stay keep no end of a start that was under way: so that a child that dies
   without a word is seen to. */
#define FORKS 300
static pid_t staying[FORKS];
static int stay_count;

static void *
fork_and_stay(void *arg)
{
    while (!atomic_load(&enough) && stay_count < FORKS) {
        pid_t pid = fork();
        if (pid == 0) {
            pause_for_ever();
        }
        mp_child_check(pid > 0);
        staying[stay_count++] = pid;
    }
    return arg;
}

static void
test_child_that_dies_at_once_amid_forks_is_seen(void **state)
{
    (void)state;
    mp_assert_ok(setenv("MP_TEST_DIE_AT_ONCE", "1", 1) == 0 ? 0 : -1);
    pthread_t thread;
    stay_count = 0;
    run_until_enough(fork_and_stay, NULL, &thread);
    for (int i = 0; i < 60; i++) {
        mp_process *p = new_by("spawn", do_nothing, NULL);
        double began = mp_test_now();
        mp_assert_code(mp_process_start(p), MP_ERUNTIME);
        assert_non_null(strstr(mp_last_error_text(), "exit code 33"));
        assert_true(mp_test_now() - began < PATIENCE);
        mp_assert_ok(mp_process_free(p));
    }
    stop_thread(thread);
    for (int i = 0; i < stay_count; i++) {
        kill(staying[i], SIGKILL);
        assert_int_equal(waitpid(staying[i], NULL, 0), staying[i]);
    }
    unsetenv("MP_TEST_DIE_AT_ONCE");
}

/* ---- names -------------------------------------------------------------------------------------*/

static void *
name_over_and_over(void *arg)
{
    char text[3000];
    for (unsigned i = 0; !atomic_load(&enough); i++) {
        memset(text, 'n', sizeof text);
        text[1 + i * 37 % (sizeof text - 1)] = '\0';
        mp_child_ok(mp_process_set_name(mp_current_process(), text));
    }
    return arg;
}

static int
check_parents_name(const mp_args *args)
{
    (void)args;
    const char *name = mp_process_name(mp_parent_process());
    mp_child_check(name && *name == 'n' && strspn(name, "n") == strlen(name));
    return 0;
}

static void
test_name_that_changes_amid_starts_is_a_name(void **state)
{
    (void)state;
    pthread_t thread;
    mp_assert_ok(mp_process_set_name(mp_current_process(), "nnn"));
    run_until_enough(name_over_and_over, NULL, &thread);
    for (int i = 0; i < 60; i++) {
        mp_process *p = new_by(methods[i % 3], check_parents_name, NULL);
        mp_assert_ok(mp_process_start(p));
        assert_int_equal(finish(p), 0);
    }
    stop_thread(thread);
    mp_assert_ok(mp_process_set_name(mp_current_process(), "MainProcess"));
}

/* ---- descriptors -------------------------------------------------------------------------------*/

#define PASSED 30

/* Fewer descriptors than are passed: the child cannot have them all, and says so. */
static void
test_child_without_room_for_its_descriptors_says_so(void **state)
{
    (void)state;
    struct rlimit usual, low;
    mp__process_settle();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    for (int m = 0; m < 3; m++) {
        mp_process *p = new_by(methods[m], do_nothing, NULL);
        mp_obj list = mp_list();
        for (int i = 0; i < PASSED; i++) {
            int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 200);
            assert_true(fd >= 200);
            mp_assert_ok(mp_list_append(list, mp_from((mp_fd){fd})));
        }
        mp_assert_ok(mp_process_set_args(p, mp_args(list)));
        low = usual;
        low.rlim_cur = 25;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        int status = mp_process_start(p);
        mp__process_settle(); /* a server of this limit */
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
        assert_int_equal(status, -EMFILE);
        const char *says =
            strcmp(methods[m], "spawn") == 0 ? "with 32 descriptors" : "in the child";
        assert_non_null(strstr(mp_last_error_text(), says));
        mp_assert_ok(mp_process_free(p));
        for (int fd = 200; fd < 200 + PASSED; fd++) {
            close(fd);
        }
    }
}

#define MOST_PASSED 250

static int
count_passed(const mp_args *args)
{
    mp_obj list;
    mp_args_get(args, &list);
    int open = 0;
    for (int fd = 3; fd < 3 * MOST_PASSED; fd++) {
        open += fcntl(fd, F_GETFD) == FD_CLOEXEC;
    }
    mp_child_check(open >= MOST_PASSED);
    return (int)mp_obj_len(list);
}

/* Nearly as many as the limit allows the parent itself: the child needs few more. */
static void
test_child_with_many_descriptors_starts_near_the_limit(void **state)
{
    (void)state;
    struct rlimit usual, low;
    mp__process_settle();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    for (int m = 0; m < 3; m++) {
        mp_process *p = new_by(methods[m], count_passed, NULL);
        mp_obj list = mp_list();
        int fds[MOST_PASSED];
        for (int i = 0; i < MOST_PASSED; i++) {
            fds[i] = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
            assert_true(fds[i] >= 3 && fds[i] < MOST_PASSED + 20);
            mp_assert_ok(mp_list_append(list, mp_from((mp_fd){fds[i]})));
        }
        mp_assert_ok(mp_process_set_args(p, mp_args(list)));
        low = usual;
        low.rlim_cur = strcmp(methods[m], "spawn") == 0 ? MOST_PASSED + 20 : 2 * MOST_PASSED + 20;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        int status = mp_process_start(p);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
        mp_assert_ok(status);
        assert_int_equal(finish(p), MOST_PASSED);
        mp__process_settle();
        for (int i = 0; i < MOST_PASSED; i++) {
            close(fds[i]);
        }
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_objects_freed_by_sweeps_amid_forks),
    cmocka_unit_test(test_child_that_dies_at_once_amid_forks_is_seen),
    cmocka_unit_test(test_name_that_changes_amid_starts_is_a_name),
    cmocka_unit_test(test_child_without_room_for_its_descriptors_says_so),
    cmocka_unit_test(test_child_with_many_descriptors_starts_near_the_limit),
};

int
main(int argc, char **argv)
{
    if (getenv("MP_TEST_DIE_AT_ONCE")) {
        return 33;
    }
    mp_freeze_support(argc, argv);
    if (argc > 1 && strcmp(argv[1], "sweeps") == 0) {
        return sweep_amid_forks();
    }
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
}
