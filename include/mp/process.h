/*
 * mp/process.h: functions that run in processes of their own.
 *
 *     static int f(const mp_args *args)
 *     {
 *         const char *name;
 *         mp_args_get(args, &name);
 *         printf("hello %s\n", name);
 *         return 0;
 *     }
 *     ...
 *     mp_process *p = mp_process_new(f, mp_args("bob"), NULL);
 *     mp_process_start(p);
 *     mp_process_join(p, MP_FOREVER);
 *     mp_process_free(p);
 *
 * Mirrors   multiprocessing.Process
 * Sharing   an mp_process belongs to the process that made it; only that one starts, joins and asks
 * Threads   every call from any thread, except mp_process_free(); several may join one process
 * Fork      a child of fork() has no children of its own yet, and may not use its parent's
 * Death     of the parent, by a signal, _exit() or exec: daemons end by SIGKILL, whichever thread
 *           started them; other children go on
 * Exit      at exit() the library ends daemons with SIGTERM and joins all other children
 */
#ifndef MP_PROCESS_H
#define MP_PROCESS_H

#include <sys/types.h>

#include <mp/context.h>
#include <mp/error.h>
#include <mp/object.h>

typedef struct mp_process mp_process;

/*
 * What a process runs.  Its result is the exit code, modulo 256; a negative MP_E code instead is
 * an uncaught exception: its name and text go to stderr and the exit code is 1.  Static functions
 * will do: under spawn and forkserver the function is sent as its place in the program or shared
 * object, and checked on arrival.  args is the child's, for as long as it runs.
 */
typedef int (*mp_target)(const mp_args *args);

enum mp_daemon { MP_DAEMON_INHERIT = 0, MP_DAEMON_YES = 1, MP_DAEMON_NO = -1 };

enum mp_process_group {
    MP_GROUP_INHERIT = 0,
    MP_GROUP_NEW,    /* a process group of its own: signals from the terminal pass it by */
    MP_GROUP_SESSION /* a session of its own, without a terminal */
};

/*
 * Zero what you do not set; NULL in place of the struct means all defaults.  Everything is copied.
 *
 * From cpus on they are attributes of the child, which it gets before its target runs, under every
 * start method; one that cannot be had is an error of mp_process_start(), and there is no child.
 * Paths are those of the process that starts it.  Under forkserver what is not set is the server's.
 */
typedef struct mp_process_options {
    const char *name;          /* NULL or "": Process-1, its second child Process-1:2 ...      */
    int daemon;                /* enum mp_daemon; 0: as the creating process                   */
    const mp_context *context; /* start method; NULL: the global one at the time of the start  */

    const int *cpus;  /* numbers of the processors it may run on; each must be usable (else     */
    size_t cpu_count; /* -EINVAL).  MP_ENOTSUP where the system has no such thing              */
    int nice;         /* added to the niceness; below 0 needs a privilege (-EACCES)             */
    int group;        /* enum mp_process_group                                                  */

    /* Limits; 0: as they are.  One beyond what the process may set is -EPERM. */
    uint64_t max_memory;      /* bytes of address space, not counting the family's heap        */
    uint64_t max_cpu_seconds; /* SIGXCPU then, and SIGKILL a second later                      */
    uint64_t max_files;       /* descriptors                                                   */

    const char *directory;          /* to run in                                               */
    const char *const *environment; /* "NAME=value" sets, "NAME" unsets; ended by NULL         */

    /* Files in place of descriptors 0, 1, 2.  NULL: /dev/null for 0, the parent's for 1 and 2.
       Output files are made, and emptied unless append; one path for both is one file.  For one that
       is a pipe the start waits until its other side is opened, a minute at most. */
    const char *stdin_path, *stdout_path, *stderr_path;
    bool append;

    uint64_t reserved[4]; /* must be 0, else MP_EVALUE                                         */
} mp_process_options;

/* Where a function was called from, or where it crashed. */
typedef struct mp_crash_frame {
    uintptr_t address;
    const char *function; /* "": not known */
    const char *module;   /* path of its file; "": not known */
    uint64_t offset;      /* in the function, else in the module's file */
} mp_crash_frame;

/* How a child died of SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGABRT; see mp_process_crash(). */
typedef struct mp_crash {
    int signal, code; /* the signal's number, and si_code: SEGV_MAPERR ... */
    pid_t pid;
    pid_t sender;       /* who sent it, perhaps the process itself (abort()); 0: a fault */
    bool has_address;   /* else the system told none */
    uintptr_t address;  /* that could not be reached; of SIGFPE and SIGILL: of the instruction */
    const char *target; /* "name in module" of the child's target */
    size_t frame_count; /* the crash first, then its callers as far as they could be told */
    const mp_crash_frame *frames;
    const char *text; /* all of it, in lines without an end */
} mp_crash;

MP_BEGIN_DECLS

/*
 * A process that is not started yet.  args is consumed, NULL for none.  target may be NULL: the
 * child then does nothing.  NULL with mp_last_error(): MP_EVALUE (bad option), MP_ENOMEM (args is
 * freed then).
 */
MP_API mp_process *mp_process_new(mp_target target, mp_args *args,
                                  const mp_process_options *options);

/* The same, with this start method; ctx NULL: the one of the options. */
MP_API mp_process *mp_context_process(const mp_context *ctx, mp_target target, mp_args *args,
                                      const mp_process_options *options);

/* Other arguments, before the start; consumed either way.  0, MP_ESTATE, MP_EVALUE (closed). */
MP_API int mp_process_set_args(mp_process *p, mp_args *args);

/* Those it has: in the parent until the start, in the child for as long as it runs.  NULL: none. */
MP_API const mp_args *mp_process_args(mp_process *p);

/*
 * What the child runs: its target with its arguments, or the function that was set instead, as
 * Python's subclasses have a run() of their own.  That is called with the child's own object, and
 * comes to the target by calling mp_process_run() there.  Its result is as a target's.
 *
 * mp_process_run() in the parent, before the start, runs it in the parent.  The result;
 * MP_ESTATE (started, or another's), MP_EVALUE (closed).
 */
typedef int (*mp_run)(mp_process *p);
MP_API int mp_process_set_run(mp_process *p, mp_run run); /* 0, MP_ESTATE, MP_EVALUE */
MP_API int mp_process_run(mp_process *p);

/*
 * A value that goes with the process: what is set before the start, its child has as that of
 * mp_current_process().  set consumes data; 0, MP_EVALUE, MP_ENOMEM.  Asked for it is borrowed.
 */
MP_API int mp_process_set_userdata(mp_process *p, mp_obj data);
MP_API mp_obj mp_process_userdata(mp_process *p);

/*
 * Let go of the object.  One that still runs goes on: it is reaped by a later call, and joined at
 * exit.  NULL is fine.  MP_EVALUE when it is no live process object, or the current process.
 */
MP_API int mp_process_free(mp_process *p);

/*
 * Start it; returns when the child has joined the family and found its target.  Flushes stdout and
 * stderr first.  On error there is no child, and the object can be started again.
 *   MP_ESTATE    started before; made by another process; or this process is a daemon, which may
 *                have no children
 *   MP_EVALUE    closed, or no live process object
 *   -EAGAIN, -ENOMEM, -EMFILE, -ENOENT ...   what the system says; the text says of what
 *   MP_ERUNTIME  the child ended before it reported: main() without mp_freeze_support(), another
 *                program or another build of it; the text says which
 *   MP_ENOTSUP   the heap or the target cannot be reached from a spawned process; cpus
 */
MP_API int mp_process_start(mp_process *p);

/*
 * Wait until it has ended.  0; MP_ETIMEOUT; MP_ESTATE (not started, or another's child);
 * MP_EVALUE (closed).  May be repeated.
 */
MP_API int mp_process_join(mp_process *p, double timeout);

/*
 * 1 from start until it has ended, else 0; MP_ESTATE for another's child; MP_EVALUE (closed).  A
 * child of the forkserver that did not end in order is 1, too, while that is stopped and has not
 * told how it ended.
 */
MP_API int mp_process_is_alive(mp_process *p);

/*
 * The exit code: 0 to 255, or minus the signal's number.
 * 0 with *ret_code set; MP_NOT_YET, not started or still running; -ECHILD: it ended, but somebody
 * else took its status (waitpid(-1), or SIGCHLD ignored); MP_EVALUE.
 */
MP_API int mp_process_exitcode(mp_process *p, int *ret_code);

/*
 * What a child that ended by SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGABRT left; the object's, until it
 * is freed.  The logger tells it as an error.  NULL: MP_ESTATE (it has not ended), MP_EVALUE (it
 * left none).
 *
 * It comes from a handler that the library installs in the children it starts, never elsewhere and
 * never where the program has one of its own; what the program installs later takes its place.  The
 * handler changes neither exit code nor core dump.  Callers are found by frame pointers: compile
 * with -fno-omit-frame-pointer to see them.  On Linux; elsewhere there are no frames.  There is no
 * report of a thread other than the first that has no room left on its stack.
 *
 * mp_crash_reports(false): children that are started from now on, and theirs, have no such handler.
 * 1 or 0: whether they had one until now.
 */
MP_API const mp_crash *mp_process_crash(mp_process *p);
MP_API int mp_crash_reports(bool on);

/*
 * SIGTERM, SIGKILL, SIGINT to that process, not to its children.  0 also when it has ended already;
 * MP_ESTATE when it was not started; MP_EVALUE (closed); -EPERM.
 */
MP_API int mp_process_terminate(mp_process *p);
MP_API int mp_process_kill(mp_process *p);
MP_API int mp_process_interrupt(mp_process *p);

/* Release what it holds; only its name stays.  MP_ESTATE while it runs.  Twice is fine. */
MP_API int mp_process_close(mp_process *p);

/* The pid; 0 before the start; MP_EVALUE (closed). */
MP_API pid_t mp_process_pid(mp_process *p);
MP_API pid_t mp_process_ident(mp_process *p); /* the same */

/* A descriptor that is readable once the process has ended; still the object's.  MP_EVALUE before
   the start and when closed. */
MP_API int mp_process_sentinel(mp_process *p);

/* The object's, until it is freed or named anew; NULL: MP_EVALUE. */
MP_API const char *mp_process_name(mp_process *p);
MP_API int mp_process_set_name(mp_process *p, const char *name);

/* Which child of which: "2", and "2:1" for its first; "" for the main process.  NULL: MP_EVALUE. */
MP_API const char *mp_process_identity(mp_process *p);

/*
 * "<Process name='Process-1' pid=12 parent=10 stopped exitcode=-SIGKILL daemon>", as Python writes
 * it, in memory of malloc().  NULL: MP_EVALUE, MP_ENOMEM.
 */
MP_API char *mp_process_repr(mp_process *p);

/*
 * The key by which processes that talk over sockets know each other: 32 random bytes in the main
 * process; each new process object has that of the process that makes it, and its child has it too.
 * Setting that of mp_current_process() counts for those made later.  Closed ones keep theirs.
 * The bytes are the object's, until they are set anew or it is freed; NULL: MP_EVALUE, MP_ESTATE
 * (the parent's).  set: 0, MP_EVALUE, MP_ENOMEM.
 */
MP_API const void *mp_process_authkey(mp_process *p, size_t *ret_len);
MP_API int mp_process_set_authkey(mp_process *p, const void *key, size_t len);

/* 1 or 0.  Setting it after the start is MP_ESTATE. */
MP_API int mp_process_daemon(mp_process *p);
MP_API int mp_process_set_daemon(mp_process *p, bool daemon);

/*
 * This process; its name is "MainProcess" unless the library started it.  Always the same object,
 * never freed.
 */
MP_API mp_process *mp_current_process(void);

/* The process that started this one: pid and name can be asked.  NULL in the main process. */
MP_API mp_process *mp_parent_process(void);

/*
 * The children that run, in memory of malloc() that you free (the processes stay theirs).
 * *ret_count how many; ended ones are reaped on the way.  NULL with MP_ENOMEM.
 */
MP_API mp_process **mp_active_children(size_t *ret_count);

/* End this process, a child of the library, at once but in order: as if its target returned code.
   In another process it is exit(code). */
MP_API MP_NORETURN_ATTR void mp_exit(int code);

/* The same with a text, as Python's sys.exit("text"): it goes to stderr with a newline; code 1. */
MP_API MP_NORETURN_ATTR void mp_exit_message(const char *text);

/*
 * End this child as an uncaught exception ends a Python child: "Process NAME:" and the text on
 * stderr, exit code 1.
 */
MP_API MP_NORETURN_ATTR void mp_fail(const char *format, ...) MP_PRINTF(1, 2);

MP_END_DECLS

#endif
