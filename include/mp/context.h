/*
 * mp/context.h: start methods, and the contexts that carry one.
 *
 * fork        the child is a copy of the parent
 * spawn       the child is the program run anew, with nothing inherited but what it is given
 * forkserver  a small server of the program, spawned once, forks the children on request: starts
 *             fast from a big parent, and safe from one with threads
 *
 * The default is fork; the environment variable MP_START_METHOD sets another default.
 *
 * Mirrors   multiprocessing.get_context, set_start_method, freeze_support ...
 * Threads   every call from any thread
 */
#ifndef MP_CONTEXT_H
#define MP_CONTEXT_H

#include <mp/error.h>
#include <mp/object.h>

typedef struct mp_context mp_context;
struct mp_barrier_options;

/* Run in the forkserver before it forks.  0, or an error: a code, with mp_last_error_text(). */
typedef int (*mp_preload)(void);

/* What it does when one of them fails. */
enum mp_preload_policy {
    MP_PRELOAD_IGNORE = 0,
    MP_PRELOAD_WARN, /* tells it on stderr, and goes on */
    MP_PRELOAD_FAIL  /* ends: the start that needed it fails with that error */
};

/*
 * How a context encodes what a process is given.  dump: o, borrowed, to bytes in memory of malloc();
 * load: bytes, from whoever sent them, to a new value equal to it.  0 or an error code.
 */
typedef struct mp_reducer {
    int (*dump)(mp_obj o, void **ret_data, size_t *ret_len);
    int (*load)(const void *data, size_t len, mp_obj *ret);
} mp_reducer;

MP_BEGIN_DECLS

/*
 * The first statement of main() in a program that uses spawn or forkserver: in a child that the
 * library started it runs the child's work and never returns; elsewhere it only notes the
 * arguments, which children get as theirs.  Does not choose a start method.
 *
 * A child whose main() comes to another call of libmp before this one ends with an explanation on
 * stderr, and mp_process_start() in the parent returns MP_ERUNTIME with the same.
 */
MP_API void mp_freeze_support(int argc, char **argv);

/*
 * The context of a start method: "fork", "spawn" or "forkserver".  NULL gives the active one, and
 * fixes the default if none was chosen.  Contexts live for ever.  NULL with MP_EVALUE: no such
 * method.
 */
MP_API const mp_context *mp_get_context(const char *method);

/*
 * The chosen method's name.  When none is chosen yet: NULL with allow_none, else the default,
 * which is thereby chosen.
 */
MP_API const char *mp_get_start_method(bool allow_none);

/*
 * Choose for the whole program; once, unless force.  method NULL with force un-chooses, without
 * it chooses the default.  0; MP_EVALUE (no such method); MP_ERUNTIME (chosen already).
 */
MP_API int mp_set_start_method(const char *method, bool force);

/* Usable methods, the default first, ended by NULL; static. */
MP_API const char *const *mp_get_all_start_methods(void);

/* The name that is used when the program chooses none. */
MP_API const char *mp_default_start_method(void);

/* The method of a context; of NULL, the global one. */
MP_API const char *mp_context_get_start_method(const mp_context *ctx);

/* As mp_get_context(); with method NULL ctx itself. */
MP_API const mp_context *mp_context_get_context(const mp_context *ctx, const char *method);

/* A context keeps its method: MP_EVALUE, whichever it is.  ctx NULL: mp_set_start_method(). */
MP_API int mp_context_set_start_method(const mp_context *ctx, const char *method);

/* The three contexts; mp_get_context() with their names. */
MP_API const mp_context *mp_context_fork(void);
MP_API const mp_context *mp_context_spawn(void);
MP_API const mp_context *mp_context_forkserver(void);

/*
 * Replace the encoding of what ctx gives to the processes that it starts: arguments and user data.
 * dump() runs in mp_process_start(), load() in the child, which finds it as it finds its target;
 * both may call mp_obj_dump() and mp_obj_load(), with handles, connections and descriptors in the
 * value, and do more to their bytes.  What they return is the error of the start.
 *
 * ctx NULL: of all contexts, as in Python.  reducer NULL: the library's own again.  Copied; counts
 * for starts from now on, of this process and of those that it forks; a spawned child sets its own.
 * Under fork nothing is encoded, and nothing of this is called.  Queues, pipes and pools have
 * pickles, whatever is set here; for types of your own in them: mp_register_type().
 * 0; MP_EVALUE: one function of the two.
 *
 * The other fills in *ret with what is set; ctx NULL: of the context in use.  MP_NOT_YET: nothing is,
 * *ret is zero.
 */
MP_API int mp_context_set_reducer(const mp_context *ctx, const mp_reducer *reducer);
MP_API int mp_context_get_reducer(const mp_context *ctx, mp_reducer *ret);

/*
 * Whether this thread is encoding what a child is to be given under spawn or forkserver: in functions
 * of mp_register_type() and mp_context_set_reducer() that means that connections, descriptors and
 * shared objects may go along.
 */
MP_API bool mp_is_spawning(void);

/*
 * What Python's contexts make, as mp_lock_new() and so on; processes, queues and values have theirs
 * in their own headers.  All but a process is the same for every start method, so ctx makes no
 * difference.
 */
MP_API mp_lock *mp_context_lock(const mp_context *ctx);
MP_API mp_rlock *mp_context_rlock(const mp_context *ctx);
MP_API mp_semaphore *mp_context_semaphore(const mp_context *ctx, int64_t value);
MP_API mp_semaphore *mp_context_bounded_semaphore(const mp_context *ctx, int64_t value);
MP_API mp_condition *mp_context_condition(const mp_context *ctx, mp_rlock *lock);
MP_API mp_event *mp_context_event(const mp_context *ctx);
MP_API mp_barrier *mp_context_barrier(const mp_context *ctx, int parties,
                                      const struct mp_barrier_options *options);
MP_API int mp_context_pipe(const mp_context *ctx, mp_connection **ret_a, mp_connection **ret_b,
                           bool duplex);

/*
 * The functions that the forkserver runs once, one after the other, before it forks: what they
 * load, open and compute all its children have.  They must leave no thread.  Counts for servers
 * that are started from now on, of this process; n 0: none.  Output is flushed after them.
 * 0; MP_EVALUE (policy), MP_ETYPE (a NULL among them), MP_ENOTSUP (no function of the program).
 */
MP_API int mp_set_forkserver_preload(const mp_preload *functions, size_t n, int on_error);

/* Start the forkserver now if it does not run.  0, or as mp_process_start(). */
MP_API int mp_forkserver_ensure_running(void);

/*
 * Give a function a name by which spawned children find it, in place of its place in the program:
 * for functions that are in no file (made at run time), and on systems without a list of modules for
 * those of shared objects.  The child must have registered its own before mp_freeze_support(): the
 * one call that may stand before it.  0 (again, the same: too); MP_EVALUE (no name, one of more
 * than 255 bytes, another function's name), MP_ENOMEM.
 */
MP_API int mp_register_function(const char *name, void (*function)(void));

/* Does nothing, as in Python: connections always travel. */
MP_API void mp_allow_connection_pickling(void);

/*
 * The program that spawn runs; NULL: this program's own image, as it is by default.  It must be
 * the same program (functions are sent as places in it).  Checked at the next start.
 * 0, MP_ENOMEM.
 */
MP_API int mp_set_executable(const char *path);

/* The same as a path in memory that you free(); NULL with the error of looking for it. */
MP_API char *mp_get_executable(void);

/*
 * The arguments that spawn gives to it: those that mp_freeze_support() was called with.  In one
 * block that you free(), ended by NULL; NULL with MP_ENOMEM, or the error of looking for the
 * program.
 */
MP_API char **mp_spawn_command_line(void);

/*
 * Forbid fork in a process with several threads: what another thread was just changing stays half
 * changed in the child, and a lock it held stays held (not libmp's own).  mp_process_start() is
 * MP_ERUNTIME then.  Otherwise a warning is logged, once (mp/log.h).  Children have the setting
 * too.  Without this call the environment variable MP_FORK_STRICT decides: unset, "" or 0 is
 * false.  Returns 0.
 */
MP_API int mp_set_fork_strict(bool strict);

/* CPUs in the system, and those this process may use. */
MP_API int mp_cpu_count(void);
MP_API int mp_usable_cpu_count(void);

MP_END_DECLS

#endif
