/* sync/rlock.c: mp_rlock, owned by a thread of a process, as deep as it likes. */
#include "sync/lock.h"

#include "base/error.h"
#include "heap/owned.h"
#include "sync/handover.h"

void
mp__rlock_init(mp_rlock *l)
{
    atomic_init(&l->word, 0);
    l->depth = 0;
    l->head.reserved = 0;
    atomic_store_explicit(&l->head.tag, MP__TAG_RLOCK, memory_order_release);
}

mp_rlock *
mp_rlock_new(void)
{
    return mp__shared_new(sizeof(mp_rlock), MP__TAG_RLOCK);
}

int
mp_rlock_free(mp_rlock *lock)
{
    return mp__shared_free(lock, MP__TAG_RLOCK, "mp_rlock_free");
}

static bool
is_mine(mp_rlock *l)
{
    uint64_t word = atomic_load_explicit(&l->word, memory_order_relaxed);
    return (word & ~(uint64_t)MP__PLAT_WAITERS) == mp__owned_by_me();
}

int
mp_rlock_acquire(mp_rlock *lock, double timeout)
{
    mp__deadline until;
    int status = mp__shared_check(lock, MP__TAG_RLOCK, "mp_rlock_acquire");
    if (status < 0 || (status = mp__deadline_from(timeout, "mp_rlock_acquire", &until)) < 0) {
        return status;
    }
    if (is_mine(lock)) {
        lock->depth++;
        return 0;
    }
    status = mp__owned_acquire_for(&lock->word, mp__owned_by_me(), until, lock);
    if (status == MP_EVALUE) {
        return mp__shared_not_live(lock, MP__TAG_RLOCK, "mp_rlock_acquire");
    }
    if (status < 0) {
        return mp__error(status, "mp_rlock_acquire: the lock is held by process %d",
                         (int)mp__member_pid(mp__owned_owner(lock->word)));
    }
    lock->depth = 1;
    return status;
}

int
mp_rlock_release(mp_rlock *lock)
{
    int status = mp__shared_check(lock, MP__TAG_RLOCK, "mp_rlock_release");
    if (status < 0) {
        return status;
    }
    if (!is_mine(lock)) {
        return mp__error(MP_ESTATE, "mp_rlock_release: this thread does not hold the lock");
    }
    if (--lock->depth == 0 && (mp__owned_release(&lock->word) & MP__PLAT_WAITERS)) {
        mp__handover_now();
    }
    return 0;
}

int
mp_rlock_locked(mp_rlock *lock)
{
    int status = mp__shared_check(lock, MP__TAG_RLOCK, "mp_rlock_locked");
    return status < 0 ? status : atomic_load_explicit(&lock->word, memory_order_relaxed) != 0;
}
