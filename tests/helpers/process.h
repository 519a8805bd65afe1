/*
 * helpers/process.h: what the tests of processes share: notes in shared memory between a test and
 * its children, short ways to start and end a child, and what children print.
 */
#ifndef MP_TEST_HELPERS_PROCESS_H
#define MP_TEST_HELPERS_PROCESS_H

#include "mp_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "process/process.h"

/* In the family's heap: what a child tells the test, and when it may go on. */
struct note {
    _Atomic int ready; /* children count it up */
    _Atomic int go;
    _Atomic long number[8];
    char text[4][256];
};

static inline struct note *
note_new(void)
{
    struct note *n = mp_calloc(1, sizeof *n);
    assert_non_null(n);
    return n;
}

static inline void
nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Until *value is at least `wanted`; the test's bound ends a wait that does not. */
static inline void
wait_for(_Atomic int *value, int wanted)
{
    while (atomic_load(value) < wanted) {
        nap();
    }
}

static inline void
pause_for_ever(void)
{
    for (;;) {
        pause();
    }
}

/* A target that tells it runs and then does not end. */
static inline int
hang(const mp_args *args)
{
    void *p = NULL;
    mp_args_get(args, &p);
    struct note *n = p;
    if (n) {
        atomic_fetch_add(&n->ready, 1);
    }
    pause_for_ever();
    return 0;
}

static inline const char *
method_name(void)
{
    return mp_default_start_method();
}

static inline bool
method_is(const char *method)
{
    return strcmp(method_name(), method) == 0;
}

static inline mp_process *
start_with(mp_target target, mp_args *args, const mp_process_options *options)
{
    mp_process *p = mp_process_new(target, args, options);
    assert_non_null(p);
    mp_assert_ok(mp_process_start(p));
    return p;
}

static inline mp_process *
start(mp_target target, mp_args *args)
{
    return start_with(target, args, NULL);
}

/* Join and free it; its exit code. */
static inline int
finish(mp_process *p)
{
    int code = 12345;
    mp_assert_ok(mp_process_join(p, MP_FOREVER));
    mp_assert_ok(mp_process_exitcode(p, &code));
    mp_assert_ok(mp_process_free(p));
    return code;
}

static inline void
kill_and_free(mp_process *p)
{
    mp_assert_ok(mp_process_kill(p));
    assert_int_equal(finish(p), -SIGKILL);
}

/* In a child: start, join and free a child of its own; its exit code. */
static inline int
run_in_child(mp_target target, mp_args *args, const mp_process_options *options)
{
    int code = 0;
    mp_process *p = mp_process_new(target, args, options);
    mp_child_check(p != NULL);
    mp_child_ok(mp_process_start(p));
    mp_child_ok(mp_process_join(p, MP_FOREVER));
    mp_child_ok(mp_process_exitcode(p, &code));
    mp_child_ok(mp_process_free(p));
    return code;
}

/*
 * What this process and its children write to descriptor fd (1 or 2) goes to a file between begin
 * and end.  The forkserver is made anew on both sides, so that its children write there too.
 */
struct capture {
    int fd, saved;
    char path[4200];
};

static inline void
capture_begin(struct capture *c, int fd)
{
    fflush(NULL);
    mp__process_settle();
    c->fd = fd;
    c->saved = fcntl(fd, F_DUPFD_CLOEXEC, 100);
    assert_true(c->saved >= 0);
    snprintf(c->path, sizeof c->path, "%s/captured-%d", mp_test_dir(), fd);
    int file = open(c->path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(dup2(file, fd), fd);
    close(file);
}

static inline void
capture_end(struct capture *c, char *text, size_t size)
{
    fflush(NULL);
    mp__process_settle();
    dup2(c->saved, c->fd);
    close(c->saved);
    int file = open(c->path, O_RDONLY | O_CLOEXEC);
    ssize_t n = file >= 0 ? read(file, text, size - 1) : 0;
    text[n > 0 ? n : 0] = '\0';
    close(file);
}

/* The state letter of a process's first thread in /proc, 0 when it is gone; and how many threads. */
static inline char
state_and_threads(pid_t pid, long *ret_threads)
{
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(line, 1, sizeof line - 1, f) : 0;
    if (f) {
        fclose(f);
    }
    line[n] = '\0';
    char *bracket = strrchr(line, ')'), state = 0;
    *ret_threads = 0;
    if (bracket) {
        sscanf(bracket + 1,
               " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld", &state,
               ret_threads);
    }
    return state;
}

static inline char
state_of(pid_t pid)
{
    long threads;
    return state_and_threads(pid, &threads);
}

/*
 * Until it was asleep at so many looks more than it was not: one is by chance.  Not in sequence: who
 * sleeps in slices may be seen, on a busy machine, to wait for a processor after each.
 */
static inline void
wait_until_asleep(pid_t pid, int looks)
{
    for (int seen = 0; seen < looks;) {
        seen = state_of(pid) == 'S' ? seen + 1 : seen > 0 ? seen - 1 : 0;
        nap();
    }
}

static inline bool
is_running(pid_t pid)
{
    long threads;
    char state = state_and_threads(pid, &threads);
    return state && ((state != 'Z' && state != 'X') || threads > 1);
}

#endif
