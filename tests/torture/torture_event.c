/*
 * torture_event.c: Event, killed after each instruction of its calls.
 *
 * A set has happened or not, and the event itself tells which.  If it has, all who wait go on by
 * themselves; if not, none does, and the next set lets all of them go, as if the dead had never
 * been there.
 */
#include "torture/torture.h"

#include "sync/event.h"

#define LONG       20.0 /* who has not come back by then never will */
#define TO_PARKED  5.0
#define SHORT_TIME 0.003

static struct world {
    mp_event *event;
    bool was_set;
} world;

static void
new_clear(void *arg)
{
    struct world *w = arg;
    w->event = mp_event_new();
    w->was_set = false;
    mp_child_check(w->event);
}

static void
new_set(void *arg)
{
    struct world *w = arg;
    new_clear(arg);
    mp_child_ok(mp_event_set(w->event));
    w->was_set = true;
}

static void
free_event(void *arg)
{
    struct world *w = arg;
    mp_child_ok(mp_event_free(w->event));
}

/* ---- operations ------------------------------------------------------------------------------- */

static void
set(void *arg)
{
    struct world *w = arg;
    mp_event_set(w->event);
}

static void
set_and_clear(void *arg)
{
    struct world *w = arg;
    mp_event_set(w->event);
    mp_event_clear(w->event);
}

static void
clear(void *arg)
{
    struct world *w = arg;
    mp_event_clear(w->event);
}

static void
wait_for_it(void *arg)
{
    struct world *w = arg;
    mp_event_wait(w->event, MP_FOREVER);
}

static void
wait_for_a_while(void *arg)
{
    struct world *w = arg;
    mp_event_wait(w->event, SHORT_TIME);
}

static int
park(void *arg, int which)
{
    struct world *w = arg;
    (void)which;
    return mp_event_wait(w->event, LONG);
}

/* The first of two waits, the second lets the victim go when that sleeps, too. */
static int
park_or_set(void *arg, int which)
{
    struct world *w = arg;
    if (which == 0) {
        return park(arg, which);
    }
    torture_victim_sleeps();
    return mp_event_set(w->event);
}

static int
set_too(void *arg)
{
    struct world *w = arg;
    return mp_event_set(w->event);
}

/* ---- what is left ----------------------------------------------------------------------------- */

static const char *
in_order(struct world *w)
{
    if (mp_event_set(w->event) != 0 || mp_event_is_set(w->event) != 1 ||
        mp_event_wait(w->event, 0) != 0) {
        return "the event cannot be set";
    }
    if (mp_event_clear(w->event) != 0 || mp_event_is_set(w->event) != 0 ||
        mp_event_wait(w->event, 0) != MP_ETIMEOUT) {
        return "the event cannot be cleared";
    }
    return atomic_load(&w->event->word) >> 32 == 0 ? NULL : "somebody is still counted asleep";
}

/* All n companions are back, or come back now, with 0. */
static const char *
all_go_on(struct world *w, int n)
{
    if (torture_back(n, TO_PARKED) != n) {
        return "a waiter does not go on";
    }
    for (int i = 0; i < n; i++) {
        if (torture_result(i) != 0) {
            return "a waiter is told that the event was not set";
        }
    }
    return in_order(w);
}

/* The victim set it, and the frame's companions wait, as many as the case has. */
static const char *
check_set(struct world *w, bool finished, int n)
{
    bool is_set = mp_event_is_set(w->event) == 1;
    if (finished && !is_set) {
        return "it was set, and is not";
    }
    if (!is_set) {
        if (torture_back(1, 0) != 0) {
            return "a waiter went on before the event was set";
        }
        torture_mark();
        mp_child_ok(mp_event_set(w->event));
    }
    return all_go_on(w, n);
}

static const char *
check_set_one(void *arg, bool finished)
{
    return check_set(arg, finished, 1);
}

static const char *
check_set_three(void *arg, bool finished)
{
    return check_set(arg, finished, 3);
}

static const char *
check_set_nobody(void *arg, bool finished)
{
    struct world *w = arg;
    int is_set = mp_event_is_set(w->event);
    return (finished || w->was_set) && !is_set ? "it was set, and is not" : in_order(w);
}

static const char *
check_clear(void *arg, bool finished)
{
    struct world *w = arg;
    return finished && mp_event_is_set(w->event) ? "it was cleared, and is set" : in_order(w);
}

/* Cleared again at once, if the victim came that far: whoever waited goes on all the same. */
static const char *
check_pulse(void *arg, bool finished)
{
    struct world *w = arg;
    uint32_t sets = (uint32_t)atomic_load(&w->event->word) / 2;
    if (finished && (sets != 1 || mp_event_is_set(w->event))) {
        return "it was set and cleared, and does not look so";
    }
    if (sets == 0) {
        torture_mark();
        mp_child_ok(mp_event_set(w->event));
        mp_child_ok(mp_event_clear(w->event));
    }
    return all_go_on(w, 3);
}

/* Another process set it while the victim stood in the middle of doing so. */
static const char *
check_arrived(void *arg, bool finished)
{
    struct world *w = arg;
    (void)finished;
    return mp_event_is_set(w->event) ? all_go_on(w, 2) : "it was set, and is not";
}

/* The victim waited and was let go by the second companion; or it died before that. */
static const char *
check_waited(void *arg, bool finished)
{
    (void)finished;
    return all_go_on(arg, 2);
}

static const char *
check_timed_out(void *arg, bool finished)
{
    struct world *w = arg;
    uint64_t asleep = atomic_load(&w->event->word) >> 32;
    if (asleep < 1 || asleep > 2 || (finished && asleep != 1)) {
        return "the sleepers are counted wrong";
    }
    if (torture_back(1, 0) != 0) {
        return "a waiter went on before the event was set";
    }
    torture_mark();
    mp_child_ok(mp_event_set(w->event));
    return all_go_on(w, 1);
}

#define OF_AN_EVENT .tear_down = free_event, .arg = &world

static const struct torture_case cases[] = {
    {.name = "sync.event.set",
     .set_up = new_clear,
     .operation = set,
     .check = check_set_nobody,
     OF_AN_EVENT},
    {.name = "sync.event.set+again",
     .set_up = new_set,
     .operation = set,
     .check = check_set_nobody,
     OF_AN_EVENT},
    {.name = "sync.event.set+parked",
     .set_up = new_clear,
     .parked = 1,
     .park = park,
     .operation = set,
     .check = check_set_one,
     OF_AN_EVENT},
    {.name = "sync.event.set+3 parked",
     .set_up = new_clear,
     .parked = 3,
     .park = park,
     .operation = set,
     .check = check_set_three,
     OF_AN_EVENT},
    {.name = "sync.event.set+arriving",
     .set_up = new_clear,
     .parked = 1,
     .park = park,
     .operation = set,
     .arrive = set_too,
     .check = check_arrived,
     OF_AN_EVENT},
    {.name = "sync.event.set+twice",
     .set_up = new_clear,
     .parked = 1,
     .park = park,
     .operation = set,
     .recovery = set,
     .check = check_set_one,
     OF_AN_EVENT},
    {.name = "sync.event.clear",
     .set_up = new_set,
     .operation = clear,
     .check = check_clear,
     OF_AN_EVENT},
    {.name = "sync.event.clear+parked",
     .commits = "sync.event.set",
     .set_up = new_clear,
     .parked = 3,
     .park = park,
     .operation = set_and_clear,
     .check = check_pulse,
     OF_AN_EVENT},
    {.name = "sync.event.wait",
     .commits = "sync.event.set heap.waits.begin heap.waits.end",
     .set_up = new_clear,
     .parked = 2,
     .park = park_or_set,
     .operation = wait_for_it,
     .check = check_waited,
     .quick = 25,
     OF_AN_EVENT},
    {.name = "sync.event.wait+timeout",
     .commits = "heap.waits.begin heap.waits.end",
     .set_up = new_clear,
     .parked = 1,
     .park = park,
     .operation = wait_for_a_while,
     .check = check_timed_out,
     .quick = 40,
     OF_AN_EVENT},
    {.name = "sync.event.wait+twice",
     .commits = "heap.waits.begin heap.waits.end",
     .set_up = new_clear,
     .parked = 1,
     .park = park,
     .operation = set,
     .recovery = wait_for_a_while,
     .check = check_set_one,
     .stride = 3,
     OF_AN_EVENT},
};

TORTURE_CASES(sync, cases)
