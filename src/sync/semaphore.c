/* sync/semaphore.c: mp_semaphore of both kinds; the protocol is in semaphore.h. */
#include "sync/semaphore.h"

#include <errno.h>

#include "base/error.h"
#include "base/recovery.h"
#include "heap/family.h"
#include "heap/waits.h"
#include "platform/platform.h"
#include "sync/park.h"

/* ---- making and freeing ---------------------------------------------------------------------- */

static mp_semaphore *
make(int64_t value, bool bounded, const char *call)
{
    if (value < 0) {
        mp__error(-EINVAL, "%s: the value %lld is negative", call, (long long)value);
        return NULL;
    }
    if (value > MP_SEM_VALUE_MAX) {
        mp__error(MP_EOVERFLOW, "%s: the value %lld is above MP_SEM_VALUE_MAX", call,
                  (long long)value);
        return NULL;
    }
    mp_semaphore *s = mp__shared_new(sizeof *s, MP__TAG_SEMAPHORE);
    if (s) {
        atomic_init(&s->word, (uint64_t)value);
        s->max = bounded ? (uint32_t)value : MP_SEM_VALUE_MAX;
        s->bounded = bounded;
    }
    return s;
}

mp_semaphore *
mp_semaphore_new(int64_t value)
{
    return make(value, false, "mp_semaphore_new");
}

mp_semaphore *
mp_bounded_semaphore_new(int64_t value)
{
    return make(value, true, "mp_bounded_semaphore_new");
}

int
mp_semaphore_free(mp_semaphore *semaphore)
{
    if (!semaphore) {
        return 0;
    }
    int status = mp__shared_claim(semaphore, MP__TAG_SEMAPHORE, "mp_semaphore_free");
    if (status < 0) {
        return status;
    }
    mp__undo_done(semaphore);
    return mp_free(semaphore);
}

/* ---- the fast paths -------------------------------------------------------------------------- */

/* mp__shared_live() without a call. */
static inline bool
is_live(const mp_semaphore *s)
{
    const struct mp__family *f = mp__family;
    uintptr_t p = (uintptr_t)s;
    return f && p - (f->base + f->data) < f->size - f->data && p % 16 == 0 &&
           atomic_load_explicit(&s->head.tag, memory_order_relaxed) == MP__TAG_SEMAPHORE;
}

static inline bool
take(mp_semaphore *s)
{
    uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed);
    while (mp__semaphore_value(word) != 0) {
        /* sync.semaphore.acquire */
        if (atomic_compare_exchange_weak_explicit(&s->word, &word, word - 1, memory_order_acquire,
                                                  memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

/* False: the value is max. */
static inline bool
give(mp_semaphore *s)
{
    uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed);
    while (mp__semaphore_value(word) < s->max) {
        /* A branch, not a sum: what is stored has to be known early. */
        bool sleeper = (word & MP__MOST_SLEEP * MP__SLEEPER) != 0;
        uint64_t wanted = word + 1;
        if (__builtin_expect(sleeper, 0)) {
            wanted -= MP__SLEEPER;
        }
        /* sync.semaphore.release */
        if (atomic_compare_exchange_weak_explicit(&s->word, &word, wanted, memory_order_release,
                                                  memory_order_relaxed)) {
            if (__builtin_expect(sleeper, 0)) {
                mp__plat_wake(mp__semaphore_low(s), 1); /* only an address by now */
            }
            return true;
        }
    }
    return false;
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* 0; MP_ETIMEOUT: there is none; MP_ENOMEM with text. */
static int
take_either(mp_semaphore *s, bool undo)
{
    return undo ? mp__undo_take(s) : take(s) ? 0 : MP_ETIMEOUT;
}

static int
take_spinning(mp_semaphore *s, bool undo)
{
    for (int done = 0, pauses = 1; done < MP__SPINS; done += pauses) {
        uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed);
        if (mp__semaphore_value(word) != 0) {
            int status = take_either(s, undo);
            if (status != MP_ETIMEOUT) {
                return status;
            }
        } else if (mp__semaphore_sleepers(word) != 0) {
            break; /* others sleep already: it will not be quick */
        }
        pauses = mp__plat_back_off(pauses);
    }
    return MP_ETIMEOUT;
}

/* Where units come back from the dead, a second look may be needed within the time promised. */
static int64_t
slice(mp_semaphore *s)
{
    return atomic_load_explicit(&s->records, memory_order_relaxed) ? MP__SLICE / 2 : MP__SLICE;
}

/* Sleep for a slice, unless there is a unit.  True when the deadline has passed. */
static bool
sleep_once(mp_semaphore *s, mp__deadline until)
{
    int64_t left = mp__deadline_left(until);
    if (left == 0) {
        return true;
    }
    uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed), sleeper;
    do {
        if (mp__semaphore_value(word) != 0) {
            return false;
        }
        sleeper = mp__semaphore_sleepers(word) < MP__MOST_SLEEP ? MP__SLEEPER : 0;
    } while (!atomic_compare_exchange_weak_explicit(&s->word, &word, word + sleeper,
                                                    memory_order_relaxed, memory_order_relaxed));
    if (mp__plat_wait(mp__semaphore_low(s), 0, mp__slice_of(left, slice(s))) == 0) {
        return false; /* who woke us took our registration off */
    }
    if (!is_live(s)) {
        return false; /* it is somebody else's memory now */
    }
    word = atomic_load_explicit(&s->word, memory_order_relaxed);
    while (sleeper && mp__semaphore_sleepers(word) != 0 &&
           !atomic_compare_exchange_weak_explicit(&s->word, &word, word - sleeper,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    return false;
}

/* The same, and MP_EVALUE without text: it was freed meanwhile. */
static int
take_waiting(mp_semaphore *s, mp__deadline until, bool undo)
{
    int status = take_either(s, undo);
    if (status == MP_ETIMEOUT && until != MP__TRY) {
        status = take_spinning(s, undo);
    }
    if (status != MP_ETIMEOUT) {
        return status;
    }
    mp__undo_look(s);
    status = take_either(s, undo);
    if (status != MP_ETIMEOUT || until == MP__TRY) {
        return status;
    }
    mp__waiting(s);
    for (bool late = false; status == MP_ETIMEOUT && !late;) {
        late = sleep_once(s, until);
        if (!is_live(s)) {
            status = MP_EVALUE;
            break;
        }
        mp__undo_look(s);
        status = take_either(s, undo);
    }
    mp__waiting_done();
    return status;
}

__attribute__((noinline)) static int
acquire_slow(mp_semaphore *s, double timeout, bool undo, const char *call)
{
    mp__deadline until;
    int status = mp__shared_check(s, MP__TAG_SEMAPHORE, call);
    if (status < 0 || (status = mp__deadline_from(timeout, call, &until)) < 0) {
        return status;
    }
    status = take_waiting(s, until, undo);
    if (status == MP_EVALUE) {
        return mp__shared_not_live(s, MP__TAG_SEMAPHORE, call);
    }
    return status == MP_ETIMEOUT ? mp__error(status, "%s: no unit came free in time", call)
                                 : status;
}

__attribute__((noinline)) static int
release_slow(mp_semaphore *s, const char *call)
{
    int status = mp__shared_check(s, MP__TAG_SEMAPHORE, call);
    if (status < 0) {
        return status;
    }
    status = MP_ETIMEOUT;
    if (mp__undo_held(s)) {
        status = mp__undo_release(s);
    }
    if (status == MP_ETIMEOUT) { /* nothing to undo */
        status = give(s) ? 0 : MP_EVALUE;
    }
    return status < 0 ? mp__error(status, "%s: released more often than acquired: the value is %lu",
                                  call, (unsigned long)s->max)
                      : 0;
}

/* ---- the public calls ------------------------------------------------------------------------ */

int
mp_semaphore_acquire(mp_semaphore *semaphore, double timeout)
{
    /* NaN is no number of seconds. */
    if (__builtin_expect(is_live(semaphore) && timeout == timeout && take(semaphore), 1)) {
        return 0;
    }
    return acquire_slow(semaphore, timeout, false, "mp_semaphore_acquire");
}

int
mp_semaphore_acquire_undo(mp_semaphore *semaphore, double timeout)
{
    return acquire_slow(semaphore, timeout, true, "mp_semaphore_acquire_undo");
}

int
mp_semaphore_release(mp_semaphore *semaphore)
{
    if (__builtin_expect(is_live(semaphore) &&
                             atomic_load_explicit(&semaphore->records, memory_order_relaxed) == 0 &&
                             give(semaphore),
                         1)) {
        return 0;
    }
    return release_slow(semaphore, "mp_semaphore_release");
}

int
mp_semaphore_get_value(mp_semaphore *semaphore)
{
    int status = mp__shared_check(semaphore, MP__TAG_SEMAPHORE, "mp_semaphore_get_value");
    if (status < 0) {
        return status;
    }
    mp__undo_look(semaphore);
    return (int)mp__semaphore_value(atomic_load_explicit(&semaphore->word, memory_order_relaxed));
}

int
mp_semaphore_locked(mp_semaphore *semaphore)
{
    int status = mp__shared_check(semaphore, MP__TAG_SEMAPHORE, "mp_semaphore_locked");
    return status < 0 ? status : mp_semaphore_get_value(semaphore) == 0;
}

int
mp_bounded_semaphore_free(mp_bounded_semaphore *semaphore)
{
    return mp_semaphore_free(semaphore);
}

int
mp_bounded_semaphore_acquire(mp_bounded_semaphore *semaphore, double timeout)
{
    return mp_semaphore_acquire(semaphore, timeout);
}

int
mp_bounded_semaphore_acquire_undo(mp_bounded_semaphore *semaphore, double timeout)
{
    return mp_semaphore_acquire_undo(semaphore, timeout);
}

int
mp_bounded_semaphore_release(mp_bounded_semaphore *semaphore)
{
    return mp_semaphore_release(semaphore);
}

int
mp_bounded_semaphore_get_value(mp_bounded_semaphore *semaphore)
{
    return mp_semaphore_get_value(semaphore);
}

int
mp_bounded_semaphore_locked(mp_bounded_semaphore *semaphore)
{
    return mp_semaphore_locked(semaphore);
}
