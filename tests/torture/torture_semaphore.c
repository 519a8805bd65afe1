/*
 * torture_semaphore.c: Semaphore and its undo, killed after each instruction.
 *
 * The survivor counts units.  A plain one is there or gone with its holder, whole; one with undo is
 * there again after each death, exactly once.
 */
#include "torture/torture.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap/heap.h"
#include "sync/semaphore.h"

#define LONG       1e3 /* who hangs is found out by the frame */
#define SHORT_TIME 0.003
#define SEVERAL    3
#define LOOKS      30 /* ms; the next look for the dead is not left out as one too many */

static struct world {
    mp_semaphore *s;
    size_t blocks; /* of the heap, before there was a semaphore */
} world;

/* ---- semaphores ------------------------------------------------------------------------------ */

static void
make(struct world *w, int64_t value, bool bounded)
{
    w->blocks = torture_blocks();
    w->s = bounded ? mp_bounded_semaphore_new(value) : mp_semaphore_new(value);
    mp_child_check(w->s != NULL);
}

static void
new_two(void *arg)
{
    make(arg, 2, true);
}

static void
new_empty(void *arg)
{
    make(arg, 0, false);
}

static void
new_one(void *arg)
{
    make(arg, 1, false);
}

/* Its records exist: somebody used undo before. */
static void
new_two_used(void *arg)
{
    new_two(arg);
    mp_child_ok(mp_semaphore_acquire_undo(world.s, 0));
    mp_child_ok(mp_semaphore_release(world.s));
}

/* A dead process held both units. */
static void
new_two_dead(void *arg)
{
    int status = -1;
    new_two(arg);
    pid_t pid = fork();
    if (pid == 0) {
        mp_child_ok(mp_semaphore_acquire_undo(world.s, 0));
        mp_child_ok(mp_semaphore_acquire_undo(world.s, 0));
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    mp_child_check(status == 0);
}

/* Its block and those of its records, whatever state a victim left them in. */
static void
free_it(void *arg)
{
    struct world *w = arg;
    mp_child_ok(mp_semaphore_free(w->s));
    mp_child_check(torture_blocks() == w->blocks);
}

/* ---- the survivor ---------------------------------------------------------------------------- */

/* The value becomes `expected`, soon, and stays there. */
static const char *
value_becomes(struct world *w, int expected)
{
    double begin = mp_test_now();
    int value;
    while ((value = mp_semaphore_get_value(w->s)) < expected && mp_test_now() - begin < 5) {
    }
    torture_waited(mp_test_now() - begin);
    if (value != expected) {
        return value < expected ? "a unit is lost" : "there is a unit too many";
    }
    /* The word is read last: a record is named while the lock is held, if only by the dead. */
    bool held = atomic_load(&w->s->lock.word) != 0;
    return atomic_load(&w->s->word) >> MP__RECORD_SHIFT != 0 && !held ? "a record stays named"
                                                                      : NULL;
}

/* Take all `n`, then none, and give them back. */
static const char *
goes_on(struct world *w, int n)
{
    for (int i = 0; i < n; i++) {
        if ((i % 2 ? mp_semaphore_acquire_undo(w->s, 0) : mp_semaphore_acquire(w->s, 0)) != 0) {
            return "a unit cannot be taken";
        }
    }
    if (mp_semaphore_acquire(w->s, 0) != MP_ETIMEOUT || mp_semaphore_locked(w->s) != 1) {
        return "more can be taken than there is";
    }
    for (int i = 0; i < n; i++) {
        if (mp_semaphore_release(w->s) != 0) {
            return "a unit cannot be released";
        }
    }
    return w->s->bounded && n == 2 && mp_semaphore_release(w->s) != MP_EVALUE
               ? "the bound does not hold"
               : NULL;
}

/* A plain acquire of one of two: taken or not. */
static const char *
check_acquired(void *arg, bool finished)
{
    struct world *w = arg;
    int value = mp_semaphore_get_value(w->s);
    if (value != 1 && (value != 2 || finished)) {
        return "the value is off";
    }
    return goes_on(w, value);
}

/* All units are there again, whatever the victim did. */
static const char *
check_two(void *arg, bool finished)
{
    struct world *w = arg;
    (void)finished;
    const char *wrong = value_becomes(w, 2);
    wrong = wrong ? wrong : goes_on(w, 2);
    return wrong ? wrong : value_becomes(w, 2);
}

/* And a look later, not one more came. */
static const char *
check_two_for_good(void *arg, bool finished)
{
    struct world *w = arg;
    const char *wrong = check_two(arg, finished);
    if (!wrong && mp_semaphore_acquire(w->s, 0) != 0) {
        wrong = "a unit cannot be taken";
    }
    poll(NULL, 0, LOOKS);
    wrong = wrong ? wrong : value_becomes(w, 1);
    return wrong ? wrong : mp_semaphore_release(w->s) != 0 ? "a unit cannot be released" : NULL;
}

/* ---- plain ----------------------------------------------------------------------------------- */

static void
acquire(void *arg)
{
    struct world *w = arg;
    mp_semaphore_acquire(w->s, MP_FOREVER);
}

static void
acquire_for_a_while(void *arg)
{
    struct world *w = arg;
    mp_semaphore_acquire(w->s, SHORT_TIME);
}

static void
release(void *arg)
{
    struct world *w = arg;
    mp_semaphore_release(w->s);
}

static void
release_several(void *arg)
{
    for (int i = 0; i < SEVERAL; i++) {
        release(arg);
    }
}

static int
wait_for_unit(void *arg, int which)
{
    struct world *w = arg;
    (void)which;
    return mp_semaphore_acquire(w->s, LONG);
}

/* Those who wait and did not get a unit of the victim's get the survivor's. */
static const char *
give_the_rest(struct world *w, int waiting, int least)
{
    /* A unit that is there reaches a waiter, though nobody may have been woken for it. */
    int back = torture_back(waiting, 0.06);
    if (mp_semaphore_get_value(w->s) != 0 && back < waiting) {
        double begin = mp_test_now();
        while (mp_semaphore_get_value(w->s) != 0 && mp_test_now() - begin < 5) {
        }
        torture_waited(mp_test_now() - begin + 0.06);
    }
    back = torture_settled(5); /* who took one may have come no further yet */
    if (back < least) {
        return "a unit that was released reached nobody";
    }
    torture_mark();
    for (int i = back; i < waiting; i++) {
        if (mp_semaphore_release(w->s) != 0) {
            return "a unit cannot be released";
        }
    }
    if (torture_back(waiting, 5) != waiting) {
        return "a waiter is stuck";
    }
    for (int i = 0; i < waiting; i++) {
        if (torture_result(i) != 0) {
            return "a waiter gets an error";
        }
    }
    return NULL;
}

static const char *
check_released_to_one(void *arg, bool finished)
{
    struct world *w = arg;
    const char *wrong = give_the_rest(w, 1, finished ? 1 : 0);
    wrong = wrong ? wrong : value_becomes(w, 0);
    return wrong ? wrong : goes_on(w, 0);
}

static const char *
check_released_to_several(void *arg, bool finished)
{
    struct world *w = arg;
    const char *wrong = give_the_rest(w, SEVERAL, finished ? SEVERAL : 0);
    wrong = wrong ? wrong : value_becomes(w, 0);
    return wrong ? wrong : goes_on(w, 0);
}

/* The victim only waited, or took the one unit that the frame's other process released. */
static const char *
check_waited(void *arg, bool finished)
{
    struct world *w = arg;
    (void)finished;
    const char *wrong = give_the_rest(w, 1, 0);
    return wrong ? wrong : value_becomes(w, 0);
}

/* Lets the victim go on when it sleeps. */
static int
release_to_victim(void *arg, int which)
{
    struct world *w = arg;
    (void)which;
    torture_victim_sleeps();
    return mp_semaphore_release(w->s);
}

/* The unit that was released is there, or the victim had it; with undo it is there in any case. */
static const char *
check_met(void *arg, bool finished)
{
    struct world *w = arg;
    if (torture_back(1, 5) != 1 || torture_result(0) != 0) {
        return "the release failed";
    }
    int value = mp_semaphore_get_value(w->s);
    if (value != 0 && (value != 1 || finished)) {
        return "the value is off";
    }
    return goes_on(w, value);
}

static const char *
check_met_undo(void *arg, bool finished)
{
    struct world *w = arg;
    (void)finished;
    if (torture_back(1, 5) != 1 || torture_result(0) != 0) {
        return "the release failed";
    }
    const char *wrong = value_becomes(w, 1);
    return wrong ? wrong : goes_on(w, 1);
}

/* ---- undo ------------------------------------------------------------------------------------ */

static void
acquire_undo(void *arg)
{
    struct world *w = arg;
    mp_semaphore_acquire_undo(w->s, MP_FOREVER);
}

static void
release_and_try_undo(void *arg)
{
    struct world *w = arg;
    release(arg);
    mp_semaphore_acquire_undo(w->s, 0);
}

static void
look(void *arg)
{
    struct world *w = arg;
    mp_semaphore_get_value(w->s);
}

/* Not so soon after the last look that this one is left out. */
static void
let_time_pass(void *arg)
{
    (void)arg;
    mp__self();
    poll(NULL, 0, LOOKS);
}

static void
hold_one(void *arg)
{
    struct world *w = arg;
    mp_child_ok(mp_semaphore_acquire_undo(w->s, 0));
}

static void
hold_two(void *arg)
{
    hold_one(arg);
    hold_one(arg);
}

/* Takes it with undo, and gives it back. */
static int
wait_with_undo(void *arg, int which)
{
    struct world *w = arg;
    (void)which;
    int status = mp_semaphore_acquire_undo(w->s, LONG);
    return status < 0 ? status : mp_semaphore_release(w->s);
}

/* The waiter has come and gone, and the unit is there again. */
static const char *
check_one_came(void *arg, bool finished)
{
    struct world *w = arg;
    (void)finished;
    if (torture_back(1, 5) != 1 || torture_result(0) != 0) {
        return "a waiter is stuck, or gets an error";
    }
    const char *wrong = value_becomes(w, 1);
    return wrong ? wrong : goes_on(w, 1);
}

static int
arrive_with_undo(void *arg)
{
    struct world *w = arg;
    int status = mp_semaphore_acquire_undo(w->s, LONG);
    return status < 0 ? status : mp_semaphore_release(w->s);
}

static const char *
check_two_and_arrived(void *arg, bool finished)
{
    if (torture_back(1, 5) != 1 || torture_result(0) != 0) {
        return "the one who arrived is stuck";
    }
    return check_two(arg, finished);
}

/* Another released for the victim: what it holds is one too many when it dies. */
static void
hold_one_that_is_released(void *arg)
{
    struct world *w = arg;
    int status = -1;
    hold_one(arg);
    pid_t pid = fork();
    if (pid == 0) {
        mp_child_ok(mp_semaphore_release(w->s));
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    mp_child_check(status == 0);
}

#define TAKE "sync.semaphore.undo_acquire"
#define GIVE "sync.semaphore.undo_release"
#define BACK "sync.semaphore.give_back"

static const struct torture_case cases[] = {
    {.name = "sync.semaphore.acquire",
     .set_up = new_two,
     .operation = acquire,
     .check = check_acquired,
     .tear_down = free_it,
     .arg = &world},
    {.name = "sync.semaphore.acquire+empty",
     .set_up = new_empty,
     .parked = 1,
     .park = wait_for_unit,
     .operation = acquire_for_a_while,
     .check = check_waited,
     .tear_down = free_it,
     .stride = 3,
     .arg = &world},
    {.name = "sync.semaphore.acquire+woken",
     .commits = "sync.semaphore.release",
     .set_up = new_empty,
     .parked = 1,
     .park = release_to_victim,
     .operation = acquire,
     .check = check_met,
     .tear_down = free_it,
     .stride = 3,
     .arg = &world},
    {.name = "sync.semaphore.release+parked",
     .set_up = new_empty,
     .parked = 1,
     .park = wait_for_unit,
     .operation = release,
     .check = check_released_to_one,
     .tear_down = free_it,
     .arg = &world},
    {.name = "sync.semaphore.release+several",
     .set_up = new_empty,
     .parked = SEVERAL,
     .park = wait_for_unit,
     .operation = release_several,
     .check = check_released_to_several,
     .tear_down = free_it,
     .arg = &world},
    {.name = "sync.semaphore.undo_grow",
     .commits = TAKE " " BACK,
     .set_up = new_two,
     .operation = acquire_undo,
     .check = check_two,
     .tear_down = free_it,
     .arg = &world},
    {.name = "sync.semaphore.undo_acquire",
     .commits = BACK,
     .set_up = new_two_used,
     .operation = acquire_undo,
     .check = check_two_for_good,
     .tear_down = free_it,
     .arg = &world},
    {.name = "sync.semaphore.undo_acquire+second",
     .set_up = new_two_used,
     .before = hold_one,
     .operation = acquire_undo,
     .check = check_two,
     .tear_down = free_it,
     .arg = &world},
    {.name = "sync.semaphore.undo_acquire+parked",
     .set_up = new_one,
     .before = hold_one,
     .parked = 1,
     .park = wait_with_undo,
     .late = true,
     .operation = release_and_try_undo,
     .check = check_one_came,
     .tear_down = free_it,
     .stride = 5,
     .arg = &world},
    {.name = "sync.semaphore.undo_acquire+arrive",
     .set_up = new_two,
     .operation = acquire_undo,
     .arrive = arrive_with_undo,
     .check = check_two_and_arrived,
     .tear_down = free_it,
     .arg = &world},
    {.name = "sync.semaphore.undo_acquire+woken",
     .set_up = new_empty,
     .parked = 1,
     .park = release_to_victim,
     .operation = acquire_undo,
     .check = check_met_undo,
     .tear_down = free_it,
     .stride = 5,
     .arg = &world},
    {.name = "sync.semaphore.undo_acquire+twice",
     .commits = BACK,
     .set_up = new_two_used,
     .operation = acquire_undo,
     .recovery = look,
     .before_recovery = let_time_pass,
     .stride = 4,
     .check = check_two,
     .tear_down = free_it,
     .arg = &world},
    {.name = "sync.semaphore.undo_release",
     .set_up = new_two,
     .before = hold_one,
     .operation = release,
     .check = check_two_for_good,
     .tear_down = free_it,
     .arg = &world},
    {.name = "sync.semaphore.undo_release+second",
     .set_up = new_two,
     .before = hold_two,
     .operation = release,
     .check = check_two,
     .tear_down = free_it,
     .arg = &world},
    {.name = "sync.semaphore.undo_release+parked",
     .commits = BACK,
     .set_up = new_one,
     .before = hold_one,
     .parked = 1,
     .park = wait_with_undo,
     .late = true,
     .operation = release,
     .check = check_one_came,
     .tear_down = free_it,
     .arg = &world},
    {.name = "sync.semaphore.undo_release+arrive",
     .set_up = new_two,
     .before = hold_two,
     .operation = release,
     .arrive = arrive_with_undo,
     .check = check_two_and_arrived,
     .tear_down = free_it,
     .arg = &world},
    {.name = "sync.semaphore.undo_release+bound",
     .set_up = new_two,
     .before = hold_one_that_is_released,
     .operation = release,
     .check = check_two,
     .tear_down = free_it,
     .arg = &world},
    {.name = "sync.semaphore.undo_release+twice",
     .commits = BACK,
     .set_up = new_two,
     .before = hold_two,
     .operation = release,
     .recovery = look,
     .before_recovery = let_time_pass,
     .stride = 4,
     .check = check_two,
     .tear_down = free_it,
     .arg = &world},
    {.name = "sync.semaphore.give_back",
     .set_up = new_two_dead,
     .operation = look,
     .check = check_two_for_good,
     .tear_down = free_it,
     .arg = &world},
    {.name = "sync.semaphore.give_back+twice",
     .set_up = new_two_dead,
     .operation = look,
     .recovery = look,
     .before_recovery = let_time_pass,
     .stride = 4,
     .check = check_two,
     .tear_down = free_it,
     .arg = &world},
};
TORTURE_CASES(sync, cases)

/* ---- the storm ------------------------------------------------------------------------------- */

static void
open_storm(void *arg)
{
    make(arg, 2, true);
}

static void
in_and_out(void *arg, int which)
{
    struct world *w = arg;
    (void)which;
    int status = mp_semaphore_acquire_undo(w->s, torture_random(3) ? LONG : 0.0005);
    mp_child_check(status == 0 || status == MP_ETIMEOUT);
    if (status == 0) {
        for (volatile unsigned i = torture_random(300); i > 0; i--) {
        }
        mp_child_ok(mp_semaphore_release(w->s));
    }
}

static const char *
check_storm(void *arg, long kills)
{
    (void)kills;
    const char *wrong = check_two_for_good(arg, true);
    free_it(arg);
    return wrong;
}

static const struct torture_storm storms[] = {
    {.name = "sync.semaphore.undo_acquire+storm",
     .commits = TAKE " " GIVE " " BACK,
     .workers = 6,
     .kills = 2000,
     .quick_kills = 200,
     .open = open_storm,
     .work = in_and_out,
     .check = check_storm,
     .arg = &world},
};
TORTURE_STORMS(sync, storms)
