/*
 * test_harness.c: the harness sees what it is there to see.  This program runs itself with the name
 * of a case, a test that does something wrong, and looks at what is said about it.
 */
#include "mp_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHARED_NAME "/dev/shm/mp-test-harness-leak"

/* ---- the cases --------------------------------------------------------------------------------*/

static void
leak_nothing(void **state)
{
    (void)state;
    void *block = mp_malloc(100);
    assert_non_null(block);
    mp_assert_ok(mp_free(block));
    int fd = open(mp_test_dir(), O_RDONLY);
    assert_true(fd >= 0);
    close(fd);
    pid_t pid = fork();
    if (pid == 0) {
        mp_child_check(1 == 1);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
leak_descriptor(void **state)
{
    (void)state;
    assert_true(open("/dev/null", O_RDONLY) >= 0);
}

static void
lose_descriptor(void **state)
{
    (void)state;
    close(STDIN_FILENO);
}

static void
leak_child(void **state)
{
    (void)state;
    if (fork() == 0) {
        for (;;) {
            pause();
        }
    }
}

static void
leak_zombie(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static void *
wait_for_ever(void *unused)
{
    for (;;) {
        pause();
    }
    return unused;
}

static void
leak_thread(void **state)
{
    (void)state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wait_for_ever, NULL), 0);
    pthread_detach(thread);
}

static void
leak_heap_block(void **state)
{
    (void)state;
    assert_non_null(mp_malloc(100));
}

static void
leak_shared_name(void **state)
{
    (void)state;
    int fd = open(SHARED_NAME, O_CREAT | O_RDWR, 0600);
    assert_true(fd >= 0);
    close(fd);
}

/* Runs work in a child of fork(); its exit code, or minus its signal. */
static int
in_child(void (*work)(void))
{
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        work();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void
check_what_is_false(void)
{
    int one = 1;
    mp_child_check(one == 2);
}

static void
call_what_fails(void)
{
    mp_child_ok(MP_EEMPTY);
}

static void
assert_in_child(void)
{
    assert_int_equal(1, 2);
}

static void
crash(void)
{
    raise(SIGSEGV);
}

static void
fail_child_check(void **state)
{
    (void)state;
    assert_int_equal(in_child(check_what_is_false), 0);
}

static void
fail_child_call(void **state)
{
    (void)state;
    assert_int_equal(in_child(call_what_fails), 0);
}

static void
stray_child(void **state)
{
    (void)state;
    assert_int_equal(in_child(assert_in_child), MP_CHILD_STRAYED);
}

/* A sanitizer turns the signal into an exit code of its own. */
static void
crash_in_child(void **state)
{
    (void)state;
    int code = in_child(crash);
    assert_true(code == -SIGSEGV || (code > 0 && code != MP_CHILD_STRAYED));
}

static void
fail_assertion(void **state)
{
    (void)state;
    mp_assert_ok(MP_EFULL);
}

static void
hang_with_child(void **state)
{
    (void)state;
    mp_test_bounded(1);
    fork();
    for (;;) {
        pause();
    }
}

/* Which case, and what its run must say; NULL: that it passed. */
static const struct {
    const char *name;
    CMUnitTestFunction test;
    const char *said;
} cases[] = {
    {"clean", leak_nothing, NULL},
    {"descriptor", leak_descriptor, "left behind: descriptor"},
    {"lost-descriptor", lose_descriptor, "taken away: descriptor 0"},
    {"child", leak_child, "left behind: child"},
    {"zombie", leak_zombie, "left behind: child"},
    {"thread", leak_thread, "left behind: threads: 1 before the test, 2 after it"},
    {"heap", leak_heap_block, "left behind: heap"},
    {"name", leak_shared_name, "left behind: name " SHARED_NAME},
    {"child-check", fail_child_check, "not true: one == 2"},
    {"child-call", fail_child_call, "queue is empty"},
    {"stray", stray_child, NULL},
    {"crash", crash_in_child, NULL},
    {"assertion", fail_assertion, "queue is full"},
    {"hang", hang_with_child, "hang: the test hangs"},
};
#define CASES (sizeof cases / sizeof *cases)

/* ---- the tests --------------------------------------------------------------------------------*/

/* Run the case: it must end as passed, or as failed with the text. */
static void
run_case(const char *name)
{
    char out[16384];
    for (size_t i = 0; i < CASES; i++) {
        if (strcmp(cases[i].name, name) != 0) {
            continue;
        }
        int status = mp_test_run_self(name, out, sizeof out);
        bool passed = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (passed != (cases[i].said == NULL) ||
            (cases[i].said && strstr(out, cases[i].said) == NULL)) {
            fail_msg("case %s ended with status 0x%x and said:\n%s", name, (unsigned)status, out);
        }
        return;
    }
    fail_msg("no case %s", name);
}

static void
test_harness_clean_test_passes(void **state)
{
    (void)state;
    run_case("clean");
}

static void
test_harness_leaked_descriptor_is_reported(void **state)
{
    (void)state;
    run_case("descriptor");
}

static void
test_harness_closed_descriptor_is_reported(void **state)
{
    (void)state;
    run_case("lost-descriptor");
}

static void
test_harness_leaked_child_is_reported(void **state)
{
    (void)state;
    run_case("child");
}

static void
test_harness_zombie_is_reported(void **state)
{
    (void)state;
    run_case("zombie");
}

static void
test_harness_leaked_thread_is_reported(void **state)
{
    (void)state;
    run_case("thread");
}

static void
test_harness_leaked_heap_block_is_reported(void **state)
{
    (void)state;
    run_case("heap");
}

static void
test_harness_leaked_shared_name_is_reported(void **state)
{
    (void)state;
    if (access("/dev/shm", W_OK) != 0) {
        skip();
    }
    unlink(SHARED_NAME);
    run_case("name");
    assert_int_equal(unlink(SHARED_NAME), 0);
}

static void
test_harness_failed_check_in_child_is_reported(void **state)
{
    (void)state;
    run_case("child-check");
}

static void
test_harness_failed_call_in_child_is_reported(void **state)
{
    (void)state;
    run_case("child-call");
}

static void
test_harness_cmocka_assertion_in_child_ends_the_child(void **state)
{
    (void)state;
    run_case("stray");
}

static void
test_harness_crash_in_child_ends_the_child(void **state)
{
    (void)state;
    run_case("crash");
}

static void
test_harness_failed_assertion_is_reported(void **state)
{
    (void)state;
    run_case("assertion");
}

/* run_self returns only when nobody holds its pipe: the child of the case is gone too. */
static void
test_harness_hanging_test_is_ended_with_its_children(void **state)
{
    (void)state;
    run_case("hang");
}

static void
test_harness_temporary_directory_is_empty_and_ours(void **state)
{
    (void)state;
    char path[4200];
    snprintf(path, sizeof path, "%s/file", mp_test_dir());
    int fd = open(path, O_CREAT | O_EXCL | O_RDWR, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_string_equal(mp_test_dir(), mp_test_dir());
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_harness_clean_test_passes),
    cmocka_unit_test(test_harness_leaked_descriptor_is_reported),
    cmocka_unit_test(test_harness_closed_descriptor_is_reported),
    cmocka_unit_test(test_harness_leaked_child_is_reported),
    cmocka_unit_test(test_harness_zombie_is_reported),
    cmocka_unit_test(test_harness_leaked_thread_is_reported),
    cmocka_unit_test(test_harness_leaked_heap_block_is_reported),
    cmocka_unit_test(test_harness_leaked_shared_name_is_reported),
    cmocka_unit_test(test_harness_failed_check_in_child_is_reported),
    cmocka_unit_test(test_harness_failed_call_in_child_is_reported),
    cmocka_unit_test(test_harness_cmocka_assertion_in_child_ends_the_child),
    cmocka_unit_test(test_harness_crash_in_child_ends_the_child),
    cmocka_unit_test(test_harness_failed_assertion_is_reported),
    cmocka_unit_test(test_harness_hanging_test_is_ended_with_its_children),
    cmocka_unit_test(test_harness_temporary_directory_is_empty_and_ours),
};

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    for (size_t i = 0; argc > 1 && i < CASES; i++) {
        if (strcmp(argv[1], cases[i].name) == 0) {
            const struct CMUnitTest one[] = {{.name = cases[i].name, .test_func = cases[i].test}};
            if (cases[i].said) { /* who passes may need the time to */
                setenv("MP_TEST_GRACE_MS", "100", 1);
            }
            return mp_test_main(1, argv, one, 1, true);
        }
    }
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
}
