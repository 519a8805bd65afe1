/*
 * Deaths and races around the resource tracker: clients killed in the middle of a request, owners that
 * vanish, a tracker that is stopped, forks among threads that use it, programs that call nothing
 * special.
 */
#include "helpers/process.h"
#include "helpers/names.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* ---- killed in the middle -------------------------------------------------------------------- */

static int
register_for_ever(const mp_args *args)
{
    void *p = NULL;
    int form = 0;
    mp_args_get(args, &p, &form);
    struct note *n = p;
    char name[200];
    memset(name, form ? ':' : 'x', sizeof name);
    for (long i = 0;; i++) {
        snprintf(name + 150, 40, "%ld-%ld", (long)getpid(), i);
        mp_child_ok(mp_resource_tracker_register(name, "dummy"));
        atomic_fetch_add(&n->ready, 1);
        mp_child_ok(mp_resource_tracker_unregister(name, "dummy"));
    }
    return 0;
}

static void
test_tracker_client_killed_in_the_middle_tears_no_line(void **state)
{
    (void)state;
    struct note *n = note_new();
    for (int round = 0; round < 25; round++) {
        atomic_store(&n->ready, 0);
        mp_assert_ok(mp_resource_tracker_ensure_running());
        mp_process *a = start(register_for_ever, mp_args((void *)n, 0));
        mp_process *b = start(register_for_ever, mp_args((void *)n, 1));
        wait_for(&n->ready, 1 + rand() % 300);
        nanosleep(&(struct timespec){.tv_nsec = rand() % 300000}, NULL);
        kill_and_free(a);
        kill_and_free(b);
        /* One of theirs may be left, but no line was torn, and we go on. */
        mp_assert_ok(mp_resource_tracker_register("mine", "dummy"));
        mp_assert_ok(mp_resource_tracker_unregister("mine", "dummy"));
        int code = stop();
        assert_true(code == MP_TRACKER_CLEAN || code == MP_TRACKER_LEAKED);
    }
    mp_free(n);
}

static int
own_and_hang(const mp_args *args)
{
    void *p = NULL;
    const char *name = NULL;
    mp_args_get(args, &p, &name);
    struct note *n = p;
    make_shm(name);
    mp_child_ok(mp_resource_tracker_register(name, "shared_memory"));
    atomic_fetch_add(&n->ready, 1);
    pause_for_ever();
    return 0;
}

static void
test_tracker_owner_killed_its_names_go(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGKILL};
    struct note *n = note_new();
    for (int i = 0; i < 2; i++) {
        char name[NAME_BYTES];
        new_name(name);
        atomic_store(&n->ready, 0);
        mp_process *p = start(own_and_hang, mp_args((void *)n, name));
        wait_for(&n->ready, 1);
        assert_true(shm_exists(name));
        assert_int_equal(kill(mp_process_pid(p), signals[i]), 0);
        assert_int_equal(finish(p), -signals[i]);
        wait_until_gone(name);
    }
    mp_free(n);
}

/* ---- threads --------------------------------------------------------------------------------- */

static atomic_int thread_failures, threads_go_on;

static void *
use_tracker(void *arg)
{
    char name[64];
    for (int i = 0; atomic_load(&threads_go_on); i++) {
        snprintf(name, sizeof name, "thread-%p-%d", arg, i);
        if (mp_resource_tracker_register(name, "dummy") != 0 ||
            mp_resource_tracker_unregister(name, "dummy") != 0) {
            atomic_fetch_add(&thread_failures, 1);
        }
    }
    return NULL;
}

static int
use_once(const mp_args *args)
{
    (void)args;
    mp_child_ok(mp_resource_tracker_register("child", "dummy"));
    mp_child_ok(mp_resource_tracker_unregister("child", "dummy"));
    return 0;
}

static void
test_tracker_forks_among_threads_that_use_it(void **state)
{
    (void)state;
    pthread_t threads[3];
    thread_failures = 0;
    threads_go_on = 1;
    mp_assert_ok(mp_resource_tracker_ensure_running());
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use_tracker, (void *)(i + 1)), 0);
    }
    for (int i = 0; i < 60; i++) {
        assert_int_equal(finish(start(use_once, NULL)), 0);
        pid_t pid = fork();
        int status;
        if (pid == 0) {
            /* A tracker of its own, whatever the threads were doing. */
            int code = -1;
            mp_child_ok(mp_resource_tracker_register("x", "dummy"));
            mp_child_ok(mp_resource_tracker_stop(30, &code));
            _exit(code);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), MP_TRACKER_LEAKED);
    }
    threads_go_on = 0;
    for (size_t i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(thread_failures, 0);
    assert_int_equal(stop(), MP_TRACKER_CLEAN);
}

static void *
start_and_stop(void *arg)
{
    (void)arg;
    while (atomic_load(&threads_go_on)) {
        int code = 0;
        if (mp_resource_tracker_ensure_running() != 0 || mp_resource_tracker_stop(30, &code) < 0 ||
            code != MP_TRACKER_CLEAN) {
            fprintf(stderr, "%s, %d\n", mp_last_error_text(), code);
            atomic_fetch_add(&thread_failures, 1);
        }
    }
    return NULL;
}

/* A plain fork copies a pipe that is just being made: it must not keep the new tracker alive. */
static void
test_tracker_raw_forks_while_it_is_started(void **state)
{
    (void)state;
    enum { CHILDREN = 40 };
    pid_t pids[CHILDREN];
    pthread_t thread;
    thread_failures = 0;
    threads_go_on = 1;
    assert_int_equal(pthread_create(&thread, NULL, start_and_stop, NULL), 0);
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            pause_for_ever();
        }
        nap();
    }
    threads_go_on = 0;
    pthread_join(thread, NULL); /* while all of them live */
    for (int i = 0; i < CHILDREN; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    assert_int_equal(thread_failures, 0);
    int code = 0;
    mp_resource_tracker_stop(30, &code);
    assert_int_equal(code, 0);
}

/* ---- a tracker that is stopped --------------------------------------------------------------- */

static atomic_int filled;

static void *
fill_pipe(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10000; i++) {
        if (mp_resource_tracker_ensure_running() != 0) {
            atomic_fetch_add(&thread_failures, 1);
        }
        atomic_store(&filled, i);
    }
    return NULL;
}

static bool
has_room(int fd)
{
    struct pollfd p = {fd, POLLOUT, 0};
    return poll(&p, 1, 0) == 1;
}

static volatile sig_atomic_t heard;

static void
hear(int signo)
{
    (void)signo;
    heard = 1;
}

static void
test_tracker_that_is_stopped_holds_up_neither_forks_nor_signals(void **state)
{
    (void)state;
    pthread_t thread;
    int ends[2];
    struct sigaction sa = {.sa_handler = hear}, old;
    thread_failures = 0;
    /* Nobody reads: as a tracker that is stopped. */
    assert_int_equal(pipe(ends), 0);
    mp_assert_ok(mp_resource_tracker_setfd(ends[1]));
    sigaction(SIGUSR1, &sa, &old);
    heard = 0;
    assert_int_equal(pthread_create(&thread, NULL, fill_pipe, NULL), 0);
    while (has_room(ends[1])) {
        nap();
    }
    assert_true(filled < 9000); /* the pipe is full */
    pthread_kill(thread, SIGUSR1);
    while (!heard) {
        nap();
    }
    const mp_process_options fork_it = {.context = mp_context_fork()};
    assert_int_equal(finish(start_with(NULL, NULL, &fork_it)), 0);
    mp_assert_code(mp_resource_tracker_stop(0, NULL),
                   MP_NOT_YET); /* the thread goes on with another */
    pthread_join(thread, NULL);
    sigaction(SIGUSR1, &old, NULL);
    close(ends[0]);
    assert_int_equal(thread_failures, 0);
    assert_int_equal(stop(), MP_TRACKER_CLEAN);
}

/* ---- programs that call nothing special ------------------------------------------------------ */

/* main() without mp_freeze_support(): "plain stop", "plain leave", "plain die". */
static int
plain_main(const char *how)
{
    char name[64];
    int code = -1;
    snprintf(name, sizeof name, "/mp-test-%ld-plain", (long)getpid());
    int fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
    if (fd < 0 || mp_resource_tracker_register(name, "shared_memory") != 0) {
        return 90;
    }
    printf("%s\n", name);
    fflush(stdout);
    if (strcmp(how, "plain die") == 0) {
        raise(SIGKILL);
    }
    if (strcmp(how, "plain leave") == 0) {
        return 0;
    }
    return mp_resource_tracker_stop(30, &code) == 0 ? code : 91;
}

static void
test_tracker_of_a_program_without_freeze_support(void **state)
{
    (void)state;
    static const char *const ways[] = {"plain stop", "plain leave", "plain die"};
    static const int ends[] = {MP_TRACKER_LEAKED << 8, 0, SIGKILL};
    for (int i = 0; i < 3; i++) {
        char out[2000], name[64];
        assert_int_equal(mp_test_run_self(ways[i], out, sizeof out), ends[i]);
        /* Its output is all there when its last writer is gone: the tracker. */
        assert_int_equal(sscanf(out, "%63s", name), 1);
        assert_non_null(strstr(out, "There appear to be 1 leaked shared_memory objects"));
        assert_false(shm_exists(name));
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_tracker_client_killed_in_the_middle_tears_no_line),
    cmocka_unit_test(test_tracker_owner_killed_its_names_go),
    cmocka_unit_test(test_tracker_forks_among_threads_that_use_it),
    cmocka_unit_test(test_tracker_raw_forks_while_it_is_started),
    cmocka_unit_test(test_tracker_that_is_stopped_holds_up_neither_forks_nor_signals),
    cmocka_unit_test(test_tracker_of_a_program_without_freeze_support),
};

int
main(int argc, char **argv)
{
    if (argc == 2 && strncmp(argv[1], "plain ", 6) == 0) {
        return plain_main(argv[1]);
    }
    mp_freeze_support(argc, argv);
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
}
