/*
 * test_inherit.c: what a spawned or served child has of its parent: no descriptor, no disposition of
 * a signal, no mask, no pending signal, and of the environment what the parent had, no more.
 *
 * A child of fork has all of it, as in Python.
 */
#include "mp_test.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/stat.h>
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

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_child_has_nothing_of_its_parent_but_its_environment),
};

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    if (argc > 1 && strncmp(argv[1], "inherit:", 8) == 0) {
        mp_child_ok(mp_set_start_method(argv[1] + 8, true));
        return inherit();
    }
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
}
