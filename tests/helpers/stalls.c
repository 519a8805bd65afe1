/* helpers/stalls.c: companions on each processor that note when it did not run them. */
#if defined __linux__
#define _GNU_SOURCE /* to sit on one processor */
#endif
#include "helpers/stalls.h"

#include "mp_test.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#define MOST    64    /* companions */
#define LATE_MS 5     /* what comes of taking turns is no stall */
#define RING_MS 65536 /* a test's bound is shorter */

#define ANY UINT32_MAX

struct companion {
    pthread_t thread;
    unsigned cpu;        /* where it sits; ANY: nowhere */
    _Atomic double last; /* when it ran last */
};

static struct companion companion[MOST];
static int companions;
static long nap_ms; /* longer where there are many */
static _Atomic int over;

/* Milliseconds of the clock in which some companion was kept waiting, each in its place. */
static _Atomic uint64_t lost[RING_MS];

static uint64_t
ms_of(double seconds)
{
    return (uint64_t)(seconds * 1000);
}

static void
sit_on(unsigned cpu)
{
#if defined __linux__
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu != ANY) {
        CPU_SET(cpu, &set);
        sched_setaffinity(0, sizeof set, &set); /* of this thread */
    }
#else
    (void)cpu;
#endif
}

static void *
nap_and_note(void *arg)
{
    struct companion *c = arg;
    sit_on(c->cpu);
    while (!atomic_load(&over)) {
        double due = mp_test_now() + (double)nap_ms / 1000;
        nanosleep(&(struct timespec){.tv_nsec = nap_ms * 1000000}, NULL);
        double now = mp_test_now();
        uint64_t from = ms_of(due), to = ms_of(now);
        if (to >= from + LATE_MS) {
            for (uint64_t ms = to - from < RING_MS ? from : to - RING_MS + 1; ms <= to; ms++) {
                atomic_store(&lost[ms % RING_MS], ms);
            }
        }
        atomic_store(&c->last, now);
    }
    return NULL;
}

/* One for each processor that this process may use. */
static void
choose_processors(void)
{
    companions = 0;
#if defined __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        for (unsigned cpu = 0; cpu < CPU_SETSIZE && companions < MOST; cpu++) {
            if (CPU_ISSET(cpu, &set)) {
                companion[companions++].cpu = cpu;
            }
        }
    }
#endif
    if (companions == 0) {
        companion[companions++].cpu = ANY;
    }
    nap_ms = 1 + companions / 8;
}

static void
wait_until_all_ran_after(double time)
{
    for (int i = 0; i < companions; i++) {
        while (atomic_load(&companion[i].last) <= time) {
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
    }
}

void
stalls_watch(void)
{
    sigset_t all, before;
    sigfillset(&all);
    choose_processors();
    atomic_store(&over, 0);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the test's own */
    for (int i = 0; i < companions; i++) {
        atomic_store(&companion[i].last, 0);
        if (pthread_create(&companion[i].thread, NULL, nap_and_note, &companion[i]) != 0) {
            companions = i;
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    /* They run, and hold nothing of libc's or a sanitizer's that a fork() would copy. */
    wait_until_all_ran_after(0);
}

void
stalls_unwatch(void)
{
    atomic_store(&over, 1);
    for (int i = 0; i < companions; i++) {
        pthread_join(companion[i].thread, NULL);
    }
    companions = 0;
}

double
stalls_between(double from, double to)
{
    double sum = 0;
    wait_until_all_ran_after(to); /* one may be kept waiting just now */
    for (uint64_t ms = ms_of(from); ms <= ms_of(to); ms++) {
        sum += atomic_load(&lost[ms % RING_MS]) == ms ? 0.001 : 0;
    }
    return sum;
}

void
stalls_assert(double begin, double end, double bound, const char *file, int line)
{
    double took = end - begin;
    if (took > bound) {
        double stalled = stalls_between(begin, end);
        if (took > bound + stalled) {
            print_error("it took %.3f s, and the machine lost %.3f s of them\n", took, stalled);
            _fail(file, line);
        }
    }
}
