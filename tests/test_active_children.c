/*
 * test_active_children.c: the children of a process as a whole, those nobody has any more, and the
 * process itself.
 */
#include "mp_test.h"

#include "helpers/process.h"

static int
wait_for_go(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    struct note *n = p;
    atomic_store(&n->number[0], getpid());
    atomic_fetch_add(&n->ready, 1);
    wait_for(&n->go, 1);
    return 7;
}

static bool
is_listed(const mp_process *p)
{
    size_t count = 0;
    mp_process **list = mp_active_children(&count);
    assert_non_null(list);
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        found |= list[i] == p;
    }
    free(list);
    return found;
}

static void
test_active_children_lists_the_running(void **state)
{
    (void)state;
    struct note *n = note_new();
    size_t count = 7;
    mp_process *p = mp_process_new(hang, mp_args((void *)n), NULL);
    assert_false(is_listed(p));
    mp_assert_ok(mp_process_start(p));
    mp_process *q = start(hang, mp_args((void *)n));
    assert_true(is_listed(p));
    assert_true(is_listed(q));
    mp_process **a = mp_active_children(&count), **b = mp_active_children(NULL);
    assert_int_equal(count, 2);
    assert_ptr_not_equal(a, b);
    free(a);
    free(b);
    mp_assert_ok(mp_process_kill(p));
    mp_assert_ok(mp_process_join(p, MP_FOREVER));
    assert_false(is_listed(p));
    assert_true(is_listed(q));
    mp_assert_ok(mp_process_free(p));
    kill_and_free(q);
    free(mp_active_children(&count));
    assert_int_equal(count, 0);
    mp_free(n);
}

static void
test_process_freed_while_it_runs_is_reaped_later(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp_process *p = start(wait_for_go, mp_args((void *)n));
    wait_for(&n->ready, 1);
    pid_t pid = mp_process_pid(p);
    mp_assert_ok(mp_process_free(p));
    size_t count = 9;
    free(mp_active_children(&count));
    assert_int_equal(count, 0); /* nobody has it any more */
    assert_true(is_running(pid));
    atomic_store(&n->go, 1);
    while (is_running(pid)) {
        nap();
    }
    while (state_of(pid)) { /* no zombie: some call takes it */
        free(mp_active_children(NULL));
    }
    mp_free(n);
}

static void
test_current_process_is_main_here(void **state)
{
    (void)state;
    int code;
    mp_process *me = mp_current_process();
    assert_non_null(me);
    assert_ptr_equal(me, mp_current_process());
    assert_string_equal(mp_process_name(me), "MainProcess");
    assert_int_equal(mp_process_pid(me), getpid());
    assert_int_equal(mp_process_is_alive(me), 1);
    assert_int_equal(mp_process_daemon(me), 0);
    assert_int_equal(mp_process_exitcode(me, &code), MP_NOT_YET);
    assert_null(mp_parent_process());
    mp_assert_code(mp_process_join(me, 0), MP_ESTATE);
    mp_assert_code(mp_process_start(me), MP_ESTATE);
    mp_assert_code(mp_process_terminate(me), MP_ESTATE);
    mp_assert_code(mp_process_set_daemon(me, true), MP_ESTATE);
    mp_assert_code(mp_process_free(me), MP_EVALUE);
    mp_assert_ok(mp_process_close(me)); /* as in Python: nothing */
    assert_int_equal(mp_process_pid(me), getpid());
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_active_children_lists_the_running),
    cmocka_unit_test(test_process_freed_while_it_runs_is_reaped_later),
    cmocka_unit_test(test_current_process_is_main_here),
};

MP_TEST_MAIN(tests)
