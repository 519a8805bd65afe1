/*
 * mp/resource_tracker.h: named things of the system that outlive their processes, and who removes
 * them when nobody else did.
 *
 *     int fd = shm_open("/frames", O_CREAT | O_EXCL | O_RDWR, 0600);
 *     mp_resource_tracker_register("/frames", "shared_memory");
 *     ...
 *     shm_unlink("/frames");
 *     mp_resource_tracker_unregister("/frames", "shared_memory");
 *
 * What libmp makes by itself has no name and needs none of this: no tracker runs until one of these
 * calls wants it.  Then it is a helper process, the clients' end of a pipe away.  It ends when that
 * pipe has no client any more, however the clients ended; then it unlinks what is registered still,
 * and says so on stderr, once for each type:
 *
 *     FILE:LINE: UserWarning: resource_tracker: There appear to be 1 leaked shared_memory objects to
 *     clean up at shutdown: {'/frames'}                                        (in one line)
 *
 * Types     "shared_memory"  shm_unlink(), the name as shm_open() had it, with its slash
 *           "semaphore"      sem_unlink(), likewise
 *           "dummy"          nothing is unlinked, and no warning; it counts as a leak
 *           "noop"           for probes: what is left of it cannot be unlinked
 *           any other is sent, and reported by the tracker as a malformed request
 * Related   Children have the tracker of the process that started them, if it had one then: fork
 *           and the other methods alike.  One that starts the first tracker itself has it for itself
 *           and its own children; so call mp_resource_tracker_ensure_running() before you start
 *           children that hand names on.  A child of a plain fork() is no client: its copy of the
 *           pipe is closed, it holds up nobody's end, and has a tracker of its own when it wants one.
 * Python    It is CPython's tracker, on its wire: a C program may use that of a Python program, and
 *           the other way round; see getfd and setfd below.
 * Signals   The tracker ignores SIGINT, SIGTERM, SIGHUP, SIGQUIT and SIGPIPE.  No call here changes
 *           the caller's mask or dispositions; none lets a signal handler run while it is at work.
 * Death     A line is written whole or not at all, so a process killed anywhere in these calls has
 *           registered its name or has not.  Kill between the making of a name and its registration,
 *           and it stays: register it first, then, and a name that was not made is an unlink that
 *           fails.  A tracker that was killed took along what it knew: the next call logs a warning
 *           (mp/log.h), once, and starts another.
 * Threads   every call from any thread; from a signal handler once the tracker runs, unless it may
 *           interrupt a start of a process, a fork() or mp_resource_tracker_stop() of its own thread
 * Exit      The end of a process in order lets go of the tracker, and waits for its end, at most a
 *           second.
 *
 * In a program that called mp_freeze_support() the tracker is the program's image run anew; in
 * another it is a child of fork(), which shares the program's pages as they were then.  It keeps
 * stderr, and no other descriptor of the program's.
 *
 * Mirrors   multiprocessing.resource_tracker
 */
#ifndef MP_RESOURCE_TRACKER_H
#define MP_RESOURCE_TRACKER_H

#include <mp/config.h>

/* What mp_resource_tracker_stop() tells: the exit code of the tracker. */
enum mp_resource_tracker_end {
    MP_TRACKER_CLEAN = 0,    /* all was unregistered */
    MP_TRACKER_LEAKED = 1,   /* something was left, and unlinked */
    MP_TRACKER_FAILED = 2,   /* what was left could not be unlinked, a part of it at least */
    MP_TRACKER_MALFORMED = 3 /* a request made no sense; nothing was left */
};

MP_BEGIN_DECLS

/*
 * See to it that a tracker runs: start one, or another one for one that was killed.
 * 0; -EMFILE, -ENFILE, -EAGAIN, -ENOMEM: what the system says; MP_ENOMEM.
 */
MP_API int mp_resource_tracker_ensure_running(void);

/*
 * Note a name, to be removed at the end; or forget it, when you have removed it yourself.  Both
 * start the tracker if need be.  Names of one type are a set: registered twice, one unregister
 * forgets it.  To forget what is not known is reported by the tracker, not here.
 *
 * Sent as Python's "REGISTER:NAME:TYPE"; a name with colons, line feeds or bytes beyond ASCII in
 * the newer form, which Python reads from 3.13.10 on.
 * 0; MP_EVALUE: NULL, a line of more than 512 bytes, a name of more than 255 that needs the newer
 * form, or a type that is no word (letters, digits, '_', '-', '.'); and as ensure_running.
 */
MP_API int mp_resource_tracker_register(const char *name, const char *type);
MP_API int mp_resource_tracker_unregister(const char *name, const char *type);

/*
 * The descriptor to which requests are written, after seeing to it that a tracker runs: for a
 * program that is to be its client too and that libmp does not start.  Give it on, as with
 * mp_spawnv_passfds(), whoever holds it keeps the tracker alive.  A Python program takes it by
 *     multiprocessing.resource_tracker._resource_tracker._fd = FD
 * It stays the library's: do not close it.  Good until the tracker is stopped or dies, and not in a
 * child of your own fork(): dup() it before, for that one.
 * Negative: as ensure_running.
 */
MP_API int mp_resource_tracker_getfd(void);

/*
 * Be a client of the tracker behind fd, which somebody else started: a Python parent, say, that
 * passed on its multiprocessing.resource_tracker.getfd().  fd is the library's from now on, and
 * becomes close-on-exec.  A tracker that was there before is let go.
 * 0; MP_EVALUE: no writing end of a pipe; fd is still yours then.
 */
MP_API int mp_resource_tracker_setfd(int fd);

/*
 * Let go of the tracker: from here on this process is no client.  If this process started it, wait
 * for its end, which comes when all other clients are gone too, and tell its exit code: one of
 * enum mp_resource_tracker_end, what is left counting more than what made no sense, or minus the
 * signal that killed it.  ret_exitcode may be NULL.
 * 0; MP_NOT_YET: there is none to wait for, none runs or another process started it; MP_ETIMEOUT:
 * others are its clients still, a second call waits on; -ECHILD: it ended, but somebody else took its
 * status; MP_EVALUE: NaN.
 */
MP_API int mp_resource_tracker_stop(double timeout, int *ret_exitcode);

MP_END_DECLS

#endif
