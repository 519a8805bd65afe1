/*
 * Value and Array: every type code, conversion as ctypes does it, locks, processes, deaths, wrong
 * use.
 */
#include "helpers/killed.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wchar.h>

static const char all_codes[] = "cubBhHiIlLqQfd";

static void
assert_value_is(mp_value *v, mp_obj expected)
{
    mp_obj got;
    mp_assert_ok(mp_value_get(v, &got));
    if (!mp_obj_equal(got, expected)) {
        char *g = mp_obj_repr(got), *e = mp_obj_repr(expected);
        fail_msg("the value is %s, not %s", g, e);
    }
    mp_obj_free(got);
    mp_obj_free(expected);
}

static void
assert_ends_well(mp_process *p)
{
    int code = -1;
    mp_assert_ok(mp_process_start(p));
    mp_assert_ok(mp_process_join(p, MP_FOREVER));
    mp_assert_ok(mp_process_exitcode(p, &code));
    assert_int_equal(code, 0);
    mp_assert_ok(mp_process_free(p));
}

/* ---- Value ----------------------------------------------------------------------------------- */

static void
test_value_of_each_code_starts_as_told(void **state)
{
    (void)state;
    for (const char *code = all_codes; *code; code++) {
        mp_value *v = mp_value_new(*code, mp_none());
        assert_non_null(v);
        assert_value_is(v, *code == 'c'   ? mp_bytes("", 1)
                           : *code == 'u' ? mp_from_strn("", 1)
                                          : mp_from(0));
        mp_assert_ok(mp_value_free(v));
        v = mp_value_new(*code, *code == 'c'   ? mp_bytes("x", 1)
                                : *code == 'u' ? mp_from("x")
                                               : mp_from(42));
        assert_non_null(v);
        assert_value_is(v, *code == 'c'   ? mp_bytes("x", 1)
                           : *code == 'u' ? mp_from("x")
                                          : mp_from(42));
        mp_assert_ok(mp_value_free(v));
    }
}

static void
test_value_keeps_the_limits_of_its_type(void **state)
{
    (void)state;
    static const struct {
        int code;
        int64_t min, max;
    } types[] = {{'b', SCHAR_MIN, SCHAR_MAX}, {'B', 0, UCHAR_MAX},     {'h', SHRT_MIN, SHRT_MAX},
                 {'H', 0, USHRT_MAX},         {'i', INT_MIN, INT_MAX}, {'I', 0, UINT_MAX},
                 {'l', LONG_MIN, LONG_MAX},   {'L', 0, LONG_MAX},      {'q', LLONG_MIN, LLONG_MAX},
                 {'Q', 0, LLONG_MAX}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        mp_value *v = mp_value_new(types[i].code, mp_none());
        assert_non_null(v);
        mp_assert_ok(mp_value_set(v, types[i].min));
        assert_value_is(v, mp_from(types[i].min));
        mp_assert_ok(mp_value_set(v, types[i].max));
        assert_value_is(v, mp_from(types[i].max));
        mp_assert_ok(mp_value_free(v));
    }
}

/* Python: integer stores wrap silently. */
static void
test_value_integer_wraps_to_its_width(void **state)
{
    (void)state;
    static const struct {
        int code;
        int64_t in, out;
    } cases[] = {{'b', 128, -128},
                 {'b', 257, 1},
                 {'B', -1, 255},
                 {'B', 256, 0},
                 {'h', 32768, -32768},
                 {'H', -1, 65535},
                 {'i', INT64_C(1) << 31, INT_MIN},
                 {'I', -1, UINT_MAX},
                 {'i', (INT64_C(1) << 32) + 5, 5},
                 {'I', INT64_MIN, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mp_value *v = mp_value_new(cases[i].code, cases[i].in);
        assert_non_null(v);
        assert_value_is(v, mp_from(cases[i].out));
        mp_assert_ok(mp_value_set(v, 1));
        mp_assert_ok(mp_value_set(v, cases[i].in));
        assert_value_is(v, mp_from(cases[i].out));
        mp_assert_ok(mp_value_free(v));
    }
}

static void
test_value_above_the_object_s_int_is_read_as_data(void **state)
{
    (void)state;
    static const char codes[] = "LQ";
    for (const char *code = codes; *code; code++) {
        mp_value *v = mp_value_new(*code, -1);
        mp_obj o = mp_from(5);
        assert_non_null(v);
        mp_assert_code(mp_value_get(v, &o), MP_EOVERFLOW);
        assert_true(mp_is_none(o));
        assert_true(*code == 'L' ? *(unsigned long *)mp_value_data(v) == ULONG_MAX
                                 : *(unsigned long long *)mp_value_data(v) == ULLONG_MAX);
        mp_assert_ok(mp_value_free(v));
    }
}

static void
test_value_float_takes_numbers(void **state)
{
    (void)state;
    mp_value *f = mp_value_new('f', 0.1), *d = mp_value_new('d', 0.1);
    assert_true(f && d);
    assert_value_is(f, mp_from((double)0.1f));
    assert_value_is(d, mp_from(0.1));
    mp_assert_ok(mp_value_set(d, 3)); /* int into float is fine */
    assert_value_is(d, mp_from(3.0));
    mp_assert_ok(mp_value_set(d, mp_bool(true)));
    assert_value_is(d, mp_from(1.0));
    mp_assert_ok(mp_value_set(d, DBL_MAX));
    assert_value_is(d, mp_from(DBL_MAX));
    mp_assert_ok(mp_value_set(f, DBL_MAX)); /* as ctypes */
    assert_value_is(f, mp_from((double)INFINITY));
    mp_assert_ok(mp_value_set(d, (double)NAN));
    assert_true(isnan(*(double *)mp_value_data(d)));
    mp_value_free(f);
    mp_value_free(d);
}

static void
test_value_of_another_kind_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    for (const char *code = all_codes; *code; code++) {
        mp_value *v = mp_value_new(*code, mp_none());
        bool integer = strchr("bBhHiIlLqQ", *code), real = strchr("fd", *code);
        assert_non_null(v);
        memset(mp_value_data(v), 'A', 1);
        mp_assert_code(mp_value_set(v, mp_none()), MP_ETYPE);
        mp_assert_code(mp_value_set(v, mp_list(1)), MP_ETYPE);
        mp_assert_code(mp_value_set(v, "two"), MP_ETYPE);
        mp_assert_code(mp_value_set(v, mp_bytes("two", 3)), MP_ETYPE);
        mp_assert_code(mp_value_set(v, ""), MP_ETYPE);
        mp_assert_code(mp_value_set(v, mp_bytes("", 0)), MP_ETYPE);
        mp_assert_code(mp_value_set(v, mp_from_uint(UINT64_MAX)), MP_EOVERFLOW);
        if (!real) {
            mp_assert_code(mp_value_set(v, 1.0), MP_ETYPE);
        }
        if (integer || real) {
            mp_assert_code(mp_value_set(v, mp_bytes("x", 1)), MP_ETYPE);
            mp_assert_code(mp_value_set(v, "x"), MP_ETYPE);
        }
        assert_int_equal(*(char *)mp_value_data(v), 'A');
        mp_assert_ok(mp_value_free(v));
    }
}

static void
test_value_of_characters(void **state)
{
    (void)state;
    static const char *const texts[] = {"a",      "\x7f",       "\u00e9",    "\u07ff",
                                        "\u20ac", "\U0001f600", "\U0010ffff"};
    static const wchar_t chars[] = {'a', 0x7f, 0xe9, 0x7ff, 0x20ac, 0x1f600, 0x10ffff};
    mp_value *u = mp_value_new('u', mp_none()), *c = mp_value_new('c', mp_bytes("\xff", 1));
    mp_obj o;
    assert_true(u && c);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        mp_assert_ok(mp_value_set(u, texts[i]));
        assert_int_equal(*(wchar_t *)mp_value_data(u), chars[i]);
        assert_value_is(u, mp_from(texts[i]));
    }
    mp_assert_code(mp_value_set(u, "\u20ac\u20ac"), MP_ETYPE);
    mp_assert_code(mp_value_set(u, 'a'), MP_ETYPE);
    *(wchar_t *)mp_value_data(u) = 0x110000;
    mp_assert_code(mp_value_get(u, &o), MP_EVALUE);
    assert_true(mp_is_none(o));
    assert_value_is(c, mp_bytes("\xff", 1));
    mp_assert_ok(mp_value_set(c, 'x')); /* C's 'x' is an int; ctypes takes those too */
    assert_value_is(c, mp_bytes("x", 1));
    mp_assert_code(mp_value_set(c, 256), MP_ETYPE);
    mp_assert_code(mp_value_set(c, -1), MP_ETYPE);
    assert_value_is(c, mp_bytes("x", 1));
    mp_value_free(u);
    mp_value_free(c);
}

static void
test_value_new_with_nonsense_gives_none(void **state)
{
    (void)state;
    static const int bad[] = {0, 'x', 'p', ' ', -1, 'i' + 256, INT_MAX};
    mp_heap_info before, after;
    mp_assert_ok(mp_heap_stats(&before));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(mp_value_new(bad[i], mp_list("freed")));
        assert_int_equal(mp_last_error(), MP_ETYPE);
        assert_null(mp_array_new(bad[i], 3, NULL));
        assert_int_equal(mp_last_error(), MP_ETYPE);
    }
    assert_null(mp_value_new('i', 1.5));
    assert_int_equal(mp_last_error(), MP_ETYPE);
    assert_null(mp_value_new('i', mp_from_uint(UINT64_MAX)));
    assert_int_equal(mp_last_error(), MP_EOVERFLOW);
    mp_assert_ok(mp_heap_stats(&after));
    assert_int_equal(before.blocks, after.blocks);
}

/* ---- the lock -------------------------------------------------------------------------------- */

static void *
get_in_thread(void *arg)
{
    mp_obj o = mp_none();
    mp_value_get(arg, &o);
    return (void *)(intptr_t)mp_as_int(o);
}

static void
test_value_lock_keeps_others_out_and_its_holder_in(void **state)
{
    (void)state;
    mp_value *v = mp_value_new('i', 1);
    assert_non_null(v);
    mp_rlock *lock = mp_value_get_lock(v);
    assert_non_null(lock);
    assert_ptr_equal(mp_value_get_lock(v), lock);
    pthread_t thread;
    void *seen;
    MP_WITH(lock) {
        assert_int_equal(mp_rlock_locked(lock), 1);
        assert_int_equal(pthread_create(&thread, NULL, get_in_thread, v), 0);
        mp_assert_ok(mp_value_set(v, 2)); /* recursive: the holder gets in */
        assert_value_is(v, mp_from(2));
        *(int *)mp_value_data(v) += 1;
    }
    assert_int_equal(pthread_join(thread, &seen), 0);
    assert_int_equal((intptr_t)seen, 3); /* it saw nothing of what was between */
    assert_int_equal(mp_rlock_locked(lock), 0);
    mp_assert_ok(mp_value_free(v));
}

static int
add_thousand(const mp_args *args)
{
    mp_value *v;
    mp_array *a;
    mp_args_get(args, &v, &a);
    for (int i = 0; i < 1000; i++) {
        MP_WITH(mp_value_get_lock(v)) {
            *(long *)mp_value_data(v) += 1;
        }
        MP_WITH(mp_array_get_lock(a)) {
            mp_obj o;
            mp_child_ok(mp_array_get(a, -1, &o));
            mp_child_ok(mp_array_set(a, -1, mp_as_double(o) + 1));
        }
    }
    return 0;
}

static void
test_value_and_array_count_exactly_over_processes(void **state)
{
    (void)state;
    enum { COUNT = 4 };
    mp_process *p[COUNT];
    mp_value *v = mp_value_new('l', 0);
    mp_array *a = mp_array_new('d', 3, NULL);
    assert_true(v && a);
    for (int i = 0; i < COUNT; i++) {
        p[i] = mp_process_new(add_thousand, mp_args(v, a), NULL);
        assert_non_null(p[i]);
        mp_assert_ok(mp_process_start(p[i]));
    }
    for (int i = 0; i < COUNT; i++) {
        int code = -1;
        mp_assert_ok(mp_process_join(p[i], MP_FOREVER));
        mp_assert_ok(mp_process_exitcode(p[i], &code));
        assert_int_equal(code, 0);
        mp_process_free(p[i]);
    }
    assert_value_is(v, mp_from(COUNT * 1000));
    assert_true(((double *)mp_array_data(a))[2] == COUNT * 1000);
    mp_value_free(v);
    mp_array_free(a);
}

struct both {
    mp_value *v;
    mp_array *a;
};

static void
hold_both(void *arg)
{
    struct both *b = arg;
    mp_child_ok(mp_rlock_acquire(mp_value_get_lock(b->v), MP_FOREVER));
    mp_child_ok(mp_rlock_acquire(mp_array_get_lock(b->a), MP_FOREVER));
}

static void
test_value_of_a_killed_holder_goes_on(void **state)
{
    (void)state;
    mp_value *v = mp_value_new('i', 1);
    mp_array *a = mp_array_new('i', 2, NULL);
    assert_true(v && a);
    killed_after(hold_both, &(struct both){v, a});
    mp_assert_ok(mp_value_set(v, 5));
    assert_value_is(v, mp_from(5));
    mp_assert_ok(mp_array_set(a, 0, 6));
    mp_obj list = mp_array_tolist(a), expected = mp_list(6, 0);
    assert_true(mp_obj_equal(list, expected));
    mp_obj_free(list);
    mp_obj_free(expected);
    mp_value_free(v);
    mp_array_free(a);
}

/* ---- Array ----------------------------------------------------------------------------------- */

static void
test_array_of_each_code_is_zeroed_aligned_and_kept(void **state)
{
    (void)state;
    for (const char *code = all_codes; *code; code++) {
        /* Memory that was used before is zero again. */
        for (int round = 0; round < 2; round++) {
            mp_array *a = mp_array_new(*code, 100, NULL);
            assert_non_null(a);
            assert_int_equal(mp_array_len(a), 100);
            unsigned char *data = mp_array_data(a);
            assert_int_equal((uintptr_t)data % 64, 0);
            for (int i = 0; i < 100; i++) {
                assert_int_equal(data[i], 0);
            }
            memset(data, 0xaa, 100);
            mp_assert_ok(mp_array_free(a));
        }
    }
}

static void
test_array_from_c_numbers_indexes_as_python(void **state)
{
    (void)state;
    const short init[] = {10, -20, 30};
    mp_array *a = mp_array_new('h', 3, init);
    mp_obj o;
    assert_non_null(a);
    for (int i = 0; i < 3; i++) {
        mp_assert_ok(mp_array_get(a, i, &o));
        assert_int_equal(mp_as_int(o), init[i]);
        mp_assert_ok(mp_array_get(a, i - 3, &o));
        assert_int_equal(mp_as_int(o), init[i]);
    }
    static const ptrdiff_t outside[] = {3, -4, PTRDIFF_MAX, PTRDIFF_MIN};
    for (int i = 0; i < 4; i++) {
        o = mp_from(1);
        mp_assert_code(mp_array_get(a, outside[i], &o), MP_EINDEX);
        assert_true(mp_is_none(o));
        mp_assert_code(mp_array_set(a, outside[i], mp_list("freed")), MP_EINDEX);
    }
    mp_assert_ok(mp_array_set(a, 0, 65537)); /* wraps */
    mp_assert_ok(mp_array_set(a, -1, 7));
    mp_assert_code(mp_array_set(a, 1, 1.5), MP_ETYPE);
    assert_memory_equal(mp_array_data(a), ((short[]){1, -20, 7}), sizeof init);
    mp_assert_ok(mp_array_free(a));
}

static void
test_array_to_list_of_each_kind(void **state)
{
    (void)state;
    static const wchar_t wide[] = {'x', 0x20ac};
    const struct {
        int code;
        const void *init;
        mp_obj expected;
    } cases[] = {
        {'c', "ab", mp_list(mp_bytes("a", 1), mp_bytes("b", 1))},
        {'u', wide, mp_list("x", "\u20ac")},
        {'b', (signed char[]){-1, 2}, mp_list(-1, 2)},
        {'B', (unsigned char[]){255, 2}, mp_list(255, 2)},
        {'I', (unsigned[]){UINT_MAX, 2}, mp_list(UINT_MAX, 2)},
        {'q', (long long[]){LLONG_MIN, 2}, mp_list(LLONG_MIN, 2)},
        {'f', (float[]){0.5f, 2}, mp_list(0.5, 2.0)},
        {'d', (double[]){0.1, 2}, mp_list(0.1, 2.0)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mp_array *a = mp_array_new(cases[i].code, 2, cases[i].init);
        assert_non_null(a);
        mp_obj list = mp_array_tolist(a);
        assert_true(mp_obj_equal(list, cases[i].expected));
        mp_obj_free(list);
        mp_obj_free(cases[i].expected);
        mp_assert_ok(mp_array_free(a));
    }
    mp_array *a = mp_array_new('Q', 2, (unsigned long long[]){1, ULLONG_MAX});
    assert_non_null(a);
    assert_int_equal(mp_obj_kind(mp_array_tolist(a)), MP_KIND_FAILED);
    assert_int_equal(mp_last_error(), MP_EOVERFLOW);
    mp_array_free(a);
}

static void
test_array_of_no_length_is_an_array(void **state)
{
    (void)state;
    mp_array *a = mp_array_new('d', 0, NULL);
    mp_obj o;
    assert_non_null(a);
    assert_int_equal(mp_array_len(a), 0);
    assert_non_null(mp_array_data(a));
    mp_assert_code(mp_array_get(a, 0, &o), MP_EINDEX);
    mp_assert_code(mp_array_get(a, -1, &o), MP_EINDEX);
    mp_obj list = mp_array_tolist(a);
    assert_int_equal(mp_obj_len(list), 0);
    mp_obj_free(list);
    mp_assert_ok(mp_array_free(a));
}

static void
test_array_too_large_is_refused(void **state)
{
    (void)state;
    static const size_t overflowing[] = {SIZE_MAX, SIZE_MAX / 8, SIZE_MAX / 8 + 1, PTRDIFF_MAX / 8};
    for (int i = 0; i < 4; i++) {
        assert_null(mp_array_new('d', overflowing[i], NULL));
        assert_int_equal(mp_last_error(), MP_EOVERFLOW);
    }
    assert_null(mp_array_new('d', (size_t)1 << 50, NULL)); /* more than the heap's range */
    assert_int_equal(mp_last_error(), MP_ENOMEM);
}

static int
square_all(const mp_args *args)
{
    mp_array *a;
    mp_value *sum;
    mp_args_get(args, &a, &sum);
    int *data = mp_array_data(a);
    for (int64_t i = 0; i < mp_array_len(a); i++) {
        data[i] *= data[i];
        *(long *)mp_value_data(sum) += data[i];
    }
    return 0;
}

static void
test_array_changed_by_a_child_is_seen_here(void **state)
{
    (void)state;
    const int init[] = {1, 2, 3, 4};
    mp_array *a = mp_array_new('i', 4, init);
    mp_value *sum = mp_value_new('l', 0);
    assert_true(a && sum);
    assert_ends_well(mp_process_new(square_all, mp_args(a, sum), NULL));
    mp_obj list = mp_array_tolist(a), expected = mp_list(1, 4, 9, 16);
    assert_true(mp_obj_equal(list, expected));
    mp_obj_free(list);
    mp_obj_free(expected);
    assert_value_is(sum, mp_from(30));
    mp_array_free(a);
    mp_value_free(sum);
}

/* ---- wrong use ------------------------------------------------------------------------------- */

static void
test_value_dead_is_an_error(void **state)
{
    (void)state;
    mp_value *v = mp_value_new('i', 1);
    mp_array *a = mp_array_new('i', 1, NULL);
    mp_obj o;
    assert_true(v && a);
    mp_rlock *lock = mp_value_get_lock(v);
    mp_assert_ok(mp_value_free(v));
    mp_assert_ok(mp_value_free(NULL));
    mp_assert_code(mp_rlock_acquire(lock, 0), MP_EVALUE); /* it went with its value */
    mp_value *const dead[] = {v, NULL, (mp_value *)a, (mp_value *)&o};
    for (int i = 0; i < 4; i++) {
        mp_assert_code(mp_value_get(dead[i], &o), MP_EVALUE);
        assert_true(mp_is_none(o));
        mp_assert_code(mp_value_set(dead[i], mp_list("freed")), MP_EVALUE);
        assert_null(mp_value_data(dead[i]));
        assert_null(mp_value_get_lock(dead[i]));
        assert_int_equal(mp_last_error(), MP_EVALUE);
        if (dead[i]) {
            mp_assert_code(mp_value_free(dead[i]), MP_EVALUE);
        }
    }
    mp_assert_ok(mp_array_free(a));
}

static void
test_array_dead_is_an_error(void **state)
{
    (void)state;
    mp_value *v = mp_value_new('i', 1);
    mp_array *a = mp_array_new('i', 1, NULL);
    mp_obj o;
    assert_true(v && a);
    mp_assert_code(mp_value_get(v, NULL), MP_EVALUE);
    mp_assert_code(mp_array_get(a, 0, NULL), MP_EVALUE);
    mp_rlock *lock = mp_array_get_lock(a);
    mp_assert_ok(mp_array_free(a));
    mp_assert_ok(mp_array_free(NULL));
    mp_assert_code(mp_rlock_acquire(lock, 0), MP_EVALUE);
    mp_array *const dead[] = {a, NULL, (mp_array *)v, (mp_array *)&o};
    for (int i = 0; i < 4; i++) {
        mp_assert_code(mp_array_get(dead[i], 0, &o), MP_EVALUE);
        assert_true(mp_is_none(o));
        mp_assert_code(mp_array_set(dead[i], 0, mp_list("freed")), MP_EVALUE);
        mp_assert_code((int)mp_array_len(dead[i]), MP_EVALUE);
        assert_null(mp_array_data(dead[i]));
        assert_null(mp_array_get_lock(dead[i]));
        assert_int_equal(mp_obj_kind(mp_array_tolist(dead[i])), MP_KIND_FAILED);
        assert_int_equal(mp_last_error(), MP_EVALUE);
        if (dead[i]) {
            mp_assert_code(mp_array_free(dead[i]), MP_EVALUE);
        }
    }
    mp_assert_ok(mp_value_free(v));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_value_of_each_code_starts_as_told),
    cmocka_unit_test(test_value_keeps_the_limits_of_its_type),
    cmocka_unit_test(test_value_integer_wraps_to_its_width),
    cmocka_unit_test(test_value_above_the_object_s_int_is_read_as_data),
    cmocka_unit_test(test_value_float_takes_numbers),
    cmocka_unit_test(test_value_of_another_kind_is_refused_and_changes_nothing),
    cmocka_unit_test(test_value_of_characters),
    cmocka_unit_test(test_value_new_with_nonsense_gives_none),
    cmocka_unit_test(test_value_lock_keeps_others_out_and_its_holder_in),
    cmocka_unit_test(test_value_and_array_count_exactly_over_processes),
    cmocka_unit_test(test_value_of_a_killed_holder_goes_on),
    cmocka_unit_test(test_array_of_each_code_is_zeroed_aligned_and_kept),
    cmocka_unit_test(test_array_from_c_numbers_indexes_as_python),
    cmocka_unit_test(test_array_to_list_of_each_kind),
    cmocka_unit_test(test_array_of_no_length_is_an_array),
    cmocka_unit_test(test_array_too_large_is_refused),
    cmocka_unit_test(test_array_changed_by_a_child_is_seen_here),
    cmocka_unit_test(test_value_dead_is_an_error),
    cmocka_unit_test(test_array_dead_is_an_error),
};

MP_TEST_MAIN(tests)
