/* test_object.c: values, containers and equality (mp/object.h). */
#include "object_test.h"

#include <errno.h>
#include <stdio.h>

#include "object/object.h"

/* Both are consumed. */
static bool
same(mp_obj a, mp_obj b)
{
    bool equal = mp_obj_equal(a, b);
    assert_int_equal(equal, mp_obj_equal(b, a));
    mp_obj_free(a);
    mp_obj_free(b);
    return equal;
}

/* ---- values ---------------------------------------------------------------------------------- */

static void
test_obj_each_kind_has_pythons_name(void **state)
{
    (void)state;
    int place;
    const struct {
        mp_obj o;
        enum mp_kind kind;
        const char *name;
    } rows[] = {
        {mp_none(), MP_KIND_NONE, "NoneType"},
        {mp_bool(true), MP_KIND_BOOL, "bool"},
        {mp_from(1), MP_KIND_INT, "int"},
        {mp_from(1.0), MP_KIND_FLOAT, "float"},
        {mp_from("s"), MP_KIND_STR, "str"},
        {mp_bytes("b", 1), MP_KIND_BYTES, "bytes"},
        {mp_list(), MP_KIND_LIST, "list"},
        {mp_tuple(), MP_KIND_TUPLE, "tuple"},
        {mp_dict(), MP_KIND_DICT, "dict"},
        {mp_set_of(), MP_KIND_SET, "set"},
        {mp_error_new(MP_EEMPTY, NULL, NULL), MP_KIND_ERROR, "Empty"},
        {mp_from((void *)&place), MP_KIND_HANDLE, "pointer"},
        {mp_from_queue((mp_queue *)(void *)&place), MP_KIND_HANDLE, "Queue"},
        {mp_from_rlock((mp_rlock *)(void *)&place), MP_KIND_HANDLE, "RLock"},
        {mp_from_event((mp_event *)(void *)&place), MP_KIND_HANDLE, "Event"},
        {mp_from_barrier((mp_barrier *)(void *)&place), MP_KIND_HANDLE, "Barrier"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(mp_obj_kind(rows[i].o), rows[i].kind);
        assert_string_equal(mp_obj_type_name(rows[i].o), rows[i].name);
        mp_obj_free(rows[i].o);
    }
}

static void
test_obj_zeroed_is_none(void **state)
{
    (void)state;
    mp_obj o;
    memset(&o, 0, sizeof o);
    assert_true(mp_is_none(o));
    mp_obj_free(o);
}

static void
test_from_takes_every_c_type(void **state)
{
    (void)state;
    char text[] = "text";
    check_repr(mp_list((char)1, (signed char)-2, (short)-3, -4, -5L, -6LL),
               "[1, -2, -3, -4, -5, -6]");
    check_repr(mp_list((unsigned char)1, (unsigned short)2, 3U, 4UL, 5ULL), "[1, 2, 3, 4, 5]");
    check_repr(mp_list(1.5F, 2.5, (bool)true, text, "literal", mp_none()),
               "[1.5, 2.5, True, 'text', 'literal', None]");
    check_repr(mp_list((char *)NULL, (void *)NULL, (mp_queue *)NULL, (mp_connection *)NULL),
               "[None, None, None, None]");
}

static void
test_from_uint_beyond_64_bits_signed_fails(void **state)
{
    (void)state;
    check_repr(mp_from((uint64_t)INT64_MAX), "9223372036854775807");
    check_failed(mp_from((uint64_t)INT64_MAX + 1), MP_EOVERFLOW);
}

static void
test_str_not_utf8_fails(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x80",
                                      "\xc3",
                                      "\xc0\x80",
                                      "\xe0\x80\x80",
                                      "\xf0\x80\x80\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf8\x88\x80\x80\x80",
                                      "\xff",
                                      "12345678\xe2\x82",
                                      "1234567\xc3(12345678"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_failed(mp_from(bad[i]), MP_EVALUE);
    }
    static const char *const good[] = {"",
                                       "\xc2\x80",
                                       "\xe2\x82\xac",
                                       "\xf4\x8f\xbf\xbf",
                                       "1234567\xc3\xa9",
                                       "\xed\xa0\x80" /* a surrogate */};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        mp_obj o = mp_from(good[i]);
        assert_string_equal(mp_as_str(o), good[i]);
        mp_obj_free(o);
    }
}

static void
test_str_with_nul_keeps_its_length(void **state)
{
    (void)state;
    mp_obj o = mp_from_strn("a\0b", 3);
    size_t len = 0;
    assert_int_equal(mp_obj_len(o), 3);
    assert_memory_equal(mp_as_bytes(o, &len), "a\0b", 4);
    assert_int_equal(len, 3);
    check_repr(o, "'a\\x00b'");
    check_failed(mp_from_strn(NULL, 1), MP_EVALUE);
    check_failed(mp_bytes(NULL, 1), MP_EVALUE);
    check_repr(mp_from_strn(NULL, 0), "''");
    check_repr(mp_bytes(NULL, 0), "b''");
}

static void
test_as_int_of_bool_is_a_number(void **state)
{
    (void)state;
    assert_int_equal(mp_as_int(mp_from(-7)), -7);
    assert_int_equal(mp_as_int(mp_bool(true)), 1);
    assert_true(mp_as_double(mp_from(3)) == 3.0);
    assert_true(mp_as_double(mp_bool(true)) == 1.0);
    assert_true(mp_as_double(mp_from(0.5)) == 0.5);
}

static void
test_as_another_kind_says_both_types(void **state)
{
    (void)state;
    mp_obj text = mp_from("text");
    assert_int_equal(mp_as_int(mp_from(1.5)), 0);
    assert_int_equal(mp_last_error(), MP_ETYPE);
    check_text("float");
    check_text("int");
    assert_true(mp_as_double(text) == 0);
    check_text("expected float, got str");
    assert_null(mp_as_str(mp_from(1)));
    check_text("expected str, got int");
    size_t len = 5;
    assert_null(mp_as_bytes(mp_from(1), &len));
    assert_int_equal(len, 0);
    check_text("expected bytes, got int");
    assert_null(mp_as_handle(text, MP_HANDLE_QUEUE));
    check_text("expected Queue, got str");
    assert_int_equal(mp_error_code(text), 0);
    assert_int_equal(mp_last_error(), MP_ETYPE);
    assert_null(mp_error_type(text));
    assert_null(mp_error_message(text));
    assert_int_equal(mp_obj_len(mp_from(1)), MP_ETYPE);
    check_text("object of type 'int' has no len()");
    mp_obj_free(text);
}

static void
test_as_bool_is_pythons_truth(void **state)
{
    (void)state;
    const struct {
        mp_obj o;
        bool truth;
    } rows[] = {
        {mp_none(), false},       {mp_bool(false), false},
        {mp_bool(true), true},    {mp_from(0), false},
        {mp_from(-1), true},      {mp_from(0.0), false},
        {mp_from(-0.0), false},   {mp_from((double)NAN), true},
        {mp_from(""), false},     {mp_from(" "), true},
        {mp_bytes("", 0), false}, {mp_list(), false},
        {mp_list(0), true},       {mp_tuple(), false},
        {mp_dict(), false},       {mp_dict(0, 0), true},
        {mp_set_of(), false},     {mp_error_new(MP_EEMPTY, NULL, ""), true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(mp_as_bool(rows[i].o), rows[i].truth);
        mp_obj_free(rows[i].o);
    }
}

static void
test_handle_comes_back_by_its_type(void **state)
{
    (void)state;
    int place;
    mp_obj o = mp_from_lock((mp_lock *)(void *)&place);
    assert_ptr_equal(mp_as_handle(o, MP_HANDLE_LOCK), &place);
    assert_null(mp_as_handle(o, MP_HANDLE_RLOCK));
    assert_int_equal(mp_last_error(), MP_ETYPE);
    assert_null(mp_as_handle(mp_none(), MP_HANDLE_RLOCK)); /* what NULL had become */
    char expected[100];
    snprintf(expected, sizeof expected, "<multiprocessing.synchronize.Lock object at %p>",
             (void *)&place);
    check_repr(o, expected);
}

static void
test_free_keeps_errno(void **state)
{
    (void)state;
    mp_obj o = mp_list("text", mp_list(1, 2, 3), mp_dict("k", "v"));
    errno = EXDEV;
    mp_obj_free(o);
    assert_int_equal(errno, EXDEV);
}

static void
test_ref_keeps_a_value_that_was_consumed(void **state)
{
    (void)state;
    mp_obj inner = mp_list(1, "two");
    mp_obj outer = mp_list(mp_obj_ref(inner), mp_obj_ref(inner));
    mp_obj_free(outer);
    check_repr(inner, "[1, 'two']");
}

static void
test_free_of_a_million_levels_works(void **state)
{
    (void)state;
    mp_obj o = mp_list();
    for (int i = 0; i < 1000000; i++) {
        switch (i % 4) {
        case 0:
            o = mp_list(o);
            break;
        case 1:
            o = mp_tuple(o, 1);
            break;
        case 2:
            o = mp_dict("k", o);
            break;
        default:
            o = mp_list("text", o);
            break;
        }
    }
    assert_false(mp_obj_equal(o, mp_none()));
    mp_obj_free(o);
}

/* ---- list and tuple -------------------------------------------------------------------------- */

static void
test_list_get_counts_from_both_ends(void **state)
{
    (void)state;
    mp_obj list = mp_list(10, 20, 30), tuple = mp_tuple(10, 20);
    assert_int_equal(mp_as_int(mp_list_get(list, 0)), 10);
    assert_int_equal(mp_as_int(mp_list_get(list, 2)), 30);
    assert_int_equal(mp_as_int(mp_list_get(list, -1)), 30);
    assert_int_equal(mp_as_int(mp_list_get(list, -3)), 10);
    assert_int_equal(mp_as_int(mp_list_get(tuple, -2)), 10);
    static const ptrdiff_t outside[] = {3, -4, PTRDIFF_MAX, PTRDIFF_MIN};
    for (size_t i = 0; i < 4; i++) {
        assert_true(mp_is_none(mp_list_get(list, outside[i])));
        assert_int_equal(mp_last_error(), MP_EINDEX);
        mp_assert_code(mp_list_set(list, outside[i], mp_from("x")), MP_EINDEX);
    }
    assert_true(mp_is_none(mp_list_get(mp_from(1), 0)));
    assert_int_equal(mp_last_error(), MP_ETYPE);
    mp_obj_free(list);
    mp_obj_free(tuple);
}

static void
test_list_append_and_set_change_it(void **state)
{
    (void)state;
    mp_obj list = mp_list("a");
    mp_assert_ok(mp_list_append(list, mp_from("b")));
    for (int i = 0; i < 100; i++) {
        mp_assert_ok(mp_list_append(list, mp_from(i)));
    }
    assert_int_equal(mp_obj_len(list), 102);
    mp_assert_ok(mp_list_set(list, 0, mp_from("c")));
    mp_assert_ok(mp_list_set(list, -1, mp_list("d")));
    assert_string_equal(mp_as_str(mp_list_get(list, 0)), "c");
    assert_int_equal(mp_as_int(mp_list_get(list, 100)), 98);
    assert_int_equal(mp_obj_len(mp_list_get(list, 101)), 1);
    mp_obj_free(list);
}

static void
test_list_append_to_something_else_consumes_the_item(void **state)
{
    (void)state;
    mp_obj tuple = mp_tuple(1);
    mp_assert_code(mp_list_append(tuple, mp_from("lost")), MP_ETYPE);
    check_text("expected list, got tuple");
    mp_assert_code(mp_list_set(tuple, 0, mp_from("lost")), MP_ETYPE);
    mp_assert_code(mp_list_append(mp_none(), mp_from("lost")), MP_ETYPE);
    mp_obj_free(tuple);
}

static void
test_list_of_no_array_fails(void **state)
{
    (void)state;
    check_failed(mp_list_of(1, NULL), MP_EVALUE);
    check_failed(mp_set_of_n(1, NULL), MP_EVALUE);
    check_failed(mp_dict_of(2, NULL), MP_EVALUE);
    check_repr(mp_list_of(0, NULL), "[]");
}

/* ---- failed values --------------------------------------------------------------------------- */

static void
test_failed_value_passes_through_all_containers(void **state)
{
    (void)state;
    mp_obj o = mp_list(1, mp_tuple("a", mp_dict("k", mp_set_of("b", mp_from("\xff")))), "c");
    check_failed(o, MP_EVALUE);
    check_text("not UTF-8");
    assert_null(mp_args("a", mp_from("\xff"), "b"));
    assert_int_equal(mp_last_error(), MP_EVALUE);
}

static void
test_failed_value_is_refused_by_every_call(void **state)
{
    (void)state;
    mp_obj bad = mp_from((uint64_t)UINT64_MAX), list = mp_list(), dict = mp_dict();
    mp_obj set = mp_set_of();
    void *data;
    size_t len;
    mp_assert_code(mp_list_append(list, bad), MP_EOVERFLOW);
    mp_assert_code(mp_list_append(bad, mp_from("lost")), MP_EOVERFLOW);
    mp_assert_code(mp_dict_put(dict, bad, mp_from("lost")), MP_EOVERFLOW);
    mp_assert_code(mp_dict_put(dict, mp_from("lost"), bad), MP_EOVERFLOW);
    mp_assert_code(mp_set_add(set, bad), MP_EOVERFLOW);
    mp_assert_code(mp_print(bad), MP_EOVERFLOW);
    mp_assert_code(mp_obj_dump(bad, &data, &len), MP_EOVERFLOW);
    assert_int_equal(mp_obj_len(bad), MP_EOVERFLOW);
    assert_false(mp_as_bool(bad));
    assert_int_equal(mp_as_int(bad), 0);
    assert_int_equal(mp_last_error(), MP_EOVERFLOW);
    assert_false(mp_obj_equal(bad, bad));
    assert_int_equal(mp_obj_len(list) + mp_obj_len(dict) + mp_obj_len(set), 0);
    mp_obj_free(list);
    mp_obj_free(dict);
    mp_obj_free(set);
}

/* ---- dict and set ---------------------------------------------------------------------------- */

static void
test_dict_keeps_the_order_of_insertion(void **state)
{
    (void)state;
    mp_obj dict = mp_dict("z", 1, "a", 2);
    mp_assert_ok(mp_dict_put(dict, mp_from("m"), mp_from(3)));
    mp_assert_ok(mp_dict_put(dict, mp_from("z"), mp_from(4)));
    check_repr(dict, "{'z': 4, 'a': 2, 'm': 3}");
}

static void
test_dict_numbers_that_are_equal_are_one_key(void **state)
{
    (void)state;
    check_repr(mp_dict(1, "a", 1.0, "b", mp_bool(true), "c"), "{1: 'c'}");
    check_repr(mp_dict(0.0, "a", -0.0, "b", mp_bool(false), "c", 0, "d"), "{0.0: 'd'}");
    check_repr(mp_set_of(2.0, 2, "2"), "{2.0, '2'}");
    check_repr(mp_set_of(9007199254740993, 9007199254740992.0),
               "{9007199254740993, 9007199254740992.0}");
    check_repr(mp_set_of("a", mp_bytes("a", 1), mp_tuple("a"), mp_tuple("a")),
               "{'a', b'a', ('a',)}");
    check_repr(mp_set_of((double)NAN, (double)NAN), "{nan, nan}");
}

static void
test_dict_of_ten_thousand_keys_finds_each(void **state)
{
    (void)state;
    mp_obj dict = mp_dict();
    char name[32];
    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof name, "key %d", i);
        mp_assert_ok(mp_dict_put(dict, i % 2 ? mp_from(name) : mp_tuple(i, name), mp_from(i)));
    }
    assert_int_equal(mp_obj_len(dict), 10000);
    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof name, "key %d", i);
        mp_obj key = i % 2 ? mp_from(name) : mp_tuple(i, name);
        assert_int_equal(mp_as_int(mp_dict_get(dict, key)), i);
        assert_true(mp_dict_has(dict, key));
        mp_obj_free(key);
        assert_false(mp_dict_has(dict, mp_from(i)));
    }
    size_t pos = 0;
    mp_obj value;
    for (int i = 0; mp_dict_next(dict, &pos, NULL, &value); i++) {
        assert_int_equal(mp_as_int(value), i);
    }
    assert_int_equal(pos, 10000);
    mp_obj_free(dict);
}

static void
test_dict_get_of_no_key_says_which(void **state)
{
    (void)state;
    mp_obj dict = mp_dict("a", 1), key = mp_from("b");
    assert_true(mp_is_none(mp_dict_get(dict, key)));
    assert_int_equal(mp_last_error(), MP_EKEY);
    check_text("'b'");
    assert_true(mp_is_none(mp_dict_get(key, key)));
    assert_int_equal(mp_last_error(), MP_ETYPE);
    assert_false(mp_dict_has(key, key));
    mp_obj_free(dict);
    mp_obj_free(key);
}

static void
test_dict_unhashable_key_is_a_type_error(void **state)
{
    (void)state;
    check_failed(mp_dict(mp_list(), 1), MP_ETYPE);
    check_text("unhashable type: 'list'");
    check_failed(mp_set_of("a", mp_tuple(1, mp_dict()), "b"), MP_ETYPE);
    check_text("unhashable type: 'dict'");
    mp_obj dict = mp_dict(), set = mp_set_of(), key = mp_list();
    mp_assert_code(mp_dict_put(dict, mp_set_of(), mp_from("lost")), MP_ETYPE);
    mp_assert_code(mp_set_add(set, mp_list("lost")), MP_ETYPE);
    assert_true(mp_is_none(mp_dict_get(dict, key)));
    assert_int_equal(mp_last_error(), MP_ETYPE);
    mp_obj_free(dict);
    mp_obj_free(set);
    mp_obj_free(key);
}

static void
test_dict_of_an_odd_number_fails(void **state)
{
    (void)state;
    const mp_obj items[] = {mp_from("a"), mp_from("b"), mp_from("c")};
    check_failed(mp_dict_of(3, items), MP_EVALUE);
}

static void
test_dict_put_into_something_else_consumes_both(void **state)
{
    (void)state;
    mp_obj set = mp_set_of();
    mp_assert_code(mp_dict_put(set, mp_from("lost"), mp_from("lost")), MP_ETYPE);
    mp_assert_code(mp_set_add(mp_none(), mp_from("lost")), MP_ETYPE);
    assert_false(mp_set_has(mp_none(), mp_none()));
    mp_obj_free(set);
}

static void
test_set_has_what_was_added_once(void **state)
{
    (void)state;
    mp_obj set = mp_set_of("a", 1, "a"), a = mp_from("a");
    assert_int_equal(mp_obj_len(set), 2);
    mp_assert_ok(mp_set_add(set, mp_from("a")));
    mp_assert_ok(mp_set_add(set, mp_tuple(1, 2)));
    assert_int_equal(mp_obj_len(set), 3);
    assert_true(mp_set_has(set, a));
    assert_true(mp_set_has(set, mp_from(1.0)));
    assert_false(mp_set_has(set, mp_from(2)));
    size_t pos = 0;
    mp_obj key, value = mp_from(1);
    assert_true(mp_dict_next(set, &pos, &key, &value));
    assert_string_equal(mp_as_str(key), "a");
    assert_true(mp_is_none(value));
    pos = 0;
    assert_false(mp_dict_next(a, &pos, &key, &value));
    mp_obj_free(set);
    mp_obj_free(a);
}

/* ---- equality -------------------------------------------------------------------------------- */

static void
test_equal_numbers_compare_by_value(void **state)
{
    (void)state;
    assert_true(same(mp_from(1), mp_from(1.0)));
    assert_true(same(mp_from(1), mp_bool(true)));
    assert_true(same(mp_from(0.0), mp_from(-0.0)));
    assert_false(same(mp_from(1), mp_from(1.5)));
    assert_false(same(mp_from(9007199254740993), mp_from(9007199254740992.0)));
    assert_false(same(mp_from(INT64_MAX), mp_from(0x1p63)));
    assert_true(same(mp_from(INT64_MIN), mp_from(-0x1p63)));
    assert_false(same(mp_from((double)NAN), mp_from((double)NAN)));
    assert_false(same(mp_from(0), mp_none()));
    assert_false(same(mp_from(1), mp_from("1")));
    assert_true(same(mp_none(), mp_none()));
}

static void
test_equal_containers_compare_by_content(void **state)
{
    (void)state;
    assert_true(same(mp_list(1, "a", mp_tuple(2.0)), mp_list(1.0, "a", mp_tuple(2))));
    assert_false(same(mp_list(1), mp_tuple(1)));
    assert_false(same(mp_list(1, 2), mp_list(1)));
    assert_false(same(mp_from("a"), mp_bytes("a", 1)));
    assert_true(same(mp_dict("a", 1, "b", 2), mp_dict("b", 2, "a", 1)));
    assert_false(same(mp_dict("a", 1), mp_dict("a", 2)));
    assert_false(same(mp_dict("a", 1), mp_dict("b", 1)));
    assert_true(same(mp_set_of(1, 2, 3), mp_set_of(3, 2, 1)));
    assert_false(same(mp_set_of(1, 2, 3), mp_set_of(1, 2, 4)));
    assert_false(same(mp_from_strn("a\0b", 3), mp_from_strn("a\0c", 3)));
    mp_obj error = mp_error_new(MP_EVALUE, NULL, NULL);
    assert_true(mp_obj_equal(error, error)); /* as in Python: by identity */
    assert_false(same(error, mp_error_new(MP_EVALUE, NULL, NULL)));
}

static void
test_equal_deeper_than_1000_is_false(void **state)
{
    (void)state;
    assert_true(same(nested(1000), nested(1000)));
    assert_false(same(nested(1001), nested(1001)));
    assert_false(same(nested(100000), nested(100000)));
}

static void
test_equal_of_shared_parts_ends_in_time(void **state)
{
    (void)state;
    assert_true(same(doubled(16), doubled(16)));
    mp_obj o = doubled(100), set = mp_set_of(mp_obj_ref(o)); /* hashes in no time */
    assert_true(mp_set_has(set, o));
    mp_obj_free(set);
    mp_obj_free(o);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_obj_each_kind_has_pythons_name),
    cmocka_unit_test(test_obj_zeroed_is_none),
    cmocka_unit_test(test_from_takes_every_c_type),
    cmocka_unit_test(test_from_uint_beyond_64_bits_signed_fails),
    cmocka_unit_test(test_str_not_utf8_fails),
    cmocka_unit_test(test_str_with_nul_keeps_its_length),
    cmocka_unit_test(test_as_int_of_bool_is_a_number),
    cmocka_unit_test(test_as_another_kind_says_both_types),
    cmocka_unit_test(test_as_bool_is_pythons_truth),
    cmocka_unit_test(test_handle_comes_back_by_its_type),
    cmocka_unit_test(test_free_keeps_errno),
    cmocka_unit_test(test_ref_keeps_a_value_that_was_consumed),
    cmocka_unit_test(test_free_of_a_million_levels_works),
    cmocka_unit_test(test_list_get_counts_from_both_ends),
    cmocka_unit_test(test_list_append_and_set_change_it),
    cmocka_unit_test(test_list_append_to_something_else_consumes_the_item),
    cmocka_unit_test(test_list_of_no_array_fails),
    cmocka_unit_test(test_failed_value_passes_through_all_containers),
    cmocka_unit_test(test_failed_value_is_refused_by_every_call),
    cmocka_unit_test(test_dict_keeps_the_order_of_insertion),
    cmocka_unit_test(test_dict_numbers_that_are_equal_are_one_key),
    cmocka_unit_test(test_dict_of_ten_thousand_keys_finds_each),
    cmocka_unit_test(test_dict_get_of_no_key_says_which),
    cmocka_unit_test(test_dict_unhashable_key_is_a_type_error),
    cmocka_unit_test(test_dict_of_an_odd_number_fails),
    cmocka_unit_test(test_dict_put_into_something_else_consumes_both),
    cmocka_unit_test(test_set_has_what_was_added_once),
    cmocka_unit_test(test_equal_numbers_compare_by_value),
    cmocka_unit_test(test_equal_containers_compare_by_content),
    cmocka_unit_test(test_equal_deeper_than_1000_is_false),
    cmocka_unit_test(test_equal_of_shared_parts_ends_in_time),
};

MP_TEST_MAIN(tests)
