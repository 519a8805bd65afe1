/*
 * test_event_fault.c: events whose waiters die, and setters.
 *
 * What libmp promises is 0.1 s; a busy machine may add as much again before it lets anybody run,
 * and the time in which it ran nobody.
 */
#include "mp_test.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helpers/stalls.h"

#include "sync/event.h"

#define PROMISE 0.1
#define SLACK   0.1
#define WAITERS 6

static mp_event *event;
static _Atomic int *back; /* waiters that went on; in the heap */

static int
set_up(void **state)
{
    (void)state;
    stalls_watch();
    event = mp_event_new();
    back = mp_calloc(1, sizeof *back);
    return event && back ? 0 : -1;
}

static int
tear_down(void **state)
{
    (void)state;
    stalls_unwatch();
    mp_event_free(event);
    mp_free((void *)back);
    return 0;
}

static pid_t
waiter(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        mp_child_ok(mp_event_wait(event, MP_FOREVER));
        ++*back;
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

static unsigned
sleepers(void)
{
    return (unsigned)(atomic_load(&event->word) >> 32);
}

static void
start_waiters(pid_t *pid, int n)
{
    unsigned before = sleepers();
    for (int i = 0; i < n; i++) {
        pid[i] = waiter();
    }
    while (sleepers() != before + (unsigned)n) {
        poll(NULL, 0, 1);
    }
}

static void
test_event_waiters_that_were_killed_cost_nobody(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        pid_t pid[WAITERS];
        start_waiters(pid, WAITERS);
        for (int i = 0; i < WAITERS; i += 2) {
            kill(pid[i], SIGKILL);
            reap(pid[i]);
        }
        *back = 0;
        double begin = mp_test_now();
        mp_assert_ok(mp_event_set(event));
        for (int i = 1; i < WAITERS; i += 2) {
            reap(pid[i]);
        }
        assert_in_time(begin, mp_test_now(), PROMISE + SLACK);
        assert_int_equal(*back, WAITERS / 2);
        assert_int_equal(sleepers(), 0); /* nothing is left of the dead */
        mp_assert_ok(mp_event_clear(event));
        mp_assert_code(mp_event_wait(event, 0), MP_ETIMEOUT);
    }
}

/* As it is after a setter was killed between its store and its wake-up. */
static void
test_event_set_without_a_wake_up_is_found_by_the_sleepers(void **state)
{
    (void)state;
    pid_t pid[WAITERS];
    start_waiters(pid, WAITERS);
    double begin = mp_test_now();
    atomic_store(&event->word, ((atomic_load(&event->word) & UINT32_MAX) + 2) | MP__EVENT_SET);
    for (int i = 0; i < WAITERS; i++) {
        reap(pid[i]);
    }
    assert_in_time(begin, mp_test_now(), PROMISE + SLACK);
    assert_int_equal(*back, WAITERS);
}

static void
set_and_clear_for_ever(void)
{
    for (;;) {
        mp_event_set(event);
        mp_event_clear(event);
    }
}

static void
test_event_setters_killed_anywhere_leave_it_in_order(void **state)
{
    (void)state;
    for (int round = 0; round < 60; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            set_and_clear_for_ever();
        }
        mp_assert_ok(mp_event_wait(event, 30)); /* it is at work */
        kill(pid, SIGKILL);
        reap(pid);
        pid_t one = waiter();
        mp_assert_ok(mp_event_set(event));
        reap(one);
        assert_int_equal(*back, round + 1);
        assert_int_equal(sleepers(), 0);
        mp_assert_ok(mp_event_clear(event));
        mp_assert_code(mp_event_wait(event, 0), MP_ETIMEOUT);
    }
}

#define with_event(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static const struct CMUnitTest tests[] = {
    with_event(test_event_waiters_that_were_killed_cost_nobody),
    with_event(test_event_set_without_a_wake_up_is_found_by_the_sleepers),
    with_event(test_event_setters_killed_anywhere_leave_it_in_order),
};

MP_TEST_MAIN(tests)
