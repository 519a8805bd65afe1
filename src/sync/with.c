/* sync/with.c: what MP_WITH calls on the way in and out. */
#include <mp/synchronize.h>

static _Thread_local int news;

static mp_with_guard
entered(void *lock, int is_rlock, int status)
{
    news = status > 0 ? status : 0;
    return (mp_with_guard){status >= 0 ? lock : NULL, is_rlock, status >= 0};
}

mp_with_guard
mp_with_enter_lock(mp_lock *lock)
{
    return entered(lock, 0, mp_lock_acquire(lock, MP_FOREVER));
}

mp_with_guard
mp_with_enter_rlock(mp_rlock *lock)
{
    return entered(lock, 1, mp_rlock_acquire(lock, MP_FOREVER));
}

void
mp_with_leave(mp_with_guard *guard)
{
    if (guard->mp__lock && guard->mp__rlock) {
        mp_rlock_release(guard->mp__lock);
    } else if (guard->mp__lock) {
        mp_lock_release(guard->mp__lock);
    }
    guard->mp__lock = NULL;
}

int
mp_with_news(void)
{
    return news;
}
