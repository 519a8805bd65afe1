/*
 * test_forkserver_end.c: how the end of the forkserver's children is known: from themselves when they
 * end in order, so that the server is not waited for, and from the server for all others.
 */
#include "mp_test.h"

#include <poll.h>
#include <sys/wait.h>

#include "helpers/process.h"
#include "platform/platform.h"

static const mp_process_options by_server = {.name = "by server"};

static mp_process *
start_served(mp_target target, mp_args *args)
{
    mp_process *p = mp_context_process(mp_context_forkserver(), target, args, &by_server);
    assert_non_null(p);
    mp_assert_ok(mp_process_start(p));
    return p;
}

/* A child that tells who its server is, and ends when it may. */
static int
wait_for_go(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    struct note *n = p;
    atomic_store(&n->number[0], getppid());
    atomic_store(&n->ready, 1);
    wait_for(&n->go, 1);
    return 7;
}

/* Stop the server of a child that waits; its pid. */
static pid_t
stop_server(struct note *n)
{
    wait_for(&n->ready, 1);
    pid_t server = (pid_t)n->number[0];
    assert_true(server > 1 && server != getpid());
    assert_int_equal(kill(server, SIGSTOP), 0);
    while (state_of(server) != 'T') {
        nap();
    }
    return server;
}

static int
return_number(const mp_args *args)
{
    int number;
    mp_args_get(args, &number);
    return number;
}

/* Without a ticket for a crash report there is none to tell an end by.  First: while no place is used. */
static void
test_children_without_crash_reports_have_their_codes(void **state)
{
    (void)state;
    bool were_on = mp_crash_reports(false);
    mp_process *p = start_served(return_number, mp_args(5));
    mp_crash_reports(were_on);
    assert_int_equal(finish(p), 5);
}

static void
test_child_that_ends_in_order_is_joined_without_its_server(void **state)
{
    (void)state;
    if (!mp__children_have_pidfds()) {
        skip();
    }
    struct note *n = note_new();
    mp_process *p = start_served(wait_for_go, mp_args((void *)n));
    pid_t server = stop_server(n);
    assert_int_equal(mp_process_is_alive(p), 1);
    atomic_store(&n->go, 1);
    assert_int_equal(finish(p), 7);
    assert_int_equal(state_of(server), 'T'); /* and nobody needed to tell it to go on */
    mp__process_settle();
    mp_free(n);
}

static void
test_child_killed_under_a_stopped_server_is_not_alive_once_its_sentinel_says_so(void **state)
{
    (void)state;
    for (int join = 0; join < 2; join++) {
        struct note *n = note_new();
        int code = 0;
        mp_process *p = start_served(wait_for_go, mp_args((void *)n));
        stop_server(n);
        mp_assert_ok(mp_process_kill(p));
        struct pollfd fd = {.fd = mp_process_sentinel(p), .events = POLLIN};
        bool late = false;
        if (mp__children_have_pidfds()) { /* else the server makes it ready */
            assert_int_equal(poll(&fd, 1, 20000), 1);
            double asked = mp_test_now();
            late = !join && mp_process_is_alive(p) == 1;
            /* Only of a server that has told nothing a second after it was to go on. */
            assert_true(!late || mp_test_now() - asked > 0.9);
        }
        if (join || late || !mp__children_have_pidfds()) {
            mp_assert_ok(mp_process_join(p, MP_FOREVER));
        }
        mp_assert_ok(mp_process_exitcode(p, &code));
        assert_int_equal(code, -SIGKILL);
        assert_int_equal(poll(&fd, 1, 0), 1);
        assert_int_equal(finish(p), -SIGKILL);
        mp__process_settle();
        mp_free(n);
    }
}

/* More than there are places for what they tell. */
static void
test_children_that_are_joined_late_have_their_own_codes(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    mp_process *p[COUNT];
    for (int i = 0; i < COUNT; i++) {
        p[i] = start_served(return_number, mp_args(i % 200));
    }
    for (int i = 0; i < COUNT; i++) {
        struct pollfd fd = {.fd = mp_process_sentinel(p[i]), .events = POLLIN};
        assert_int_equal(poll(&fd, 1, 20000), 1);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(finish(p[i]), i % 200);
    }
}

static int
end_by_exit_after_a_copy_ended_in_order(const mp_args *args)
{
    (void)args;
    fflush(NULL);
    pid_t copy = fork();
    if (copy == 0) {
        mp_exit(9);
    }
    int status;
    mp_child_check(waitpid(copy, &status, 0) == copy);
    mp_child_check(WIFEXITED(status) && WEXITSTATUS(status) == 9);
    _exit(3);
}

static void
test_copy_of_a_child_does_not_tell_its_end(void **state)
{
    (void)state;
    mp_process *p = start_served(end_by_exit_after_a_copy_ended_in_order, NULL);
    assert_int_equal(finish(p), 3);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_children_without_crash_reports_have_their_codes),
    cmocka_unit_test(test_child_that_ends_in_order_is_joined_without_its_server),
    cmocka_unit_test(
        test_child_killed_under_a_stopped_server_is_not_alive_once_its_sentinel_says_so),
    cmocka_unit_test(test_children_that_are_joined_late_have_their_own_codes),
    cmocka_unit_test(test_copy_of_a_child_does_not_tell_its_end),
};

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
}
