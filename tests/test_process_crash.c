/*
 * test_process_crash.c: what a child that dies of a fault leaves, and that nothing else of its end
 * is changed by it: exit code, handlers of the program, what is not a crash.
 */
#include "mp_test.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "helpers/process.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1 /* it has handlers of its own */
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#ifdef MP_PLATFORM_POSIX
#define HAS_FRAMES 0
#else
#define HAS_FRAMES 1
#endif

static void
no_core(void)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}

static int volatile zero;
static int *volatile nowhere = NULL;

static int
touch_null(const mp_args *args)
{
    (void)args;
    no_core();
    *nowhere = 1;
    return 0;
}

static int
write_read_only(const mp_args *args)
{
    (void)args;
    no_core();
    static const char *volatile text = "this is no memory to write to";
    *(char *)(uintptr_t)text = 1;
    return 0;
}

static int
read_beyond_file(const mp_args *args)
{
    const char *path;
    mp_args_get(args, &path);
    no_core();
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char volatile *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    return page[0];
}

static int
divide(const mp_args *args)
{
    (void)args;
    no_core();
#if defined __x86_64__
    return (int)getpid() / zero;
#else
    raise(SIGFPE);
    return 0;
#endif
}

static int
illegal(const mp_args *args)
{
    (void)args;
    no_core();
    __builtin_trap();
}

static int
call_abort(const mp_args *args)
{
    (void)args;
    no_core();
    abort();
}

static int
overflow_stack(const mp_args *args)
{
    char volatile room[4096];
    room[0] = 1;
    no_core();
    return room[0] + (zero ? 0 : overflow_stack(args)) + room[1];
}

/* Run it to its end, which must be by that signal; the process stays for questions. */
static mp_process *
crash(mp_target target, mp_args *args, int signal_number)
{
    int code = 0;
    mp_process *p = start(target, args);
    mp_assert_ok(mp_process_join(p, MP_FOREVER));
    mp_assert_ok(mp_process_exitcode(p, &code));
    assert_int_equal(code, -signal_number);
    return p;
}

static void
has(const char *text, const char *part)
{
    if (!strstr(text, part)) {
        fail_msg("no \"%s\" in:\n%s", part, text);
    }
}

/* The report of one crash, with all that every report must have. */
static const mp_crash *
report_of(mp_process *p, int signal_number, const char *function)
{
    const mp_crash *c = mp_process_crash(p);
    assert_non_null(c);
    assert_ptr_equal(c, mp_process_crash(p));
    assert_int_equal(c->signal, signal_number);
    assert_int_equal(c->pid, mp_process_pid(p));
    has(c->text, mp_process_name(p));
    has(c->text, c->target);
    if (HAS_FRAMES) {
        assert_true(c->frame_count >= 1);
        has(c->target, function);
        has(c->target, " in ");
    }
    return c;
}

static void
test_crash_of_null_tells_address_target_and_place(void **state)
{
    (void)state;
    if (SANITIZED) {
        skip();
    }
    mp_process *p = crash(touch_null, NULL, SIGSEGV);
    const mp_crash *c = report_of(p, SIGSEGV, "touch_null");
    assert_int_equal(c->code, SEGV_MAPERR);
    assert_int_equal(c->sender, 0);
    assert_true(c->has_address && c->address == 0);
    has(c->text, "SIGSEGV: nothing is mapped there, 0");
    if (HAS_FRAMES) {
        assert_string_equal(c->frames[0].function, "touch_null");
        assert_true(c->frames[0].offset < 1000);
        has(c->frames[0].module, "test_process_crash");
        has(c->text, "#0 ");
    }
    mp_assert_ok(mp_process_free(p));
}

static void
test_crash_of_each_signal_is_told(void **state)
{
    (void)state;
    if (SANITIZED) {
        skip();
    }
    char path[4300];
    snprintf(path, sizeof path, "%s/empty", mp_test_dir());
    const struct {
        mp_target target;
        int signal_number;
        const char *name, *words;
    } cases[] = {
        {write_read_only, SIGSEGV, "write_read_only", "SIGSEGV: no access allowed there"},
        {read_beyond_file, SIGBUS, "read_beyond_file", "SIGBUS: no memory behind the address"},
        {divide, SIGFPE, "divide", "SIGFPE"},
        {illegal, SIGILL, "illegal", "SIGILL: illegal instruction"},
        {call_abort, SIGABRT, "call_abort", "SIGABRT, which it raised itself"},
        {overflow_stack, SIGSEGV, "overflow_stack", "SIGSEGV"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mp_args *args = cases[i].target == read_beyond_file ? mp_args(path) : NULL;
        mp_process *p = crash(cases[i].target, args, cases[i].signal_number);
        const mp_crash *c = report_of(p, cases[i].signal_number, cases[i].name);
        has(c->text, cases[i].words);
        if (cases[i].target == call_abort) {
            assert_int_equal(c->sender, c->pid);
        }
        mp_assert_ok(mp_process_free(p));
    }
}

/* ---- a backtrace ------------------------------------------------------------------------------*/

/* Its frames by hand: the build's options may leave frame pointers out. */
#if defined __GNUC__ && !defined __clang__ && HAS_FRAMES
#define BACKTRACE 1
#define FRAMED                                                                                     \
    __attribute__((noinline, noclone,                                                              \
                   optimize("no-omit-frame-pointer", "no-optimize-sibling-calls")))

FRAMED static int
inner(int n)
{
    *nowhere = n + (int)getppid(); /* a call, or gcc gives it no frame */
    return n + (int)getppid();
}

FRAMED static int
middle(int n)
{
    return inner(n + zero) + 1;
}

FRAMED static int
outer(const mp_args *args)
{
    (void)args;
    no_core();
    return middle(1 + zero) + 1;
}

static void
test_crash_backtrace_names_the_callers(void **state)
{
    (void)state;
    if (SANITIZED) {
        skip();
    }
    mp_process *p = crash(outer, NULL, SIGSEGV);
    const mp_crash *c = report_of(p, SIGSEGV, "outer");
    assert_true(c->frame_count >= 3);
    assert_string_equal(c->frames[0].function, "inner");
    assert_string_equal(c->frames[1].function, "middle");
    assert_string_equal(c->frames[2].function, "outer");
    mp_assert_ok(mp_process_free(p));
}

typedef int (*function)(int);

FRAMED static int
call_nowhere(const mp_args *args)
{
    (void)args;
    no_core();
    function volatile f = (function)(uintptr_t)8;
    return f(1) + 1;
}

static void
test_crash_by_a_call_to_nowhere_tells_who_called(void **state)
{
    (void)state;
    if (SANITIZED) {
        skip();
    }
    mp_process *p = crash(call_nowhere, NULL, SIGSEGV);
    const mp_crash *c = report_of(p, SIGSEGV, "call_nowhere");
    assert_true(c->address == 8 && c->frames[0].address == 8);
    assert_true(c->frame_count >= 2);
    assert_string_equal(c->frames[1].function, "call_nowhere");
    mp_assert_ok(mp_process_free(p));
}
#endif

/* ---- threads ----------------------------------------------------------------------------------*/

static void *
crash_in_thread(void *arg)
{
    *nowhere = 1;
    return arg;
}

static int
crash_with_threads(const mp_args *args)
{
    (void)args;
    no_core();
    pthread_t t[4];
    for (int i = 0; i < 4; i++) {
        mp_child_check(pthread_create(&t[i], NULL, crash_in_thread, NULL) == 0);
    }
    pause_for_ever();
    return 0;
}

static void
test_crash_of_several_threads_at_once_is_one_report(void **state)
{
    (void)state;
    if (SANITIZED) {
        skip();
    }
    for (int i = 0; i < 10; i++) {
        mp_process *p = crash(crash_with_threads, NULL, SIGSEGV);
        const mp_crash *c = report_of(p, SIGSEGV, "crash_with_threads");
        if (HAS_FRAMES) {
            assert_string_equal(c->frames[0].function, "crash_in_thread");
        }
        mp_assert_ok(mp_process_free(p));
    }
}

/* ---- signals that were sent -------------------------------------------------------------------*/

static void
test_crash_by_a_sent_signal_tells_the_sender(void **state)
{
    (void)state;
    if (SANITIZED) {
        skip();
    }
    struct note *n = note_new();
    mp_process *p = start(hang, mp_args((void *)n));
    wait_for(&n->ready, 1);
    assert_int_equal(kill(mp_process_pid(p), SIGBUS), 0);
    int code = 0;
    mp_assert_ok(mp_process_join(p, MP_FOREVER));
    mp_assert_ok(mp_process_exitcode(p, &code));
    assert_int_equal(code, -SIGBUS);
    const mp_crash *c = report_of(p, SIGBUS, "hang");
    assert_int_equal(c->sender, getpid());
    assert_false(c->has_address);
    has(c->text, "sent by pid");
    mp_assert_ok(mp_process_free(p));
    mp_free(n);
}

static int
die_of(const mp_args *args)
{
    int signal_number;
    mp_args_get(args, &signal_number);
    no_core();
    if (signal_number == 0) {
        return 3;
    }
    raise(signal_number);
    pause_for_ever();
    return 0;
}

static void
test_crash_is_none_of_other_ends(void **state)
{
    (void)state;
    static const int signals[] = {0, SIGTERM, SIGKILL, SIGXCPU};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        mp_process *p = mp_process_new(die_of, mp_args(signals[i]), NULL);
        assert_null(mp_process_crash(p));
        assert_int_equal(mp_last_error(), MP_ESTATE);
        mp_assert_ok(mp_process_start(p));
        mp_assert_ok(mp_process_join(p, MP_FOREVER));
        assert_null(mp_process_crash(p));
        assert_int_equal(mp_last_error(), MP_EVALUE);
        mp_assert_ok(mp_process_free(p));
    }
}

/* ---- the program's own handlers ---------------------------------------------------------------*/

static void
leave_with_66(int signal_number)
{
    (void)signal_number;
    _exit(66);
}

static int
crash_with_a_handler(const mp_args *args)
{
    (void)args;
    signal(SIGSEGV, leave_with_66);
    *nowhere = 1;
    return 0;
}

static int
crash_with_mine(const mp_args *args)
{
    (void)args;
    *nowhere = 1;
    return 0;
}

static void
test_crash_handler_of_the_program_is_its_own(void **state)
{
    (void)state;
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    if (SANITIZED) {
        skip();
    }
    assert_int_equal(finish(start(crash_with_a_handler, NULL)), 66);
    if (method_is("fork")) { /* others do not inherit it */
        struct sigaction before, during;
        struct sigaction mine = {.sa_handler = leave_with_66};
        sigaction(SIGSEGV, &mine, &before);
        int code = finish(start(crash_with_mine, NULL));
        sigaction(SIGSEGV, &before, &during);
        assert_true(during.sa_handler == leave_with_66);
        assert_int_equal(code, 66);
        mine.sa_handler = SIG_IGN; /* is no default either */
        sigaction(SIGABRT, &mine, &before);
        code = finish(start(die_of, mp_args(0)));
        sigaction(SIGABRT, &before, &during);
        assert_true(during.sa_handler == SIG_IGN);
        assert_int_equal(code, 3);
    }
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) { /* the parent has none */
        struct sigaction sa;
        assert_int_equal(sigaction(faults[i], NULL, &sa), 0);
        assert_true(sa.sa_handler == SIG_DFL);
    }
}

static int
crash_in_plain_fork(const mp_args *args)
{
    (void)args;
    no_core();
    pid_t pid = fork();
    if (pid == 0) {
        *nowhere = 1;
    }
    int status;
    mp_child_check(waitpid(pid, &status, 0) == pid);
    mp_child_check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    return 5;
}

static int
crash_in_my_child(const mp_args *args)
{
    (void)args;
    mp_process *p = mp_process_new(touch_null, NULL, NULL);
    mp_child_ok(mp_process_start(p));
    mp_child_ok(mp_process_join(p, MP_FOREVER));
    const mp_crash *c = mp_process_crash(p);
    mp_child_check(c != NULL && c->signal == SIGSEGV && c->pid == mp_process_pid(p));
    mp_child_ok(mp_process_free(p));
    mp__process_settle();
    no_core();
    *nowhere = 1; /* and then its parent */
    return 0;
}

static void
test_crash_of_children_of_children(void **state)
{
    (void)state;
    if (SANITIZED) {
        skip();
    }
    mp_process *p = start(crash_in_plain_fork, NULL);
    mp_assert_ok(mp_process_join(p, MP_FOREVER));
    assert_null(mp_process_crash(p));
    assert_int_equal(finish(p), 5);
    p = crash(crash_in_my_child, NULL, SIGSEGV);
    report_of(p, SIGSEGV, "crash_in_my_child");
    mp_assert_ok(mp_process_free(p));
}

static int
has_no_handler(const mp_args *args)
{
    int depth;
    mp_args_get(args, &depth);
    struct sigaction sa;
    sigaction(SIGSEGV, NULL, &sa);
    mp_child_check(method_is("forkserver") || sa.sa_handler == SIG_DFL);
    mp_child_code(mp_crash_reports(false), 0); /* it was so already */
    if (depth > 0) {
        mp_child_check(run_in_child(has_no_handler, mp_args(depth - 1), NULL) == -SIGSEGV);
    }
    mp__process_settle();
    no_core();
    *nowhere = 1;
    return 0;
}

static void
test_crash_reports_can_be_turned_off(void **state)
{
    (void)state;
    if (SANITIZED) {
        skip();
    }
    assert_int_equal(mp_crash_reports(false), 1);
    mp_process *p = start(has_no_handler, mp_args(1));
    mp_assert_ok(mp_process_join(p, MP_FOREVER));
    assert_int_equal(mp_crash_reports(true), 0);
    assert_null(mp_process_crash(p));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    assert_int_equal(finish(p), -SIGSEGV);
    p = crash(touch_null, NULL, SIGSEGV);
    assert_non_null(mp_process_crash(p));
    mp_assert_ok(mp_process_free(p));
}

/* ---- many -------------------------------------------------------------------------------------*/

static void
test_crash_of_more_children_than_slots_is_survived(void **state)
{
    (void)state;
    if (SANITIZED) {
        skip();
    }
    enum { MANY = 20 };
    mp_process *p[MANY];
    int told = 0;
    for (int i = 0; i < MANY; i++) {
        p[i] = start(touch_null, NULL);
    }
    for (int i = 0; i < MANY; i++) {
        struct pollfd fd = {mp_process_sentinel(p[i]), POLLIN, 0};
        assert_true(fd.fd >= 0);
        assert_int_equal(poll(&fd, 1, 20000), 1); /* all have ended, none was asked for */
    }
    for (int i = 0; i < MANY; i++) {
        int code = 0;
        mp_assert_ok(mp_process_join(p[i], MP_FOREVER));
        mp_assert_ok(mp_process_exitcode(p[i], &code));
        assert_int_equal(code, -SIGSEGV);
        const mp_crash *c = mp_process_crash(p[i]);
        if (c) {
            assert_int_equal(c->pid, mp_process_pid(p[i]));
            told++;
        }
        mp_assert_ok(mp_process_free(p[i]));
    }
    assert_in_range(told, 1, MANY);
    p[0] = crash(touch_null, NULL, SIGSEGV); /* and there is room again */
    report_of(p[0], SIGSEGV, "touch_null");
    mp_assert_ok(mp_process_free(p[0]));
}

static void
test_crash_report_ends_with_close(void **state)
{
    (void)state;
    if (SANITIZED) {
        skip();
    }
    mp_process *p = crash(touch_null, NULL, SIGSEGV);
    const mp_crash *c = report_of(p, SIGSEGV, "touch_null");
    mp_assert_ok(mp_process_close(p));
    assert_null(mp_process_crash(p));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    assert_int_equal(c->signal, SIGSEGV); /* what was given stays until the object is freed */
    mp_assert_ok(mp_process_free(p));
}

/* ---- the logger -------------------------------------------------------------------------------*/

static int
log_a_crash(const mp_args *args)
{
    (void)args;
    mp_log_to_stderr(MP_LOG_ERROR);
    mp_process *p = mp_process_new(touch_null, NULL, &(mp_process_options){.name = "unlucky"});
    mp_child_ok(mp_process_start(p));
    mp_child_ok(mp_process_join(p, MP_FOREVER));
    mp_child_ok(mp_process_free(p));
    return 0;
}

static void
test_crash_is_logged_once(void **state)
{
    (void)state;
    if (SANITIZED) {
        skip();
    }
    struct capture c;
    char text[4000];
    capture_begin(&c, 2);
    int code = finish(start_with(log_a_crash, NULL, &(mp_process_options){.name = "logger"}));
    capture_end(&c, text, sizeof text);
    assert_int_equal(code, 0);
    has(text, "[ERROR/logger] unlucky (pid ");
    has(text, ") died of SIGSEGV: nothing is mapped there, 0");
    assert_null(strstr(strstr(text, "died of") + 1, "died of"));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_crash_of_null_tells_address_target_and_place),
    cmocka_unit_test(test_crash_of_each_signal_is_told),
#ifdef BACKTRACE
    cmocka_unit_test(test_crash_backtrace_names_the_callers),
    cmocka_unit_test(test_crash_by_a_call_to_nowhere_tells_who_called),
#endif
    cmocka_unit_test(test_crash_of_several_threads_at_once_is_one_report),
    cmocka_unit_test(test_crash_by_a_sent_signal_tells_the_sender),
    cmocka_unit_test(test_crash_is_none_of_other_ends),
    cmocka_unit_test(test_crash_handler_of_the_program_is_its_own),
    cmocka_unit_test(test_crash_of_children_of_children),
    cmocka_unit_test(test_crash_reports_can_be_turned_off),
    cmocka_unit_test(test_crash_of_more_children_than_slots_is_survived),
    cmocka_unit_test(test_crash_report_ends_with_close),
    cmocka_unit_test(test_crash_is_logged_once),
};

MP_TEST_MAIN(tests)
