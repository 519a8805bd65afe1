/*
 * process/process.h: what the files of this room share.
 *
 * process.c      the public calls
 * children.c     the list of this process's children, reaping, and the end of a process
 * child.c        the life of a child, from its first instruction in the library to its exit
 * exit.c         the order of a process's end; see finalize.h for what takes part in it
 * logger.c       the public calls on the logger
 * launch.c       what a spawned or served child is sent, and its answer
 * popen_*.c      one start method each, behind struct mp__popen
 * forkserver.c   the server's side
 * context.c      start methods and contexts
 * factories.c    what contexts make
 * properties.c   what is told of a process, and to it; authkey.c: its key
 * attributes.c   what a child is given before its target runs
 * resource_tracker.c  the resource tracker, see tracker.h
 * crash.c        what it leaves when it dies of a fault; crash_report.c: in words
 */
#ifndef MP_PROCESS_PROCESS_H
#define MP_PROCESS_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include <mp/process.h>

#include "base/deadline.h"
#include "heap/member.h"

enum mp__state { MP__INITIAL, MP__STARTING, MP__STARTED, MP__ENDED, MP__CLOSED };

/*
 * Private to one process.  exitcode, seen, lost, dead, detached, held, waiters, next and back change under
 * the children's mutex (children.c), and so does state from STARTED on; INITIAL becomes STARTING by
 * CAS, so that one of several starts wins, and that one sets the rest.
 */
struct mp_process {
    _Atomic enum mp__state state;
    pid_t owner; /* the process that made the object */
    pid_t pid;
    char *name;
    bool name_is_ours; /* to free; else it lies with the object */
    char *identity;    /* "1", "1:2": child indices from the main process; "" for it; the same */
    bool daemon;
    bool foreign;                 /* an object that only tells about another process (the parent) */
    bool seen;                    /* a waiter saw its end, and exitcode is set: poll need not ask */
    bool lost;                    /* ended, but somebody else took the status */
    bool detached;                /* freed by the user while it ran */
    bool end_called, join_called; /* at the end of this process; once each */
    unsigned held;                /* threads at the end of this process, for which it stays */
    unsigned waiters; /* threads that sleep on the sentinel, which stays open for them */
    int exitcode;
    uint64_t ticket;           /* crash.h: what a crash is told by */
    pid_t reporter;            /* crash.c, in a child: who reports by it */
    volatile int missed;       /* crash.c: a signal's number */
    struct mp__crash *crash;   /* what it left, NULL */
    const mp_context *context; /* NULL: the global one at the start */
    mp_target target;
    mp_args *args;
    mp_run run;                        /* in place of the target, NULL */
    mp_args *userdata;                 /* one value, NULL: none */
    struct mp__authkey *authkey;       /* authkey.c; of the main process NULL until asked for */
    struct mp__attributes *attributes; /* attributes.h; NULL: none */
    const struct mp__popen *popen;     /* from the start on */
    int sentinel;                      /* readable when it has ended; -1 before the start */
    bool sentinel_is_pidfd;
    uint32_t started; /* of a child of ours without a pidfd: as of mp__plat_start_time() */
    int start_pipe;   /* in a child whose sentinel is a pipe or socket: the end it keeps; else -1 */
    pid_t server;     /* popen_forkserver: who forked it, and reaps it */
    int verdict; /* popen_forkserver: where the server tells its end, if not on the sentinel; else -1 */
    bool dead;    /* its sentinel says so, and its exit code is waited for there */
    int lifeline; /* of a daemon, children.c: in its parent the writing end, in itself the other */
    mp_process *next, *back;
    mp_process *line_next, *line_back;
};

/* One start method. */
struct mp__popen {
    const char *method;
    /* Start p: set pid and sentinel.  0 or an error with text, and no child.  popen_fork's child
       does not return. */
    int (*launch)(mp_process *p);
    /* Under the children's mutex: 1 when it has ended (exitcode or lost is set), 0. */
    int (*poll)(mp_process *p);
    /* Under the children's mutex, of a process that was not reaped: 0 or -errno. */
    int (*signal)(mp_process *p, int signal_number);
};

extern const struct mp__popen mp__popen_fork, mp__popen_spawn, mp__popen_forkserver;

struct mp_context {
    const char *name;
    const char *process_prefix; /* of default names: "ForkProcess" */
    const struct mp__popen *popen;
};

/* context.c: before a fork: warn of this process's threads; MP_ERUNTIME where that is forbidden. */
int mp__context_check_threads(const char *child);

/* context.c: whether mp_set_fork_strict() was called, and with what: -1, 0, 1. */
int mp__fork_strict(void);
void mp__fork_strict_adopt(int strict);

/* context.c: the reducer of a start method; false: there is none. */
bool mp__context_reducer(const struct mp__popen *method, mp_reducer *ret);

/* The context a process starts with when it has none of its own; fixes the global choice. */
const mp_context *mp__context_in_use(void);

const mp_context *mp__context_of(const struct mp__popen *method);

/* In a child: the global choice is the method it was started with. */
void mp__context_pin(const struct mp__popen *method);

/* ---- children.c ------------------------------------------------------------------------------ */

/* p was launched: it is STARTED now, and in the list. */
void mp__children_add(mp_process *p);
void mp__children_lock(void);
void mp__children_unlock(void);

/* Under the mutex: ask the system, and note an end.  Whether it has ended. */
bool mp__children_poll(mp_process *p);

/* The same for who may have seen its sentinel: waits, without the mutex, for the exit code of one that
   is dead. */
bool mp__children_ended(mp_process *p);

/* Wait for the end of a started process.  0 or MP_ETIMEOUT, without text. */
int mp__children_wait(mp_process *p, mp__deadline until);

/* Reap those that ended and whose object the user freed already. */
void mp__children_sweep(void);

/*
 * The lifeline of a daemon that is about to be started: a pipe on which nothing is written, whose
 * writing end only this process has.  The reading end, for the daemon alone; or an error with text.
 */
int mp__children_lifeline(mp_process *p);
void mp__children_cut(mp_process *p); /* and the daemon ends, if it runs */

/* waitpid's part of popen_fork and popen_spawn: as mp__popen.poll. */
int mp__children_poll_pid(mp_process *p);
int mp__children_signal_pid(mp_process *p, int signal_number);

/* Whether the system has pidfds to see the end of a process by. */
bool mp__children_have_pidfds(void);

/* Close the sentinel of a process that ended, as soon as nobody sleeps on it; under the mutex. */
void mp__children_close_sentinel(mp_process *p);

/* Free the object's memory and descriptors. */
void mp__process_destroy(mp_process *p);

/* At the end of a process: end daemons, then join all. */
void mp__children_end(void);

/* exit.c: the end of a process in order, and leave the family. */
void mp__process_shutdown(void);

/* Stop helper processes and reap what the user let go of; for tests that count. */
void mp__process_settle(void);

/* Register the exit handler and fork hooks, once. */
int mp__process_init(void);

/* ---- logger.c -------------------------------------------------------------------------------- */

/* What a child is told of its parent's logger. */
struct mp__logger_birth {
    int32_t level;
    uint8_t on; /* 0: there is none, 1: there is, 2: on stderr */
};
void mp__logger_describe(struct mp__logger_birth *ret);
void mp__logger_adopt(const struct mp__logger_birth *b);

/* ---- child.c --------------------------------------------------------------------------------- */

/* What a child is told about itself. */
struct mp__birth {
    const struct mp__popen *method;
    const char *parent_name; /* lives as long as the child */
    pid_t parent_pid;
    uint32_t parent_start; /* 0: not known, or not needed */
    bool parent_is_os_parent;
    bool has_stdin;  /* descriptor 0 is what it is to be */
    bool null_stdin; /* ... for it was /dev/null in the parent, whose stream is copied */
};

/* Be the child p describes: never returns. */
void mp__child_main(mp_process *p, const struct mp__birth *birth) MP_NORETURN_ATTR;

/* In a child forked ahead: touch what its life will touch. */
void mp__child_warm(void);

/* Descriptor 0 is /dev/null from now on.  copied: and the stream is a copy of the parent's: what that
   had read ahead is the parent's. */
void mp__child_give_up_stdin(bool copied);
void mp__child_forget_stdin(bool copied); /* only that: descriptor 0 is another file now */

/* This process's own object. */
mp_process *mp__process_self(void);
void mp__process_know_pid(void); /* it has it */

/* What it runs; see mp_process_run(). */
int mp__process_run(mp_process *p);

/* The pid of the process that started this one; 0 in the main process. */
pid_t mp__process_parent_pid(void);

/* ---- authkey.c ------------------------------------------------------------------------------- */

int mp__authkey_inherit(mp_process *p); /* this process's.  0 or an error with text */
int mp__authkey_adopt(mp_process *p, const void *key, size_t len);
/* The key of a process that was not started; it stays, whatever another thread sets, until unref. */
struct mp__authkey *mp__authkey_hold(mp_process *p, const void **ret_key, size_t *ret_len);
void mp__authkey_unref(struct mp__authkey *k); /* NULL is fine */

/* Whether the process that mp_parent_process() tells of has ended. */
bool mp__parent_ended(const mp_process *p);

/* What mp_freeze_support() was called with; NULL when it was not. */
char **mp__program_argv(void);

/* ---- popen_spawn.c --------------------------------------------------------------------------- */

void mp__spawn_lock(void); /* held across fork */
void mp__spawn_unlock(void);
void mp__spawn_forked(void); /* in a child of fork: forget the starts that were under way */

/* ---- popen_forkserver.c ---------------------------------------------------------------------- */

void mp__forkserver_stop(void);   /* and reap it; no-op when there is none of ours */
void mp__forkserver_forked(void); /* in a child of fork: it is the parent's, forget it */
void mp__forkserver_lock(void);
void mp__forkserver_unlock(void);

#endif
