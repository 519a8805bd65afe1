/*
 * test_lock_fault.c: locks whose holders and waiters die.  At each single instruction they do so in
 * torture/torture_lock.c.
 *
 * Times are from the death to the next holder.  What libmp promises is 0.1 s; a busy machine may
 * add as much again before it lets anybody run, and the time in which it ran nobody.
 */
#include "mp_test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helpers/sleepers.h"
#include "helpers/stalls.h"

#include "heap/alloc.h"
#include "heap/waits.h"
#include "sync/lock.h"

#define PROMISE 0.1
#define SLACK   0.1

/* ---- forked holders and waiters -----------------------------------------------------------------*/

/* What the processes of a test share. */
struct common {
    mp_lock *lock;
    mp_rlock *rlock;
    _Atomic int ready;
    _Atomic int died, clean; /* waiters that got MP_OWNER_DIED, and 0 */
    pid_t holder;
    double killed; /* when it was */
    int pipe[2];
};

static struct common *common;

static int
set_up(void **state)
{
    (void)state;
    common = mp_calloc(1, sizeof *common);
    common->lock = mp_lock_new();
    common->rlock = mp_rlock_new();
    stalls_watch();
    return common->lock && common->rlock ? 0 : -1;
}

static int
tear_down(void **state)
{
    (void)state;
    stalls_unwatch();
    mp_lock_free(common->lock);
    mp_rlock_free(common->rlock);
    mp_free(common);
    return 0;
}

static void
wait_ready(int n)
{
    while (atomic_load(&common->ready) < n) {
        poll(NULL, 0, 1);
    }
}

/* A child of fork() that does work() and, if it returns, sleeps until it is killed. */
static pid_t
child(void (*work)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        work();
        for (;;) {
            pause();
        }
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

/* It has ended, but stays a zombie. */
static void
wait_zombie(pid_t pid)
{
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static void
hold(void)
{
    mp_child_ok(mp_lock_acquire(common->lock, MP_FOREVER));
    mp_child_ok(mp_rlock_acquire(common->rlock, MP_FOREVER));
    mp_child_ok(mp_rlock_acquire(common->rlock, MP_FOREVER));
    common->ready++;
}

static void
hold_and_exit(void)
{
    hold();
    _exit(0);
}

static pid_t
start_holder(void)
{
    pid_t pid = child(hold);
    wait_ready(1);
    return pid;
}

static void
assert_within_promise(double begin)
{
    assert_in_time(begin, mp_test_now(), PROMISE + SLACK);
}

static void
assert_taken_over(double begin)
{
    mp_assert_code(mp_lock_acquire(common->lock, 20), MP_OWNER_DIED);
    assert_within_promise(begin);
    begin = mp_test_now();
    mp_assert_code(mp_rlock_acquire(common->rlock, 20), MP_OWNER_DIED);
    assert_within_promise(begin);
    /* It is news once, and the depth of the dead is not ours. */
    mp_assert_ok(mp_lock_release(common->lock));
    mp_assert_ok(mp_lock_acquire(common->lock, 0));
    mp_assert_ok(mp_lock_release(common->lock));
    mp_assert_ok(mp_rlock_release(common->rlock));
    assert_int_equal(mp_rlock_locked(common->rlock), 0);
    mp_assert_ok(mp_rlock_acquire(common->rlock, 0));
    mp_assert_ok(mp_rlock_release(common->rlock));
}

/* ---- holders -------------------------------------------------------------------------------------*/

static void
test_lock_of_a_killed_holder_goes_on_in_time(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        common->ready = 0;
        pid_t pid = start_holder();
        kill(pid, SIGKILL);
        reap(pid);
        assert_taken_over(mp_test_now());
    }
}

/* A zombie is dead: its parent may never look. */
static void
test_lock_of_a_zombie_goes_on_in_time(void **state)
{
    (void)state;
    pid_t pid = start_holder();
    kill(pid, SIGKILL);
    wait_zombie(pid);
    assert_taken_over(mp_test_now());
    reap(pid);
}

static void
test_lock_of_a_holder_that_exits_counts_as_of_a_dead_one(void **state)
{
    (void)state;
    pid_t pid = child(hold_and_exit);
    reap(pid);
    assert_taken_over(mp_test_now());
}

static int
process_holds(const mp_args *args)
{
    mp_lock *lock;
    mp_rlock *rlock;
    mp_args_get(args, &lock, &rlock);
    mp_child_ok(mp_lock_acquire(lock, MP_FOREVER));
    mp_child_ok(mp_rlock_acquire(rlock, MP_FOREVER));
    return 0;
}

static void
test_lock_of_a_process_that_returns_counts_as_of_a_dead_one(void **state)
{
    (void)state;
    mp_process *p = mp_process_new(process_holds, mp_args(common->lock, common->rlock), NULL);
    mp_assert_ok(mp_process_start(p));
    mp_assert_ok(mp_process_join(p, MP_FOREVER));
    mp_assert_ok(mp_process_free(p));
    assert_taken_over(mp_test_now());
}

/* The end of a process that takes its time: what it has to say does not fit into a full pipe. */
static int
process_ends_slowly(const mp_args *args)
{
    static char page[4096];
    mp_lock *lock;
    mp_args_get(args, &lock);
    mp_child_ok(mp_lock_acquire(lock, MP_FOREVER));
    int flags = fcntl(common->pipe[1], F_GETFL);
    fcntl(common->pipe[1], F_SETFL, flags | O_NONBLOCK);
    while (write(common->pipe[1], page, sizeof page) > 0) {
    }
    fcntl(common->pipe[1], F_SETFL, flags);
    dup2(common->pipe[1], STDOUT_FILENO);
    printf("the last word");
    common->ready++;
    return 0;
}

/* Until it has ended, threads of it may still be at work on what the lock guards. */
static void
test_lock_of_a_process_that_is_ending_is_still_its(void **state)
{
    (void)state;
    char text[4096];
    assert_int_equal(pipe(common->pipe), 0);
    mp_process *p = mp_process_new(process_ends_slowly, mp_args(common->lock),
                                   &(mp_process_options){.context = mp_get_context("fork")});
    mp_assert_ok(mp_process_start(p));
    wait_ready(1);
    mp_assert_code(mp_lock_acquire(common->lock, 0.3), MP_ETIMEOUT);
    assert_int_equal(mp_process_is_alive(p), 1);
    close(common->pipe[1]);
    while (read(common->pipe[0], text, sizeof text) > 0) {
    }
    mp_assert_ok(mp_process_join(p, MP_FOREVER));
    mp_assert_code(mp_lock_acquire(common->lock, 20), MP_OWNER_DIED);
    mp_assert_ok(mp_lock_release(common->lock));
    mp_assert_ok(mp_process_free(p));
    close(common->pipe[0]);
}

static void
test_try_takes_over_from_the_dead(void **state)
{
    (void)state;
    pid_t pid = start_holder();
    mp_assert_code(mp_lock_acquire(common->lock, 0), MP_ETIMEOUT);
    mp_assert_code(mp_rlock_acquire(common->rlock, 0), MP_ETIMEOUT);
    kill(pid, SIGKILL);
    reap(pid);
    double begin = mp_test_now();
    int status, again;
    while ((status = mp_lock_acquire(common->lock, 0)) == MP_ETIMEOUT) {
        assert_within_promise(begin);
    }
    assert_int_equal(status, MP_OWNER_DIED);
    while ((again = mp_rlock_acquire(common->rlock, -1)) == MP_ETIMEOUT) {
        assert_within_promise(begin);
    }
    assert_int_equal(again, MP_OWNER_DIED);
    mp_assert_ok(mp_lock_release(common->lock));
    mp_assert_ok(mp_rlock_release(common->rlock));
}

static void
test_lock_of_the_dead_may_be_released_by_anybody(void **state)
{
    (void)state;
    pid_t pid = start_holder();
    kill(pid, SIGKILL);
    reap(pid);
    mp_assert_ok(mp_lock_release(common->lock));
    mp_assert_ok(mp_lock_acquire(common->lock, 0));
    mp_assert_ok(mp_lock_release(common->lock));
    mp_assert_code(mp_rlock_release(common->rlock), MP_ESTATE);
    mp_assert_code(mp_rlock_acquire(common->rlock, 20), MP_OWNER_DIED);
    mp_assert_ok(mp_rlock_release(common->rlock));
}

static void
test_with_tells_of_the_death(void **state)
{
    (void)state;
    pid_t pid = start_holder();
    kill(pid, SIGKILL);
    reap(pid);
    MP_WITH(common->lock) {
        assert_int_equal(mp_with_news(), MP_OWNER_DIED);
    }
    MP_WITH(common->rlock) {
        assert_int_equal(mp_with_news(), MP_OWNER_DIED);
    }
    MP_WITH(common->lock) {
        assert_int_equal(mp_with_news(), 0);
    }
}

/* ---- waiters -------------------------------------------------------------------------------------*/

#define WAITERS 8

static void
wait_and_count(void)
{
    common->ready++;
    int status = mp_lock_acquire(common->lock, 30);
    mp_child_check(status >= 0);
    common->died += status == MP_OWNER_DIED;
    common->clean += status == 0;
    mp_child_ok(mp_lock_release(common->lock));
    _exit(0);
}

static void
wait_for_ever(void)
{
    common->ready++;
    mp_lock_acquire(common->lock, MP_FOREVER);
}

static void
test_lock_of_the_dead_is_news_to_one_of_many(void **state)
{
    (void)state;
    pid_t holder = start_holder(), waiter[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        waiter[i] = child(wait_and_count);
    }
    wait_ready(1 + WAITERS);
    poll(NULL, 0, 20); /* most of them sleep by now; it holds for any number */
    kill(holder, SIGKILL);
    reap(holder);
    double begin = mp_test_now();
    for (int i = 0; i < WAITERS; i++) {
        int status;
        assert_int_equal(waitpid(waiter[i], &status, 0), waiter[i]);
        assert_int_equal(status, 0);
    }
    assert_in_time(begin, mp_test_now(), 2 * (PROMISE + SLACK));
    assert_int_equal(common->died, 1);
    assert_int_equal(common->clean, WAITERS - 1);
    assert_int_equal(mp_lock_locked(common->lock), 0);
}

/* The others get the lock as if the dead waiters had never been. */
static void
test_waiter_killed_costs_nobody(void **state)
{
    (void)state;
    pid_t doomed[WAITERS], waiter[2];
    mp_assert_ok(mp_lock_acquire(common->lock, MP_FOREVER));
    for (int i = 0; i < WAITERS; i++) {
        doomed[i] = child(wait_for_ever);
    }
    waiter[0] = child(wait_and_count);
    waiter[1] = child(wait_and_count);
    wait_ready(WAITERS + 2);
    poll(NULL, 0, 20);
    for (int i = 0; i < WAITERS; i++) {
        kill(doomed[i], SIGKILL);
        reap(doomed[i]);
    }
    double begin = mp_test_now();
    mp_assert_ok(mp_lock_release(common->lock));
    for (int i = 0; i < 2; i++) {
        int status;
        assert_int_equal(waitpid(waiter[i], &status, 0), waiter[i]);
        assert_int_equal(status, 0);
    }
    assert_within_promise(begin);
    assert_int_equal(common->clean, 2);
    mp_assert_ok(mp_lock_acquire(common->lock, 0));
    mp_assert_ok(mp_lock_release(common->lock));
}

static void
tick(int signo)
{
    (void)signo;
}

/*
 * Let the waiter's slices grow, then kill the holder and interrupt the waiter all the time, as a
 * profiler would; by the clock, for sleeps may be rounded up to many ticks.
 */
static void
kill_and_tick(void)
{
    pid_t waiter = getppid();
    wait_for_sleepers(common->lock, 1);
    poll(NULL, 0, 250);
    kill(waiter, SIGUSR1);
    common->killed = mp_test_now();
    kill(common->holder, SIGKILL);
    for (double next = common->killed; kill(waiter, SIGUSR1) == 0; next += 0.0002) {
        while (mp_test_now() < next) {
        }
    }
    _exit(0);
}

/* No sleep of the waiter lasts until its end: the death is seen all the same. */
static void
test_waiter_with_interrupted_sleeps_sees_the_death_in_time(void **state)
{
    (void)state;
    struct sigaction ticking = {.sa_handler = tick}, before;
    sigaction(SIGUSR1, &ticking, &before);
    common->holder = start_holder();
    pid_t ticker = child(kill_and_tick);
    int status = mp_lock_acquire(common->lock, 20);
    double end = mp_test_now();
    kill(ticker, SIGKILL);
    reap(ticker);
    reap(common->holder);
    sigaction(SIGUSR1, &before, NULL);
    assert_int_equal(status, MP_OWNER_DIED);
    assert_in_time(common->killed, end, PROMISE + SLACK);
    mp_assert_ok(mp_lock_release(common->lock));
}

/* ---- a holder that is hard to ask about ---------------------------------------------------------*/

/* The table of members asks the system who lives, for which it may need a descriptor. */
static void
test_lock_of_a_zombie_goes_on_when_no_descriptor_is_left(void **state)
{
    (void)state;
    static int taken[4096];
    int n = 0;
    struct rlimit before, few;
    getrlimit(RLIMIT_NOFILE, &before);
    few = before;
    few.rlim_cur = 64;
    pid_t pid = start_holder();
    kill(pid, SIGKILL);
    wait_zombie(pid);
    setrlimit(RLIMIT_NOFILE, &few);
    while (n < 64 && (taken[n] = open("/dev/null", O_RDONLY)) >= 0) {
        n++;
    }
    int status = mp_lock_acquire(common->lock, 20);
    while (n > 0) {
        close(taken[--n]);
    }
    setrlimit(RLIMIT_NOFILE, &before);
    reap(pid);
    assert_int_equal(status, MP_OWNER_DIED);
    mp_assert_ok(mp_lock_release(common->lock));
}

static void *
try_cancelled(void *result)
{
    pthread_cancel(pthread_self());
    *(int *)result = mp_lock_acquire(common->lock, 0);
    return NULL;
}

/* A thread that ended in there could leave locks of the library behind, with its process alive. */
static void
test_lock_acquire_is_no_cancellation_point(void **state)
{
    (void)state;
    pthread_t thread;
    int status = 1;
    pid_t pid = start_holder();
    assert_int_equal(pthread_create(&thread, NULL, try_cancelled, &status), 0);
    pthread_join(thread, NULL);
    kill(pid, SIGKILL);
    reap(pid);
    assert_int_equal(status, MP_ETIMEOUT);
}

/* ---- freed under its waiters --------------------------------------------------------------------*/

static struct freed {
    mp_lock *lock;
    mp_rlock *rlock;
    mp_semaphore *semaphore, *undo;
    mp_event *event;
    mp_barrier *barrier;
    mp_condition *own, *over;
    mp_lock *below;
} freed;

static void
make_freed(void)
{
    freed.lock = mp_lock_new();
    freed.rlock = mp_rlock_new();
    freed.semaphore = mp_semaphore_new(0);
    freed.undo = mp_semaphore_new(1);
    freed.event = mp_event_new();
    freed.barrier = mp_barrier_new(2, NULL);
    freed.own = mp_condition_new(NULL);
    freed.below = mp_lock_new();
    freed.over = mp_condition_new(freed.below);
    mp_assert_ok(mp_lock_acquire(freed.lock, 0));
    mp_assert_ok(mp_rlock_acquire(freed.rlock, 0));
    mp_assert_ok(mp_semaphore_acquire_undo(freed.undo, 0));
}

#define LONG 20.0 /* seconds; it is freed long before */

static int
wait_below(void)
{
    mp_child_ok(mp_lock_acquire(freed.below, LONG));
    int status = mp_condition_wait(freed.over, LONG);
    mp_child_ok(
        mp_lock_release(freed.below)); /* the lock is held whatever becomes of the condition */
    return status;
}

static int
wait_number(int i)
{
    switch (i) {
    case 0:
        return mp_lock_acquire(freed.lock, LONG);
    case 1:
        return mp_rlock_acquire(freed.rlock, LONG);
    case 2:
        return mp_semaphore_acquire(freed.semaphore, LONG);
    case 3:
        return mp_semaphore_acquire(freed.undo, LONG);
    case 4:
        return mp_event_wait(freed.event, LONG);
    case 5:
        return mp_barrier_wait(freed.barrier, LONG);
    case 6:
        mp_child_ok(mp_condition_acquire(freed.own, LONG));
        return mp_condition_wait(freed.own, LONG);
    default:
        return wait_below();
    }
}

#define FREED 8

static void
count_one(void *ctx, const struct mp__wait *wait)
{
    (void)wait;
    ++*(int *)ctx;
}

/* It is not allowed, and does no harm to others: the waiters are told, the heap stays whole. */
static void
test_objects_freed_under_their_waiters_leave_the_heap_whole(void **state)
{
    (void)state;
    pid_t pid[FREED];
    void *between[64];
    int asleep, wrong = 0;
    make_freed();
    /* Free blocks beside theirs would swallow them. */
    for (int i = 0; i < 64; i++) {
        between[i] = mp_malloc(16);
    }
    for (int i = 0; i < FREED; i++) {
        pid[i] = fork();
        if (pid[i] == 0) {
            mp_child_code(wait_number(i), MP_EVALUE);
            _exit(0);
        }
    }
    do {
        asleep = 0;
        mp__waits_each(count_one, &asleep);
    } while (asleep < FREED && poll(NULL, 0, 1) == 0);
    mp_assert_ok(mp_lock_free(freed.lock));
    mp_assert_ok(mp_rlock_free(freed.rlock));
    mp_assert_ok(mp_semaphore_free(freed.semaphore));
    mp_assert_ok(mp_semaphore_free(freed.undo));
    mp_assert_ok(mp_event_free(freed.event));
    mp_assert_ok(mp_barrier_free(freed.barrier));
    mp_assert_ok(mp_condition_free(freed.own));
    mp_assert_ok(mp_condition_free(freed.over));
    for (int i = 0; i < FREED; i++) {
        int status = 1;
        waitpid(pid[i], &status, 0);
        wrong += status != 0;
    }
    assert_null(mp__alloc_check());
    assert_int_equal(wrong, 0);
    assert_int_equal(mp_lock_locked(freed.below), 0);
    mp_assert_ok(mp_lock_free(freed.below));
    for (int i = 0; i < 64; i++) {
        mp_assert_ok(mp_free(between[i]));
    }
}

#define with_locks(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static const struct CMUnitTest tests[] = {
    with_locks(test_lock_of_a_killed_holder_goes_on_in_time),
    with_locks(test_lock_of_a_zombie_goes_on_in_time),
    with_locks(test_lock_of_a_holder_that_exits_counts_as_of_a_dead_one),
    with_locks(test_lock_of_a_process_that_returns_counts_as_of_a_dead_one),
    with_locks(test_lock_of_a_process_that_is_ending_is_still_its),
    with_locks(test_try_takes_over_from_the_dead),
    with_locks(test_lock_of_the_dead_may_be_released_by_anybody),
    with_locks(test_with_tells_of_the_death),
    with_locks(test_lock_of_the_dead_is_news_to_one_of_many),
    with_locks(test_waiter_killed_costs_nobody),
    with_locks(test_waiter_with_interrupted_sleeps_sees_the_death_in_time),
    with_locks(test_lock_of_a_zombie_goes_on_when_no_descriptor_is_left),
    with_locks(test_lock_acquire_is_no_cancellation_point),
    cmocka_unit_test(test_objects_freed_under_their_waiters_leave_the_heap_whole),
};

MP_TEST_MAIN(tests)
