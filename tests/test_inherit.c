/*
 * test_inherit.c: what a spawned or served child has of its parent: no descriptor, no disposition of
 * a signal, no mask, no pending signal, and of the environment what the parent had, no more.  And of
 * all that the system tells of a process, what a program that posix_spawn() started has.
 *
 * A child of fork has all of it, as in Python.
 */
#include "mp_test.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "helpers/process.h"
#include "platform/platform.h"

/* The library's own descriptors: heap, socket, lifeline. */
#define MOST_OWN 3

extern char **environ;

/* ---- in the child -----------------------------------------------------------------------------*/

static void
check_descriptors(const struct note *n)
{
    int own = 0;
    DIR *dir = opendir("/proc/self/fd");
    mp_child_check(dir != NULL);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        struct stat st;
        int fd = atoi(e->d_name);
        if (e->d_name[0] == '.' || fd <= 2 || fd == dirfd(dir)) {
            continue;
        }
        mp_child_check(fstat(fd, &st) == 0);
        mp_child_check((long)st.st_ino != n->number[0]); /* the parent's pipe */
        mp_child_check(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        own++;
    }
    closedir(dir);
    mp_child_check(own <= MOST_OWN);
    char target[64] = "";
    mp_child_check(readlink("/proc/self/fd/0", target, sizeof target - 1) > 0);
    mp_child_check(strcmp(target, "/dev/null") == 0);
}

/* A mask in /proc/self/status. */
static unsigned long long
mask(const char *name)
{
    char line[256];
    unsigned long long bits = ~0ULL;
    FILE *f = fopen("/proc/self/status", "r");
    mp_child_check(f != NULL);
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, name, strlen(name)) == 0) {
            bits = strtoull(line + strlen(name) + 1, NULL, 16);
        }
    }
    fclose(f);
    return bits;
}

/* Sanitizers handle signals themselves. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define OWN_SIGNALS true
#else
#define OWN_SIGNALS false
#endif

/* 32, 33 and 34 are the C library's own, below SIGRTMIN. */
#define OF_LIBC 0x380000000ULL

/* Signals of a crash: there a handler of the library may stand, in a child that has none. */
static unsigned long long
of_crashes(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    unsigned long long bits = 0;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        bits |= 1ULL << (signals[i] - 1);
    }
    return bits;
}

static void
check_signals(void)
{
    mp_child_check(mask("SigBlk:") == 0);
    mp_child_check((mask("SigIgn:") & ~OF_LIBC) == 0);
    mp_child_check(mask("SigPnd:") == 0);
    mp_child_check(mask("ShdPnd:") == 0);
    mp_child_check((mask("SigCgt:") & ~OF_LIBC & ~of_crashes()) == 0);
}

static void
check_environment(const struct note *n)
{
    long count = 0;
    for (char **e = environ; *e; e++) {
        mp_child_check(strncmp(*e, "LIBMP_", 6) != 0 && strncmp(*e, "MP__", 4) != 0);
        count++;
    }
    mp_child_check(count == n->number[1]);
    mp_child_check(getenv("MP_TEST_GIVEN") && strcmp(getenv("MP_TEST_GIVEN"), "a b=c") == 0);
}

static int
look_around(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    struct note *n = p;
    if (!OWN_SIGNALS) {
        check_signals();
    }
    check_descriptors(n);
    check_environment(n);
    return 3;
}

/* ---- all that the system tells ----------------------------------------------------------------*/

/* Lines of /proc/self/status about what a process uses, not about what it was given. */
static bool
is_of_its_life(const char *line)
{
    static const char *const names[] = {
        "Tgid:",        "Ngid:",    "Pid:",      "PPid:",      "TracerPid:", "FDSize:",
        "NStgid",       "NSpid:",   "NSpgid:",   "NSsid:",     "Vm",         "Rss",
        "Huge",         "Threads:", "voluntary", "nonvolunta", "x86_Thread", "SigQ:",
        "Core",         "SigCgt:",  "SigIgn:",   "Name:",      "State:",     "untag_mask:",
        "THP_enabled:", "Kthread:"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strncmp(line, names[i], strlen(names[i])) == 0) {
            return true;
        }
    }
    return false;
}

static void
copy_lines(FILE *out, const char *path)
{
    char line[4200];
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        if (!is_of_its_life(line)) {
            fprintf(out, "%s %s", path, line);
        }
    }
    if (f) {
        fclose(f);
    }
}

static void
list_handlers(FILE *out)
{
    for (int i = 1; i < 65; i++) {
        struct sigaction sa;
        if (!(of_crashes() & 1ULL << (i - 1)) && sigaction(i, NULL, &sa) == 0) {
            fprintf(out, "signal %d %p\n", i, (void *)(uintptr_t)sa.sa_handler);
        }
    }
}

/* Into a file of this name; a process lists itself. */
static void
list_all(const char *path)
{
    static const struct {
        const char *name;
        int option;
    } settings[] = {{"subreaper", PR_GET_CHILD_SUBREAPER},
                    {"end with the parent", PR_GET_PDEATHSIG},
                    {"ticks", PR_GET_TSC}};
    char cwd[4200] = "";
    FILE *out = fopen(path, "w");
    mp_child_check(out != NULL);
    copy_lines(out, "/proc/self/status");
    copy_lines(out, "/proc/self/limits");
    copy_lines(out, "/proc/self/oom_score_adj");
    copy_lines(out, "/proc/self/timerslack_ns");
    copy_lines(out, "/proc/self/personality");
    copy_lines(out, "/proc/self/loginuid");
    copy_lines(out, "/proc/self/cgroup");
    list_handlers(out);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        int value = 0;
        prctl(settings[i].option, &value);
        fprintf(out, "%s %d\n", settings[i].name, value);
    }
    fprintf(out, "dumpable %d\n", prctl(PR_GET_DUMPABLE));
    fprintf(out, "timer slack %d\n", prctl(PR_GET_TIMERSLACK));
    fprintf(out, "keeps capabilities %d\n", prctl(PR_GET_KEEPCAPS));
    for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++) {
        struct itimerval timer;
        mp_child_check(getitimer((__itimer_which_t)which, &timer) == 0);
        fprintf(out, "timer %d %ld\n", which, (long)timer.it_value.tv_sec);
    }
    fprintf(out, "group %d, session %d\n", (int)getpgrp(), (int)getsid(0));
    fprintf(out, "nice %d, policy %d\n", getpriority(PRIO_PROCESS, 0), sched_getscheduler(0));
    mp_child_check(getcwd(cwd, sizeof cwd));
    fprintf(out, "directory %s\n", cwd);
    for (char **e = environ; *e; e++) {
        fprintf(out, "environment %s\n", *e);
    }
    mp_child_check(fclose(out) == 0);
}

static int
list_this(const mp_args *args)
{
    const char *path;
    mp_args_get(args, &path);
    list_all(path);
    return 0;
}

static void
compare_lists(const char *bare, const char *child)
{
    char line[2][4200];
    FILE *a = fopen(bare, "r"), *b = fopen(child, "r");
    mp_child_check(a && b);
    int lines = 0;
    for (;; lines++) {
        bool more = fgets(line[0], sizeof line[0], a) != NULL;
        mp_child_check(more == (fgets(line[1], sizeof line[1], b) != NULL));
        if (!more) {
            break;
        }
        if (strcmp(line[0], line[1]) != 0) {
            printf("posix_spawn: %schild:       %s", line[0], line[1]);
        }
    }
    mp_child_check(lines > 60);
    fclose(a);
    fclose(b);
}

static void
run_bare(const char *path)
{
    posix_spawnattr_t attributes;
    sigset_t all, none;
    int end;
    pid_t pid;
    char *argv[] = {(char *)(uintptr_t) "test_inherit", (char *)(uintptr_t) "bare",
                    (char *)(uintptr_t)path, NULL};
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    mp_child_check(posix_spawn(&pid, "/proc/self/exe", NULL, &attributes, argv, environ) == 0);
    posix_spawnattr_destroy(&attributes);
    mp_child_check(waitpid(pid, &end, 0) == pid && end == 0);
}

/* A parent with all kinds of settings. */
static int
compare_with_bare(const char *dir)
{
    char bare[4200], child[4200];
    snprintf(bare, sizeof bare, "%s/bare", dir);
    snprintf(child, sizeof child, "%s/child", dir);
    struct sigaction sa = {.sa_handler = SIG_IGN};
    sigaction(SIGUSR1, &sa, NULL);
    sigaction(SIGPIPE, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    sigset_t some;
    sigemptyset(&some);
    sigaddset(&some, SIGTERM);
    sigaddset(&some, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &some, NULL);
    umask(027);
    setpriority(PRIO_PROCESS, 0, 3);
    prctl(PR_SET_TIMERSLACK, 123456);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    struct itimerval timer = {.it_value.tv_sec = 1000};
    setitimer(ITIMER_REAL, &timer, NULL);
    struct rlimit limit = {100, 100};
    setrlimit(RLIMIT_NOFILE, &limit);
    mp_child_check(chdir(dir) == 0);
    run_bare(bare);
    for (int i = 0; i < 3; i++) {
        mp_process *p =
            mp_process_new(list_this, mp_args(child),
                           &(mp_process_options){.daemon = i == 1 ? MP_DAEMON_YES : MP_DAEMON_NO});
        int code = -1;
        mp_child_ok(mp_process_start(p));
        mp_child_ok(mp_process_join(p, MP_FOREVER));
        mp_child_ok(mp_process_exitcode(p, &code));
        mp_child_check(code == 0);
        mp_child_ok(mp_process_free(p));
        compare_lists(bare, child);
    }
    return 0;
}

/* ---- the parent -------------------------------------------------------------------------------*/

static void
on_signal(int signal_number)
{
    (void)signal_number;
}

static int
inherit(void)
{
    struct note *n = mp_calloc(1, sizeof *n);
    int fds[2], code = -1;
    struct stat st;
    mp_child_check(n && pipe(fds) == 0);
    mp_child_check(dup2(fds[1], 100) == 100 && dup2(fds[1], 731) == 731);
    mp_child_check(fstat(fds[1], &st) == 0);
    n->number[0] = (long)st.st_ino;
    mp_child_check(setenv("MP_TEST_GIVEN", "a b=c", 1) == 0);
    for (char **e = environ; *e; e++) {
        n->number[1]++;
    }
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &sa, NULL);
    sigaction(SIGCHLD, &sa, NULL);
    sigaction(SIGSEGV, &sa, NULL);
    sa.sa_handler = SIG_IGN;
    sigaction(SIGUSR2, &sa, NULL);
    sigaction(SIGPIPE, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGHUP, &sa, NULL);
    sigaction(SIGRTMIN + 2, &sa, NULL);
    sigset_t all, now;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    raise(SIGTERM); /* pending, here */
    for (int daemon = 0; daemon < 4; daemon++) {
        mp_process *p = mp_process_new(
            look_around, mp_args((void *)n),
            &(mp_process_options){.daemon = daemon % 2 ? MP_DAEMON_YES : MP_DAEMON_NO});
        mp_child_ok(mp_process_start(p));
        mp_child_ok(mp_process_join(p, MP_FOREVER));
        mp_child_ok(mp_process_exitcode(p, &code));
        mp_child_check(code == 3);
        mp_child_ok(mp_process_free(p));
    }
    /* and the parent has what it had */
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    mp_child_check(sigismember(&now, SIGUSR1) && sigismember(&now, SIGTERM));
    sigaction(SIGCHLD, NULL, &sa);
    mp_child_check(sa.sa_handler == on_signal);
    sigaction(SIGINT, NULL, &sa);
    mp_child_check(sa.sa_handler == SIG_IGN);
    return 0;
}

static void
test_child_has_nothing_of_its_parent_but_its_environment(void **state)
{
    (void)state;
    if (method_is("fork")) {
        skip();
    }
    char argument[64], out[2000];
    snprintf(argument, sizeof argument, "inherit:%s", method_name());
    int status = mp_test_run_self(argument, out, sizeof out);
    assert_string_equal(out, "");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void
test_child_is_as_a_program_that_posix_spawn_starts(void **state)
{
    (void)state;
    if (method_is("fork") || OWN_SIGNALS) {
        skip();
    }
    char argument[4300], out[4000];
    snprintf(argument, sizeof argument, "compare:%s:%s", method_name(), mp_test_dir());
    int status = mp_test_run_self(argument, out, sizeof out);
    assert_string_equal(out, "");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_child_has_nothing_of_its_parent_but_its_environment),
    cmocka_unit_test(test_child_is_as_a_program_that_posix_spawn_starts),
};

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    if (argc > 1 && strncmp(argv[1], "inherit:", 8) == 0) {
        mp_child_ok(mp_set_start_method(argv[1] + 8, true));
        return inherit();
    }
    if (argc > 2 && strcmp(argv[1], "bare") == 0) {
        list_all(argv[2]);
        return 0;
    }
    if (argc > 1 && strncmp(argv[1], "compare:", 8) == 0) {
        char *dir = strchr(argv[1] + 8, ':');
        *dir++ = '\0';
        mp_child_ok(mp_set_start_method(argv[1] + 8, true));
        return compare_with_bare(dir);
    }
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
}
