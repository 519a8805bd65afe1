/*
 * frame.h: inside the frame: a case or storm and what is found out about it.
 *
 * A family of its own does the work, in a child; the runner watches it.  What both need to see is
 * in struct torture_report, in memory of their own: what lies in the family's heap is under test.
 */
#ifndef TORTURE_FRAME_H
#define TORTURE_FRAME_H

#include <stdatomic.h>

#include "torture/torture.h"

#include "step.h"

struct torture_options {
    bool quick, near, control;
    bool steps, storms;
    unsigned seed;
};
extern struct torture_options torture_options;

#define TORTURE_STALLS 512

struct torture_report {
    /* The family, for the runner that watches it. */
    _Atomic double moved; /* when it last came further */
    _Atomic long which;   /* the position it is at, and where that is */
    _Atomic long first, second;

    /*
     * When the whole machine stood still, or had no processor for who wakes up, as the runner sees
     * it by its own looks: it is nobody's recovery time.
     */
    struct {
        _Atomic double from, to;
    } stall[TORTURE_STALLS];
    _Atomic unsigned stalls;
    _Atomic double looked; /* the runner's latest look: what was before it is noted */

    /* Results; they go on through the families of a case. */
    _Atomic long points, kills, twice, wrong;
    struct step_waits waits;
    char text[400]; /* the first thing wrong */
};
extern struct torture_report *torture_report;

/* Note something wrong: the first one's text is kept. */
void torture_wrong(const char *what);

/* The whole of a case from position `from` on, or a storm, in the family's process. */
void torture_run_case(const struct torture_case *c, long from);
void torture_run_storm(const struct torture_storm *s);

/*
 * Waiting with an end, for processes that may stand still meanwhile with all others: the time must
 * have passed, and this one must have had its turns in it.
 */
struct torture_patience {
    double until;
    int turns;
};
struct torture_patience torture_patience(double seconds);
bool torture_waits_on(struct torture_patience *p); /* after a nap; false: at its end */

/* Seconds of a wait from when to when, without those that the machine itself lost. */
double torture_seconds(double from, double to);

/* Zeroed memory that this process shares with those it forks. */
void *torture_shared(size_t size);

/* Processes of a storm and companions: the child's part of fork(), with a random sequence. */
pid_t torture_fork(void);

/* Whether a process sleeps, and in the kernel. */
bool torture_asleep(pid_t pid);

#endif
