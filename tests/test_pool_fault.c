/* test_pool_fault.c: workers and parents that die, and pools that end in the middle of work. */
#include "helpers/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const double long_silence = 10; /* seconds that no call here may take: it hangs */

static void
nap(unsigned us)
{
    const struct timespec t = {us / 1000000, (long)(us % 1000000) * 1000};
    nanosleep(&t, NULL);
}

static void
assert_quick(double since)
{
    if (mp_test_now() - since > long_silence) {
        fail_msg("it took %.2f s", mp_test_now() - since);
    }
}

/* What tasks share, in the family's heap. */
struct shared {
    _Atomic int runs[64];
    _Atomic pid_t pid[64];
    _Atomic int begun, ended, go;
};

/* ---- a task that ends its own worker --------------------------------------------------------- */

enum how { BY_SIGKILL, BY_SIGSEGV, BY_EXIT, BY_EXIT_IN_ORDER, WAYS };

static void
end_myself(enum how how)
{
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    switch (how) {
    case BY_SIGKILL:
        raise(SIGKILL);
        break;
    case BY_SIGSEGV:
        signal(SIGSEGV, SIG_DFL); /* a sanitizer would speak of it */
        raise(SIGSEGV);
        break;
    case BY_EXIT:
        _exit(3);
    default:
        exit(4);
    }
}

/* [item, which one ends its worker, how, shared] */
static mp_obj
dies_at(mp_obj item)
{
    struct shared *s = mp_as_handle(mp_list_get(item, 3), MP_HANDLE_POINTER);
    int64_t i = mp_as_int(mp_list_get(item, 0));
    atomic_fetch_add(&s->runs[i], 1);
    if (i == mp_as_int(mp_list_get(item, 1))) {
        end_myself((enum how)mp_as_int(mp_list_get(item, 2)));
    }
    return mp_from(i);
}

static void
deadly_map(mp_pool *pool, struct shared *s, int fatal, enum how how, size_t chunksize)
{
    static const char *const words[WAYS] = {"signal 9", "signal 11", "code 3", "code 4"};
    enum { N = 40 };
    mp_obj items = mp_list(), out;
    memset((void *)s, 0, sizeof *s);
    for (int i = 0; i < N; i++) {
        mp_assert_ok(mp_list_append(items, mp_list(i, fatal, (int)how, (void *)s)));
    }
    double start = mp_test_now();
    mp_map_options options = {.chunksize = chunksize};
    mp_assert_code(mp_pool_map(pool, dies_at, items, &out, &options), MP_EWORKERLOST);
    assert_quick(start);
    char item[32];
    snprintf(item, sizeof item, "item %d:", fatal);
    if (!strstr(mp_last_error_text(), item) || !strstr(mp_last_error_text(), words[how])) {
        fail_msg("the text is: %s", mp_last_error_text());
    }
    assert_true(mp_is_none(out));
    for (int i = 0; i < N; i++) {
        assert_int_equal(atomic_load(&s->runs[i]), 1);
    }
    assert_works(pool);
}

static void
test_map_task_that_ends_its_worker_fails_alone(void **state)
{
    (void)state;
    mp_pool *pool = new_pool(3);
    struct shared *s = mp_malloc(sizeof *s);
    static const int items[] = {0, 17, 39};
    static const size_t sizes[] = {0, 1, 40};
    for (enum how how = 0; how < WAYS; how++) {
        for (int i = 0; i < 3; i++) {
            deadly_map(pool, s, items[i], how, sizes[((int)how + i) % 3]);
        }
    }
    mp_assert_ok(mp_pool_free(pool));
    mp_free(s);
}

static void
test_map_only_worker_dies_and_the_rest_is_run(void **state)
{
    (void)state;
    mp_pool *pool = new_pool(1);
    struct shared *s = mp_malloc(sizeof *s);
    deadly_map(pool, s, 3, BY_SIGKILL, 40);
    deadly_map(pool, s, 39, BY_EXIT, 7);
    mp_assert_ok(mp_pool_free(pool));
    mp_free(s);
}

/* [item, shared]: every item ends its worker. */
static mp_obj
always_dies(mp_obj item)
{
    struct shared *s = mp_as_handle(mp_list_get(item, 1), MP_HANDLE_POINTER);
    atomic_fetch_add(&s->runs[mp_as_int(mp_list_get(item, 0))], 1);
    raise(SIGKILL);
    return mp_none();
}

static void
test_map_every_task_ends_its_worker(void **state)
{
    (void)state;
    mp_pool *pool = new_pool(2);
    struct shared *s = mp_calloc(1, sizeof *s);
    mp_obj items = mp_list(), out;
    for (int i = 0; i < 24; i++) {
        mp_assert_ok(mp_list_append(items, mp_list(i, (void *)s)));
    }
    mp_assert_code(mp_pool_map(pool, always_dies, items, &out), MP_EWORKERLOST);
    for (int i = 0; i < 24; i++) {
        assert_int_equal(atomic_load(&s->runs[i]), 1);
    }
    assert_works(pool);
    mp_assert_ok(mp_pool_free(pool));
    mp_free(s);
}

/* ---- kills from outside ---------------------------------------------------------------------- */

static mp_obj
my_pid(mp_obj item)
{
    (void)item;
    nap(2000); /* so that each worker gets some */
    return mp_from((int)getpid());
}

static int
busy_square(const void *in, void *out)
{
    int64_t n = *(const int *)in;
    for (volatile int i = 0; i < 200; i++) {
    }
    *(int64_t *)out = n * n;
    return 0;
}

struct killer {
    pid_t parent;
    _Atomic int stop, kills;
};

/* Kill a random daemon of this process now and then. */
static void *
kill_workers(void *arg)
{
    struct killer *k = arg;
    unsigned seed = (unsigned)getpid();
    while (!atomic_load(&k->stop)) {
        seed = seed * 1103515245 + 12345;
        nap(500 + (seed >> 16) % 12000);
        size_t n = 0;
        mp_process **all = mp_active_children(&n);
        /* Only the pid: the object may be the pool's to free at any moment. */
        pid_t pid = n ? mp_process_pid(all[(seed >> 8) % n]) : 0;
        free(all);
        if (pid > 0 && kill(pid, SIGKILL) == 0) {
            atomic_fetch_add(&k->kills, 1);
        }
    }
    return NULL;
}

static void
test_map_workers_killed_at_random_results_are_right_or_lost(void **state)
{
    (void)state;
    enum { N = 3000, LEAST_KILLS = 60, MOST = 300 };
    mp_pool *pool = new_pool(3);
    struct killer k = {.stop = 0};
    int in[N], lost = 0, maps = 0;
    int64_t *out = malloc(N * sizeof *out);
    pthread_t t;
    for (int i = 0; i < N; i++) {
        in[i] = i;
    }
    assert_int_equal(pthread_create(&t, NULL, kill_workers, &k), 0);
    double end = mp_test_now() + 8;
    for (; atomic_load(&k.kills) < LEAST_KILLS ||
           (mp_test_now() < end && (maps < MOST || atomic_load(&k.kills) < MOST));
         maps++) {
        double start = mp_test_now();
        mp_map_options options = {.chunksize = (size_t)(maps % 5) * 40};
        memset(out, 0, N * sizeof *out);
        int status =
            mp_pool_map_array(pool, busy_square, in, sizeof *in, out, sizeof *out, N, &options);
        if (status != MP_EWORKERLOST) {
            mp_assert_ok(status);
            for (int i = 0; i < N; i++) {
                assert_int_equal(out[i], (int64_t)i * i);
            }
        }
        lost += status != 0;
        mp_obj values, items = mp_list();
        for (int i = 0; i < 50; i++) {
            mp_assert_ok(mp_list_append(items, mp_from(i)));
        }
        status = mp_pool_map(pool, square, items, &values);
        if (status != MP_EWORKERLOST) {
            mp_assert_ok(status);
            for (int i = 0; i < 50; i++) {
                assert_int_equal(mp_as_int(mp_list_get(values, i)), i * i);
            }
        }
        mp_obj_free(values);
        lost += status != 0;
        assert_quick(start);
    }
    atomic_store(&k.stop, 1);
    pthread_join(t, NULL);
    print_message("%d kills in %d pairs of maps, %d of them lost a task\n", atomic_load(&k.kills),
                  maps, lost);
    assert_works(pool);
    mp_assert_ok(mp_pool_close(pool));
    mp_assert_ok(mp_pool_join(pool));
    mp_assert_ok(mp_pool_free(pool));
    free(out);
}

static void
test_pool_worker_killed_idle_is_not_noticed(void **state)
{
    (void)state;
    mp_pool *pool = new_pool(2);
    for (int round = 0; round < 5; round++) {
        mp_obj pids;
        mp_assert_ok(mp_pool_map(pool, my_pid, mp_list(1, 2, 3, 4), &pids,
                                 &(mp_map_options){.chunksize = 1}));
        for (int i = 0; i < (round % 2 ? 4 : 1); i++) { /* one, or all of them */
            kill((pid_t)mp_as_int(mp_list_get(pids, i)), SIGKILL);
        }
        mp_obj_free(pids);
        if (round < 3) {
            nap(20000);
        }
        double start = mp_test_now();
        assert_works(pool);
        assert_works(pool);
        assert_quick(start);
    }
    mp_assert_ok(mp_pool_close(pool));
    mp_assert_ok(mp_pool_join(pool));
    mp_assert_ok(mp_pool_free(pool));
}

/* ---- terminating in the middle --------------------------------------------------------------- */

/* A task that lasts for minutes, or until told. */
static mp_obj
waits(mp_obj item)
{
    struct shared *s = mp_as_handle(item, MP_HANDLE_POINTER);
    atomic_fetch_add(&s->begun, 1);
    for (int i = 0; i < 60000 && !atomic_load(&s->go); i++) {
        nap(2000);
    }
    atomic_fetch_add(&s->ended, 1);
    return mp_none();
}

/* The same, and deaf to SIGTERM. */
static mp_obj
waits_deaf(mp_obj item)
{
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    return waits(item);
}

struct mapping {
    mp_pool *pool;
    mp_task task;
    struct shared *s;
    int status;
    double returned;
};

static void *
map_in_a_thread(void *arg)
{
    struct mapping *m = arg;
    mp_obj out;
    m->status = mp_pool_map(m->pool, m->task,
                            mp_list((void *)m->s, (void *)m->s, (void *)m->s, (void *)m->s), &out);
    m->returned = mp_test_now();
    return NULL;
}

static void
begin(struct mapping *m, pthread_t *t, int workers, mp_task task)
{
    *m = (struct mapping){new_pool(workers), task, mp_calloc(1, sizeof *m->s), 1, 0};
    assert_int_equal(pthread_create(t, NULL, map_in_a_thread, m), 0);
    while (atomic_load(&m->s->begun) < workers) {
        nap(1000);
    }
}

static void
test_pool_terminated_while_it_maps_the_map_fails_at_once(void **state)
{
    (void)state;
    for (int round = 0; round < 6; round++) {
        struct mapping m;
        pthread_t t;
        begin(&m, &t, 2, waits);
        double start = mp_test_now();
        mp_assert_ok(mp_pool_terminate(m.pool));
        if (round & 1) { /* joined before the map has seen it */
            mp_assert_ok(mp_pool_join(m.pool));
        }
        pthread_join(t, NULL);
        mp_assert_code(m.status, MP_ESTATE);
        assert_quick(start);
        assert_int_equal(atomic_load(&m.s->ended), 0);
        mp_assert_ok(mp_pool_join(m.pool));
        mp_assert_ok(mp_pool_free(m.pool));
        mp_free(m.s);
    }
}

static void
test_pool_terminated_before_deaf_workers_ends_with_their_tasks(void **state)
{
    (void)state;
    struct mapping m;
    pthread_t t;
    begin(&m, &t, 2, waits_deaf);
    mp_assert_ok(mp_pool_terminate(m.pool));
    nap(100000);
    assert_int_equal(m.status, 1); /* the tasks still use their data */
    double start = mp_test_now();
    atomic_store(&m.s->go, 1);
    pthread_join(t, NULL);
    mp_assert_code(m.status, MP_ESTATE);
    mp_assert_ok(mp_pool_join(m.pool));
    assert_quick(start);
    assert_int_equal(atomic_load(&m.s->begun), 2); /* and no other was begun */
    assert_int_equal(atomic_load(&m.s->ended), 2);
    mp_assert_ok(mp_pool_free(m.pool));
    mp_free(m.s);
}

static void *
join_in_a_thread(void *arg)
{
    struct mapping *m = arg;
    m->status = mp_pool_join(m->pool);
    m->returned = mp_test_now();
    return NULL;
}

static int
slow_initializer(const mp_args *args)
{
    (void)args;
    nap(60000000);
    return 0;
}

static void
test_pool_terminated_while_others_join_all_return(void **state)
{
    (void)state;
    mp_pool_options o = {.processes = 3, .initializer = slow_initializer};
    struct mapping m[3];
    pthread_t t[3];
    mp_pool *pool = mp_pool_new(&o);
    assert_non_null(pool);
    mp_assert_ok(mp_pool_close(pool));
    for (int i = 0; i < 3; i++) {
        m[i] = (struct mapping){pool, NULL, NULL, 1, 0};
        assert_int_equal(pthread_create(&t[i], NULL, join_in_a_thread, &m[i]), 0);
    }
    nap(50000);
    double start = mp_test_now();
    mp_assert_ok(mp_pool_terminate(pool));
    for (int i = 0; i < 3; i++) {
        pthread_join(t[i], NULL);
        mp_assert_ok(m[i].status);
        assert_true(m[i].returned >= start); /* nobody came back before the workers had ended */
    }
    assert_quick(start);
    mp_assert_ok(mp_pool_free(pool));
}

/* ---- the parent dies ------------------------------------------------------------------------- */

/* [index, shared]: says who it is, and stays. */
static mp_obj
stays(mp_obj item)
{
    struct shared *s = mp_as_handle(mp_list_get(item, 1), MP_HANDLE_POINTER);
    atomic_store(&s->pid[mp_as_int(mp_list_get(item, 0))], getpid());
    return waits(mp_list_get(item, 1));
}

/* [index, shared]: says who it is. */
static mp_obj
tells_pid(mp_obj item)
{
    struct shared *s = mp_as_handle(mp_list_get(item, 1), MP_HANDLE_POINTER);
    atomic_store(&s->pid[mp_as_int(mp_list_get(item, 0))], getpid());
    nap(20000);
    atomic_fetch_add(&s->begun, 1);
    return mp_none();
}

/* [index, shared]: one of many short ones. */
static mp_obj
short_one(mp_obj item)
{
    struct shared *s = mp_as_handle(mp_list_get(item, 1), MP_HANDLE_POINTER);
    int64_t i = mp_as_int(mp_list_get(item, 0));
    if (i < 2) {
        atomic_store(&s->pid[i], getpid());
        atomic_fetch_add(&s->begun, 1);
    }
    nap(10000);
    return mp_none();
}

/* Not the first thread: then the system does not tell the workers of the parent's end. */
static void *
many_short_ones(void *s)
{
    mp_pool *pool = mp_pool_new(&(mp_pool_options){.processes = 2});
    mp_child_check(pool != NULL);
    mp_obj out, items = mp_list();
    for (int i = 0; i < 5000; i++) {
        mp_list_append(items, mp_list(i, s));
    }
    mp_map_options options = {.chunksize = 1};
    mp_child_ok(mp_pool_map(pool, short_one, items, &out, &options));
    return NULL;
}

/* A process with a pool, busy or idle, that is going to be killed. */
static int
doomed_parent(const mp_args *args)
{
    void *s;
    const char *method;
    bool busy;
    mp_args_get(args, &s, &method, &busy);
    pthread_t t;
    if (strcmp(method, "thread") == 0) {
        mp_child_check(pthread_create(&t, NULL, many_short_ones, s) == 0);
        pthread_join(t, NULL);
    }
    mp_pool *pool =
        mp_pool_new(&(mp_pool_options){.processes = 2, .context = mp_get_context(method)});
    mp_child_check(pool != NULL);
    mp_obj out, items = mp_list(mp_list(0, s), mp_list(1, s));
    mp_map_options options = {.chunksize = 1};
    mp_child_ok(mp_pool_map(pool, busy ? stays : tells_pid, items, &out, &options));
    for (;;) {
        pause();
    }
}

static bool
is_gone(pid_t pid)
{
    char path[64], state = 'Z';
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *f = fopen(path, "r");
    if (!f) {
        return kill(pid, 0) < 0;
    }
    if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1) {
        state = 'Z';
    }
    fclose(f);
    return state == 'Z' || state == 'X';
}

/* One parent with two workers by this method is killed; whether they go too. */
static bool
workers_follow(const char *method, bool busy)
{
    struct shared *s = mp_calloc(1, sizeof *s);
    mp_process *p = mp_process_new(doomed_parent, mp_args((void *)s, method, mp_bool(busy)), NULL);
    mp_child_ok(mp_process_start(p));
    while (atomic_load(&s->begun) < 2) {
        nap(1000);
    }
    pid_t workers[2] = {atomic_load(&s->pid[0]), atomic_load(&s->pid[1])};
    mp_child_check(workers[0] > 0 && workers[1] > 0);
    double start = mp_test_now();
    mp_child_ok(mp_process_kill(p));
    mp_child_ok(mp_process_join(p, 30));
    while (!is_gone(workers[0]) || !is_gone(workers[1])) {
        if (mp_test_now() - start > long_silence) {
            kill(workers[0], SIGKILL);
            kill(workers[1], SIGKILL);
            printf("workers by %s, %s, outlive their parent\n", method, busy ? "busy" : "idle");
            return false;
        }
        nap(1000);
    }
    mp_process_free(p);
    mp_free(s);
    return true;
}

/* A program of its own: what the dead held privately stays in the heap as long as the family. */
static int
killed_parents(void)
{
    static const char *const methods[] = {"fork", "spawn", "forkserver"};
    int bad = 0;
    for (int i = 0; i < 6; i++) {
#ifdef MP_PLATFORM_POSIX
        if (i < 2) {
            continue; /* POSIX tells no child that its parent died: they go when a task has ended */
        }
#endif
        bad += !workers_follow(methods[i % 3], i < 3);
    }
    bad += !workers_follow("thread", true);
    return bad;
}

static void
test_pool_parent_killed_workers_are_gone(void **state)
{
    (void)state;
    char out[1000];
    int status = mp_test_run_self("--killed-parents", out, sizeof out);
    if (status != 0) {
        fail_msg("status %#x: %s", (unsigned)status, out);
    }
}

/* ---- workers that cannot be replaced --------------------------------------------------------- */

/* A program of its own: the last worker is gone and no other can be started. */
static int
no_replacement(void)
{
    mp_pool *pool =
        mp_pool_new(&(mp_pool_options){.processes = 2, .context = mp_get_context("spawn")});
    mp_child_check(pool != NULL);
    mp_obj out;
    mp_child_ok(mp_pool_map(pool, square, mp_list(1, 2, 3), &out));
    mp_obj_free(out);
    struct rlimit old;
    mp_child_check(getrlimit(RLIMIT_NOFILE, &old) == 0);
    const struct rlimit none = {0, old.rlim_max};
    mp_child_check(setrlimit(RLIMIT_NOFILE, &none) == 0);
    struct shared *s = mp_calloc(1, sizeof *s);
    double start = mp_test_now();
    int status = mp_pool_map(pool, always_dies,
                             mp_list(mp_list(0, (void *)s), mp_list(1, (void *)s),
                                     mp_list(2, (void *)s), mp_list(3, (void *)s)),
                             &out);
    mp_child_check(status < 0 && mp_test_now() - start < long_silence);
    printf("%s\n", mp_err_name(status));
    mp_child_check(setrlimit(RLIMIT_NOFILE, &old) == 0);
    mp_child_ok(mp_pool_map(pool, square, mp_list(1, 2, 3), &out)); /* and again */
    mp_obj_free(out);
    mp_child_ok(mp_pool_free(pool));
    return 0;
}

static void
test_pool_workers_that_cannot_be_replaced_are_an_error(void **state)
{
    (void)state;
    char out[1000];
    int status = mp_test_run_self("--no-replacement", out, sizeof out);
    if (status != 0 || strcmp(out, "OSError\n") != 0) {
        fail_msg("status %#x: %s", (unsigned)status, out);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_map_task_that_ends_its_worker_fails_alone),
    cmocka_unit_test(test_map_only_worker_dies_and_the_rest_is_run),
    cmocka_unit_test(test_map_every_task_ends_its_worker),
    cmocka_unit_test(test_map_workers_killed_at_random_results_are_right_or_lost),
    cmocka_unit_test(test_pool_worker_killed_idle_is_not_noticed),
    cmocka_unit_test(test_pool_terminated_while_it_maps_the_map_fails_at_once),
    cmocka_unit_test(test_pool_terminated_before_deaf_workers_ends_with_their_tasks),
    cmocka_unit_test(test_pool_terminated_while_others_join_all_return),
    cmocka_unit_test(test_pool_parent_killed_workers_are_gone),
    cmocka_unit_test(test_pool_workers_that_cannot_be_replaced_are_an_error),
};

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    if (argc == 2 && strcmp(argv[1], "--no-replacement") == 0) {
        return no_replacement();
    }
    if (argc == 2 && strcmp(argv[1], "--killed-parents") == 0) {
        return killed_parents();
    }
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
}
