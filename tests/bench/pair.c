/*
 * pair.c: a second process that works beside this one, a round at a time.
 *
 * Between rounds it sleeps in read() and costs the other contenders nothing.  A round starts from a
 * word that both look at, and each notes the time at which it is done.
 */
#include "bench.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined __linux__
#include <sys/prctl.h>
#endif

struct meeting {
    _Atomic int ready, go;
    _Atomic int64_t done_at;
};

struct bench_pair {
    bench_side *side;
    void *state;
    struct meeting *meeting;
    pid_t pid;
    int requests, answers;
};

#if defined __linux__
/* The which-th CPU that this process may use, alone; the former set to *ret_before. */
static bool
pin(int which, cpu_set_t *ret_before)
{
    if (sched_getaffinity(0, sizeof *ret_before, ret_before) < 0 || CPU_COUNT(ret_before) < 2) {
        return false;
    }
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, ret_before) && which-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            return sched_setaffinity(0, sizeof one, &one) == 0;
        }
    }
    return false;
}
#endif

static void
wait_for(_Atomic int *word)
{
    /* The other may have no CPU yet. */
    for (int i = 0; atomic_load_explicit(word, memory_order_acquire) == 0; i++) {
        if (i > 1000) {
            sched_yield();
        }
    }
}

static void
serve(struct bench_pair *p, int requests, int answers)
{
#if defined __linux__
    cpu_set_t before;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin(1, &before);
#endif
    long ops = 0;
    while (read(requests, &ops, sizeof ops) == sizeof ops && ops > 0) {
        atomic_store(&p->meeting->ready, 1);
        wait_for(&p->meeting->go);
        p->side(p->state, 1, ops);
        atomic_store(&p->meeting->done_at, bench_now());
        bench_check(write(answers, "", 1) == 1, "write");
    }
}

struct bench_pair *
bench_pair_open(bench_side *side, void *state)
{
    struct bench_pair *p = calloc(1, sizeof *p);
    int down[2], up[2];
    bench_check(p && pipe(down) == 0 && pipe(up) == 0, "pair");
    *p = (struct bench_pair){.side = side,
                             .state = state,
                             .meeting = bench_shared(sizeof *p->meeting),
                             .requests = down[1],
                             .answers = up[0]};
    p->pid = fork();
    bench_check(p->pid >= 0, "fork");
    if (p->pid == 0) {
        close(down[1]);
        close(up[0]);
        serve(p, down[0], up[1]);
        _exit(0);
    }
    close(down[0]);
    close(up[1]);
    return p;
}

int64_t
bench_pair_round(struct bench_pair *p, long ops)
{
#if defined __linux__
    cpu_set_t before;
    bool pinned = pin(0, &before);
#endif
    atomic_store(&p->meeting->ready, 0);
    atomic_store(&p->meeting->go, 0);
    bench_check(write(p->requests, &ops, sizeof ops) == sizeof ops, "write");
    wait_for(&p->meeting->ready);
    int64_t began = bench_now();
    atomic_store(&p->meeting->go, 1);
    p->side(p->state, 0, ops);
    int64_t done_at = bench_now();
    char answer;
    bench_check(read(p->answers, &answer, 1) == 1, "the second process ended");
    int64_t other = atomic_load(&p->meeting->done_at);
#if defined __linux__
    if (pinned) {
        sched_setaffinity(0, sizeof before, &before);
    }
#endif
    return (done_at > other ? done_at : other) - began;
}

void
bench_pair_close(struct bench_pair *p)
{
    long ops = 0;
    bench_check(write(p->requests, &ops, sizeof ops) == sizeof ops, "write");
    waitpid(p->pid, NULL, 0);
    close(p->requests);
    close(p->answers);
    bench_shared_free(p->meeting, sizeof *p->meeting);
    free(p);
}
