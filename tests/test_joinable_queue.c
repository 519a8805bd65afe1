/* test_joinable_queue.c: JoinableQueue: who counts, who waits, who says it too often. */
#include "helpers/queue.h"

#include <pthread.h>

static int
worker(const mp_args *args)
{
    mp_queue *q;
    void *note;
    mp_args_get(args, &q, &note);
    struct note *n = note;
    for (;;) {
        mp_obj o;
        mp_child_ok(mp_joinable_queue_get(q, &o, 30));
        bool last = mp_is_none(o);
        mp_obj_free(o);
        if (!last) {
            nap();
            atomic_fetch_add(&n->number[0], 1);
        }
        mp_child_ok(mp_joinable_queue_task_done(q));
        if (last) {
            return 0;
        }
    }
}

/* 50: Python's test_task_done. */
static void
test_joinable_queue_join_returns_when_every_put_was_answered(void **state)
{
    (void)state;
    mp_queue *q = made(mp_joinable_queue_new(0));
    struct note *n = note_new();
    mp_process *p[4];
    for (int i = 0; i < 4; i++) {
        p[i] = start(worker, mp_args(q, (void *)n));
    }
    for (int i = 0; i < 40; i++) {
        mp_assert_ok(mp_joinable_queue_put(q, i, 5));
    }
    mp_assert_ok(mp_joinable_queue_join(q, 30));
    assert_int_equal(n->number[0], 40);
    for (int i = 0; i < 4; i++) {
        mp_assert_ok(mp_queue_put(q, mp_none(), 5)); /* the base's calls count, too */
    }
    mp_assert_ok(mp_joinable_queue_join(q, 30));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(finish(p[i]), 0);
    }
    mp_free(n);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_joinable_queue_task_done_too_often_is_refused(void **state)
{
    (void)state;
    mp_queue *q = made(mp_joinable_queue_new(0));
    mp_assert_code(mp_joinable_queue_task_done(q), MP_EVALUE);
    assert_text("more often");
    mp_assert_ok(mp_joinable_queue_join(q, 0)); /* nothing was put */
    mp_assert_ok(mp_joinable_queue_put(q, 1, 0));
    mp_assert_ok(mp_joinable_queue_put(q, 2, 0));
    mp_assert_ok(mp_joinable_queue_task_done(q)); /* before any get, as in Python */
    mp_assert_ok(mp_joinable_queue_task_done(q));
    mp_assert_code(mp_joinable_queue_task_done(q), MP_EVALUE);
    mp_assert_ok(mp_joinable_queue_join(q, 0));
    assert_int_equal(mp_queue_qsize(q), 2);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_joinable_queue_join_waits_as_long_as_told(void **state)
{
    (void)state;
    mp_queue *q = made(mp_joinable_queue_new(0));
    mp_assert_ok(mp_joinable_queue_put(q, 1, 0));
    assert_next(q, 1);
    double t = mp_test_now();
    mp_assert_code(mp_joinable_queue_join(q, 0), MP_ETIMEOUT);
    mp_assert_code(mp_joinable_queue_join(q, -1), MP_ETIMEOUT);
    took(t, 0, STALL);
    t = mp_test_now();
    mp_assert_code(mp_joinable_queue_join(q, 0.1), MP_ETIMEOUT);
    assert_text("1 tasks");
    took(t, 0.1, 0.1 + STALL);
    mp_assert_code(mp_joinable_queue_join(q, (double)NAN), MP_EVALUE);
    mp_assert_ok(mp_joinable_queue_task_done(q));
    mp_assert_ok(mp_joinable_queue_join(q, MP_FOREVER));
    mp_assert_ok(mp_queue_free(q));
}

/* Refused puts do not count. */
static void
test_joinable_queue_counts_what_is_in_it(void **state)
{
    (void)state;
    mp_queue *q = made(mp_joinable_queue_new(2));
    mp_assert_ok(mp_joinable_queue_put(q, 1, 0));
    mp_assert_ok(mp_queue_put_bytes(q, "two", 3, 0));
    mp_assert_code(mp_joinable_queue_put(q, 3, 0), MP_EFULL);
    mp_assert_code(mp_queue_put(q, mp_from_uint(UINT64_MAX), 0), MP_EOVERFLOW);
    mp_assert_ok(mp_joinable_queue_task_done(q));
    mp_assert_ok(mp_joinable_queue_task_done(q));
    mp_assert_code(mp_joinable_queue_task_done(q), MP_EVALUE);
    mp_assert_ok(mp_queue_free(q));
}

struct joiner {
    mp_queue *q;
    int status;
    _Atomic int ready;
};

static void *
join_it(void *arg)
{
    struct joiner *j = arg;
    atomic_store(&j->ready, 1);
    j->status = mp_joinable_queue_join(j->q, 20);
    return NULL;
}

/* Who puts again at once does not keep those who waited for the moment before. */
static void
test_joinable_queue_joiner_sees_a_moment_without_tasks(void **state)
{
    (void)state;
    struct joiner j = {made(mp_joinable_queue_new(0)), -1, 0};
    pthread_t t;
    mp_assert_ok(mp_joinable_queue_put(j.q, 1, 0));
    assert_int_equal(pthread_create(&t, NULL, join_it, &j), 0);
    wait_for(&j.ready, 1);
    wait_for_sleepers(j.q, 1);
    mp_assert_ok(mp_joinable_queue_task_done(j.q));
    mp_assert_ok(mp_joinable_queue_put(j.q, 2, 0));
    double since = mp_test_now();
    pthread_join(t, NULL);
    took(since, 0, STALL);
    mp_assert_ok(j.status);
    mp_assert_code(mp_joinable_queue_join(j.q, 0), MP_ETIMEOUT);
    mp_assert_ok(mp_queue_free(j.q));
}

enum { PARTIES = 4, EACH = 5000 };

static int
put_and_do(const mp_args *args)
{
    mp_queue *q;
    mp_args_get(args, &q);
    for (int i = 0; i < EACH; i++) {
        mp_obj o;
        mp_child_ok(mp_queue_put(q, i, 10));
        mp_child_ok(mp_queue_get(q, &o, 10));
        mp_child_ok(mp_joinable_queue_task_done(q));
    }
    return 0;
}

static void
test_joinable_queue_count_is_exact_from_any_mix_of_processes(void **state)
{
    (void)state;
    mp_queue *q = made(mp_joinable_queue_new(0));
    mp_process *p[PARTIES];
    for (int i = 0; i < PARTIES; i++) {
        p[i] = start(put_and_do, mp_args(q));
    }
    for (int i = 0; i < PARTIES; i++) {
        assert_int_equal(finish(p[i]), 0);
    }
    mp_assert_ok(mp_joinable_queue_join(q, 0));
    mp_assert_code(mp_joinable_queue_task_done(q), MP_EVALUE);
    mp_assert_ok(mp_queue_free(q));
}

static int
put_for_ever(const mp_args *args)
{
    mp_queue *q;
    mp_args_get(args, &q);
    for (int i = 0;; i++) {
        mp_child_ok(mp_queue_put(q, i, MP_FOREVER));
    }
    return 0;
}

/* Far above what they put before they are killed; but the machine may let us wait for long. */
#define NEVER_FULL 1000000

/* Put and count are one step: what was put by the dead is what is unfinished. */
static void
test_joinable_queue_count_agrees_after_putters_were_killed(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        mp_queue *q = made(mp_joinable_queue_new(NEVER_FULL));
        mp_process *p[2] = {start(put_for_ever, mp_args(q)), start(put_for_ever, mp_args(q))};
        while (mp_queue_qsize(q) < 100 + round * 7) {
        }
        kill_and_free(p[0]);
        kill_and_free(p[1]);
        mp_obj o;
        while (mp_queue_get(q, &o, 0) == 0) {
            mp_assert_ok(mp_joinable_queue_task_done(q));
        }
        mp_assert_code(mp_joinable_queue_task_done(q), MP_EVALUE);
        mp_assert_ok(mp_joinable_queue_join(q, 0));
        mp_assert_ok(mp_queue_free(q));
    }
}

static int
get_and_die(const mp_args *args)
{
    mp_queue *q;
    mp_args_get(args, &q);
    mp_obj o;
    mp_child_ok(mp_queue_get(q, &o, 10));
    _exit(3); /* no task_done */
}

/* As in Python: documented, and the others see that it is so. */
static void
test_joinable_queue_consumer_that_dies_before_task_done_leaves_one_unfinished(void **state)
{
    (void)state;
    mp_queue *q = made(mp_joinable_queue_new(0));
    mp_assert_ok(mp_joinable_queue_put(q, 1, 0));
    assert_int_equal(finish(start(get_and_die, mp_args(q))), 3);
    mp_assert_code(mp_joinable_queue_join(q, 0.15), MP_ETIMEOUT);
    mp_assert_ok(mp_joinable_queue_task_done(q)); /* whoever noticed may say it */
    mp_assert_ok(mp_joinable_queue_join(q, 0));
    mp_assert_ok(mp_queue_free(q));
}

static int
peek_and_hang(const mp_args *args)
{
    mp_queue *q;
    void *note;
    const void *data;
    size_t len;
    mp_args_get(args, &q, &note);
    mp_child_ok(mp_queue_peek_bytes(q, &data, &len, 10));
    atomic_fetch_add(&((struct note *)note)->ready, 1);
    pause_for_ever();
    return 0;
}

/* What it had goes with an immediate shutdown, though nobody gets any more who would find out. */
static void
test_joinable_queue_join_sees_that_a_peeker_died_after_an_immediate_shutdown(void **state)
{
    (void)state;
    mp_queue *q = made(mp_joinable_queue_new(0));
    struct note *n = note_new();
    struct joiner j = {q, -1, 0};
    pthread_t t;
    mp_assert_ok(mp_queue_put_bytes(q, "x", 1, 0));
    mp_process *p = start(peek_and_hang, mp_args(q, (void *)n));
    wait_for(&n->ready, 1);
    mp_assert_ok(mp_queue_shutdown(q, true));
    mp_assert_code(mp_joinable_queue_join(q, 0.01), MP_ETIMEOUT); /* it may still be done */
    assert_int_equal(pthread_create(&t, NULL, join_it, &j), 0);
    wait_for(&j.ready, 1);
    double since = mp_test_now();
    kill_and_free(p);
    pthread_join(t, NULL);
    took(since, 0, STALL);
    mp_assert_ok(j.status);
    mp_free(n);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_joinable_queue_other_kinds_have_no_tasks(void **state)
{
    (void)state;
    mp_queue *plain = made(mp_queue_new(0)), *simple = made(mp_simple_queue_new());
    mp_queue *with = made(mp_queue_new_with(0, &(mp_queue_options){.joinable = true}));
    mp_queue *of_context = made(mp_context_joinable_queue(NULL, 3));
    mp_assert_code(mp_joinable_queue_task_done(plain), MP_EATTR);
    mp_assert_code(mp_joinable_queue_join(simple, 0), MP_EATTR);
    mp_assert_ok(mp_joinable_queue_join(with, 0));
    mp_assert_ok(mp_joinable_queue_put(of_context, 1, 0));
    mp_assert_code(mp_joinable_queue_join(of_context, 0), MP_ETIMEOUT);
    mp_assert_ok(mp_queue_free(plain));
    mp_assert_ok(mp_queue_free(simple));
    mp_assert_ok(mp_queue_free(with));
    mp_assert_ok(mp_queue_free(of_context));
    mp_assert_code(mp_joinable_queue_task_done(of_context), MP_EVALUE);
    mp_assert_code(mp_joinable_queue_join(NULL, 0), MP_EVALUE);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_joinable_queue_join_returns_when_every_put_was_answered),
    cmocka_unit_test(test_joinable_queue_task_done_too_often_is_refused),
    cmocka_unit_test(test_joinable_queue_join_waits_as_long_as_told),
    cmocka_unit_test(test_joinable_queue_counts_what_is_in_it),
    cmocka_unit_test(test_joinable_queue_joiner_sees_a_moment_without_tasks),
    cmocka_unit_test(test_joinable_queue_count_is_exact_from_any_mix_of_processes),
    cmocka_unit_test(test_joinable_queue_count_agrees_after_putters_were_killed),
    cmocka_unit_test(test_joinable_queue_consumer_that_dies_before_task_done_leaves_one_unfinished),
    cmocka_unit_test(test_joinable_queue_join_sees_that_a_peeker_died_after_an_immediate_shutdown),
    cmocka_unit_test(test_joinable_queue_other_kinds_have_no_tasks),
};
MP_TEST_MAIN(tests)
