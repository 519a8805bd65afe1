/*
 * test_process_properties.c: what is told of a process, and to it, beside its life: arguments, run,
 * data of the user's, authkey, identity, repr.
 */
#include "mp_test.h"

#include <sys/wait.h>

#include "helpers/process.h"

static struct note *
note_of(const mp_args *args)
{
    return mp_as_handle(mp_args_item(args, 0), MP_HANDLE_POINTER);
}

/* ---- arguments --------------------------------------------------------------------------------*/

static int
return_the_number(const mp_args *args)
{
    int n;
    mp_args_get(args, &n);
    return n;
}

static void
test_process_set_args_counts_until_the_start(void **state)
{
    (void)state;
    mp_process *p = mp_process_new(return_the_number, mp_args(1, 2), NULL);
    mp_assert_ok(mp_process_set_args(p, mp_args(9)));
    assert_int_equal(mp_as_int(mp_args_item(mp_process_args(p), 0)), 9);
    mp_assert_ok(mp_process_start(p));
    mp_assert_code(mp_process_set_args(p, mp_args(8)), MP_ESTATE);
    assert_null(mp_process_args(p)); /* they went along */
    assert_int_equal(finish(p), 9);
    p = mp_process_new(return_the_number, mp_args(1), NULL);
    mp_assert_ok(mp_process_set_args(p, NULL));
    assert_null(mp_process_args(p));
    mp_assert_ok(mp_process_close(p));
    mp_assert_code(mp_process_set_args(p, mp_args(1)), MP_EVALUE);
    mp_assert_ok(mp_process_free(p));
    mp_assert_code(mp_process_set_args(mp_current_process(), mp_args(1)), MP_ESTATE);
}

/* ---- run --------------------------------------------------------------------------------------*/

static int
run_around(mp_process *p)
{
    struct note *n = note_of(mp_process_args(p));
    atomic_store(&n->number[0], getpid());
    if (p != mp_current_process()) {
        return 17; /* run by hand, in the parent */
    }
    return 100 + mp_process_run(p); /* the target */
}

static int
note_and_return_5(const mp_args *args)
{
    atomic_fetch_add(&note_of(args)->number[1], 1);
    return 5;
}

static void
test_process_run_may_be_replaced(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp_process *p = mp_process_new(note_and_return_5, mp_args((void *)n), NULL);
    mp_assert_ok(mp_process_set_run(p, run_around));
    assert_int_equal(mp_process_run(p), 17);
    assert_int_equal(n->number[0], getpid());
    mp_assert_ok(mp_process_start(p));
    mp_assert_code(mp_process_run(p), MP_ESTATE);
    mp_assert_code(mp_process_set_run(p, run_around), MP_ESTATE);
    pid_t pid = mp_process_pid(p);
    assert_int_equal(finish(p), 105);
    assert_int_equal(n->number[0], pid);
    assert_int_equal(n->number[1], 1);
    mp_free(n);
}

static int
run_alone(mp_process *p)
{
    return mp_process_run(p) == 0 ? 3 : 4; /* there is no target */
}

static void
test_process_run_by_hand_runs_here(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp_process *p = mp_process_new(note_and_return_5, mp_args((void *)n), NULL);
    assert_int_equal(mp_process_run(p), 5);
    assert_int_equal(mp_process_run(p), 5);
    assert_int_equal(finish((mp_process_start(p), p)), 5);
    assert_int_equal(n->number[1], 3);
    p = mp_process_new(NULL, NULL, NULL);
    assert_int_equal(mp_process_run(p), 0);
    mp_assert_ok(mp_process_set_run(p, run_alone));
    assert_int_equal(finish((mp_process_start(p), p)), 3);
    mp_free(n);
}

/* ---- data of the user's -----------------------------------------------------------------------*/

static int
check_userdata(const mp_args *args)
{
    int n;
    mp_args_get(args, &n);
    mp_obj data = mp_process_userdata(mp_current_process());
    mp_child_check(mp_obj_len(data) == 3 && mp_as_int(mp_list_get(data, 0)) == n);
    int fd = mp_dup_fd_detach(mp_list_get(data, 2));
    mp_child_check(write(fd, mp_as_str(mp_list_get(data, 1)), 1) == 1);
    mp_child_ok(mp_process_set_userdata(mp_current_process(), mp_from("mine")));
    mp_child_check(strcmp(mp_as_str(mp_process_userdata(mp_current_process())), "mine") == 0);
    return 0;
}

static int
has_none(const mp_args *args)
{
    (void)args;
    mp_child_check(mp_is_none(mp_process_userdata(mp_current_process())));
    return 0;
}

static void
test_process_userdata_goes_with_it(void **state)
{
    (void)state;
    int fds[2];
    char byte = 0;
    assert_int_equal(pipe(fds), 0);
    mp_process *p = mp_process_new(check_userdata, mp_args(42), NULL);
    mp_assert_ok(mp_process_set_userdata(p, mp_from("another")));
    mp_assert_ok(mp_process_set_userdata(p, mp_list(42, "x", mp_dup_fd(fds[1]))));
    mp_assert_ok(mp_process_start(p));
    assert_int_equal(mp_as_int(mp_list_get(mp_process_userdata(p), 0)), 42);
    assert_int_equal(finish(p), 0);
    close(fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(read(fds[0], &byte, 1), 0);
    close(fds[0]);
    assert_int_equal(finish(start(has_none, NULL)), 0);
    mp_assert_code(mp_process_set_userdata(NULL, mp_from("x")), MP_EVALUE);
}

/* ---- authkey ----------------------------------------------------------------------------------*/

static bool
key_is(mp_process *p, const void *key, size_t len)
{
    size_t have = 0;
    const void *k = mp_process_authkey(p, &have);
    return k && have == len && memcmp(k, key, len) == 0;
}

static int
check_key(const mp_args *args)
{
    mp_obj key;
    int depth;
    mp_args_get(args, &key, &depth);
    size_t len;
    const void *bytes = mp_as_bytes(key, &len);
    mp_child_check(key_is(mp_current_process(), bytes, len));
    mp_child_check(mp_process_authkey(mp_parent_process(), NULL) == NULL);
    mp_process *other = mp_process_new(check_key, NULL, NULL);
    mp_child_check(key_is(other, bytes, len));
    mp_child_ok(mp_process_set_authkey(other, "other", 5)); /* which changes nobody else's */
    mp_child_check(key_is(other, "other", 5));
    mp_child_check(key_is(mp_current_process(), bytes, len));
    mp_child_ok(mp_process_free(other));
    if (depth > 0) {
        mp_child_check(run_in_child(check_key, mp_args(key, depth - 1), NULL) == 0);
    }
    return 0;
}

static void
test_process_authkey_is_inherited(void **state)
{
    (void)state;
    char mine[32], zero[32] = {0};
    size_t len = 0;
    const void *key = mp_process_authkey(mp_current_process(), &len);
    assert_int_equal(len, sizeof mine);
    memcpy(mine, key, sizeof mine);
    assert_memory_not_equal(mine, zero, sizeof mine);
    mp_process *p = mp_process_new(check_key, mp_args(mp_bytes(mine, 32), 1), NULL);
    assert_true(key_is(p, mine, sizeof mine));

    mp_assert_ok(mp_process_set_authkey(mp_current_process(), "a\0b", 3)); /* for later ones */
    assert_true(key_is(p, mine, sizeof mine));
    assert_int_equal(finish((mp_process_start(p), p)), 0);
    assert_int_equal(finish(start(check_key, mp_args(mp_bytes("a\0b", 3), 1))), 0);

    p = mp_process_new(check_key, mp_args(mp_bytes("", 0), 0), NULL);
    mp_assert_ok(mp_process_set_authkey(p, "", 0)); /* for this one */
    mp_assert_ok(mp_process_start(p));
    mp_assert_ok(mp_process_join(p, MP_FOREVER));
    assert_true(key_is(mp_current_process(), "a\0b", 3));
    mp_assert_ok(mp_process_set_authkey(p, "later", 5));
    mp_assert_ok(mp_process_close(p));
    assert_true(key_is(p, "later", 5));
    mp_assert_code(mp_process_set_authkey(p, NULL, 1), MP_EVALUE);
    mp_assert_ok(mp_process_free(p));
    mp_assert_ok(mp_process_set_authkey(mp_current_process(), mine, sizeof mine));
    assert_null(mp_process_authkey(NULL, NULL));
}

/* ---- identity and repr ------------------------------------------------------------------------*/

static int
tell_repr(const mp_args *args)
{
    struct note *n = note_of(args);
    mp_process *self = mp_current_process(), *parent = mp_parent_process();
    char *mine = mp_process_repr(self), *parents = mp_process_repr(parent);
    mp_child_check(mine && parents);
    snprintf(n->text[0], sizeof n->text[0], "%s", mine);
    snprintf(n->text[1], sizeof n->text[1], "%s", parents);
    free(mine);
    free(parents);
    mp_process *child = mp_process_new(NULL, NULL, NULL);
    snprintf(n->text[2], sizeof n->text[2], "%s %s", mp_process_identity(self),
             mp_process_identity(child));
    mp_child_ok(mp_process_free(child));
    return 0;
}

static void
check_repr(mp_process *p, const char *format, ...)
{
    char expected[300];
    va_list ap;
    va_start(ap, format);
    vsnprintf(expected, sizeof expected, format, ap);
    va_end(ap);
    char *text = mp_process_repr(p);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

static void
test_process_repr_is_pythons(void **state)
{
    (void)state;
    struct note *n = note_new();
    int me = (int)getpid();
    check_repr(mp_current_process(), "<_MainProcess name='MainProcess' parent=None started>");
    assert_string_equal(mp_process_identity(mp_current_process()), "");
    mp_process *p = mp_process_new(hang, mp_args((void *)n),
                                   &(mp_process_options){.name = "it's", .daemon = MP_DAEMON_YES});
    check_repr(p, "<Process name=\"it's\" parent=%d initial daemon>", me);
    mp_assert_ok(mp_process_start(p));
    int pid = mp_process_pid(p);
    assert_int_equal(mp_process_ident(p), pid);
    check_repr(p, "<Process name=\"it's\" pid=%d parent=%d started daemon>", pid, me);
    mp_assert_ok(mp_process_kill(p));
    mp_assert_ok(mp_process_join(p, MP_FOREVER));
    check_repr(p, "<Process name=\"it's\" pid=%d parent=%d stopped exitcode=-SIGKILL daemon>", pid,
               me);
    mp_assert_ok(mp_process_close(p));
    check_repr(p, "<Process name=\"it's\" parent=%d closed daemon>", me);
    mp_assert_ok(mp_process_free(p));

    static const char *const classes[] = {"ForkProcess", "SpawnProcess", "ForkServerProcess"};
    const mp_context *contexts[] = {mp_context_fork(), mp_context_spawn(), mp_context_forkserver()};
    for (int i = 0; i < 3; i++) {
        p = mp_context_process(contexts[i], tell_repr, mp_args((void *)n),
                               &(mp_process_options){.name = "x"});
        char number[64];
        snprintf(number, sizeof number, "%s %s:1", mp_process_identity(p), mp_process_identity(p));
        mp_assert_ok(mp_process_start(p));
        pid = mp_process_pid(p);
        mp_assert_ok(mp_process_join(p, MP_FOREVER));
        check_repr(p, "<%s name='x' pid=%d parent=%d stopped exitcode=0>", classes[i], pid, me);
        mp_assert_ok(mp_process_free(p));
        char expected[200];
        snprintf(expected, sizeof expected, "<%s name='x' parent=%d started>", classes[i], me);
        assert_string_equal(n->text[0], expected);
        assert_string_equal(n->text[1], "<_ParentProcess name='MainProcess' parent=None unknown>");
        assert_string_equal(n->text[2], number);
    }
    mp_free(n);
}

/* ---- leaving with a text ----------------------------------------------------------------------*/

static int
leave_with_text(const mp_args *args)
{
    (void)args;
    printf("before ");
    mp_exit_message("that is all");
}

static void
test_exit_message_is_a_line_and_code_1(void **state)
{
    (void)state;
    struct capture c;
    char text[200];
    capture_begin(&c, 2);
    mp_process *p =
        mp_process_new(leave_with_text, NULL, &(mp_process_options){.stdout_path = "/dev/null"});
    int status = mp_process_start(p);
    int code = status == 0 ? finish(p) : -1;
    capture_end(&c, text, sizeof text);
    assert_int_equal(code, 1);
    assert_string_equal(text, "that is all\n");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_process_set_args_counts_until_the_start),
    cmocka_unit_test(test_process_run_may_be_replaced),
    cmocka_unit_test(test_process_run_by_hand_runs_here),
    cmocka_unit_test(test_process_userdata_goes_with_it),
    cmocka_unit_test(test_process_authkey_is_inherited),
    cmocka_unit_test(test_process_repr_is_pythons),
    cmocka_unit_test(test_exit_message_is_a_line_and_code_1),
};

MP_TEST_MAIN(tests)
