/*
 * process/process.h: what the files of this room share.
 *
 * process.c      the public calls
 * children.c     the list of this process's children, reaping, and the end of a process
 * child.c        the life of a child, from its first instruction in the library to its exit
 * launch.c       what a spawned or served child is sent, and its answer
 * popen_*.c      one start method each, behind struct mp__popen
 * forkserver.c   the server's side
 * context.c      start methods and contexts
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
 * Private to one process.  exitcode, lost, detached, waiters, next and back change under the
 * children's mutex (children.c), and so does state from STARTED on; INITIAL becomes STARTING by
 * CAS, so that one of several starts wins, and that one sets the rest.
 */
struct mp_process {
    _Atomic enum mp__state state;
    pid_t owner; /* the process that made the object */
    pid_t pid;
    char *name;
    bool name_is_ours; /* to free */
    char *identity;    /* "1", "1:2": child indices from the main process; "" for it */
    bool daemon;
    bool foreign;     /* an object that only tells about another process (the parent) */
    bool lost;        /* ended, but somebody else took the status */
    bool detached;    /* freed by the user while it ran */
    unsigned waiters; /* threads that sleep on the sentinel, which stays open for them */
    int exitcode;
    const mp_context *context; /* NULL: the global one at the start */
    mp_target target;
    mp_args *args;
    const struct mp__popen *popen; /* from the start on */
    int sentinel;                  /* readable when it has ended; -1 before the start */
    bool sentinel_is_pidfd;
    int start_pipe; /* in a child whose sentinel is a pipe or socket: the end it keeps; else -1 */
    pid_t server;   /* popen_forkserver: who forked it, and reaps it */
    mp_process *next, *back;
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

/* The context a process starts with when it has none of its own; fixes the global choice. */
const mp_context *mp__context_in_use(void);

/* In a child: the global choice is the method it was started with. */
void mp__context_pin(const struct mp__popen *method);

/* ---- children.c ------------------------------------------------------------------------------ */

/* p was launched: it is STARTED now, and in the list. */
void mp__children_add(mp_process *p);
void mp__children_lock(void);
void mp__children_unlock(void);

/* Under the mutex: ask the system, and note an end.  Whether it has ended. */
bool mp__children_poll(mp_process *p);

/* Wait for the end of a started process.  0 or MP_ETIMEOUT, without text. */
int mp__children_wait(mp_process *p, mp__deadline until);

/* Reap those that ended and whose object the user freed already. */
void mp__children_sweep(void);

/* waitpid's part of popen_fork and popen_spawn: as mp__popen.poll. */
int mp__children_poll_pid(mp_process *p);
int mp__children_signal_pid(mp_process *p, int signal_number);

/* Whether the system has pidfds to see the end of a process by. */
bool mp__children_have_pidfds(void);

/* Close the sentinel of a process that ended, as soon as nobody sleeps on it; under the mutex. */
void mp__children_close_sentinel(mp_process *p);

/* Free the object's memory and descriptors. */
void mp__process_destroy(mp_process *p);

/* At the end of a process: end daemons, join the others, stop the forkserver, leave the family. */
void mp__process_shutdown(void);

/* Stop helper processes and reap what the user let go of; for tests that count. */
void mp__process_settle(void);

/* Register the exit handler and fork hooks, once. */
int mp__process_init(void);

/* ---- child.c --------------------------------------------------------------------------------- */

/* What a child is told about itself. */
struct mp__birth {
    const struct mp__popen *method;
    const char *parent_name; /* lives as long as the child */
    pid_t parent_pid;
    bool parent_main_thread; /* started by its parent's first thread */
    bool parent_is_os_parent;
};

/* Be the child p describes: never returns. */
void mp__child_main(mp_process *p, const struct mp__birth *birth) MP_NORETURN_ATTR;

/* In a child forked ahead: touch what its life will touch. */
void mp__child_warm(void);

/* Descriptor 0 is /dev/null from now on.  copied: and the stream is a copy of the parent's: what that
   had read ahead is the parent's. */
void mp__child_give_up_stdin(bool copied);

/* This process's own object. */
mp_process *mp__process_self(void);

/* Whether the process that mp_parent_process() tells of has ended. */
bool mp__parent_ended(const mp_process *p);

/* What mp_freeze_support() was called with; NULL when it was not. */
char **mp__program_argv(void);

/* ---- popen_forkserver.c ---------------------------------------------------------------------- */

void mp__forkserver_stop(void);   /* and reap it; no-op when there is none of ours */
void mp__forkserver_forked(void); /* in a child of fork: it is the parent's, forget it */
void mp__forkserver_lock(void);
void mp__forkserver_unlock(void);

#endif
