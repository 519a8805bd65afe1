/* test_errors.c: codes, their names and texts, and the latest failure of a thread. */
#include "mp_test.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int code, number;
    const char *symbol, *python, *text;
} rows[] = {
#define ROW(code, number, python, text) {code, number, #code, python, text},
    MP_ERRORS(ROW)
#undef ROW
};
#define ROWS (sizeof rows / sizeof *rows)

static void
test_codes_all_are_unique_and_off_errno(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        assert_int_equal(rows[i].code, rows[i].number);
        assert_true(rows[i].code < -4095); /* Linux' errnos end at 4095 */
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(rows[i].code, rows[j].code);
            assert_string_not_equal(rows[i].text, rows[j].text);
        }
    }
    assert_true(MP_OWNER_DIED > 0 && MP_NOT_YET > 0 && MP_OWNER_DIED != MP_NOT_YET);
}

static void
test_codes_all_have_text_and_python_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        assert_string_equal(mp_strerror(rows[i].code), rows[i].text);
        assert_string_equal(mp_err_name(rows[i].code), rows[i].python);
        assert_true(strlen(rows[i].text) > 5 && strlen(rows[i].python) > 4);
    }
    assert_string_equal(mp_err_name(MP_EEMPTY), "queue.Empty");
    assert_string_equal(mp_err_name(MP_EFULL), "queue.Full");
    assert_string_equal(mp_err_name(MP_EVALUE), "ValueError");
}

static void
test_errno_codes_have_the_systems_text(void **state)
{
    (void)state;
    static const int some[] = {EPERM, ENOENT, EINTR, EAGAIN, ENOMEM, EPIPE, EMFILE, ETIMEDOUT};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        assert_string_equal(mp_strerror(-some[i]), strerror(some[i]));
        assert_string_equal(mp_err_name(-some[i]), "OSError");
    }
    errno = EXDEV;
    assert_non_null(mp_strerror(-4000)); /* none of the system's: still a text */
    assert_true(strlen(mp_strerror(-4000)) > 0);
    assert_int_equal(errno, EXDEV);
}

static void
test_codes_unknown_and_positive_have_a_text_and_no_name(void **state)
{
    (void)state;
    assert_string_equal(mp_strerror(0), "success");
    assert_string_equal(mp_err_name(0), "");
    static const int news[] = {MP_OWNER_DIED, MP_NOT_YET};
    for (size_t i = 0; i < 2; i++) {
        assert_string_not_equal(mp_strerror(news[i]), "unknown code");
        assert_true(strlen(mp_strerror(news[i])) > 5);
        assert_string_equal(mp_err_name(news[i]), "");
    }
    static const int unknown[] = {
        3, 4095, INT_MAX, -4096, -20000, -20000 - (int)ROWS - 1, INT_MIN, INT_MIN + 1};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        assert_string_equal(mp_strerror(unknown[i]), "unknown code");
        assert_string_equal(mp_err_name(unknown[i]), "");
    }
}

/* ---- the latest failure ---------------------------------------------------------------------- */

static int
fail_somehow(void)
{
    static int no_queue;
    return mp_queue_free((mp_queue *)(void *)&no_queue);
}

/* What a fresh thread sees of the failures of another, and that its own do not leak out. */
struct seen {
    int code_before, code_after;
    char text_before[64], text_after[512];
};

static void *
look_and_fail(void *arg)
{
    struct seen *s = arg;
    s->code_before = mp_last_error();
    snprintf(s->text_before, sizeof s->text_before, "%s", mp_last_error_text());
    mp_obj none = mp_none();
    (void)mp_as_int(none);
    s->code_after = mp_last_error();
    snprintf(s->text_after, sizeof s->text_after, "%s", mp_last_error_text());
    return NULL;
}

static void
test_last_error_is_of_this_thread(void **state)
{
    (void)state;
    assert_int_equal(fail_somehow(), MP_EVALUE);
    char mine[512];
    snprintf(mine, sizeof mine, "%s", mp_last_error_text());
    assert_true(strstr(mine, "mp_queue_free") != NULL);

    struct seen s;
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, look_and_fail, &s), 0);
    pthread_join(t, NULL);
    assert_int_equal(s.code_before, 0);
    assert_string_equal(s.text_before, "");
    assert_int_equal(s.code_after, MP_ETYPE);
    assert_true(strlen(s.text_after) > 0);

    assert_int_equal(mp_last_error(), MP_EVALUE);
    assert_string_equal(mp_last_error_text(), mine);
}

static void
test_last_error_survives_success_and_tells_the_latest(void **state)
{
    (void)state;
    assert_int_equal(fail_somehow(), MP_EVALUE);
    mp_queue *q = mp_queue_new(1);
    assert_non_null(q);
    mp_assert_ok(mp_queue_put(q, 1, 0));
    assert_int_equal(mp_last_error(), MP_EVALUE); /* success leaves it */
    mp_assert_code(mp_queue_put(q, 2, 0), MP_EFULL);
    assert_int_equal(mp_last_error(), MP_EFULL);
    assert_true(strstr(mp_last_error_text(), "mp_queue_put") != NULL);
    mp_assert_ok(mp_queue_free(q));
}

static int
failing_child(const mp_args *args)
{
    (void)args;
    mp_child_code(fail_somehow(), MP_EVALUE);
    mp_child_check(mp_last_error() == MP_EVALUE);
    mp_child_check(strstr(mp_last_error_text(), "mp_queue_free") != NULL);
    return 7;
}

static void
test_last_error_of_a_child_is_its_own(void **state)
{
    (void)state;
    mp_assert_code(mp_queue_new(INT64_MAX) ? 0 : mp_last_error(), MP_EVALUE);
    char mine[512];
    snprintf(mine, sizeof mine, "%s", mp_last_error_text());
    mp_process *p = mp_process_new(failing_child, NULL, NULL);
    assert_non_null(p);
    mp_assert_ok(mp_process_start(p));
    mp_assert_ok(mp_process_join(p, 20));
    int code = -1;
    mp_assert_ok(mp_process_exitcode(p, &code));
    assert_int_equal(code, 7);
    mp_assert_ok(mp_process_free(p));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    assert_string_equal(mp_last_error_text(), mine);
}

static int
raising_child(const mp_args *args)
{
    (void)args;
    return fail_somehow();
}

static void
test_child_returning_an_error_code_exits_with_1(void **state)
{
    (void)state;
    mp_process *p = mp_process_new(raising_child, NULL, NULL);
    assert_non_null(p);
    mp_assert_ok(mp_process_start(p));
    mp_assert_ok(mp_process_join(p, 20));
    int code = -1;
    mp_assert_ok(mp_process_exitcode(p, &code));
    assert_int_equal(code, 1);
    mp_assert_ok(mp_process_free(p));
}

static void
test_texts_longer_than_the_buffer_are_cut(void **state)
{
    (void)state;
    char method[4000];
    memset(method, 'x', sizeof method - 1);
    method[sizeof method - 1] = '\0';
    assert_null(mp_get_context(method));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    assert_true(strlen(mp_last_error_text()) < sizeof method);
    assert_true(strlen(mp_last_error_text()) > 20);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_codes_all_are_unique_and_off_errno),
    cmocka_unit_test(test_codes_all_have_text_and_python_name),
    cmocka_unit_test(test_errno_codes_have_the_systems_text),
    cmocka_unit_test(test_codes_unknown_and_positive_have_a_text_and_no_name),
    cmocka_unit_test(test_last_error_is_of_this_thread),
    cmocka_unit_test(test_last_error_survives_success_and_tells_the_latest),
    cmocka_unit_test(test_last_error_of_a_child_is_its_own),
    cmocka_unit_test(test_child_returning_an_error_code_exits_with_1),
    cmocka_unit_test(test_texts_longer_than_the_buffer_are_cut),
};
MP_TEST_MAIN(tests)
