/*
 * bench.h: the frame that all benchmarks stand on.
 *
 * A group is one program, made of <group>.c and of every <group>_*.c beside it: its cases, and its
 * contenders, of which each may have a file of its own that registers it (BENCH_CONTENDERS).  A
 * contender in another language is a co-process that is asked for one round at a time
 * (bench_add_peer).  The contenders of a case take turns in many short rounds, the order turning
 * too, so that what disturbs the machine disturbs all.
 *
 * Output    group TAB case TAB contender TAB value TAB unit TAB ratio to libmp
 *           value: the median of the rounds; ratio: the median of each round's quotient by libmp's
 *           missing contenders: value "missing", the reason for a unit, ratio "-"
 * Fails     when a contender breaks, or counts wrong; never for being slow
 */
#ifndef MP_BENCH_H
#define MP_BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The contender that all are compared with. */
#define BENCH_LIBMP "libmp"

struct bench_case {
    const char *name;
    const char *unit; /* "ns", "us" or "ms", of one operation */
    long most;        /* operations in a round at most; 0: as many as its time allows */
};

struct bench_contender {
    const char *of; /* the case */
    const char *name;
    void *(*open)(const void *with);        /* its state; NULL: none, and round gets `with` */
    double (*round)(void *state, long ops); /* nanoseconds of one operation */
    void (*close)(void *state);             /* NULL: nothing to close */
    const void *with;
};

/* Register a table of contenders before main(). */
#define BENCH_CONTENDERS(table)                                                                    \
    static __attribute__((constructor)) void bench_register_##table(void)                          \
    {                                                                                              \
        bench_add((table), sizeof(table) / sizeof *(table));                                       \
    }
void bench_add(const struct bench_contender *table, size_t count);

/* Say in every table that a contender is not here, and why. */
void bench_add_missing(const char *name, const char *why);

/*
 * A contender in another program, for all cases of the group that it knows.  It is started once as
 * `command script` (script: a file beside this one) and asked over its stdin, answering on stdout:
 *
 *     open TAB case TAB name             ok, none (it has no such case), or missing TAB reason
 *     round TAB case TAB name TAB ops    nanoseconds of one operation
 *     close TAB case TAB name            ok
 */
void bench_add_peer(const char *name, const char *command, const char *script);

/* Run the group: argv may have --seconds S (for the whole group) and --case PART_OF_A_NAME. */
int bench_main(int argc, char **argv, const char *group, const struct bench_case *cases,
               size_t count);

/* ---- for contenders ---------------------------------------------------------------------------*/

int64_t bench_now(void); /* nanoseconds, of the clock that all processes share */

/* The program ends with a message unless ok. */
void bench_check(bool ok, const char *what);

/* Zeroed memory shared with every process forked later. */
void *bench_shared(size_t size);
void bench_shared_free(void *memory, size_t size);

/*
 * A second process for contenders that need two.  side(state, which, ops) is the work of process
 * `which`, 0 or 1; state must be in shared memory or made before.
 */
typedef void bench_side(void *state, int which, long ops);
struct bench_pair;
struct bench_pair *bench_pair_open(bench_side *side, void *state);

/*
 * Both sides at the same time, on two CPUs where the system has them.  The nanoseconds from their
 * common start until both are done.
 */
int64_t bench_pair_round(struct bench_pair *pair, long ops);
void bench_pair_close(struct bench_pair *pair);

/* Inside the frame. */
bool bench_peer_open(const char *command, const char *script, const char *of, const char *name,
                     const char **ret_missing);
double bench_peer_round(const char *script, const char *of, const char *name, long ops);
void bench_peer_close(const char *script, const char *of, const char *name);

#endif
