/*
 * test_condition_fault.c: conditions whose waiters, notifiers and lock holders die.
 *
 * Times are from the death to the wake-up of whoever is due.  What libmp promises is 0.1 s; a busy
 * machine may add as much again before it lets anybody run, and the time in which it ran nobody.
 */
#include "mp_test.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helpers/stalls.h"

#include "sync/condition.h"

#define PROMISE 0.1
#define SLACK   0.1
#define MOST    40

static struct common {
    mp_lock *lock;
    mp_condition *cond;
    _Atomic int ready;
    _Atomic int result[MOST]; /* of a waiter's wait, + 100; 0: it has not returned */
    _Atomic int news[MOST];
    _Atomic double at[MOST]; /* when it returned */
} * common;

static int
set_up(void **state)
{
    (void)state;
    common = mp_calloc(1, sizeof *common);
    stalls_watch();
    common->lock = mp_lock_new();
    common->cond = mp_condition_new(common->lock);
    return common->cond ? 0 : -1;
}

static int
tear_down(void **state)
{
    (void)state;
    stalls_unwatch();
    mp_condition_free(common->cond);
    mp_lock_free(common->lock);
    mp_free(common);
    return 0;
}

static int
waiting(void)
{
    return (int)common->cond->waiting;
}

static void
await_waiting(int n)
{
    while (waiting() != n) {
        poll(NULL, 0, 1);
    }
}

static pid_t
child(void (*work)(int), int which)
{
    pid_t pid = fork();
    if (pid == 0) {
        work(which);
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

static void
finish(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void
wait_for(int which, double timeout)
{
    mp_child_check(mp_condition_acquire(common->cond, MP_FOREVER) >= 0);
    int status = mp_condition_wait(common->cond, timeout);
    common->at[which] = mp_test_now();
    common->news[which] = mp_condition_news();
    common->result[which] = 100 + status;
    mp_child_ok(mp_condition_release(common->cond));
}

/* Until n have come, of whom some may have gone again. */
static void
await_ticket(uint64_t n)
{
    while (common->cond->ticket != n) {
        poll(NULL, 0, 1);
    }
}

static void
wait_long(int which)
{
    wait_for(which, MP_FOREVER);
}

static double short_time = 0.3;

static void
wait_short(int which)
{
    wait_for(which, short_time);
}

/* In line behind those who are there; asleep, too, but that it may not be yet. */
static pid_t
start_waiter(int which)
{
    int before = waiting();
    pid_t pid = child(wait_long, which);
    await_waiting(before + 1);
    return pid;
}

static void
notify(int n)
{
    mp_assert_ok(mp_condition_acquire(common->cond, MP_FOREVER));
    mp_assert_ok(mp_condition_notify(common->cond, n));
    mp_assert_ok(mp_condition_release(common->cond));
}

static void
assert_woken(int which, double begin, int result)
{
    while (common->result[which] == 0 && mp_test_now() < begin + 20) {
        poll(NULL, 0, 1);
    }
    assert_int_equal(common->result[which], 100 + result);
    assert_in_time(begin, common->at[which], PROMISE + SLACK);
}

/* Nobody else returns, now and within some slices. */
static void
assert_none_woken(int from, int to)
{
    poll(NULL, 0, 200);
    for (int i = from; i < to; i++) {
        assert_int_equal(common->result[i], 0);
    }
}

/* ---- waiters -------------------------------------------------------------------------------------*/

static void
test_waiter_killed_first_in_line_costs_nobody(void **state)
{
    (void)state;
    for (int asleep = 0; asleep < 2; asleep++) {
        memset(common->result, 0, sizeof common->result);
        pid_t doomed = start_waiter(0);
        if (asleep) {
            poll(NULL, 0, 60);
        }
        pid_t waiter = start_waiter(1), last = start_waiter(2);
        kill_and_reap(doomed);
        double begin = mp_test_now();
        notify(1);
        assert_woken(1, begin, 0);
        assert_none_woken(2, 3);
        begin = mp_test_now();
        notify(1);
        assert_woken(2, begin, 0);
        finish(waiter);
        finish(last);
        assert_int_equal(waiting(), 0);
    }
}

/* Of nine every other one is dead: two notifications are for two who live. */
static void
test_notify_counts_only_the_living(void **state)
{
    (void)state;
    enum { N = 9 };
    pid_t pid[N];
    for (int i = 0; i < N; i++) {
        pid[i] = start_waiter(i);
    }
    for (int i = 0; i < N; i += 2) {
        kill_and_reap(pid[i]);
    }
    double begin = mp_test_now();
    notify(2);
    assert_woken(1, begin, 0);
    assert_woken(3, begin, 0);
    assert_none_woken(5, N);
    begin = mp_test_now();
    notify(N);
    assert_woken(5, begin, 0);
    assert_woken(7, begin, 0);
    for (int i = 1; i < N; i += 2) {
        finish(pid[i]);
    }
}

/* Notified, and killed before its wait returned: the next one inherits, and only one. */
static void
test_waiter_killed_when_notified_has_an_heir(void **state)
{
    (void)state;
    pid_t pid[3];
    for (int i = 0; i < 3; i++) {
        pid[i] = start_waiter(i);
    }
    mp_assert_ok(mp_condition_acquire(common->cond, 0));
    mp_assert_ok(mp_condition_notify(common->cond, 1));
    assert_int_equal(waiting(), 2);
    poll(NULL, 0, 80); /* it waits for the lock now */
    kill_and_reap(pid[0]);
    double begin = mp_test_now();
    mp_assert_ok(mp_condition_release(common->cond));
    assert_woken(1, begin, 0);
    assert_none_woken(2, 3);
    notify(1);
    finish(pid[1]);
    finish(pid[2]);
    assert_int_equal(common->cond->granted, 0);
}

/* The heirs die as well, all but the last. */
static void
test_heirs_that_die_have_heirs(void **state)
{
    (void)state;
    enum { N = 5 };
    pid_t pid[N];
    for (int i = 0; i < N; i++) {
        pid[i] = start_waiter(i);
    }
    mp_assert_ok(mp_condition_acquire(common->cond, 0));
    mp_assert_ok(mp_condition_notify(common->cond, 1));
    for (int i = 0; i < N - 1; i++) {
        kill_and_reap(pid[i]);
        await_waiting(N - 2 - i > 0 ? N - 2 - i : 0);
    }
    double begin = mp_test_now();
    mp_assert_ok(mp_condition_release(common->cond));
    assert_woken(N - 1, begin, 0);
    finish(pid[N - 1]);
}

/* What was for those who waited then is not for one who came later. */
static void
test_wake_up_of_a_dead_waiter_is_not_for_later_ones(void **state)
{
    (void)state;
    pid_t doomed = start_waiter(0);
    mp_assert_ok(mp_condition_acquire(common->cond, 0));
    mp_assert_ok(mp_condition_notify(common->cond, 1));
    kill_and_reap(doomed);
    mp_assert_ok(mp_condition_release(common->cond));
    finish(child(wait_short, 1));
    assert_int_equal(common->result[1], 100 + MP_ETIMEOUT);
    pid_t waiter = start_waiter(2);
    double begin = mp_test_now();
    notify(1);
    assert_woken(2, begin, 0);
    finish(waiter);
}

/* Their places are used again: the condition does not grow with the dead. */
static void
test_places_of_killed_waiters_are_used_again(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 60; i++) {
        pid_t pid = child(wait_long, 0);
        await_ticket(i + 1);
        kill_and_reap(pid);
    }
    assert_true(common->cond->ready <= 1);
    pid_t waiter = child(wait_long, 1);
    await_ticket(61);
    double begin = mp_test_now();
    notify(1);
    assert_woken(1, begin, 0);
    finish(waiter);
}

/* ---- lock holders --------------------------------------------------------------------------------*/

static void
notify_and_die(int which)
{
    (void)which;
    mp_child_ok(mp_condition_acquire(common->cond, MP_FOREVER));
    mp_child_ok(mp_condition_notify(common->cond, 1));
    _exit(0);
}

static void
hold_and_die(int which)
{
    (void)which;
    mp_child_ok(mp_condition_acquire(common->cond, MP_FOREVER));
    common->ready = common->result[0] == 0; /* the waiter is in its wait until we are dead */
    _exit(0);
}

static void
test_notifier_that_dies_with_the_lock_is_news_to_the_woken(void **state)
{
    (void)state;
    pid_t waiter = start_waiter(0);
    pid_t notifier = child(notify_and_die, 0);
    reap(notifier);
    assert_woken(0, mp_test_now(), MP_OWNER_DIED);
    assert_int_equal(common->news[0], MP_OWNER_DIED);
    finish(waiter);
    mp_assert_ok(mp_condition_acquire(common->cond, 0)); /* news once */
    mp_assert_ok(mp_condition_release(common->cond));
}

static void
test_time_out_does_not_hide_a_death(void **state)
{
    (void)state;
    uint64_t came = 0;
    for (short_time = 0.3; common->ready == 0; short_time *= 2) {
        common->result[0] = 0;
        pid_t waiter = child(wait_short, 0);
        await_ticket(++came);
        reap(child(hold_and_die, 0));
        if (common->ready == 0) { /* it came when the waiter had gone */
            mp_assert_code(mp_condition_acquire(common->cond, 20), MP_OWNER_DIED);
            mp_assert_ok(mp_condition_release(common->cond));
        }
        finish(waiter);
        assert_int_equal(common->result[0], 100 + MP_ETIMEOUT);
    }
    assert_int_equal(common->news[0], MP_OWNER_DIED);
}

static bool
is_ready(void *arg)
{
    struct common *c = arg;
    return c->ready > 1;
}

static void
wait_until_ready(int which)
{
    mp_child_ok(mp_condition_acquire(common->cond, MP_FOREVER));
    int status = mp_condition_wait_for(common->cond, is_ready, common, MP_FOREVER);
    common->news[which] = mp_condition_news();
    common->result[which] = 100 + status;
    mp_child_ok(mp_condition_release(common->cond));
}

/* The death came with the first of two wake-ups. */
static void
test_wait_for_tells_of_a_death_on_the_way(void **state)
{
    (void)state;
    pid_t waiter = child(wait_until_ready, 0);
    await_waiting(1);
    reap(child(notify_and_die, 0));
    await_ticket(2); /* it has looked, and waits again */
    common->ready = 2;
    notify(1);
    finish(waiter);
    assert_int_equal(common->result[0], 100 + MP_OWNER_DIED);
    assert_int_equal(common->news[0], MP_OWNER_DIED);
}

/* ---- kills at random -----------------------------------------------------------------------------*/

#define TEAM 4

static void
work(int which)
{
    for (;;) {
        mp_child_check(mp_condition_acquire(common->cond, MP_FOREVER) >= 0);
        int status = mp_condition_wait(common->cond, which % 2 ? MP_FOREVER : 0.02);
        mp_child_check(status >= 0 || status == MP_ETIMEOUT);
        if (status >= 0) {
            common->ready++;
            mp_child_ok(mp_condition_notify(common->cond, 1)); /* and to the next one */
        }
        mp_child_ok(mp_condition_release(common->cond));
    }
}

/* One wake-up goes round among them and is given anew when it was lost with its holder. */
static void
test_wake_ups_go_on_in_a_storm_of_kills(void **state)
{
    (void)state;
    pid_t pid[TEAM];
    unsigned seed = 1;
    for (int i = 0; i < TEAM; i++) {
        pid[i] = child(work, i);
    }
    for (int kills = 0; kills < 150; kills++) {
        int before = common->ready, which = rand_r(&seed) % TEAM;
        double begin = mp_test_now();
        while (common->ready == before) {
            mp_assert_code(mp_condition_acquire(common->cond, 20) < 0, 0);
            mp_assert_ok(mp_condition_notify(common->cond, 1));
            mp_assert_ok(mp_condition_release(common->cond));
            poll(NULL, 0, 1);
        }
        assert_in_time(begin, mp_test_now(), 1);
        kill_and_reap(pid[which]);
        pid[which] = child(work, which);
    }
    for (int i = 0; i < TEAM; i++) {
        kill_and_reap(pid[i]);
    }
    assert_true(common->cond->ready <= 1);
}

#define with_condition(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static const struct CMUnitTest tests[] = {
    with_condition(test_waiter_killed_first_in_line_costs_nobody),
    with_condition(test_notify_counts_only_the_living),
    with_condition(test_waiter_killed_when_notified_has_an_heir),
    with_condition(test_heirs_that_die_have_heirs),
    with_condition(test_wake_up_of_a_dead_waiter_is_not_for_later_ones),
    with_condition(test_places_of_killed_waiters_are_used_again),
    with_condition(test_notifier_that_dies_with_the_lock_is_news_to_the_woken),
    with_condition(test_time_out_does_not_hide_a_death),
    with_condition(test_wait_for_tells_of_a_death_on_the_way),
    with_condition(test_wake_ups_go_on_in_a_storm_of_kills),
};

MP_TEST_MAIN(tests)
