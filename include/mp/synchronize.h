/*
 * mp/synchronize.h: locks between processes that no death can wedge.
 *
 * Mirrors   multiprocessing.Lock, multiprocessing.RLock
 * Sharing   a lock lives in the family's heap; its pointer is valid in every process of the family
 * Threads   works between threads of one process as well
 * Fork      a child forked while its parent holds a lock does not hold it
 * Death     the lock of a process that died goes to the next acquirer with MP_OWNER_DIED, within
 *           0.1 s.  A process that exits while it holds a lock counts as died.
 */
#ifndef MP_SYNCHRONIZE_H
#define MP_SYNCHRONIZE_H

#include <mp/error.h>
#include <mp/object.h>

MP_BEGIN_DECLS

/* A free lock, or NULL: MP_ENOMEM. */
MP_API mp_lock *mp_lock_new(void);

/* Give it back; nobody may use it any more.  NULL is fine.  MP_EVALUE when it is no live lock. */
MP_API int mp_lock_free(mp_lock *lock);

/*
 * Take the lock; Python: Lock.acquire(timeout=timeout).  Not recursive: the holder waits too.
 *   0              it is yours
 *   MP_OWNER_DIED  it is yours, and its holder died with it: repair what it guards
 *   MP_ETIMEOUT    not free in time
 *   MP_EVALUE      not a live lock, or the time-out is NaN
 */
MP_API int mp_lock_acquire(mp_lock *lock, double timeout);

/* Let go; any thread of any process may.  0, or MP_EVALUE: the lock is free, or no live lock. */
MP_API int mp_lock_release(mp_lock *lock);

/* 1 while anybody holds it, 0 when free, MP_EVALUE. */
MP_API int mp_lock_locked(mp_lock *lock);

/* A free recursive lock, or NULL: MP_ENOMEM. */
MP_API mp_rlock *mp_rlock_new(void);
MP_API int mp_rlock_free(mp_rlock *lock);

/* As mp_lock_acquire(), but the thread that holds it gets in again at once, one level deeper. */
MP_API int mp_rlock_acquire(mp_rlock *lock, double timeout);

/* Leave one level; the lock opens at the last.  0; MP_ESTATE when this thread does not hold it. */
MP_API int mp_rlock_release(mp_rlock *lock);
MP_API int mp_rlock_locked(mp_rlock *lock);

/* ---- MP_WITH ---------------------------------------------------------------------------------*/

/*
 * Python's `with lock:`
 *
 *     MP_WITH(lock) {
 *         ...
 *     }
 *
 * Takes an mp_lock or mp_rlock, waiting for ever, runs the block once and releases, however the
 * block is left: break, continue, return, goto or its end.  A lock that cannot be taken (not a
 * live one) leaves the block out, with mp_last_error() set.  Inside, mp_with_news() tells
 * MP_OWNER_DIED.  Needs a compiler with __attribute__((cleanup)): gcc, clang and their kin.
 */
typedef struct mp_with_guard {
    void *mp__lock;
    int mp__rlock; /* which of the two */
    int mp__run;   /* 1 until the block ran */
} mp_with_guard;

MP_API mp_with_guard mp_with_enter_lock(mp_lock *lock);
MP_API mp_with_guard mp_with_enter_rlock(mp_rlock *lock);
MP_API void mp_with_leave(mp_with_guard *guard);

/* What the latest acquisition by MP_WITH in this thread gave: 0 or MP_OWNER_DIED. */
MP_API int mp_with_news(void);

MP_END_DECLS

#if defined __GNUC__
#ifndef __cplusplus
#define MP__WITH_ENTER(lock)                                                                       \
    _Generic((lock), mp_lock * : mp_with_enter_lock, mp_rlock * : mp_with_enter_rlock)(lock)
#else
static inline mp_with_guard
MP__WITH_ENTER(mp_lock *lock)
{
    return mp_with_enter_lock(lock);
}
static inline mp_with_guard
MP__WITH_ENTER(mp_rlock *lock)
{
    return mp_with_enter_rlock(lock);
}
#endif
#define MP_WITH(lock)                                                                              \
    for (mp_with_guard __attribute__((cleanup(mp_with_leave)))                                     \
         MP__CAT(mp__guard_, __LINE__) = MP__WITH_ENTER(lock);                                     \
         MP__CAT(mp__guard_, __LINE__).mp__run; MP__CAT(mp__guard_, __LINE__).mp__run = 0)
#else
#define MP_WITH(lock) mp_with_needs_a_compiler_with_attribute_cleanup
#endif

#endif
