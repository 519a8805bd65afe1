/* sync/with.c: what MP_WITH calls on the way in and out. */
#include <mp/synchronize.h>

#include "base/hot_tls.h"

static MP__HOT_TLS int news;

/* What is held, in a guard. */
enum kind { LOCK, RLOCK, SEMAPHORE, CONDITION };

static mp_with_guard
entered(void *lock, enum kind kind, int status)
{
    news = status > 0 ? status : 0;
    return (mp_with_guard){status >= 0 ? lock : NULL, (int)kind, status >= 0};
}

mp_with_guard
mp_with_enter_lock(mp_lock *lock)
{
    return entered(lock, LOCK, mp_lock_acquire(lock, MP_FOREVER));
}

mp_with_guard
mp_with_enter_rlock(mp_rlock *lock)
{
    return entered(lock, RLOCK, mp_rlock_acquire(lock, MP_FOREVER));
}

mp_with_guard
mp_with_enter_semaphore(mp_semaphore *semaphore)
{
    return entered(semaphore, SEMAPHORE, mp_semaphore_acquire(semaphore, MP_FOREVER));
}

mp_with_guard
mp_with_enter_condition(mp_condition *cond)
{
    return entered(cond, CONDITION, mp_condition_acquire(cond, MP_FOREVER));
}

void
mp_with_leave(mp_with_guard *guard)
{
    void *held = guard->mp__lock;
    guard->mp__lock = NULL;
    if (!held) {
        return;
    }
    switch ((enum kind)guard->mp__kind) {
    case LOCK:
        mp_lock_release(held);
        break;
    case RLOCK:
        mp_rlock_release(held);
        break;
    case SEMAPHORE:
        mp_semaphore_release(held);
        break;
    case CONDITION:
        mp_condition_release(held);
        break;
    }
}

int
mp_with_news(void)
{
    return news;
}
