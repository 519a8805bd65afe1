/* test_semaphore.c: mp_semaphore of both kinds, under the start method of the environment. */
#include "helpers/process.h"
#include "helpers/stalls.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * From a holder's death to its unit's return, with 0.1 s for a busy machine; to which the time is
 * added in which it ran nobody.
 */
#if defined MP_PLATFORM_POSIX
#define PROMISE 0.3
#else
#define PROMISE 0.2
#endif

/* ---- children -------------------------------------------------------------------------------- */

static void
run_child(mp_target target, mp_args *args)
{
    assert_int_equal(finish(start(target, args)), 0);
}

/* ---- making ---------------------------------------------------------------------------------- */

static void
test_semaphore_new_has_its_value(void **state)
{
    (void)state;
    static const int64_t values[] = {0, 1, 2, 1000, MP_SEM_VALUE_MAX};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        mp_semaphore *s = mp_semaphore_new(values[i]);
        mp_bounded_semaphore *b = mp_bounded_semaphore_new(values[i]);
        assert_true(mp_heap_contains(s) && mp_heap_contains(b));
        assert_int_equal(mp_semaphore_get_value(s), values[i]);
        assert_int_equal(mp_semaphore_locked(s), values[i] == 0);
        assert_int_equal(mp_bounded_semaphore_get_value(b), values[i]);
        assert_int_equal(mp_bounded_semaphore_locked(b), values[i] == 0);
        mp_assert_ok(mp_semaphore_free(s));
        mp_assert_ok(mp_bounded_semaphore_free(b));
    }
}

static void
test_semaphore_bad_values_are_refused(void **state)
{
    (void)state;
    assert_null(mp_semaphore_new(-1));
    assert_int_equal(mp_last_error(), -EINVAL);
    assert_non_null(strstr(mp_last_error_text(), "negative"));
    assert_null(mp_semaphore_new(INT64_MIN));
    assert_int_equal(mp_last_error(), -EINVAL);
    assert_null(mp_semaphore_new((int64_t)MP_SEM_VALUE_MAX + 1));
    assert_int_equal(mp_last_error(), MP_EOVERFLOW);
    assert_null(mp_bounded_semaphore_new(-1));
    assert_int_equal(mp_last_error(), -EINVAL);
    assert_null(mp_bounded_semaphore_new(INT64_MAX));
    assert_int_equal(mp_last_error(), MP_EOVERFLOW);
}

/* ---- acquire and release --------------------------------------------------------------------- */

/* Far above what a busy machine adds, and far below a wait of another kind. */
#define SOON 5.0

static double
time_of_acquire(mp_semaphore *s, double timeout, int expected)
{
    double begin = mp_test_now();
    mp_assert_code(mp_semaphore_acquire(s, timeout), expected);
    return mp_test_now() - begin;
}

/* CPython's test_semaphore. */
static void
test_semaphore_counts(void **state)
{
    (void)state;
    mp_semaphore *s = mp_semaphore_new(2);
    mp_assert_ok(mp_semaphore_acquire(s, MP_FOREVER));
    assert_int_equal(mp_semaphore_get_value(s), 1);
    mp_assert_ok(mp_semaphore_acquire(s, 0));
    assert_int_equal(mp_semaphore_get_value(s), 0);
    assert_int_equal(mp_semaphore_locked(s), 1);
    mp_assert_code(mp_semaphore_acquire(s, 0), MP_ETIMEOUT);
    assert_non_null(strstr(mp_last_error_text(), "mp_semaphore_acquire"));
    for (int i = 1; i <= 5; i++) { /* beyond what it began with */
        mp_assert_ok(mp_semaphore_release(s));
        assert_int_equal(mp_semaphore_get_value(s), i);
    }
    mp_assert_ok(mp_semaphore_free(s));
}

static void
test_semaphore_empty_times_out(void **state)
{
    (void)state;
    mp_semaphore *s = mp_semaphore_new(0);
    assert_true(time_of_acquire(s, 0, MP_ETIMEOUT) < SOON);
    assert_true(time_of_acquire(s, -1, MP_ETIMEOUT) < SOON);
    assert_true(time_of_acquire(s, -(double)INFINITY, MP_ETIMEOUT) < SOON);
    double waited = time_of_acquire(s, 0.07, MP_ETIMEOUT);
    assert_true(waited >= 0.07 && waited < SOON);
    mp_assert_code(mp_semaphore_acquire(s, (double)NAN), MP_EVALUE);
    mp_assert_code(mp_semaphore_acquire_undo(s, 0), MP_ETIMEOUT);
    mp_assert_code(mp_semaphore_acquire_undo(s, 0.01), MP_ETIMEOUT);
    mp_assert_ok(mp_semaphore_release(s));
    mp_assert_code(mp_semaphore_acquire(s, (double)NAN), MP_EVALUE);
    mp_assert_code(mp_semaphore_acquire_undo(s, (double)NAN), MP_EVALUE);
    assert_int_equal(mp_semaphore_get_value(s), 1);
    mp_assert_ok(mp_semaphore_free(s));
}

static void
test_semaphore_above_its_maximum_is_evalue(void **state)
{
    (void)state;
    mp_semaphore *s = mp_semaphore_new(MP_SEM_VALUE_MAX);
    mp_assert_code(mp_semaphore_release(s), MP_EVALUE);
    assert_int_equal(mp_semaphore_get_value(s), MP_SEM_VALUE_MAX);
    mp_assert_ok(mp_semaphore_acquire(s, 0));
    mp_assert_ok(mp_semaphore_release(s));
    mp_assert_code(mp_semaphore_release(s), MP_EVALUE);
    mp_assert_ok(mp_semaphore_free(s));

    mp_bounded_semaphore *b = mp_bounded_semaphore_new(2);
    mp_assert_code(mp_bounded_semaphore_release(b), MP_EVALUE);
    assert_non_null(strstr(mp_last_error_text(), "released more often"));
    mp_assert_ok(mp_bounded_semaphore_acquire(b, MP_FOREVER));
    mp_assert_ok(mp_bounded_semaphore_acquire_undo(b, MP_FOREVER));
    assert_int_equal(mp_bounded_semaphore_locked(b), 1);
    mp_assert_ok(mp_bounded_semaphore_release(b));
    mp_assert_ok(mp_bounded_semaphore_release(b));
    mp_assert_code(mp_bounded_semaphore_release(b), MP_EVALUE);
    assert_int_equal(mp_bounded_semaphore_get_value(b), 2);
    mp_assert_ok(mp_bounded_semaphore_free(b));

    b = mp_bounded_semaphore_new(0);
    mp_assert_code(mp_bounded_semaphore_acquire(b, 0), MP_ETIMEOUT);
    mp_assert_code(mp_bounded_semaphore_release(b), MP_EVALUE);
    mp_assert_ok(mp_bounded_semaphore_free(b));
}

/* ---- between processes ----------------------------------------------------------------------- */

static int
child_takes_one(const mp_args *args)
{
    mp_semaphore *s;
    mp_args_get(args, &s);
    mp_child_check(mp_semaphore_get_value(s) == 2);
    mp_child_ok(mp_semaphore_acquire(s, 0));
    return 0; /* and keeps it: as in Python it is gone */
}

static int
child_gives_two(const mp_args *args)
{
    mp_semaphore *s;
    mp_args_get(args, &s);
    mp_child_ok(mp_semaphore_release(s));
    mp_child_ok(mp_semaphore_release(s));
    return 0;
}

static void
test_semaphore_is_shared_by_processes(void **state)
{
    (void)state;
    mp_semaphore *s = mp_semaphore_new(2);
    run_child(child_takes_one, mp_args(s));
    assert_int_equal(mp_semaphore_get_value(s), 1);
    run_child(child_gives_two, mp_args(s));
    assert_int_equal(mp_semaphore_get_value(s), 3);
    mp_assert_ok(mp_semaphore_free(s));
}

static int
child_ping(const mp_args *args)
{
    mp_semaphore *a, *b;
    mp_args_get(args, &a, &b);
    for (int i = 0; i < 200; i++) {
        mp_child_ok(mp_semaphore_acquire(a, 20));
        mp_child_ok(mp_semaphore_release(b));
    }
    return 0;
}

static void
test_semaphore_wakes_a_waiting_process(void **state)
{
    (void)state;
    mp_semaphore *a = mp_semaphore_new(0), *b = mp_semaphore_new(0);
    mp_process *p = start(child_ping, mp_args(a, b));
    for (int i = 0; i < 200; i++) {
        mp_assert_ok(mp_semaphore_release(a));
        mp_assert_ok(mp_semaphore_acquire(b, 20));
    }
    assert_int_equal(finish(p), 0);
    assert_int_equal(mp_semaphore_get_value(a) + mp_semaphore_get_value(b), 0);
    mp_assert_ok(mp_semaphore_free(a));
    mp_assert_ok(mp_semaphore_free(b));
}

#define WORKERS 4
#define ROUNDS  3000

struct inside {
    _Atomic int now, most;
};

static void
one_round(mp_semaphore *s, struct inside *inside)
{
    int now = atomic_fetch_add(&inside->now, 1) + 1, most = atomic_load(&inside->most);
    while (now > most && !atomic_compare_exchange_weak(&inside->most, &most, now)) {
    }
    atomic_fetch_sub(&inside->now, 1);
    mp_child_ok(mp_semaphore_release(s));
}

static int
child_goes_in_and_out(const mp_args *args)
{
    mp_semaphore *s;
    void *memory;
    int undo;
    mp_args_get(args, &s, &memory, &undo);
    for (int i = 0; i < ROUNDS; i++) {
        mp_child_ok(undo && i % 2 ? mp_semaphore_acquire_undo(s, MP_FOREVER)
                                  : mp_semaphore_acquire(s, MP_FOREVER));
        one_round(s, memory);
    }
    return 0;
}

static void
test_semaphore_lets_no_more_in_than_units(void **state)
{
    (void)state;
    for (int undo = 0; undo < 2; undo++) {
        mp_process *p[WORKERS];
        mp_bounded_semaphore *s = mp_bounded_semaphore_new(2);
        struct inside *inside = mp_calloc(1, sizeof *inside);
        for (int i = 0; i < WORKERS; i++) {
            p[i] = start(child_goes_in_and_out, mp_args(s, (void *)inside, undo));
        }
        for (int i = 0; i < WORKERS; i++) {
            assert_int_equal(finish(p[i]), 0);
        }
        assert_true(inside->most >= 1 && inside->most <= 2);
        assert_int_equal(mp_semaphore_get_value(s), 2);
        mp_assert_ok(mp_semaphore_free(s));
        mp_assert_ok(mp_free(inside));
    }
}

static mp_semaphore *of_threads;
static struct inside in_threads;

static void *
thread_goes_in_and_out(void *unused)
{
    for (int i = 0; i < ROUNDS; i++) {
        mp_child_ok(i % 2 ? mp_semaphore_acquire_undo(of_threads, MP_FOREVER)
                          : mp_semaphore_acquire(of_threads, MP_FOREVER));
        one_round(of_threads, &in_threads);
    }
    return unused;
}

static void
test_semaphore_works_between_threads(void **state)
{
    (void)state;
    pthread_t thread[WORKERS];
    of_threads = mp_bounded_semaphore_new(3);
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, thread_goes_in_and_out, NULL), 0);
    }
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    assert_true(in_threads.most <= 3);
    assert_int_equal(mp_semaphore_get_value(of_threads), 3);
    mp_assert_ok(mp_semaphore_free(of_threads));
}

static int
child_gets_it_in_a_message(const mp_args *args)
{
    mp_queue *q;
    mp_obj o;
    mp_args_get(args, &q);
    mp_child_ok(mp_queue_get(q, &o, 20));
    mp_semaphore *s = mp_as_handle(mp_list_get(o, 0), MP_HANDLE_SEMAPHORE);
    mp_child_check(s != NULL);
    mp_child_ok(mp_semaphore_release(s));
    mp_obj_free(o);
    return 0;
}

static void
test_semaphore_travels(void **state)
{
    (void)state;
    mp_semaphore *s = mp_semaphore_new(0);
    mp_queue *q = mp_queue_new(0);
    mp_obj o = mp_from(s);
    assert_string_equal(mp_obj_type_name(o), "Semaphore");
    mp_obj_free(o);
    mp_process *p = start(child_gets_it_in_a_message, mp_args(q));
    mp_assert_ok(mp_queue_put(q, mp_list(s), MP_FOREVER));
    mp_assert_ok(mp_semaphore_acquire(s, 20));
    assert_int_equal(finish(p), 0);
    mp_assert_ok(mp_queue_free(q));
    mp_assert_ok(mp_semaphore_free(s));
}

/* ---- units that come back -------------------------------------------------------------------- */

static int
child_holds(const mp_args *args)
{
    mp_semaphore *s, *ready;
    int undo, plain;
    mp_args_get(args, &s, &ready, &undo, &plain);
    for (int i = 0; i < undo; i++) {
        mp_child_ok(mp_semaphore_acquire_undo(s, 20));
    }
    for (int i = 0; i < plain; i++) {
        mp_child_ok(mp_semaphore_acquire(s, 20));
    }
    mp_child_ok(mp_semaphore_release(ready));
    for (;;) {
        pause();
    }
    return 0;
}

/* A child that holds so many units. */
static mp_process *
holder(mp_semaphore *s, int undo, int plain)
{
    mp_semaphore *ready = mp_semaphore_new(0);
    mp_process *p = start(child_holds, mp_args(s, ready, undo, plain));
    mp_assert_ok(mp_semaphore_acquire(ready, 20));
    mp_assert_ok(mp_semaphore_free(ready)); /* the child has read what it needs of it */
    return p;
}

static void
test_undo_returns_what_a_killed_process_held(void **state)
{
    (void)state;
    mp_semaphore *s = mp_semaphore_new(6);
    mp_process *p = holder(s, 2, 3);
    assert_int_equal(mp_semaphore_get_value(s), 1);
    mp_assert_ok(mp_semaphore_acquire(s, 0));
    mp_assert_code(mp_semaphore_acquire(s, 0.12), MP_ETIMEOUT); /* it lives */
    mp_assert_ok(mp_process_kill(p));
    double begin = mp_test_now();
    mp_assert_ok(mp_semaphore_acquire(s, 20));
    assert_in_time(begin, mp_test_now(), PROMISE);
    mp_assert_ok(mp_semaphore_acquire(s, 20));
    mp_assert_code(mp_semaphore_acquire(s, 0.12), MP_ETIMEOUT); /* the plain ones are gone */
    mp_assert_ok(mp_process_join(p, MP_FOREVER));
    mp_assert_code(mp_semaphore_acquire(s, 0.12), MP_ETIMEOUT);
    mp_assert_ok(mp_process_free(p));
    mp_assert_ok(mp_semaphore_free(s));
}

static void
test_undo_is_seen_in_the_value(void **state)
{
    (void)state;
    mp_bounded_semaphore *s = mp_bounded_semaphore_new(3);
    mp_process *p = holder(s, 3, 0);
    assert_int_equal(mp_semaphore_locked(s), 1);
    kill_and_free(p);
    double begin = mp_test_now();
    while (mp_semaphore_get_value(s) != 3 && mp_test_now() - begin < 10) {
    }
    assert_in_time(begin, mp_test_now(), PROMISE);
    assert_int_equal(mp_semaphore_locked(s), 0);
    mp_assert_code(mp_semaphore_release(s), MP_EVALUE);
    mp_assert_ok(mp_semaphore_free(s));
}

static int
child_waits_and_leaves(const mp_args *args)
{
    mp_semaphore *s;
    int undo;
    mp_args_get(args, &s, &undo);
    mp_child_ok(undo ? mp_semaphore_acquire_undo(s, 20) : mp_semaphore_acquire(s, 20));
    return 0;
}

/* Two units, three that want one: the one who exits with an undo makes room for the third. */
static void
test_undo_reaches_those_who_wait(void **state)
{
    (void)state;
    mp_semaphore *s = mp_semaphore_new(2);
    mp_process *p = holder(s, 2, 0);
    mp_process *waiter[] = {start(child_waits_and_leaves, mp_args(s, 1)),
                            start(child_waits_and_leaves, mp_args(s, 0)),
                            start(child_waits_and_leaves, mp_args(s, 1))};
    kill_and_free(p);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(finish(waiter[i]), 0);
    }
    double begin = mp_test_now();
    while (mp_semaphore_get_value(s) != 1 && mp_test_now() - begin < 10) {
    }
    assert_int_equal(mp_semaphore_get_value(s), 1); /* the plain one is gone */
    mp_assert_ok(mp_semaphore_free(s));
}

static int
child_takes_and_releases(const mp_args *args)
{
    mp_semaphore *s;
    mp_args_get(args, &s);
    mp_child_ok(mp_semaphore_acquire_undo(s, 0));
    mp_child_ok(mp_semaphore_acquire_undo(s, 0));
    mp_child_ok(mp_semaphore_acquire_undo(s, 0));
    mp_child_ok(mp_semaphore_release(s));
    mp_child_ok(mp_semaphore_release(s));
    return 0;
}

static void
test_undo_is_cleared_by_the_holders_release(void **state)
{
    (void)state;
    mp_semaphore *s = mp_semaphore_new(3);
    run_child(child_takes_and_releases, mp_args(s));
    double begin = mp_test_now();
    while (mp_semaphore_get_value(s) != 3 && mp_test_now() - begin < 10) {
    }
    mp_assert_ok(mp_semaphore_acquire(s, 0.12)); /* a few looks more */
    assert_int_equal(mp_semaphore_get_value(s), 2);
    mp_assert_ok(mp_semaphore_free(s));
}

/* Somebody else released for it, so there is no room for what it held. */
static void
test_undo_never_exceeds_the_bound(void **state)
{
    (void)state;
    mp_bounded_semaphore *s = mp_bounded_semaphore_new(2);
    mp_process *p = holder(s, 2, 0);
    mp_assert_ok(mp_semaphore_release(s));
    kill_and_free(p);
    double begin = mp_test_now();
    while (mp_semaphore_get_value(s) != 2 && mp_test_now() - begin < 10) {
    }
    mp_assert_ok(mp_semaphore_acquire(s, 0));
    mp_assert_ok(mp_semaphore_acquire(s, 0));
    mp_assert_code(mp_semaphore_acquire(s, 0.12), MP_ETIMEOUT);
    mp_assert_ok(mp_semaphore_free(s));
}

static void
test_undo_freed_semaphore_leaves_no_block(void **state)
{
    (void)state;
    mp_semaphore *s = mp_semaphore_new(1);
    mp_heap_info before, after;
    mp_assert_ok(mp_semaphore_acquire(s, 0));
    mp_assert_ok(mp_semaphore_release(s));
    mp_assert_ok(mp_heap_stats(&before)); /* plain use takes no memory */
    mp_assert_ok(mp_semaphore_acquire_undo(s, 0));
    mp_assert_ok(mp_heap_stats(&after));
    assert_int_equal(after.blocks, before.blocks + 1);
    mp_assert_ok(mp_semaphore_free(s)); /* while it is held */
    mp_assert_ok(mp_heap_stats(&after));
    assert_int_equal(after.blocks, before.blocks - 1);
}

/* ---- with, text ------------------------------------------------------------------------------ */

static void
test_with_takes_a_semaphore(void **state)
{
    (void)state;
    mp_semaphore *s = mp_semaphore_new(2);
    MP_WITH(s) {
        assert_int_equal(mp_semaphore_get_value(s), 1);
        MP_WITH_SEMAPHORE(s)
        {
            assert_int_equal(mp_semaphore_locked(s), 1);
            break;
        }
        assert_int_equal(mp_semaphore_get_value(s), 1);
    }
    assert_int_equal(mp_semaphore_get_value(s), 2);
    mp_assert_ok(mp_semaphore_free(s));
    bool ran = false;
    MP_WITH(s) {
        ran = true;
    }
    assert_false(ran);
    assert_int_equal(mp_last_error(), MP_EVALUE);
}

static void
assert_semaphore_text(mp_semaphore *s, const char *expected)
{
    char buf[80];
    assert_int_equal(mp_semaphore_repr(s, buf, sizeof buf), strlen(expected));
    assert_string_equal(buf, expected);
    memset(buf, 'x', sizeof buf);
    assert_int_equal(mp_semaphore_repr(s, buf, 5), strlen(expected));
    assert_int_equal(strlen(buf), 4);
    assert_memory_equal(buf, expected, 4);
    assert_int_equal(buf[5], 'x');
    assert_int_equal(mp_semaphore_repr(s, NULL, 0), strlen(expected));
    mp_assert_code(mp_semaphore_repr(s, NULL, 5), MP_EVALUE);
}

static void *
print_in_thread(void *ptr)
{
    mp_lock *lock = ptr;
    static char text[2][300];
    mp_child_ok(mp_lock_repr(lock, text[0], sizeof text[0]) < 0);
    mp_child_ok(mp_lock_release(lock));
    mp_child_ok(mp_lock_acquire(lock, 0));
    mp_child_ok(mp_lock_repr(lock, text[1], sizeof text[1]) < 0);
    return text;
}

static int
child_prints(const mp_args *args)
{
    mp_lock *lock;
    mp_rlock *rlock;
    char text[100];
    mp_args_get(args, &lock, &rlock);
    mp_lock_repr(lock, text, sizeof text);
    mp_child_check(strcmp(text, "<Lock(owner=SomeOtherProcess)>") == 0);
    mp_rlock_repr(rlock, text, sizeof text);
    mp_child_check(strcmp(text, "<RLock(SomeOtherProcess, nonzero)>") == 0);
    mp_child_ok(mp_lock_release(lock));
    mp_child_ok(mp_lock_acquire(lock, 0));
    mp_lock_repr(lock, text, sizeof text);
    mp_child_check(strcmp(text, "<Lock(owner=Printer)>") == 0);
    mp_child_ok(mp_process_set_name(mp_current_process(), "Renamed"));
    mp_lock_repr(lock, text, sizeof text);
    mp_child_check(strcmp(text, "<Lock(owner=Renamed)>") == 0);
    mp_child_ok(mp_lock_release(lock));
    return 0;
}

static void
test_locks_print_as_in_python(void **state)
{
    (void)state;
    char text[100];
    pthread_t thread;
    mp_lock *lock = mp_lock_new();
    mp_rlock *rlock = mp_rlock_new();
    mp_lock_repr(lock, text, sizeof text);
    assert_string_equal(text, "<Lock(owner=None)>");
    mp_rlock_repr(rlock, text, sizeof text);
    assert_string_equal(text, "<RLock(None, 0)>");
    mp_assert_ok(mp_lock_acquire(lock, 0));
    mp_assert_ok(mp_rlock_acquire(rlock, 0));
    mp_assert_ok(mp_rlock_acquire(rlock, 0));
    assert_int_equal(mp_lock_repr(lock, text, sizeof text), strlen("<Lock(owner=MainProcess)>"));
    assert_string_equal(text, "<Lock(owner=MainProcess)>");
    mp_rlock_repr(rlock, text, sizeof text);
    assert_string_equal(text, "<RLock(MainProcess, 2)>");

    assert_int_equal(pthread_create(&thread, NULL, print_in_thread, lock), 0);
    void *result;
    assert_int_equal(pthread_join(thread, &result), 0);
    char(*in_thread)[300] = result;
    assert_string_equal(in_thread[0], "<Lock(owner=SomeOtherThread)>");
    assert_memory_equal(in_thread[1], "<Lock(owner=MainProcess|Thread-", 31);

    mp_process_options options = {.name = "Printer"};
    mp_process *p = mp_process_new(child_prints, mp_args(lock, rlock), &options);
    mp_assert_ok(mp_process_start(p));
    assert_int_equal(finish(p), 0);
    mp_assert_code(mp_lock_repr(NULL, text, sizeof text), MP_EVALUE);
    mp_assert_code(mp_rlock_repr((mp_rlock *)(void *)lock, text, sizeof text), MP_EVALUE);
    mp_assert_ok(mp_lock_free(lock));
    mp_assert_ok(mp_rlock_free(rlock));
}

static void
test_semaphore_prints_as_in_python(void **state)
{
    (void)state;
    mp_semaphore *s = mp_semaphore_new(3);
    mp_bounded_semaphore *b = mp_bounded_semaphore_new(4);
    mp_assert_ok(mp_semaphore_acquire(b, 0));
    assert_semaphore_text(s, "<Semaphore(value=3)>");
    assert_semaphore_text(b, "<BoundedSemaphore(value=3, maxvalue=4)>");
    mp_assert_ok(mp_semaphore_free(s));
    mp_assert_ok(mp_semaphore_free(b));
    char text[10];
    mp_assert_code(mp_semaphore_repr(s, text, sizeof text), MP_EVALUE);
}

/* ---- what is no semaphore -------------------------------------------------------------------- */

static void
assert_no_semaphore(mp_semaphore *s)
{
    mp_assert_code(mp_semaphore_acquire(s, 0), MP_EVALUE);
    assert_non_null(strstr(mp_last_error_text(), "not a live semaphore"));
    mp_assert_code(mp_semaphore_acquire_undo(s, 0), MP_EVALUE);
    mp_assert_code(mp_semaphore_release(s), MP_EVALUE);
    mp_assert_code(mp_semaphore_get_value(s), MP_EVALUE);
    mp_assert_code(mp_semaphore_locked(s), MP_EVALUE);
    if (s) {
        mp_assert_code(mp_semaphore_free(s), MP_EVALUE);
    }
}

static void
test_semaphore_that_is_none_is_evalue(void **state)
{
    (void)state;
    mp_semaphore *s = mp_semaphore_new(1), *freed = mp_semaphore_new(1);
    mp_lock *lock = mp_lock_new();
    mp_assert_ok(mp_semaphore_free(freed));
    assert_no_semaphore(NULL);
    assert_no_semaphore(freed);
    assert_no_semaphore((mp_semaphore *)(void *)lock);
    assert_no_semaphore((mp_semaphore *)((uintptr_t)s + 4));
    assert_no_semaphore((mp_semaphore *)(uintptr_t)64);
    assert_no_semaphore((mp_semaphore *)(UINTPTR_MAX - 63));
    mp_assert_ok(mp_semaphore_free(NULL));
    mp_assert_ok(mp_semaphore_free(s));
    mp_assert_ok(mp_lock_free(lock));
}

static int
watch(void **state)
{
    (void)state;
    stalls_watch();
    return 0;
}

static int
unwatch(void **state)
{
    (void)state;
    stalls_unwatch();
    return 0;
}

#define with_stalls(test) cmocka_unit_test_setup_teardown(test, watch, unwatch)

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_semaphore_new_has_its_value),
    cmocka_unit_test(test_semaphore_bad_values_are_refused),
    cmocka_unit_test(test_semaphore_counts),
    cmocka_unit_test(test_semaphore_empty_times_out),
    cmocka_unit_test(test_semaphore_above_its_maximum_is_evalue),
    cmocka_unit_test(test_semaphore_is_shared_by_processes),
    cmocka_unit_test(test_semaphore_wakes_a_waiting_process),
    cmocka_unit_test(test_semaphore_lets_no_more_in_than_units),
    cmocka_unit_test(test_semaphore_works_between_threads),
    cmocka_unit_test(test_semaphore_travels),
    with_stalls(test_undo_returns_what_a_killed_process_held),
    with_stalls(test_undo_is_seen_in_the_value),
    cmocka_unit_test(test_undo_reaches_those_who_wait),
    cmocka_unit_test(test_undo_is_cleared_by_the_holders_release),
    cmocka_unit_test(test_undo_never_exceeds_the_bound),
    cmocka_unit_test(test_undo_freed_semaphore_leaves_no_block),
    cmocka_unit_test(test_with_takes_a_semaphore),
    cmocka_unit_test(test_locks_print_as_in_python),
    cmocka_unit_test(test_semaphore_prints_as_in_python),
    cmocka_unit_test(test_semaphore_that_is_none_is_evalue),
};

MP_TEST_MAIN(tests)
