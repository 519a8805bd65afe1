/*
 * torture.h: the frame of the torture: victims killed after each instruction, and storms of kills.
 *
 * A file torture_<room>.c holds an array of cases, or of storms, and gives it to a group:
 *
 *     static const struct torture_case cases[] = {
 *         {.name = "sync.event.set+parked",
 *          .commits = "heap.owned.acquire heap.owned.release",
 *          .set_up = new_event, .parked = 2, .park = wait_for_it,
 *          .operation = do_set, .check = check_set},
 *     };
 *     TORTURE_CASES(sync, cases)
 *
 * Names     "room.object.operation", and "+situation" when there are several.  It is the name of
 *           the commit point that the operation goes through, as it stands in the struct's comment
 *           and beside the line of code; `commits` tells those of other names that it also passes.
 *           The run says which names of src/ no case has.
 * Families  each case runs in a family of its own: what a victim may rightly lose is not the next
 *           case's loss.  A survivor that hangs is killed, and the position that did it is told.
 * Processes survivor: runs open, set_up, check.  Victim: before, operation.  Companions: park and
 *           arrive.  All are children of fork() of the survivor, so they see *arg as set_up() left
 *           it; what they write there nobody else sees, unless it is in the family's heap.
 * Failing   mp_child_check() and mp_child_ok() of mp_test.h, in every process; never cmocka's.
 */
#ifndef TORTURE_H
#define TORTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "mp_test.h"

/*
 * Seconds from a death to the recovery that are in order.  A slice is 0.05 s; on POSIX a waiter
 * has no help of the kernel and looks after one slice, and then judges by a lock of a file.
 */
#if defined MP_PLATFORM_POSIX
#define TORTURE_BOUND 0.2
#else
#define TORTURE_BOUND 0.1
#endif

#define TORTURE_COMPANIONS 16 /* of a case, at most */

/* ---- cases: one victim, every instruction ----------------------------------------------------- */

struct torture_case {
    const char *name;
    const char *commits; /* further commit points, with spaces between; may be NULL */

    /* The survivor, once, before anything else of the case; may be NULL. */
    void (*open)(void *arg);

    /* The survivor, before each victim; may be NULL.  Makes the objects. */
    void (*set_up)(void *arg);

    /*
     * Companions that wait on the object while the victim works: each calls park(arg, 0 ..), and
     * the frame goes on when all of them sleep, or have returned.  What it returns can be read with
     * torture_result().  late: they start after the victim's before(), which holds what they wait
     * for; else before there is a victim.
     */
    int parked;
    int (*park)(void *arg, int which);
    bool late;

    /* The victim, not yet led; NULL: it only becomes a member of the family. */
    void (*before)(void *arg);

    /* The victim, killed after each of its instructions. */
    void (*operation)(void *arg);

    /*
     * If not NULL: the victim is another's child, of a companion's for one, which sleeps, and this
     * tells its pid.  Then `operation` is called by the survivor, when the victim is held: it gives
     * it what it wakes up for.  done: the victim has nothing to do any more.
     */
    pid_t (*seize)(void *arg);
    bool (*done)(void *arg);

    /*
     * Another process that arrives in the middle: it starts while the victim stands where it will
     * be killed, and the kill comes when it sleeps or has returned.  It is companion number
     * `parked`.
     */
    int (*arrive)(void *arg);

    /*
     * The survivor after the death: NULL, or what is wrong.  finished: the operation was done.
     * It also gives the companions what they wait for.  When it returns, all of them must come
     * back within `bound` seconds; then the frame counts them, and who does not is a failure.
     */
    const char *(*check)(void *arg, bool finished);

    /*
     * If not NULL: a second victim is killed after each instruction of this, which meets what the
     * first one left; the first is killed at `spread` positions over its operation (0: 12).
     */
    void (*recovery)(void *arg);
    void (*before_recovery)(void *arg); /* NULL: it only becomes a member */
    int spread;

    /* After check(), and in any case: frees what set_up() made; may be NULL. */
    void (*tear_down)(void *arg);

    /*
     * A control of its own: check() leaves the recovery out and must find something, at some of
     * the positions, in every run.
     */
    bool must_fail;

    int stride;   /* 0 and 1: every instruction; n: every n-th */
    int quick;    /* stride of a quick run; 0: chosen by the frame */
    double bound; /* 0: TORTURE_BOUND; what else the slices promise */
    void *arg;
};

/* Blocks of the family's heap that are in use. */
size_t torture_blocks(void);

/* ---- in check() ------------------------------------------------------------------------------ */

/* Seconds that the survivor waited for what the victim left behind: the case's recovery time. */
void torture_waited(double seconds);

/*
 * The companions' times are counted from the death, or from the last call of this before they came
 * back: call it just before you give them what they wait for.
 */
void torture_mark(void);

/* Wait until n companions have returned, or so many seconds; how many have. */
int torture_back(int n, double seconds);

/*
 * Wait until each companion has returned or sleeps, so that none is on its way; how many have
 * returned.  For who must know whether one has taken what was there.
 */
int torture_settled(double seconds);

bool torture_is_back(int which);
int torture_result(int which); /* what park() or arrive() returned; only if it is back */

/* SIGKILL a companion and reap it: it is not waited for.  In set_up it has not started yet. */
void torture_kill(int which);

/* ---- in park() and arrive() ------------------------------------------------------------------ */

/*
 * Wait until the victim sleeps inside its operation; false: it was killed or is done.  For a
 * companion that wakes the victim, which is then killed on its way out of the wait.
 */
bool torture_victim_sleeps(void);

/* ---- storms: many at work, killed at random -------------------------------------------------- */

struct torture_storm {
    const char *name; /* "sync.lock.storm" */
    const char *commits;
    int workers;
    long kills, quick_kills; /* how many deaths */
    double pace;             /* mean seconds from one kill to the next; 0: 0.002 */

    /* The parent, before there are workers.  What workers share is in the family's heap. */
    void (*open)(void *arg);

    /* Worker number `which`, again and again: one short round, after which nothing is held. */
    void (*work)(void *arg, int which);

    /*
     * The parent.  doomed, if not NULL: the worker is stopped (SIGSTOP) and will be killed where it
     * stands; for storms that count whom they kill.  died: it is dead, another of the same number
     * will start next.  Either may be NULL.
     */
    void (*doomed)(void *arg, int which, pid_t pid);
    void (*died)(void *arg, int which, pid_t pid);

    /* The parent, when the rest have ended their rounds and are gone: NULL, or what is wrong. */
    const char *(*check)(void *arg, long kills);

    /*
     * The longest silence, a time in which no worker ended a round, counts as recovery time.
     * 0: TORTURE_BOUND, and what a machine takes that does other things too.
     */
    double silence;
    void *arg;
};

/* Pseudo-random, another sequence in each process: 0 .. below - 1. */
unsigned torture_random(unsigned below);

/* ---- giving them to a group ------------------------------------------------------------------- */

void torture_add_cases(const char *group, const struct torture_case *cases, size_t count);
void torture_add_storms(const char *group, const struct torture_storm *storms, size_t count);

/* One of them for each array; any number in a file. */
#define TORTURE_CASES(group, array)                                                                \
    __attribute__((constructor)) static void torture__give_##array(void)                           \
    {                                                                                              \
        torture_add_cases(#group, (array), sizeof(array) / sizeof *(array));                       \
    }

#define TORTURE_STORMS(group, array)                                                               \
    __attribute__((constructor)) static void torture__give_##array(void)                           \
    {                                                                                              \
        torture_add_storms(#group, (array), sizeof(array) / sizeof *(array));                      \
    }

#endif
