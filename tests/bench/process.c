/*
 * process.c: what it costs to start a process with an empty target and join it, beside what the
 * system itself takes and CPython.
 *
 * "small" parents are as they are, "big" ones have touched 256 MiB.
 */
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mp/mp.h>

#include "bench.h"

#define BIG ((size_t)256 << 20)
#define RAW "--only-exit"

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
    bool big;
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

static double
round_way(void *state, long ops)
{
    const struct way *way = state;
    int64_t began = bench_now();
    for (long i = 0; i < ops; i++) {
        if (way->method) {
            start_and_join(way->method);
        } else {
            way->bare();
        }
    }
    return (double)(bench_now() - began) / (double)ops;
}

/* A case: libmp, and the system's own. */
#define START(of, method, bare_name, bare, big)                                                    \
    {of, BENCH_LIBMP, open_way, round_way, close_way, &(struct way){method, NULL, big}},           \
    {                                                                                              \
        of, bare_name, open_way, round_way, close_way, &(struct way)                               \
        {                                                                                          \
            NULL, bare, big                                                                        \
        }                                                                                          \
    }

static const struct bench_contender starts[] = {
    START("fork, small", "fork", "fork+waitpid", raw_fork, false),
    START("spawn, small", "spawn", "posix_spawn+waitpid", raw_spawn, false),
    START("forkserver, small", "forkserver", "fork+waitpid", raw_fork, false),
    START("fork, big", "fork", "fork+waitpid", raw_fork, true),
    START("spawn, big", "spawn", "posix_spawn+waitpid", raw_spawn, true),
    START("forkserver, big", "forkserver", "fork+waitpid", raw_fork, true),
};
BENCH_CONTENDERS(starts)

static const struct bench_case cases[] = {
    {"fork, small", "us", 20}, {"spawn, small", "us", 20}, {"forkserver, small", "us", 20},
    {"fork, big", "us", 20},   {"spawn, big", "us", 20},   {"forkserver, big", "us", 20},
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
