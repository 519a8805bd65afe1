/*
 * process.c: what it costs to start a process with an empty target and join it, beside what the
 * system itself takes and CPython.
 *
 * "small" parents are as they are, "big" ones have touched 256 MiB.  A round has up to 20 starts;
 * "50 in a row" has 50 with nothing between them, so that work done ahead or left behind is paid in
 * the same round; "with rests" has pauses of 1 ms between them, which are not counted.
 */
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <mp/mp.h>

#include "bench.h"

#define BIG ((size_t)256 << 20)
#define RAW "--only-exit"

#define ROW     50
#define REST_NS 1000000

extern char **environ;

/* One for all contenders of a case. */
static char *big;
static int big_users;

static int
do_nothing(const mp_args *args)
{
    (void)args;
    return 0;
}

struct way {
    const char *method; /* of libmp; NULL: `bare` */
    void (*bare)(void);
    bool big, row, rests;
};

static void *
open_way(const void *with)
{
    const struct way *way = with;
    if (way->big && big_users++ == 0) {
        big = malloc(BIG);
        bench_check(big != NULL, "256 MiB of memory");
        for (size_t i = 0; i < BIG; i += 4096) {
            big[i] = 1;
        }
    }
    return (void *)(uintptr_t)with;
}

static void
close_way(void *state)
{
    const struct way *way = state;
    if (way->big && --big_users == 0) {
        free(big);
    }
}

static void
raw_fork(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    bench_check(pid > 0 && waitpid(pid, NULL, 0) == pid, "fork");
}

static void
raw_spawn(void)
{
    pid_t pid;
    char *argv[] = {(char *)(uintptr_t) "bench_process", (char *)(uintptr_t)RAW, NULL};
    bench_check(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ) == 0 &&
                    waitpid(pid, NULL, 0) == pid,
                "posix_spawn");
}

static void
start_and_join(const char *method)
{
    mp_process *p =
        mp_process_new(do_nothing, NULL, &(mp_process_options){.context = mp_get_context(method)});
    bench_check(p && mp_process_start(p) == 0 && mp_process_join(p, MP_FOREVER) == 0, method);
    mp_process_free(p);
}

static void
run_once(const struct way *way)
{
    if (way->method) {
        start_and_join(way->method);
    } else {
        way->bare();
    }
}

static double
round_way(void *state, long ops)
{
    const struct way *way = state;
    int64_t spent = 0, began = bench_now();
    ops = way->row ? ROW : ops;
    for (long i = 0; i < ops; i++) {
        run_once(way);
        if (way->rests) {
            spent += bench_now() - began;
            nanosleep(&(struct timespec){.tv_nsec = REST_NS}, NULL);
            began = bench_now();
        }
    }
    spent += bench_now() - began;
    return (double)spent / (double)ops;
}

/* A case: libmp, and the system's own. */
#define ONE(of, name, ...)                                                                         \
    {                                                                                              \
        of, name, open_way, round_way, close_way, &(struct way)                                    \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define START(of, how, bare_name, bare_call, ...)                                                  \
    ONE(of, BENCH_LIBMP, .method = how, __VA_ARGS__),                                              \
        ONE(of, bare_name, .bare = bare_call, __VA_ARGS__)
#define STARTS(kind, ...)                                                                          \
    START("fork, " kind, "fork", "fork+waitpid", raw_fork, __VA_ARGS__),                           \
        START("spawn, " kind, "spawn", "posix_spawn+waitpid", raw_spawn, __VA_ARGS__),             \
        START("forkserver, " kind, "forkserver", "fork+waitpid", raw_fork, __VA_ARGS__)

static const struct bench_contender starts[] = {
    STARTS("small", .big = false),
    STARTS("big", .big = true),
    STARTS("50 in a row", .row = true),
    STARTS("with rests", .rests = true),
};
BENCH_CONTENDERS(starts)

#define CASES(kind, most)                                                                          \
    {"fork, " kind, "us", most}, {"spawn, " kind, "us", most},                                     \
    {                                                                                              \
        "forkserver, " kind, "us", most                                                            \
    }

static const struct bench_case cases[] = {
    CASES("small", 20),
    CASES("big", 20),
    CASES("50 in a row", 1),
    CASES("with rests", 10),
};

int
main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], RAW) == 0) {
        _exit(0);
    }
    mp_freeze_support(argc, argv);
    bench_add_peer("CPython", "python3", "peer_process.py");
    return bench_main(argc, argv, "process", cases, sizeof cases / sizeof *cases);
}
