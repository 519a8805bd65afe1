/*
 * test_process_options.c: the attributes that a child gets before its target runs, as the child and
 * the system see them; and what is told when one cannot be had.
 */
#include "mp_test.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "helpers/process.h"

/* The start must fail with this code and a text that has `what` in it, and leave no child. */
static void
refused(const mp_process_options *options, int code, const char *what)
{
    struct note *n = note_new();
    mp_process *p = mp_process_new(hang, mp_args((void *)n), options);
    assert_non_null(p);
    for (int i = 0; i < 2; i++) { /* it can be tried again */
        mp_assert_code(mp_process_start(p), code);
        if (!strstr(mp_last_error_text(), what)) {
            fail_msg("\"%s\" does not have \"%s\"", mp_last_error_text(), what);
        }
        assert_int_equal(mp_process_pid(p), 0);
        assert_int_equal(mp_process_is_alive(p), 0);
    }
    size_t running = 1;
    free(mp_active_children(&running));
    assert_int_equal(running, 0);
    if (method_is("fork")) {
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* not even a zombie */
        assert_int_equal(errno, ECHILD);
    }
    assert_int_equal(n->ready, 0); /* the target did not run */
    mp_assert_ok(mp_process_free(p));
    mp_free(n);
}

static int
run(mp_target target, struct note *n, const mp_process_options *options)
{
    return finish(start_with(target, mp_args((void *)n), options));
}

static struct note *
note_of(const mp_args *args)
{
    void *n;
    mp_args_get(args, &n);
    return n;
}

/* ---- processors and niceness ------------------------------------------------------------------*/

#ifndef MP_PLATFORM_POSIX
static int
tell_cpus(const mp_args *args)
{
    atomic_store(&note_of(args)->number[0], mp_usable_cpu_count());
    return 0;
}

static int
first_usable_cpu(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[4096];
    int cpu = -1;
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, "Cpus_allowed_list:", 18) == 0) {
            cpu = atoi(line + 18);
        }
    }
    if (f) {
        fclose(f);
    }
    return cpu;
}
#endif

static void
test_options_cpus_are_the_only_ones(void **state)
{
    (void)state;
#ifdef MP_PLATFORM_POSIX
    const int first = 0;
    refused(&(mp_process_options){.cpus = &first, .cpu_count = 1}, MP_ENOTSUP, "processors");
#else
    int one = first_usable_cpu(), none = 900000, both[] = {one, 4000};
    mp_process_options o = {.cpus = &one, .cpu_count = 1};
    assert_true(one >= 0);
    struct note *n = note_new();
    assert_int_equal(run(tell_cpus, n, &o), 0);
    assert_int_equal(n->number[0], 1);
    assert_int_equal(run(tell_cpus, n, NULL), 0); /* its own alone */
    assert_int_equal(n->number[0], mp_usable_cpu_count());
    o.cpus = &none;
    refused(&o, -EINVAL, "processors");
    o.cpus = both; /* one of them would do, but that is not what was asked for */
    o.cpu_count = 2;
    refused(&o, -EINVAL, "processors");
    mp_free(n);
#endif
}

static int
tell_nice(const mp_args *args)
{
    atomic_store(&note_of(args)->number[0], getpriority(PRIO_PROCESS, 0));
    return 0;
}

static void
test_options_nice_is_added(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp__process_settle(); /* a forkserver of now: its niceness is ours */
    int mine = getpriority(PRIO_PROCESS, 0);
    assert_int_equal(run(tell_nice, n, &(mp_process_options){.nice = 3}), 0);
    assert_int_equal(n->number[0], mine + 3 > 19 ? 19 : mine + 3);
    assert_int_equal(run(tell_nice, n, NULL), 0);
    assert_int_equal(n->number[0], mine);
    mp_free(n);
}

/* As nobody: the fork of a test that runs as root, with the privileges that an error needs gone. */
static int
as_nobody(const mp_args *args)
{
    const char *what;
    int64_t value;
    mp_args_get(args, &what, &value);
    if (geteuid() == 0) {
        mp_child_check(setgid(65534) == 0 && setuid(65534) == 0);
    }
    mp_process_options o = {.context = mp_get_context("fork")};
    if (strcmp(what, "nice") == 0) {
        o.nice = -5;
    } else {
        struct rlimit hard = {100, 100};
        mp_child_check(setrlimit(RLIMIT_NOFILE, &hard) == 0);
        o.max_files = 200;
    }
    mp_process *p = mp_process_new(NULL, NULL, &o);
    mp_child_check(p != NULL);
    mp_child_code(mp_process_start(p), (int)value);
    mp_child_check(strstr(mp_last_error_text(), what) != NULL);
    mp_child_ok(mp_process_free(p));
    return 0;
}

static void
test_options_that_need_a_privilege_are_refused_without(void **state)
{
    (void)state;
    assert_int_equal(finish(start(as_nobody, mp_args("nice", -EACCES))), 0);
    assert_int_equal(finish(start(as_nobody, mp_args("descriptors", -EPERM))), 0);
}

/* ---- limits -----------------------------------------------------------------------------------*/

static int
hit_limits(const mp_args *args)
{
    struct note *n = note_of(args);
    struct rlimit r;
    mp_child_check(getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur == 20 && r.rlim_max == 20);
    long opened = 0;
    while (dup(2) >= 0) {
        opened++;
    }
    mp_child_check(errno == EMFILE && opened < 20);
#if !defined __SANITIZE_ADDRESS__
    char *volatile much = malloc((size_t)600 << 20), *volatile little = malloc((size_t)1 << 20);
    mp_child_check(much == NULL && little != NULL);
    void *heap = mp_malloc((size_t)1 << 20); /* is not counted */
    mp_child_check(heap != NULL);
    mp_free(heap);
    free(little);
#endif
    atomic_store(&n->number[0], 1);
    return 0;
}

static void
test_options_limits_hold(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp_process_options o = {.max_files = 20};
#if !defined __SANITIZE_ADDRESS__
    o.max_memory = (uint64_t)512 << 20;
#endif
    assert_int_equal(run(hit_limits, n, &o), 0);
    assert_int_equal(n->number[0], 1);
    struct rlimit mine;
    assert_int_equal(getrlimit(RLIMIT_AS, &mine), 0);
    assert_true(mine.rlim_cur == RLIM_INFINITY); /* ours are as they were */
    mp_free(n);
}

static int
spin(const mp_args *args)
{
    (void)args;
    for (volatile unsigned i = 0;; i++) {
    }
    return 0;
}

static void
test_options_cpu_seconds_end_the_child(void **state)
{
    (void)state;
    assert_int_equal(run(spin, NULL, &(mp_process_options){.max_cpu_seconds = 1}), -SIGXCPU);
}

/* ---- directory and environment ----------------------------------------------------------------*/

static int
tell_place(const mp_args *args)
{
    struct note *n = note_of(args);
    struct stat st;
    mp_child_check(stat(".", &st) == 0);
    atomic_store(&n->number[0], (long)st.st_ino);
    static const char *const names[] = {"MP_TEST_NEW", "MP_TEST_OLD", "MP_TEST_GONE", "PATH"};
    for (int i = 0; i < 4; i++) {
        const char *value = getenv(names[i]);
        snprintf(n->text[i], sizeof n->text[i], "%s", value ? value : "(none)");
    }
    mp_child_check(setenv("MP_TEST_NEW", "later", 1) == 0); /* the array is a proper one */
    mp_child_check(strcmp(getenv("MP_TEST_NEW"), "later") == 0);
    return 0;
}

static void
test_options_directory_and_environment(void **state)
{
    (void)state;
    struct note *n = note_new();
    struct stat st;
    assert_int_equal(stat(mp_test_dir(), &st), 0);
    mp__process_settle();
    setenv("MP_TEST_OLD", "old", 1);
    setenv("MP_TEST_GONE", "here", 1);
    char value[64] = "MP_TEST_NEW=a=b c";
    const char *const changes[] = {value, "MP_TEST_OLD=new", "MP_TEST_GONE", "MP_TEST_NOT", NULL};
    mp_process_options o = {.directory = mp_test_dir(), .environment = changes};
    mp_process *p = mp_process_new(tell_place, mp_args((void *)n), &o);
    value[0] = 'X'; /* it has a copy */
    mp_assert_ok(mp_process_start(p));
    assert_int_equal(finish(p), 0);
    assert_int_equal(n->number[0], (long)st.st_ino);
    assert_string_equal(n->text[0], "a=b c");
    assert_string_equal(n->text[1], "new");
    assert_string_equal(n->text[2], "(none)");
    assert_string_equal(n->text[3], getenv("PATH"));
    assert_string_equal(getenv("MP_TEST_OLD"), "old");
    assert_null(getenv("MP_TEST_NEW"));
    assert_int_equal(run(tell_place, n, NULL), 0); /* one forkserver for both */
    assert_string_equal(n->text[1], "old");
    unsetenv("MP_TEST_OLD");
    unsetenv("MP_TEST_GONE");
    mp_free(n);
}

static void
test_options_directory_that_is_none_is_told(void **state)
{
    (void)state;
    char path[4300];
    snprintf(path, sizeof path, "%s/no/such", mp_test_dir());
    refused(&(mp_process_options){.directory = path}, -ENOENT, path);
    refused(&(mp_process_options){.directory = "/dev/null"}, -ENOTDIR, "/dev/null");
}

/* ---- the standard descriptors -----------------------------------------------------------------*/

static int
talk(const mp_args *args)
{
    (void)args;
    char line[100] = "";
    mp_child_check(fgets(line, sizeof line, stdin) != NULL);
    printf("out: %s", line);
    fflush(stdout);
    fprintf(stderr, "err: %s", line);
    printf("last\n"); /* left for the end to flush */
    return 0;
}

static void
read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, size - 1) : -1;
    assert_true(n >= 0);
    text[n] = '\0';
    close(fd);
}

static void
write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void
test_options_standard_descriptors_become_files(void **state)
{
    (void)state;
    char in[4300], out[4300], err[4300], text[200];
    snprintf(in, sizeof in, "%s/in", mp_test_dir());
    snprintf(out, sizeof out, "%s/out", mp_test_dir());
    snprintf(err, sizeof err, "%s/err", mp_test_dir());
    write_file(in, "hello\n");
    write_file(out, "much older text that is longer than what comes\n");
    mp_process_options o = {.stdin_path = in, .stdout_path = out, .stderr_path = err};
    assert_int_equal(run(talk, NULL, &o), 0);
    read_file(out, text, sizeof text);
    assert_string_equal(text, "out: hello\nlast\n");
    read_file(err, text, sizeof text);
    assert_string_equal(text, "err: hello\n");
    o.append = true;
    o.stderr_path = "/dev/null";
    assert_int_equal(run(talk, NULL, &o), 0);
    read_file(out, text, sizeof text);
    assert_string_equal(text, "out: hello\nlast\nout: hello\nlast\n");
    o.append = false;
    o.stderr_path = out; /* one file */
    assert_int_equal(run(talk, NULL, &o), 0);
    read_file(out, text, sizeof text);
    assert_string_equal(text, "out: hello\nerr: hello\nlast\n");
}

static int
talk_without_input(const mp_args *args)
{
    (void)args;
    mp_child_check(getchar() == EOF);
    struct stat here, null;
    mp_child_check(fstat(0, &here) == 0 && stat("/dev/null", &null) == 0);
    mp_child_check(here.st_rdev == null.st_rdev);
    printf("relative\n");
    return 0;
}

static void
test_options_paths_are_the_starters(void **state)
{
    (void)state;
    char text[100];
    int here = open(".", O_RDONLY | O_CLOEXEC);
    assert_int_equal(chdir(mp_test_dir()), 0);
    int code =
        run(talk_without_input, NULL,
            &(mp_process_options){.stdout_path = "there", .directory = "/", .max_files = 30});
    read_file("there", text, sizeof text);
    assert_int_equal(fchdir(here), 0);
    close(here);
    assert_int_equal(code, 0);
    assert_string_equal(text, "relative\n");
}

static void
test_options_file_that_cannot_be_opened_is_told(void **state)
{
    (void)state;
    char path[4300];
    snprintf(path, sizeof path, "%s/no/file", mp_test_dir());
    refused(&(mp_process_options){.stdin_path = path}, -ENOENT, path);
    refused(&(mp_process_options){.stdout_path = path}, -ENOENT, path);
    refused(&(mp_process_options){.stderr_path = mp_test_dir()}, -EISDIR, mp_test_dir());
}

/* ---- groups -----------------------------------------------------------------------------------*/

static int
tell_group(const mp_args *args)
{
    struct note *n = note_of(args);
    atomic_store(&n->number[0], getpgid(0));
    atomic_store(&n->number[1], getsid(0));
    atomic_store(&n->number[2], getpid());
    return 0;
}

static void
test_options_group_and_session_of_its_own(void **state)
{
    (void)state;
    struct note *n = note_new();
    assert_int_equal(run(tell_group, n, &(mp_process_options){.group = MP_GROUP_NEW}), 0);
    assert_int_equal(n->number[0], n->number[2]);
    assert_int_equal(n->number[1], getsid(0));
    assert_int_equal(run(tell_group, n, &(mp_process_options){.group = MP_GROUP_SESSION}), 0);
    assert_int_equal(n->number[0], n->number[2]);
    assert_int_equal(n->number[1], n->number[2]);
    assert_int_equal(run(tell_group, n, NULL), 0);
    assert_int_equal(n->number[0], getpgid(0));
    mp_free(n);
}

static void
test_options_group_is_there_when_start_returns(void **state)
{
    (void)state;
    mp_process *p =
        start_with(hang, mp_args((void *)NULL), &(mp_process_options){.group = MP_GROUP_NEW});
    assert_int_equal(kill(-mp_process_pid(p), SIGKILL), 0); /* the group */
    assert_int_equal(finish(p), -SIGKILL);
}

/* ---- what is no option ------------------------------------------------------------------------*/

static void
test_options_without_sense_are_refused_at_once(void **state)
{
    (void)state;
    static const char *const nameless[] = {"=x", NULL};
    int negative = -1;
    const mp_process_options odd[] = {
        {.nice = 41},      {.nice = -41},       {.group = 3},
        {.group = -1},     {.cpu_count = 1},    {.cpus = &negative, .cpu_count = 1},
        {.directory = ""}, {.stdout_path = ""}, {.environment = nameless},
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        assert_null(mp_process_new(NULL, mp_args(1), &odd[i]));
        assert_int_equal(mp_last_error(), MP_EVALUE);
    }
}

static int
tell_all(const mp_args *args)
{
    tell_group(args);
    tell_place(args);
    mp_child_check(getpriority(PRIO_PROCESS, 0) >= 1);
    return 7;
}

static void
test_options_many_at_once_for_many_children(void **state)
{
    (void)state;
    struct note *n = note_new();
    static const char *const changes[] = {"MP_TEST_NEW=x", NULL};
    const mp_process_options o = {.nice = 1,
                                  .max_files = 60,
                                  .max_cpu_seconds = 40,
                                  .directory = "/",
                                  .environment = changes,
                                  .stdout_path = "/dev/null",
                                  .group = MP_GROUP_SESSION};
    for (int i = 0; i < 20; i++) {
        assert_int_equal(run(tell_all, n, &o), 7);
    }
    assert_string_equal(n->text[0], "x");
    mp_free(n);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_options_cpus_are_the_only_ones),
    cmocka_unit_test(test_options_nice_is_added),
    cmocka_unit_test(test_options_that_need_a_privilege_are_refused_without),
    cmocka_unit_test(test_options_limits_hold),
    cmocka_unit_test(test_options_cpu_seconds_end_the_child),
    cmocka_unit_test(test_options_directory_and_environment),
    cmocka_unit_test(test_options_directory_that_is_none_is_told),
    cmocka_unit_test(test_options_standard_descriptors_become_files),
    cmocka_unit_test(test_options_paths_are_the_starters),
    cmocka_unit_test(test_options_file_that_cannot_be_opened_is_told),
    cmocka_unit_test(test_options_group_and_session_of_its_own),
    cmocka_unit_test(test_options_group_is_there_when_start_returns),
    cmocka_unit_test(test_options_without_sense_are_refused_at_once),
    cmocka_unit_test(test_options_many_at_once_for_many_children),
};

MP_TEST_MAIN(tests)
