/*
 * test_forkserver_preload.c: what the forkserver runs before it forks, what becomes of a function
 * that fails there, and starting the server without a child.
 */
#include "mp_test.h"

#include <signal.h>

#include "helpers/process.h"

static int preloaded;

static int
preload_one(void)
{
    preloaded = preloaded * 10 + 1;
    printf("one ");
    return 0;
}

static int
preload_two(void)
{
    preloaded = preloaded * 10 + 2;
    printf("two\n");
    return 0;
}

static int
preload_badly(void)
{
    mp_list_get(mp_none(), 0); /* leaves a last error */
    return mp_last_error();
}

static int
preload_and_die(void)
{
    _exit(7);
}

static int
tell_preloaded(const mp_args *args)
{
    (void)args;
    return preloaded;
}

static int
start_in_forkserver(mp_target target)
{
    mp_process *p = mp_context_process(mp_context_forkserver(), target, NULL, NULL);
    assert_non_null(p);
    int status = mp_process_start(p);
    if (status == 0) {
        return finish(p);
    }
    mp_assert_ok(mp_process_free(p));
    return status;
}

static void
test_forkserver_preloads_once_for_all_its_children(void **state)
{
    (void)state;
    static const mp_preload both[] = {preload_one, preload_two};
    struct capture c;
    char text[200];
    int codes[3];
    capture_begin(&c, 1);
    int status = mp_set_forkserver_preload(both, 2, MP_PRELOAD_FAIL);
    for (int i = 0; i < 3; i++) {
        codes[i] = start_in_forkserver(tell_preloaded);
    }
    mp_set_forkserver_preload(NULL, 0, MP_PRELOAD_IGNORE);
    capture_end(&c, text, sizeof text);
    mp_assert_ok(status);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(codes[i], 12); /* in their order */
    }
    assert_string_equal(text, "one two\n");
    assert_int_equal(preloaded, 0);                           /* not here */
    assert_int_equal(start_in_forkserver(tell_preloaded), 0); /* nor in a server made since */
}

static void
test_forkserver_preload_that_fails_is_ignored_told_or_the_end(void **state)
{
    (void)state;
    static const mp_preload mixed[] = {preload_one, preload_badly, preload_two};
    static const mp_preload deadly[] = {preload_and_die};
    struct capture c;
    char text[600], error[600];
    int codes[4];
    capture_begin(&c, 2);
    mp_set_forkserver_preload(mixed, 3, MP_PRELOAD_IGNORE);
    codes[0] = start_in_forkserver(tell_preloaded);
    capture_end(&c, text, sizeof text);
    assert_string_equal(text, "");
    capture_begin(&c, 2);
    mp_set_forkserver_preload(mixed, 3, MP_PRELOAD_WARN);
    codes[1] = start_in_forkserver(tell_preloaded);
    mp_set_forkserver_preload(mixed, 3, MP_PRELOAD_FAIL);
    mp__process_settle();
    codes[2] = start_in_forkserver(tell_preloaded);
    snprintf(error, sizeof error, "%s", mp_last_error_text());
    mp_set_forkserver_preload(deadly, 1, MP_PRELOAD_IGNORE);
    codes[3] = mp_forkserver_ensure_running();
    mp_set_forkserver_preload(NULL, 0, MP_PRELOAD_IGNORE);
    capture_end(&c, text, sizeof text);
    assert_int_equal(codes[0], 12);
    assert_int_equal(codes[1], 12);
    assert_non_null(strstr(text, "forkserver: TypeError: preloading, function 1: "));
    assert_int_equal(codes[2], MP_ETYPE);
    assert_non_null(strstr(error, "preloading, function 1: "));
    assert_int_equal(codes[3], MP_ERUNTIME);
    assert_int_equal(start_in_forkserver(tell_preloaded), 0); /* and it works again */
}

static void
test_forkserver_preload_of_nonsense_is_refused(void **state)
{
    (void)state;
    static const mp_preload hole[] = {preload_one, NULL};
    mp_assert_code(mp_set_forkserver_preload(hole, 2, MP_PRELOAD_WARN), MP_ETYPE);
    mp_assert_code(mp_set_forkserver_preload(NULL, 1, MP_PRELOAD_WARN), MP_EVALUE);
    mp_assert_code(mp_set_forkserver_preload(hole, 1, 3), MP_EVALUE);
    mp_assert_code(mp_set_forkserver_preload(hole, 1, -1), MP_EVALUE);
}

static int
tell_parent(const mp_args *args)
{
    void *n;
    mp_args_get(args, &n);
    atomic_store(&((struct note *)n)->number[0], getppid());
    return 0;
}

static void
test_forkserver_ensure_running_starts_one_and_no_more(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp__process_settle();
    mp_assert_ok(mp_forkserver_ensure_running());
    mp_assert_ok(mp_forkserver_ensure_running());
    const mp_process_options o = {.context = mp_context_forkserver()};
    assert_int_equal(finish(start_with(tell_parent, mp_args((void *)n), &o)), 0);
    pid_t server = (pid_t)n->number[0];
    mp_assert_ok(mp_forkserver_ensure_running());
    assert_int_equal(finish(start_with(tell_parent, mp_args((void *)n), &o)), 0);
    assert_int_equal(n->number[0], server);
    assert_int_equal(kill(server, SIGKILL), 0);
    while (is_running(server)) {
        nap();
    }
    mp_assert_ok(mp_forkserver_ensure_running()); /* another */
    assert_int_equal(finish(start_with(tell_parent, mp_args((void *)n), &o)), 0);
    assert_true(n->number[0] != server);
    mp_free(n);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_forkserver_preloads_once_for_all_its_children),
    cmocka_unit_test(test_forkserver_preload_that_fails_is_ignored_told_or_the_end),
    cmocka_unit_test(test_forkserver_preload_of_nonsense_is_refused),
    cmocka_unit_test(test_forkserver_ensure_running_starts_one_and_no_more),
};

MP_TEST_MAIN(tests)
