/* sync/event.c: mp_event, a flag to wait for, in one word. */
#include "sync/event.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>

#include "base/error.h"
#include "heap/waits.h"
#include "sync/park.h"
#include "sync/repr.h"

#define GENERATION UINT32_C(2)
#define SLEEPER    (UINT64_C(1) << 32)

mp_event *
mp_event_new(void)
{
    return mp__shared_new(sizeof(mp_event), MP__TAG_EVENT);
}

int
mp_event_free(mp_event *event)
{
    return mp__shared_free(event, MP__TAG_EVENT, "mp_event_free");
}

int
mp_event_set(mp_event *event)
{
    int status = mp__shared_check(event, MP__TAG_EVENT, "mp_event_set");
    if (status < 0) {
        return status;
    }
    uint64_t seen = atomic_load_explicit(&event->word, memory_order_relaxed), wanted;
    do {
        /* A set word is stored again: whoever waits from now on sees what we did before this. */
        wanted = seen & MP__EVENT_SET ? seen : ((uint32_t)seen + GENERATION) | MP__EVENT_SET;
        /* sync.event.set */
    } while (!atomic_compare_exchange_weak_explicit(&event->word, &seen, wanted,
                                                    memory_order_acq_rel, memory_order_relaxed));
    if (seen / SLEEPER != 0) {
        mp__plat_wake(mp__park_half(&event->word), INT_MAX);
    }
    return 0;
}

int
mp_event_clear(mp_event *event)
{
    int status = mp__shared_check(event, MP__TAG_EVENT, "mp_event_clear");
    if (status == 0) {
        /* sync.event.clear */
        atomic_fetch_and_explicit(&event->word, ~MP__EVENT_SET, memory_order_acq_rel);
    }
    return status;
}

int
mp_event_is_set(mp_event *event)
{
    int status = mp__shared_check(event, MP__TAG_EVENT, "mp_event_is_set");
    return status < 0
               ? status
               : (int)(atomic_load_explicit(&event->word, memory_order_acquire) & MP__EVENT_SET);
}

int
mp_event_repr(mp_event *event, char *buf, size_t size)
{
    int set = mp__shared_check(event, MP__TAG_EVENT, "mp_event_repr");
    if (set == 0) {
        set = mp_event_is_set(event);
    }
    return set < 0 ? set
                   : mp__repr("mp_event_repr", buf, size, "<Event at 0x%" PRIxPTR " %s>",
                              (uintptr_t)event, set ? "set" : "unset");
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* Whether a set has come since the low half was `since`. */
static bool
has_come(mp_event *e, uint32_t since)
{
    return (uint32_t)atomic_load_explicit(&e->word, memory_order_acquire) != since;
}

/* Change the count of sleepers, while no set has come; false when one has, and took them all. */
static bool
count(mp_event *e, uint32_t since, uint64_t change)
{
    uint64_t seen = atomic_load_explicit(&e->word, memory_order_acquire);
    while ((uint32_t)seen == since) {
        if (atomic_compare_exchange_weak_explicit(&e->word, &seen, seen + change,
                                                  memory_order_acq_rel, memory_order_acquire)) {
            return true;
        }
    }
    return false;
}

/* The rest of a wait, in sleeps; true when a set came; false too when the event was freed. */
static bool
wait_asleep(mp_event *e, uint32_t since, mp__deadline until)
{
    if (!count(e, since, SLEEPER)) {
        return true;
    }
    mp__waiting(e);
    bool came = false, late = false, live = true;
    while (!came && !late && live) {
        late = mp__park(mp__park_half(&e->word), since, until);
        live = mp__shared_live(e, MP__TAG_EVENT);
        came = has_come(e, since) || (late && live && !count(e, since, 0 - SLEEPER));
    }
    mp__waiting_done();
    return came;
}

static bool
wait_clear(mp_event *e, uint32_t since, mp__deadline until)
{
    if (until == MP__TRY) {
        return false;
    }
    for (int i = 0; i < MP__SPINS; i++) {
        if (has_come(e, since)) {
            return true;
        }
        mp__plat_pause();
    }
    return wait_asleep(e, since, until);
}

int
mp_event_wait(mp_event *event, double timeout)
{
    mp__deadline until;
    int status = mp__shared_check(event, MP__TAG_EVENT, "mp_event_wait");
    if (status < 0) {
        return status;
    }
    uint64_t seen = atomic_load_explicit(&event->word, memory_order_acquire);
    if ((seen & MP__EVENT_SET) && !isnan(timeout)) {
        return 0;
    }
    status = mp__deadline_from(timeout, "mp_event_wait", &until);
    if (status == 0 && !wait_clear(event, (uint32_t)seen, until) &&
        (status = mp__shared_check(event, MP__TAG_EVENT, "mp_event_wait")) == 0) {
        status = mp__error(MP_ETIMEOUT, "mp_event_wait: the event was not set in time");
    }
    return status;
}
