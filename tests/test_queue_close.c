/*
 * test_queue_close.c: close, join_thread and cancel_join_thread, the hook for what cannot be
 * encoded, options, and where a queue may lie.  Numbers are those of the behaviours that CPython's
 * own tests pin down.
 */
#include "helpers/queue.h"

/* ---- close ----------------------------------------------------------------------------------- */

/* 47 */
static void
test_queue_closed_put_and_get_are_valueerrors(void **state)
{
    (void)state;
    mp_queue *kinds[] = {made(mp_queue_new(0)), made(mp_joinable_queue_new(0))};
    for (int i = 0; i < 2; i++) {
        mp_queue *q = kinds[i];
        mp_obj o;
        const void *data;
        size_t len;
        mp_assert_ok(mp_queue_put(q, 1, 0));
        mp_assert_ok(mp_queue_close(q));
        mp_assert_ok(mp_queue_close(q)); /* once more */
        mp_assert_code(mp_queue_put(q, 2, 0), MP_EVALUE);
        assert_text("closed");
        mp_assert_code(mp_queue_get(q, &o, 0), MP_EVALUE);
        assert_text("closed");
        mp_assert_code(mp_queue_put_nowait(q, mp_list(1, 2)), MP_EVALUE);
        mp_assert_code(mp_queue_get_nowait(q, &o), MP_EVALUE);
        mp_assert_code(mp_queue_put_bytes(q, "x", 1, 0), MP_EVALUE);
        mp_assert_code(mp_queue_get_bytes(q, &o, sizeof o, &len, 0), MP_EVALUE);
        mp_assert_code(mp_queue_peek_bytes(q, &data, &len, 0), MP_EVALUE);
        assert_null(mp_queue_reserve(q, 8));
        mp_assert_code(mp_queue_fileno(q), MP_EVALUE);
        assert_int_equal(mp_queue_qsize(q), 1); /* usable after close */
        assert_int_equal(mp_queue_full(q), 0);
        mp_assert_ok(mp_queue_free(q));
    }
}

/* 48 */
static void
test_queue_closed_empty_tells_one_that_was_used(void **state)
{
    (void)state;
    mp_queue *fresh = made(mp_queue_new(0)), *used = made(mp_queue_new(0));
    mp_obj o;
    mp_assert_ok(mp_queue_close(fresh));
    mp_assert_ok(mp_queue_join_thread(fresh));
    assert_int_equal(mp_queue_empty(fresh), 1);
    mp_assert_ok(mp_queue_put(used, "foo", 0));
    mp_assert_ok(mp_queue_get(used, &o, 0));
    mp_obj_free(o);
    mp_assert_ok(mp_queue_close(used));
    mp_assert_ok(mp_queue_join_thread(used));
    mp_assert_code(mp_queue_empty(used), MP_ECLOSED);
    assert_text("closed");
    mp_assert_ok(mp_queue_free(fresh));
    mp_assert_ok(mp_queue_free(used));
}

/* 49 */
static void
test_queue_join_thread_has_nothing_to_wait_for(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    static const char data[1 << 20];
    mp_assert_code(mp_queue_join_thread(q), MP_ESTATE);
    assert_text("mp_queue_close");
    for (int i = 0; i < 20; i++) {
        mp_assert_ok(mp_queue_put_bytes(q, data, sizeof data, 0)); /* nobody reads */
    }
    mp_assert_ok(mp_queue_cancel_join_thread(q));
    mp_assert_ok(mp_queue_close(q));
    double t = mp_test_now();
    mp_assert_ok(mp_queue_join_thread(q));
    mp_assert_ok(mp_queue_join_thread(q));
    took(t, 0, STALL);
    mp_assert_ok(mp_queue_free(q));
    mp_assert_code(mp_queue_close(q), MP_EVALUE);
    mp_assert_code(mp_queue_join_thread(NULL), MP_EVALUE);
    mp_assert_code(mp_queue_cancel_join_thread(NULL), MP_EVALUE);
}

static int
close_and_tell(const mp_args *args)
{
    mp_queue *q;
    mp_args_get(args, &q);
    mp_child_ok(mp_queue_put(q, "before", 5));
    mp_child_ok(mp_queue_close(q));
    mp_child_code(mp_queue_put(q, "after", 5), MP_EVALUE);
    return 0; /* a message that nobody reads keeps nobody */
}

static void
test_queue_closed_in_one_process_is_open_in_others(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    mp_obj o;
    assert_int_equal(finish(start(close_and_tell, mp_args(q))), 0);
    mp_assert_ok(mp_queue_put(q, 2, 0));
    mp_assert_ok(mp_queue_get(q, &o, 0));
    assert_string_equal(mp_as_str(o), "before");
    mp_obj_free(o);
    assert_next(q, 2);
    mp_assert_ok(mp_queue_free(q));
}

static int
free_them(const mp_args *args)
{
    void *queues;
    mp_args_get(args, &queues);
    for (mp_queue **q = queues; *q; q++) {
        mp_child_ok(mp_queue_free(*q));
    }
    return 0;
}

/* Another process freed those that were closed here; new ones lie in their places. */
static void
test_queue_new_one_in_the_place_of_a_closed_one_is_open(void **state)
{
    (void)state;
    enum { COUNT = 20 };
    mp_queue **queues = mp_calloc(COUNT + 1, sizeof *queues);
    for (int i = 0; i < COUNT; i++) {
        queues[i] = made(mp_queue_new(0));
        mp_assert_ok(mp_queue_close(queues[i]));
    }
    assert_int_equal(finish(start(free_them, mp_args((void *)queues))), 0);
    mp_queue *fresh[COUNT];
    bool same = false;
    for (int i = 0; i < COUNT; i++) {
        fresh[i] = made(mp_queue_new(0));
        mp_assert_ok(mp_queue_put(fresh[i], i, 0));
        for (int k = 0; k < COUNT; k++) {
            same = same || fresh[i] == queues[k];
        }
    }
    assert_true(same); /* or this test shows nothing */
    for (int i = 0; i < COUNT; i++) {
        mp_assert_ok(mp_queue_free(fresh[i]));
    }
    mp_free(queues);
}

/* ---- what cannot be encoded ------------------------------------------------------------------ */

struct told {
    int count, code;
    mp_queue *queue;
    enum mp_kind kind;
    char text[200];
};

static void
note_error(void *ctx, mp_queue *q, mp_obj item, int code, const char *text)
{
    struct told *t = ctx;
    t->count++;
    t->code = code;
    t->queue = q;
    t->kind = mp_obj_kind(item);
    snprintf(t->text, sizeof t->text, "%s", text);
    mp_queue_qsize(NULL); /* its errors are its own */
}

/* 46 */
static void
test_queue_unserialisable_item_is_dropped_and_its_slot_is_free(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(1));
    mp_connection *a, *b;
    struct told told = {0};
    mp_assert_ok(mp_pipe(&a, &b, true));
    mp_assert_code(mp_queue_put(q, a, 0), MP_ERUNTIME); /* no hook: only the status */
    mp_assert_ok(mp_queue_set_error_hook(note_error, &told));
    mp_assert_code(mp_queue_put(q, mp_list(1, a), 0), MP_ERUNTIME);
    assert_int_equal(mp_last_error(), MP_ERUNTIME); /* not the hook's */
    assert_string_equal(mp_last_error_text(), told.text);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.code, MP_ERUNTIME);
    assert_int_equal(told.kind, MP_KIND_LIST);
    assert_ptr_equal(told.queue, q);
    mp_assert_ok(mp_queue_put(q, "the next", 0));
    mp_assert_code(mp_queue_put(q, 3, 0), MP_EFULL); /* full is no such error */
    assert_int_equal(told.count, 1);
    mp_assert_ok(mp_queue_set_error_hook(NULL, NULL));
    mp_assert_ok(mp_connection_free(a));
    mp_assert_ok(mp_connection_free(b));
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_connection_is_refused_and_queue_unchanged(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    mp_connection *a, *b;
    mp_assert_ok(mp_pipe(&a, &b, true));
    mp_assert_code(mp_queue_put(q, a, 0), MP_ERUNTIME);
    mp_assert_code(mp_queue_put(q, mp_list(1, mp_dict("c", b)), 0), MP_ERUNTIME);
    assert_int_equal(mp_queue_qsize(q), 0);
    mp_assert_ok(mp_queue_put(q, 5, 0));
    assert_int_equal(mp_queue_qsize(q), 1);
    assert_false(mp_connection_closed(a));
    mp_assert_ok(mp_connection_free(a));
    mp_assert_ok(mp_connection_free(b));
    mp_assert_ok(mp_queue_free(q));
}

/* ---- options --------------------------------------------------------------------------------- */

static void
test_queue_max_bytes_limits_what_is_in_it(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new_with(0, &(mp_queue_options){.max_bytes = 1000}));
    char data[1000] = {0};
    size_t len;
    for (int round = 0; round < 300; round++) {
        mp_assert_ok(mp_queue_put_bytes(q, data, 400, 0));
        mp_assert_ok(mp_queue_put_bytes(q, data, 400, 0));
        assert_int_equal(mp_queue_full(q), 0);
        mp_assert_code(mp_queue_put_bytes(q, data, 201, 0), MP_EFULL);
        mp_assert_ok(mp_queue_put_bytes(q, data, 200, 0));
        assert_int_equal(mp_queue_full(q), 1);
        mp_assert_code(mp_queue_put_bytes(q, data, 1, 0.001), MP_EFULL);
        for (int i = 0; i < 3; i++) {
            mp_assert_ok(mp_queue_get_bytes(q, data, sizeof data, &len, 0));
        }
        mp_assert_code(mp_queue_put_bytes(q, data, 1001, 0), MP_EVALUE);
        mp_assert_ok(mp_queue_put_bytes(q, data, 1000, 0));
        mp_assert_ok(mp_queue_get_bytes(q, data, sizeof data, &len, 0));
    }
    mp_assert_ok(mp_queue_free(q));
}

static int
take_one(const mp_args *args)
{
    mp_queue *q;
    mp_args_get(args, &q);
    char data[1000];
    size_t len;
    wait_for_sleepers(q, 1); /* who puts has found no room */
    mp_child_ok(mp_queue_get_bytes(q, data, sizeof data, &len, 5));
    return 0;
}

static void
test_queue_max_bytes_put_waits_for_room(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new_with(5, &(mp_queue_options){.max_bytes = 1000}));
    static const char data[900];
    mp_assert_ok(mp_queue_put_bytes(q, data, 900, 0));
    mp_process *p = start(take_one, mp_args(q));
    mp_assert_ok(mp_queue_put_bytes(q, data, 900, 20));
    assert_int_equal(finish(p), 0);
    for (int i = 0; i < 4; i++) {
        mp_assert_ok(mp_queue_put_bytes(q, data, 1, 0));
    }
    mp_assert_code(mp_queue_put_bytes(q, data, 1, 0), MP_EFULL); /* maxsize counts as well */
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_options_that_cannot_be_are_refused(void **state)
{
    (void)state;
    assert_null(mp_queue_new_with(268435455, NULL));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    assert_null(mp_queue_new_with(0, &(mp_queue_options){.reserved = {0, 0, 1}}));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    assert_null(mp_queue_new_with(0, &(mp_queue_options){.max_bytes = 10, .element_size = 11}));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    mp_queue *q = made(mp_queue_new_with(1, NULL)), *c = made(mp_context_queue(NULL, 1));
    mp_assert_ok(mp_queue_put(q, 1, 0));
    mp_assert_ok(mp_queue_put(c, 1, 0));
    assert_int_equal(mp_queue_full(q) + mp_queue_full(c), 2);
    mp_assert_ok(mp_queue_free(q));
    mp_assert_ok(mp_queue_free(c));
}

/* ---- freed too soon -------------------------------------------------------------------------- */

static int
wait_in(const mp_args *args)
{
    mp_queue *q;
    int how;
    mp_obj o;
    static const char big[9000];
    const void *data;
    void *loan;
    size_t n;
    mp_args_get(args, &q, &how);
    switch (how) {
    case 0:
        mp_child_code(mp_queue_get(q, &o, MP_FOREVER), MP_EVALUE);
        break;
    case 1:
        mp_child_code(mp_queue_put(q, "no room", MP_FOREVER), MP_EVALUE);
        break;
    case 2:
        mp_child_code(mp_joinable_queue_join(q, MP_FOREVER), MP_EVALUE);
        break;
    case 3:
        mp_child_code(mp_queue_get_many(q, 1, &o, &n, MP_FOREVER), MP_EVALUE);
        break;
    case 4:
        mp_child_code(mp_queue_peek_bytes(q, &data, &n, MP_FOREVER), MP_EVALUE);
        break;
    case 5:
        mp_child_code(mp_queue_put_bytes(q, big, sizeof big, MP_FOREVER), MP_EVALUE);
        break;
    case 6:
        loan = mp_queue_reserve(q, sizeof big);
        mp_child_check(loan);
        mp_child_code(mp_queue_commit(q, loan, sizeof big, MP_FOREVER), MP_EVALUE);
        break;
    default:
        mp_child_check(false);
    }
    mp_child_check(strstr(mp_last_error_text(), "freed"));
    return 0;
}

/* A mistake of who frees it; those who wait are told, and nobody else's memory suffers. */
static void
test_queue_freed_while_others_wait_they_leave(void **state)
{
    (void)state;
    enum { WAYS = 7, BLOCKS = 300 };
    for (int how = 0; how < WAYS; how++) {
        bool full = how == 1 || how == 5 || how == 6;
        mp_queue *q = made(how == 2 ? mp_joinable_queue_new(0) : mp_queue_new(full));
        unsigned char *block[BLOCKS];
        if (full || how == 2) {
            mp_assert_ok(mp_queue_put(q, 1, 0));
        }
        mp_process *p = start(wait_in, mp_args(q, how)), *r = start(wait_in, mp_args(q, how));
        wait_for_sleepers(q, 2);
        mp_assert_ok(mp_queue_free(q));
        for (size_t i = 0; i < BLOCKS; i++) {
            block[i] = mp_malloc(200 + i * 40);
            memset(block[i], 0x33, 200 + i * 40);
        }
        assert_int_equal(finish(p), 0);
        assert_int_equal(finish(r), 0);
        for (size_t i = 0; i < BLOCKS; i++) {
            for (size_t k = 0; k < 200 + i * 40; k++) {
                assert_int_equal(block[i][k], 0x33);
            }
            mp_free(block[i]);
        }
    }
}

/* ---- where a queue may lie ------------------------------------------------------------------- */

struct office {
    mp_queue *in, *out[3];
};

static int
clerk(const mp_args *args)
{
    mp_queue *way;
    mp_obj o;
    mp_args_get(args, &way);
    mp_child_ok(mp_queue_get(way, &o, 20)); /* a queue in a queue */
    mp_queue *in = mp_as_handle(mp_list_get(o, 0), MP_HANDLE_QUEUE);
    struct office *office = mp_as_handle(mp_list_get(o, 1), MP_HANDLE_POINTER);
    mp_child_check(in && office && office->in == in);
    mp_obj_free(o);
    for (int i = 0; i < 3; i++) {
        mp_child_ok(mp_queue_get(in, &o, 20));
        mp_child_ok(mp_queue_put(office->out[i], o, 20)); /* in an array in a struct */
    }
    return 0;
}

static void
test_queue_lies_in_a_queue_in_a_struct_in_an_array(void **state)
{
    (void)state;
    struct office *office = mp_calloc(1, sizeof *office);
    mp_queue *way = made(mp_queue_new(0));
    office->in = made(mp_queue_new(0));
    for (int i = 0; i < 3; i++) {
        office->out[i] = made(mp_queue_new(0));
        mp_assert_ok(mp_queue_put(office->in, i * 11, 0));
    }
    mp_process *p = start(clerk, mp_args(way));
    mp_assert_ok(mp_queue_put(way, mp_list(office->in, (void *)office), 0));
    assert_int_equal(finish(p), 0);
    for (int i = 0; i < 3; i++) {
        assert_next(office->out[i], i * 11);
        mp_assert_ok(mp_queue_free(office->out[i]));
    }
    mp_assert_ok(mp_queue_free(office->in));
    mp_assert_ok(mp_queue_free(way));
    mp_free(office);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_queue_closed_put_and_get_are_valueerrors),
    cmocka_unit_test(test_queue_closed_empty_tells_one_that_was_used),
    cmocka_unit_test(test_queue_join_thread_has_nothing_to_wait_for),
    cmocka_unit_test(test_queue_closed_in_one_process_is_open_in_others),
    cmocka_unit_test(test_queue_new_one_in_the_place_of_a_closed_one_is_open),
    cmocka_unit_test(test_queue_unserialisable_item_is_dropped_and_its_slot_is_free),
    cmocka_unit_test(test_queue_connection_is_refused_and_queue_unchanged),
    cmocka_unit_test(test_queue_max_bytes_limits_what_is_in_it),
    cmocka_unit_test(test_queue_max_bytes_put_waits_for_room),
    cmocka_unit_test(test_queue_options_that_cannot_be_are_refused),
    cmocka_unit_test(test_queue_freed_while_others_wait_they_leave),
    cmocka_unit_test(test_queue_lies_in_a_queue_in_a_struct_in_an_array),
};
MP_TEST_MAIN(tests)
