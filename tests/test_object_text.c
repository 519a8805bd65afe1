/* test_object_text.c: repr(), str(), print(), and errors as values. */
#include "object_test.h"

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <stdio.h>
#include <unistd.h>

static void
check_str(mp_obj o, const char *expected)
{
    char *text = mp_obj_str(o);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
    mp_obj_free(o);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void
test_repr_is_pythons(void **state)
{
    (void)state;
    check_repr(mp_list(), "[]");
    check_repr(mp_tuple(), "()");
    check_repr(mp_tuple(1), "(1,)");
    check_repr(mp_tuple(1, 2), "(1, 2)");
    check_repr(mp_dict(), "{}");
    check_repr(mp_set_of(), "set()");
    check_repr(mp_set_of(1), "{1}");
    check_repr(mp_dict("a", mp_list(1, mp_dict(2, mp_none()))), "{'a': [1, {2: None}]}");
    check_repr(mp_list(42, mp_none(), "hello", mp_bool(false)), "[42, None, 'hello', False]");
    check_repr(mp_from(INT64_MIN), "-9223372036854775808");
}

static void
test_repr_str_quotes_and_escapes(void **state)
{
    (void)state;
    check_repr(mp_from("it's"), "\"it's\"");
    check_repr(mp_from("say \"it's\""), "'say \"it\\'s\"'");
    check_repr(mp_from("\"\""), "'\"\"'");
    check_repr(mp_from("a\\b\n\r\t\x01\x7f"), "'a\\\\b\\n\\r\\t\\x01\\x7f'");
    check_repr(mp_from("h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80"),
               "'h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80'");
    check_repr(mp_from("\xc2\xa0\xc2\xad\xc2\x80"), "'\\xa0\\xad\\x80'");
    check_repr(mp_from("\xe2\x80\x8b\xe2\x80\xa8\xef\xbb\xbf"), "'\\u200b\\u2028\\ufeff'");
    check_repr(mp_from("\xed\xa0\x80"), "'\\ud800'");
    check_repr(mp_from("\xf3\xa0\x80\x81\xf4\x8f\xbf\xbf"), "'\\U000e0001\\U0010ffff'");
    check_repr(mp_bytes("a'\\\n\0\xff", 6), "b\"a'\\\\\\n\\x00\\xff\"");
    check_repr(mp_bytes("'\"", 2), "b'\\'\"'");
}

static void
test_repr_float_is_the_shortest(void **state)
{
    (void)state;
    static const struct {
        double d;
        const char *text;
    } rows[] = {
        {0.0, "0.0"},
        {-0.0, "-0.0"},
        {1.0, "1.0"},
        {-1.5, "-1.5"},
        {0.1, "0.1"},
        {1.0 / 3, "0.3333333333333333"},
        {2.0 / 3, "0.6666666666666666"},
        {0.1 + 0.2, "0.30000000000000004"},
        {100.0, "100.0"},
        {123456.789, "123456.789"},
        {1e15, "1000000000000000.0"},
        {9999999999999998.0, "9999999999999998.0"},
        {1e16, "1e+16"},
        {1.5e16, "1.5e+16"},
        {1e22, "1e+22"},
        {1e23, "1e+23"},
        {0.0001, "0.0001"},
        {0.00012345, "0.00012345"},
        {0.00001, "1e-05"},
        {1.25e-7, "1.25e-07"},
        {1e100, "1e+100"},
        {1e-100, "1e-100"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {DBL_MIN, "2.2250738585072014e-308"},
        {5e-324, "5e-324"},
        {1e-310, "1e-310"},
        {0x1p89, "6.189700196426902e+26"}, /* the closest of 16 digits is too far below */
        {0x1p-44, "5.684341886080802e-14"},
        {9007199254740993.0, "9007199254740992.0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_repr(mp_from(rows[i].d), rows[i].text);
    }
    check_repr(mp_list((double)INFINITY, -(double)INFINITY, (double)NAN), "[inf, -inf, nan]");
}

static void
test_repr_of_itself_is_dots(void **state)
{
    (void)state;
    mp_obj list = mp_list(1), dict = mp_dict();
    mp_assert_ok(mp_list_append(list, mp_tuple(mp_obj_ref(list))));
    char *text = mp_obj_repr(list);
    assert_string_equal(text, "[1, ([...],)]");
    free(text);
    mp_assert_ok(mp_list_set(list, 1, mp_none())); /* a cycle is not freed by itself */
    mp_obj_free(list);

    mp_assert_ok(mp_dict_put(dict, mp_from("k"), mp_obj_ref(dict)));
    text = mp_obj_repr(dict);
    assert_string_equal(text, "{'k': {...}}");
    free(text);
    mp_assert_ok(mp_dict_put(dict, mp_from("k"), mp_none()));
    mp_obj_free(dict);
}

static void
test_repr_of_shared_parts_and_depth_ends(void **state)
{
    (void)state;
    mp_obj shared = mp_list(1);
    check_repr(mp_list(mp_obj_ref(shared), mp_obj_ref(shared)), "[[1], [1]]");
    mp_obj_free(shared);
    mp_obj deep = nested(100000);
    char *text = mp_obj_repr(deep);
    assert_int_equal(strlen(text), 1000 + strlen("[...]") + 1000);
    free(text);
    mp_obj_free(deep);
    mp_obj wide = doubled(40);
    text = mp_obj_repr(wide);
    assert_non_null(text);
    free(text);
    mp_obj_free(wide);
}

static void
test_str_differs_from_repr_for_text_and_errors(void **state)
{
    (void)state;
    check_str(mp_from("it's"), "it's");
    check_str(mp_bytes("x", 1), "b'x'");
    check_str(mp_list("x"), "['x']");
    check_str(mp_from(2.0), "2.0");
    check_str(mp_error_new(MP_EVALUE, NULL, "wrong"), "wrong");
    check_repr(mp_error_new(MP_EVALUE, NULL, "wrong"), "ValueError('wrong')");
    check_repr(mp_error_new(MP_EVALUE, NULL, ""), "ValueError()");
    check_str(mp_error_new(MP_EKEY, NULL, "k"), "'k'");
    check_repr(mp_error_new(MP_EEMPTY, NULL, ""), "Empty()");
    check_repr(mp_error_new(-ENOENT, NULL, "none"), "OSError(2, 'none')");
    check_str(mp_error_new(-ENOENT, NULL, "none"), "[Errno 2] none");
    check_str(mp_error_new(MP_ECLOSED, NULL, NULL), "the object is closed");
    check_repr(mp_error_new(MP_ETASK, "my.module.Oops", "it's"), "Oops(\"it's\")");
}

static void
test_print_writes_str_and_a_newline(void **state)
{
    (void)state;
    char path[300], text[100] = "";
    snprintf(path, sizeof path, "%s/out", mp_test_dir());
    fflush(stdout);
    int saved = dup(STDOUT_FILENO), file = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(saved >= 0 && file >= 0);
    dup2(file, STDOUT_FILENO);
    mp_obj list = mp_list(42, mp_none(), "hello"), word = mp_from_strn("a\0b", 3);
    int rc = mp_print(list) | mp_print(word);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    mp_assert_ok(rc);
    ssize_t n = pread(file, text, sizeof text, 0);
    close(file);
    assert_int_equal(n, 24);
    assert_memory_equal(text, "[42, None, 'hello']\na\0b\n", 24);
    mp_obj_free(list);
    mp_obj_free(word);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void
test_error_keeps_code_type_and_message(void **state)
{
    (void)state;
    mp_obj e = mp_error_new(MP_EWORKERLOST, "my.Type", "why");
    assert_int_equal(mp_error_code(e), MP_EWORKERLOST);
    assert_string_equal(mp_error_type(e), "my.Type");
    assert_string_equal(mp_error_message(e), "why");
    mp_obj_free(e);
}

static void
test_error_has_defaults_for_each_code(void **state)
{
    (void)state;
#define CHECK_CODE(code, number, python, text)                                                     \
    {                                                                                              \
        mp_obj e = mp_error_new(code, NULL, NULL);                                                 \
        assert_int_equal(mp_error_code(e), number);                                                \
        assert_string_equal(mp_error_type(e), python);                                             \
        assert_string_equal(mp_error_message(e), text);                                            \
        mp_obj_free(e);                                                                            \
    }
    MP_ERRORS(CHECK_CODE)
    CHECK_CODE(-EPIPE, -EPIPE, "OSError", mp_strerror(-EPIPE))
#undef CHECK_CODE
}

static void
test_error_with_bytes_that_are_no_text_is_cleaned(void **state)
{
    (void)state;
    mp_obj e = mp_error_new(MP_EVALUE, "Bad\xff", "caf\xe9");
    assert_string_equal(mp_error_type(e), "Bad?");
    assert_string_equal(mp_error_message(e), "caf?");
    mp_obj_free(e);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_repr_is_pythons),
    cmocka_unit_test(test_repr_str_quotes_and_escapes),
    cmocka_unit_test(test_repr_float_is_the_shortest),
    cmocka_unit_test(test_repr_of_itself_is_dots),
    cmocka_unit_test(test_repr_of_shared_parts_and_depth_ends),
    cmocka_unit_test(test_str_differs_from_repr_for_text_and_errors),
    cmocka_unit_test(test_print_writes_str_and_a_newline),
    cmocka_unit_test(test_error_keeps_code_type_and_message),
    cmocka_unit_test(test_error_has_defaults_for_each_code),
    cmocka_unit_test(test_error_with_bytes_that_are_no_text_is_cleaned),
};

MP_TEST_MAIN(tests)
