/*
 * test_barrier_fault.c: barriers whose parties die.
 *
 * Times are from the death to the news of it.  What libmp promises is 0.1 s; a busy machine may add
 * as much again before it lets anybody run, and the time in which it ran nobody.
 */
#include "mp_test.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helpers/stalls.h"

#include "sync/barrier.h"

#define PROMISE 0.1
#define SLACK   0.1
#define LONG    20.0

/* What the processes of a test share. */
struct common {
    mp_barrier *barrier; /* of three */
    mp_barrier *acting;  /* of two, whose action does not end */
    mp_barrier *single;  /* of one, likewise */
    _Atomic int ready, acts;
    _Atomic int result[8];
};

static struct common *common;

static int
act_for_ever(void *arg)
{
    struct common *c = arg;
    c->acts++;
    for (;;) {
        pause();
    }
    return 0;
}

static int
set_up(void **state)
{
    (void)state;
    common = mp_calloc(1, sizeof *common);
    stalls_watch();
    const mp_barrier_options options = {.action = act_for_ever, .arg = common};
    common->barrier = mp_barrier_new(3, NULL);
    common->acting = mp_barrier_new(2, &options);
    common->single = mp_barrier_new(1, &options);
    return common->barrier && common->acting && common->single ? 0 : -1;
}

static int
tear_down(void **state)
{
    (void)state;
    stalls_unwatch();
    mp_barrier_free(common->barrier);
    mp_barrier_free(common->acting);
    mp_barrier_free(common->single);
    mp_free(common);
    return 0;
}

/* A party, number `which`: a child of fork() that notes what its wait gave. */
static pid_t
party(mp_barrier *b, int which)
{
    pid_t pid = fork();
    if (pid == 0) {
        common->ready++;
        common->result[which] = mp_barrier_wait(b, LONG);
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}

static void
reap(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

static void
kill_and_reap(pid_t pid)
{
    kill(pid, SIGKILL);
    reap(pid);
}

/* It runs no instruction of its own any more when this returns. */
static void
stop(pid_t pid)
{
    int status = 0;
    kill(pid, SIGSTOP);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
}

static void
wait_waiting(mp_barrier *b, int n)
{
    while (mp_barrier_n_waiting(b) != n) {
        poll(NULL, 0, 1);
    }
}

static void
assert_within_promise(double begin)
{
    assert_in_time(begin, mp_test_now(), PROMISE + SLACK);
}

/* It is as good as new after a reset. */
static void
assert_usable(void)
{
    mp_assert_ok(mp_barrier_reset(common->barrier));
    pid_t pid[2] = {party(common->barrier, 6), party(common->barrier, 7)};
    int place = mp_barrier_wait(common->barrier, LONG);
    assert_in_range(place, 0, 2);
    reap(pid[0]);
    reap(pid[1]);
    assert_int_equal(common->result[6] + common->result[7] + place, 0 + 1 + 2);
}

/* ---- parties that wait -------------------------------------------------------------------------*/

static void
test_barrier_breaks_when_one_that_waits_is_killed(void **state)
{
    (void)state;
    for (int doomed = 0; doomed < 2; doomed++) {
        pid_t pid[2];
        for (int i = 0; i < 2; i++) {
            pid[i] = party(common->barrier, i);
            wait_waiting(common->barrier, i + 1);
        }
        kill_and_reap(pid[doomed]);
        double begin = mp_test_now();
        reap(pid[1 - doomed]);
        assert_within_promise(begin);
        assert_int_equal(common->result[1 - doomed], MP_EBROKENBARRIER);
        assert_int_equal(mp_barrier_broken(common->barrier), 1);
        mp_assert_code(mp_barrier_wait(common->barrier, LONG), MP_EBROKENBARRIER);
        assert_usable();
    }
}

/* A zombie is dead: its parent may never look. */
static void
test_barrier_breaks_when_one_that_waits_is_a_zombie(void **state)
{
    (void)state;
    siginfo_t info;
    pid_t doomed = party(common->barrier, 0);
    wait_waiting(common->barrier, 1);
    kill(doomed, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)doomed, &info, WEXITED | WNOWAIT), 0);
    double begin = mp_test_now();
    mp_assert_code(mp_barrier_wait(common->barrier, LONG), MP_EBROKENBARRIER);
    assert_within_promise(begin);
    assert_non_null(strstr(mp_last_error_text(), "died"));
    reap(doomed);
    assert_usable();
}

static void
test_barrier_tells_the_last_that_one_died_long_ago(void **state)
{
    (void)state;
    pid_t doomed = party(common->barrier, 0);
    wait_waiting(common->barrier, 1);
    pid_t other = party(common->barrier, 1);
    wait_waiting(common->barrier, 2);
    stop(other); /* it cannot find out */
    kill_and_reap(doomed);
    poll(NULL, 0, 60); /* a slice has gone by since the first one came */
    mp_assert_code(mp_barrier_wait(common->barrier, LONG), MP_EBROKENBARRIER);
    kill(other, SIGCONT);
    reap(other);
    assert_int_equal(common->result[1], MP_EBROKENBARRIER);
    assert_usable();
}

static void
test_barrier_of_dead_ones_breaks_for_who_comes(void **state)
{
    (void)state;
    pid_t pid[2] = {party(common->barrier, 0), party(common->barrier, 1)};
    wait_waiting(common->barrier, 2);
    stop(pid[0]);
    stop(pid[1]);
    kill_and_reap(pid[0]);
    kill_and_reap(pid[1]);
    poll(NULL, 0, 60);
    assert_int_equal(mp_barrier_broken(common->barrier), 0); /* nobody was left to find out */
    double begin = mp_test_now();
    mp_assert_code(mp_barrier_wait(common->barrier, LONG), MP_EBROKENBARRIER);
    assert_within_promise(begin);
    assert_usable();
}

static void
test_barrier_waits_for_a_replacement_of_who_never_came(void **state)
{
    (void)state;
    pid_t pid[3];
    for (int i = 0; i < 2; i++) {
        pid[i] = party(common->barrier, i);
    }
    wait_waiting(common->barrier, 2);
    pid_t stranger = fork();
    if (stranger == 0) {
        mp_barrier_n_waiting(common->barrier);
        common->ready = 100;
        for (;;) {
            pause();
        }
    }
    while (common->ready != 100) {
        poll(NULL, 0, 1);
    }
    kill_and_reap(stranger);
    poll(NULL, 0, 120);
    assert_int_equal(mp_barrier_n_waiting(common->barrier), 2);
    pid[2] = party(common->barrier, 2);
    int sum = 0;
    for (int i = 0; i < 3; i++) {
        reap(pid[i]);
        sum += common->result[i];
    }
    assert_int_equal(sum, 0 + 1 + 2);
}

static void
test_barrier_breaks_when_one_that_waits_exits(void **state)
{
    (void)state;
    pid_t doomed = party(common->barrier, 0);
    wait_waiting(common->barrier, 1);
    kill(doomed, SIGTERM);
    reap(doomed);
    double begin = mp_test_now();
    mp_assert_code(mp_barrier_wait(common->barrier, LONG), MP_EBROKENBARRIER);
    assert_within_promise(begin);
}

/* ---- parties in the action ---------------------------------------------------------------------*/

static void
test_barrier_breaks_when_one_is_killed_in_the_action(void **state)
{
    (void)state;
    pid_t waiter = party(common->acting, 0);
    wait_waiting(common->acting, 1);
    pid_t doomed = party(common->acting, 1);
    while (common->acts != 1) {
        poll(NULL, 0, 1);
    }
    poll(NULL, 0, 120); /* the waiter looks, and sees it alive */
    assert_int_equal(mp_barrier_broken(common->acting), 0);
    kill_and_reap(doomed);
    double begin = mp_test_now();
    reap(waiter);
    assert_within_promise(begin);
    assert_int_equal(common->result[0], MP_EBROKENBARRIER);
    assert_int_equal(mp_barrier_broken(common->acting), 1);
}

static void
test_barrier_goes_on_when_one_that_waits_dies_during_the_action(void **state)
{
    (void)state;
    pid_t doomed = party(common->acting, 0);
    wait_waiting(common->acting, 1);
    pid_t leader = party(common->acting, 1);
    while (common->acts != 1) {
        poll(NULL, 0, 1);
    }
    kill_and_reap(doomed);
    poll(NULL, 0, 120);
    assert_int_equal(mp_barrier_broken(common->acting), 0); /* it had filled */
    kill_and_reap(leader);
}

static void
test_barrier_breaks_for_one_that_came_too_early_for_the_next_round(void **state)
{
    (void)state;
    pid_t doomed = party(common->single, 0);
    while (common->acts != 1) {
        poll(NULL, 0, 1);
    }
    common->ready = 0;
    pid_t early = party(common->single, 1);
    while (common->ready != 1) {
        poll(NULL, 0, 1);
    }
    poll(NULL, 0, 120);
    kill_and_reap(doomed);
    double begin = mp_test_now();
    reap(early);
    assert_within_promise(begin);
    assert_int_equal(common->result[1], MP_EBROKENBARRIER);
}

/* ---- the look is by the clock ------------------------------------------------------------------*/

static void
tick(int signo)
{
    (void)signo;
}

/* No sleep of the waiter lasts until its end: the death is seen all the same. */
static void
test_barrier_waiter_with_interrupted_sleeps_sees_the_death(void **state)
{
    (void)state;
    struct sigaction ticking = {.sa_handler = tick}, before;
    sigaction(SIGUSR1, &ticking, &before);
    pid_t doomed = party(common->barrier, 0);
    wait_waiting(common->barrier, 1);
    pid_t waiter = party(common->barrier, 1);
    wait_waiting(common->barrier, 2);
    kill_and_reap(doomed);
    double begin = mp_test_now();
    while (waitpid(waiter, NULL, WNOHANG) == 0) {
        kill(waiter, SIGUSR1);
        poll(NULL, 0, 1);
        assert_within_promise(begin);
    }
    sigaction(SIGUSR1, &before, NULL);
    assert_int_equal(common->result[1], MP_EBROKENBARRIER);
}

#define with_barriers(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static const struct CMUnitTest tests[] = {
    with_barriers(test_barrier_breaks_when_one_that_waits_is_killed),
    with_barriers(test_barrier_breaks_when_one_that_waits_is_a_zombie),
    with_barriers(test_barrier_tells_the_last_that_one_died_long_ago),
    with_barriers(test_barrier_of_dead_ones_breaks_for_who_comes),
    with_barriers(test_barrier_waits_for_a_replacement_of_who_never_came),
    with_barriers(test_barrier_breaks_when_one_that_waits_exits),
    with_barriers(test_barrier_breaks_when_one_is_killed_in_the_action),
    with_barriers(test_barrier_goes_on_when_one_that_waits_dies_during_the_action),
    with_barriers(test_barrier_breaks_for_one_that_came_too_early_for_the_next_round),
    with_barriers(test_barrier_waiter_with_interrupted_sleeps_sees_the_death),
};

MP_TEST_MAIN(tests)
