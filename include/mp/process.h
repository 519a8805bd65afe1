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

/* Zero what you do not set; NULL in place of the struct means all defaults. */
typedef struct mp_process_options {
    const char *name;          /* NULL or "": Process-1, its second child Process-1:2 ...      */
    int daemon;                /* enum mp_daemon; 0: as the creating process                   */
    const mp_context *context; /* start method; NULL: the global one at the time of the start  */
    uint64_t reserved[4];      /* must be 0, else MP_EVALUE                                    */
} mp_process_options;

MP_BEGIN_DECLS

/*
 * A process that is not started yet.  args is consumed, NULL for none.  target may be NULL: the
 * child then does nothing.  NULL with mp_last_error(): MP_EVALUE (bad option), MP_ENOMEM (args is
 * freed then).
 */
MP_API mp_process *mp_process_new(mp_target target, mp_args *args,
                                  const mp_process_options *options);

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
 *   MP_ENOTSUP   the heap or the target cannot be reached from a spawned process
 */
MP_API int mp_process_start(mp_process *p);

/*
 * Wait until it has ended.  0; MP_ETIMEOUT; MP_ESTATE (not started, or another's child);
 * MP_EVALUE (closed).  May be repeated.
 */
MP_API int mp_process_join(mp_process *p, double timeout);

/* 1 from start until it has ended, else 0; MP_ESTATE for another's child; MP_EVALUE (closed). */
MP_API int mp_process_is_alive(mp_process *p);

/*
 * The exit code: 0 to 255, or minus the signal's number.
 * 0 with *ret_code set; MP_NOT_YET, not started or still running; -ECHILD: it ended, but somebody
 * else took its status (waitpid(-1), or SIGCHLD ignored); MP_EVALUE.
 */
MP_API int mp_process_exitcode(mp_process *p, int *ret_code);

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

/* A descriptor that is readable once the process has ended; still the object's.  MP_EVALUE before
   the start and when closed. */
MP_API int mp_process_sentinel(mp_process *p);

/* The object's, until it is freed or named anew; NULL: MP_EVALUE. */
MP_API const char *mp_process_name(mp_process *p);
MP_API int mp_process_set_name(mp_process *p, const char *name);

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

/*
 * End this child as an uncaught exception ends a Python child: "Process NAME:" and the text on
 * stderr, exit code 1.
 */
MP_API MP_NORETURN_ATTR void mp_fail(const char *format, ...) MP_PRINTF(1, 2);

MP_END_DECLS

#endif
