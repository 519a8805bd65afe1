/*
 * test_finalize.c: what a process runs at its end, and a child at its beginning: exit handlers,
 * finalizers, callbacks after a fork, the temporary directory; and helpers for descriptors.  Ends
 * are looked at from outside: this program runs itself with CASE:METHOD.
 */
#include "mp_test.h"

#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "helpers/process.h"

static char out[8000]; /* what a program wrote */

static int
run(const char *name)
{
    char argument[64];
    snprintf(argument, sizeof argument, "%s:%s", name, method_name());
    int status = mp_test_run_self(argument, out, sizeof out);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int
run_child(mp_target target, mp_args *args)
{
    int code = -1;
    mp_process *p = mp_process_new(target, args, NULL);
    if (!p || mp_process_start(p) || mp_process_join(p, MP_FOREVER) ||
        mp_process_exitcode(p, &code) || mp_process_free(p)) {
        return 97;
    }
    return code;
}

/* A callback: print its argument. */
static void
say(void *text)
{
    printf("%s|", (const char *)text);
    fflush(stdout);
}

static void *
text(const char *s)
{
    return (void *)(uintptr_t)s;
}

/* ---- the order of the end --------------------------------------------------------------------- */

static void
say_and_register(void *name)
{
    say(name);
    mp_finalize_new(NULL, say, text("too late for its step"), 7);
    mp_finalize_new(NULL, say, text("late"), -7);
    printf("%d|", mp_is_exiting());
}

static void
register_all(void)
{
    static int obj;
    mp_atexit(say, text("handler 1"));
    mp_finalize_new(NULL, say, text("-1"), -1);
    mp_finalize_new(NULL, say, text("0 old"), 0);
    mp_finalize_new(NULL, say, text("-100"), -100);
    mp_finalize_new(&obj, say, text("never"), MP_NO_PRIORITY);
    mp_finalize_new(NULL, say_and_register, text("10"), 10);
    mp_finalize_new(&obj, say, text("0 new"), 0);
    mp_finalize_cancel(mp_finalize_new(NULL, say, text("cancelled"), 5));
    mp_atexit(say, text("handler 2"));
    mp_atexit(say, text("forgotten"));
    mp_atexit_unregister(say, text("forgotten"));
    printf("%d|", mp_is_exiting());
}
#define IN_ORDER_1 "0|handler 2|handler 1|10|1|0 new|0 old|"
/* One made while the first step ran comes in the second, by its priority. */
#define IN_ORDER_2 "too late for its step|-1|late|-100|"

/* The last of the first step: then come the children. */
static void
let_go(void *n)
{
    atomic_store(&((struct note *)n)->go, 1);
}

static int
print_at_end(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    wait_for(&((struct note *)p)->go, 1);
    for (int i = 0; i < 30; i++) {
        nap();
    }
    say(text("child joined"));
    return 0;
}

static int
case_order(void)
{
    static mp_process *p; /* not lost, in the eyes of a leak checker */
    struct note *n = mp_calloc(1, sizeof *n);
    mp_finalize_new(NULL, let_go, n, 0);
    register_all();
    p = mp_process_new(print_at_end, mp_args((void *)n), NULL);
    return mp_process_start(p);
}

static void
test_program_end_runs_handlers_finalizers_and_joins_in_order(void **state)
{
    (void)state;
    assert_int_equal(run("order"), 0);
    assert_string_equal(out, IN_ORDER_1 "child joined|" IN_ORDER_2);
}

static int
case_shutdown(void)
{
    register_all();
    int failed = mp_shutdown();
    mp_finalize_new(NULL, say, text("again"), 0);
    printf("main goes on %d|", mp_is_exiting());
    return failed;
}

static void
test_shutdown_is_the_end_now_and_what_comes_after_at_exit(void **state)
{
    (void)state;
    assert_int_equal(run("shutdown"), 0);
    assert_string_equal(out, IN_ORDER_1 IN_ORDER_2 "main goes on 1|again|");
}

static int
end_by(const mp_args *args)
{
    const char *how;
    mp_args_get(args, &how);
    register_all();
    if (strcmp(how, "mp_exit") == 0) {
        mp_exit(3);
    } else if (strcmp(how, "mp_fail") == 0) {
        mp_fail("%s", how);
    } else if (strcmp(how, "exit") == 0) {
        exit(3);
    } else if (strcmp(how, "_exit") == 0) {
        fflush(stdout);
        _exit(3);
    } else if (strcmp(how, "signal") == 0) {
        fflush(stdout);
        raise(SIGTERM);
    }
    return 3;
}

static int
case_child(const char *how)
{
    mp_atexit(say, text("main's handler"));
    mp_finalize_new(NULL, say, text("main's finalizer"), 1);
    int code = run_child(end_by, mp_args(how));
    printf("%d|", code);
    return 0;
}

static void
test_child_end_runs_its_own_and_not_its_parents(void **state)
{
    (void)state;
    static const struct {
        const char *how, *output;
    } ends[] = {
        {"child-return", IN_ORDER_1 IN_ORDER_2 "3|"},
        {"child-mp_exit", IN_ORDER_1 IN_ORDER_2 "3|"},
        {"child-exit", IN_ORDER_1 IN_ORDER_2 "3|"},
        {"child-mp_fail", "0|Process Process-1:\nmp_fail\n" /* and so on */},
        {"child-_exit", "0|3|"},
        {"child-signal", "0|-15|"},
    };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char expected[600];
        assert_int_equal(run(ends[i].how), 0);
        snprintf(expected, sizeof expected, "%s%smain's handler|main's finalizer|", ends[i].output,
                 strstr(ends[i].how, "fail") ? IN_ORDER_1 IN_ORDER_2 "1|" : "");
        char *twice = strstr(expected, "\n0|"); /* it was printed before */
        if (twice) {
            memmove(twice + 1, twice + 3, strlen(twice + 3) + 1);
        }
        assert_string_equal(out, expected);
    }
}

static int
case_plain_fork(void)
{
    mp_finalize_new(NULL, say, text("finalizer"), 1);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        return 0; /* it ends as a program does, and the finalizer is not its own */
    }
    int status;
    waitpid(pid, &status, 0);
    say(text("reaped"));
    return status;
}

static void
test_finalizer_is_ignored_in_a_child_of_plain_fork(void **state)
{
    (void)state;
    assert_int_equal(run("plain-fork"), 0);
    assert_string_equal(out, "reaped|finalizer|");
}

/* ---- finalizers by hand ------------------------------------------------------------------------ */

static void
count_up(void *n)
{
    ++*(int *)n;
}

static void
test_finalizer_runs_once_when_called(void **state)
{
    (void)state;
    int n = 0;
    mp_finalizer f = mp_finalize_new(NULL, count_up, &n, 0);
    assert_true(f != 0);
    assert_int_equal(mp_finalize_still_active(f), 1);
    mp_assert_ok(mp_finalize_call(f));
    assert_int_equal(n, 1);
    assert_int_equal(mp_finalize_still_active(f), 0);
    mp_assert_ok(mp_finalize_call(f));
    mp_assert_ok(mp_finalize_cancel(f));
    assert_int_equal(n, 1);

    mp_finalizer g = mp_finalize_new(NULL, count_up, &n, 0);
    assert_true(g != f);
    mp_assert_ok(mp_finalize_cancel(g));
    assert_int_equal(mp_finalize_still_active(g), 0);
    mp_assert_ok(mp_finalize_call(g));
    assert_int_equal(n, 1);
}

static void
test_finalizer_bad_arguments_are_told(void **state)
{
    (void)state;
    assert_true(mp_finalize_new(NULL, count_up, NULL, MP_NO_PRIORITY) == 0);
    assert_int_equal(mp_last_error(), MP_EVALUE);
    assert_true(mp_finalize_new(NULL, NULL, NULL, 1) == 0);
    assert_int_equal(mp_last_error(), MP_EVALUE);
    assert_int_equal(mp_finalize_still_active(0), 0);
    mp_assert_code(mp_atexit(NULL, NULL), MP_EVALUE);
    mp_assert_code(mp_atexit_unregister(count_up, NULL), MP_EKEY);
    mp_assert_code(mp_register_after_fork(NULL, NULL), MP_EVALUE);
    mp_assert_code(mp_unregister_after_fork(NULL, NULL), MP_EKEY);
    assert_false(mp_is_exiting());
}

struct trace {
    char text[64];
};
static struct trace trace;

static void
append(void *what)
{
    strcat(trace.text, what);
}

static void
test_finalizers_of_an_object_run_with_its_end(void **state)
{
    (void)state;
    int one = 0, other = 0;
    trace.text[0] = '\0';
    mp_finalize_new(&one, append, text("a"), MP_NO_PRIORITY);
    mp_finalize_new(&one, append, text("b"), 3);
    mp_finalize_new(&one, append, text("c"), MP_NO_PRIORITY);
    mp_finalizer f = mp_finalize_new(&other, append, text("x"), MP_NO_PRIORITY);
    mp_assert_ok(mp_finalize_object(&one));
    assert_string_equal(trace.text, "cba");
    mp_assert_ok(mp_finalize_object(&one));
    mp_assert_ok(mp_finalize_object(NULL));
    assert_string_equal(trace.text, "cba");
    assert_int_equal(mp_finalize_still_active(f), 1);
    mp_assert_ok(mp_finalize_cancel(f));
}

static void
test_finalizers_of_the_librarys_objects_run_when_they_are_freed(void **state)
{
    (void)state;
    trace.text[0] = '\0';
    mp_process *p = mp_process_new(NULL, NULL, NULL);
    mp_connection *a, *b;
    mp_assert_ok(mp_pipe(&a, &b, true));
    mp_finalize_new(p, append, text("p"), MP_NO_PRIORITY);
    mp_finalize_new(a, append, text("a"), 0);
    mp_assert_ok(mp_process_free(p));
    assert_string_equal(trace.text, "p");
    mp_assert_ok(mp_connection_free(b));
    mp_assert_ok(mp_connection_free(a));
    assert_string_equal(trace.text, "pa");
}

static void *
make_and_call(void *n)
{
    for (int i = 0; i < 300; i++) {
        mp_finalizer f = mp_finalize_new(n, count_up, n, i % 3);
        mp_finalize_call(f);
    }
    return NULL;
}

static void
test_finalizers_of_several_threads_run_once_each(void **state)
{
    (void)state;
    pthread_t t[4];
    int n[4] = {0};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, make_and_call, &n[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
        assert_int_equal(n[i], 300);
    }
}

/* ---- the beginning of a child ------------------------------------------------------------------ */

static int
trace_it(void *obj)
{
    strcat(trace.text, obj);
    return 0;
}

static int
fail_it(void *obj)
{
    strcat(trace.text, obj);
    return MP_EVALUE;
}

static int
find_trace(const mp_args *args)
{
    const char *expected;
    mp_args_get(args, &expected);
    mp_child_check(strcmp(trace.text, expected) == 0);
    return 0;
}

static void
test_after_fork_callbacks_run_in_order_in_every_child(void **state)
{
    (void)state;
    static char a[] = "a", b[] = "b", c[] = "c", d[] = "d";
    trace.text[0] = '\0';
    mp_assert_ok(mp_register_after_fork(a, trace_it));
    mp_assert_ok(mp_register_after_fork(b, fail_it));
    mp_assert_ok(mp_register_after_fork(c, trace_it));
    mp_assert_ok(mp_register_after_fork(d, trace_it));
    mp_assert_ok(mp_register_after_fork(a, trace_it));
    mp_assert_ok(mp_unregister_after_fork(c, trace_it));
    mp_assert_ok(mp_finalize_object(d));
    const char *expected = method_is("fork") ? "aba" : ""; /* others do not inherit them */
    assert_int_equal(finish(start(find_trace, mp_args(expected))), 0);
    assert_int_equal(finish(start(find_trace, mp_args(expected))), 0);
    assert_string_equal(trace.text, "");
    mp_assert_ok(mp_unregister_after_fork(a, trace_it));
    mp_assert_ok(mp_unregister_after_fork(b, fail_it));
    assert_int_equal(finish(start(find_trace, mp_args(""))), 0);
}

static mp_fork_lock *lock;
static mp_fork_local *local;

static int
use_lock_and_local(const mp_args *args)
{
    (void)args;
    if (!lock) { /* not by fork */
        lock = mp_fork_lock_new();
        local = mp_fork_local_new(NULL);
    }
    mp_child_check(mp_fork_local_get(local) == NULL);
    mp_child_ok(mp_fork_local_set(local, &lock));
    mp_child_check(mp_fork_local_get(local) == &lock);
    mp_child_ok(mp_fork_lock_acquire(lock, true));
    mp_child_code(mp_fork_lock_acquire(lock, false), MP_ETIMEOUT);
    mp_child_ok(mp_fork_lock_release(lock));
    mp_child_code(mp_fork_lock_release(lock), MP_ERUNTIME);
    return 0;
}

static void *
hold_lock(void *ctx)
{
    struct note *n = ctx;
    mp_fork_lock_acquire(lock, true);
    mp_fork_local_set(local, &n->text[0]);
    atomic_store(&n->ready, 1);
    wait_for(&n->go, 1);
    mp_fork_lock_release(lock);
    return NULL;
}

static void
test_fork_lock_is_free_and_local_empty_in_a_child(void **state)
{
    (void)state;
    struct note *n = note_new();
    pthread_t t;
    lock = mp_fork_lock_new();
    local = mp_fork_local_new(append);
    assert_non_null(lock);
    trace.text[0] = '\0';
    snprintf(n->text[0], sizeof n->text[0], "ended");
    mp_assert_ok(mp_fork_local_set(local, &t));
    assert_int_equal(pthread_create(&t, NULL, hold_lock, n), 0);
    wait_for(&n->ready, 1);
    mp_assert_code(mp_fork_lock_acquire(lock, false), MP_ETIMEOUT);
    assert_int_equal(finish(start(use_lock_and_local, NULL)), 0);
    assert_ptr_equal(mp_fork_local_get(local), &t);
    atomic_store(&n->go, 1);
    mp_assert_ok(mp_fork_lock_acquire(lock, true)); /* waits for the thread */
    mp_assert_ok(mp_fork_lock_release(lock));
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_string_equal(trace.text, "ended");
    mp_assert_ok(mp_fork_local_free(local));
    mp_assert_ok(mp_fork_lock_free(lock));
    mp_assert_ok(mp_fork_lock_free(NULL));
    lock = NULL;
    mp_free(n);
}

static atomic_int enough;
static atomic_int ran;

static void
count_run(void *unused)
{
    (void)unused;
    atomic_fetch_add(&ran, 1);
}

static int
after_fork(void *unused)
{
    count_run(unused);
    return 0;
}

/* Everything that has a lock of ours, and by them the process's. */
static void
use_all(void *obj)
{
    mp_finalizer f = mp_finalize_new(obj, count_run, NULL, 1);
    mp_finalize_call(f);
    mp_finalize_object(obj);
    mp_atexit(count_run, obj);
    mp_atexit_unregister(count_run, obj);
    mp_register_after_fork(obj, after_fork);
    mp_unregister_after_fork(obj, after_fork);
    mp_fork_lock_acquire(lock, true);
    mp_fork_local_set(local, obj);
    mp_fork_lock_release(lock);
    free(mp_get_executable());
    mp_process_free(mp_process_new(NULL, NULL, NULL));
}

static void *
use_all_on(void *ctx)
{
    (void)ctx;
    int obj;
    while (!atomic_load(&enough)) {
        use_all(&obj);
    }
    return NULL;
}

static int
use_all_in_child(const mp_args *args)
{
    (void)args;
    int obj;
    if (!lock) {
        lock = mp_fork_lock_new();
        local = mp_fork_local_new(NULL);
    }
    for (int i = 0; i < 3; i++) {
        use_all(&obj);
    }
    return 0;
}

static void
test_finalizers_and_locks_work_in_a_child_that_was_forked_amid_their_use(void **state)
{
    (void)state;
    pthread_t t[2];
    lock = mp_fork_lock_new();
    local = mp_fork_local_new(NULL);
    atomic_store(&enough, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, use_all_on, NULL), 0);
    }
    for (int i = 0; i < 40; i++) {
        assert_int_equal(finish(start(use_all_in_child, NULL)), 0);
    }
    atomic_store(&enough, 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
    }
    mp_assert_ok(mp_fork_local_free(local));
    mp_assert_ok(mp_fork_lock_free(lock));
    lock = NULL;
}

/* ---- the temporary directory ------------------------------------------------------------------- */

static int
fill_temp_dir(const mp_args *args)
{
    const char *parents;
    char path[4200];
    mp_args_get(args, &parents);
    const char *dir = mp_get_temp_dir();
    mp_child_check(dir != NULL);
    mp_child_check(!*parents || strcmp(dir, parents) == 0);
    snprintf(path, sizeof path, "%s/sub", dir);
    mp_child_check(mkdir(path, 0700) == 0);
    snprintf(path, sizeof path, "%s/sub/link", dir);
    mp_child_check(symlink(".", path) == 0);
    if (!*parents) {
        say(text(dir));
    }
    return 0;
}

static int
case_temp_dir(bool in_child)
{
    const char *dir = in_child ? "" : mp_get_temp_dir();
    struct stat st;
    if (!in_child &&
        (!dir || stat(dir, &st) != 0 || (st.st_mode & 0777) != 0700 || mp_get_temp_dir() != dir)) {
        return 1;
    }
    if (!in_child) {
        say(text(dir));
    }
    if (run_child(fill_temp_dir, mp_args(dir)) != 0) {
        return 2;
    }
    return !in_child && stat(dir, &st) != 0 ? 3 : 0;
}

static void
test_temp_dir_is_the_familys_and_removed_by_who_made_it(void **state)
{
    (void)state;
    for (int in_child = 0; in_child < 2; in_child++) {
        char expected[4300];
        struct stat st;
        setenv("TMPDIR", mp_test_dir(), 1);
        assert_int_equal(run(in_child ? "temp-child" : "temp"), 0);
        unsetenv("TMPDIR");
        snprintf(expected, sizeof expected, "%s/pymp-", mp_test_dir());
        assert_int_equal(strncmp(out, expected, strlen(expected)), 0);
        *strchr(out, '|') = '\0';
        assert_true(stat(out, &st) < 0 && errno == ENOENT);
    }
}

/* ---- descriptors and programs ------------------------------------------------------------------ */

static int
close_all(const mp_args *args)
{
    (void)args;
    int fds[] = {dup(2), 2, dup(2)}, other = dup(2);
    mp_child_code(mp_close_all_fds_except(&(int){-1}, 1), MP_EVALUE);
    mp_child_ok(mp_close_all_fds_except(fds, 3));
    for (int fd = 0; fd < 200; fd++) {
        bool open = fcntl(fd, F_GETFD) >= 0;
        if (open != (fd == fds[0] || fd == 2 || fd == fds[2])) {
            _exit(fd + 1);
        }
    }
    _exit(other == 1); /* without the library's descriptors nothing else is possible */
}

static void
test_close_all_descriptors_leaves_those_that_are_named(void **state)
{
    (void)state;
    assert_int_equal(finish(start(close_all, NULL)), 0);
}

static void
test_spawnv_passes_these_descriptors_and_no_others(void **state)
{
    (void)state;
    int fds[2], other[2], status = -1;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(pipe(other), 0);
    fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    char script[200], got[100] = "";
    snprintf(script, sizeof script,
             "(: >&%d) 2>/dev/null && echo bad >&%d; (: >&%d) 2>/dev/null && echo bad >&%d; "
             "echo \"$0\" >&%d; exit 7",
             other[1], fds[1], fds[0], fds[1], fds[1]);
    char *argv[] = {text("sh"), text("-c"), script, text("name"), NULL};
    pid_t pid = mp_spawnv_passfds("/bin/sh", argv, &fds[1], 1);
    assert_true(pid > 0);
    close(fds[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 7);
    assert_true(read(fds[0], got, sizeof got - 1) > 0);
    assert_string_equal(got, "name\n");
    close(fds[0]);
    close(other[0]);
    close(other[1]);

    mp_assert_code(mp_spawnv_passfds("/nowhere/program", argv, NULL, 0), -ENOENT);
    mp_assert_code(mp_spawnv_passfds(NULL, argv, NULL, 0), MP_EVALUE);
    mp_assert_code(mp_spawnv_passfds("/bin/sh", argv, &(int){-1}, 1), MP_EVALUE);
}

static void
test_address_is_abstract_when_it_begins_with_nul(void **state)
{
    (void)state;
    assert_true(mp_address_is_abstract("\0name", 5));
    assert_false(mp_address_is_abstract("/tmp/name", 9));
    assert_false(mp_address_is_abstract("", 0));
    assert_false(mp_address_is_abstract(NULL, 5));
}

static void
test_executable_and_command_line_are_what_spawn_runs(void **state)
{
    (void)state;
    char *path = mp_get_executable();
    assert_non_null(path);
    assert_int_equal(access(path, X_OK), 0);
    free(path);
    char **argv = mp_spawn_command_line();
    assert_non_null(argv);
    assert_non_null(strstr(argv[0], "test_finalize"));
    free(argv);
    mp_assert_ok(mp_set_executable("/some/where"));
    path = mp_get_executable();
    assert_string_equal(path, "/some/where");
    free(path);
    mp_assert_ok(mp_set_executable(NULL));
}

/* ---------------------------------------------------------------------------------------------- */

static int
run_case(char *name)
{
    char *method = strchr(name, ':');
    *method++ = '\0';
    setenv("MP_START_METHOD", method, 1); /* method_name() */
    if (mp_set_start_method(method, false) != 0) {
        return 90;
    }
    if (strncmp(name, "child-", 6) == 0) {
        return case_child(name + 6);
    }
    return strcmp(name, "order") == 0        ? case_order()
           : strcmp(name, "shutdown") == 0   ? case_shutdown()
           : strcmp(name, "plain-fork") == 0 ? case_plain_fork()
           : strncmp(name, "temp", 4) == 0   ? case_temp_dir(name[4] != '\0')
                                             : 91;
}

static void *
do_nothing(void *ctx)
{
    return ctx;
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_program_end_runs_handlers_finalizers_and_joins_in_order),
    cmocka_unit_test(test_shutdown_is_the_end_now_and_what_comes_after_at_exit),
    cmocka_unit_test(test_child_end_runs_its_own_and_not_its_parents),
    cmocka_unit_test(test_finalizer_is_ignored_in_a_child_of_plain_fork),
    cmocka_unit_test(test_finalizer_runs_once_when_called),
    cmocka_unit_test(test_finalizer_bad_arguments_are_told),
    cmocka_unit_test(test_finalizers_of_an_object_run_with_its_end),
    cmocka_unit_test(test_finalizers_of_the_librarys_objects_run_when_they_are_freed),
    cmocka_unit_test(test_finalizers_of_several_threads_run_once_each),
    cmocka_unit_test(test_after_fork_callbacks_run_in_order_in_every_child),
    cmocka_unit_test(test_fork_lock_is_free_and_local_empty_in_a_child),
    cmocka_unit_test(test_finalizers_and_locks_work_in_a_child_that_was_forked_amid_their_use),
    cmocka_unit_test(test_temp_dir_is_the_familys_and_removed_by_who_made_it),
    cmocka_unit_test(test_close_all_descriptors_leaves_those_that_are_named),
    cmocka_unit_test(test_spawnv_passes_these_descriptors_and_no_others),
    cmocka_unit_test(test_address_is_abstract_when_it_begins_with_nul),
    cmocka_unit_test(test_executable_and_command_line_are_what_spawn_runs),
};

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    if (argc > 1 && strchr(argv[1], ':')) {
        return run_case(argv[1]);
    }
    pthread_t t; /* ThreadSanitizer starts one of its own with the first */
    if (pthread_create(&t, NULL, do_nothing, NULL) == 0) {
        pthread_join(t, NULL);
    }
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
}
