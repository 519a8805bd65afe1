/* test_simple_queue.c: SimpleQueue: no limit, no time-outs, errors of its own when closed. */
#include "helpers/queue.h"

static int
echo_until_none(const mp_args *args)
{
    mp_queue *in, *out;
    mp_args_get(args, &in, &out);
    for (;;) {
        mp_obj o;
        mp_child_ok(mp_simple_queue_get(in, &o));
        bool last = mp_is_none(o);
        mp_child_ok(mp_simple_queue_put(out, o));
        if (last) {
            return 0;
        }
    }
}

static void
test_simple_queue_objects_go_there_and_back(void **state)
{
    (void)state;
    mp_queue *in = made(mp_simple_queue_new()), *out = made(mp_simple_queue_new());
    mp_process *p = start(echo_until_none, mp_args(in, out));
    mp_obj o;
    assert_int_equal(mp_simple_queue_empty(out), 1);
    for (int i = 0; i < 200; i++) {
        mp_assert_ok(mp_simple_queue_put(in, i));
        mp_assert_ok(mp_simple_queue_get(out, &o));
        assert_int_equal(mp_as_int(o), i);
    }
    mp_assert_ok(mp_simple_queue_put(in, mp_list(1, "two", mp_none())));
    mp_assert_ok(mp_simple_queue_put(in, mp_none()));
    mp_assert_ok(mp_simple_queue_get(out, &o));
    assert_int_equal(mp_obj_len(o), 3);
    mp_obj_free(o);
    assert_int_equal(finish(p), 0);
    assert_int_equal(mp_simple_queue_empty(out), 0);
    mp_assert_ok(mp_simple_queue_get(out, &o));
    assert_true(mp_is_none(o));
    assert_int_equal(mp_simple_queue_empty(out), 1);
    mp_assert_ok(mp_queue_free(in));
    mp_assert_ok(mp_queue_free(out));
}

/* Python's would block when its pipe of 64 KiB is full. */
static void
test_simple_queue_put_never_waits_for_a_reader(void **state)
{
    (void)state;
    mp_queue *q = made(mp_simple_queue_new());
    static const char data[100000];
    for (int i = 0; i < 100; i++) {
        mp_assert_ok(mp_simple_queue_put(q, mp_bytes(data, sizeof data)));
    }
    assert_int_equal(mp_queue_qsize(q), 100);
    assert_int_equal(mp_queue_full(q), 0);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_simple_queue_closed_refuses_with_oserror(void **state)
{
    (void)state;
    mp_queue *q = made(mp_simple_queue_new());
    mp_obj o;
    mp_assert_ok(mp_simple_queue_close(q));
    mp_assert_ok(mp_simple_queue_close(q)); /* twice is fine */
    mp_assert_code(mp_simple_queue_put(q, 1), MP_ECLOSED);
    assert_text("closed");
    mp_assert_code(mp_simple_queue_get(q, &o), MP_ECLOSED);
    assert_true(mp_is_none(o));
    mp_assert_code(mp_simple_queue_empty(q), MP_ECLOSED); /* never used, all the same */
    mp_assert_code(mp_queue_empty(q), MP_ECLOSED);
    assert_string_equal(mp_err_name(MP_ECLOSED), "OSError");
    mp_assert_ok(mp_queue_free(q));
}

static void
test_simple_queue_not_a_live_one_is_refused(void **state)
{
    (void)state;
    mp_obj o;
    mp_queue *q = made(mp_context_simple_queue(mp_get_context("spawn")));
    mp_assert_ok(mp_simple_queue_put(q, 5));
    assert_next(q, 5);
    mp_assert_ok(mp_queue_free(q));
    mp_assert_code(mp_simple_queue_put(q, mp_list(1)), MP_EVALUE);
    mp_assert_code(mp_simple_queue_get(q, &o), MP_EVALUE);
    mp_assert_code(mp_simple_queue_empty(NULL), MP_EVALUE);
    mp_assert_code(mp_simple_queue_close(NULL), MP_EVALUE);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_simple_queue_objects_go_there_and_back),
    cmocka_unit_test(test_simple_queue_put_never_waits_for_a_reader),
    cmocka_unit_test(test_simple_queue_closed_refuses_with_oserror),
    cmocka_unit_test(test_simple_queue_not_a_live_one_is_refused),
};
MP_TEST_MAIN(tests)
