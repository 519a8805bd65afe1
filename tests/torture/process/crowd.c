/*
 * crowd.c: many processes at once, and many one after the other.
 *
 *     crowd [--alive N] [--sequence N] [fork | spawn | forkserver]
 *
 * --alive     N children wait together, of which a tenth are daemons; all are seen alive and counted,
 *             then let go, and every exit code comes.
 * --sequence  N are started and joined, after some to warm up; then this process and its forkserver
 *             have no more memory, descriptors, children or blocks of the heap than before.
 * Where a limit is too low for N at once, the start that fails says so, and those that run are well.
 */
#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <mp/mp.h>

#include "process/launch.h"

#define WARM_UP 300
#define SLACK   (512 * 1024) /* bytes: the C library keeps a few freed pages more or less */

#define SPARES (2 * MP__SPARES) /* descriptors: two of each of the forkserver's that we hold */

#define PATIENCE 20.0 /* seconds */

#define CHECK(cond) ((cond) ? (void)0 : fail(__LINE__))
#define OK(call)    CHECK((call) >= 0)

static const char *method = "fork";

static MP_NORETURN_ATTR void
fail(int line)
{
    fflush(stdout);
    fprintf(stderr, "crowd: %s, line %d failed: %s\n", method, line, mp_last_error_text());
    _exit(71);
}

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- many at once -----------------------------------------------------------------------------*/

struct shared {
    _Atomic int up;
    mp_event *go;
};

static int
wait_for_go(const mp_args *args)
{
    struct shared *s = mp_as_handle(mp_args_item(args, 0), MP_HANDLE_POINTER);
    atomic_fetch_add(&s->up, 1);
    OK(mp_event_wait(s->go, MP_FOREVER));
    return (int)mp_as_int(mp_args_item(args, 1)) % 200;
}

/* Start up to n of them; how many came to be. */
static int
start_crowd(struct shared *s, mp_process **p, int n)
{
    for (int i = 0; i < n; i++) {
        p[i] =
            mp_process_new(wait_for_go, mp_args((void *)s, i),
                           &(mp_process_options){.daemon = i % 10 ? MP_DAEMON_NO : MP_DAEMON_YES});
        CHECK(p[i]);
        if (mp_process_start(p[i]) < 0) {
            printf("%s: start %d of %d: %s\n", method, i + 1, n, mp_last_error_text());
            CHECK(mp_last_error() == -EMFILE || mp_last_error() == -EAGAIN);
            OK(mp_process_free(p[i]));
            return i;
        }
    }
    return n;
}

static int
crowd_of(int n)
{
    struct shared *s = mp_calloc(1, sizeof *s);
    mp_process **p = calloc((size_t)n, sizeof(mp_process *));
    size_t count;
    CHECK(p && s && (s->go = mp_event_new()));
    double began = now();
    int started = start_crowd(s, p, n);
    while (atomic_load(&s->up) < started) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    double all_up = now();
    free(mp_active_children(&count));
    CHECK(count == (size_t)started);
    for (int i = 0; i < started; i++) {
        CHECK(mp_process_is_alive(p[i]) == 1);
    }
    double asked = now();
    OK(mp_event_set(s->go));
    for (int i = 0; i < started; i++) {
        int code = -1;
        OK(mp_process_join(p[i], MP_FOREVER));
        OK(mp_process_exitcode(p[i], &code));
        CHECK(code == i % 200);
        OK(mp_process_free(p[i]));
    }
    printf("%s: %d alive after %.2f s, asked in %.3f s, joined after %.2f s\n", method, started,
           all_up - began, asked - all_up, now() - asked);
    free(p);
    OK(mp_event_free(s->go));
    OK(mp_free(s));
    return started;
}

/* ---- one after the other ----------------------------------------------------------------------*/

static int
nothing(const mp_args *args)
{
    (void)args;
    return 0;
}

static void
one(void)
{
    int code = -1;
    mp_process *p = mp_process_new(nothing, mp_args(1, "two"), NULL);
    CHECK(p);
    OK(mp_process_start(p));
    OK(mp_process_join(p, MP_FOREVER));
    OK(mp_process_exitcode(p, &code));
    CHECK(code == 0);
    OK(mp_process_free(p));
}

struct size {
    long memory, fds;
    size_t blocks;
};

/* Counted page by page: other numbers in /proc lag by up to some hundred pages a processor. */
static long
memory_of(pid_t pid)
{
    char path[64], line[256];
    long whole = 0, resident = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *exact = fopen(path, "r");
    while (exact && resident == 0 && fgets(line, sizeof line, exact)) {
        sscanf(line, "Rss: %ld kB", &resident);
    }
    if (exact) {
        fclose(exact);
    }
    if (resident > 0) {
        return resident * 1024;
    }
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *f = fopen(path, "r");
    CHECK(f && fscanf(f, "%ld %ld", &whole, &resident) == 2);
    fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

static long
fds_of(pid_t pid)
{
    char path[64];
    long count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    CHECK(dir);
    while (readdir(dir)) {
        count++;
    }
    closedir(dir);
    return count;
}

static int
tell_parent(const mp_args *args)
{
    _Atomic int *pid = mp_as_handle(mp_args_item(args, 0), MP_HANDLE_POINTER);
    atomic_store(pid, getppid());
    return 0;
}

/* The forkserver, or this process itself: who forks the children. */
static pid_t
forker(void)
{
    _Atomic int *pid = mp_calloc(1, sizeof *pid);
    mp_process *p = mp_process_new(tell_parent, mp_args((void *)pid), NULL);
    CHECK(pid && p);
    OK(mp_process_start(p));
    OK(mp_process_join(p, MP_FOREVER));
    OK(mp_process_free(p));
    pid_t found = atomic_load(pid);
    OK(mp_free((void *)(uintptr_t)pid));
    return found;
}

static struct size
size_of(pid_t pid)
{
    mp_heap_info info;
    OK(mp_heap_stats(&info));
    return (struct size){memory_of(pid), fds_of(pid), info.blocks};
}

/* The forkserver's, once it has reaped the last: who joins does not wait for that. */
static struct size
size_of_server(pid_t server, struct size before)
{
    for (double began = now(); fds_of(server) > before.fds + SPARES && now() - began < PATIENCE;) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return size_of(server);
}

static void
compare(const char *who, struct size before, struct size after)
{
    printf("%s: %s: %ld KiB more, %ld descriptors more, %ld blocks more\n", method, who,
           (after.memory - before.memory) / 1024, after.fds - before.fds,
           (long)after.blocks - (long)before.blocks);
    CHECK(after.memory <= before.memory + SLACK);
    CHECK(after.fds <= before.fds + SPARES);
    CHECK(after.blocks <= before.blocks);
}

static void
sequence_of(int n)
{
    for (int i = 0; i < WARM_UP; i++) {
        one();
    }
    pid_t server = forker();
    struct size ours = size_of(getpid()), its = size_of(server);
    double began = now();
    for (int i = 0; i < n; i++) {
        one();
    }
    printf("%s: %d in sequence, %.1f us each\n", method, n, (now() - began) / n * 1e6);
    CHECK(forker() == server); /* it is the same one */
    compare("this process", ours, size_of(getpid()));
    if (server != getpid()) {
        compare("the forkserver", its, size_of_server(server, its));
    }
    mp__process_settle();
    CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    int alive = 0, sequence = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--alive") == 0 && i + 1 < argc) {
            alive = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--sequence") == 0 && i + 1 < argc) {
            sequence = atoi(argv[++i]);
        } else {
            method = argv[i];
        }
    }
    OK(mp_set_start_method(method, true));
    struct rlimit limit, low;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (alive > 0) {
        low = limit;
        low.rlim_cur = 64;
        setrlimit(RLIMIT_NOFILE, &low);
        CHECK(crowd_of(100) < 100);
        mp__process_settle(); /* the forkserver has the limit that it was started with */
        setrlimit(RLIMIT_NOFILE, &limit);
        CHECK(crowd_of(alive) == alive);
    }
    if (sequence > 0) {
        sequence_of(sequence);
    }
    return 0;
}
