/* test_queue_batch.c: put_many and get_many, of objects and of bytes. */
#include "helpers/queue.h"

static void
test_queue_batch_of_objects_keeps_its_order(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    mp_obj items[300], got[300];
    size_t n = 0, all = 0;
    static const char big[100000];
    for (int i = 0; i < 300; i++) {
        items[i] = i == 150 ? mp_list(i, mp_bytes(big, sizeof big)) : mp_list(i, "item");
    }
    mp_assert_ok(mp_queue_put_many(q, 300, items, &n, 0));
    assert_int_equal(n, 300);
    assert_int_equal(mp_queue_qsize(q), 300);
    while (all < 300) {
        mp_assert_ok(mp_queue_get_many(q, 300 - all, got + all, &n, 0));
        assert_true(n >= 1);
        all += n;
    }
    for (int i = 0; i < 300; i++) {
        assert_int_equal(mp_as_int(mp_list_get(got[i], 0)), i);
        mp_obj_free(got[i]);
    }
    mp_assert_code(mp_queue_get_many(q, 1, got, &n, 0), MP_EEMPTY);
    assert_int_equal(n, 0);
    mp_assert_ok(mp_queue_put_many(q, 0, NULL, &n, 0));
    assert_int_equal(n, 0);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_batch_takes_no_more_than_asked(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    mp_obj got[10];
    size_t n;
    for (int i = 0; i < 10; i++) {
        mp_assert_ok(mp_queue_put(q, i, 0));
    }
    mp_assert_ok(mp_queue_put_bytes(q, "bytes come too", 14, 0));
    mp_assert_ok(mp_queue_get_many(q, 3, got, &n, 5));
    assert_int_equal(n, 3);
    assert_int_equal(mp_as_int(got[2]), 2);
    mp_assert_ok(mp_queue_get_many(q, 10, got, &n, 5));
    assert_int_equal(n, 8);
    assert_int_equal(mp_obj_kind(got[7]), MP_KIND_BYTES);
    mp_obj_free(got[7]);
    double t = mp_test_now();
    mp_assert_code(mp_queue_get_many(q, 10, got, &n, 0.05), MP_EEMPTY);
    took(t, 0.05, 0.05 + STALL);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_batch_that_finds_no_room_says_how_far_it_came(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(5));
    mp_obj items[8];
    size_t n = 0;
    for (int i = 0; i < 8; i++) {
        items[i] = mp_from_int(i);
    }
    mp_assert_code(mp_queue_put_many(q, 8, items, &n, 0.02), MP_EFULL);
    assert_int_equal(n, 5);
    for (int i = 0; i < 5; i++) {
        assert_next(q, i);
    }
    static const size_t lens[] = {1, 2, 0, 3, 1, 4, 1};
    mp_assert_code(mp_queue_put_many_bytes(q, "abbdddefffff", lens, 7, &n, 0), MP_EFULL);
    assert_int_equal(n, 5);
    char buf[20];
    size_t got[8] = {0};
    mp_assert_ok(mp_queue_get_many_bytes(q, buf, sizeof buf, got, 8, &n, 0));
    assert_int_equal(n, 5);
    assert_memory_equal(got, lens, 5 * sizeof *lens);
    assert_memory_equal(buf, "abbddde", 7);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_batch_one_that_cannot_be_encoded_puts_none(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    mp_obj items[] = {mp_from_int(1), mp_list(2, mp_from_uint(UINT64_MAX)), mp_list(3)};
    size_t n = 9;
    mp_assert_code(mp_queue_put_many(q, 3, items, &n, 0), MP_EOVERFLOW);
    assert_int_equal(n, 0);
    assert_int_equal(mp_queue_qsize(q), 0);
    mp_assert_ok(mp_queue_free(q));
}

/* What a dead object leaves in the queue cannot be decoded; those around it can. */
static void
test_queue_batch_one_that_cannot_be_decoded_stands_as_an_error(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    mp_lock *lock = mp_lock_new();
    mp_obj got[3];
    size_t n;
    mp_assert_ok(mp_queue_put(q, 1, 0));
    mp_assert_ok(mp_queue_put(q, lock, 0));
    mp_assert_ok(mp_queue_put(q, 3, 0));
    mp_assert_ok(mp_lock_free(lock));
    mp_assert_ok(mp_queue_get_many(q, 3, got, &n, 0));
    assert_int_equal(n, 3);
    assert_int_equal(mp_as_int(got[0]) + mp_as_int(got[2]), 4);
    assert_int_equal(mp_obj_kind(got[1]), MP_KIND_ERROR);
    assert_int_equal(mp_error_code(got[1]), MP_EVALUE);
    mp_obj_free(got[1]);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_batch_of_bytes_stops_where_the_buffer_ends(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    char buf[10];
    size_t lens[4], n;
    mp_assert_ok(mp_queue_put_bytes(q, "1234", 4, 0));
    mp_assert_ok(mp_queue_put_bytes(q, "567890", 6, 0));
    mp_assert_ok(mp_queue_put_bytes(q, "a", 1, 0));
    mp_assert_ok(mp_queue_put(q, "object", 0));
    mp_assert_code(mp_queue_get_many_bytes(q, buf, 3, lens, 4, &n, 0), MP_EBUFFERTOOSHORT);
    assert_int_equal(n, 0);
    assert_int_equal(lens[0], 4);
    mp_assert_ok(mp_queue_get_many_bytes(q, buf, sizeof buf, lens, 4, &n, 0));
    assert_int_equal(n, 2);
    assert_memory_equal(buf, "1234567890", 10);
    mp_assert_ok(mp_queue_get_many_bytes(q, buf, sizeof buf, lens, 4, &n, 0));
    assert_int_equal(n, 1); /* the object stays */
    mp_assert_code(mp_queue_get_many_bytes(q, buf, sizeof buf, lens, 4, &n, 0), MP_ETYPE);
    assert_int_equal(n, 0);
    assert_int_equal(mp_queue_qsize(q), 1);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_batch_bad_arguments_change_nothing(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    mp_obj o;
    size_t n, len = 1;
    char c;
    mp_assert_code(mp_queue_put_many(q, 1, NULL, &n, 0), MP_EVALUE);
    mp_assert_code(mp_queue_put_many_bytes(q, "x", NULL, 1, &n, 0), MP_EVALUE);
    mp_assert_code(mp_queue_put_many_bytes(q, NULL, &len, 1, &n, 0), MP_EVALUE);
    mp_assert_code(mp_queue_get_many(q, 1, NULL, &n, 0), MP_EVALUE);
    mp_assert_code(mp_queue_get_many(q, 0, &o, &n, 0), MP_EVALUE);
    mp_assert_code(mp_queue_get_many(q, 1, &o, NULL, 0), MP_EVALUE);
    mp_assert_code(mp_queue_get_many_bytes(q, &c, 1, NULL, 1, &n, 0), MP_EVALUE);
    mp_assert_code(mp_queue_get_many_bytes(q, NULL, 1, &len, 1, &n, 0), MP_EVALUE);
    mp_assert_code(mp_queue_get_many_bytes(q, &c, 1, &len, 0, &n, 0), MP_EVALUE);
    mp_assert_code(mp_queue_get_many(NULL, 1, &o, &n, 0), MP_EVALUE);
    mp_obj item = mp_list(1);
    mp_assert_code(mp_queue_put_many(NULL, 1, &item, NULL, 0), MP_EVALUE); /* consumed */
    assert_int_equal(mp_queue_qsize(q), 0);
    mp_assert_ok(mp_queue_free(q));
}

/* ---- many to many ---------------------------------------------------------------------------- */

enum { SIDES = 3, EACH = 30000, MOST = 200 };

struct numbered {
    uint32_t producer, number;
};

static int
put_batches(const mp_args *args)
{
    mp_queue *q;
    unsigned me;
    mp_args_get(args, &q, &me);
    uint32_t number = 0;
    for (size_t size = 1; number < EACH; size = size * 7 % (MOST - 1) + 1) {
        struct numbered batch[MOST];
        size_t lens[MOST], n = 0;
        for (; n < size && number < EACH; n++) {
            batch[n] = (struct numbered){me, number++};
            lens[n] = sizeof *batch;
        }
        mp_child_ok(mp_queue_put_many_bytes(q, batch, lens, n, NULL, 30));
    }
    return 0;
}

static int
get_batches(const mp_args *args)
{
    mp_queue *q;
    void *seen;
    mp_args_get(args, &q, &seen);
    int64_t last[SIDES] = {-1, -1, -1};
    for (;;) {
        struct numbered batch[MOST];
        size_t lens[MOST], n = 0;
        int status = mp_queue_get_many_bytes(q, batch, sizeof batch, lens, MOST, &n, 30);
        if (status == MP_ESHUTDOWN) {
            return 0;
        }
        mp_child_ok(status);
        mp_child_check(n >= 1 && n <= MOST);
        for (size_t i = 0; i < n; i++) {
            mp_child_check(lens[i] == sizeof *batch && batch[i].producer < SIDES);
            mp_child_check((int64_t)batch[i].number > last[batch[i].producer]);
            last[batch[i].producer] = batch[i].number;
            size_t at = batch[i].producer * (size_t)EACH + batch[i].number;
            __atomic_fetch_add((unsigned char *)seen + at, 1, __ATOMIC_RELAXED);
        }
    }
}

static void
batches_many_to_many(int64_t maxsize)
{
    mp_queue *q = made(mp_queue_new(maxsize));
    unsigned char *seen = mp_calloc(SIDES, EACH);
    mp_process *put[SIDES], *get[SIDES];
    for (unsigned i = 0; i < SIDES; i++) {
        get[i] = start(get_batches, mp_args(q, (void *)seen));
        put[i] = start(put_batches, mp_args(q, i));
    }
    for (int i = 0; i < SIDES; i++) {
        assert_int_equal(finish(put[i]), 0);
    }
    mp_assert_ok(mp_queue_shutdown(q, false));
    for (int i = 0; i < SIDES; i++) {
        assert_int_equal(finish(get[i]), 0);
    }
    for (size_t i = 0; i < (size_t)SIDES * EACH; i++) {
        assert_int_equal(seen[i], 1);
    }
    mp_free(seen);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_batches_from_many_to_many_arrive_once_in_order(void **state)
{
    (void)state;
    batches_many_to_many(0);
    batches_many_to_many(50);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_queue_batch_of_objects_keeps_its_order),
    cmocka_unit_test(test_queue_batch_takes_no_more_than_asked),
    cmocka_unit_test(test_queue_batch_that_finds_no_room_says_how_far_it_came),
    cmocka_unit_test(test_queue_batch_one_that_cannot_be_encoded_puts_none),
    cmocka_unit_test(test_queue_batch_one_that_cannot_be_decoded_stands_as_an_error),
    cmocka_unit_test(test_queue_batch_of_bytes_stops_where_the_buffer_ends),
    cmocka_unit_test(test_queue_batch_bad_arguments_change_nothing),
    cmocka_unit_test(test_queue_batches_from_many_to_many_arrive_once_in_order),
};
MP_TEST_MAIN(tests)
