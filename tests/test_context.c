/*
 * test_context.c: start methods and contexts, the rules of choosing one, and what a child of each
 * inherits: descriptors, signals, environment, directory.  Choices that last are looked at in
 * children of a plain fork, or in this program run anew with the name of a case.
 */
#include "mp_test.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "helpers/process.h"

static const char *const names[] = {"fork", "spawn", "forkserver"};

/* Run body in a child of a plain fork, so that what it chooses is its own. */
static void
apart(void (*body)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        body();
        exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- choosing ---------------------------------------------------------------------------------*/

static void
test_start_methods_are_listed_default_first(void **state)
{
    (void)state;
    const char *const *all = mp_get_all_start_methods();
    assert_string_equal(all[0], method_name());
    assert_null(all[3]);
    for (int i = 0; i < 3; i++) {
        int seen = 0;
        for (int k = 0; k < 3; k++) {
            seen += strcmp(all[k], names[i]) == 0;
        }
        assert_int_equal(seen, 1);
    }
    const char *wish = getenv("MP_START_METHOD");
    assert_string_equal(method_name(), wish ? wish : "fork");
}

static void
choose_in_every_order(void)
{
    mp_child_ok(mp_set_start_method(NULL, true));
    mp_child_check(mp_get_start_method(true) == NULL);
    mp_child_code(mp_set_start_method("thread", false), MP_EVALUE);
    mp_child_code(mp_set_start_method("", true), MP_EVALUE);
    mp_child_check(mp_get_start_method(true) == NULL); /* an error changes nothing */

    for (int i = 0; i < 3; i++) {
        mp_child_ok(mp_set_start_method(names[i], false));
        mp_child_code(mp_set_start_method(names[i], false), MP_ERUNTIME);
        mp_child_code(mp_set_start_method(NULL, false), MP_ERUNTIME);
        mp_child_code(mp_set_start_method("thread", true), MP_EVALUE);
        mp_child_check(strcmp(mp_get_start_method(true), names[i]) == 0);
        mp_child_check(strcmp(mp_context_get_start_method(NULL), names[i]) == 0);
        mp_child_check(mp_get_context(NULL) == mp_get_context(names[i]));
        mp_child_ok(mp_set_start_method(names[(i + 1) % 3], true));
        mp_child_check(strcmp(mp_get_start_method(false), names[(i + 1) % 3]) == 0);
        mp_child_ok(mp_set_start_method(NULL, true));
        mp_child_check(mp_get_start_method(true) == NULL);
    }
    mp_child_ok(mp_set_start_method(NULL, false)); /* chooses the default */
    mp_child_check(strcmp(mp_get_start_method(true), method_name()) == 0);
    mp_child_ok(mp_set_start_method(NULL, true));
    mp_child_check(strcmp(mp_get_start_method(false), method_name()) == 0);
    mp_child_check(mp_get_start_method(true) != NULL);
    mp_child_ok(mp_set_start_method(NULL, true));
    mp_child_check(mp_get_context(NULL) == mp_get_context(method_name()));
    mp_child_check(mp_get_start_method(true) != NULL);
}

static void
test_start_method_is_chosen_once_unless_forced(void **state)
{
    (void)state;
    apart(choose_in_every_order);
}

static int
check_method(const mp_args *args)
{
    const char *method;
    mp_args_get(args, &method);
    const char *mine = mp_get_start_method(true);
    mp_child_check(mine != NULL && strcmp(mine, method) == 0);
    mp_child_code(mp_set_start_method("fork", false), MP_ERUNTIME);
    return 0;
}

static void
start_in_each_context(void)
{
    mp_child_ok(mp_set_start_method(NULL, true));
    for (int i = 0; i < 3; i++) {
        const mp_context *c = mp_get_context(names[i]);
        mp_child_check(c != NULL && c == mp_get_context(names[i]));
        mp_child_check(strcmp(mp_context_get_start_method(c), names[i]) == 0);
        mp_child_check(run_in_child(check_method, mp_args(names[i]),
                                    &(mp_process_options){.context = c}) == 0);
        mp_child_check(mp_get_start_method(true) == NULL);
    }
    mp_process *p = mp_process_new(check_method, mp_args(method_name()), NULL);
    mp_child_check(mp_get_start_method(true) == NULL); /* making one does not choose */
    mp_child_ok(mp_process_start(p));
    mp_child_check(mp_get_start_method(true) != NULL);
    mp_child_ok(mp_process_join(p, MP_FOREVER));
    int code = -1;
    mp_child_ok(mp_process_exitcode(p, &code));
    mp_child_check(code == 0);
    mp_child_ok(mp_process_free(p));
}

static void
test_context_leaves_the_global_choice_alone(void **state)
{
    (void)state;
    apart(start_in_each_context);
}

static void
test_context_unknown_is_refused(void **state)
{
    (void)state;
    assert_null(mp_get_context("Fork"));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    assert_non_null(strstr(mp_last_error_text(), "'Fork'"));
    assert_null(mp_get_context(""));
}

static void
test_freeze_support_and_environment_do_not_choose(void **state)
{
    (void)state;
    char out[200];
    static const char *const expected[] = {"(none) spawn", "(none) fork"};
    for (int i = 0; i < 2; i++) {
        int status = mp_test_run_self(i ? "tell-nonsense" : "tell-spawn", out, sizeof out);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_string_equal(out, expected[i]);
    }
}

/* Before any other call of libmp but mp_freeze_support(). */
static int
case_tell(const char *method)
{
    setenv("MP_START_METHOD", method, 1);
    const char *chosen = mp_get_start_method(true);
    printf("%s %s", chosen ? chosen : "(none)", mp_default_start_method());
    return 0;
}

static void
test_cpu_counts_are_positive(void **state)
{
    (void)state;
    assert_true(mp_cpu_count() >= 1);
    assert_true(mp_usable_cpu_count() >= 1);
    assert_true(mp_usable_cpu_count() <= mp_cpu_count());
}

static void
test_concrete_contexts_keep_their_methods(void **state)
{
    (void)state;
    const mp_context *all[] = {mp_context_fork(), mp_context_spawn(), mp_context_forkserver()};
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(all[i], mp_get_context(names[i]));
        assert_ptr_equal(mp_context_get_context(all[i], NULL), all[i]);
        for (int k = 0; k < 3; k++) {
            assert_ptr_equal(mp_context_get_context(all[i], names[k]), all[k]);
            mp_assert_code(mp_context_set_start_method(all[i], names[k]), MP_EVALUE);
        }
        assert_null(mp_context_get_context(all[i], "thread"));
        mp_assert_code(mp_context_set_start_method(all[i], NULL), MP_EVALUE);
        assert_string_equal(mp_context_get_start_method(all[i]), names[i]);
    }
    mp_allow_connection_pickling();
}

static int
use_what_contexts_make(const mp_args *args)
{
    mp_lock *l;
    mp_rlock *r;
    mp_semaphore *s, *bounded;
    mp_condition *c;
    mp_event *e;
    mp_barrier *b;
    mp_queue *q;
    mp_connection *out;
    mp_args_get(args, &l, &r, &s, &bounded, &c, &e, &b, &q, &out);
    mp_child_ok(mp_lock_acquire(l, MP_FOREVER));
    mp_child_ok(mp_lock_release(l));
    mp_child_ok(mp_rlock_acquire(r, MP_FOREVER));
    mp_child_ok(mp_rlock_release(r));
    mp_child_ok(mp_semaphore_acquire(s, 0));
    mp_child_code(mp_semaphore_release(bounded), MP_EVALUE);
    mp_child_ok(mp_condition_acquire(c, MP_FOREVER));
    mp_child_ok(mp_condition_release(c));
    mp_child_ok(mp_event_set(e));
    mp_child_check(mp_barrier_parties(b) == 2);
    mp_child_ok(mp_queue_put(q, 5, MP_FOREVER));
    mp_child_ok(mp_connection_send(out, 6));
    return 0;
}

static void
test_contexts_make_what_any_child_can_use(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        const mp_context *ctx = mp_get_context(names[i]);
        mp_lock *l = mp_context_lock(ctx);
        mp_rlock *r = mp_context_rlock(ctx);
        mp_semaphore *s = mp_context_semaphore(ctx, 1);
        mp_semaphore *bounded = mp_context_bounded_semaphore(ctx, 1);
        mp_condition *c = mp_context_condition(ctx, NULL);
        mp_event *e = mp_context_event(ctx);
        mp_barrier *b = mp_context_barrier(ctx, 2, NULL);
        mp_queue *q = mp_context_queue(ctx, 0);
        mp_connection *in, *out;
        mp_assert_ok(mp_context_pipe(ctx, &in, &out, false));
        assert_int_equal(
            finish(start(use_what_contexts_make, mp_args(l, r, s, bounded, c, e, b, q, out))), 0);
        mp_obj o;
        mp_assert_ok(mp_queue_get(q, &o, 0));
        assert_int_equal(mp_as_int(o), 5);
        mp_assert_ok(mp_connection_recv(in, &o));
        assert_int_equal(mp_as_int(o), 6);
        mp_lock_free(l);
        mp_rlock_free(r);
        mp_semaphore_free(s);
        mp_semaphore_free(bounded);
        mp_condition_free(c);
        mp_event_free(e);
        mp_barrier_free(b);
        mp_queue_free(q);
        mp_connection_free(in);
        mp_connection_free(out);
    }
}

/* ---- functions with names ---------------------------------------------------------------------*/

static int
named_target(const mp_args *args)
{
    (void)args;
    return 21;
}

static int
unnamed_target(const mp_args *args)
{
    (void)args;
    return 22;
}

static void
test_function_is_found_by_its_name(void **state)
{
    (void)state;
    /* main() registered it, in every process */
    assert_int_equal(finish(start(named_target, NULL)), 21);
    mp_assert_ok(mp_register_function("named target", (void (*)(void))named_target));
    mp_assert_code(mp_register_function("named target", (void (*)(void))unnamed_target), MP_EVALUE);
    mp_assert_code(mp_register_function("", (void (*)(void))unnamed_target), MP_EVALUE);
    mp_assert_code(mp_register_function("x", NULL), MP_EVALUE);
    char longest[300];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    mp_assert_code(mp_register_function(longest, (void (*)(void))unnamed_target), MP_EVALUE);
}

static int
register_and_start(const mp_args *args)
{
    (void)args;
    mp_child_ok(mp_register_function("only here", (void (*)(void))unnamed_target));
    mp_process *p =
        mp_process_new(unnamed_target, NULL, &(mp_process_options){.context = mp_context_spawn()});
    mp_child_code(mp_process_start(p), MP_ERUNTIME);
    mp_child_check(strstr(mp_last_error_text(), "only here") != NULL);
    mp_child_ok(mp_process_free(p));
    return 0;
}

static void
test_function_with_a_name_that_the_child_does_not_know_is_told(void **state)
{
    (void)state;
    assert_int_equal(finish(start(register_and_start, NULL)), 0);
}

/* ---- the executable ---------------------------------------------------------------------------*/

static void
test_executable_that_is_missing_or_another_is_told(void **state)
{
    (void)state;
    if (method_is("fork")) {
        skip();
    }
    char text[600];
    int codes[3];
    static const char *const programs[] = {"/nonexistent/program", "/bin/true", NULL};
    mp__process_settle(); /* a forkserver that runs already is not asked for its program */
    mp_process *p = mp_process_new(NULL, NULL, NULL);
    for (int i = 0; i < 3; i++) {
        mp_assert_ok(mp_set_executable(programs[i]));
        codes[i] = mp_process_start(p);
        if (i < 2) {
            assert_int_equal(mp_process_is_alive(p), 0);
            assert_int_equal(mp_process_pid(p), 0);
            snprintf(text, sizeof text, "%s", mp_last_error_text());
        }
        if (i == 0) {
            assert_non_null(strstr(text, "/nonexistent/program"));
        } else if (i == 1) {
            assert_non_null(strstr(text, "mp_freeze_support"));
            assert_non_null(strstr(text, "mp_set_executable"));
        }
    }
    assert_int_equal(codes[0], -ENOENT);
    assert_int_equal(codes[1], MP_ERUNTIME);
    assert_int_equal(codes[2], 0);
    assert_int_equal(finish(p), 0);
}

/* ---- what a child inherits --------------------------------------------------------------------*/

static int
count_descriptors(const mp_args *args)
{
    void *p;
    int index;
    mp_args_get(args, &p, &index);
    struct note *n = p;
    long count = 0;
    char text[256] = "";
    for (int fd = 0; fd < 2000; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            count++;
            size_t len = strlen(text);
            snprintf(text + len, sizeof text - len, "%d ", fd);
        }
    }
    atomic_store(&n->number[index], count);
    snprintf(n->text[index % 4], 256, "%s", text);
    return 0;
}

static void
test_children_see_no_descriptor_of_the_parent(void **state)
{
    (void)state;
    struct note *n = note_new();
    enum { EXTRA = 50 };
    int extra[EXTRA];
    mp__process_settle();
    assert_int_equal(finish(start(count_descriptors, mp_args((void *)n, 0))), 0);
    mp__process_settle(); /* so that a forkserver is started from among the descriptors too */
    for (int i = 0; i < EXTRA; i++) {
        extra[i] = fcntl(0, F_DUPFD, i < EXTRA / 2 ? 3 : 1500 + i); /* inherited by exec */
        assert_true(extra[i] >= 0);
    }
    assert_int_equal(finish(start(count_descriptors, mp_args((void *)n, 1))), 0);
    for (int i = 0; i < EXTRA; i++) {
        close(extra[i]);
    }
    if (method_is("fork")) {
        assert_int_equal(n->number[1], n->number[0] + EXTRA);
    } else {
        assert_string_equal(n->text[1], n->text[0]);
        /* the standard ones, the heap, and what tells the end of the child */
        assert_true(n->number[0] <= 5);
    }
    mp_free(n);
}

static void
test_children_in_a_row_see_the_same_descriptors(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp_process *busy[6];
    for (int i = 0; i < 6; i++) {
        assert_int_equal(finish(start(count_descriptors, mp_args((void *)n, i))), 0);
    }
    for (int i = 1; i < 6; i++) {
        assert_int_equal(n->number[i], n->number[0]);
    }
    /* While others run: only a copy of the parent sees what tells it their ends. */
    struct note *gate = note_new();
    for (int i = 0; i < 6; i++) {
        busy[i] = start(hang, mp_args((void *)gate));
    }
    assert_int_equal(finish(start(count_descriptors, mp_args((void *)n, 6))), 0);
    for (int i = 0; i < 6; i++) {
        kill_and_free(busy[i]);
    }
    if (!method_is("fork")) {
        assert_int_equal(n->number[6], n->number[0]);
    }
    mp_free(gate);
    mp_free(n);
}

static int
look_at_signals(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    struct note *n = p;
    long blocked = 0, changed = 0;
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int s = 1; s < 32; s++) {
        struct sigaction sa;
        if (s == SIGKILL || s == SIGSTOP || sigaction(s, NULL, &sa) != 0) {
            continue;
        }
        blocked += sigismember(&mask, s);
        /* Of these a child tells its parent why it died (test_process_crash.c). */
        bool fault = s == SIGSEGV || s == SIGBUS || s == SIGFPE || s == SIGILL || s == SIGABRT;
        changed += sa.sa_handler != SIG_DFL && !fault;
    }
    atomic_store(&n->number[0], blocked);
    atomic_store(&n->number[1], changed);
    return 0;
}

static void
on_signal(int signo)
{
    (void)signo;
}

static void
test_children_have_default_signals_unless_forked(void **state)
{
    (void)state;
    struct note *n = note_new();
    sigset_t some, before;
    struct sigaction usr1, usr2, pipe_action;
    mp__process_settle();
    sigemptyset(&some);
    sigaddset(&some, SIGHUP);
    sigaddset(&some, SIGUSR2);
    sigaddset(&some, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &some, &before);
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_signal}, &usr1);
    sigaction(SIGUSR2, &(struct sigaction){.sa_handler = SIG_IGN}, &usr2);
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, &pipe_action);
    int code = finish(start(look_at_signals, mp_args((void *)n)));
    sigset_t during;
    pthread_sigmask(SIG_SETMASK, &before, &during);
    struct sigaction after;
    sigaction(SIGPIPE, &pipe_action, &after);
    sigaction(SIGUSR1, &usr1, NULL);
    sigaction(SIGUSR2, &usr2, NULL);
    assert_int_equal(code, 0);
    assert_true(after.sa_handler == SIG_IGN); /* the parent's own are untouched */
    assert_int_equal(sigismember(&during, SIGHUP), 1);
    assert_int_equal(sigismember(&during, SIGTERM), 0);
    if (method_is("fork")) {
        assert_int_equal(n->number[0], 3);
        assert_true(n->number[1] >= 3);
    } else {
        assert_int_equal(n->number[0], 0);
        assert_int_equal(n->number[1], 0);
    }
    mp_free(n);
}

static int
look_at_environment(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    struct note *n = p;
    atomic_store(&n->number[0], getenv("LIBMP_CHILD") != NULL);
    const char *text = getenv("MP_TEST_OF_CONTEXT");
    snprintf(n->text[0], sizeof n->text[0], "%s", text ? text : "(none)");
    return 0;
}

static void
test_children_have_the_environment_without_marks(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp__process_settle(); /* the forkserver's is that of its own start */
    setenv("MP_TEST_OF_CONTEXT", "x=y z", 1);
    assert_int_equal(finish(start(look_at_environment, mp_args((void *)n))), 0);
    unsetenv("MP_TEST_OF_CONTEXT");
    assert_int_equal(n->number[0], 0);
    assert_string_equal(n->text[0], "x=y z");
    assert_null(getenv("LIBMP_CHILD"));
    mp_free(n);
}

static int
look_at_directory(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    struct note *n = p;
    struct stat st;
    mp_child_check(stat(".", &st) == 0);
    atomic_store(&n->number[0], (long)st.st_ino);
    return 0;
}

static void
test_children_start_in_the_directory_of_the_start(void **state)
{
    (void)state;
    struct note *n = note_new();
    struct stat st;
    assert_int_equal(finish(start(look_at_directory, mp_args((void *)n))), 0);
    assert_int_equal(stat(".", &st), 0);
    assert_int_equal(n->number[0], (long)st.st_ino);
    int here = open(".", O_RDONLY | O_CLOEXEC);
    assert_int_equal(stat(mp_test_dir(), &st), 0);
    assert_int_equal(chdir(mp_test_dir()), 0); /* a forkserver runs already */
    int code = finish(start(look_at_directory, mp_args((void *)n)));
    assert_int_equal(fchdir(here), 0);
    close(here);
    assert_int_equal(code, 0);
    assert_int_equal(n->number[0], (long)st.st_ino);
    mp_free(n);
}

static int
start_by_each_method(const mp_args *args)
{
    int depth;
    mp_args_get(args, &depth);
    for (int i = 0; i < 3; i++) {
        mp_child_check(run_in_child(check_method, mp_args(names[i]),
                                    &(mp_process_options){.context = mp_get_context(names[i])}) ==
                       0);
    }
    for (int i = 0; depth > 0 && i < 3; i++) {
        mp_child_check(run_in_child(start_by_each_method, mp_args(depth - 1),
                                    &(mp_process_options){.context = mp_get_context(names[i])}) ==
                       0);
    }
    return 0;
}

static void
test_methods_nest_in_every_order(void **state)
{
    (void)state;
    assert_int_equal(finish(start(start_by_each_method, mp_args(1))), 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_start_methods_are_listed_default_first),
    cmocka_unit_test(test_start_method_is_chosen_once_unless_forced),
    cmocka_unit_test(test_context_leaves_the_global_choice_alone),
    cmocka_unit_test(test_context_unknown_is_refused),
    cmocka_unit_test(test_freeze_support_and_environment_do_not_choose),
    cmocka_unit_test(test_cpu_counts_are_positive),
    cmocka_unit_test(test_concrete_contexts_keep_their_methods),
    cmocka_unit_test(test_contexts_make_what_any_child_can_use),
    cmocka_unit_test(test_function_is_found_by_its_name),
    cmocka_unit_test(test_function_with_a_name_that_the_child_does_not_know_is_told),
    cmocka_unit_test(test_executable_that_is_missing_or_another_is_told),
    cmocka_unit_test(test_children_see_no_descriptor_of_the_parent),
    cmocka_unit_test(test_children_in_a_row_see_the_same_descriptors),
    cmocka_unit_test(test_children_have_default_signals_unless_forked),
    cmocka_unit_test(test_children_have_the_environment_without_marks),
    cmocka_unit_test(test_children_start_in_the_directory_of_the_start),
    cmocka_unit_test(test_methods_nest_in_every_order),
};

int
main(int argc, char **argv)
{
    mp_register_function("named target", (void (*)(void))named_target);
    mp_freeze_support(argc, argv);
    if (argc > 1 && strncmp(argv[1], "tell-", 5) == 0) {
        return case_tell(argv[1] + 5);
    }
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
}
