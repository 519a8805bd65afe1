/* sync/barrier.c: mp_barrier, where parties meet; one that can no longer fill breaks. */
#include "sync/barrier.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/recovery.h"
#include "heap/member.h"
#include "heap/waits.h"
#include "sync/park.h"
#include "sync/repr.h"

/* Flags of the state; none of them is part of what names a round. */
#define SLEEPERS (UINT64_C(1) << 61) /* somebody may sleep on the round */
#define ACTION   (UINT64_C(1) << 62) /* all came, and the leader runs the action */
#define BROKEN   (UINT64_C(1) << 63) /* nobody may come */

#define ERA_SHIFT 32
#define ERA_MASK  ((UINT32_C(1) << 29) - 1)

/* A party: the round it came to, and as which number.  number == parties: it could not come yet. */
struct party {
    uint64_t state;
    uint32_t number;
};

static uint32_t
round_of(uint64_t word)
{
    return (uint32_t)word;
}

static uint32_t
era_of(uint64_t state)
{
    return (uint32_t)(state >> ERA_SHIFT) & ERA_MASK;
}

static uint64_t
state_of(uint32_t era, uint32_t round)
{
    return (uint64_t)(era & ERA_MASK) << ERA_SHIFT | round;
}

/* Whether it is still the same round, and not a broken barrier. */
static bool
same_round(uint64_t a, uint64_t b)
{
    return ((a ^ b) & ~(SLEEPERS | ACTION)) == 0;
}

static uint64_t
state_now(mp_barrier *b)
{
    return atomic_load_explicit(&b->state, memory_order_acquire);
}

static uint64_t
slot_now(mp_barrier *b, uint32_t i)
{
    return atomic_load_explicit(&b->slot[i], memory_order_acquire);
}

/* How many came to the round: they have the first slots. */
static uint32_t
came(mp_barrier *b, uint32_t round)
{
    uint32_t low = 0, high = b->parties;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (round_of(slot_now(b, middle)) == round) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* ---- the ends of a round --------------------------------------------------------------------- */

/* The round has ended by our CAS of the state from `seen`. */
static void
wake_all(mp_barrier *b, uint64_t seen)
{
    if (seen & SLEEPERS) {
        mp__plat_wake(mp__park_half(&b->state), INT_MAX);
    }
}

/*
 * Note that this round ends its era, which is not so yet, and is not known to become so.  Of rounds
 * of one era the latest stays: whoever breaks the era noted its last round before that, and nobody
 * can note a later one.
 */
static void
note_break(mp_barrier *b, uint64_t state)
{
    _Atomic uint64_t *note = &b->ended[era_of(state) % MP__BARRIER_ERAS];
    uint64_t mine = (uint64_t)era_of(state) << ERA_SHIFT | round_of(state);
    uint64_t seen = atomic_load_explicit(note, memory_order_relaxed);
    for (;;) {
        uint32_t ahead = (era_of(seen) - era_of(state)) & ERA_MASK;
        if (ahead != 0 ? ahead <= ERA_MASK / 2 : (int32_t)(round_of(seen) - round_of(state)) >= 0) {
            return;
        }
        if (atomic_compare_exchange_weak_explicit(note, &seen, mine, memory_order_release,
                                                  memory_order_relaxed)) {
            return;
        }
    }
}

/*
 * Break the round that `mine` names, unless its state has a flag of `unless`; flags: BROKEN, or 0
 * to begin anew at once.  False when the round has ended otherwise, or the flag is there.
 */
static bool
break_round(mp_barrier *b, uint64_t mine, uint64_t flags, uint64_t unless)
{
    uint64_t next = state_of(era_of(mine) + 1, round_of(mine) + 1) | flags;
    note_break(b, mine);
    uint64_t seen = state_now(b);
    while (same_round(seen, mine) && !(seen & unless)) {
        /* sync.barrier.break */
        if (atomic_compare_exchange_weak_explicit(&b->state, &seen, next, memory_order_acq_rel,
                                                  memory_order_acquire)) {
            wake_all(b, seen);
            return true;
        }
    }
    return false;
}

static bool
open_round(mp_barrier *b, uint64_t mine)
{
    uint64_t next = state_of(era_of(mine), round_of(mine) + 1);
    uint64_t seen = state_now(b);
    while (same_round(seen, mine)) {
        /* sync.barrier.open */
        if (atomic_compare_exchange_weak_explicit(&b->state, &seen, next, memory_order_acq_rel,
                                                  memory_order_acquire)) {
            wake_all(b, seen);
            return true;
        }
    }
    return false;
}

/* How a round ended that has ended: true when it opened. */
static bool
has_opened(mp_barrier *b, uint64_t mine)
{
    if (era_of(state_now(b)) == era_of(mine)) {
        return true;
    }
    uint64_t note =
        atomic_load_explicit(&b->ended[era_of(mine) % MP__BARRIER_ERAS], memory_order_acquire);
    return era_of(note) == era_of(mine) && round_of(note) != round_of(mine);
}

/* ---- the dead -------------------------------------------------------------------------------- */

/* Whether somebody came as number i to the round and is dead. */
static bool
is_dead(mp_barrier *b, uint32_t round, uint32_t i)
{
    uint64_t slot = slot_now(b, i);
    mp__ident who = (mp__ident)(slot >> 32);
    return round_of(slot) == round && who != mp__self() && mp__member_dead(who);
}

/* Whether the one is dead that this party has to look at. */
static bool
neighbour_is_dead(mp_barrier *b, const struct party *me)
{
    uint32_t round = round_of(me->state), last = b->parties - 1;
    if (me->number >= last || round_of(slot_now(b, last)) == round) {
        return is_dead(b, round, last);
    }
    uint32_t next = me->number + 1;
    return is_dead(b, round, round_of(slot_now(b, next)) == round ? next : 0);
}

/* The leader's look, which costs nothing in a round that filled quickly. */
static bool
anyone_is_dead(mp_barrier *b, const struct party *me)
{
    if (me->number == 0 ||
        mp__plat_now() - atomic_load_explicit(&b->began, memory_order_relaxed) < MP__SLICE) {
        return false;
    }
    for (uint32_t i = 0; i < me->number; i++) {
        if (is_dead(b, round_of(me->state), i)) {
            return true;
        }
    }
    return false;
}

/* ---- waiting for the end of a round ---------------------------------------------------------- */

static int
died(mp_barrier *b, const struct party *me)
{
    if (break_round(b, me->state, BROKEN, 0)) {
        return mp__error(MP_EBROKENBARRIER,
                         "mp_barrier_wait: a party died: the barrier cannot fill any more");
    }
    return 0;
}

/* Have the one who ends the round wake us; false when it has ended, or changed just now. */
static bool
mark_sleeper(mp_barrier *b, uint64_t seen)
{
    return (seen & SLEEPERS) ||
           atomic_compare_exchange_strong_explicit(&b->state, &seen, seen | SLEEPERS,
                                                   memory_order_relaxed, memory_order_relaxed);
}

/* In sleeps.  0: the round has ended; MP_ETIMEOUT without text; MP_EBROKENBARRIER: we broke it;
   MP_EVALUE: it was freed meanwhile. */
static int
wait_asleep(mp_barrier *b, const struct party *me, mp__deadline until)
{
    bool inside = me->number < b->parties;
    int64_t look = mp__plat_now() + MP__SLICE;
    for (;;) {
        uint64_t seen = state_now(b);
        if (!same_round(seen, me->state)) {
            return 0;
        }
        int status = mp__shared_check(b, MP__TAG_BARRIER, "mp_barrier_wait");
        if (status < 0) {
            return status; /* it is somebody else's memory now */
        }
        /* All came: the action takes as long as it takes. */
        int64_t left = mp__deadline_left(inside && (seen & ACTION) ? MP__NEVER : until);
        if (left == 0) {
            return MP_ETIMEOUT;
        }
        /* By the clock, not by what the wait says: signals may end every single one early. */
        int64_t now = mp__plat_now();
        if (now >= look) {
            if (neighbour_is_dead(b, me)) {
                return died(b, me);
            }
            look = now + MP__SLICE;
        }
        if (mark_sleeper(b, seen)) {
            mp__plat_wait(mp__park_half(&b->state), round_of(me->state),
                          mp__slice_of(left, look - now));
        }
    }
}

static int
wait_end(mp_barrier *b, const struct party *me, mp__deadline until)
{
    /* A try spins, too, while the leader opens: that takes no time, unless there is an action. */
    bool spins = until != MP__TRY || me->number == b->parties;
    for (int i = 0; i < MP__SPINS && spins; i++) {
        if (!same_round(state_now(b), me->state)) {
            return 0;
        }
        mp__plat_pause();
    }
    if (until == MP__TRY && me->number == b->parties) {
        return MP_ETIMEOUT;
    }
    mp__waiting(b);
    int status = wait_asleep(b, me, until);
    mp__waiting_done();
    return status;
}

/* ---- a party --------------------------------------------------------------------------------- */

/*
 * Come to the current round: 0 and *ret.  MP_EBROKENBARRIER; MP_ETIMEOUT: all who may come to this
 * round are there, and its action took too long.
 */
static int
arrive(mp_barrier *b, mp__deadline until, struct party *ret)
{
    for (;;) {
        uint64_t state = state_now(b);
        if (state & BROKEN) {
            return mp__error(MP_EBROKENBARRIER, "mp_barrier_wait: the barrier is broken; "
                                                "mp_barrier_reset() mends it");
        }
        uint32_t i = came(b, round_of(state));
        *ret = (struct party){state, i};
        if (i == b->parties) {
            int status = wait_end(b, ret, until);
            if (status == MP_ETIMEOUT) {
                mp__error(status, "mp_barrier_wait: the action of the round before did not end");
            }
            if (status < 0) {
                return status;
            }
            continue;
        }
        uint64_t seen = slot_now(b, i);
        /* While the state is the same, what is in the slot is not of a later round. */
        if (round_of(seen) == round_of(state) || !same_round(state_now(b), state)) {
            continue;
        }
        int64_t now = i == 0 ? mp__plat_now() : 0;
        uint64_t mine = (uint64_t)mp__self() << 32 | round_of(state);
        /* sync.barrier.arrive */
        if (atomic_compare_exchange_strong_explicit(&b->slot[i], &seen, mine, memory_order_acq_rel,
                                                    memory_order_relaxed)) {
            if (i == 0) {
                atomic_store_explicit(&b->began, now, memory_order_relaxed);
            }
            return 0;
        }
    }
}

static int
broken_meanwhile(void)
{
    return mp__error(MP_EBROKENBARRIER, "mp_barrier_wait: the barrier was reset or broke, by "
                                        "another's time-out, abort or death");
}

/* The leader's part between arriving and opening.  0; an error with text, and the round broke. */
static int
act(mp_barrier *b, const struct party *me)
{
    mp__func f;
    int code = mp__funcref_find(&b->action, &f);
    if (code == 0) {
        uint64_t seen = state_now(b);
        do {
            if (!same_round(seen, me->state)) {
                return broken_meanwhile();
            }
            /* sync.barrier.action */
        } while (!atomic_compare_exchange_weak_explicit(
            &b->state, &seen, seen | ACTION, memory_order_acq_rel, memory_order_acquire));
        int result = ((mp_barrier_action)f)(b->arg);
        if (result == 0) {
            return 0;
        }
        code =
            mp__error(result < 0 ? result : -result, "mp_barrier_wait: the action gave %d", result);
    }
    break_round(b, me->state, BROKEN, 0);
    return code;
}

static int
lead(mp_barrier *b, const struct party *me)
{
    if (anyone_is_dead(b, me)) {
        int status = died(b, me);
        return status < 0 ? status : broken_meanwhile();
    }
    int status = b->action.null ? 0 : act(b, me);
    if (status == 0 && !open_round(b, me->state)) {
        status = broken_meanwhile();
    }
    return status;
}

/* One that is not the last. */
static int
follow(mp_barrier *b, const struct party *me, mp__deadline until)
{
    int status;
    while ((status = wait_end(b, me, until)) == MP_ETIMEOUT) {
        if (break_round(b, me->state, BROKEN, ACTION)) {
            return mp__error(MP_EBROKENBARRIER,
                             "mp_barrier_wait: timed out, which broke the "
                             "barrier: %u parties of %u came",
                             (unsigned)came(b, round_of(me->state)), (unsigned)b->parties);
        }
    }
    return status < 0 || has_opened(b, me->state) ? status : broken_meanwhile();
}

int
mp_barrier_wait(mp_barrier *barrier, double timeout)
{
    mp__deadline until;
    struct party me;
    int status = mp__shared_check(barrier, MP__TAG_BARRIER, "mp_barrier_wait");
    if (status == 0) {
        /* As Python's None: no time-out of this call's own. */
        bool own = !(isinf(timeout) && timeout > 0);
        status = mp__deadline_from(own ? timeout : barrier->timeout, "mp_barrier_wait", &until);
    }
    if (status == 0) {
        status = arrive(barrier, until, &me);
    }
    if (status == 0) {
        status =
            me.number + 1 == barrier->parties ? lead(barrier, &me) : follow(barrier, &me, until);
    }
    return status < 0 ? status : (int)me.number;
}

/* ---- all the rest ---------------------------------------------------------------------------- */

static int
check_options(int parties, const mp_barrier_options *options)
{
    static const uint64_t none[sizeof options->reserved / sizeof *options->reserved];
    if (parties < 1) {
        return mp__error(MP_EVALUE, "mp_barrier_new: %d parties: there must be at least 1",
                         parties);
    }
    if (memcmp(options->reserved, none, sizeof none) != 0) {
        return mp__error(MP_EVALUE, "mp_barrier_new: an option is set that this libmp does not "
                                    "know (zero the struct first)");
    }
    if (isnan(options->timeout)) {
        return mp__error(MP_EVALUE, "mp_barrier_new: the time-out is not a number");
    }
    return 0;
}

mp_barrier *
mp_barrier_new(int parties, const mp_barrier_options *options)
{
    static const mp_barrier_options defaults;
    mp__funcref action;
    if (!options) {
        options = &defaults;
    }
    if (check_options(parties, options) < 0 ||
        mp__funcref_make((mp__func)options->action, &action) < 0) {
        return NULL;
    }
    mp_barrier *b = mp__shared_new(sizeof *b + (size_t)parties * sizeof *b->slot, MP__TAG_BARRIER);
    if (b) {
        b->parties = (uint32_t)parties;
        b->timeout = options->timeout == 0 ? MP_FOREVER : options->timeout;
        b->action = action;
        b->arg = options->arg;
        atomic_init(&b->state, state_of(0, 1)); /* slots of round 0 are free */
    }
    return b;
}

int
mp_barrier_free(mp_barrier *barrier)
{
    return mp__shared_free(barrier, MP__TAG_BARRIER, "mp_barrier_free");
}

int
mp_barrier_reset(mp_barrier *barrier)
{
    int status = mp__shared_check(barrier, MP__TAG_BARRIER, "mp_barrier_reset");
    while (status == 0) {
        uint64_t seen = state_now(barrier);
        if (seen & BROKEN) {
            /* sync.barrier.mend */
            if (atomic_compare_exchange_strong(&barrier->state, &seen, seen & ~BROKEN)) {
                break;
            }
        } else if (round_of(slot_now(barrier, 0)) != round_of(seen) ||
                   break_round(barrier, seen, 0, 0)) {
            break; /* nobody had come, or they are told */
        }
    }
    return status;
}

int
mp_barrier_abort(mp_barrier *barrier)
{
    int status = mp__shared_check(barrier, MP__TAG_BARRIER, "mp_barrier_abort");
    while (status == 0) {
        uint64_t seen = state_now(barrier);
        if ((seen & BROKEN) || break_round(barrier, seen, BROKEN, 0)) {
            break;
        }
    }
    return status;
}

int
mp_barrier_parties(mp_barrier *barrier)
{
    int status = mp__shared_check(barrier, MP__TAG_BARRIER, "mp_barrier_parties");
    return status < 0 ? status : (int)barrier->parties;
}

int
mp_barrier_n_waiting(mp_barrier *barrier)
{
    int status = mp__shared_check(barrier, MP__TAG_BARRIER, "mp_barrier_n_waiting");
    while (status == 0) {
        uint64_t seen = state_now(barrier);
        uint32_t n = came(barrier, round_of(seen));
        if (same_round(state_now(barrier), seen)) {
            return seen & BROKEN ? 0 : (int)n;
        }
    }
    return status;
}

int
mp_barrier_broken(mp_barrier *barrier)
{
    int status = mp__shared_check(barrier, MP__TAG_BARRIER, "mp_barrier_broken");
    return status < 0 ? status : (state_now(barrier) & BROKEN) != 0;
}

int
mp_barrier_repr(mp_barrier *barrier, char *buf, size_t size)
{
    int status = mp__shared_check(barrier, MP__TAG_BARRIER, "mp_barrier_repr");
    if (status < 0) {
        return status;
    }
    char state[48] = "broken";
    if (!mp_barrier_broken(barrier)) {
        snprintf(state, sizeof state, "waiters=%d/%u", mp_barrier_n_waiting(barrier),
                 (unsigned)barrier->parties);
    }
    return mp__repr("mp_barrier_repr", buf, size,
                    "<multiprocessing.synchronize.Barrier at 0x%" PRIxPTR ": %s>",
                    (uintptr_t)barrier, state);
}
