/*
 * test_log.c: the logger: what is printed, by whom and in which form.  Whole programs are looked at
 * from outside: this one runs itself with CASE:METHOD.
 */
#include "mp_test.h"

#include <pthread.h>
#include <sys/wait.h>

#include "base/log.h"
#include "helpers/process.h"

static char out[1 << 20]; /* what a program wrote */

/* Run a case in a program of its own, under this test's start method; its exit code. */
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

/* ---- what the library says ------------------------------------------------------------------- */

static int
do_nothing(const mp_args *args)
{
    (void)args;
    return 3;
}

static int
case_debug(void)
{
    mp_log_to_stderr(MP_LOG_DEBUG);
    return run_child(do_nothing, NULL);
}

static void
test_log_debug_tells_a_programs_life_as_in_python(void **state)
{
    (void)state;
    assert_int_equal(run("debug"), 3);
    assert_string_equal(out,
                        "[INFO/Process-1] child process calling self.run()\n"
                        "[INFO/Process-1] process exiting with exitcode 3\n"
                        "[INFO/Process-1] process shutting down\n"
                        "[DEBUG/Process-1] running all \"atexit\" finalizers with priority >= 0\n"
                        "[DEBUG/Process-1] running the remaining \"atexit\" finalizers\n"
                        "[INFO/MainProcess] process shutting down\n"
                        "[DEBUG/MainProcess] running all \"atexit\" finalizers with priority >= 0\n"
                        "[DEBUG/MainProcess] running the remaining \"atexit\" finalizers\n");
}

/* A daemon that SIGTERM ends once it is joined; until then it waits. */
static int
end_by_sigterm(const mp_args *args)
{
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    mp_child_check(pthread_sigmask(SIG_BLOCK, &term, NULL) == 0);
    void *p;
    mp_args_get(args, &p);
    struct note *n = p;
    atomic_store(&n->ready, 1);
    wait_for(&n->go, 1);
    pthread_sigmask(SIG_UNBLOCK, &term, NULL);
    pause_for_ever();
    return 0;
}

static int
end_when_joined(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    wait_for(&((struct note *)p)->go, 2);
    return 0;
}

/* A handler: it lets those go that are joined, so they are there until then. */
static void
let_go(const mp_log_record *r, void *ctx)
{
    struct note *n = ctx;
    atomic_fetch_add(&n->go, strncmp(r->message, "calling join()", 14) == 0);
}

/* The end of a child, which the library is not to know of yet, unless it has to. */
static void
await_end(mp_process *p)
{
    siginfo_t info;
    if (method_is("forkserver")) {
        mp_process_join(p, MP_FOREVER);
    } else {
        while (waitid(P_PID, (id_t)mp_process_pid(p), &info, WEXITED | WNOWAIT) < 0 &&
               errno == EINTR) {
        }
    }
}

static int
case_family(void)
{
    struct note *n = mp_calloc(1, sizeof *n);
    mp_process_options daemon = {.name = "d", .daemon = MP_DAEMON_YES}, other = {.name = "c"};
    static mp_process *d, *c, *ended; /* not lost, in the eyes of a leak checker */
    d = mp_process_new(end_by_sigterm, mp_args((void *)n), &daemon);
    c = mp_process_new(end_when_joined, mp_args((void *)n), &other);
    daemon.name = "ended";
    ended = mp_process_new(do_nothing, NULL, &daemon);
    if (mp_process_start(d) || mp_process_start(c) || mp_process_start(ended)) {
        return 97;
    }
    wait_for(&n->ready, 1);
    await_end(ended);
    mp_log_to_stderr(MP_LOG_INFO); /* from here on, for us alone */
    mp_logger_set_handler(mp_get_logger(), let_go, n);
    return 0;
}

static void
test_log_info_tells_how_children_are_ended(void **state)
{
    (void)state;
    assert_int_equal(run("family"), 0);
    assert_string_equal(out, "[INFO/MainProcess] process shutting down\n"
                             "[INFO/MainProcess] calling terminate() for daemon d\n"
                             "[INFO/MainProcess] calling join() for process d\n"
                             "[INFO/MainProcess] calling join() for process c\n");
}

static int
fail_here(const mp_args *args)
{
    (void)args;
    mp_fail("it broke");
}

static int
case_fail(void)
{
    mp_log_to_stderr(MP_LOG_INFO);
    int code = run_child(fail_here, NULL);
    mp_logger_set_level(mp_get_logger(), MP_LOG_ERROR);
    return code;
}

static void
test_log_of_a_failing_child_has_its_exit_code(void **state)
{
    (void)state;
    assert_int_equal(run("fail"), 1);
    assert_string_equal(out, "[INFO/Process-1] child process calling self.run()\n"
                             "Process Process-1:\nit broke\n"
                             "[INFO/Process-1] process exiting with exitcode 1\n"
                             "[INFO/Process-1] process shutting down\n");
}

static mp_obj
double_it(mp_obj item)
{
    return mp_from(2 * mp_as_int(item));
}

static int
case_pool(void)
{
    mp_log_to_stderr(MP_LOG_DEBUG);
    mp_pool *pool = mp_pool_new(&(mp_pool_options){.processes = 1});
    mp_obj results;
    if (mp_pool_map(pool, double_it, mp_list(1, 2, 3), &results) != 0) {
        return 97;
    }
    mp_obj_free(results);
    return mp_pool_close(pool) || mp_pool_join(pool) || mp_pool_free(pool);
}

static void
test_log_debug_tells_a_pools_steps(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "[DEBUG/MainProcess] added worker\n",
        "[DEBUG/MainProcess] closing pool\n",
        "[DEBUG/MainProcess] joining pool\n",
        "PoolWorker-1] worker got sentinel -- exiting\n",
        "PoolWorker-1] worker exiting after 3 tasks\n",
    };
    assert_int_equal(run("pool"), 0);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (!strstr(out, lines[i])) {
            fail_msg("no \"%s\" in:\n%s", lines[i], out);
        }
    }
}

/* ---- off, and levels -------------------------------------------------------------------------- */

static int
log_all_levels(const mp_args *args)
{
    (void)args;
    mp_log_sub_debug("five");
    mp_log_debug("ten");
    mp_log_info("twenty");
    mp_log_sub_warning("twenty-%s", "five");
    mp_log_warning("thirty");
    mp_log(MP_LOG_ERROR, "forty");
    mp_log(MP_LOG_CRITICAL, "fifty");
    return 0;
}

static int
case_off(void)
{
    int evaluated = 0;
    log_all_levels(NULL);
    MP__LOG(MP_LOG_CRITICAL, "%d", ++evaluated);
    return evaluated || run_child(log_all_levels, NULL);
}

static void
test_log_is_off_until_it_is_asked_for(void **state)
{
    (void)state;
    assert_int_equal(run("off"), 0);
    assert_string_equal(out, "");
}

static int
case_bare(void)
{
    mp_get_logger();
    mp_logger_set_level(mp_get_logger(), MP_LOG_DEBUG);
    log_all_levels(NULL);
    return 0;
}

static void
test_logger_without_handler_prints_warnings_bare(void **state)
{
    (void)state;
    assert_int_equal(run("bare"), 0);
    assert_string_equal(out, "thirty\nforty\nfifty\n");
}

static int
case_level(int level)
{
    mp_log_to_stderr(0);
    mp_log_to_stderr(0); /* no line twice */
    mp_logger_set_level(mp_get_logger(), level);
    log_all_levels(NULL);
    int failed = run_child(log_all_levels, NULL);
    mp_logger_set_level(mp_get_logger(), 1000);
    return failed;
}

static void
test_log_level_is_the_childrens_too(void **state)
{
    (void)state;
    static const char warnings[] = "[WARNING/MainProcess] thirty\n"
                                   "[ERROR/MainProcess] forty\n"
                                   "[CRITICAL/MainProcess] fifty\n"
                                   "[WARNING/Process-1] thirty\n"
                                   "[ERROR/Process-1] forty\n"
                                   "[CRITICAL/Process-1] fifty\n";
    assert_int_equal(run("level-30"), 0);
    assert_string_equal(out, warnings);
    assert_int_equal(run("level-0"), 0); /* not set */
    assert_string_equal(out, warnings);
    assert_int_equal(run("level-5"), 0);
    static const char begin[] = "[Level 5/MainProcess] five\n"
                                "[DEBUG/MainProcess] ten\n"
                                "[INFO/MainProcess] twenty\n"
                                "[Level 25/MainProcess] twenty-five\n"
                                "[WARNING/MainProcess] thirty\n";
    assert_int_equal(strncmp(out, begin, sizeof begin - 1), 0);
    assert_non_null(strstr(out, "[Level 5/Process-1] five\n[DEBUG/Process-1] ten\n"));
}

static int
case_follows(void)
{
    mp_log_to_stderr(MP_LOG_ERROR);
    int failed = run_child(log_all_levels, NULL); /* a forkserver runs from here on */
    mp_logger_set_level(mp_get_logger(), MP_LOG_CRITICAL);
    failed |= run_child(log_all_levels, NULL);
    return failed;
}

static void
test_log_level_of_a_child_is_that_of_its_start(void **state)
{
    (void)state;
    assert_int_equal(run("follows"), 0);
    assert_string_equal(out, "[ERROR/Process-1] forty\n[CRITICAL/Process-1] fifty\n"
                             "[CRITICAL/Process-2] fifty\n");
}

static int
case_calls(void)
{
    mp_logger *l = mp_get_logger();
    if (mp_get_logger() != l || mp_logger_get_level(l) != MP_LOG_WARNING) {
        return 1;
    }
    if (mp_logger_set_level(l, -1) != MP_EVALUE || mp_logger_set_level(NULL, 10) != MP_EVALUE ||
        mp_logger_get_level(NULL) != MP_EVALUE ||
        mp_logger_set_handler(NULL, NULL, NULL) != MP_EVALUE) {
        return 2;
    }
    if (mp_log_to_stderr(MP_LOG_SUBWARNING) != l || mp_logger_get_level(l) != 25 ||
        mp_log_to_stderr(0) != l || mp_logger_get_level(l) != 25) {
        return 3;
    }
    if (mp_logger_set_level(l, 0) != 0 || mp_logger_get_level(l) != MP_LOG_WARNING) {
        return 4;
    }
    errno = 77;
    mp_log_warning("errno is kept");
    return errno == 77 ? 0 : 5;
}

static void
test_logger_calls_answer_as_they_say(void **state)
{
    (void)state;
    assert_int_equal(run("calls"), 0);
    assert_string_equal(out, "[WARNING/MainProcess] errno is kept\n");
}

/* ---- handlers --------------------------------------------------------------------------------- */

static _Atomic int calls;

static void
count_calls(void *unused)
{
    (void)unused;
    atomic_fetch_add(&calls, 1);
}

static int
hang_here(const mp_args *args)
{
    return hang(args);
}

static void
print_record(const mp_log_record *r, void *ctx)
{
    const char *slash = strrchr(r->file, '/');
    fprintf(stdout, "%s %d %s %s %d %s|", (const char *)ctx, r->level, r->level_name,
            r->process_name, r->pid == getpid(), r->message);
    if (strcmp(slash ? slash + 1 : r->file, "test_log.c") == 0 && r->line > 0) {
        fprintf(stdout, "here|");
    }
    fflush(stdout);
    mp_log(MP_LOG_ERROR, "in the handler"); /* does not come back */
}

static int
log_one(const mp_args *args)
{
    (void)args;
    mp_log_info("message\nof %d lines", 2);
    return 0;
}

static int
case_handler(void)
{
    mp_logger *l = mp_get_logger();
    mp_logger_set_level(l, MP_LOG_INFO);
    mp_logger_set_handler(l, print_record, (void *)(uintptr_t) "mine");
    log_one(NULL);
    mp_logger_set_level(l, MP_LOG_WARNING);
    mp_log_info("not heard");
    mp_logger_set_level(l, MP_LOG_INFO);
    int failed = run_child(log_one, NULL);
    mp_logger_set_handler(l, NULL, NULL);
    log_one(NULL);
    return failed;
}

static void
test_log_handler_is_the_callers_and_goes_along_with_fork_only(void **state)
{
    (void)state;
    assert_int_equal(run("handler"), 0);
    if (method_is("fork")) {
        assert_string_equal(out, "mine 20 INFO MainProcess 1 message\nof 2 lines|here|"
                                 "mine 20 INFO Process-1 1 child process calling self.run()|"
                                 "mine 20 INFO Process-1 1 message\nof 2 lines|here|"
                                 "mine 20 INFO Process-1 1 process exiting with exitcode 0|"
                                 "mine 20 INFO Process-1 1 process shutting down|");
    } else {
        assert_string_equal(out, "mine 20 INFO MainProcess 1 message\nof 2 lines|here|");
    }
}

/* Calls back into the library: it holds no lock then. */
static void
use_library(const mp_log_record *r, void *ctx)
{
    size_t count;
    mp_process **children = mp_active_children(&count);
    free(children);
    mp_finalize_cancel(mp_finalize_new(ctx, count_calls, NULL, 1));
    mp_atexit_unregister(count_calls, ctx);
    mp_unregister_after_fork(ctx, NULL);
    mp_process_free(mp_process_new(do_nothing, NULL, NULL));
    mp_logger_set_level(mp_get_logger(), MP_LOG_SUBDEBUG);
    mp_get_temp_dir();
    mp_free(mp_malloc(100));
    count_calls(NULL);
    printf(strcmp(r->message, "process shutting down") == 0 ? "end|" : "");
    fflush(stdout);
}

static void *
wait_in_thread(void *ctx)
{
    read(*(int *)ctx, &(char){0}, 1); /* until the end of the file */
    return NULL;
}

static int
case_reenter(void)
{
    static mp_process *d;
    int fds[2], object;
    pthread_t t;
    mp_logger_set_handler(mp_get_logger(), use_library, &object);
    mp_logger_set_level(mp_get_logger(), MP_LOG_SUBDEBUG);
    if (pipe(fds) || pthread_create(&t, NULL, wait_in_thread, &fds[0])) {
        return 90;
    }
    mp_finalize_new(NULL, count_calls, NULL, 0);
    int failed = run_child(do_nothing, NULL) != 3; /* under fork, the warning */
    close(fds[1]);
    pthread_join(t, NULL);
    close(fds[0]);
    mp_pool *pool = mp_pool_new(&(mp_pool_options){.processes = 2});
    failed |= mp_pool_terminate(pool) || mp_pool_join(pool) || mp_pool_free(pool);
    d = mp_process_new(hang_here, mp_args(mp_none()),
                       &(mp_process_options){.daemon = MP_DAEMON_YES});
    failed |= mp_process_start(d) | (calls == 0);
    return failed;
}

static void
test_log_handler_may_call_the_library(void **state)
{
    (void)state;
    assert_int_equal(run("reenter"), 0);
    assert_true(strlen(out) >= 4 && strcmp(out + strlen(out) - 4, "end|") == 0);
}

static void
discard(const mp_log_record *r, void *ctx)
{
    atomic_fetch_add((_Atomic int *)ctx, (int)strlen(r->message));
}

static _Atomic int enough;

static void *
log_on(void *ctx)
{
    (void)ctx;
    while (!atomic_load(&enough)) {
        mp_log_info("%600d", 1);
        mp_log_sub_debug("%2000d", 1);
        for (int i = 0; i < 300; i++) { /* little but taking its mutex */
            mp_logger_set_level(mp_get_logger(), MP_LOG_SUBDEBUG);
        }
    }
    return NULL;
}

static int
case_fork_amid(void)
{
    static _Atomic int heard;
    pthread_t t[2];
    int failed = 0;
    mp_logger_set_handler(mp_get_logger(), discard, &heard);
    for (int i = 0; i < 2; i++) {
        failed |= pthread_create(&t[i], NULL, log_on, NULL);
    }
    for (int i = 0; i < 30 && !failed; i++) {
        failed |= run_child(log_one, NULL);
    }
    atomic_store(&enough, 1);
    for (int i = 0; i < 2; i++) {
        pthread_join(t[i], NULL);
    }
    mp_logger_set_handler(mp_get_logger(), NULL, NULL);
    return failed;
}

static void
test_log_works_in_a_child_that_was_forked_amid_the_logging_of_threads(void **state)
{
    (void)state;
    assert_int_equal(run("fork-amid"), 0);
}

/* ---- lines ------------------------------------------------------------------------------------ */

#define LINES   300
#define WRITERS 4

static void *
write_many(void *ctx)
{
    const char *which = ctx;
    char body[600];
    for (int i = 0; i < LINES; i++) {
        memset(body, *which, sizeof body);
        body[50 + i] = '\0';
        mp_log_warning("%s", body);
    }
    return NULL;
}

static int
write_many_by_two(const mp_args *args)
{
    const char *which;
    mp_args_get(args, &which);
    char other[] = {(char)(which[0] + 1), '\0'};
    pthread_t t;
    mp_child_check(pthread_create(&t, NULL, write_many, other) == 0);
    write_many((void *)(uintptr_t)which);
    mp_child_check(pthread_join(t, NULL) == 0);
    return 0;
}

static int
case_lines(void)
{
    mp_process *p[WRITERS];
    int failed = 0;
    mp_log_to_stderr(MP_LOG_WARNING);
    for (int i = 0; i < WRITERS; i++) {
        char which[] = {(char)('a' + 2 * i), '\0'};
        p[i] = mp_process_new(write_many_by_two, mp_args((const char *)which),
                              &(mp_process_options){.name = which});
        failed |= mp_process_start(p[i]);
    }
    for (int i = 0; i < WRITERS; i++) {
        int code = 1;
        failed |= mp_process_join(p[i], MP_FOREVER) | mp_process_exitcode(p[i], &code) |
                  mp_process_free(p[i]) | code;
    }
    return failed;
}

static void
test_log_lines_of_several_processes_never_mix(void **state)
{
    (void)state;
    int lines = 0;
    assert_int_equal(run("lines"), 0);
    for (char *line = out, *end; (end = strchr(line, '\n')) != NULL; line = end + 1, lines++) {
        char process, first;
        *end = '\0';
        assert_int_equal(sscanf(line, "[WARNING/%c] %c", &process, &first), 2);
        const char *body = strchr(line, ' ') + 1;
        assert_true(first == process || first == process + 1);
        assert_int_equal(strspn(body, (char[]){first, '\0'}), strlen(body));
        assert_true(strlen(body) >= 50);
    }
    assert_int_equal(lines, 2 * WRITERS * LINES);
}

static int
case_long(void)
{
    static char text[100001];
    memset(text, 'x', sizeof text - 1);
    mp_log_to_stderr(MP_LOG_WARNING);
    mp_log_warning("%s.", text);
    memset(text, 'y', sizeof text - 1);
    mp_log_warning("%s.", text);
    return 0;
}

static void
test_log_line_may_be_long(void **state)
{
    (void)state;
    static const char head[] = "[WARNING/MainProcess] ";
    size_t h = sizeof head - 1;
    assert_int_equal(run("long"), 0);
    assert_int_equal(strlen(out), 2 * (h + 100002));
    assert_int_equal(strncmp(out, head, h), 0);
    assert_int_equal(strspn(out + h, "x"), 100000);
    assert_int_equal(strncmp(out + h + 100000, ".\n", 2), 0);
    assert_int_equal(strspn(out + h + 100002 + h, "y"), 100000);
}

static int
case_nobody(void)
{
    int fds[2];
    if (pipe(fds) != 0 || dup2(fds[1], 2) != 2) {
        return 1;
    }
    close(fds[0]);
    close(fds[1]);
    mp_log_to_stderr(MP_LOG_INFO);
    log_one(NULL);
    int failed = run_child(log_one, NULL);
    close(2);
    log_one(NULL);
    return failed | run_child(log_one, NULL);
}

static void
test_log_to_a_stderr_that_nobody_reads_does_no_harm(void **state)
{
    (void)state;
    assert_int_equal(run("nobody"), 0);
}

/* ---- fork in a program with threads ------------------------------------------------------------ */

static int
case_threads(const char *how)
{
    int fds[2], failed = 0;
    pthread_t t;
    mp_log_to_stderr(MP_LOG_WARNING);
    if (strcmp(how, "strict-env") == 0) {
        setenv("MP_FORK_STRICT", "1", 1);
    } else if (strcmp(how, "strict") == 0) {
        mp_set_fork_strict(true);
    }
    failed |= run_child(do_nothing, NULL) != 3; /* one thread: no word */
    if (pipe(fds) || pthread_create(&t, NULL, wait_in_thread, &fds[0])) {
        return 90;
    }
    if (*how && method_is("fork")) {
        mp_process *p = mp_process_new(do_nothing, NULL, NULL);
        failed |= mp_process_start(p) != MP_ERUNTIME;
        fprintf(stderr, "%d threads|", strstr(mp_last_error_text(), "2 threads") != NULL);
        mp_set_fork_strict(false);
        failed |= mp_process_start(p) || mp_process_join(p, MP_FOREVER) || mp_process_free(p);
    }
    failed |= run_child(do_nothing, NULL) != 3;
    failed |= run_child(do_nothing, NULL) != 3;
    close(fds[1]);
    pthread_join(t, NULL);
    close(fds[0]);
    printf("%d|", (int)getpid());
    return failed;
}

/* In a child: fork it may not use, with a thread beside. */
static int
fork_with_thread(const mp_args *args)
{
    int fds[2];
    pthread_t t;
    (void)args;
    mp_child_check(!pipe(fds) && !pthread_create(&t, NULL, wait_in_thread, &fds[0]));
    mp_process *p =
        mp_process_new(do_nothing, NULL, &(mp_process_options){.context = mp_get_context("fork")});
    mp_child_check(p != NULL);
    mp_child_code(mp_process_start(p), MP_ERUNTIME);
    mp_child_ok(mp_process_free(p));
    close(fds[1]);
    mp_child_check(pthread_join(t, NULL) == 0);
    close(fds[0]);
    return 0;
}

static int
case_strict_child(void)
{
    mp_set_fork_strict(true);
    return run_child(fork_with_thread, NULL);
}

/* ThreadSanitizer has a thread of its own. */
static void
skip_if_sanitized(void)
{
#if defined __SANITIZE_THREAD__
    skip();
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
    skip();
#endif
#endif
}

static void
check_warned_once(const char *before)
{
    char expected[300] = "";
    if (method_is("fork")) {
        const char *pid = strrchr(out, '\n');
        assert_non_null(pid);
        snprintf(expected, sizeof expected,
                 "%s[WARNING/MainProcess] This process (pid=%d) is multi-threaded, use of fork() "
                 "may lead to deadlocks in the child.\n",
                 before, atoi(pid + 1));
        assert_int_equal(strncmp(out, expected, strlen(expected)), 0);
    }
    assert_int_equal(strspn(out + strlen(expected), "0123456789|"), strlen(out + strlen(expected)));
}

static void
test_fork_with_threads_is_warned_of_once(void **state)
{
    (void)state;
    skip_if_sanitized();
    assert_int_equal(run("threads-"), 0);
    check_warned_once("");
}

static void
test_fork_with_threads_can_be_forbidden(void **state)
{
    (void)state;
    skip_if_sanitized();
    assert_int_equal(run("threads-strict"), 0);
    check_warned_once("1 threads|");
    assert_int_equal(run("threads-strict-env"), 0);
    check_warned_once("1 threads|");
    assert_int_equal(run("strict-child"), 0);
    assert_string_equal(out, "");
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
    static const struct {
        const char *name;
        int (*run)(void);
    } cases[] = {
        {"debug", case_debug},
        {"family", case_family},
        {"fail", case_fail},
        {"pool", case_pool},
        {"off", case_off},
        {"bare", case_bare},
        {"calls", case_calls},
        {"follows", case_follows},
        {"handler", case_handler},
        {"lines", case_lines},
        {"long", case_long},
        {"nobody", case_nobody},
        {"reenter", case_reenter},
        {"fork-amid", case_fork_amid},
        {"strict-child", case_strict_child},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(cases[i].name, name) == 0) {
            return cases[i].run();
        }
    }
    if (strncmp(name, "level-", 6) == 0) {
        return case_level(atoi(name + 6));
    }
    return strncmp(name, "threads-", 8) == 0 ? case_threads(name + 8) : 91;
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_log_debug_tells_a_programs_life_as_in_python),
    cmocka_unit_test(test_log_info_tells_how_children_are_ended),
    cmocka_unit_test(test_log_of_a_failing_child_has_its_exit_code),
    cmocka_unit_test(test_log_debug_tells_a_pools_steps),
    cmocka_unit_test(test_log_is_off_until_it_is_asked_for),
    cmocka_unit_test(test_logger_without_handler_prints_warnings_bare),
    cmocka_unit_test(test_log_level_is_the_childrens_too),
    cmocka_unit_test(test_log_level_of_a_child_is_that_of_its_start),
    cmocka_unit_test(test_logger_calls_answer_as_they_say),
    cmocka_unit_test(test_log_handler_is_the_callers_and_goes_along_with_fork_only),
    cmocka_unit_test(test_log_handler_may_call_the_library),
    cmocka_unit_test(test_log_works_in_a_child_that_was_forked_amid_the_logging_of_threads),
    cmocka_unit_test(test_log_lines_of_several_processes_never_mix),
    cmocka_unit_test(test_log_line_may_be_long),
    cmocka_unit_test(test_log_to_a_stderr_that_nobody_reads_does_no_harm),
    cmocka_unit_test(test_fork_with_threads_is_warned_of_once),
    cmocka_unit_test(test_fork_with_threads_can_be_forbidden),
};

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    if (argc > 1 && strchr(argv[1], ':')) {
        return run_case(argv[1]);
    }
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
}
