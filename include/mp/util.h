/*
 * mp/util.h: what happens at the end of a process, and at the beginning of a child; and some small
 * helpers beside.
 *
 *     mp_finalize_new(NULL, remove_socket, path, 0);      remove_socket(path) at exit
 *
 * The end of a process (a child's target returns, or calls mp_exit(); another process returns from
 * main(), calls exit() or mp_shutdown()) goes in Python's order:
 *
 *     1  exit handlers (mp_atexit), the latest first
 *     2  finalizers with a priority of 0 or more: the highest first, of equals the newest
 *     3  daemons are sent SIGTERM, then all children are joined
 *     4  finalizers with a priority below 0, in the same order
 *
 * None of it happens when a signal ends the process, nor with _exit().
 *
 * Mirrors   multiprocessing.util; atexit
 * Sharing   all of it is this process's alone.  A child that the library started begins without
 *           its parent's exit handlers and finalizers; what mp_register_after_fork() noted before
 *           it was forked runs in it.
 * Threads   every call from any thread; no lock of the library is held while a callback runs
 */
#ifndef MP_UTIL_H
#define MP_UTIL_H

#include <limits.h>
#include <sys/types.h>

#include <mp/error.h>

/* A finalizer; numbers are never used again, so one that has run is simply known no more. */
typedef uint64_t mp_finalizer;

/* Not at exit: only with its object's end, or when called. */
#define MP_NO_PRIORITY INT_MIN

typedef void (*mp_callback)(void *arg);

MP_BEGIN_DECLS

/* ---- the end --------------------------------------------------------------------------------- */

/*
 * Call callback(arg) once: when obj ends, when mp_finalize_call() is called, or at exit unless
 * exitpriority is MP_NO_PRIORITY; whichever comes first.  obj is any address, or NULL for none.
 * Only in this process: a child of a plain fork() ignores it.
 * 0 with MP_EVALUE (no callback; neither obj nor priority), MP_ENOMEM.
 */
MP_API mp_finalizer mp_finalize_new(const void *obj, mp_callback callback, void *arg,
                                    int exitpriority);

/* Run it now.  0, also when it has run or was cancelled. */
MP_API int mp_finalize_call(mp_finalizer f);

/* Forget it.  0, also when there is nothing to forget. */
MP_API int mp_finalize_cancel(mp_finalizer f);

/* 1 when it has yet to run, else 0. */
MP_API int mp_finalize_still_active(mp_finalizer f);

/*
 * obj ends: run its finalizers, the newest first, and forget what mp_register_after_fork() noted
 * of it.  For your own objects; of a process, a connection or a pool that is freed the library
 * says so itself.  Returns 0.
 */
MP_API int mp_finalize_object(const void *obj);

/*
 * Call handler(arg) when this process ends in order.  Noted twice it runs twice.  0, MP_EVALUE,
 * MP_ENOMEM.
 */
MP_API int mp_atexit(mp_callback handler, void *arg);

/* Forget every note of this pair.  0, or MP_EKEY: there is none. */
MP_API int mp_atexit_unregister(mp_callback handler, void *arg);

/*
 * The end in order, now: all four steps.  They are done again at exit, for what has come since.
 * Returns 0.
 */
MP_API int mp_shutdown(void);

/* Whether the end in order has begun. */
MP_API bool mp_is_exiting(void);

/*
 * A directory of this program's, "pymp-..." in $TMPDIR or /tmp, made with the first call; children
 * have it too, and the process that made it removes it with all that is in it as the last step of
 * its end.  Do not free or change the text.  NULL with -errno.
 */
MP_API const char *mp_get_temp_dir(void);

/* ---- the beginning of a child ---------------------------------------------------------------- */

/*
 * Call function(obj) in every child that the library starts from here by fork, before its target,
 * in the order of these calls.  A negative result is logged (INFO) and ignored.  Under spawn and
 * forkserver a child starts with what was registered in it, before mp_freeze_support(), say.
 * 0, MP_EVALUE, MP_ENOMEM.
 */
MP_API int mp_register_after_fork(void *obj, int (*function)(void *obj));

/* Forget every note of this pair.  0, or MP_EKEY: there is none. */
MP_API int mp_unregister_after_fork(void *obj, int (*function)(void *obj));

/*
 * A lock among the threads of one process.  A child of any fork finds it free, whoever held it
 * in the parent.
 *   new      NULL with MP_ENOMEM
 *   free     NULL is fine; nobody may hold it
 *   acquire  0, or MP_ETIMEOUT when it does not block and is held
 *   release  0, or MP_ERUNTIME: it is not held
 */
typedef struct mp_fork_lock mp_fork_lock;
MP_API mp_fork_lock *mp_fork_lock_new(void);
MP_API int mp_fork_lock_free(mp_fork_lock *lock);
MP_API int mp_fork_lock_acquire(mp_fork_lock *lock, bool block);
MP_API int mp_fork_lock_release(mp_fork_lock *lock);

/*
 * One pointer for each thread, NULL at first; in a child of any fork NULL again.  destructor, which
 * may be NULL, is called with a thread's pointer when that thread ends, unless it is NULL.
 * Each takes one of the system's thread keys: -EAGAIN when there are no more.
 */
typedef struct mp_fork_local mp_fork_local;
MP_API mp_fork_local *mp_fork_local_new(mp_callback destructor);
MP_API int mp_fork_local_free(mp_fork_local *local); /* no thread uses it; calls no destructor */
MP_API void *mp_fork_local_get(mp_fork_local *local);
MP_API int mp_fork_local_set(mp_fork_local *local, void *value);

/* ---- descriptors and programs ---------------------------------------------------------------- */

/*
 * Close every descriptor but these, libmp's own included: for a process that runs something else
 * from here on.  0, MP_EVALUE (a negative descriptor), MP_ENOMEM.
 */
MP_API int mp_close_all_fds_except(const int *fds, size_t count);

/*
 * Run the program at path with these descriptors, 0, 1 and 2, and no others.  The pid, yours to
 * wait for; or MP_EVALUE, MP_ENOMEM, -errno, also of the exec.
 */
MP_API pid_t mp_spawnv_passfds(const char *path, char *const argv[], const int *fds, size_t count);

/* Whether a socket's address of len bytes is in Linux's abstract namespace: begins with NUL. */
MP_API bool mp_address_is_abstract(const void *address, size_t len);

MP_END_DECLS

#endif
