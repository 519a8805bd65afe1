/*
 * process_start.c: what it costs to start a process with an empty target and join it, beside what
 * the system itself takes.
 *
 *     process_start [ROUNDS]
 *
 * The contenders of a case take turns in every round, so that what disturbs the machine disturbs
 * all.  Prints process<TAB>case<TAB>contender<TAB>us<TAB>ratio: the median of the rounds, and the
 * median of each round's quotient by the first contender of the case.
 *
 *     small    this program as it is      fork+waitpid, posix_spawn+waitpid, the three methods
 *     big      with 256 MiB touched       the same
 */
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <mp/mp.h>

#define BIG ((size_t)256 << 20)
#define RAW "--only-exit"

extern char **environ;
static const char *own_name;

static int
do_nothing(const mp_args *args)
{
    (void)args;
    return 0;
}

static void
die(const char *what)
{
    fprintf(stderr, "process_start: %s: %s\n", what, mp_last_error_text());
    exit(1);
}

/* ---- contenders -------------------------------------------------------------------------------*/

static void
raw_fork(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, NULL, 0) != pid) {
        die("fork");
    }
}

static void
raw_spawn(void)
{
    pid_t pid;
    char *argv[] = {(char *)(uintptr_t)own_name, (char *)(uintptr_t)RAW, NULL};
    if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ) != 0 ||
        waitpid(pid, NULL, 0) != pid) {
        die("posix_spawn");
    }
}

static void
start_and_join(const char *method)
{
    mp_process *p =
        mp_process_new(do_nothing, NULL, &(mp_process_options){.context = mp_get_context(method)});
    if (!p || mp_process_start(p) != 0 || mp_process_join(p, MP_FOREVER) != 0) {
        die(method);
    }
    mp_process_free(p);
}

static void
mp_by_fork(void)
{
    start_and_join("fork");
}

static void
mp_by_spawn(void)
{
    start_and_join("spawn");
}

static void
mp_by_forkserver(void)
{
    start_and_join("forkserver");
}

static const struct {
    const char *name;
    void (*run)(void);
    int base; /* whose time divides its own */
} contenders[] = {
    {"fork+waitpid", raw_fork, 0},          {"mp fork", mp_by_fork, 0},
    {"posix_spawn+waitpid", raw_spawn, 2},  {"mp spawn", mp_by_spawn, 2},
    {"mp forkserver", mp_by_forkserver, 0},
};
#define CONTENDERS (sizeof contenders / sizeof *contenders)

/* ---- measuring --------------------------------------------------------------------------------*/

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double
median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, compare);
    return values[n / 2];
}

static void
measure(const char *name, int rounds)
{
    double *took[CONTENDERS], *ratio[CONTENDERS];
    for (size_t c = 0; c < CONTENDERS; c++) {
        took[c] = calloc((size_t)rounds, sizeof(double));
        ratio[c] = calloc((size_t)rounds, sizeof(double));
        if (!took[c] || !ratio[c]) {
            die("no memory");
        }
        contenders[c].run(); /* the forkserver starts; caches fill */
    }
    for (int r = 0; r < rounds; r++) {
        for (size_t c = 0; c < CONTENDERS; c++) {
            double began = now();
            contenders[c].run();
            took[c][r] = now() - began;
        }
        for (size_t c = 0; c < CONTENDERS; c++) {
            ratio[c][r] = took[c][r] / took[contenders[c].base][r];
        }
    }
    for (size_t c = 0; c < CONTENDERS; c++) {
        printf("process\t%s\t%s\t%.1f\t%.2f\n", name, contenders[c].name, median(took[c], rounds),
               median(ratio[c], rounds));
        free(took[c]);
        free(ratio[c]);
    }
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], RAW) == 0) {
        _exit(0);
    }
    mp_freeze_support(argc, argv);
    int rounds = argc > 1 ? atoi(argv[1]) : 400;
    if (rounds < 1) {
        fprintf(stderr, "usage: process_start [ROUNDS]\n");
        return 2;
    }
    own_name = argv[0];
    measure("small", rounds);
    char *big = malloc(BIG);
    if (!big) {
        die("no memory");
    }
    for (size_t i = 0; i < BIG; i += 4096) {
        big[i] = 1;
    }
    measure("big", rounds);
    free(big);
    return 0;
}
