/*
 * test_freeze_fault.c: main() functions that do not call mp_freeze_support() as they should get an
 * explanation, an error, and no fork bomb.  The programs are helpers/freeze.c.
 */
#include "mp_test.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "helpers/process.h"

#define MOST_SECONDS 20.0 /* far less than a start waits for a child that does not come */

struct result {
    int status;
    int runs; /* of main() */
    double seconds;
    char out[4000]; /* stdout and stderr */
};

static const char *const methods[] = {"spawn", "forkserver"};

static pid_t
start_program(const char *mode, const char *method, const char *log, const char *mark, int *ret_fd)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], 1);
        dup2(fds[1], 2);
        close(fds[0]);
        close(fds[1]);
        unsetenv("LIBMP_CHILD");
        if (mark) {
            setenv("LIBMP_CHILD", mark, 1);
        }
        execl(MP_TEST_FREEZE, MP_TEST_FREEZE, mode, method, log, (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0);
    close(fds[1]);
    *ret_fd = fds[0];
    return pid;
}

/* Run it to its end, or until MOST_SECONDS have passed: then it is killed. */
static void
run_program(struct result *r, const char *mode, const char *method, const char *mark)
{
    char log[4200];
    int fd;
    size_t len = 0;
    snprintf(log, sizeof log, "%s/runs-%s-%s", mp_test_dir(), mode, method);
    double began = mp_test_now();
    pid_t pid = start_program(mode, method, log, mark, &fd);
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        double left = began + MOST_SECONDS - mp_test_now();
        if (left <= 0 || poll(&p, 1, (int)(left * 1000)) <= 0) {
            kill(pid, SIGKILL);
            break;
        }
        ssize_t n = read(fd, r->out + len, sizeof r->out - 1 - len);
        if (n <= 0) {
            break;
        }
        len += (size_t)n;
    }
    r->out[len] = '\0';
    close(fd);
    assert_int_equal(waitpid(pid, &r->status, 0), pid);
    r->seconds = mp_test_now() - began;
    FILE *f = fopen(log, "r");
    r->runs = 0;
    for (int c; f && (c = getc(f)) != EOF;) {
        r->runs += c == '\n';
    }
    if (f) {
        fclose(f);
    }
}

static void
expect_failure(const struct result *r, int runs, const char *text)
{
    if (!WIFEXITED(r->status) || WEXITSTATUS(r->status) != 7 || r->runs != runs ||
        !strstr(r->out, text)) {
        print_error("status %#x, %d runs, said:\n%s\n", (unsigned)r->status, r->runs, r->out);
    }
    assert_true(WIFEXITED(r->status));
    assert_int_equal(WEXITSTATUS(r->status), 7);
    assert_int_equal(r->runs, runs);
    assert_non_null(strstr(r->out, "RuntimeError\n"));
    assert_non_null(strstr(r->out, text));
    assert_true(r->seconds < MOST_SECONDS);
}

static void
test_freeze_support_never_called_is_told_at_the_start(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct result r;
        run_program(&r, "never", methods[i], NULL);
        expect_failure(&r, 1, "mp_freeze_support(argc, argv)");
    }
}

static void
test_freeze_support_never_called_does_not_matter_to_fork(void **state)
{
    (void)state;
    struct result r;
    run_program(&r, "never", "fork", NULL);
    assert_string_equal(r.out, "\nstarted\nexit code 0\n");
    assert_int_equal(r.runs, 1);
}

static void
test_freeze_support_called_too_late_is_explained(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct result r;
        run_program(&r, "late", methods[i], NULL);
        expect_failure(&r, 2, "mp_freeze_support");
        assert_non_null(strstr(r.out, "the first\nstatement of main() must be"));
        assert_non_null(strstr(r.out, "exit code 1 before it joined"));
    }
}

static void
test_start_before_freeze_support_is_no_fork_bomb(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct result r;
        run_program(&r, "start-first", methods[i], NULL);
        expect_failure(&r, 2, "mp_freeze_support");
        assert_non_null(strstr(r.out, "first: RuntimeError"));
    }
}

static void
test_child_that_ends_before_freeze_support_is_told(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct result r;
        run_program(&r, "end", methods[i], NULL);
        expect_failure(&r, 2, "exit code 33");
        run_program(&r, "crash", methods[i], NULL);
        expect_failure(&r, 2, "signal 9");
    }
}

/* A child that never comes: the start waits; when it is killed, the start says so at once. */
static void
test_child_asleep_before_freeze_support_can_be_killed(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        char log[4200], text[2000] = "";
        int fd, status;
        snprintf(log, sizeof log, "%s/runs-asleep-%d", mp_test_dir(), i);
        pid_t pid = start_program("asleep", methods[i], log, NULL, &fd);
        assert_int_equal(read(fd, text, 7), 7);
        assert_memory_equal(text, "asleep\n", 7);
        char path[64];
        snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", (long)pid, (long)pid);
        FILE *f = fopen(path, "r");
        long child = 0;
        if (f) {
            assert_int_equal(fscanf(f, "%ld", &child), 1);
            fclose(f);
            kill((pid_t)child, SIGKILL);
        } else {
            kill(pid, SIGKILL);
        }
        size_t len = 0;
        for (ssize_t n; (n = read(fd, text + len, sizeof text - 1 - len)) > 0;) {
            len += (size_t)n;
        }
        text[len] = '\0';
        close(fd);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (child) {
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 7);
            assert_non_null(strstr(text, "signal 9"));
        }
    }
}

static void
test_mark_set_by_a_stranger_is_no_mark(void **state)
{
    (void)state;
    static const char *const marks[] = {"1", "", "yes", "0", "-1", "99999999999999999999"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        for (int k = 0; k < 2; k++) {
            struct result r;
            char mode[32];
            snprintf(mode, sizeof mode, "normal-%zu", i);
            run_program(&r, mode, methods[k], marks[i]);
            assert_string_equal(r.out, "\nstarted\nexit code 0\n");
            assert_int_equal(r.runs, k == 0 ? 2 : 2);
        }
    }
}

/* With something of the stranger's own as descriptor 3, as servers are started with sockets. */
static void
test_mark_and_socket_of_a_stranger_do_not_hang(void **state)
{
    (void)state;
    int pair[2], pair2[2], three = fcntl(3, F_DUPFD_CLOEXEC, 50);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair2), 0);
    for (int i = 0; i < 2; i++) {
        struct result r;
        dup2(i ? pair2[0] : pair[0], 3);
        run_program(&r, i ? "datagrams" : "stream", "spawn", "1");
        if (three >= 0) {
            fcntl(dup2(three, 3), F_SETFD, FD_CLOEXEC);
        } else {
            close(3);
        }
        assert_string_equal(r.out, "\nstarted\nexit code 0\n");
    }
    close(pair[0]);
    close(pair[1]);
    close(pair2[0]);
    close(pair2[1]);
    close(three);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_freeze_support_never_called_is_told_at_the_start),
    cmocka_unit_test(test_freeze_support_never_called_does_not_matter_to_fork),
    cmocka_unit_test(test_freeze_support_called_too_late_is_explained),
    cmocka_unit_test(test_start_before_freeze_support_is_no_fork_bomb),
    cmocka_unit_test(test_child_that_ends_before_freeze_support_is_told),
    cmocka_unit_test(test_child_asleep_before_freeze_support_can_be_killed),
    cmocka_unit_test(test_mark_set_by_a_stranger_is_no_mark),
    cmocka_unit_test(test_mark_and_socket_of_a_stranger_do_not_hang),
};

MP_TEST_MAIN(tests)
