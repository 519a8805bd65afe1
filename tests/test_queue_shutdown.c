/*
 * test_queue_shutdown.c: mp_queue_shutdown, by the rules of Python's queue.Queue.shutdown (3.13),
 * with processes and their deaths.
 */
#include "helpers/queue.h"

#include <pthread.h>

static void
refuses_puts(mp_queue *q)
{
    size_t done = 9;
    mp_assert_code(mp_queue_put(q, mp_list(1, 2), 0), MP_ESHUTDOWN);
    mp_assert_code(mp_queue_put(q, 1, MP_FOREVER), MP_ESHUTDOWN);
    mp_assert_code(mp_queue_put_nowait(q, 1), MP_ESHUTDOWN);
    mp_assert_code(mp_queue_put_bytes(q, "x", 1, 5), MP_ESHUTDOWN);
    assert_text("shut down");
    mp_obj items[] = {mp_from_int(1), mp_from_int(2)};
    mp_assert_code(mp_queue_put_many(q, 2, items, &done, 5), MP_ESHUTDOWN);
    assert_int_equal(done, 0);
    assert_null(mp_queue_reserve(q, 10));
    assert_int_equal(mp_last_error(), MP_ESHUTDOWN);
}

static void
is_over_for_getters(mp_queue *q)
{
    mp_obj o;
    char buf[8];
    size_t len;
    const void *data;
    mp_assert_code(mp_queue_get(q, &o, MP_FOREVER), MP_ESHUTDOWN);
    assert_true(mp_is_none(o));
    mp_assert_code(mp_queue_get_nowait(q, &o), MP_ESHUTDOWN);
    mp_assert_code(mp_queue_get_bytes(q, buf, sizeof buf, &len, 1), MP_ESHUTDOWN);
    mp_assert_code(mp_queue_get_many(q, 1, &o, &len, 1), MP_ESHUTDOWN);
    mp_assert_code(mp_queue_peek_bytes(q, &data, &len, 1), MP_ESHUTDOWN);
    mp_assert_code(mp_queue_peek(q, &o, &data, 1), MP_ESHUTDOWN);
    assert_text("shut down");
}

static void
test_queue_shutdown_lets_getters_drain(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(3));
    for (int i = 0; i < 3; i++) {
        mp_assert_ok(mp_queue_put(q, i, 0));
    }
    mp_assert_ok(mp_queue_shutdown(q, false));
    refuses_puts(q); /* not Full: it is shut down first */
    assert_int_equal(mp_queue_qsize(q), 3);
    for (int i = 0; i < 3; i++) {
        assert_next(q, i);
    }
    is_over_for_getters(q);
    mp_assert_ok(mp_queue_shutdown(q, false)); /* twice */
    refuses_puts(q);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_shutdown_immediate_drops_what_is_there(void **state)
{
    (void)state;
    static const char big[100000];
    mp_heap_info before, after;
    mp_assert_ok(mp_heap_stats(&before));
    for (int twice = 0; twice < 2; twice++) {
        mp_queue *q = made(mp_queue_new(0));
        for (int i = 0; i < 1000; i++) {
            mp_assert_ok(mp_queue_put_bytes(q, big, i % 100 ? 30 : sizeof big, 0));
        }
        if (twice) {
            mp_assert_ok(mp_queue_shutdown(q, false));
            assert_int_equal(mp_queue_qsize(q), 1000);
        }
        mp_assert_ok(mp_queue_shutdown(q, true));
        assert_int_equal(mp_queue_qsize(q), 0);
        assert_int_equal(mp_queue_empty(q), 1);
        refuses_puts(q);
        is_over_for_getters(q);
        mp_assert_ok(mp_queue_free(q));
    }
    mp_assert_ok(mp_heap_stats(&after));
    assert_int_equal(after.blocks, before.blocks);
    mp_assert_code(mp_queue_shutdown(NULL, true), MP_EVALUE);
}

/* ---- those who wait -------------------------------------------------------------------------- */

static int
wait_in_put(const mp_args *args)
{
    mp_queue *q;
    void *note;
    mp_args_get(args, &q, &note);
    struct note *n = note;
    atomic_fetch_add(&n->ready, 1);
    mp_child_code(mp_queue_put(q, "no room", MP_FOREVER), MP_ESHUTDOWN);
    return 0;
}

static int
wait_in_get(const mp_args *args)
{
    mp_queue *q;
    void *note;
    mp_obj o;
    mp_args_get(args, &q, &note);
    struct note *n = note;
    atomic_fetch_add(&n->ready, 1);
    mp_child_code(mp_queue_get(q, &o, MP_FOREVER), MP_ESHUTDOWN);
    return 0;
}

static void
wake_all_of(int64_t maxsize, mp_target target, bool immediate)
{
    mp_queue *q = made(mp_queue_new(maxsize));
    struct note *n = note_new();
    if (maxsize == 1) {
        mp_assert_ok(mp_queue_put(q, "the only one", 0));
    }
    mp_process *p[3];
    for (int i = 0; i < 3; i++) {
        p[i] = start(target, mp_args(q, (void *)n));
    }
    wait_for(&n->ready, 3);
    wait_for_sleepers(q, 3);
    double t = mp_test_now();
    mp_assert_ok(mp_queue_shutdown(q, immediate));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(finish(p[i]), 0);
    }
    took(t, 0, STALL);
    mp_free(n);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_shutdown_wakes_putters_and_getters(void **state)
{
    (void)state;
    wake_all_of(1, wait_in_put, false);
    wake_all_of(1, wait_in_put, true);
    wake_all_of(0, wait_in_get, false);
    wake_all_of(0, wait_in_get, true);
}

/* ---- loans ----------------------------------------------------------------------------------- */

static void
test_queue_shutdown_leaves_what_is_reserved_to_be_cancelled(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    void *mine = mp_queue_reserve(q, 100);
    assert_non_null(mine);
    mp_assert_ok(mp_queue_shutdown(q, false));
    mp_assert_code(mp_queue_commit(q, mine, 100, 5), MP_ESHUTDOWN);
    mp_assert_ok(mp_queue_cancel(q, mine));
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_shutdown_takes_back_what_is_lent_unless_it_is_immediate(void **state)
{
    (void)state;
    for (int immediate = 0; immediate < 2; immediate++) {
        mp_queue *q = made(mp_queue_new(0));
        const void *lent;
        size_t len;
        char buf[8];
        mp_assert_ok(mp_queue_put_bytes(q, "one", 3, 0));
        mp_assert_ok(mp_queue_put_bytes(q, "two", 3, 0));
        mp_assert_ok(mp_queue_peek_bytes(q, &lent, &len, 0));
        mp_assert_ok(mp_queue_shutdown(q, immediate));
        assert_memory_equal(lent, "one", 3);
        mp_assert_ok(mp_queue_give_back(q, lent));
        if (!immediate) {
            mp_assert_ok(mp_queue_get_bytes(q, buf, sizeof buf, &len, 0));
            assert_memory_equal(buf, "one", 3);
            mp_assert_ok(mp_queue_get_bytes(q, buf, sizeof buf, &len, 0));
            assert_memory_equal(buf, "two", 3);
        }
        is_over_for_getters(q);
        mp_assert_ok(mp_queue_free(q));
    }
}

/* ---- JoinableQueue --------------------------------------------------------------------------- */

static void
test_joinable_queue_shutdown_keeps_the_count(void **state)
{
    (void)state;
    mp_queue *q = made(mp_joinable_queue_new(0));
    mp_assert_ok(mp_queue_put(q, 1, 0));
    mp_assert_ok(mp_queue_put(q, 2, 0));
    mp_assert_ok(mp_queue_shutdown(q, false));
    assert_next(q, 1);
    mp_assert_ok(mp_joinable_queue_task_done(q));
    mp_assert_code(mp_joinable_queue_join(q, 0.02), MP_ETIMEOUT);
    assert_next(q, 2);
    mp_assert_ok(mp_joinable_queue_task_done(q));
    mp_assert_ok(mp_joinable_queue_join(q, 0));
    mp_assert_code(mp_joinable_queue_task_done(q), MP_EVALUE);
    mp_assert_ok(mp_queue_free(q));
}

static void *
join_it(void *queue)
{
    return (void *)(intptr_t)mp_joinable_queue_join(queue, 20);
}

/* What is dropped is done; what was handed out before is not. */
static void
test_joinable_queue_shutdown_immediate_counts_the_dropped_as_done(void **state)
{
    (void)state;
    mp_queue *q = made(mp_joinable_queue_new(0));
    for (int i = 0; i < 10; i++) {
        mp_assert_ok(mp_queue_put(q, i, 0));
    }
    assert_next(q, 0);
    assert_next(q, 1);
    mp_assert_ok(mp_joinable_queue_task_done(q));
    mp_assert_ok(mp_queue_shutdown(q, true));
    mp_assert_code(mp_joinable_queue_join(q, 0.02), MP_ETIMEOUT);
    mp_assert_ok(mp_joinable_queue_task_done(q));
    mp_assert_ok(mp_joinable_queue_join(q, 0));
    mp_assert_code(mp_joinable_queue_task_done(q), MP_EVALUE);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_joinable_queue_shutdown_immediate_wakes_joiners(void **state)
{
    (void)state;
    mp_queue *q = made(mp_joinable_queue_new(0));
    pthread_t t;
    void *status;
    mp_assert_ok(mp_queue_put(q, 1, 0));
    assert_int_equal(pthread_create(&t, NULL, join_it, q), 0);
    wait_for_sleepers(q, 1);
    double since = mp_test_now();
    mp_assert_ok(mp_queue_shutdown(q, true));
    pthread_join(t, &status);
    took(since, 0, STALL);
    mp_assert_ok((int)(intptr_t)status);
    mp_assert_ok(mp_queue_free(q));
}

static int
put_until_shutdown(const mp_args *args)
{
    mp_queue *q;
    void *note;
    unsigned me;
    mp_args_get(args, &q, &note, &me);
    struct note *n = note;
    atomic_fetch_add(&n->ready, 1);
    for (;;) {
        int status = mp_queue_put(q, "task", MP_FOREVER);
        if (status == MP_ESHUTDOWN) {
            return 0;
        }
        mp_child_ok(status);
        atomic_fetch_add(&n->number[me], 1);
    }
}

static int
do_until_shutdown(const mp_args *args)
{
    mp_queue *q;
    void *note;
    unsigned me;
    mp_args_get(args, &q, &note, &me);
    struct note *n = note;
    atomic_fetch_add(&n->ready, 1);
    for (;;) {
        mp_obj o;
        int status = mp_queue_get(q, &o, MP_FOREVER);
        if (status == MP_ESHUTDOWN) {
            return 0;
        }
        mp_child_ok(status);
        mp_obj_free(o);
        atomic_fetch_add(&n->number[me], 1);
        mp_child_ok(mp_joinable_queue_task_done(q));
    }
}

/* No limit, but for putters that nobody stops: the machine may let us wait for long. */
#define NEVER_FULL 1000000

/* In the middle of traffic: all that was put was got, or dropped; and the count says so. */
static void
test_joinable_queue_shutdown_amid_traffic_adds_up(void **state)
{
    (void)state;
    for (int round = 0; round < 8; round++) {
        mp_queue *q = made(mp_joinable_queue_new(round % 4 == 3 ? 5 : NEVER_FULL));
        struct note *n = note_new();
        mp_process *p[4];
        for (unsigned i = 0; i < 4; i++) {
            p[i] = start(i < 2 ? put_until_shutdown : do_until_shutdown, mp_args(q, (void *)n, i));
        }
        wait_for(&n->ready, 4);
        for (int i = 0; i < 10; i++) {
            nap();
        }
        mp_assert_ok(mp_queue_shutdown(q, round & 1));
        for (int i = 0; i < 4; i++) {
            assert_int_equal(finish(p[i]), 0);
        }
        mp_assert_ok(mp_joinable_queue_join(q, 0));
        mp_assert_code(mp_joinable_queue_task_done(q), MP_EVALUE);
        assert_int_equal(mp_queue_qsize(q), 0);
        long put = n->number[0] + n->number[1], got = n->number[2] + n->number[3];
        assert_true(round & 1 ? got <= put : got == put);
        mp_free(n);
        mp_assert_ok(mp_queue_free(q));
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_queue_shutdown_lets_getters_drain),
    cmocka_unit_test(test_queue_shutdown_immediate_drops_what_is_there),
    cmocka_unit_test(test_queue_shutdown_wakes_putters_and_getters),
    cmocka_unit_test(test_queue_shutdown_leaves_what_is_reserved_to_be_cancelled),
    cmocka_unit_test(test_queue_shutdown_takes_back_what_is_lent_unless_it_is_immediate),
    cmocka_unit_test(test_joinable_queue_shutdown_keeps_the_count),
    cmocka_unit_test(test_joinable_queue_shutdown_immediate_counts_the_dropped_as_done),
    cmocka_unit_test(test_joinable_queue_shutdown_immediate_wakes_joiners),
    cmocka_unit_test(test_joinable_queue_shutdown_amid_traffic_adds_up),
};
MP_TEST_MAIN(tests)
