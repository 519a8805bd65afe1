/* test_rlock.c: mp_rlock between threads and processes, under the environment's start method. */
#include "helpers/process.h"

#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whoever does not hold it can neither get in nor let it go. */
static int
child_is_kept_out(const mp_args *args)
{
    mp_rlock *lock;
    mp_args_get(args, &lock);
    mp_child_check(mp_rlock_locked(lock) == 1);
    mp_child_code(mp_rlock_release(lock), MP_ESTATE);
    mp_child_code(mp_rlock_acquire(lock, 0), MP_ETIMEOUT);
    mp_child_code(mp_rlock_acquire(lock, 0.02), MP_ETIMEOUT);
    mp_child_check(mp_rlock_locked(lock) == 1);
    return 0;
}

static int
child_takes_it(const mp_args *args)
{
    mp_rlock *lock;
    mp_args_get(args, &lock);
    mp_child_check(mp_rlock_locked(lock) == 0);
    for (int i = 0; i < 3; i++) {
        mp_child_ok(mp_rlock_acquire(lock, 0));
    }
    for (int i = 0; i < 3; i++) {
        mp_child_ok(mp_rlock_release(lock));
    }
    mp_child_code(mp_rlock_release(lock), MP_ESTATE);
    return 0;
}

static void
test_rlock_opens_at_the_last_release(void **state)
{
    (void)state;
    enum { DEPTH = 1000 };
    mp_rlock *lock = mp_rlock_new();
    assert_non_null(lock);
    assert_int_equal(mp_rlock_locked(lock), 0);
    for (int i = 0; i < DEPTH; i++) {
        mp_assert_ok(mp_rlock_acquire(lock, i % 2 ? 0 : MP_FOREVER));
    }
    for (int i = 0; i < DEPTH; i++) {
        assert_int_equal(mp_rlock_locked(lock), 1);
        mp_assert_ok(mp_rlock_release(lock));
    }
    assert_int_equal(mp_rlock_locked(lock), 0);
    mp_assert_code(mp_rlock_release(lock), MP_ESTATE);
    assert_int_equal(mp_last_error(), MP_ESTATE);
    assert_non_null(strstr(mp_last_error_text(), "mp_rlock_release"));
    mp_assert_ok(mp_rlock_free(lock));
}

static void
test_rlock_held_keeps_other_processes_out(void **state)
{
    (void)state;
    mp_rlock *lock = mp_rlock_new();
    mp_assert_ok(mp_rlock_acquire(lock, MP_FOREVER));
    mp_assert_ok(mp_rlock_acquire(lock, MP_FOREVER));
    assert_int_equal(finish(start(child_is_kept_out, mp_args(lock))), 0);
    mp_assert_ok(mp_rlock_release(lock));
    assert_int_equal(finish(start(child_is_kept_out, mp_args(lock))), 0);
    mp_assert_ok(mp_rlock_release(lock));
    assert_int_equal(finish(start(child_takes_it, mp_args(lock))), 0);
    assert_int_equal(mp_rlock_locked(lock), 0);
    mp_assert_ok(mp_rlock_free(lock));
}

static void *
thread_is_kept_out(void *arg)
{
    mp_rlock *lock = arg;
    bool ok = mp_rlock_release(lock) == MP_ESTATE && mp_rlock_acquire(lock, 0) == MP_ETIMEOUT &&
              mp_rlock_acquire(lock, 0.02) == MP_ETIMEOUT && mp_rlock_locked(lock) == 1;
    return ok ? lock : NULL;
}

static void *
thread_takes_it_twice(void *arg)
{
    mp_rlock *lock = arg;
    bool ok = mp_rlock_acquire(lock, 20) == 0 && mp_rlock_acquire(lock, 20) == 0 &&
              mp_rlock_release(lock) == 0 && mp_rlock_release(lock) == 0 &&
              mp_rlock_release(lock) == MP_ESTATE;
    return ok ? lock : NULL;
}

static void
assert_in_thread(void *(*work)(void *), mp_rlock *lock)
{
    pthread_t thread;
    void *result;
    assert_int_equal(pthread_create(&thread, NULL, work, lock), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, lock);
}

static void
test_rlock_belongs_to_a_thread(void **state)
{
    (void)state;
    mp_rlock *lock = mp_rlock_new();
    assert_in_thread(thread_takes_it_twice, lock);
    mp_assert_ok(mp_rlock_acquire(lock, MP_FOREVER));
    assert_in_thread(thread_is_kept_out, lock);
    mp_assert_ok(mp_rlock_acquire(lock, MP_FOREVER));
    assert_in_thread(thread_is_kept_out, lock);
    mp_assert_ok(mp_rlock_release(lock));
    mp_assert_ok(mp_rlock_release(lock));
    assert_in_thread(thread_takes_it_twice, lock);
    mp_assert_ok(mp_rlock_free(lock));
}

/* A thread that waits gets it, although the kernel may have a sleeper's bit in the word. */
static void
test_rlock_held_goes_to_a_waiting_thread(void **state)
{
    (void)state;
    pthread_t thread;
    void *result;
    mp_rlock *lock = mp_rlock_new();
    mp_assert_ok(mp_rlock_acquire(lock, MP_FOREVER));
    assert_int_equal(pthread_create(&thread, NULL, thread_takes_it_twice, lock), 0);
    for (int i = 0; i < 100000; i++) { /* deeper and back while the other begins to wait */
        mp_assert_ok(mp_rlock_acquire(lock, 0));
        mp_assert_ok(mp_rlock_release(lock));
    }
    mp_assert_ok(mp_rlock_release(lock));
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, lock);
    mp_assert_ok(mp_rlock_free(lock));
}

/* The forking thread goes on in the child with the same number, but it is another process. */
static void
test_rlock_of_the_parent_is_not_a_forked_childs(void **state)
{
    (void)state;
    int status;
    mp_rlock *lock = mp_rlock_new();
    mp_assert_ok(mp_rlock_acquire(lock, MP_FOREVER));
    pid_t pid = fork();
    if (pid == 0) {
        mp_child_code(mp_rlock_release(lock), MP_ESTATE);
        mp_child_code(mp_rlock_acquire(lock, 0.05), MP_ETIMEOUT);
        mp_child_check(mp_rlock_locked(lock) == 1);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    mp_assert_ok(mp_rlock_release(lock));
    assert_int_equal(mp_rlock_locked(lock), 0);
    mp_assert_ok(mp_rlock_free(lock));
}

static void
test_rlock_held_times_out_in_time(void **state)
{
    (void)state;
    mp_rlock *lock = mp_rlock_new();
    mp_assert_code(mp_rlock_acquire(lock, (double)NAN), MP_EVALUE);
    assert_int_equal(mp_rlock_locked(lock), 0);
    mp_assert_ok(mp_rlock_acquire(lock, -1));
    mp_assert_code(mp_rlock_acquire(lock, (double)NAN), MP_EVALUE);
    mp_assert_ok(mp_rlock_acquire(lock, 1e-9));
    mp_assert_ok(mp_rlock_release(lock));
    mp_assert_ok(mp_rlock_release(lock));
    mp_assert_code(mp_rlock_release(lock), MP_ESTATE);
    mp_assert_ok(mp_rlock_free(lock));
}

#define COUNTERS   4
#define INCREMENTS 20000

static int
child_counts(const mp_args *args)
{
    mp_rlock *lock;
    void *memory;
    mp_args_get(args, &lock, &memory);
    volatile int *count = memory;
    for (int i = 0; i < INCREMENTS / 2; i++) {
        MP_WITH(lock) {
            (*count)++;
            MP_WITH(lock) {
                (*count)++;
            }
        }
    }
    return 0;
}

static void
test_rlock_excludes_processes_from_each_other(void **state)
{
    (void)state;
    mp_process *p[COUNTERS];
    mp_rlock *lock = mp_rlock_new();
    int *count = mp_calloc(1, sizeof *count);
    assert_non_null(count);
    for (int i = 0; i < COUNTERS; i++) {
        p[i] = start(child_counts, mp_args(lock, (void *)count));
    }
    for (int i = 0; i < COUNTERS; i++) {
        assert_int_equal(finish(p[i]), 0);
    }
    assert_int_equal(*count, COUNTERS * INCREMENTS);
    assert_int_equal(mp_rlock_locked(lock), 0);
    mp_assert_ok(mp_free(count));
    mp_assert_ok(mp_rlock_free(lock));
}

static int
return_from_within(mp_rlock *lock)
{
    MP_WITH(lock) {
        MP_WITH(lock) {
            return mp_rlock_locked(lock);
        }
    }
    return -1;
}

static void
test_with_rlock_goes_in_and_out_by_levels(void **state)
{
    (void)state;
    mp_rlock *lock = mp_rlock_new();
    assert_int_equal(return_from_within(lock), 1);
    assert_int_equal(mp_rlock_locked(lock), 0);
    for (int i = 0; i < 4; i++) {
        MP_WITH(lock) {
            MP_WITH(lock) {
                if (i % 2) {
                    break;
                }
                continue;
            }
            assert_int_equal(mp_rlock_locked(lock), 1);
        }
        assert_int_equal(mp_rlock_locked(lock), 0);
    }
    mp_assert_ok(mp_rlock_free(lock));
}

static void
assert_no_rlock(mp_rlock *lock)
{
    mp_assert_code(mp_rlock_acquire(lock, MP_FOREVER), MP_EVALUE);
    assert_non_null(strstr(mp_last_error_text(), "not a live rlock"));
    mp_assert_code(mp_rlock_release(lock), MP_EVALUE);
    mp_assert_code(mp_rlock_locked(lock), MP_EVALUE);
    if (lock) {
        mp_assert_code(mp_rlock_free(lock), MP_EVALUE);
    }
}

static void
test_rlock_that_is_none_is_evalue(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new();
    mp_rlock *r = mp_rlock_new(), *freed = mp_rlock_new();
    mp_assert_ok(mp_rlock_free(freed));
    void *private = calloc(1, 100);
    assert_no_rlock(NULL);
    assert_no_rlock(freed);
    assert_no_rlock((mp_rlock *)(void *)lock);
    assert_no_rlock(private);
    assert_no_rlock((mp_rlock *)((uintptr_t)r + 4));
    assert_no_rlock((mp_rlock *)UINTPTR_MAX);
    assert_int_equal(mp_lock_locked(lock), 0);
    mp_assert_ok(mp_rlock_free(NULL));
    mp_assert_ok(mp_rlock_free(r));
    mp_assert_ok(mp_lock_free(lock));
    free(private);
}

/* ---- in the program's own fork hooks ------------------------------------------------------------*/

/* As libraries do it for what must not change during a fork; registered before libmp's, by main(). */
static mp_rlock *hooked;
static int in_parent_gave, in_child_gave;

static void
before_fork(void)
{
    if (hooked) {
        mp_rlock_acquire(hooked, MP_FOREVER);
    }
}

static void
in_parent(void)
{
    if (hooked) {
        poll(NULL, 0, 50); /* the child comes first */
        in_parent_gave = mp_rlock_release(hooked);
    }
}

static void
in_child(void)
{
    if (hooked) {
        in_child_gave = mp_rlock_release(hooked);
    }
}

/* In a child, which has no place in the table of members before the hook asks for one. */
static void
fork_with_hooks(mp_rlock *lock)
{
    hooked = lock;
    alarm(30);
    pid_t pid = fork();
    if (pid == 0) {
        mp_child_check(in_child_gave == MP_ESTATE);
        _exit(0);
    }
    hooked = NULL;
    int status;
    mp_child_check(waitpid(pid, &status, 0) == pid && status == 0);
    mp_child_check(in_parent_gave == 0);
}

static void
test_rlock_in_fork_hooks_stays_the_parents(void **state)
{
    (void)state;
    mp_rlock *lock = mp_rlock_new();
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        fork_with_hooks(lock);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(mp_rlock_locked(lock), 0);
    mp_assert_ok(mp_rlock_free(lock));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_rlock_opens_at_the_last_release),
    cmocka_unit_test(test_rlock_held_keeps_other_processes_out),
    cmocka_unit_test(test_rlock_belongs_to_a_thread),
    cmocka_unit_test(test_rlock_held_goes_to_a_waiting_thread),
    cmocka_unit_test(test_rlock_of_the_parent_is_not_a_forked_childs),
    cmocka_unit_test(test_rlock_held_times_out_in_time),
    cmocka_unit_test(test_rlock_excludes_processes_from_each_other),
    cmocka_unit_test(test_with_rlock_goes_in_and_out_by_levels),
    cmocka_unit_test(test_rlock_that_is_none_is_evalue),
    cmocka_unit_test(test_rlock_in_fork_hooks_stays_the_parents),
};

int
main(int argc, char **argv)
{
    pthread_atfork(before_fork, in_parent, in_child);
    mp_freeze_support(argc, argv);
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
}
