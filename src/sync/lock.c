/* sync/lock.c: mp_lock, a lock that any process may release and no death can wedge. */
#include "sync/lock.h"

#include "base/error.h"
#include "heap/owned.h"
#include "sync/handover.h"

mp_lock *
mp_lock_new(void)
{
    return mp__shared_new(sizeof(mp_lock), MP__TAG_LOCK);
}

int
mp_lock_free(mp_lock *lock)
{
    return mp__shared_free(lock, MP__TAG_LOCK, "mp_lock_free");
}

int
mp_lock_acquire(mp_lock *lock, double timeout)
{
    mp__deadline until;
    int status = mp__shared_check(lock, MP__TAG_LOCK, "mp_lock_acquire");
    if (status < 0 || (status = mp__deadline_from(timeout, "mp_lock_acquire", &until)) < 0) {
        return status;
    }
    status = mp__owned_acquire_for(&lock->word, mp__owned_by_me(), until, lock);
    if (status == MP_EVALUE) {
        return mp__shared_not_live(lock, MP__TAG_LOCK, "mp_lock_acquire");
    }
    return status < 0 ? mp__error(status, "mp_lock_acquire: the lock is held by process %d",
                                  (int)mp__member_pid(mp__owned_owner(lock->word)))
                      : status;
}

int
mp_lock_release(mp_lock *lock)
{
    int status = mp__shared_check(lock, MP__TAG_LOCK, "mp_lock_release");
    if (status == 0) {
        uint64_t was = mp__owned_release(&lock->word);
        if (was & MP__PLAT_WAITERS) {
            mp__handover_now();
        } else if (was == 0) {
            status = mp__error(MP_EVALUE, "mp_lock_release: the lock is free already");
        }
    }
    return status;
}

int
mp_lock_locked(mp_lock *lock)
{
    int status = mp__shared_check(lock, MP__TAG_LOCK, "mp_lock_locked");
    return status < 0 ? status : atomic_load_explicit(&lock->word, memory_order_relaxed) != 0;
}
