/* sync/repr.c: texts of locks and their kin, as Python prints them. */
#include "sync/repr.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <mp/synchronize.h>

#include "base/error.h"
#include "heap/owned.h"
#include "platform/platform.h"
#include "sync/condition.h"
#include "sync/lock.h"
#include "sync/semaphore.h"

int
mp__repr(const char *call, char *buf, size_t size, const char *format, ...)
{
    if (!buf && size > 0) {
        return mp__error(MP_EVALUE, "%s: no buffer (NULL) of %zu bytes", call, size);
    }
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(buf, size, format, arguments);
    va_end(arguments);
    return n < 0 ? mp__error(MP_EVALUE, "%s: no text", call) : n;
}

enum mp__holder
mp__repr_holder(uint64_t word, char buf[MP__HOLDER_BYTES])
{
    if (word == 0) {
        strcpy(buf, "None");
        return MP__NOBODY;
    }
    if ((word & ~(uint64_t)MP__PLAT_WAITERS) == mp__owned_by_me()) {
        mp__name_get(buf);
        if (!mp__plat_first_thread()) {
            size_t len = strlen(buf);
            snprintf(buf + len, MP__HOLDER_BYTES - len, "|Thread-%lu",
                     (unsigned long)mp__plat_tid());
        }
        return MP__THIS_THREAD;
    }
    if (mp__owned_owner(word) == mp__self()) {
        strcpy(buf, "SomeOtherThread");
        return MP__OTHER_THREAD;
    }
    strcpy(buf, "SomeOtherProcess");
    return MP__OTHER_PROCESS;
}

int
mp_lock_repr(mp_lock *lock, char *buf, size_t size)
{
    char owner[MP__HOLDER_BYTES];
    int status = mp__shared_check(lock, MP__TAG_LOCK, "mp_lock_repr");
    if (status < 0) {
        return status;
    }
    mp__repr_holder(atomic_load_explicit(&lock->word, memory_order_relaxed), owner);
    return mp__repr("mp_lock_repr", buf, size, "<Lock(owner=%s)>", owner);
}

int
mp_rlock_repr(mp_rlock *lock, char *buf, size_t size)
{
    char owner[MP__HOLDER_BYTES], depth[16] = "nonzero";
    int status = mp__shared_check(lock, MP__TAG_RLOCK, "mp_rlock_repr");
    if (status < 0) {
        return status;
    }
    switch (mp__repr_holder(atomic_load_explicit(&lock->word, memory_order_relaxed), owner)) {
    case MP__NOBODY:
        strcpy(depth, "0");
        break;
    case MP__THIS_THREAD:
        snprintf(depth, sizeof depth, "%lu", (unsigned long)lock->depth);
        break;
    case MP__OTHER_THREAD:
    case MP__OTHER_PROCESS:
        break;
    }
    return mp__repr("mp_rlock_repr", buf, size, "<RLock(%s, %s)>", owner, depth);
}

int
mp_semaphore_repr(mp_semaphore *semaphore, char *buf, size_t size)
{
    int value = mp_semaphore_get_value(semaphore);
    if (value < 0) {
        return mp__shared_check(semaphore, MP__TAG_SEMAPHORE, "mp_semaphore_repr");
    }
    if (semaphore->bounded) {
        return mp__repr("mp_semaphore_repr", buf, size,
                        "<BoundedSemaphore(value=%d, maxvalue=%lu)>", value,
                        (unsigned long)semaphore->max);
    }
    return mp__repr("mp_semaphore_repr", buf, size, "<Semaphore(value=%d)>", value);
}

int
mp_condition_repr(mp_condition *cond, char *buf, size_t size)
{
    static const char call[] = "mp_condition_repr";
    char lock[MP__HOLDER_BYTES + 64];
    int status = mp__shared_check(cond, MP__TAG_CONDITION, call);
    if (status == 0) {
        status = cond->recursive ? mp_rlock_repr(cond->lock, lock, sizeof lock)
                                 : mp_lock_repr(cond->lock, lock, sizeof lock);
    }
    return status < 0 ? status
                      : mp__repr(call, buf, size, "<Condition(%s, %lu)>", lock,
                                 (unsigned long)atomic_load_explicit(&cond->waiting,
                                                                     memory_order_relaxed));
}
