/* heap/owned.c: waiting for an owned word, and taking it over from the dead. */
#include "heap/owned.h"

#include "base/error.h"
#include "base/recovery.h"
#include "heap/heap.h"
#include "heap/waits.h"

#define SPINS       100
#define FIRST_SLICE (2 * MP__MS)
#define LAST_SLICE  (50 * MP__MS)

/* How long an owner that was seen alive is not asked about again by tries. */
#define ALIVE_FOR (10 * MP__MS)

MP__HOT_TLS uint64_t mp__owned_mine;

uint64_t
mp__owned_learn_mine(void)
{
    mp__owned_mine = (uint64_t)mp__self() << 32 | (mp__plat_tid() & MP__PLAT_TID);
    return mp__owned_mine;
}

static _Atomic uint32_t *
low_half(_Atomic uint64_t *word)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (_Atomic uint32_t *)word + 1;
#else
    return (_Atomic uint32_t *)word;
#endif
}

static bool
take(_Atomic uint64_t *word, uint64_t *seen, uint64_t mine)
{
    /* heap.owned.acquire */
    return atomic_compare_exchange_strong_explicit(word, seen, mine, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* Whether the owner in `seen` is dead, for a caller that may ask thousands of times a second. */
static bool
dead_owner_by_try(uint64_t seen)
{
    static _Thread_local uint64_t alive_word;
    static _Thread_local int64_t alive_at;
    int64_t now = mp__plat_now();
    if (seen == alive_word && now - alive_at < ALIVE_FOR) {
        return false;
    }
    if (mp__owned_owner(seen) != mp__self() && mp__member_dead(mp__owned_owner(seen))) {
        return true;
    }
    alive_word = seen;
    alive_at = now;
    return false;
}

static uint32_t
tag_of(const void *object)
{
    const mp__head *h = object;
    return h ? atomic_load_explicit(&h->tag, memory_order_relaxed) : 0;
}

static bool
spin(_Atomic uint64_t *word, uint64_t mine)
{
    for (int done = 0, pauses = 2; done < SPINS; done += pauses) {
        uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);
        if (seen == 0 && take(word, &seen, mine)) {
            return true;
        }
        if (seen & MP__PLAT_WAITERS) {
            return false; /* others sleep already: the owner will not be quick */
        }
        pauses = mp__plat_back_off(pauses); /* the owner needs the word to let go */
    }
    return false;
}

/* The rest, in sleeps; *slept becomes true just before the first. */
static int
acquire_asleep(_Atomic uint64_t *word, uint64_t mine, mp__deadline until, const void *object,
               bool *slept)
{
    int64_t slice = FIRST_SLICE, look = mp__plat_now() + slice;
    const uint32_t tag = tag_of(object);
    for (;;) {
        if (tag_of(object) != tag) {
            return MP_EVALUE; /* it is somebody else's memory now */
        }
        uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);
        if (seen == 0 || (seen & MP__PLAT_DIED)) {
            int status = seen ? MP_OWNER_DIED : 0;
            /* Others may sleep, and we cannot know: who slept, or took over, keeps the bit. */
            if (take(word, &seen, until == MP__TRY ? mine : mine | MP__PLAT_WAITERS)) {
                return status;
            }
            continue;
        }
        int64_t left = mp__deadline_left(until);
        if (left == 0) {
            if (dead_owner_by_try(seen) && take(word, &seen, mine | MP__PLAT_WAITERS)) {
                return MP_OWNER_DIED;
            }
            /* A release may have woken us, and another taken the word without the bit: who sleeps
               beside us is woken by the next release only if the bit is there. */
            if (until != MP__TRY && !(seen & MP__PLAT_WAITERS) &&
                !atomic_compare_exchange_strong(word, &seen, seen | MP__PLAT_WAITERS)) {
                continue;
            }
            return MP_ETIMEOUT;
        }
        if (!(seen & MP__PLAT_WAITERS)) {
            if (!atomic_compare_exchange_strong(word, &seen, seen | MP__PLAT_WAITERS)) {
                continue;
            }
            seen |= MP__PLAT_WAITERS;
        }
        if (object && !*slept) {
            mp__waiting(object);
            *slept = true;
        }
        mp__plat_wait(low_half(word), (uint32_t)seen, mp__slice_of(left, slice));
        /* By the clock, not by what the wait says: signals may end every single one early. */
        if (mp__plat_now() >= look) {
            if (tag_of(object) == tag && atomic_load_explicit(word, memory_order_relaxed) == seen &&
                mp__member_dead(mp__owned_owner(seen)) &&
                take(word, &seen, mine | MP__PLAT_WAITERS)) {
                return MP_OWNER_DIED;
            }
            slice = slice * 2 < LAST_SLICE ? slice * 2 : LAST_SLICE;
            look = mp__plat_now() + slice;
        }
    }
}

int
mp__owned_acquire_slow(_Atomic uint64_t *word, uint64_t mine, mp__deadline until,
                       const void *object)
{
    if (until != MP__TRY && spin(word, mine)) {
        return 0;
    }
    bool slept = false;
    int status = acquire_asleep(word, mine, until, object, &slept);
    if (slept) {
        mp__waiting_done();
    }
    return status;
}

void
mp__owned_wake(_Atomic uint64_t *word)
{
    mp__plat_wake(low_half(word), 1);
}
