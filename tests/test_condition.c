/* test_condition.c: mp_condition between threads and processes, under each start method. */
#include "helpers/process.h"

#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define MOST 80 /* waiters of a test */

/* What the processes of a test share. */
struct common {
    mp_lock *lock;
    mp_condition *cond, *other;
    _Atomic int came, woken, timed_out;
    _Atomic int order[MOST + 1]; /* who was woken as the n-th */
    _Atomic int turn, asked;
};

static struct common *
common_new(mp_condition *cond)
{
    struct common *c = mp_calloc(1, sizeof *c);
    assert_non_null(c);
    c->cond = cond;
    assert_non_null(cond);
    return c;
}

static void
common_free(struct common *c)
{
    mp_assert_ok(mp_condition_free(c->cond));
    mp_assert_ok(mp_condition_free(c->other));
    mp_assert_ok(mp_lock_free(c->lock));
    mp_assert_ok(mp_free(c));
}

/* By the text, as anybody may count them. */
static int
waiters(mp_condition *cond)
{
    char text[256];
    assert_true(mp_condition_repr(cond, text, sizeof text) > 0);
    const char *comma = strrchr(text, ',');
    assert_non_null(comma);
    return atoi(comma + 1);
}

static void
await_waiters(mp_condition *cond, int n)
{
    while (waiters(cond) != n) {
        poll(NULL, 0, 1);
    }
}

static void
await(_Atomic int *word, int value)
{
    while (atomic_load(word) < value) {
        poll(NULL, 0, 1);
    }
}

/* A wait; who comes or timed out is counted, who was woken notes its number. */
static bool
wait_once(struct common *c, mp_condition *cond, int number, double timeout)
{
    if (mp_condition_acquire(cond, MP_FOREVER) < 0) {
        return false;
    }
    c->came++; /* the lock is not free before it is in line */
    int status = mp_condition_wait(cond, timeout);
    if (status == 0) {
        c->order[c->woken] = number;
        c->woken++;
    } else if (status == MP_ETIMEOUT) {
        c->timed_out++;
    } else {
        return false;
    }
    return mp_condition_release(cond) == 0;
}

static int
child_waits(const mp_args *args)
{
    void *memory;
    int number;
    double timeout;
    mp_args_get(args, &memory, &number, &timeout);
    struct common *c = memory;
    mp_child_check(wait_once(c, c->cond, number, timeout));
    return 0;
}

static int
child_waits_for_the_other(const mp_args *args)
{
    void *memory;
    int number;
    mp_args_get(args, &memory, &number);
    struct common *c = memory;
    mp_child_check(wait_once(c, c->other, number, MP_FOREVER));
    return 0;
}

static mp_process *
start_waiter(struct common *c, int number, double timeout)
{
    return start(child_waits, mp_args((void *)c, number, timeout));
}

/* A thread that waits. */
struct waiter {
    struct common *common;
    int number;
    pthread_t thread;
};

static void *
thread_waits(void *arg)
{
    struct waiter *w = arg;
    return wait_once(w->common, w->common->cond, w->number, MP_FOREVER) ? w : NULL;
}

static void
start_thread(struct waiter *w, struct common *c, int number)
{
    *w = (struct waiter){.common = c, .number = number};
    assert_int_equal(pthread_create(&w->thread, NULL, thread_waits, w), 0);
}

static void
finish_thread(struct waiter *w)
{
    void *result;
    assert_int_equal(pthread_join(w->thread, &result), 0);
    assert_ptr_equal(result, w);
}

static void
notify(mp_condition *cond, int n)
{
    mp_assert_ok(mp_condition_acquire(cond, MP_FOREVER));
    mp_assert_ok(mp_condition_notify(cond, n));
    mp_assert_ok(mp_condition_release(cond));
}

static void
notify_all(mp_condition *cond)
{
    MP_WITH(cond) {
        mp_assert_ok(mp_condition_notify_all(cond));
    }
}

/* ---- one waiter ----------------------------------------------------------------------------------*/

static void
test_condition_wait_ends_by_a_notify(void **state)
{
    (void)state;
    struct common *c = common_new(mp_condition_new(NULL));
    for (int i = 0; i < 3; i++) {
        mp_process *p = start_waiter(c, i, MP_FOREVER);
        await_waiters(c->cond, 1);
        assert_int_equal(c->woken, i);
        notify(c->cond, 1);
        assert_int_equal(finish(p), 0);
        assert_int_equal(c->woken, i + 1);
        assert_int_equal(waiters(c->cond), 0);
    }
    common_free(c);
}

static void
test_condition_wait_times_out_with_the_lock_held(void **state)
{
    (void)state;
    static const double timeouts[] = {0, -1, -(double)INFINITY, 0.1};
    mp_condition *cond = mp_condition_new(NULL);
    mp_assert_ok(mp_condition_acquire(cond, MP_FOREVER));
    for (size_t i = 0; i < sizeof timeouts / sizeof *timeouts; i++) {
        double begin = mp_test_now();
        mp_assert_code(mp_condition_wait(cond, timeouts[i]), MP_ETIMEOUT);
        assert_true(mp_test_now() - begin >= timeouts[i]);
        assert_int_equal(mp_last_error(), MP_ETIMEOUT);
        assert_non_null(strstr(mp_last_error_text(), "mp_condition_wait"));
        assert_int_equal(mp_condition_news(), 0);
        mp_assert_ok(mp_condition_notify(cond, 1)); /* only with the lock held */
    }
    mp_assert_code(mp_condition_wait(cond, (double)NAN), MP_EVALUE);
    assert_int_equal(waiters(cond), 0);
    mp_assert_ok(mp_condition_release(cond));
    mp_assert_ok(mp_condition_free(cond));
}

static void
assert_not_held(mp_condition *cond)
{
    mp_assert_code(mp_condition_wait(cond, MP_FOREVER), MP_ESTATE);
    assert_non_null(strstr(mp_last_error_text(), "does not hold"));
    mp_assert_code(mp_condition_wait_for(cond, NULL, NULL, MP_FOREVER), MP_ESTATE);
    mp_assert_code(mp_condition_notify(cond, 1), MP_ESTATE);
    mp_assert_code(mp_condition_notify_all(cond), MP_ESTATE);
}

static void *
thread_does_not_hold(void *arg)
{
    bool ok = mp_condition_wait(arg, 0) == MP_ESTATE && mp_condition_notify(arg, 1) == MP_ESTATE;
    return ok ? arg : NULL;
}

static int
child_does_not_hold(const mp_args *args)
{
    mp_condition *cond;
    mp_args_get(args, &cond);
    mp_child_check(thread_does_not_hold(cond) == cond);
    return 0;
}

static void
test_condition_calls_without_the_lock_are_estate(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new();
    mp_condition *conds[] = {mp_condition_new(NULL), mp_condition_new(lock)};
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        void *result;
        assert_not_held(conds[i]);
        mp_assert_ok(mp_condition_acquire(conds[i], 0));
        assert_int_equal(pthread_create(&thread, NULL, thread_does_not_hold, conds[i]), 0);
        assert_int_equal(pthread_join(thread, &result), 0);
        assert_ptr_equal(result, conds[i]);
        assert_int_equal(finish(start(child_does_not_hold, mp_args(conds[i]))), 0);
        mp_assert_ok(mp_condition_release(conds[i]));
        assert_not_held(conds[i]);
    }
    mp_assert_code(mp_condition_release(conds[0]), MP_ESTATE); /* an RLock's */
    mp_assert_code(mp_condition_release(conds[1]), MP_EVALUE); /* a Lock's */
    mp_assert_ok(mp_condition_free(conds[0]));
    mp_assert_ok(mp_condition_free(conds[1]));
    mp_assert_ok(mp_lock_free(lock));
}

/* The lock is free while somebody waits, however deep he was in it. */
static int
child_waits_nested(const mp_args *args)
{
    void *memory;
    mp_args_get(args, &memory);
    struct common *c = memory;
    for (int i = 0; i < 3; i++) {
        mp_child_ok(mp_condition_acquire(c->cond, MP_FOREVER));
    }
    mp_child_ok(mp_condition_wait(c->cond, MP_FOREVER));
    for (int i = 0; i < 3; i++) {
        mp_child_ok(mp_condition_release(c->cond));
    }
    mp_child_code(mp_condition_release(c->cond), MP_ESTATE);
    return 0;
}

static void
test_condition_wait_lets_go_of_a_nested_rlock(void **state)
{
    (void)state;
    mp_rlock *lock = mp_rlock_new();
    struct common *c = common_new(mp_condition_new(lock));
    mp_process *p = start(child_waits_nested, mp_args((void *)c));
    await_waiters(c->cond, 1);
    for (int i = 0; i < 2; i++) {
        mp_assert_ok(mp_rlock_acquire(lock, 20));
    }
    mp_assert_code(mp_condition_wait(c->cond, 0), MP_ETIMEOUT);
    mp_assert_ok(mp_condition_notify(c->cond, 1));
    for (int i = 0; i < 2; i++) {
        mp_assert_ok(mp_rlock_release(lock));
    }
    assert_int_equal(finish(p), 0);
    assert_int_equal(mp_rlock_locked(lock), 0);
    common_free(c);
    mp_assert_ok(mp_rlock_free(lock));
}

static int
child_keeps_the_lock(const mp_args *args)
{
    void *memory;
    mp_args_get(args, &memory);
    struct common *c = memory;
    mp_child_ok(mp_lock_acquire(c->lock, MP_FOREVER));
    c->turn = 1;
    poll(NULL, 0, 300);
    mp_child_ok(mp_lock_release(c->lock));
    return 0;
}

/* The time-out is of the sleep; taking the lock again takes as long as it takes. */
static void
test_condition_takes_the_lock_again_without_a_limit(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new();
    struct common *c = common_new(mp_condition_new(lock));
    c->lock = lock;
    mp_assert_ok(mp_lock_acquire(lock, 0));
    mp_process *p = start(child_keeps_the_lock, mp_args((void *)c));
    int status = 0;
    for (int i = 0; i < 10000 && c->turn == 0; i++) {
        status = mp_condition_wait(c->cond, 0.02);
        assert_int_equal(status, MP_ETIMEOUT);
    }
    assert_int_equal(c->turn, 1);
    mp_assert_code(mp_lock_release(lock), 0); /* it is ours, so the child has let it go */
    assert_int_equal(finish(p), 0);
    common_free(c);
}

/* ---- several -------------------------------------------------------------------------------------*/

static void
test_condition_notify_wakes_exactly_n(void **state)
{
    (void)state;
    struct common *c = common_new(mp_condition_new(NULL));
    mp_process *p[6];
    notify(c->cond, 3); /* nobody waits: it is forgotten */
    for (int i = 0; i < 6; i++) {
        p[i] = start_waiter(c, i, MP_FOREVER);
    }
    await_waiters(c->cond, 6);
    notify(c->cond, 0);
    notify(c->cond, -1);
    poll(NULL, 0, 80);
    assert_int_equal(c->woken, 0);
    notify(c->cond, 2);
    await(&c->woken, 2);
    poll(NULL, 0, 80);
    assert_int_equal(c->woken, 2);
    assert_int_equal(waiters(c->cond), 4);
    notify(c->cond, 4);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(finish(p[i]), 0);
    }
    assert_int_equal(c->woken, 6);
    notify(c->cond, 3);
    notify_all(c->cond);
    mp_assert_ok(mp_condition_acquire(c->cond, 0));
    mp_assert_code(mp_condition_wait(c->cond, 0.02), MP_ETIMEOUT); /* none of those was for us */
    mp_assert_ok(mp_condition_release(c->cond));
    common_free(c);
}

static void
test_condition_wakes_the_longest_waiting_first(void **state)
{
    (void)state;
    enum { N = 7 }; /* more than the condition has places for by itself */
    struct common *c = common_new(mp_condition_new(NULL));
    struct waiter thread[N];
    mp_process *p[N];
    for (int i = 0; i < N; i++) {
        if (i % 2) {
            start_thread(&thread[i], c, i);
        } else {
            p[i] = start_waiter(c, i, MP_FOREVER);
        }
        await_waiters(c->cond, i + 1);
    }
    for (int i = 0; i < N; i++) {
        notify(c->cond, 1);
        await(&c->woken, i + 1);
        assert_int_equal(c->order[i], i);
    }
    for (int i = 0; i < N; i++) {
        if (i % 2) {
            finish_thread(&thread[i]);
        } else {
            assert_int_equal(finish(p[i]), 0);
        }
    }
    common_free(c);
}

static void
test_condition_notify_all_wakes_all_and_none_later(void **state)
{
    (void)state;
    struct common *c = common_new(mp_condition_new(NULL));
    struct waiter thread[MOST];
    for (int round = 0; round < 2; round++) {
        c->woken = 0;
        for (int i = 0; i < MOST; i++) {
            start_thread(&thread[i], c, i);
        }
        await_waiters(c->cond, MOST);
        mp_process *late = NULL;
        mp_assert_ok(mp_condition_acquire(c->cond, MP_FOREVER));
        mp_assert_ok(mp_condition_notify_all(c->cond));
        assert_int_equal(waiters(c->cond), 0);
        late = start_waiter(c, -1, MP_FOREVER);
        mp_assert_ok(mp_condition_release(c->cond));
        for (int i = 0; i < MOST; i++) {
            finish_thread(&thread[i]);
        }
        assert_int_equal(c->woken, MOST);
        await_waiters(c->cond, 1);
        poll(NULL, 0, 80);
        assert_int_equal(c->woken, MOST);
        notify(c->cond, MOST);
        assert_int_equal(finish(late), 0);
        assert_int_equal(c->woken, MOST + 1);
    }
    common_free(c);
}

/* Who gave up is no waiter any more: the next notification is for one who waits. */
static void
test_condition_timed_out_waiters_take_no_wake_up(void **state)
{
    (void)state;
    struct common *c = common_new(mp_condition_new(NULL));
    mp_process *p[4];
    for (int i = 0; i < 3; i++) {
        p[i] = start_waiter(c, i, 0.05 * (i + 1));
    }
    while (c->timed_out == 0) {
        poll(NULL, 0, 1);
    }
    p[3] = start_waiter(c, 3, MP_FOREVER);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(finish(p[i]), 0);
    }
    assert_int_equal(c->timed_out, 3);
    await_waiters(c->cond, 1);
    notify(c->cond, 1);
    assert_int_equal(finish(p[3]), 0);
    assert_int_equal(c->woken, 1);
    assert_int_equal(c->order[0], 3);
    assert_int_equal(waiters(c->cond), 0);
    common_free(c);
}

static int
child_waits_in_its_turn(const mp_args *args)
{
    void *memory;
    int number;
    double timeout;
    mp_args_get(args, &memory, &number, &timeout);
    struct common *c = memory;
    await(&c->turn, number);
    mp_child_check(wait_once(c, c->cond, number, timeout));
    return 0;
}

/*
 * First, middle and last in line give up; the others stay in order.  The processes are there before
 * the first one comes, so that all are in line when the first one gives up.
 */
static void
test_condition_line_closes_up_behind_who_gives_up(void **state)
{
    (void)state;
    enum { N = 6 };
    struct common *c = common_new(mp_condition_new(NULL));
    mp_process *p[N];
    c->turn = -1;
    for (int i = 0; i < N; i++) {
        double timeout = i % 5 == 0 || i == 3 ? 0.5 : MP_FOREVER; /* 0, 3, 5 */
        p[i] = start(child_waits_in_its_turn, mp_args((void *)c, i, timeout));
    }
    for (int i = 0; i < N; i++) {
        c->turn = i;
        await(&c->came, i + 1);
    }
    await(&c->timed_out, 3);
    for (int i = 0; i < 3; i++) {
        notify(c->cond, 1);
        await(&c->woken, i + 1);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(finish(p[i]), 0);
    }
    assert_int_equal(c->order[0], 1);
    assert_int_equal(c->order[1], 2);
    assert_int_equal(c->order[2], 4);
    assert_int_equal(waiters(c->cond), 0);
    common_free(c);
}

static void
test_conditions_that_share_a_lock_wake_their_own(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new();
    struct common *c = common_new(mp_condition_new(lock));
    c->other = mp_condition_new(lock);
    c->lock = lock;
    mp_process *p = start_waiter(c, 1, MP_FOREVER);
    mp_process *q = start(child_waits_for_the_other, mp_args((void *)c, 2));
    await_waiters(c->cond, 1);
    await_waiters(c->other, 1);
    mp_assert_ok(mp_lock_acquire(lock, MP_FOREVER));
    mp_assert_ok(mp_condition_notify_all(c->other));
    mp_assert_ok(mp_lock_release(lock));
    assert_int_equal(finish(q), 0);
    assert_int_equal(c->woken, 1);
    assert_int_equal(c->order[0], 2);
    assert_int_equal(waiters(c->cond), 1);
    mp_assert_ok(mp_lock_acquire(lock, MP_FOREVER));
    mp_assert_ok(mp_condition_notify(c->cond, 5));
    mp_assert_ok(mp_lock_release(lock));
    assert_int_equal(finish(p), 0);
    assert_int_equal(c->woken, 2);
    common_free(c);
}

static void
tick(int signo)
{
    (void)signo;
}

/* Signals end no wait, and a notification comes through them. */
static void
test_condition_wait_goes_on_after_signals(void **state)
{
    (void)state;
    struct sigaction ticking = {.sa_handler = tick}, before;
    struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
    struct common *c = common_new(mp_condition_new(NULL));
    sigaction(SIGALRM, &ticking, &before);
    mp_assert_ok(mp_condition_acquire(c->cond, 0));
    setitimer(ITIMER_REAL, &often, NULL);
    double begin = mp_test_now();
    int status = mp_condition_wait(c->cond, 0.2);
    double took = mp_test_now() - begin;
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    mp_test_bounded(MP_TEST_BOUND); /* that was the same timer */
    assert_int_equal(status, MP_ETIMEOUT);
    assert_true(took >= 0.2);
    mp_assert_ok(mp_condition_release(c->cond));
    common_free(c);
}

/* ---- wait_for ------------------------------------------------------------------------------------*/

static bool
turn_is_four(void *arg)
{
    struct common *c = arg;
    c->asked++;
    return c->turn == 4;
}

static int
child_waits_for_four(const mp_args *args)
{
    void *memory;
    mp_args_get(args, &memory);
    struct common *c = memory;
    MP_WITH(c->cond) {
        c->turn = 0;
        mp_child_ok(mp_condition_wait_for(c->cond, turn_is_four, c, MP_FOREVER));
        mp_child_check(c->turn == 4);
        c->woken++;
    }
    return 0;
}

static void
test_wait_for_goes_on_until_it_is_true(void **state)
{
    (void)state;
    struct common *c = common_new(mp_condition_new(NULL));
    c->turn = -1;
    mp_process *p = start(child_waits_for_four, mp_args((void *)c));
    for (int i = 1; i <= 4; i++) {
        await_waiters(c->cond, 1);
        MP_WITH(c->cond) {
            assert_int_equal(c->turn, i - 1);
            c->turn = i;
            mp_assert_ok(mp_condition_notify(c->cond, 1));
        }
    }
    assert_int_equal(finish(p), 0);
    assert_int_equal(c->woken, 1);
    assert_int_equal(c->asked, 5);
    common_free(c);
}

static void
test_wait_for_asks_first_and_tries_without_waiting(void **state)
{
    (void)state;
    struct common *c = common_new(mp_condition_new(NULL));
    mp_assert_ok(mp_condition_acquire(c->cond, 0));
    mp_assert_code(mp_condition_wait_for(c->cond, turn_is_four, c, 0), MP_ETIMEOUT);
    assert_int_equal(c->asked, 1);
    mp_assert_code(mp_condition_wait_for(c->cond, turn_is_four, c, -3), MP_ETIMEOUT);
    assert_int_equal(c->asked, 2);
    mp_assert_code(mp_condition_wait_for(c->cond, turn_is_four, c, (double)NAN), MP_EVALUE);
    mp_assert_code(mp_condition_wait_for(c->cond, NULL, c, 0), MP_EVALUE);
    c->turn = 4;
    mp_assert_ok(mp_condition_wait_for(c->cond, turn_is_four, c, 0));
    mp_assert_ok(mp_condition_wait_for(c->cond, turn_is_four, c, MP_FOREVER));
    mp_assert_ok(mp_condition_release(c->cond));
    assert_int_equal(c->asked, 4);
    common_free(c);
}

static int
child_notifies_often(const mp_args *args)
{
    void *memory;
    mp_args_get(args, &memory);
    struct common *c = memory;
    while (c->timed_out == 0) {
        MP_WITH(c->cond) {
            mp_child_ok(mp_condition_notify_all(c->cond));
        }
        poll(NULL, 0, 10);
    }
    return 0;
}

/* Wake-ups do not begin the time-out anew: it would not end, then. */
static void
test_wait_for_times_out_in_total(void **state)
{
    (void)state;
    struct common *c = common_new(mp_condition_new(NULL));
    mp_process *p = start(child_notifies_often, mp_args((void *)c));
    mp_assert_ok(mp_condition_acquire(c->cond, MP_FOREVER));
    do { /* until the child has come, and was quick enough for some wake-ups */
        c->asked = 0;
        double begin = mp_test_now();
        mp_assert_code(mp_condition_wait_for(c->cond, turn_is_four, c, 0.3), MP_ETIMEOUT);
        assert_true(mp_test_now() - begin >= 0.3);
    } while (c->asked <= 3);
    mp_assert_ok(mp_condition_release(c->cond));
    c->timed_out = 1;
    assert_int_equal(finish(p), 0);
    common_free(c);
}

/* ---- work ----------------------------------------------------------------------------------------*/

#define ROUNDS 3000

static int
child_plays(const mp_args *args)
{
    void *memory;
    mp_args_get(args, &memory);
    struct common *c = memory;
    for (int i = 0; i < ROUNDS; i++) {
        MP_WITH(c->cond) {
            while (c->turn % 2 == 0) {
                mp_child_ok(mp_condition_wait(c->cond, MP_FOREVER));
            }
            c->turn++;
            mp_child_ok(mp_condition_notify(c->cond, 1));
        }
    }
    return 0;
}

/* Not one wake-up of many may be missing. */
static void
test_condition_ping_pong(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new();
    struct common *c = common_new(mp_condition_new(lock));
    c->lock = lock;
    mp_process *p = start(child_plays, mp_args((void *)c));
    for (int i = 0; i < ROUNDS; i++) {
        mp_assert_ok(mp_lock_acquire(lock, MP_FOREVER)); /* its own calls do as well */
        while (c->turn % 2 == 1) {
            mp_assert_ok(mp_condition_wait(c->cond, MP_FOREVER));
        }
        c->turn++;
        mp_assert_ok(mp_condition_notify(c->cond, 1));
        mp_assert_ok(mp_lock_release(lock));
    }
    assert_int_equal(finish(p), 0);
    assert_int_equal(c->turn, 2 * ROUNDS);
    common_free(c);
}

/* ---- the object ----------------------------------------------------------------------------------*/

static int
child_sends_it_back(const mp_args *args)
{
    mp_queue *there, *back;
    mp_obj o;
    mp_args_get(args, &there, &back);
    mp_child_ok(mp_queue_get(there, &o, MP_FOREVER));
    mp_condition *cond = mp_as_handle(o, MP_HANDLE_CONDITION);
    mp_child_check(cond != NULL);
    mp_child_ok(mp_queue_put(back, cond, MP_FOREVER));
    return 0;
}

static void
test_condition_travels(void **state)
{
    (void)state;
    mp_obj o;
    mp_queue *there = mp_queue_new(0), *back = mp_queue_new(0);
    mp_condition *cond = mp_condition_new(NULL);
    mp_process *p = start(child_sends_it_back, mp_args(there, back));
    mp_assert_ok(mp_queue_put(there, cond, MP_FOREVER));
    mp_assert_ok(mp_queue_get(back, &o, MP_FOREVER));
    assert_ptr_equal(mp_as_handle(o, MP_HANDLE_CONDITION), cond);
    assert_int_equal(finish(p), 0);
    mp_assert_ok(mp_queue_free(there));
    mp_assert_ok(mp_queue_free(back));
    mp_assert_ok(mp_condition_free(cond));
}

static void
assert_text(mp_condition *cond, const char *expected)
{
    char text[100];
    assert_int_equal(mp_condition_repr(cond, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);
}

static void
test_condition_text_tells_lock_and_waiters(void **state)
{
    (void)state;
    char text[20];
    mp_lock *lock = mp_lock_new();
    struct common *c = common_new(mp_condition_new(NULL));
    c->other = mp_condition_new(lock);
    c->lock = lock;
    assert_text(c->cond, "<Condition(<RLock(None, 0)>, 0)>");
    assert_text(c->other, "<Condition(<Lock(owner=None)>, 0)>");
    mp_process *p = start_waiter(c, 1, MP_FOREVER);
    await_waiters(c->cond, 1);
    MP_WITH(c->cond) {
        MP_WITH(c->other) {
            assert_text(c->cond, "<Condition(<RLock(MainProcess, 1)>, 1)>");
            assert_text(c->other, "<Condition(<Lock(owner=MainProcess)>, 0)>");
        }
    }
    notify_all(c->cond);
    assert_int_equal(finish(p), 0);
    assert_int_equal(mp_condition_repr(c->cond, text, sizeof text), 32);
    assert_string_equal(text, "<Condition(<RLock(N");
    mp_assert_code(mp_condition_repr(NULL, text, sizeof text), MP_EVALUE);
    common_free(c);
}

static void
assert_no_condition(mp_condition *cond)
{
    mp_assert_code(mp_condition_acquire(cond, MP_FOREVER), MP_EVALUE);
    assert_non_null(strstr(mp_last_error_text(), "not a live condition"));
    mp_assert_code(mp_condition_release(cond), MP_EVALUE);
    mp_assert_code(mp_condition_wait(cond, MP_FOREVER), MP_EVALUE);
    mp_assert_code(mp_condition_wait_for(cond, turn_is_four, NULL, MP_FOREVER), MP_EVALUE);
    mp_assert_code(mp_condition_notify(cond, 1), MP_EVALUE);
    mp_assert_code(mp_condition_notify_all(cond), MP_EVALUE);
    if (cond) {
        mp_assert_code(mp_condition_free(cond), MP_EVALUE);
    }
    MP_WITH(cond) {
        fail();
    }
}

static void
test_condition_that_is_none_is_evalue(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new();
    mp_rlock *rlock = mp_rlock_new();
    mp_condition *freed = mp_condition_new(NULL);
    mp_assert_ok(mp_condition_free(freed));
    assert_no_condition(NULL);
    assert_no_condition(freed);
    assert_no_condition((mp_condition *)(void *)lock);
    mp_assert_ok(mp_condition_free(NULL));
    assert_null(mp_condition_new((mp_lock *)NULL));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    assert_null(mp_condition_new((mp_rlock *)(void *)lock));
    assert_int_equal(mp_last_error(), MP_EVALUE);

    mp_condition *orphan = mp_condition_new(rlock);
    mp_assert_ok(mp_rlock_free(rlock));
    mp_assert_code(mp_condition_acquire(orphan, 0), MP_EVALUE);
    mp_assert_code(mp_condition_wait(orphan, 0), MP_EVALUE);
    assert_non_null(strstr(mp_last_error_text(), "lock was freed"));
    mp_assert_ok(mp_condition_free(orphan));
    mp_assert_ok(mp_lock_free(lock));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_condition_wait_ends_by_a_notify),
    cmocka_unit_test(test_condition_wait_times_out_with_the_lock_held),
    cmocka_unit_test(test_condition_calls_without_the_lock_are_estate),
    cmocka_unit_test(test_condition_wait_lets_go_of_a_nested_rlock),
    cmocka_unit_test(test_condition_takes_the_lock_again_without_a_limit),
    cmocka_unit_test(test_condition_notify_wakes_exactly_n),
    cmocka_unit_test(test_condition_wakes_the_longest_waiting_first),
    cmocka_unit_test(test_condition_notify_all_wakes_all_and_none_later),
    cmocka_unit_test(test_condition_timed_out_waiters_take_no_wake_up),
    cmocka_unit_test(test_condition_line_closes_up_behind_who_gives_up),
    cmocka_unit_test(test_conditions_that_share_a_lock_wake_their_own),
    cmocka_unit_test(test_condition_wait_goes_on_after_signals),
    cmocka_unit_test(test_wait_for_goes_on_until_it_is_true),
    cmocka_unit_test(test_wait_for_asks_first_and_tries_without_waiting),
    cmocka_unit_test(test_wait_for_times_out_in_total),
    cmocka_unit_test(test_condition_ping_pong),
    cmocka_unit_test(test_condition_travels),
    cmocka_unit_test(test_condition_text_tells_lock_and_waiters),
    cmocka_unit_test(test_condition_that_is_none_is_evalue),
};

MP_TEST_MAIN(tests)
