/*
 * forks.c: forks at random moments of other threads' work.
 *
 *     forks [--forks N] [--room NAME] [fork | spawn | forkserver]
 *
 * Threads are busy in every room of the library: heap, locks, queues, connections, values, processes,
 * pools, arguments.  The first thread forks N times, by fork() and by mp_process_start(), and each
 * child does a bit of everything.  It must find everything in order and end with 0: a lock that some
 * thread held, which is not in the child, would make it hang.
 *
 * The start method is that of the processes that threads and children start.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <mp/mp.h>

#define PATIENCE 40 /* seconds for a child */

static const mp_context *context;

/* In the family's heap, for all. */
static struct shared {
    mp_lock *lock;
    mp_rlock *rlock;
    mp_semaphore *semaphore;
    mp_queue *queue;
    mp_value *value;
} * shared;

#define CHECK(cond) ((cond) ? (void)0 : fail(__LINE__))
#define OK(call)    CHECK((call) >= 0)

static MP_NORETURN_ATTR void
fail(int line)
{
    char text[600];
    int n = snprintf(text, sizeof text, "forks: pid %d, line %d failed: %s\n", (int)getpid(), line,
                     mp_last_error_text());
    if (write(STDERR_FILENO, text, (size_t)n) < 0) {
        _exit(72);
    }
    _exit(71);
}

static void
nap_ns(long ns)
{
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* ---- rooms: a bit of work in each, the same in threads and children ----------------------------*/

static void
in_heap(void)
{
    void *block[8];
    for (size_t i = 0; i < 8; i++) {
        block[i] = mp_malloc(16u << i);
        CHECK(block[i]);
        memset(block[i], (int)i, 16u << i);
    }
    for (size_t i = 0; i < 8; i++) {
        OK(mp_free(block[i]));
    }
}

static void
in_locks(void)
{
    OK(mp_lock_acquire(shared->lock, MP_FOREVER));
    OK(mp_lock_release(shared->lock));
    OK(mp_rlock_acquire(shared->rlock, MP_FOREVER));
    OK(mp_rlock_acquire(shared->rlock, MP_FOREVER));
    OK(mp_rlock_release(shared->rlock));
    OK(mp_rlock_release(shared->rlock));
    OK(mp_semaphore_acquire(shared->semaphore, MP_FOREVER));
    OK(mp_semaphore_release(shared->semaphore));
    MP_WITH(mp_value_get_lock(shared->value)) {
        *(int *)mp_value_data(shared->value) += 1;
    }
}

static void
in_queues(void)
{
    mp_queue *own = mp_queue_new(4);
    mp_obj item;
    CHECK(own);
    OK(mp_queue_put(own, mp_list(1, "two", 3.0), MP_FOREVER));
    OK(mp_queue_get(own, &item, MP_FOREVER));
    mp_obj_free(item);
    OK(mp_queue_free(own));
    OK(mp_queue_put(shared->queue, mp_from("a message of somebody"), MP_FOREVER));
    OK(mp_queue_get(shared->queue, &item, MP_FOREVER));
    mp_obj_free(item);
}

static void
in_connections(void)
{
    mp_connection *one, *other;
    mp_obj item;
    OK(mp_pipe(&one, &other, true));
    OK(mp_connection_send(one, mp_list("a", 2)));
    OK(mp_connection_recv(other, &item));
    mp_obj_free(item);
    OK(mp_connection_free(one));
    OK(mp_connection_free(other));
}

static void
in_arguments(void)
{
    void *data;
    size_t len;
    mp_obj copy;
    mp_obj o = mp_list(1, "text", mp_list(2.5, "more"));
    OK(mp_obj_dump(o, &data, &len));
    OK(mp_obj_load(data, len, &copy));
    CHECK(mp_obj_equal(o, copy));
    free(data);
    mp_obj_free(o);
    mp_obj_free(copy);
    mp_args *args = mp_args(1, "x");
    CHECK(args && mp_args_len(args) == 2);
    mp_args_free(args);
    CHECK(mp_lock_release(NULL) < 0 && *mp_last_error_text());
}

static int
nothing(const mp_args *args)
{
    (void)args;
    return 5;
}

static void
in_processes(void)
{
    int code;
    size_t count;
    mp_process *p =
        mp_process_new(nothing, mp_args(1, "x"), &(mp_process_options){.context = context});
    CHECK(p);
    OK(mp_process_start(p));
    free(mp_active_children(&count));
    CHECK(mp_process_is_alive(p) >= 0);
    OK(mp_process_join(p, MP_FOREVER));
    OK(mp_process_exitcode(p, &code));
    CHECK(code == 5);
    OK(mp_process_free(p));
    OK(mp_set_executable(NULL));
}

/* An object that nobody has any more: it goes with a sweep. */
static void
in_sweeps(void)
{
    mp_process *p =
        mp_process_new(nothing, mp_args(1, "x"), &(mp_process_options){.context = context});
    CHECK(p);
    OK(mp_process_set_userdata(p, mp_from("more")));
    OK(mp_process_start(p));
    OK(mp_process_free(p));
}

static void
do_no_harm(void *arg)
{
    (void)arg;
}

static int
do_no_harm_in_a_child(void *obj)
{
    (void)obj;
    return 0;
}

static void
at_the_end(void)
{
    int object = 0;
    OK(mp_atexit(do_no_harm, &object));
    mp_finalizer f = mp_finalize_new(NULL, do_no_harm, NULL, 3);
    CHECK(f != 0);
    OK(mp_register_after_fork(NULL, do_no_harm_in_a_child));
    mp_fork_lock *lock = mp_fork_lock_new();
    CHECK(lock);
    OK(mp_fork_lock_acquire(lock, true));
    OK(mp_fork_lock_release(lock));
    OK(mp_fork_lock_free(lock));
    OK(mp_unregister_after_fork(NULL, do_no_harm_in_a_child));
    OK(mp_finalize_cancel(f));
    OK(mp_atexit_unregister(do_no_harm, &object));
}

static int
twice(const void *in, void *out)
{
    *(int *)out = *(const int *)in * 2;
    return 0;
}

static void
in_pools(void)
{
    int in[64], out[64];
    mp_pool *pool = mp_pool_new(&(mp_pool_options){.processes = 1, .context = context});
    CHECK(pool);
    for (int i = 0; i < 64; i++) {
        in[i] = i;
    }
    OK(mp_pool_map_array(pool, twice, in, sizeof *in, out, sizeof *out, 64, NULL));
    CHECK(out[63] == 126);
    OK(mp_pool_free(pool));
}

static void
in_log(void)
{
    mp_log_info("something for nobody: %d", 1); /* no handler, but the logger's state is used */
    CHECK(mp_get_logger());
}

static const struct room {
    const char *name;
    void (*work)(void);
    unsigned every; /* so many children use it: some are dear */
} rooms[] = {
    {"heap", in_heap, 1},           {"locks", in_locks, 1},
    {"queues", in_queues, 1},       {"connections", in_connections, 1},
    {"arguments", in_arguments, 1}, {"log", in_log, 1},
    {"processes", in_processes, 8}, {"pools", in_pools, 64},
    {"end", at_the_end, 1},         {"sweeps", in_sweeps, 16},
};
#define ROOMS (sizeof rooms / sizeof *rooms)

/* ---- the program ------------------------------------------------------------------------------*/

static atomic_bool stop;

static void *
work_for_ever(void *arg)
{
    const struct room *r = arg;
    while (!atomic_load(&stop)) {
        r->work();
    }
    return NULL;
}

static int
do_a_bit(unsigned number)
{
    for (size_t i = 0; i < ROOMS; i++) {
        if (number % rooms[i].every == 0) {
            rooms[i].work();
        }
    }
    return 0;
}

static int
do_a_bit_as_a_child(const mp_args *args)
{
    return do_a_bit((unsigned)mp_as_int(mp_args_item(args, 0)));
}

/* Its wait status; -1: it hangs. */
static int
wait_for_child(pid_t pid)
{
    int status;
    for (long ms = 0; ms < PATIENCE * 1000L; ms++) {
        pid_t got = waitpid(pid, &status, WNOHANG);
        CHECK(got >= 0);
        if (got == pid) {
            return status;
        }
        nap_ns(ms < 20 ? 50000 : 1000000);
    }
    return -1;
}

static void
wait_for_debugger(void)
{
    if (getenv("FORKS_WAIT")) {
        pause();
    }
}

static void
fork_plainly(unsigned number)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        do_a_bit(number);
        if (number % 16 == 0) {
            exit(0); /* as a program ends, its handlers and all */
        }
        _exit(0);
    }
    int status = wait_for_child(pid);
    if (status != 0) {
        fprintf(stderr, "forks: fork number %u, pid %d: %s (status %d)\n", number, (int)pid,
                status == -1 ? "hangs" : "failed", status);
        wait_for_debugger();
        kill(pid, SIGKILL);
        _exit(1);
    }
}

static void
fork_as_a_process(unsigned number)
{
    int code = -1;
    mp_process *p = mp_process_new(do_a_bit_as_a_child, mp_args(number),
                                   &(mp_process_options){.context = mp_get_context("fork")});
    CHECK(p);
    OK(mp_process_start(p));
    /* In turns of ours, not by the clock: the whole machine may stand still for a while. */
    for (int turn = 0; mp_process_join(p, 0.02) == MP_ETIMEOUT; turn++) {
        if (turn < PATIENCE * 50) {
            continue;
        }
        fprintf(stderr, "forks: start number %u, pid %d: hangs\n", number, (int)mp_process_pid(p));
        wait_for_debugger();
        mp_process_kill(p);
        _exit(1);
    }
    OK(mp_process_exitcode(p, &code));
    CHECK(code == 0);
    OK(mp_process_free(p));
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    unsigned forks = 1000, random = (unsigned)getpid();
    const char *room = NULL, *method = "fork";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--forks") == 0 && i + 1 < argc) {
            forks = (unsigned)atoi(argv[++i]);
        } else if (strcmp(argv[i], "--room") == 0 && i + 1 < argc) {
            room = argv[++i];
        } else {
            method = argv[i];
        }
    }
    context = mp_get_context(method);
    CHECK(context);
    shared = mp_calloc(1, sizeof *shared);
    CHECK(shared);
    shared->lock = mp_lock_new();
    shared->rlock = mp_rlock_new();
    shared->semaphore = mp_semaphore_new(2);
    shared->queue = mp_queue_new(0);
    shared->value = mp_value_new('i', 0);
    CHECK(shared->lock && shared->rlock && shared->semaphore && shared->queue && shared->value);
    pthread_t threads[ROOMS];
    size_t count = 0;
    for (size_t i = 0; i < ROOMS; i++) {
        if (!room || strcmp(room, rooms[i].name) == 0) {
            CHECK(pthread_create(&threads[count++], NULL, work_for_ever,
                                 (void *)(uintptr_t)&rooms[i]) == 0);
        }
    }
    for (unsigned number = 1; number <= forks; number++) {
        random = random * 1103515245 + 12345;
        nap_ns((long)(random >> 8) % 300000);
        if (number % 4) {
            fork_plainly(number);
        } else {
            fork_as_a_process(number);
        }
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("%s: %u children of forks amid %zu threads' work\n", method, forks, count);
    return 0;
}
