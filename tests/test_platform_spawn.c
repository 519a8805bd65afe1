/*
 * test_platform_spawn.c: platform.h's started programs, the same for both sides.
 *
 * The program runs itself in two roles: to tell what it inherited, and to call a function that it
 * was sent.
 */
#include "helpers/platform.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/platform.h"

extern char **environ;

static char *argv0;

/* What a started program tells of itself. */
struct inherited {
    bool open[MOST_OPEN];
    ino_t inode[MOST_OPEN];
    bool signals_default;
    bool mask_empty;
};

static int
tell_inherited(void)
{
    struct inherited in = {.signals_default = true, .mask_empty = true};
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int fd = 0; fd < MOST_OPEN; fd++) {
        struct stat st;
        in.open[fd] = fstat(fd, &st) == 0;
        in.inode[fd] = in.open[fd] ? st.st_ino : 0;
    }
    const int numbers[] = {SIGINT, SIGPIPE, SIGUSR1, SIGTERM, SIGCHLD};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action;
        sigaction(numbers[i], NULL, &action);
        in.signals_default = in.signals_default && action.sa_handler == SIG_DFL;
        in.mask_empty = in.mask_empty && !sigismember(&mask, numbers[i]);
    }
    struct iovec iov = {&in, sizeof in};
    return mp__plat_write_all(3, &iov, 1) == 0 ? 0 : 1;
}

static int
times_three(int n)
{
    return 3 * n + 1;
}

/* Called by nobody else, so that only the reference leads to it. */
static int
minus_seven(int n)
{
    return n - 7;
}

static int
call_what_is_sent(void)
{
    mp__plat_funcref ref;
    uintptr_t address = 0;
    if (mp__plat_read_all(3, &ref, sizeof ref) != (ssize_t)sizeof ref) {
        return 1;
    }
    int answer = mp__plat_func_from_ref(&ref, &address);
    if (answer == 0) {
        answer = ((int (*)(int))address)(100);
    }
    struct iovec iov = {&answer, sizeof answer};
    return mp__plat_write_all(3, &iov, 1) == 0 ? 0 : 1;
}

/* Start this program in a role.  0 or -errno. */
static int
start_self(char *role, int keep, pid_t *ret_pid)
{
    char path[4096];
    int status = mp__plat_executable(argv0, path, sizeof path);
    char *const argv[] = {argv0, role, NULL};
    return status < 0 ? status : mp__plat_spawn(path, argv, environ, &keep, 1, ret_pid);
}

/* Start it with `keep`, and read what it inherited at the pipe's other end.  0, or what failed. */
static int
ask_inherited(int keep, int read_end, struct inherited *ret)
{
    static char role[] = "--tell-inherited";
    pid_t pid;
    int exit_status = -1;
    int status = start_self(role, keep, &pid);
    if (status < 0) {
        return status;
    }
    close(keep);
    if (mp__plat_read_all(read_end, ret, sizeof *ret) != (ssize_t)sizeof *ret) {
        return 1;
    }
    while (waitpid(pid, &exit_status, 0) < 0 && errno == EINTR) {
    }
    return exit_status == 0 ? 0 : 2;
}

static bool
has_only(const struct inherited *in, bool zero, bool one, bool two)
{
    for (int fd = 4; fd < MOST_OPEN; fd++) {
        if (in->open[fd]) {
            return false;
        }
    }
    return in->open[0] == zero && in->open[1] == one && in->open[2] == two && in->open[3];
}

static void
test_spawn_program_has_four_descriptors(void **state)
{
    (void)state;
    int fds[2];
    int others[20];
    struct inherited in;
    assert_int_equal(mp__plat_pipe(fds), 0);
    for (int i = 0; i < 20; i++) {
        others[i] = fcntl(fds[0], i % 2 ? F_DUPFD : F_DUPFD_CLOEXEC, i < 10 ? 0 : 100);
    }
    int before = count_open();
    int status = ask_inherited(fds[1], fds[0], &in);
    assert_int_equal(status, 0);
    assert_int_equal(count_open(), before - 1);
    assert_true(has_only(&in, true, true, true));
    for (int i = 0; i < 20; i++) {
        close(others[i]);
    }
    close(fds[0]);
}

static void
test_spawn_program_that_is_not_there_fails(void **state)
{
    (void)state;
    char *const argv[] = {argv0, NULL};
    pid_t pid = 0;
    int before = count_open();
    const int good = 2, bad = -1;
    assert_int_equal(mp__plat_spawn("/nonexistent/program", argv, environ, &good, 1, &pid),
                     -ENOENT);
    assert_int_equal(mp__plat_spawn("/nonexistent/program", argv, environ, &bad, 1, &pid), -EBADF);
    assert_int_equal(count_open(), before);
}

/* What stands where before the spawn: which of 0..3 keep is, if any, and what is open. */
struct arrangement {
    int keep_at;
    bool open[3];
};

static void
spawn_arranged(void *arg)
{
    const struct arrangement *a = arg;
    struct inherited in;
    int fds[2];
    mp_child_check(mp__plat_pipe(fds) == 0);
    int read_end = fcntl(fds[0], F_DUPFD_CLOEXEC, 10);
    int write_end = fcntl(fds[1], F_DUPFD_CLOEXEC, 10);
    int error_end = fcntl(2, F_DUPFD_CLOEXEC, 10);
    for (int fd = 0; fd < 10; fd++) {
        if (fd > 2 || !a->open[fd]) {
            close(fd);
        }
    }
    int keep = write_end;
    bool open[3] = {a->open[0], a->open[1], a->open[2]};
    if (a->keep_at >= 0) {
        keep = dup2(write_end, a->keep_at);
        close(write_end);
    }
    if (keep < 3) {
        open[keep] = true; /* it stays there, too */
    }
    int status = ask_inherited(keep, read_end, &in);
    dup2(error_end, 2); /* to be heard */
    mp_child_check(status == 0);
    mp_child_check(has_only(&in, open[0], open[1], open[2]));
}

static void
test_spawn_closed_standard_descriptors_stay_closed(void **state)
{
    (void)state;
    /* keep above 3, at 3, and in the place of each closed standard descriptor. */
    struct arrangement all[] = {
        {-1, {false, true, true}},  {-1, {false, false, false}}, {3, {true, true, true}},
        {3, {false, true, false}},  {0, {false, true, true}},    {1, {true, false, true}},
        {2, {false, false, false}},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_int_equal(run_child(spawn_arranged, &all[i]), 0);
    }
}

static void
spawn_keep_at_three_close_on_exec(void *arg)
{
    struct inherited in;
    int fds[2];
    (void)arg;
    mp_child_check(mp__plat_pipe(fds) == 0);
    int read_end = fcntl(fds[0], F_DUPFD_CLOEXEC, 10);
    mp_child_check(dup2(fds[1], 3) == 3);
    fcntl(3, F_SETFD, FD_CLOEXEC);
    for (int fd = 4; fd < 10; fd++) {
        close(fd);
    }
    mp_child_check(ask_inherited(3, read_end, &in) == 0);
    mp_child_check(has_only(&in, in.open[0], in.open[1], in.open[2]));
}

static void
test_spawn_keep_that_is_three_already_is_kept(void **state)
{
    (void)state;
    assert_int_equal(run_child(spawn_keep_at_three_close_on_exec, NULL), 0);
}

/* Five at 3 to 7, each of which is to stand where another stands, or where it does.  -k: the one that is
   to stand at 3 + k once more. */
static void
spawn_in_each_others_places(void *arg)
{
    const int *places = arg;
    struct inherited in;
    int fds[2], keep[5];
    ino_t inode[5];
    mp_child_check(mp__plat_pipe(fds) == 0);
    int read_end = fcntl(fds[0], F_DUPFD_CLOEXEC, 10);
    int write_end = fcntl(fds[1], F_DUPFD_CLOEXEC, 10);
    for (int i = 0; i < 5; i++) {
        struct stat st;
        int other[2];
        if (places[i] < 0) {
            keep[i] = keep[-places[i]];
            inode[i] = inode[-places[i]];
            continue;
        }
        mp_child_check(mp__plat_pipe(other) == 0);
        keep[i] = dup2(i == 0 ? write_end : fcntl(other[0], F_DUPFD_CLOEXEC, 20 + i), places[i]);
        mp_child_check(fstat(keep[i], &st) == 0);
        inode[i] = st.st_ino;
    }
    static char role[] = "--tell-inherited";
    char *const argv[] = {argv0, role, NULL};
    char path[4096];
    pid_t pid;
    mp_child_check(mp__plat_executable(argv0, path, sizeof path) == 0);
    mp_child_check(mp__plat_spawn(path, argv, environ, keep, 5, &pid) == 0);
    mp_child_check(mp__plat_read_all(read_end, &in, sizeof in) == (ssize_t)sizeof in);
    mp_child_check(waitpid(pid, NULL, 0) == pid);
    for (int i = 0; i < 5; i++) {
        mp_child_check(in.inode[3 + i] == inode[i]);
        mp_child_check(fcntl(keep[i], F_GETFD) >= 0); /* ours are as they were */
    }
    for (int fd = 8; fd < MOST_OPEN; fd++) {
        mp_child_check(!in.open[fd]);
    }
}

static void
test_spawn_several_in_each_others_places_come_to_theirs(void **state)
{
    (void)state;
    int all[][5] = {
        {3, 4, 5, 6, 7},   {4, 3, 6, 7, 5},      {7, 6, 5, 4, 3},
        {4, 50, 3, 51, 6}, {50, 51, 52, 53, 54}, {5, 3, 4, -1, -2},
        {4, 3, -1, 5, -3}, {3, 4, -1, -1, -1},   {7, 8, 3, -2, 9},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_int_equal(run_child(spawn_in_each_others_places, all[i]), 0);
    }
}

static void
spawn_with_signals_changed(void *arg)
{
    struct inherited in;
    const int *fds = arg;
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    mp_child_check(ask_inherited(fds[1], fds[0], &in) == 0);
    mp_child_check(in.signals_default && in.mask_empty);
}

static void
test_spawn_program_has_default_signals_and_an_empty_mask(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(mp__plat_pipe(fds), 0);
    assert_int_equal(run_child(spawn_with_signals_changed, fds), 0);
    close_both(fds);
}

static void
find_executable_without_descriptors(void *arg)
{
    char path[4096];
    const struct rlimit none = {3, 3};
    (void)arg;
    for (int fd = 0; fd < 3; fd++) {
        mp_child_check(fcntl(fd, F_GETFD) >= 0 || open("/dev/null", O_RDWR) == fd);
    }
    mp_child_check(setrlimit(RLIMIT_NOFILE, &none) == 0);
    int status = mp__plat_executable(argv0, path, sizeof path);
    mp_child_check(status == 0 || status == -EMFILE); /* found without one on posix/ */
}

static void
test_executable_looked_for_without_descriptors_says_so(void **state)
{
    (void)state;
    assert_int_equal(run_child(find_executable_without_descriptors, NULL), 0);
}

static void
test_executable_does_not_fit_is_refused(void **state)
{
    (void)state;
    char path[4096];
    assert_int_equal(mp__plat_executable(argv0, path, sizeof path), 0);
    assert_int_equal(path[0], '/');
    assert_int_equal(access(path, X_OK), 0);
    assert_int_equal(mp__plat_executable(argv0, path, 4), -ENAMETOOLONG);
}

/* What the started program answers to a reference. */
static int
ask_call(const mp__plat_funcref *ref)
{
    static char role[] = "--call";
    mp__plat_funcref copy = *ref;
    struct iovec iov = {&copy, sizeof copy};
    int pair[2];
    int answer = INT32_MIN;
    int status;
    pid_t pid;
    assert_int_equal(mp__plat_socketpair(pair), 0);
    assert_int_equal(start_self(role, pair[1], &pid), 0);
    close(pair[1]);
    assert_int_equal(mp__plat_write_all(pair[0], &iov, 1), 0);
    assert_int_equal(mp__plat_read_all(pair[0], &answer, sizeof answer), sizeof answer);
    close(pair[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return answer;
}

static void
test_funcref_in_a_started_program_is_the_same_function(void **state)
{
    (void)state;
    mp__plat_funcref ref;
    assert_int_equal(mp__plat_func_to_ref((uintptr_t)times_three, &ref), 0);
    assert_int_equal(ask_call(&ref), 301);
    assert_int_equal(mp__plat_func_to_ref((uintptr_t)minus_seven, &ref), 0);
    assert_int_equal(ask_call(&ref), 93);
    ref.build[0] ^= 1;
    assert_int_equal(ask_call(&ref), -ESTALE);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_spawn_program_has_four_descriptors),
    cmocka_unit_test(test_spawn_program_that_is_not_there_fails),
    cmocka_unit_test(test_spawn_closed_standard_descriptors_stay_closed),
    cmocka_unit_test(test_spawn_keep_that_is_three_already_is_kept),
    cmocka_unit_test(test_spawn_several_in_each_others_places_come_to_theirs),
    cmocka_unit_test(test_spawn_program_has_default_signals_and_an_empty_mask),
    cmocka_unit_test(test_executable_looked_for_without_descriptors_says_so),
    cmocka_unit_test(test_executable_does_not_fit_is_refused),
    cmocka_unit_test(test_funcref_in_a_started_program_is_the_same_function),
};

int
main(int argc, char **argv)
{
    char path[4096];
    argv0 = argv[0];
    /* Where functions are counted from an anchor and the build is the file's: both known first. */
    mp__plat_func_anchor((uintptr_t)times_three + 1);
    mp__plat_executable(argv0, path, sizeof path);
    if (argc > 1 && strcmp(argv[1], "--tell-inherited") == 0) {
        return tell_inherited();
    }
    if (argc > 1 && strcmp(argv[1], "--call") == 0) {
        return call_what_is_sent();
    }
    mp_freeze_support(argc, argv);
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, false);
}
