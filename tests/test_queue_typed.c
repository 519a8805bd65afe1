/* test_queue_typed.c: queues of C structs: MP_QUEUE_OF, and what an element size refuses. */
#include "helpers/queue.h"

struct point {
    double x, y;
    int label;
};
MP_QUEUE_OF(points, struct point);
MP_QUEUE_OF(numbers, uint64_t);
MP_QUEUE_OF(handles, mp_queue *);

struct picture {
    unsigned char pixel[200][300];
};
MP_QUEUE_OF(pictures, struct picture);

static int
mirror(const mp_args *args)
{
    mp_queue *a, *b;
    mp_args_get(args, &a, &b);
    points *in = points_from(a), *out = points_from(b);
    mp_child_check(in && out);
    mp_child_check(!numbers_from(a) && mp_last_error() == MP_ETYPE);
    struct point p;
    do {
        mp_child_ok(points_get(in, &p, 20));
        double x = p.x;
        p.x = p.y;
        p.y = x;
        mp_child_ok(points_put(out, &p, 20));
    } while (p.label >= 0);
    return 0;
}

static void
test_queue_typed_structs_go_there_and_back(void **state)
{
    (void)state;
    points *in = points_new(0), *out = points_new(10);
    assert_true(in && out);
    mp_process *child = start(mirror, mp_args(points_queue(in), points_queue(out)));
    for (int i = 0; i < 100; i++) {
        struct point p = {i, -i, i < 99 ? i : -1}, got = {0};
        mp_assert_ok(points_put(in, &p, MP_FOREVER));
        mp_assert_ok(points_get(out, &got, 20));
        assert_true(got.x == p.y && got.y == p.x && got.label == p.label);
    }
    assert_int_equal(finish(child), 0);
    struct point p;
    mp_assert_code(points_get(out, &p, 0), MP_EEMPTY);
    mp_assert_ok(points_free(in));
    mp_assert_ok(points_free(out));
}

static void
test_queue_typed_batches_and_loans(void **state)
{
    (void)state;
    numbers *q = numbers_new(0);
    uint64_t many[500], back[500] = {0};
    size_t n = 0;
    for (uint64_t i = 0; i < 500; i++) {
        many[i] = i * i;
    }
    mp_assert_ok(numbers_put_many(q, many, 500, &n, 0));
    assert_int_equal(n, 500);
    size_t got = 0;
    while (got < 500) {
        mp_assert_ok(numbers_get_many(q, back + got, 500 - got, &n, 0));
        assert_true(n > 0);
        got += n;
    }
    assert_memory_equal(many, back, sizeof many);
    pictures *album = pictures_new(0);
    struct picture *mine = pictures_reserve(album);
    memset(mine->pixel, 7, sizeof mine->pixel);
    mine->pixel[199][299] = 8;
    mp_assert_ok(pictures_commit(album, mine, 0));
    const struct picture *theirs;
    mp_assert_ok(pictures_peek(album, &theirs, 0));
    mp_assert_ok(pictures_give_back(album, theirs));
    mp_assert_ok(pictures_peek(album, &theirs, 0));
    assert_int_equal(theirs->pixel[0][0] + theirs->pixel[199][299], 15);
    mp_assert_ok(pictures_release(album, theirs));
    mp_assert_code(pictures_peek(album, &theirs, 0), MP_EEMPTY);
    assert_null(theirs);
    mp_assert_ok(numbers_free(q));
    mp_assert_ok(pictures_free(album));
}

/* Pointers into the heap are good elements: queues of queues. */
static void
test_queue_typed_elements_may_be_shared_pointers(void **state)
{
    (void)state;
    handles *q = handles_new(0);
    mp_queue *inner = made(mp_queue_new(0)), *got;
    mp_assert_ok(handles_put(q, &inner, 0));
    mp_assert_ok(handles_get(q, &got, 0));
    assert_ptr_equal(got, inner);
    mp_assert_ok(mp_queue_free(inner));
    mp_assert_ok(handles_free(q));
}

static void
test_queue_typed_refuses_what_is_no_element(void **state)
{
    (void)state;
    points *q = points_new(0);
    mp_queue *raw = points_queue(q), *plain = made(mp_queue_new(0));
    char buf[100] = {0};
    size_t lens[2] = {sizeof(struct point), 3}, n = 9;
    mp_obj item = mp_from_int(1);
    mp_assert_code(mp_queue_put(raw, "an object", 0), MP_ETYPE);
    mp_assert_code(mp_queue_put_many(raw, 1, &item, &n, 0), MP_ETYPE);
    assert_int_equal(n, 0);
    mp_assert_code(mp_queue_put_bytes(raw, buf, 3, 0), MP_ETYPE);
    assert_text("24 bytes, not 3");
    mp_assert_code(mp_queue_put_many_bytes(raw, buf, lens, 2, &n, 0), MP_ETYPE);
    assert_null(mp_queue_reserve(raw, 25));
    assert_int_equal(mp_last_error(), MP_ETYPE);
    void *loan = mp_queue_reserve(raw, 24);
    mp_assert_code(mp_queue_commit(raw, loan, 23, 0), MP_ETYPE);
    mp_assert_ok(mp_queue_cancel(raw, loan));
    assert_int_equal(mp_queue_qsize(raw), 0);
    mp_assert_ok(mp_queue_put_bytes(raw, buf, 24, 0)); /* by its bytes it is one */
    assert_null(points_from(plain));
    assert_int_equal(mp_last_error(), MP_ETYPE);
    assert_null(points_from(NULL));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    assert_null(numbers_from(raw));
    assert_ptr_equal(points_from(raw), q);
    mp_assert_ok(mp_queue_free(plain));
    mp_assert_ok(points_free(q));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_queue_typed_structs_go_there_and_back),
    cmocka_unit_test(test_queue_typed_batches_and_loans),
    cmocka_unit_test(test_queue_typed_elements_may_be_shared_pointers),
    cmocka_unit_test(test_queue_typed_refuses_what_is_no_element),
};
MP_TEST_MAIN(tests)
