/*
 * test_forkserver_fault.c: a forkserver that is stopped, or hangs in what it preloads, delays
 * nobody but those that want a child of it, and it and its spares end with their client in every
 * state.
 */
#include "mp_test.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "helpers/process.h"

#define PATIENCE 20.0 /* far less than a start's own, and than for ever */

static const char *program; /* argv[0] */
static struct note *note;   /* known to what is preloaded by its environment */

static int
do_nothing(const mp_args *args)
{
    (void)args;
    return 0;
}

static int
tell_server(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    struct note *n = p;
    atomic_store(&n->number[0], getppid());
    return 0;
}

static const mp_process_options by_server = {.name = "by server"};

static mp_process *
new_served(mp_target target, mp_args *args)
{
    return mp_context_process(mp_context_forkserver(), target, args, &by_server);
}

/* Start a server, and learn its pid. */
static pid_t
server_of_ours(void)
{
    struct note *n = mp_calloc(1, sizeof *n);
    mp_process *p = new_served(tell_server, mp_args((void *)n));
    mp_child_check(n && p);
    mp_child_ok(mp_process_start(p));
    mp_child_ok(mp_process_join(p, MP_FOREVER));
    pid_t pid = mp_process_pid(p), server = (pid_t)n->number[0];
    while (state_of(pid)) { /* it reaps it after it told the end */
        nap();
    }
    mp_child_ok(mp_process_free(p));
    mp_free(n);
    return server;
}

static void
wait_for_state(pid_t pid, char state)
{
    while (state_of(pid) != state) {
        nap();
    }
}

static void
stop_process(pid_t pid)
{
    assert_int_equal(kill(pid, SIGSTOP), 0);
    wait_for_state(pid, 'T');
}

/* ---- stopped -----------------------------------------------------------------------------------*/

static void
test_forkserver_stopped_gives_children_all_the_same(void **state)
{
    (void)state;
    pid_t server = server_of_ours();
    stop_process(server);
    double began = mp_test_now();
    for (int i = 0; i < 6; i++) { /* more than there are spares */
        mp_process *p = new_served(do_nothing, NULL);
        mp_assert_ok(mp_process_start(p));
        assert_int_equal(finish(p), 0);
    }
    assert_true(mp_test_now() - began < PATIENCE);
    mp__process_settle();
}

static void
test_forkserver_stopped_does_not_delay_its_clients_end(void **state)
{
    (void)state;
    pid_t server = server_of_ours();
    stop_process(server);
    double began = mp_test_now();
    mp__process_settle();
    assert_true(mp_test_now() - began < PATIENCE);
    assert_false(is_running(server));
}

/* Somebody stops it whenever it goes on. */
static void *
stop_again(void *arg)
{
    pid_t server = *(pid_t *)arg;
    while (is_running(server)) {
        kill(server, SIGSTOP);
    }
    return NULL;
}

static void
test_forkserver_stopped_over_and_over_ends(void **state)
{
    (void)state;
    pid_t server = server_of_ours();
    pthread_t thread;
    stop_process(server);
    assert_int_equal(pthread_create(&thread, NULL, stop_again, &server), 0);
    double began = mp_test_now();
    mp__process_settle();
    assert_true(mp_test_now() - began < PATIENCE);
    pthread_join(thread, NULL);
}

/* ---- a preload that hangs ----------------------------------------------------------------------*/

static int
hang_in_preload(void)
{
    void *p = NULL;
    sscanf(getenv("MP_TEST_NOTE"), "%p", &p);
    struct note *n = p;
    atomic_store(&n->number[0], getpid());
    atomic_store(&n->ready, 1);
    pause_for_ever();
    return 0;
}

static void
let_preload_hang(void)
{
    char text[40];
    mp_preload functions[] = {hang_in_preload};
    note = mp_calloc(1, sizeof *note);
    mp_child_check(note != NULL);
    snprintf(text, sizeof text, "%p", (void *)note);
    setenv("MP_TEST_NOTE", text, 1);
    mp_child_ok(mp_set_forkserver_preload(functions, 1, MP_PRELOAD_IGNORE));
}

/* Its start fails when the server is ended. */
static void *
start_served(void *arg)
{
    mp_process *p = new_served(do_nothing, NULL);
    int *status = arg;
    *status = p ? mp_process_start(p) : MP_ENOMEM;
    mp_process_free(p);
    return NULL;
}

/* The program's end interrupts the start, too. */
static void
test_preload_that_hangs_delays_no_other_start_and_no_end(void **state)
{
    (void)state;
    pthread_t thread;
    int status = 0;
    mp__process_settle();
    let_preload_hang();
    double began = mp_test_now();
    assert_int_equal(pthread_create(&thread, NULL, start_served, &status), 0);
    wait_for(&note->ready, 1);
    pid_t pid = fork(), server = (pid_t)note->number[0];
    if (pid == 0) {
        _exit(3);
    }
    int end;
    assert_int_equal(waitpid(pid, &end, 0), pid);
    assert_int_equal(WEXITSTATUS(end), 3);
    mp_process *p = mp_context_process(mp_context_fork(), do_nothing, NULL, NULL);
    mp_assert_ok(mp_process_start(p));
    free(mp_active_children(NULL));
    assert_int_equal(finish(p), 0);
    assert_true(is_running(server));
    mp__process_settle();
    assert_false(is_running(server));
    pthread_join(thread, NULL);
    assert_int_equal(status, MP_ERUNTIME);
    assert_true(mp_test_now() - began < PATIENCE);
    mp_assert_ok(mp_set_forkserver_preload(NULL, 0, MP_PRELOAD_IGNORE));
    mp_free(note);
}

/* ---- a client that is killed -------------------------------------------------------------------*/

/* What it tells before it is killed. */
struct report {
    pid_t processes[8];
    int count;
};

static int
children_of(pid_t parent, pid_t *ret, int most)
{
    char path[64];
    int count = 0;
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", (long)parent, (long)parent);
    FILE *f = fopen(path, "re");
    long pid;
    while (f && count < most && fscanf(f, "%ld", &pid) == 1) {
        ret[count++] = (pid_t)pid;
    }
    if (f) {
        fclose(f);
    }
    return count;
}

static void stop_all(struct report *r);
static void hang_while_preloading(struct report *r);

/* The client, a program with a family of its own. */
static MP_NORETURN_ATTR void
be_client(const char *kind)
{
    struct report r = {.count = 0};
    (strcmp(kind, "stopped") == 0 ? stop_all : hang_while_preloading)(&r);
    mp_child_check(write(STDOUT_FILENO, &r, sizeof r) == (ssize_t)sizeof r);
    raise(SIGKILL);
    _exit(1);
}

/* Run such a client, which ends by SIGKILL; all that it reported end then. */
static void
check_end_with_client(const char *kind)
{
    int fds[2];
    struct report r = {.count = 0};
    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        close(fds[1]);
        execl("/proc/self/exe", program, "client", kind, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &r, sizeof r), (ssize_t)sizeof r);
    close(fds[0]);
    int end;
    assert_int_equal(waitpid(pid, &end, 0), pid);
    assert_true(WIFSIGNALED(end));
    assert_true(r.count > 0);
    double began = mp_test_now();
    for (int i = 0; i < r.count; i++) {
        while (is_running(r.processes[i]) && mp_test_now() - began < PATIENCE) {
            nap();
        }
        assert_false(is_running(r.processes[i]));
    }
    while (waitpid(-1, NULL, 0) > 0) {
    }
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void
stop_all(struct report *r)
{
    pid_t server = server_of_ours();
    r->processes[0] = server;
    while (r->count < 2) { /* it makes spares after that */
        r->count = 1 + children_of(server, r->processes + 1, 7);
    }
    for (int i = 0; i < r->count; i++) {
        /* A spare that is stopped within its first few instructions has nobody yet to end it. */
        wait_until_asleep(r->processes[i], 5);
        kill(r->processes[i], SIGSTOP);
        wait_for_state(r->processes[i], 'T');
    }
}

static void
test_forkserver_and_spares_that_are_stopped_end_with_their_client(void **state)
{
    (void)state;
#ifndef MP_PLATFORM_POSIX
    check_end_with_client("stopped");
#else
    skip(); /* a thread of theirs would have to run */
#endif
}

static void
hang_while_preloading(struct report *r)
{
    static int status;
    pthread_t thread;
    let_preload_hang();
    mp_child_check(pthread_create(&thread, NULL, start_served, &status) == 0);
    wait_for(&note->ready, 1);
    r->processes[r->count++] = (pid_t)note->number[0];
}

static void
test_forkserver_that_preloads_ends_with_its_client(void **state)
{
    (void)state;
    check_end_with_client("preloading");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_forkserver_stopped_gives_children_all_the_same),
    cmocka_unit_test(test_forkserver_stopped_does_not_delay_its_clients_end),
    cmocka_unit_test(test_forkserver_stopped_over_and_over_ends),
    cmocka_unit_test(test_preload_that_hangs_delays_no_other_start_and_no_end),
    cmocka_unit_test(test_forkserver_and_spares_that_are_stopped_end_with_their_client),
    cmocka_unit_test(test_forkserver_that_preloads_ends_with_its_client),
};

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    program = argv[0];
    if (argc > 2 && strcmp(argv[1], "client") == 0) {
        be_client(argv[2]);
    }
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
}
