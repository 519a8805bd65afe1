/* test_object_args.c: the arguments of a process, and the way out of them into C variables. */
#include "object_test.h"

#include <limits.h>

#include "object/object.h"

/* ---- arguments ------------------------------------------------------------------------------- */

static void
test_args_go_into_variables_of_every_type(void **state)
{
    (void)state;
    int place;
    mp_queue *q = (mp_queue *)(void *)&place, *q2 = NULL;
    mp_lock *l = (mp_lock *)(void *)&place, *l2 = NULL;
    mp_rlock *r = (mp_rlock *)(void *)&place, *r2 = NULL;
    mp_value *v = (mp_value *)(void *)&place, *v2 = NULL;
    mp_array *a = (mp_array *)(void *)&place, *a2 = NULL;
    mp_connection *c = (mp_connection *)(void *)&place, *c2 = NULL;
    void *p = &place, *p2 = NULL;
    bool b = false;
    char ch = 0;
    signed char sc = 0;
    short s = 0;
    int i = 0;
    long li = 0;
    long long ll = 0;
    unsigned char uc = 0;
    unsigned short us = 0;
    unsigned u = 0;
    unsigned long ul = 0;
    unsigned long long ull = 0;
    float f = 0;
    double d = 0;
    const char *text = NULL;
    mp_obj o;
    mp_args *args =
        mp_args(true, 'c', SCHAR_MIN, SHRT_MAX, INT_MIN, LONG_MAX, LLONG_MIN, UCHAR_MAX, USHRT_MAX,
                UINT_MAX, 7UL, 8ULL, 1.5F, 2, "text", mp_list(1, 2), p, q, l, r, v, a, c);
    assert_non_null(args);
    mp_assert_ok(mp_args_get(args, &b, &ch, &sc, &s, &i, &li, &ll, &uc, &us, &u, &ul, &ull, &f, &d,
                             &text, &o, &p2, &q2, &l2, &r2, &v2, &a2, &c2));
    assert_true(b && ch == 'c' && sc == SCHAR_MIN && s == SHRT_MAX && i == INT_MIN);
    assert_true(li == LONG_MAX && ll == LLONG_MIN && uc == UCHAR_MAX && us == USHRT_MAX);
    assert_true(u == UINT_MAX && ul == 7 && ull == 8 && f == 1.5F && d == 2.0);
    assert_string_equal(text, "text");
    assert_true(p2 == p && q2 == q && l2 == l && r2 == r && v2 == v && a2 == a && c2 == c);
    mp_args_free(args);
    check_repr(o, "[1, 2]"); /* a reference of our own */
}

static void
test_args_null_pointers_come_as_null(void **state)
{
    (void)state;
    mp_args *args = mp_args((char *)NULL, (void *)NULL, (mp_queue *)NULL, mp_none());
    const char *text = "x";
    void *p = &text;
    mp_queue *q = (mp_queue *)p;
    mp_obj o;
    mp_assert_ok(mp_args_get(args, &text, &p, &q, &o));
    assert_true(!text && !p && !q && mp_is_none(o));
    mp_args_free(args);
}

/* Unpack one argument into one variable: the error, and that the variable is as it was. */
#define CHECK_MISFIT(argument, ctype, initial, code, wanted)                                       \
    {                                                                                              \
        mp_args *args = mp_args(argument);                                                         \
        ctype variable = (initial);                                                                \
        mp_assert_code(mp_args_get(args, &variable), code);                                        \
        check_text(wanted);                                                                        \
        assert_true(variable == (initial));                                                        \
        mp_args_free(args);                                                                        \
    }

static void
test_args_of_another_type_say_both(void **state)
{
    (void)state;
    CHECK_MISFIT("text", int, 5, MP_ETYPE, "argument 1 is str, expected int")
    CHECK_MISFIT(1.5, int, 5, MP_ETYPE, "argument 1 is float, expected int")
    CHECK_MISFIT("text", double, 5, MP_ETYPE, "argument 1 is str, expected float")
    CHECK_MISFIT(2, bool, true, MP_ETYPE, "argument 1 is int, expected bool")
    CHECK_MISFIT(mp_none(), int, 5, MP_ETYPE, "argument 1 is NoneType, expected int")
    CHECK_MISFIT(1, const char *, NULL, MP_ETYPE, "argument 1 is int, expected str")
    CHECK_MISFIT(mp_list(), mp_queue *, NULL, MP_ETYPE, "argument 1 is list, expected Queue")
}

static void
test_args_that_do_not_fit_are_an_overflow(void **state)
{
    (void)state;
    CHECK_MISFIT(128, signed char, 5, MP_EOVERFLOW, "argument 1 is int 128")
    CHECK_MISFIT(-1, unsigned char, 5, MP_EOVERFLOW, "does not fit unsigned char")
    CHECK_MISFIT(SHRT_MIN - 1, short, 5, MP_EOVERFLOW, "short")
    CHECK_MISFIT((int64_t)INT_MAX + 1, int, 5, MP_EOVERFLOW, "2147483648")
    CHECK_MISFIT((int64_t)UINT_MAX + 1, unsigned, 5, MP_EOVERFLOW, "unsigned int")
    CHECK_MISFIT(-1, unsigned long long, 5, MP_EOVERFLOW, "unsigned long long")
    CHECK_MISFIT(1e300, float, 5, MP_EOVERFLOW, "float")
}

static void
test_args_in_another_number_store_nothing(void **state)
{
    (void)state;
    mp_args *args = mp_args(1, "two", 3);
    int a = 5, b = 6, c = 7;
    mp_assert_code(mp_args_get(args, &a, &b), MP_ETYPE);
    check_text("takes 2 arguments but 3 were given");
    mp_assert_code(mp_args_get(args, &a, &b, &c), MP_ETYPE);
    check_text("argument 2 is str, expected int");
    assert_true(a == 5 && b == 6 && c == 7);
    mp_args_free(args);
    mp_assert_code(mp_args_get(NULL, &a), MP_ETYPE);
    check_text("takes 1 argument but 0 were given");
    mp_assert_ok(mp_args_unpack(NULL, 0, NULL));
}

static void
test_args_items_are_borrowed(void **state)
{
    (void)state;
    mp_args *args = mp_args("a", mp_list(1)), *none = mp_args();
    assert_int_equal(mp_args_len(args), 2);
    assert_string_equal(mp_as_str(mp_args_item(args, 0)), "a");
    assert_int_equal(mp_obj_len(mp_args_item(args, 1)), 1);
    assert_true(mp_is_none(mp_args_item(args, 2)));
    assert_true(mp_is_none(mp_args_item(NULL, 0)));
    assert_int_equal(mp_args_len(none) + mp_args_len(NULL), 0);
    mp_args_free(args);
    mp_args_free(none);
    mp_args_free(NULL);
}

static void
test_args_freed_twice_are_noticed(void **state)
{
    (void)state;
    mp_args *args = mp_args(1);
    mp_args_free(args);
    mp_args_free(args);
    assert_int_equal(mp_last_error(), MP_EVALUE);
    check_text("not live arguments");
}

static int hook_calls;

static void
count_hook(int exit_code)
{
    hook_calls += exit_code;
}

static void
test_args_or_exit_calls_the_hook_of_a_child(void **state)
{
    (void)state;
    mp_args *args = mp_args(1);
    int good = 0;
    const char *bad = NULL;
    void (*saved)(int) = mp__args_exit_hook;
    mp__args_exit_hook = count_hook;
    int first = mp_args_get(args, &good), after_first = hook_calls;
    int second = mp_args_get(args, &bad);
    mp__args_exit_hook = saved;
    mp_assert_ok(first);
    assert_int_equal(after_first, 0);
    assert_int_equal(second, MP_ETYPE);
    assert_int_equal(hook_calls, 1);
    mp_args_free(args);
}

static void
test_args_tuple_goes_in_and_out(void **state)
{
    (void)state;
    mp_args *args = mp__args_from_tuple(mp_tuple(1, "a"));
    assert_int_equal(mp_obj_len(mp__args_tuple(args)), 2);
    assert_int_equal(mp_obj_len(mp__args_tuple(NULL)), 0);
    mp_args_free(args);
    assert_null(mp__args_from_tuple(mp_list("lost")));
    assert_int_equal(mp_last_error(), MP_ETYPE);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_args_go_into_variables_of_every_type),
    cmocka_unit_test(test_args_null_pointers_come_as_null),
    cmocka_unit_test(test_args_of_another_type_say_both),
    cmocka_unit_test(test_args_that_do_not_fit_are_an_overflow),
    cmocka_unit_test(test_args_in_another_number_store_nothing),
    cmocka_unit_test(test_args_items_are_borrowed),
    cmocka_unit_test(test_args_freed_twice_are_noticed),
    cmocka_unit_test(test_args_or_exit_calls_the_hook_of_a_child),
    cmocka_unit_test(test_args_tuple_goes_in_and_out),
};

MP_TEST_MAIN(tests)
