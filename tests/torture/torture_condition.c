/*
 * torture_condition.c: Condition, killed after each instruction, and in storms.
 *
 * A notification is told by one store, of granted_below; from the outside that is where it has
 * happened: then as many of the living must come back as it was for, and else none.  Whatever the
 * victim left, the next notifications must find whom they are for, and no one twice.
 */
#include "torture/torture.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap/family.h"
#include "sync/condition.h"

#define TO_COME 5.0 /* seconds for who must come back; the times are measured */

/* Of the survivor, and by fork of all others; what the pointers lead to is in the heap. */
static struct world {
    mp_lock *lock;
    mp_condition *cond;
    int n;           /* how many a notification is for; 0: all */
    int deaths;      /* that may leave the lock to another, and so be told */
    uint64_t blocks; /* of the heap, before there was a condition */
} world;

static void
new_condition(void *arg)
{
    struct world *w = arg;
    w->blocks = mp__family->alloc.used_blocks;
    w->lock = mp_lock_new();
    w->cond = mp_condition_new(w->lock);
    w->deaths = 1;
    mp_child_check(w->cond != NULL);
}

/* Whatever happened: the blocks of the chain go with the condition. */
static void
free_condition(void *arg)
{
    struct world *w = arg;
    mp_child_ok(mp_condition_free(w->cond));
    mp_child_ok(mp_lock_free(w->lock));
    mp_child_check(mp__family->alloc.used_blocks == w->blocks);
}

static void
new_for_1(void *arg)
{
    new_condition(arg);
    world.n = 1;
}

static void
new_for_2(void *arg)
{
    new_condition(arg);
    world.n = 2;
}

static void
new_for_all(void *arg)
{
    new_condition(arg);
    world.n = 0;
}

/* For a second victim, which may die with the lock as well. */
static void
new_twice(void *arg)
{
    new_condition(arg);
    world.deaths = 2;
}

static void
new_for_all_twice(void *arg)
{
    new_twice(arg);
    world.n = 0;
}

static int
wait_once(struct world *w, double timeout)
{
    if (mp_condition_acquire(w->cond, MP_FOREVER) < 0) {
        return -1;
    }
    int status = mp_condition_wait(w->cond, timeout);
    if (mp_condition_release(w->cond) != 0) {
        return -1;
    }
    return status;
}

/*
 * A process that waited and was killed in its sleep is first in line.  The table of members does
 * not know yet: it has to be looked for.
 */
static pid_t
dead_first(struct world *w)
{
    pid_t pid = fork();
    if (pid == 0) {
        wait_once(w, MP_FOREVER);
        _exit(0);
    }
    while (atomic_load(&w->cond->head) == NULL ||
           atomic_load(&w->cond->head)->state != MP__WAITER_PARKED) {
        poll(NULL, 0, 1);
    }
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return pid;
}

static void
new_with_dead_first(void *arg)
{
    new_for_1(arg);
    dead_first(arg);
}

static void
new_with_dead_first_twice(void *arg)
{
    new_with_dead_first(arg);
    world.deaths = 2;
}

static void
new_with_gone_first(void *arg)
{
    new_for_1(arg);
    mp__member_reaped(dead_first(arg));
}

static int
wait_in_line(void *arg, int which)
{
    (void)which;
    return wait_once(arg, MP_FOREVER);
}

/* The companions sleep, but it may be for the lock that they do. */
static void
all_in_line(struct world *w, uint32_t n)
{
    while (w->cond->waiting != n) {
        poll(NULL, 0, 1);
    }
}

static void
three_in_line(void *arg)
{
    all_in_line(arg, 3);
}

static void
four_in_line(void *arg)
{
    all_in_line(arg, 4);
}

/* ---- operations ------------------------------------------------------------------------------- */

static void
do_notify(void *arg)
{
    struct world *w = arg;
    mp_condition_acquire(w->cond, MP_FOREVER);
    if (w->n == 0) {
        mp_condition_notify_all(w->cond);
    } else {
        mp_condition_notify(w->cond, w->n);
    }
    mp_condition_release(w->cond);
}

/* In line and out again. */
static void
do_try(void *arg)
{
    wait_once(arg, 0);
}

static void
do_time_out(void *arg)
{
    wait_once(arg, 0.003);
}

static void
do_wait(void *arg)
{
    wait_once(arg, MP_FOREVER);
}

/* The dead one is notified; to get in line its place is needed, and it has an heir. */
static void
do_notify_and_try(void *arg)
{
    struct world *w = arg;
    mp_condition_acquire(w->cond, MP_FOREVER);
    mp_condition_notify(w->cond, 1);
    mp_condition_wait(w->cond, 0);
    mp_condition_release(w->cond);
}

/* ---- the survivor ----------------------------------------------------------------------------- */

/* The survivor takes the lock; news of a death only if the victim did not come to its end. */
static const char *
take(struct world *w, bool finished)
{
    double begin = mp_test_now();
    int status = mp_condition_acquire(w->cond, 1e3);
    torture_waited(mp_test_now() - begin);
    return status < 0                 ? "the lock is stuck"
           : status == 0 || !finished ? NULL
                                      : "a death is told that has not been";
}

/* The rest of `all` come by notifications: one alone, then all. */
static const char *
the_rest(struct world *w, int all, int back, bool finished)
{
    const char *wrong = take(w, finished && w->deaths == 1);
    if (wrong) {
        return wrong;
    }
    mp_condition_notify(w->cond, 1);
    mp_condition_release(w->cond);
    torture_mark();
    if (back < all) {
        back++;
    }
    if (torture_back(back, TO_COME) != back) {
        return "a notification did not wake the one it was for";
    }
    poll(NULL, 0, 1);
    if (torture_back(0, 0) != back) {
        return "a notification woke more than the one it was for";
    }
    wrong = take(w, true);
    if (wrong) {
        return wrong;
    }
    mp_condition_notify_all(w->cond);
    mp_condition_release(w->cond);
    torture_mark();
    if (torture_back(all, TO_COME) != all) {
        return "not all were woken";
    }
    int news = 0;
    for (int i = 0; i < all; i++) {
        if (torture_result(i) < 0) {
            return "a waiter got an error";
        }
        news += torture_result(i) == MP_OWNER_DIED;
    }
    return news > w->deaths - finished    ? "a death is told too often"
           : mp_lock_locked(w->lock) != 0 ? "the lock is not free"
           : w->cond->waiting != 0        ? "somebody is still in line"
                                          : NULL;
}

/* n of `all` were to be woken, if the notification has happened. */
static const char *
check_notified(struct world *w, int n, int all, bool finished)
{
    bool happened = w->cond->granted_below != 0;
    if (finished && !happened) {
        return "a notification was not told";
    }
    int due = happened ? n : 0;
    if (torture_back(due, TO_COME) < due) {
        return "the notified do not come back";
    }
    poll(NULL, 0, 1);
    int back = torture_back(0, 0);
    if (back != due) {
        return "more have come back than were notified";
    }
    return the_rest(w, all, back, finished);
}

static const char *
check_1_of_3(void *arg, bool finished)
{
    return check_notified(arg, 1, 3, finished);
}

static const char *
check_2_of_3(void *arg, bool finished)
{
    return check_notified(arg, 2, 3, finished);
}

static const char *
check_3_of_3(void *arg, bool finished)
{
    return check_notified(arg, 3, 3, finished);
}

static const char *
check_0_of_3(void *arg, bool finished)
{
    return the_rest(arg, 3, 0, finished);
}

static const char *
check_0_of_4(void *arg, bool finished)
{
    return the_rest(arg, 4, 0, finished);
}

/* ---- the victim waits, and is woken ----------------------------------------------------------- */

#define HEIR     0
#define NOTIFIER 1

/*
 * When the victim sleeps (or is dead) the heir gets in line behind it, and then somebody notifies
 * one of the two.
 */
static int
heir_or_notifier(void *arg, int which)
{
    struct world *w = arg;
    bool asleep = torture_victim_sleeps();
    uint32_t in_line = asleep ? 2 : 1;
    if (which == HEIR) {
        return wait_once(w, MP_FOREVER);
    }
    while (w->cond->waiting < in_line) {
        poll(NULL, 0, 1);
    }
    int status = mp_condition_acquire(w->cond, MP_FOREVER);
    mp_condition_notify(w->cond, 1);
    mp_condition_release(w->cond);
    return status;
}

/*
 * Either the victim has had its wake-up: then it is past the commit, nobody is granted, and the
 * heir still waits.  Or the heir comes.
 */
static const char *
check_heir(void *arg, bool finished)
{
    struct world *w = arg;
    double until = mp_test_now() + TO_COME;
    while (!torture_is_back(NOTIFIER) && mp_test_now() < until) {
        poll(NULL, 0, 1);
    }
    if (!torture_is_back(NOTIFIER)) {
        return "the notifier does not come back";
    }
    while (!torture_is_back(HEIR) && w->cond->granted != 0 && mp_test_now() < until) {
        poll(NULL, 0, 1);
    }
    if (finished && torture_is_back(HEIR)) {
        return "one notification woke two";
    }
    if (!torture_is_back(HEIR) && w->cond->granted != 0) {
        return "the heir does not come";
    }
    if (torture_back(2, 0) == 2) {
        torture_mark();
    }
    return the_rest(w, 2, torture_back(1, 0), finished);
}

/* ---- the cases -------------------------------------------------------------------------------- */

#define GUARD  "heap.owned.acquire heap.owned.release heap.ilock.acquire heap.ilock.release "
#define WAITS  "heap.waits.begin heap.waits.end "
#define NOTIFY GUARD "sync.condition.grant sync.condition.leave"
#define LINE   GUARD "sync.condition.leave"

#define OF_A_CONDITION .tear_down = free_condition, .arg = &world

static const struct torture_case cases[] = {
    {.name = "sync.condition.notify+1 of 3",
     .commits = NOTIFY,
     .set_up = new_for_1,
     .parked = 3,
     .park = wait_in_line,
     .before = three_in_line,
     .operation = do_notify,
     .check = check_1_of_3,
     .quick = 30,
     OF_A_CONDITION},
    {.name = "sync.condition.notify+2 of 3",
     .commits = NOTIFY,
     .set_up = new_for_2,
     .parked = 3,
     .park = wait_in_line,
     .before = three_in_line,
     .operation = do_notify,
     .check = check_2_of_3,
     .quick = 40,
     OF_A_CONDITION},
    {.name = "sync.condition.notify+all",
     .commits = NOTIFY,
     .set_up = new_for_all,
     .parked = 3,
     .park = wait_in_line,
     .before = three_in_line,
     .operation = do_notify,
     .check = check_3_of_3,
     .quick = 40,
     OF_A_CONDITION},
    {.name = "sync.condition.notify+dead first",
     .commits = NOTIFY,
     .set_up = new_with_dead_first,
     .parked = 3,
     .park = wait_in_line,
     .before = four_in_line,
     .operation = do_notify,
     .check = check_1_of_3,
     .quick = 30,
     OF_A_CONDITION},
    {.name = "sync.condition.notify+gone first",
     .commits = NOTIFY,
     .set_up = new_with_gone_first,
     .parked = 3,
     .park = wait_in_line,
     .before = four_in_line,
     .operation = do_notify,
     .check = check_1_of_3,
     .quick = 30,
     OF_A_CONDITION},
    {.name = "sync.condition.pass",
     .commits = NOTIFY " sync.condition.notify",
     .set_up = new_with_dead_first,
     .parked = 3,
     .park = wait_in_line,
     .before = four_in_line,
     .operation = do_notify_and_try,
     .check = check_1_of_3,
     .stride = 3, /* reading /proc about the dead one is most of it */
     .quick = 60,
     OF_A_CONDITION},
    {.name = "sync.condition.register",
     .commits = LINE,
     .set_up = new_condition,
     .parked = 3,
     .park = wait_in_line,
     .before = three_in_line,
     .operation = do_try,
     .check = check_0_of_3,
     .quick = 30,
     OF_A_CONDITION},
    {.name = "sync.condition.grow",
     .commits = LINE " sync.condition.register heap.journal.commit",
     .set_up = new_condition,
     .parked = 4,
     .park = wait_in_line,
     .before = four_in_line,
     .operation = do_try,
     .check = check_0_of_4,
     .stride = 2,
     .quick = 60,
     OF_A_CONDITION},
    {.name = "sync.condition.leave+timeout",
     .commits = LINE " " WAITS "sync.condition.register",
     .set_up = new_condition,
     .parked = 3,
     .park = wait_in_line,
     .before = three_in_line,
     .operation = do_time_out,
     .check = check_0_of_3,
     .quick = 60,
     OF_A_CONDITION},
    {.name = "sync.condition.leave+notified",
     .commits = LINE " " WAITS "sync.condition.register sync.condition.pass",
     .set_up = new_condition,
     .parked = 2,
     .park = heir_or_notifier,
     .late = true,
     .operation = do_wait,
     .check = check_heir,
     .quick = 60,
     OF_A_CONDITION},
    {.name = "sync.condition.notify+all, again",
     .commits = NOTIFY,
     .set_up = new_for_all_twice,
     .parked = 3,
     .park = wait_in_line,
     .before = three_in_line,
     .operation = do_notify,
     .check = check_3_of_3,
     .recovery = do_try,
     .stride = 17,
     .quick = 150,
     OF_A_CONDITION},
    {.name = "sync.condition.pass+again",
     .commits = NOTIFY,
     .set_up = new_with_dead_first_twice,
     .parked = 3,
     .park = wait_in_line,
     .before = four_in_line,
     .operation = do_notify_and_try,
     .check = check_1_of_3,
     .recovery = do_try,
     .stride = 23,
     .quick = 200,
     OF_A_CONDITION},
    {.name = "sync.condition.grow+again",
     .commits = LINE " heap.journal.commit",
     .set_up = new_twice,
     .parked = 4,
     .park = wait_in_line,
     .before = four_in_line,
     .operation = do_try,
     .check = check_0_of_4,
     .recovery = do_try,
     .stride = 23,
     .quick = 200,
     OF_A_CONDITION},
};
TORTURE_CASES(sync, cases)

/* ---- storms ----------------------------------------------------------------------------------- */

#define WORKERS 6
#define MOST    2

/* Goods that go from producers to consumers; whoever waits for room or goods is to be woken. */
static struct store {
    struct {
        _Atomic int goods;
    } * s;
    mp_lock *lock;
    mp_condition *room, *goods;
} store;

static void
open_store(void *arg)
{
    struct store *s = arg;
    s->s = mp_calloc(1, sizeof *s->s);
    s->lock = mp_lock_new();
    s->room = mp_condition_new(s->lock);
    s->goods = mp_condition_new(s->lock);
    mp_child_check(s->s && s->room && s->goods);
}

static bool
has_room(void *arg)
{
    return ((struct store *)arg)->s->goods < MOST;
}

static bool
has_goods(void *arg)
{
    return ((struct store *)arg)->s->goods > 0;
}

/* Who died may have changed the number and told nobody. */
static void
repair(struct store *s)
{
    mp_child_ok(mp_condition_notify_all(s->room));
    mp_child_ok(mp_condition_notify_all(s->goods));
}

static void
trade(void *arg, int which)
{
    struct store *s = arg;
    bool buys = which % 2;
    mp_condition *mine = buys ? s->goods : s->room, *other = buys ? s->room : s->goods;
    if (mp_condition_acquire(mine, MP_FOREVER) == MP_OWNER_DIED) {
        repair(s);
    }
    int status =
        mp_condition_wait_for(mine, buys ? has_goods : has_room, s, torture_random(4) ? 0.5 : 0.01);
    if (status == MP_OWNER_DIED || mp_condition_news() == MP_OWNER_DIED) {
        repair(s);
    }
    if (status >= 0) {
        s->s->goods += buys ? -1 : 1;
        mp_child_check(s->s->goods >= 0 && s->s->goods <= MOST);
        mp_child_ok(mp_condition_notify(other, 1));
    }
    mp_child_ok(mp_condition_release(mine));
}

static const char *
check_store(void *arg, long kills)
{
    struct store *s = arg;
    (void)kills;
    if (mp_condition_acquire(s->room, 5) < 0 || mp_condition_acquire(s->goods, 0) != MP_ETIMEOUT) {
        return "the lock is out of order";
    }
    if (mp_condition_notify_all(s->room) != 0 || mp_condition_notify_all(s->goods) != 0 ||
        mp_condition_release(s->room) != 0) {
        return "a condition is out of order";
    }
    return s->room->ready > 1 || s->goods->ready > 1 ? "the places of the dead are not used again"
                                                     : NULL;
}

static const struct torture_storm storms[] = {
    {.name = "sync.condition.storm",
     .commits = NOTIFY " sync.condition.register sync.condition.notify sync.condition.pass",
     .workers = WORKERS,
     .kills = 3000,
     .quick_kills = 300,
     .open = open_store,
     .work = trade,
     .check = check_store,
     .arg = &store},
};

__attribute__((constructor)) static void
give_storms(void)
{
    torture_add_storms("sync", storms, sizeof storms / sizeof *storms);
}
