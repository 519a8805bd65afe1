/*
 * test_queue.c: mp_queue from outside: order, time-outs, counts, growth, and what it refuses.
 * Numbers are those of the behaviours that CPython's own tests pin down.
 */
#include "mp_test.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "helpers/pattern.h"
#include "helpers/sleepers.h"

#define MIB ((size_t)1 << 20)

/* ---- help ------------------------------------------------------------------------------------ */

static mp_queue *
new_queue(int64_t maxsize)
{
    mp_queue *q = mp_queue_new(maxsize);
    if (!q) {
        fail_msg("mp_queue_new: %s", mp_last_error_text());
    }
    return q;
}

static mp_process *
started(mp_target target, mp_args *args)
{
    mp_process *p = mp_process_new(target, args, NULL);
    assert_non_null(p);
    mp_assert_ok(mp_process_start(p));
    return p;
}

/* It ends with 0 within the time. */
static void
finish(mp_process *p, double seconds)
{
    int code = -1000;
    mp_assert_ok(mp_process_join(p, seconds));
    mp_assert_ok(mp_process_exitcode(p, &code));
    assert_int_equal(code, 0);
    mp_assert_ok(mp_process_free(p));
}

/* ---- objects --------------------------------------------------------------------------------- */

static mp_obj
everything(void)
{
    return mp_list(mp_none(), mp_bool(true), 42, -1, INT64_MAX, INT64_MIN, 2.5, "h\xc3\xa9llo", "",
                   mp_bytes("a\0b", 3), mp_bytes(NULL, 0),
                   mp_tuple(1, mp_tuple(), mp_list(mp_list())),
                   mp_dict("k", mp_list(1, 2), 3, mp_none()), mp_set_of(1, 2, "x"),
                   mp_error_new(MP_EKEY, NULL, "no such key"), mp_dict(), mp_list());
}

static int
echo_child(const mp_args *args)
{
    mp_queue *in, *out;
    mp_args_get(args, &in, &out);
    for (;;) {
        mp_obj o;
        mp_child_ok(mp_queue_get(in, &o, 20));
        bool last = mp_is_none(o);
        mp_child_ok(mp_queue_put(out, o, 20));
        if (last) {
            return 0;
        }
    }
}

static void
test_queue_every_kind_of_object_round_trips(void **state)
{
    (void)state;
    mp_queue *in = new_queue(0), *out = new_queue(0);
    mp_process *p = started(echo_child, mp_args(in, out));
    mp_obj all = everything();
    int64_t n = mp_obj_len(all);
    assert_int_equal(n, 17);
    for (int64_t i = 1; i < n; i++) {
        mp_assert_ok(mp_queue_put(in, mp_obj_ref(mp_list_get(all, (ptrdiff_t)i)), 5));
    }
    mp_assert_ok(mp_queue_put(in, mp_obj_ref(all), 5));
    mp_assert_ok(mp_queue_put(in, mp_none(), 5));
    for (int64_t i = 1; i <= n + 1; i++) {
        mp_obj got, want = i < n ? mp_list_get(all, (ptrdiff_t)i) : i == n ? all : mp_none();
        mp_assert_ok(mp_queue_get(out, &got, 20));
        char *a = mp_obj_repr(got), *b = mp_obj_repr(want);
        assert_string_equal(a, b); /* errors are equal by identity only */
        assert_int_equal(mp_obj_kind(got), mp_obj_kind(want));
        free(a);
        free(b);
        mp_obj_free(got);
    }
    finish(p, 20);
    mp_obj_free(all);
    mp_assert_ok(mp_queue_free(in));
    mp_assert_ok(mp_queue_free(out));
}

static int
handle_child(const mp_args *args)
{
    mp_queue *q;
    mp_args_get(args, &q);
    mp_obj o;
    mp_child_ok(mp_queue_get(q, &o, 20));
    mp_queue *inner = mp_as_handle(mp_list_get(o, 0), MP_HANDLE_QUEUE);
    mp_lock *lock = mp_as_handle(mp_list_get(o, 1), MP_HANDLE_LOCK);
    mp_array *array = mp_as_handle(mp_list_get(o, 2), MP_HANDLE_ARRAY);
    int *number = mp_as_handle(mp_list_get(o, 3), MP_HANDLE_POINTER);
    mp_value *value = mp_as_handle(mp_list_get(o, 4), MP_HANDLE_VALUE);
    mp_rlock *rlock = mp_as_handle(mp_list_get(o, 5), MP_HANDLE_RLOCK);
    mp_child_check(inner && lock && array && number && value && rlock);
    mp_child_ok(mp_lock_acquire(lock, 10));
    mp_child_ok(mp_rlock_acquire(rlock, 10));
    mp_child_ok(mp_array_set(array, 1, 11));
    mp_child_ok(mp_value_set(value, 2.5));
    *number = 12;
    mp_child_ok(mp_rlock_release(rlock));
    mp_child_ok(mp_lock_release(lock));
    mp_obj_free(o);
    mp_child_ok(mp_queue_put(inner, inner, 10)); /* a queue in itself */
    return 0;
}

static void
test_queue_shared_handles_are_the_same_objects_in_a_child(void **state)
{
    (void)state;
    mp_queue *q = new_queue(0), *inner = new_queue(0);
    mp_lock *lock = mp_lock_new();
    mp_rlock *rlock = mp_rlock_new();
    mp_array *array = mp_array_new(MP_TYPE_INT, 3, NULL);
    mp_value *value = mp_value_new(MP_TYPE_DOUBLE, 0.0);
    int *number = mp_malloc(sizeof *number);
    *number = 0;
    mp_assert_ok(mp_queue_put(q, mp_list(inner, lock, array, (void *)number, value, rlock), 5));
    mp_process *p = started(handle_child, mp_args(q));
    mp_obj got;
    mp_assert_ok(mp_queue_get(inner, &got, 20));
    assert_ptr_equal(mp_as_handle(got, MP_HANDLE_QUEUE), inner);
    mp_obj_free(got);
    finish(p, 20);
    assert_int_equal(*number, 12);
    assert_int_equal(((int *)mp_array_data(array))[1], 11);
    assert_true(*(double *)mp_value_data(value) == 2.5);
    assert_int_equal(mp_lock_locked(lock), 0);
    mp_assert_ok(mp_lock_free(lock));
    mp_assert_ok(mp_rlock_free(rlock));
    mp_assert_ok(mp_array_free(array));
    mp_assert_ok(mp_value_free(value));
    mp_free(number);
    mp_assert_ok(mp_queue_free(inner));
    mp_assert_ok(mp_queue_free(q));
}

/* ---- order, bytes ---------------------------------------------------------------------------- */

static void
test_queue_order_is_first_in_first_out(void **state)
{
    (void)state;
    mp_queue *q = new_queue(0);
    uint64_t seed = 7;
    int put = 0, got = 0;
    while (got < 20000) {
        for (uint64_t n = next_random(&seed) % 300; n > 0 && put < 20000; n--) {
            mp_assert_ok(mp_queue_put(q, put, 0));
            put++;
        }
        assert_int_equal(mp_queue_qsize(q), put - got);
        for (uint64_t n = next_random(&seed) % 300; n > 0 && got < put; n--) {
            mp_obj o;
            mp_assert_ok(mp_queue_get(q, &o, 0));
            assert_int_equal(mp_as_int(o), got);
            got++;
        }
    }
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_bytes_and_objects_mix(void **state)
{
    (void)state;
    mp_queue *q = new_queue(0);
    char buf[8] = "unused";
    size_t len = 99;
    mp_obj o;
    mp_assert_ok(mp_queue_put(q, "text", 0));
    mp_assert_ok(mp_queue_put_bytes(q, "raw", 3, 0));
    mp_assert_ok(mp_queue_put_bytes(q, "longer than 8", 13, 0));
    mp_assert_code(mp_queue_get_bytes(q, buf, sizeof buf, &len, 0), MP_ETYPE);
    mp_assert_code(mp_queue_get_bytes(q, buf, sizeof buf, &len, 1), MP_ETYPE);
    assert_int_equal(mp_queue_qsize(q), 3);
    assert_string_equal(buf, "unused");
    mp_assert_ok(mp_queue_get(q, &o, 0));
    assert_string_equal(mp_as_str(o), "text");
    mp_obj_free(o);
    mp_assert_ok(mp_queue_get(q, &o, 0)); /* bytes come as bytes */
    assert_int_equal(mp_obj_kind(o), MP_KIND_BYTES);
    assert_memory_equal(mp_as_bytes(o, &len), "raw", 3);
    assert_int_equal(len, 3);
    mp_obj_free(o);
    for (int i = 0; i < 2; i++) {
        mp_assert_code(mp_queue_get_bytes(q, buf, sizeof buf, &len, 0), MP_EBUFFERTOOSHORT);
        assert_int_equal(len, 13);
        assert_int_equal(mp_queue_qsize(q), 1);
    }
    mp_assert_code(mp_queue_get_bytes(q, NULL, 0, &len, 0), MP_EBUFFERTOOSHORT);
    char big[13];
    mp_assert_ok(mp_queue_get_bytes(q, big, sizeof big, &len, 0));
    assert_memory_equal(big, "longer than 8", 13);
    mp_assert_code(mp_queue_get_bytes(q, big, sizeof big, &len, 0), MP_EEMPTY);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_empty_messages_are_messages(void **state)
{
    (void)state;
    mp_queue *q = new_queue(0);
    size_t len = 99;
    char buf[1];
    for (int i = 0; i < 3000; i++) {
        mp_assert_ok(mp_queue_put_bytes(q, i & 1 ? "" : NULL, 0, 0));
    }
    assert_int_equal(mp_queue_qsize(q), 3000);
    mp_assert_ok(mp_queue_get_bytes(q, NULL, 0, &len, 0));
    assert_int_equal(len, 0);
    len = 99;
    mp_assert_ok(mp_queue_get_bytes(q, buf, sizeof buf, &len, 0));
    assert_int_equal(len, 0);
    mp_obj o;
    mp_assert_ok(mp_queue_get(q, &o, 0));
    assert_int_equal(mp_obj_kind(o), MP_KIND_BYTES);
    assert_int_equal(mp_obj_len(o), 0);
    mp_obj_free(o);
    assert_int_equal(mp_queue_qsize(q), 2997);
    mp_assert_ok(mp_queue_free(q)); /* full of messages */
}

/* ---- maxsize, time-outs ---------------------------------------------------------------------- */

/* Seconds that a busy machine may stand still in what happens at once. */
#define STALL 5.0

/* Between least and most seconds passed since. */
static void
took(double since, double least, double most)
{
    double t = mp_test_now() - since;
    if (t < least || t > most) {
        fail_msg("it took %.3f s, not %.3f to %.3f", t, least, most);
    }
}

/* 42 */
static void
test_queue_bounded_is_full_at_maxsize(void **state)
{
    (void)state;
    for (int max = 1; max <= 3; max++) {
        mp_queue *q = new_queue(max);
        for (int round = 0; round < 1000; round++) {
            for (int i = 0; i < max; i++) {
                assert_int_equal(mp_queue_full(q), 0);
                assert_int_equal(mp_queue_empty(q), i == 0);
                mp_assert_ok(mp_queue_put_nowait(q, i));
            }
            assert_int_equal(mp_queue_full(q), 1);
            assert_int_equal(mp_queue_qsize(q), max);
            mp_assert_code(mp_queue_put_nowait(q, 9), MP_EFULL);
            mp_assert_code(mp_queue_put_bytes(q, "x", 1, 0), MP_EFULL);
            mp_obj o;
            for (int i = 0; i < max; i++) {
                mp_assert_ok(mp_queue_get_nowait(q, &o));
                assert_int_equal(mp_as_int(o), i);
            }
            mp_assert_code(mp_queue_get_nowait(q, &o), MP_EEMPTY);
            assert_true(mp_is_none(o));
        }
        mp_assert_ok(mp_queue_free(q));
    }
}

static void
test_queue_maxsize_zero_negative_and_huge(void **state)
{
    (void)state;
    static const int64_t fine[] = {0, -1, INT64_MIN, 268435454};
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        mp_queue *q = new_queue(fine[i]);
        for (int k = 0; k < 5000; k++) {
            mp_assert_ok(mp_queue_put_bytes(q, &k, sizeof k, 0));
        }
        assert_int_equal(mp_queue_full(q), 0);
        assert_int_equal(mp_queue_qsize(q), 5000);
        mp_assert_ok(mp_queue_free(q));
    }
    static const int64_t refused[] = {268435455, 268435456, INT32_MAX, INT64_MAX};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_null(mp_queue_new(refused[i]));
        assert_int_equal(mp_last_error(), MP_EVALUE);
    }
}

/* 42 */
static void
test_queue_full_put_waits_as_long_as_told(void **state)
{
    (void)state;
    mp_queue *q = new_queue(1);
    mp_assert_ok(mp_queue_put(q, 1, MP_FOREVER));
    static const double at_once[] = {0, -0.0, -1, -1e300, -INFINITY};
    for (size_t i = 0; i < sizeof at_once / sizeof *at_once; i++) {
        double t = mp_test_now();
        mp_assert_code(mp_queue_put(q, 2, at_once[i]), MP_EFULL);
        mp_assert_code(mp_queue_put_bytes(q, "2", 1, at_once[i]), MP_EFULL);
        took(t, 0, STALL);
    }
    static const double waits[] = {1e-9, 0.001, 0.03, 0.12};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        double t = mp_test_now();
        mp_assert_code(mp_queue_put(q, 2, waits[i]), MP_EFULL);
        took(t, waits[i], waits[i] + STALL);
    }
    mp_assert_code(mp_queue_put(q, 2, (double)NAN), MP_EVALUE);
    assert_int_equal(mp_queue_qsize(q), 1);
    mp_assert_ok(mp_queue_free(q));
}

/* 43, 45 */
static void
test_queue_empty_get_waits_as_long_as_told(void **state)
{
    (void)state;
    mp_queue *q = new_queue(0);
    mp_obj o;
    size_t len;
    char buf[4];
    static const double at_once[] = {0, -0.0, -1, -1e300, -INFINITY};
    for (size_t i = 0; i < sizeof at_once / sizeof *at_once; i++) {
        double t = mp_test_now();
        mp_assert_code(mp_queue_get(q, &o, at_once[i]), MP_EEMPTY);
        mp_assert_code(mp_queue_get_bytes(q, buf, sizeof buf, &len, at_once[i]), MP_EEMPTY);
        took(t, 0, STALL);
    }
    static const double waits[] = {1e-9, 0.001, 0.03, 0.12};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        double t = mp_test_now();
        mp_assert_code(mp_queue_get(q, &o, waits[i]), MP_EEMPTY);
        took(t, waits[i], waits[i] + STALL);
    }
    mp_assert_code(mp_queue_get(q, &o, (double)NAN), MP_EVALUE);
    mp_assert_code(mp_queue_get_bytes(q, buf, sizeof buf, &len, (double)NAN), MP_EVALUE);
    mp_assert_ok(mp_queue_free(q));
}

static void *
put_when_one_sleeps(void *queue)
{
    wait_for_sleepers(queue, 1);
    (void)mp_queue_put(queue, 77, MP_FOREVER);
    return NULL;
}

static void *
get_when_one_sleeps(void *queue)
{
    mp_obj o;
    wait_for_sleepers(queue, 1);
    (void)mp_queue_get(queue, &o, MP_FOREVER);
    return NULL;
}

static void
test_queue_sleepers_wake_when_it_changes(void **state)
{
    (void)state;
    mp_queue *q = new_queue(1);
    pthread_t t;
    mp_obj o;
    double start = mp_test_now();
    assert_int_equal(pthread_create(&t, NULL, put_when_one_sleeps, q), 0);
    mp_assert_ok(mp_queue_get(q, &o, MP_FOREVER));
    took(start, 0, STALL);
    pthread_join(t, NULL);
    assert_int_equal(mp_as_int(o), 77);
    mp_assert_ok(mp_queue_put(q, o, 0));
    start = mp_test_now();
    assert_int_equal(pthread_create(&t, NULL, get_when_one_sleeps, q), 0);
    mp_assert_ok(mp_queue_put(q, 78, MP_FOREVER));
    took(start, 0, STALL);
    pthread_join(t, NULL);
    mp_assert_ok(mp_queue_free(q));
}

/* ---- parents and children -------------------------------------------------------------------- */

static int
appending_child(const mp_args *args)
{
    mp_queue *q, *out;
    mp_args_get(args, &q, &out);
    mp_obj first;
    mp_child_ok(mp_queue_put(q, "of the child", 5));
    mp_child_ok(mp_queue_get(q, &first, 5));
    mp_child_ok(mp_queue_put(out, first, 5));
    return 0;
}

/* 44 */
static void
test_queue_items_from_before_the_start_come_first_and_once(void **state)
{
    (void)state;
    mp_queue *q = new_queue(0), *out = new_queue(0);
    for (int i = 0; i < 3; i++) {
        mp_assert_ok(mp_queue_put(q, i, 0));
    }
    finish(started(appending_child, mp_args(q, out)), 20);
    mp_obj o;
    mp_assert_ok(mp_queue_get(out, &o, 0));
    assert_int_equal(mp_as_int(o), 0);
    for (int i = 1; i < 3; i++) {
        mp_assert_ok(mp_queue_get(q, &o, 0));
        assert_int_equal(mp_as_int(o), i);
    }
    mp_assert_ok(mp_queue_get(q, &o, 0));
    assert_string_equal(mp_as_str(o), "of the child");
    mp_obj_free(o);
    assert_int_equal(mp_queue_empty(q), 1);
    mp_assert_ok(mp_queue_free(q));
    mp_assert_ok(mp_queue_free(out));
}

static int
heavy_child(const mp_args *args)
{
    mp_queue *q;
    mp_args_get(args, &q);
    unsigned char *data = malloc(MIB);
    for (unsigned i = 0; i < 100; i++) {
        fill(data, MIB, i);
        mp_child_ok(mp_queue_put_bytes(q, data, MIB, 0));
    }
    free(data);
    return 0;
}

static void
test_queue_join_before_drain_ends_at_once_and_loses_nothing(void **state)
{
    (void)state;
    mp_queue *q = new_queue(0);
    unsigned char *data = malloc(MIB);
    size_t len;
    mp_process *p = started(heavy_child, mp_args(q));
    finish(p, 40);
    assert_int_equal(mp_queue_qsize(q), 100);
    for (unsigned i = 0; i < 100; i++) {
        mp_assert_ok(mp_queue_get_bytes(q, data, MIB, &len, 0));
        assert_int_equal(len, MIB);
        assert_true(is_filled(data, MIB, i));
    }
    assert_int_equal(mp_queue_empty(q), 1);
    free(data);
    mp_assert_ok(mp_queue_free(q));
}

/* ---- many to many ---------------------------------------------------------------------------- */

enum { SIDES = 4, EACH = 20000 };

struct numbered {
    uint32_t producer, number;
    uint64_t check;
    unsigned char rest[80];
};

static uint64_t
check_of(const struct numbered *m, size_t len)
{
    uint64_t h = (uint64_t)m->producer << 32 | m->number;
    for (size_t i = 0; i + sizeof *m - sizeof m->rest < len; i++) {
        h = h * 1099511628211u + m->rest[i];
    }
    return h;
}

static int
numbering_child(const mp_args *args)
{
    mp_queue *q;
    unsigned me;
    mp_args_get(args, &q, &me);
    struct numbered m = {.producer = me};
    for (uint32_t i = 0; i < EACH; i++) {
        size_t len = sizeof m - (i * 7 + me) % sizeof m.rest;
        m.number = i;
        memset(m.rest, (int)(i * 3 + me), sizeof m.rest);
        m.check = check_of(&m, len);
        mp_child_ok(mp_queue_put_bytes(q, &m, len, 30));
    }
    return 0;
}

/* seen[producer * EACH + number] counts arrivals; an empty message is the end. */
static int
checking_child(const mp_args *args)
{
    mp_queue *q;
    void *seen;
    mp_args_get(args, &q, &seen);
    int64_t last[SIDES] = {-1, -1, -1, -1};
    for (;;) {
        struct numbered m;
        size_t len;
        mp_child_ok(mp_queue_get_bytes(q, &m, sizeof m, &len, 30));
        if (len == 0) {
            return 0;
        }
        mp_child_check(m.producer < SIDES && m.number < EACH);
        mp_child_check(m.check == check_of(&m, len));
        mp_child_check((int64_t)m.number > last[m.producer]);
        last[m.producer] = m.number;
        __atomic_fetch_add((unsigned char *)seen + m.producer * EACH + m.number, 1,
                           __ATOMIC_RELAXED);
    }
}

static void
many_to_many(int64_t maxsize)
{
    mp_queue *q = new_queue(maxsize);
    unsigned char *seen = mp_calloc(SIDES, EACH);
    mp_process *put[SIDES], *get[SIDES];
    for (unsigned i = 0; i < SIDES; i++) {
        get[i] = started(checking_child, mp_args(q, (void *)seen));
        put[i] = started(numbering_child, mp_args(q, i));
    }
    for (int i = 0; i < SIDES; i++) {
        finish(put[i], 40);
    }
    for (int i = 0; i < SIDES; i++) {
        mp_assert_ok(mp_queue_put_bytes(q, NULL, 0, 20));
    }
    for (int i = 0; i < SIDES; i++) {
        finish(get[i], 40);
    }
    for (size_t i = 0; i < (size_t)SIDES * EACH; i++) {
        assert_int_equal(seen[i], 1);
    }
    assert_int_equal(mp_queue_qsize(q), 0);
    mp_free(seen);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_four_to_four_every_message_arrives_once_in_order(void **state)
{
    (void)state;
    many_to_many(0);
}

static void
test_queue_four_to_four_bounded_every_message_arrives_once_in_order(void **state)
{
    (void)state;
    many_to_many(5);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void
refuses_all(mp_queue *q)
{
    mp_obj o = mp_from_int(3);
    size_t len = 0;
    char buf[4];
    mp_assert_code(mp_queue_put(q, "consumed all the same, and long enough to be allocated", 0),
                   MP_EVALUE);
    mp_assert_code(mp_queue_put_nowait(q, mp_list(1, 2)), MP_EVALUE);
    mp_assert_code(mp_queue_put_bytes(q, "x", 1, 0), MP_EVALUE);
    mp_assert_code(mp_queue_get(q, &o, 0), MP_EVALUE);
    assert_true(mp_is_none(o));
    mp_assert_code(mp_queue_get_nowait(q, &o), MP_EVALUE);
    mp_assert_code(mp_queue_get_bytes(q, buf, sizeof buf, &len, 0), MP_EVALUE);
    mp_assert_code((int)mp_queue_qsize(q), MP_EVALUE);
    mp_assert_code(mp_queue_empty(q), MP_EVALUE);
    mp_assert_code(mp_queue_full(q), MP_EVALUE);
}

static void
test_queue_not_a_live_one_is_refused(void **state)
{
    (void)state;
    mp_queue *q = new_queue(0);
    mp_lock *lock = mp_lock_new();
    void *zeroes = mp_calloc(1, 1024);
    static uint64_t outside[64];
    refuses_all(NULL);
    refuses_all((mp_queue *)(void *)lock);
    refuses_all(zeroes);
    refuses_all((mp_queue *)(void *)outside);
    refuses_all((mp_queue *)((uintptr_t)q + 8));
    mp_assert_code(mp_queue_free((mp_queue *)(void *)lock), MP_EVALUE);
    mp_assert_ok(mp_queue_free(NULL));
    mp_assert_ok(mp_queue_free(q));
    refuses_all(q);
    mp_assert_code(mp_queue_free(q), MP_EVALUE);
    mp_assert_ok(mp_lock_free(lock));
    mp_free(zeroes);
}

static void
test_queue_bad_arguments_change_nothing(void **state)
{
    (void)state;
    mp_queue *q = new_queue(0);
    size_t len;
    mp_assert_code(mp_queue_put_bytes(q, NULL, 1, 0), MP_EVALUE);
    mp_assert_code(mp_queue_put(q, mp_from_uint(UINT64_MAX), 0), MP_EOVERFLOW);
    mp_assert_code(mp_queue_put(q, mp_from_str("\xff"), 0), MP_EVALUE);
    mp_assert_code(mp_queue_put_bytes(q, "", SIZE_MAX, 0), MP_ENOMEM);
    mp_assert_code(mp_queue_put_bytes(q, "", SIZE_MAX / 2, 0), MP_ENOMEM);
    assert_int_equal(mp_queue_qsize(q), 0);
    mp_assert_ok(mp_queue_put_bytes(q, "x", 1, 0));
    mp_assert_code(mp_queue_get(q, NULL, 0), MP_EVALUE);
    mp_assert_code(mp_queue_get_bytes(q, NULL, 1, &len, 0), MP_EVALUE);
    mp_assert_code(mp_queue_get_bytes(q, &len, sizeof len, NULL, 0), MP_EVALUE);
    assert_int_equal(mp_queue_qsize(q), 1);
    mp_assert_ok(mp_queue_free(q));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_queue_every_kind_of_object_round_trips),
    cmocka_unit_test(test_queue_shared_handles_are_the_same_objects_in_a_child),
    cmocka_unit_test(test_queue_order_is_first_in_first_out),
    cmocka_unit_test(test_queue_bytes_and_objects_mix),
    cmocka_unit_test(test_queue_empty_messages_are_messages),
    cmocka_unit_test(test_queue_bounded_is_full_at_maxsize),
    cmocka_unit_test(test_queue_maxsize_zero_negative_and_huge),
    cmocka_unit_test(test_queue_full_put_waits_as_long_as_told),
    cmocka_unit_test(test_queue_empty_get_waits_as_long_as_told),
    cmocka_unit_test(test_queue_sleepers_wake_when_it_changes),
    cmocka_unit_test(test_queue_items_from_before_the_start_come_first_and_once),
    cmocka_unit_test(test_queue_join_before_drain_ends_at_once_and_loses_nothing),
    cmocka_unit_test(test_queue_four_to_four_every_message_arrives_once_in_order),
    cmocka_unit_test(test_queue_four_to_four_bounded_every_message_arrives_once_in_order),
    cmocka_unit_test(test_queue_not_a_live_one_is_refused),
    cmocka_unit_test(test_queue_bad_arguments_change_nothing),
};
MP_TEST_MAIN(tests)
