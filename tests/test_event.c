/* test_event.c: mp_event between processes and threads, under the environment's start method. */
#include "helpers/process.h"

#include <math.h>
#include <pthread.h>

#include "sync/event.h"

#define WAITERS 4
#define SOON    5.0 /* seconds: a wait that was to end at once, on a busy machine */

static unsigned
sleepers(mp_event *e)
{
    return (unsigned)(atomic_load(&e->word) >> 32);
}

static void
wait_sleepers(mp_event *e, unsigned n)
{
    while (sleepers(e) != n) {
        nap();
    }
}

/* ---- one process -------------------------------------------------------------------------------*/

static void
test_event_starts_clear_and_calls_may_be_repeated(void **state)
{
    (void)state;
    mp_event *e = mp_event_new();
    assert_non_null(e);
    assert_int_equal(mp_event_is_set(e), 0);
    for (int i = 0; i < 3; i++) {
        mp_assert_ok(mp_event_clear(e));
        assert_int_equal(mp_event_is_set(e), 0);
        mp_assert_ok(mp_event_set(e));
        mp_assert_ok(mp_event_set(e));
        assert_int_equal(mp_event_is_set(e), 1);
        mp_assert_ok(mp_event_clear(e));
    }
    mp_assert_ok(mp_event_free(e));
    mp_assert_ok(mp_event_free(NULL));
}

static void
test_event_clear_times_out(void **state)
{
    (void)state;
    mp_event *e = mp_event_new();
    mp_assert_code(mp_event_wait(e, 0), MP_ETIMEOUT);
    mp_assert_code(mp_event_wait(e, -1), MP_ETIMEOUT);
    double begin = mp_test_now();
    mp_assert_code(mp_event_wait(e, 0.12), MP_ETIMEOUT);
    assert_true(mp_test_now() - begin >= 0.12);
    assert_int_equal(sleepers(e), 0); /* it was counted off */
    assert_non_null(strstr(mp_last_error_text(), "mp_event_wait"));
    mp_assert_ok(mp_event_free(e));
}

static void
test_event_set_lets_every_wait_through(void **state)
{
    (void)state;
    mp_event *e = mp_event_new();
    mp_assert_ok(mp_event_set(e));
    double begin = mp_test_now();
    mp_assert_ok(mp_event_wait(e, 0));
    mp_assert_ok(mp_event_wait(e, -5));
    mp_assert_ok(mp_event_wait(e, 30));
    mp_assert_ok(mp_event_wait(e, MP_FOREVER));
    assert_true(mp_test_now() - begin < SOON);
    assert_int_equal(mp_event_is_set(e), 1);
    mp_assert_ok(mp_event_free(e));
}

static void
test_event_that_is_none_is_refused(void **state)
{
    (void)state;
    mp_event *e = mp_event_new();
    mp_lock *lock = mp_lock_new();
    mp_assert_code(mp_event_wait(e, NAN), MP_EVALUE);
    mp_assert_ok(mp_event_set(e));
    mp_assert_code(mp_event_wait(e, NAN), MP_EVALUE);
    mp_assert_ok(mp_event_free(e));
    mp_event *const wrong[] = {NULL, e, (mp_event *)(void *)lock, (mp_event *)(void *)&lock};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        mp_assert_code(mp_event_set(wrong[i]), MP_EVALUE);
        mp_assert_code(mp_event_clear(wrong[i]), MP_EVALUE);
        mp_assert_code(mp_event_is_set(wrong[i]), MP_EVALUE);
        mp_assert_code(mp_event_wait(wrong[i], 0), MP_EVALUE);
        mp_assert_code(mp_event_repr(wrong[i], NULL, 0), MP_EVALUE);
        if (wrong[i]) {
            mp_assert_code(mp_event_free(wrong[i]), MP_EVALUE);
        }
    }
    assert_non_null(strstr(mp_last_error_text(), "event"));
    mp_assert_ok(mp_lock_free(lock));
}

static void
test_event_prints_as_in_python(void **state)
{
    (void)state;
    char text[80], expected[80];
    mp_event *e = mp_event_new();
    snprintf(expected, sizeof expected, "<Event at %p unset>", (void *)e);
    assert_int_equal(mp_event_repr(e, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);
    mp_assert_ok(mp_event_set(e));
    snprintf(expected, sizeof expected, "<Event at %p set>", (void *)e);
    assert_int_equal(mp_event_repr(e, text, 7), strlen(expected));
    assert_string_equal(text, "<Event");
    assert_int_equal(mp_event_repr(e, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);
    mp_assert_ok(mp_event_free(e));
}

/* ---- several -----------------------------------------------------------------------------------*/

static int
waits(const mp_args *args)
{
    mp_event *e;
    void *p;
    mp_args_get(args, &e, &p);
    struct note *n = p;
    mp_child_ok(mp_event_wait(e, MP_FOREVER));
    mp_child_check(atomic_load(&n->number[0]) == 42);
    n->ready++;
    return 0;
}

static void
test_event_set_wakes_all_in_other_processes(void **state)
{
    (void)state;
    mp_event *e = mp_event_new();
    struct note *n = note_new();
    mp_process *p[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        p[i] = start(waits, mp_args(e, (void *)n));
    }
    wait_sleepers(e, WAITERS);
    assert_int_equal(n->ready, 0);
    n->number[0] = 42;
    mp_assert_ok(mp_event_set(e));
    assert_int_equal(sleepers(e), 0);
    for (int i = 0; i < WAITERS; i++) {
        assert_int_equal(finish(p[i]), 0);
    }
    mp_assert_ok(mp_event_free(e));
    mp_free(n);
}

/* Stronger than Python: there a waiter that reads the flag late is told False. */
static void
test_event_cleared_at_once_still_lets_go_who_waited(void **state)
{
    (void)state;
    mp_event *e = mp_event_new();
    struct note *n = note_new();
    mp_process *p[WAITERS];
    n->number[0] = 42;
    for (int i = 0; i < WAITERS; i++) {
        p[i] = start(waits, mp_args(e, (void *)n));
    }
    wait_sleepers(e, WAITERS);
    for (int i = 0; i < WAITERS; i++) {
        kill(mp_process_pid(p[i]), SIGSTOP); /* they cannot look in between */
    }
    mp_assert_ok(mp_event_set(e));
    mp_assert_ok(mp_event_clear(e));
    assert_int_equal(mp_event_is_set(e), 0);
    for (int i = 0; i < WAITERS; i++) {
        kill(mp_process_pid(p[i]), SIGCONT);
        assert_int_equal(finish(p[i]), 0);
    }
    mp_assert_code(mp_event_wait(e, 0), MP_ETIMEOUT); /* we were too late */
    mp_assert_ok(mp_event_free(e));
    mp_free(n);
}

enum { ROUNDS = 500 };

static int
answers(const mp_args *args)
{
    mp_event *ping, *pong;
    void *p;
    mp_args_get(args, &ping, &pong, &p);
    struct note *n = p;
    for (long i = 1; i <= ROUNDS; i++) {
        mp_child_ok(mp_event_wait(ping, 30));
        mp_child_ok(mp_event_clear(ping));
        mp_child_check(n->number[0] == i);
        n->number[1] = i;
        mp_child_ok(mp_event_set(pong));
    }
    return 0;
}

static void
test_event_passes_to_and_fro(void **state)
{
    (void)state;
    mp_event *ping = mp_event_new(), *pong = mp_event_new();
    struct note *n = note_new();
    mp_process *p = start(answers, mp_args(ping, pong, (void *)n));
    for (long i = 1; i <= ROUNDS; i++) {
        n->number[0] = i;
        mp_assert_ok(mp_event_set(ping));
        mp_assert_ok(mp_event_wait(pong, 30));
        mp_assert_ok(mp_event_clear(pong));
        assert_int_equal(n->number[1], i);
    }
    assert_int_equal(finish(p), 0);
    mp_assert_ok(mp_event_free(ping));
    mp_assert_ok(mp_event_free(pong));
    mp_free(n);
}

static int
sets_what_comes_by_queue(const mp_args *args)
{
    mp_queue *q;
    mp_obj o;
    mp_args_get(args, &q);
    mp_child_ok(mp_queue_get(q, &o, 30));
    mp_child_check(strcmp(mp_obj_type_name(o), "Event") == 0);
    mp_event *e = mp_as_handle(o, MP_HANDLE_EVENT);
    mp_child_check(e != NULL);
    mp_child_ok(mp_event_set(e));
    mp_obj_free(o);
    return 0;
}

static void
test_event_travels_through_a_queue(void **state)
{
    (void)state;
    mp_event *e = mp_event_new();
    mp_queue *q = mp_queue_new(0);
    mp_process *p = start(sets_what_comes_by_queue, mp_args(q));
    mp_assert_ok(mp_queue_put(q, mp_from(e), MP_FOREVER));
    mp_assert_ok(mp_event_wait(e, 30));
    assert_int_equal(finish(p), 0);
    mp_assert_ok(mp_queue_free(q));
    mp_assert_ok(mp_event_free(e));
}

static void *
thread_waits(void *arg)
{
    return mp_event_wait(arg, MP_FOREVER) == 0 ? arg : NULL;
}

static void
test_event_set_wakes_all_threads(void **state)
{
    (void)state;
    mp_event *e = mp_event_new();
    pthread_t thread[WAITERS];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < WAITERS; i++) {
            assert_int_equal(pthread_create(&thread[i], NULL, thread_waits, e), 0);
        }
        if (round % 2) {
            wait_sleepers(e, WAITERS);
        }
        mp_assert_ok(mp_event_set(e));
        for (int i = 0; i < WAITERS; i++) {
            void *result;
            pthread_join(thread[i], &result);
            assert_ptr_equal(result, e);
        }
        mp_assert_ok(mp_event_clear(e));
    }
    mp_assert_ok(mp_event_free(e));
}

static void
tick(int signo)
{
    (void)signo;
}

static void *
interrupts(void *arg)
{
    mp_event *e = arg;
    for (int i = 0; i < 50; i++) {
        kill(getpid(), SIGUSR1);
        nap();
    }
    mp_event_set(e);
    return NULL;
}

static void
test_event_wait_goes_on_after_signals(void **state)
{
    (void)state;
    struct sigaction ticking = {.sa_handler = tick}, before;
    mp_event *e = mp_event_new();
    pthread_t thread;
    sigaction(SIGUSR1, &ticking, &before);
    assert_int_equal(pthread_create(&thread, NULL, interrupts, e), 0);
    mp_assert_ok(mp_event_wait(e, MP_FOREVER));
    pthread_join(thread, NULL);
    sigaction(SIGUSR1, &before, NULL);
    mp_assert_ok(mp_event_free(e));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_event_starts_clear_and_calls_may_be_repeated),
    cmocka_unit_test(test_event_clear_times_out),
    cmocka_unit_test(test_event_set_lets_every_wait_through),
    cmocka_unit_test(test_event_that_is_none_is_refused),
    cmocka_unit_test(test_event_prints_as_in_python),
    cmocka_unit_test(test_event_set_wakes_all_in_other_processes),
    cmocka_unit_test(test_event_cleared_at_once_still_lets_go_who_waited),
    cmocka_unit_test(test_event_passes_to_and_fro),
    cmocka_unit_test(test_event_travels_through_a_queue),
    cmocka_unit_test(test_event_set_wakes_all_threads),
    cmocka_unit_test(test_event_wait_goes_on_after_signals),
};

MP_TEST_MAIN(tests)
