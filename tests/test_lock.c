/* test_lock.c: mp_lock between processes, under the start method of the environment; MP_WITH. */
#include "helpers/process.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* ---- children -----------------------------------------------------------------------------------*/

static void
run_child(mp_target target, mp_args *args)
{
    assert_int_equal(finish(start(target, args)), 0);
}

static int
child_releases(const mp_args *args)
{
    mp_lock *lock;
    mp_args_get(args, &lock);
    mp_child_check(mp_lock_locked(lock) == 1);
    mp_child_code(mp_lock_acquire(lock, 0), MP_ETIMEOUT);
    mp_child_ok(mp_lock_release(lock));
    mp_child_check(mp_lock_locked(lock) == 0);
    return 0;
}

static int
child_sees_it_held(const mp_args *args)
{
    mp_lock *lock;
    mp_args_get(args, &lock);
    mp_child_check(mp_lock_locked(lock) == 1);
    mp_child_code(mp_lock_acquire(lock, 0.02), MP_ETIMEOUT);
    return 0;
}

static int
child_sees_it_free(const mp_args *args)
{
    mp_lock *lock;
    mp_args_get(args, &lock);
    mp_child_check(mp_lock_locked(lock) == 0);
    mp_child_ok(mp_lock_acquire(lock, 0));
    mp_child_ok(mp_lock_release(lock));
    return 0;
}

/* ---- acquire and release ------------------------------------------------------------------------*/

static void
test_lock_new_is_free(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new();
    assert_non_null(lock);
    assert_true(mp_heap_contains(lock));
    assert_int_equal(mp_lock_locked(lock), 0);
    mp_assert_ok(mp_lock_acquire(lock, 0));
    assert_int_equal(mp_lock_locked(lock), 1);
    mp_assert_ok(mp_lock_release(lock));
    assert_int_equal(mp_lock_locked(lock), 0);
    mp_assert_ok(mp_lock_free(lock));
}

/* Far above what a busy machine adds, and far below a wait of another kind. */
#define SOON 5.0

static double
time_of_acquire(mp_lock *lock, double timeout, int expected)
{
    double begin = mp_test_now();
    mp_assert_code(mp_lock_acquire(lock, timeout), expected);
    return mp_test_now() - begin;
}

static void
test_lock_held_times_out(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new();
    mp_assert_ok(mp_lock_acquire(lock, MP_FOREVER));
    assert_true(time_of_acquire(lock, 0, MP_ETIMEOUT) < SOON);
    assert_int_equal(mp_last_error(), MP_ETIMEOUT);
    assert_non_null(strstr(mp_last_error_text(), "mp_lock_acquire"));
    assert_true(time_of_acquire(lock, -1, MP_ETIMEOUT) < SOON);
    assert_true(time_of_acquire(lock, -(double)INFINITY, MP_ETIMEOUT) < SOON);
    double waited = time_of_acquire(lock, 0.07, MP_ETIMEOUT);
    assert_true(waited >= 0.07);
    assert_true(waited < SOON);
    waited = time_of_acquire(lock, 1e-9, MP_ETIMEOUT);
    assert_true(waited < SOON);
    mp_assert_code(mp_lock_acquire(lock, (double)NAN), MP_EVALUE);
    mp_assert_ok(mp_lock_release(lock));
    mp_assert_code(mp_lock_acquire(lock, (double)NAN), MP_EVALUE);
    assert_int_equal(mp_lock_locked(lock), 0);
    /* A free lock is taken whatever the time-out. */
    static const double any[] = {0, -5, 1e-9, 1e300};
    for (int i = 0; i < 4; i++) {
        mp_assert_ok(mp_lock_acquire(lock, any[i]));
        mp_assert_ok(mp_lock_release(lock));
    }
    mp_assert_ok(mp_lock_free(lock));
}

static void
test_lock_is_not_recursive(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new();
    mp_assert_ok(mp_lock_acquire(lock, MP_FOREVER));
    mp_assert_code(mp_lock_acquire(lock, 0.01), MP_ETIMEOUT);
    mp_assert_ok(mp_lock_release(lock));
    mp_assert_code(mp_lock_release(lock), MP_EVALUE);
    mp_assert_ok(mp_lock_free(lock));
}

static void
test_lock_free_release_is_evalue(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new();
    for (int i = 0; i < 3; i++) {
        mp_assert_code(mp_lock_release(lock), MP_EVALUE);
        assert_non_null(strstr(mp_last_error_text(), "free"));
        assert_int_equal(mp_lock_locked(lock), 0);
    }
    mp_assert_ok(mp_lock_acquire(lock, 0));
    mp_assert_ok(mp_lock_release(lock));
    mp_assert_code(mp_lock_release(lock), MP_EVALUE);
    mp_assert_ok(mp_lock_free(lock));
}

static void
test_lock_is_released_by_another_process(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new();
    mp_assert_ok(mp_lock_acquire(lock, MP_FOREVER));
    run_child(child_releases, mp_args(lock));
    assert_int_equal(mp_lock_locked(lock), 0);
    mp_assert_ok(mp_lock_acquire(lock, 0));
    mp_assert_ok(mp_lock_release(lock));
    mp_assert_ok(mp_lock_free(lock));
}

static void
test_lock_state_is_seen_by_other_processes(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new();
    mp_assert_ok(mp_lock_acquire(lock, MP_FOREVER));
    run_child(child_sees_it_held, mp_args(lock));
    mp_assert_ok(mp_lock_release(lock));
    run_child(child_sees_it_free, mp_args(lock));
    mp_assert_ok(mp_lock_free(lock));
}

/* A waiter in another process is woken, long before its next look around would find out. */
static int
child_waits(const mp_args *args)
{
    mp_lock *lock, *started;
    mp_args_get(args, &lock, &started);
    mp_child_ok(mp_lock_release(started));
    mp_child_ok(mp_lock_acquire(lock, 20));
    mp_child_ok(mp_lock_release(lock));
    return 0;
}

static void
test_lock_released_goes_to_a_waiting_process(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new(), *started = mp_lock_new();
    mp_assert_ok(mp_lock_acquire(lock, MP_FOREVER));
    mp_assert_ok(mp_lock_acquire(started, MP_FOREVER));
    mp_process *p = start(child_waits, mp_args(lock, started));
    mp_assert_ok(mp_lock_acquire(started, 20));
    mp_assert_code(mp_lock_acquire(lock, 0.03), MP_ETIMEOUT);
    mp_assert_ok(mp_lock_release(lock));
    assert_int_equal(finish(p), 0);
    mp_assert_ok(mp_lock_free(lock));
    mp_assert_ok(mp_lock_free(started));
}

/* ---- mutual exclusion -----------------------------------------------------------------------------*/

#define COUNTERS   4
#define INCREMENTS 20000

struct counter {
    volatile int value;
};

static int
child_counts(const mp_args *args)
{
    mp_lock *lock;
    void *memory;
    mp_args_get(args, &lock, &memory);
    struct counter *c = memory;
    for (int i = 0; i < INCREMENTS; i++) {
        MP_WITH(lock) {
            c->value++;
        }
    }
    return 0;
}

static void
test_lock_excludes_processes_from_each_other(void **state)
{
    (void)state;
    mp_process *p[COUNTERS];
    mp_lock *lock = mp_lock_new();
    struct counter *c = mp_calloc(1, sizeof *c);
    assert_non_null(c);
    for (int i = 0; i < COUNTERS; i++) {
        p[i] = start(child_counts, mp_args(lock, (void *)c));
    }
    for (int i = 0; i < COUNTERS; i++) {
        assert_int_equal(finish(p[i]), 0);
    }
    assert_int_equal(c->value, COUNTERS * INCREMENTS);
    mp_assert_ok(mp_free(c));
    mp_assert_ok(mp_lock_free(lock));
}

static mp_lock *thread_lock;
static int thread_count;

static void *
thread_counts(void *unused)
{
    for (int i = 0; i < INCREMENTS; i++) {
        if (mp_lock_acquire(thread_lock, MP_FOREVER) == 0) {
            thread_count++;
            mp_lock_release(thread_lock);
        }
    }
    return unused;
}

static void
test_lock_excludes_threads_from_each_other(void **state)
{
    (void)state;
    pthread_t thread[COUNTERS];
    thread_lock = mp_lock_new();
    thread_count = 0;
    for (int i = 0; i < COUNTERS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, thread_counts, NULL), 0);
    }
    for (int i = 0; i < COUNTERS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    assert_int_equal(thread_count, COUNTERS * INCREMENTS);
    mp_assert_ok(mp_lock_free(thread_lock));
}

/* ---- MP_WITH --------------------------------------------------------------------------------------*/

static int
leave_by_return(mp_lock *lock)
{
    MP_WITH(lock) {
        return mp_lock_locked(lock);
    }
    return -1;
}

static int
leave_by_goto(mp_lock *lock)
{
    MP_WITH(lock) {
        if (mp_lock_locked(lock)) {
            goto out;
        }
    }
    return -1;
out:
    return mp_lock_locked(lock);
}

static void
test_with_releases_however_it_is_left(void **state)
{
    (void)state;
    int runs = 0;
    mp_lock *lock = mp_lock_new();
    MP_WITH(lock) {
        assert_int_equal(mp_lock_locked(lock), 1);
        assert_int_equal(mp_with_news(), 0);
        runs++;
    }
    assert_int_equal(mp_lock_locked(lock), 0);
    MP_WITH(lock) {
        runs++;
        break;
    }
    assert_int_equal(mp_lock_locked(lock), 0);
    MP_WITH(lock) {
        runs++;
        if (runs) {
            continue;
        }
        runs = 100;
    }
    assert_int_equal(mp_lock_locked(lock), 0);
    for (int i = 0; i < 10; i++) {
        MP_WITH(lock) {
            if (i % 2) {
                break; /* leaves the block, not the loop */
            }
            runs++;
        }
        assert_int_equal(mp_lock_locked(lock), 0);
    }
    assert_int_equal(runs, 8);
    assert_int_equal(leave_by_return(lock), 1);
    assert_int_equal(mp_lock_locked(lock), 0);
    assert_int_equal(leave_by_goto(lock), 0);
    mp_assert_ok(mp_lock_free(lock));
}

static void
test_with_two_locks_nests(void **state)
{
    (void)state;
    mp_lock *a = mp_lock_new(), *b = mp_lock_new();
    MP_WITH(a) {
        MP_WITH(b) {
            assert_int_equal(mp_lock_locked(a) + mp_lock_locked(b), 2);
            break;
        }
        assert_int_equal(mp_lock_locked(a), 1);
        assert_int_equal(mp_lock_locked(b), 0);
    }
    assert_int_equal(mp_lock_locked(a), 0);
    mp_assert_ok(mp_lock_free(a));
    mp_assert_ok(mp_lock_free(b));
}

/* The user may have opened it inside. */
static void
test_with_released_inside_is_fine(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new();
    MP_WITH(lock) {
        mp_assert_ok(mp_lock_release(lock));
    }
    assert_int_equal(mp_lock_locked(lock), 0);
    mp_assert_ok(mp_lock_free(lock));
}

static void
test_with_no_live_lock_leaves_the_block_out(void **state)
{
    (void)state;
    mp_lock *lock = NULL;
    bool ran = false;
    MP_WITH(lock) {
        ran = true;
    }
    assert_int_equal(mp_last_error(), MP_EVALUE);
    lock = mp_lock_new();
    mp_assert_ok(mp_lock_free(lock));
    MP_WITH(lock) {
        ran = true;
    }
    assert_int_equal(mp_last_error(), MP_EVALUE);
    assert_false(ran);
}

/* ---- what is no lock --------------------------------------------------------------------------------*/

static void
assert_no_lock(mp_lock *lock)
{
    mp_assert_code(mp_lock_acquire(lock, 0), MP_EVALUE);
    assert_non_null(strstr(mp_last_error_text(), "not a live lock"));
    mp_assert_code(mp_lock_acquire(lock, MP_FOREVER), MP_EVALUE);
    mp_assert_code(mp_lock_release(lock), MP_EVALUE);
    mp_assert_code(mp_lock_locked(lock), MP_EVALUE);
    if (lock) {
        mp_assert_code(mp_lock_free(lock), MP_EVALUE);
    }
}

static void
test_lock_that_is_none_is_evalue(void **state)
{
    (void)state;
    char stack[256] __attribute__((aligned(64))) = {0};
    mp_lock *lock = mp_lock_new(), *freed = mp_lock_new();
    mp_assert_ok(mp_lock_free(freed));
    mp_queue *q = mp_queue_new(0);
    mp_rlock *r = mp_rlock_new();
    void *memory = mp_calloc(1, 100), *private = calloc(1, 100);
    memcpy(stack, lock, 16); /* a lock's copy outside of the heap */
    assert_no_lock(NULL);
    assert_no_lock(freed);
    assert_no_lock((mp_lock *)(void *)q);
    assert_no_lock((mp_lock *)(void *)r);
    assert_no_lock(memory);
    assert_no_lock(private);
    assert_no_lock((mp_lock *)(void *)stack);
    assert_no_lock((mp_lock *)((uintptr_t)lock + 4));
    assert_no_lock((mp_lock *)((uintptr_t)lock + 1));
    assert_no_lock((mp_lock *)(uintptr_t)8);
    assert_no_lock((mp_lock *)UINTPTR_MAX);
    assert_int_equal(mp_queue_qsize(q), 0);
    assert_int_equal(mp_rlock_locked(r), 0);
    mp_assert_ok(mp_lock_free(NULL));
    mp_assert_ok(mp_lock_free(lock));
    assert_no_lock(lock);
    mp_assert_ok(mp_queue_free(q));
    mp_assert_ok(mp_rlock_free(r));
    mp_assert_ok(mp_free(memory));
    free(private);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_lock_new_is_free),
    cmocka_unit_test(test_lock_held_times_out),
    cmocka_unit_test(test_lock_is_not_recursive),
    cmocka_unit_test(test_lock_free_release_is_evalue),
    cmocka_unit_test(test_lock_is_released_by_another_process),
    cmocka_unit_test(test_lock_state_is_seen_by_other_processes),
    cmocka_unit_test(test_lock_released_goes_to_a_waiting_process),
    cmocka_unit_test(test_lock_excludes_processes_from_each_other),
    cmocka_unit_test(test_lock_excludes_threads_from_each_other),
    cmocka_unit_test(test_with_releases_however_it_is_left),
    cmocka_unit_test(test_with_two_locks_nests),
    cmocka_unit_test(test_with_released_inside_is_fine),
    cmocka_unit_test(test_with_no_live_lock_leaves_the_block_out),
    cmocka_unit_test(test_lock_that_is_none_is_evalue),
};

MP_TEST_MAIN(tests)
