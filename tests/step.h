/*
 * step.h: killing a process after each single instruction of an operation.
 *
 * A victim is a forked child that stops itself before the operation, is led through it instruction
 * by instruction with ptrace(), and is killed wherever the test wants; a system call counts as one
 * instruction.  The survivor, the process that led it, then looks at what is left.
 *
 * step_family() gives a test a process with a family of its own, so that what a killed victim may
 * rightly lose (a block that malloc() had not yet returned) is not the test program's loss.
 */
#ifndef STEP_H
#define STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Whether this system and build let us; if not, the test is to be skipped. */
bool step_possible(void);

/* ---- one victim ------------------------------------------------------------------------------ */

struct step {
    pid_t pid;
    bool finished; /* it has come to the end of the operation */

    /* Of one that was seized; else NULL. */
    bool (*done)(void *arg);
    void *arg;
};

/* A child that ran before(arg), which may be NULL, and stands before operation(arg). */
void step_begin(struct step *s, void (*before)(void *), void (*operation)(void *), void *arg);

/*
 * Or another's child, which sleeps: it is held where it is.  It has come to its end when done(arg)
 * and it does not move.  Not for a child of this process, which would take its end for a stop.
 */
void step_seize(struct step *s, pid_t pid, bool (*done)(void *), void *arg);

/* Lead it n instructions on.  False when it came to the end; it is then stopped there. */
bool step_on(struct step *s, long n);

/* SIGKILL and reap it. */
void step_kill(struct step *s);

/* ---- all victims of an operation ------------------------------------------------------------- */

/* Where a victim is to be killed. */
struct step_at {
    long which;  /* number of the position, of step_result's; -1: it is led to its end */
    long first;  /* instructions of the first victim */
    long second; /* of the second one; -1: there is none */
};

struct step_case {
    const char *name;
    void (*set_up)(void *arg);    /* the survivor, before each victim; may be NULL */
    void (*before)(void *arg);    /* the victim, not yet led; may be NULL */
    void (*operation)(void *arg); /* the victim, until it is killed */
    /*
     * If not NULL: the victim is seized, as step_seize() says: this tells who it is, and `operation`
     * is called by the survivor, when it is held: what follows is the victim's operation.
     */
    pid_t (*seize)(void *arg);
    bool (*done)(void *arg);
    /* The survivor after the death: NULL, or what is wrong.  finished: the operation was done. */
    const char *(*check)(void *arg, bool finished);
    /*
     * If not NULL: a second victim is killed after each instruction of this, which meets what the
     * first one left; the first is killed at `spread` positions over its operation.
     */
    void (*recovery)(void *arg);
    void (*before_recovery)(void *arg); /* NULL: as before */
    int spread;
    int stride; /* 0 and 1: every instruction; n: every n-th */
    /*
     * If not NULL: a number that is another one when what others see has changed.  All positions near
     * an instruction that changed it, and near a system call, are taken, and of the rest, which leave
     * the same behind, every far-th.
     */
    uint64_t (*state)(void *arg);
    int far;
    bool go_on; /* count what is wrong and go on: a control, which must find something */
    void *arg;

    /* What a frame does around it, all in the survivor and any of them NULL. */
    void (*begun)(void *arg, pid_t victim);  /* it stands before its operation */
    void (*stands)(void *arg, pid_t victim); /* it stands where it will be killed */
    void (*killed)(void *arg);               /* it has been reaped */
    void (*at)(void *arg, const struct step_at *at);
    void (*led)(void *arg); /* some instructions further on the first way through an operation */
    long from;              /* positions to leave out: another run had them */
    long most;              /* positions in all, about, spread over the operation; 0: all of them */
};

struct step_result {
    long positions; /* victims killed inside */
    long wrong;     /* times that check() found something, or set_up()'s survivor could not go on */
};

/*
 * Kill at every position and check.  The first thing wrong is told on stderr, with its position,
 * and ends it, unless go_on.  In a loop of more than eight rounds (a spin, a long memcpy) only
 * the first eight and then every 37th instruction is a position: the rounds are alike.
 */
struct step_result step_all(const struct step_case *c);

/* ---- measuring ------------------------------------------------------------------------------- */

/*
 * Seconds that survivors waited for what a victim left behind.  Few of thousands may be longer
 * than `bound`, when the machine did something else.
 */
struct step_waits {
    long count, long_ones;
    double bound, longest;
};
void step_waited(struct step_waits *w, double seconds);
const char *step_waits_wrong(const struct step_waits *w);

/* ---- a family of its own --------------------------------------------------------------------- */

/*
 * Run body(arg) in a child of fork(); it makes its own family with its first call of libmp, so the
 * program must not have one (MP_TEST_MAIN_NO_FAMILY).  The child says by step_fail() what is
 * wrong.  Its exit code, or minus the signal that ended it; 0 is good.
 */
int step_family(void (*body)(void *), void *arg);

#endif
