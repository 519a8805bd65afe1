/*
 * mp/synchronize.h: locks between processes that no death can wedge.
 *
 * Mirrors   multiprocessing.Lock, RLock, Semaphore, BoundedSemaphore; and below, with manuals of
 *           their own, Condition, Event, Barrier
 * Sharing   a lock lives in the family's heap; its pointer is valid in every process of the family
 * Threads   works between threads of one process as well.  What a thread held that ended is still
 *           held, until its process ends
 * Fork      a child forked while its parent holds a lock does not hold it
 * Exec      what a process held that replaced itself by exec() may be held until that program ends
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

/* ---- Semaphore -------------------------------------------------------------------------------*/

/*
 * A number of units that any process takes and gives back; Python: Semaphore, BoundedSemaphore.
 *
 * A bounded semaphore is of the same type; its value never gets above what it began with.  All
 * calls take either kind; those of mp_bounded_semaphore_ are the same ones by Python's name.
 *
 * Owner     none: who gives a unit back need not have taken one
 * Waiters   as many as you like; a unit goes to whoever comes first, not to who waits longest
 * Death     as in Python, the unit of a process that dies is gone, unless it was taken with
 *           mp_semaphore_acquire_undo().  A waiter that is killed costs nobody a wake-up
 */
typedef mp_semaphore mp_bounded_semaphore;

#define MP_SEM_VALUE_MAX 2147483647

/*
 * A semaphore of `value` units, which may grow up to MP_SEM_VALUE_MAX; Python's default is 1.
 * NULL: -EINVAL for a negative value, MP_EOVERFLOW above MP_SEM_VALUE_MAX, MP_ENOMEM.
 */
MP_API mp_semaphore *mp_semaphore_new(int64_t value);

/* The same, and `value` is the most it may have: 0 makes one that can never be released. */
MP_API mp_semaphore *mp_bounded_semaphore_new(int64_t value);

/* Give it back; nobody may use it any more.  NULL is fine.  MP_EVALUE: it is no live semaphore. */
MP_API int mp_semaphore_free(mp_semaphore *semaphore);

/*
 * Take a unit, waiting for one; Python: Semaphore.acquire(timeout=timeout).
 *   0            it is yours
 *   MP_ETIMEOUT  none came free in time
 *   MP_EVALUE    not a live semaphore, or the time-out is NaN
 */
MP_API int mp_semaphore_acquire(mp_semaphore *semaphore, double timeout);

/*
 * The same, and the unit comes back when this process dies before it gives it back: within 0.1 s,
 * for whoever waits or asks.  Python has no such thing.  Also MP_ENOMEM: no memory to note it.
 *
 * The note is the process's, not the thread's.  mp_semaphore_release() by any of its threads takes
 * back one such note, if there are any.  A release by another process does not: when this one dies
 * the unit comes back once more, but never to more than a semaphore's maximum.  A process that
 * exits counts as died.  Costs a lock inside the library: some 20 times a plain acquire, and a
 * plain acquire of the same semaphore still costs what it did.
 */
MP_API int mp_semaphore_acquire_undo(mp_semaphore *semaphore, double timeout);

/*
 * Give one unit back; any process may.  0, or MP_EVALUE: it has its maximum (MP_SEM_VALUE_MAX, or
 * what a bounded one began with), or is no live semaphore.
 */
MP_API int mp_semaphore_release(mp_semaphore *semaphore);

/* The units that are free now, or MP_EVALUE. */
MP_API int mp_semaphore_get_value(mp_semaphore *semaphore);

/* 1 when no unit is free, else 0; MP_EVALUE. */
MP_API int mp_semaphore_locked(mp_semaphore *semaphore);

MP_API int mp_bounded_semaphore_free(mp_bounded_semaphore *semaphore);
MP_API int mp_bounded_semaphore_acquire(mp_bounded_semaphore *semaphore, double timeout);
MP_API int mp_bounded_semaphore_acquire_undo(mp_bounded_semaphore *semaphore, double timeout);
MP_API int mp_bounded_semaphore_release(mp_bounded_semaphore *semaphore);
MP_API int mp_bounded_semaphore_get_value(mp_bounded_semaphore *semaphore);
MP_API int mp_bounded_semaphore_locked(mp_bounded_semaphore *semaphore);

/* ---- what they print as ----------------------------------------------------------------------*/

/*
 * Python's repr(), into your buffer as snprintf() does it: at most size bytes with the ending NUL
 * (buf may be NULL when size is 0), and the length of the whole text is returned, or MP_EVALUE.
 *
 *     <Lock(owner=None)>               <RLock(None, 0)>
 *     <Lock(owner=MainProcess)>        <RLock(MainProcess, 2)>
 *     <Lock(owner=SomeOtherThread)>    <RLock(SomeOtherProcess, nonzero)>
 *     <Semaphore(value=3)>             <BoundedSemaphore(value=3, maxvalue=4)>
 *
 * The owner is told by name when it is this thread: the current process's name (its first 255
 * bytes), and unless this is the process's first thread "|Thread-" and the thread's number.
 */
MP_API int mp_lock_repr(mp_lock *lock, char *buf, size_t size);
MP_API int mp_rlock_repr(mp_rlock *lock, char *buf, size_t size);
MP_API int mp_semaphore_repr(mp_semaphore *semaphore, char *buf, size_t size);

/* ---- Condition -------------------------------------------------------------------------------*/

/*
 * A condition over a lock: wait for a change of what the lock guards; Python: Condition(lock).
 *
 *     MP_WITH(cond) {
 *         mp_condition_wait_for(cond, there_is_work, work, MP_FOREVER);
 *         ...
 *     }
 *
 * Mirrors   multiprocessing.Condition
 * Waiters   as many as there is memory for.  Each sleeps by itself: a notification wakes one
 *           process and nobody else
 * Lock      several conditions may share one; it has to live as long as they do.  A Lock counts as
 *           held by the thread that took it
 * Death     A waiter that dies costs nobody a wake-up: if it was notified and its wait had not
 *           returned yet, the next one that was waiting then is woken in its place, within 0.1 s.
 *           A notifier that dies in a notify has notified all that it was to notify, or none.
 *           Who dies with the lock leaves MP_OWNER_DIED to the next one that gets it, which may be
 *           a waiter on its way out: then its wait returns that
 */

/*
 * A condition over `lock`, an mp_lock or mp_rlock; NULL: over a new recursive lock of its own.
 * NULL: MP_ENOMEM; MP_EVALUE, no live lock.  The calls behind the macro take one kind each.
 */
MP_API mp_condition *mp_condition_new(mp_rlock *lock);
MP_API mp_condition *mp_condition_new_with_lock(mp_lock *lock); /* NULL is MP_EVALUE */

/* Give it back; a lock that it was given stays.  Nobody may wait.  NULL is fine; MP_EVALUE. */
MP_API int mp_condition_free(mp_condition *cond);

/* Its lock's: mp_lock_acquire() or mp_rlock_acquire(), and their release. */
MP_API int mp_condition_acquire(mp_condition *cond, double timeout);
MP_API int mp_condition_release(mp_condition *cond);

/*
 * Let the lock go, however deep this thread is in it, sleep until notified, and take it again, as
 * deep as before.  Taking it again takes as long as it takes: the time-out is for the sleep.
 *   0              notified
 *   MP_OWNER_DIED  notified, and meanwhile somebody died with the lock: repair what it guards
 *   MP_ETIMEOUT    not notified in time; mp_condition_news() tells whether somebody died
 *   MP_ESTATE      this thread does not hold the lock
 *   MP_ENOMEM      no room for one more waiter; the lock was not let go
 *   MP_EVALUE      not a live condition, its lock was freed, or the time-out is NaN
 * The lock is held after every one of them that held it before.
 */
MP_API int mp_condition_wait(mp_condition *cond, double timeout);

/*
 * Wait until predicate(arg) is true; Python: Condition.wait_for(lambda: ..., timeout).  It is
 * called with the lock held, once at first and then after each wake-up; time-outs of 0 and less do
 * not wait.  The time-out is for all waits together.
 *   0              it is true
 *   MP_OWNER_DIED  it is true, and while we waited somebody died with the lock
 *   MP_ETIMEOUT    it is false; mp_condition_news() as above
 * and mp_condition_wait()'s errors.
 */
MP_API int mp_condition_wait_for(mp_condition *cond, bool (*predicate)(void *arg), void *arg,
                                 double timeout);

/*
 * What the latest mp_condition_wait() or mp_condition_wait_for() of this thread found when it took
 * the lock again: MP_OWNER_DIED or 0.  A predicate may ask, too.
 */
MP_API int mp_condition_news(void);

/*
 * Wake n of those that wait now, the longest waiting first; all when there are fewer, and nobody
 * when n is 0 or less.  Does not wait for them.  0; MP_ESTATE: this thread does not hold the lock;
 * MP_EVALUE.
 */
MP_API int mp_condition_notify(mp_condition *cond, int n);
MP_API int mp_condition_notify_all(mp_condition *cond);

/* Its text, "<Condition(LOCK'S TEXT, NUMBER OF WAITERS)>"; as mp_lock_repr(). */
MP_API int mp_condition_repr(mp_condition *cond, char *buf, size_t size);

#ifdef __cplusplus
extern "C++" {
/* A template, so that NULL is the mp_rlock's. */
template <class Lock, decltype(mp_condition_new_with_lock(static_cast<Lock *>(nullptr))) = nullptr>
inline mp_condition *
mp_condition_new(Lock *lock)
{
    return mp_condition_new_with_lock(lock);
}
}
#else
#define mp_condition_new(lock)                                                                     \
    _Generic((lock), mp_lock * : mp_condition_new_with_lock, default : (mp_condition_new))(lock)
#endif

/* ---- Event -----------------------------------------------------------------------------------*/

/*
 * A flag to wait for; Python: Event().
 *
 *     mp_event_wait(ready, MP_FOREVER);        in one process
 *     mp_event_set(ready);                     in another one
 *
 * Mirrors   multiprocessing.Event
 * Order     what a process did before mp_event_set() is seen by whoever waited for it
 * Cost      waiting for a set event is one load; setting one that nobody sleeps on makes no call
 * Death     an event has no owner.  A process that dies in mp_event_set() has set it or not; if it
 *           has, sleepers go on within 0.05 s.  One that dies waiting costs nobody anything
 */

/* A clear event, or NULL: MP_ENOMEM. */
MP_API mp_event *mp_event_new(void);

/* Give it back; nobody may use it any more.  NULL is fine.  MP_EVALUE when it is no live event. */
MP_API int mp_event_free(mp_event *event);

/* Set the flag and let all go on that wait; again is fine.  0, or MP_EVALUE: no live event. */
MP_API int mp_event_set(mp_event *event);

/*
 * Clear the flag; again is fine.  0, or MP_EVALUE.  Whoever waited when the event was set goes on
 * all the same, however soon after it this comes: mp_event_set() and mp_event_clear() in a row are
 * a pulse.  (In Python such a waiter may return False.)
 */
MP_API int mp_event_clear(mp_event *event);

/* 1 when set, 0 when clear, MP_EVALUE. */
MP_API int mp_event_is_set(mp_event *event);

/*
 * Wait until it is set; Python: Event.wait(timeout).
 *   0            it is set, or was during the wait.  At once when it is set already
 *   MP_ETIMEOUT  not set in time
 *   MP_EVALUE    not a live event, or the time-out is NaN
 */
MP_API int mp_event_wait(mp_event *event, double timeout);

/* Its text, "<Event at 0x... set>"; as mp_lock_repr(). */
MP_API int mp_event_repr(mp_event *event, char *buf, size_t size);

/* ---- Barrier ---------------------------------------------------------------------------------*/

/*
 * A place where a number of parties meet: each waits until all have come, then all go on; and so
 * round after round.  Python: Barrier(parties, action, timeout).
 *
 *     int place = mp_barrier_wait(barrier, MP_FOREVER);
 *     if (place < 0) { ... MP_EBROKENBARRIER ... }
 *
 * Mirrors   multiprocessing.Barrier
 * Parties   any threads of any processes, as many as come; each call is one party
 * Order     what each party did before it came is seen by the action and by all after the wait
 * Rounds    Who comes early for the next round waits with those of the next round; slow ones of
 *           the round before are not waited for, and still return its result
 * Broken    By a time-out, an abort, an action that fails or a death.  Then all who wait and all
 *           who come later get MP_EBROKENBARRIER, until mp_barrier_reset()
 * Death     A party that dies while it waits breaks the barrier for the others within 0.1 s; so
 *           does one that dies in the action.  One that dies before it came is not known to the
 *           barrier: the others wait for somebody else in its place, or for their time-out
 * Fork      a child forked while its parent waits is no party
 */

/*
 * Run by the last party that comes, before anyone goes on.  0, or an error, which breaks the
 * barrier.  It should not take long: time-outs do not count while it runs.
 */
typedef int (*mp_barrier_action)(void *arg);

/* Zero what you do not set; NULL in place of the struct means all defaults. */
typedef struct mp_barrier_options {
    mp_barrier_action action; /* NULL: none.  A static function will do, in every process       */
    void *arg;                /* its argument, as it is; memory of mp_malloc() is valid for all */
    double timeout;           /* of waits with MP_FOREVER; 0: none; negative: they only try     */
    uint64_t reserved[4];     /* must be 0, else MP_EVALUE                                      */
} mp_barrier_options;

/*
 * A barrier for so many parties.  NULL: MP_ENOMEM; MP_EVALUE (parties below 1, a bad option);
 * MP_ENOTSUP (the action is in no module of the program, so other processes could not find it).
 */
MP_API mp_barrier *mp_barrier_new(int parties, const mp_barrier_options *options);

/* Give it back; nobody may use it any more.  NULL is fine.  MP_EVALUE when it is no live one. */
MP_API int mp_barrier_free(mp_barrier *barrier);

/*
 * Come, and wait for the others; Python: Barrier.wait(timeout).  MP_FOREVER is Python's None: the
 * barrier's own time-out, if it has one.
 *   0 .. parties - 1   All came.  The number is another one for each party of a round, in the
 *                      order in which they came: the last one is who ran the action
 *   MP_EBROKENBARRIER  the barrier was broken or reset meanwhile, or is broken.  Also for the one
 *                      whose time-out it was that broke it
 *   a negative code    of the action, to the one who ran it; a positive result of it is negated.
 *                      MP_ERUNTIME when this process does not have the action
 *   MP_ETIMEOUT        not come: as many as there are parties were there, and the action of their
 *                      round did not end in time.  Nothing broke
 *   MP_EVALUE          not a live barrier, or the time-out is NaN
 */
MP_API int mp_barrier_wait(mp_barrier *barrier, double timeout);

/*
 * Begin a new round with nobody waiting: whoever waits gets MP_EBROKENBARRIER, and a broken barrier
 * is whole again.  At once: nobody waits for those to leave.  An action that runs is not stopped,
 * but its round does not open.  0, or MP_EVALUE.
 */
MP_API int mp_barrier_reset(mp_barrier *barrier);

/* Break it: whoever waits, and whoever comes, gets MP_EBROKENBARRIER.  0, or MP_EVALUE. */
MP_API int mp_barrier_abort(mp_barrier *barrier);

/* How many have to come; how many of them have, 0 when broken; 1 when broken.  MP_EVALUE. */
MP_API int mp_barrier_parties(mp_barrier *barrier);
MP_API int mp_barrier_n_waiting(mp_barrier *barrier);
MP_API int mp_barrier_broken(mp_barrier *barrier);

/*
 * Its text, "<multiprocessing.synchronize.Barrier at 0x...: waiters=1/3>" or "...: broken>"; as
 * mp_lock_repr().
 */
MP_API int mp_barrier_repr(mp_barrier *barrier, char *buf, size_t size);

/* ---- MP_WITH ---------------------------------------------------------------------------------*/

/*
 * Python's `with lock:`
 *
 *     MP_WITH(lock) {
 *         ...
 *     }
 *
 * Takes an mp_lock, mp_rlock, mp_semaphore or mp_condition, or the lock of an mp_value or mp_array,
 * waiting for ever, runs the block once and releases, however it is left: break, continue, return,
 * goto or its end.  What cannot be taken (not a live one) leaves the block out, with
 * mp_last_error() set.  Inside, mp_with_news() tells MP_OWNER_DIED.  Needs a compiler with
 * __attribute__((cleanup)): gcc, clang and their kin.
 */
typedef struct mp_with_guard {
    void *mp__lock;
    int mp__kind; /* of what it is */
    int mp__run;  /* 1 until the block ran */
} mp_with_guard;

MP_API mp_with_guard mp_with_enter_lock(mp_lock *lock);
MP_API mp_with_guard mp_with_enter_rlock(mp_rlock *lock);
MP_API mp_with_guard mp_with_enter_semaphore(mp_semaphore *semaphore);
MP_API mp_with_guard mp_with_enter_condition(mp_condition *cond);
MP_API mp_with_guard mp_with_enter_value(mp_value *v); /* its lock: mp/sharedctypes.h */
MP_API mp_with_guard mp_with_enter_array(mp_array *a);
MP_API void mp_with_leave(mp_with_guard *guard);

/* What the latest acquisition by MP_WITH in this thread gave: 0 or MP_OWNER_DIED. */
MP_API int mp_with_news(void);

MP_END_DECLS

#if defined __GNUC__
#ifndef __cplusplus
/* clang-format off */
#define MP__WITH_ENTER(lock)                                                                       \
    _Generic((lock), mp_lock * : mp_with_enter_lock, mp_rlock * : mp_with_enter_rlock,             \
             mp_semaphore * : mp_with_enter_semaphore,                                             \
             mp_condition * : mp_with_enter_condition, mp_value * : mp_with_enter_value,           \
             mp_array * : mp_with_enter_array)(lock)
/* clang-format on */
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
static inline mp_with_guard
MP__WITH_ENTER(mp_semaphore *semaphore)
{
    return mp_with_enter_semaphore(semaphore);
}
static inline mp_with_guard
MP__WITH_ENTER(mp_condition *cond)
{
    return mp_with_enter_condition(cond);
}
static inline mp_with_guard
MP__WITH_ENTER(mp_value *v)
{
    return mp_with_enter_value(v);
}
static inline mp_with_guard
MP__WITH_ENTER(mp_array *a)
{
    return mp_with_enter_array(a);
}
#endif
#define MP_WITH(lock)                                                                              \
    for (mp_with_guard __attribute__((cleanup(mp_with_leave)))                                     \
         MP__CAT(mp__guard_, __LINE__) = MP__WITH_ENTER(lock);                                     \
         MP__CAT(mp__guard_, __LINE__).mp__run; MP__CAT(mp__guard_, __LINE__).mp__run = 0)
#else
#define MP_WITH(lock) mp_with_needs_a_compiler_with_attribute_cleanup
#endif

/* The same by Python's nouns. */
#define MP_WITH_LOCK(lock)           MP_WITH(lock)
#define MP_WITH_SEMAPHORE(semaphore) MP_WITH(semaphore)

#endif
