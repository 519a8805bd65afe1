/*
 * torture_lock.c: Lock, RLock and MP_WITH, killed after each instruction.
 *
 * Their commit points are heap.owned.acquire and heap.owned.release; the cases have the names of
 * the calls.  In each the survivor, and whoever waits beside the victim, must get the lock, soon,
 * and be told of a death if the victim held it, and only then.
 */
#include "torture/torture.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap/waits.h"
#include "sync/lock.h"

#define LONG       1e3 /* who hangs is found out by the frame */
#define TO_PARKED  5.0
#define SHORT_TIME 0.003

/* Of the survivor, and by fork of all others; the locks are in the heap. */
static struct world {
    mp_lock *lock;
    mp_rlock *rlock;
    _Atomic int *inside; /* bodies of MP_WITH begun, ended */
} world;

static void
new_locks(void *arg)
{
    struct world *w = arg;
    w->lock = mp_lock_new();
    w->rlock = mp_rlock_new();
    w->inside = mp_calloc(2, sizeof *w->inside);
    mp_child_check(w->lock && w->rlock && w->inside);
}

static void
free_locks(void *arg)
{
    struct world *w = arg;
    mp_child_ok(mp_lock_free(w->lock));
    mp_child_ok(mp_rlock_free(w->rlock));
    mp_child_ok(mp_free(w->inside));
}

/* Locks that the survivor holds. */
static void
new_held(void *arg)
{
    struct world *w = arg;
    new_locks(arg);
    mp_child_ok(mp_lock_acquire(w->lock, 0));
    mp_child_ok(mp_rlock_acquire(w->rlock, 0));
}

/* Locks whose holder is dead. */
static void
new_dead(void *arg)
{
    struct world *w = arg;
    int status = -1;
    new_locks(arg);
    pid_t pid = fork();
    if (pid == 0) {
        mp_child_ok(mp_lock_acquire(w->lock, MP_FOREVER));
        mp_child_ok(mp_rlock_acquire(w->rlock, MP_FOREVER));
        mp_child_ok(mp_rlock_acquire(w->rlock, MP_FOREVER));
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    mp_child_check(status == 0);
}

/* ---- the survivor ----------------------------------------------------------------------------- */

static const char *
lock_goes_on(struct world *w, bool must_be_news, bool may_be_news)
{
    double begin = mp_test_now();
    int status = mp_lock_acquire(w->lock, LONG);
    torture_waited(mp_test_now() - begin);
    if (status < 0) {
        return "the lock is stuck";
    }
    if (status == 0 ? must_be_news : !may_be_news) {
        return status ? "a death is told of one who did not hold the lock"
                      : "the death is not told";
    }
    if (mp_lock_release(w->lock) != 0 || mp_lock_acquire(w->lock, 0) != 0 ||
        mp_lock_release(w->lock) != 0 || mp_lock_locked(w->lock) != 0) {
        return "the lock is out of order";
    }
    return NULL;
}

static const char *
rlock_goes_on(struct world *w, bool must_be_news, bool may_be_news)
{
    double begin = mp_test_now();
    int status = mp_rlock_acquire(w->rlock, LONG);
    torture_waited(mp_test_now() - begin);
    if (status < 0) {
        return "the rlock is stuck";
    }
    if (status == 0 ? must_be_news : !may_be_news) {
        return status ? "a death is told of one who did not hold the rlock"
                      : "the death is not told";
    }
    /* The depth of the dead is not ours. */
    if (mp_rlock_acquire(w->rlock, 0) != 0 || mp_rlock_release(w->rlock) != 0 ||
        mp_rlock_locked(w->rlock) != 1 || mp_rlock_release(w->rlock) != 0 ||
        mp_rlock_locked(w->rlock) != 0 || mp_rlock_release(w->rlock) != MP_ESTATE) {
        return "the rlock's depth is off";
    }
    return NULL;
}

static void
count_wait(void *ctx, const struct mp__wait *wait)
{
    (void)ctx;
    mp_child_check(wait->pid != 0); /* a dead one's wait must not be told: it has no pid */
}

/* When all are gone, nobody is told to wait. */
static const char *
nobody_waits(void)
{
    return mp__waits_each(count_wait, NULL) == 0 ? NULL : "a wait is told of nobody";
}

/* The n companions' results are 0, but for `news` of them. */
static const char *
results(int n, int least_news, int most_news)
{
    int news = 0;
    for (int i = 0; i < n; i++) {
        if (torture_result(i) < 0) {
            return "a waiter gets an error";
        }
        news += torture_result(i) == MP_OWNER_DIED;
    }
    return news < least_news  ? "the death is told to no waiter"
           : news > most_news ? "a death is told too often"
                              : NULL;
}

/* ---- Lock: operations ------------------------------------------------------------------------- */

static void
acquire(void *arg)
{
    struct world *w = arg;
    mp_lock_acquire(w->lock, MP_FOREVER);
}

static void
release(void *arg)
{
    struct world *w = arg;
    mp_lock_release(w->lock);
}

static void
acquire_and_release(void *arg)
{
    acquire(arg);
    release(arg);
}

static void
try_it(void *arg)
{
    struct world *w = arg;
    mp_lock_acquire(w->lock, 0);
}

static void
try_and_release(void *arg)
{
    struct world *w = arg;
    if (mp_lock_acquire(w->lock, -1) >= 0) {
        mp_lock_release(w->lock);
    }
}

static void
acquire_for_a_while(void *arg)
{
    struct world *w = arg;
    mp_lock_acquire(w->lock, SHORT_TIME);
}

static int
wait_for_lock(void *arg, int which)
{
    struct world *w = arg;
    (void)which;
    int status = mp_lock_acquire(w->lock, LONG);
    mp_child_ok(mp_lock_release(w->lock));
    return status;
}

static int
arrive_at_lock(void *arg)
{
    return wait_for_lock(arg, 0);
}

/* The last of three waiters: the victim is the fourth, and this one lets it go on. */
static int
wait_or_give(void *arg, int which)
{
    struct world *w = arg;
    if (which < 2) {
        return wait_for_lock(arg, which);
    }
    torture_victim_sleeps();
    mp_child_ok(mp_lock_release(w->lock)); /* for the survivor, which holds it */
    return 0;
}

static void
hold(void *arg)
{
    struct world *w = arg;
    mp_child_ok(mp_lock_acquire(w->lock, MP_FOREVER));
}

/* ---- Lock: what is left ----------------------------------------------------------------------- */

static const char *
check_held(void *arg, bool finished)
{
    return lock_goes_on(arg, finished, true);
}

static const char *
check_released(void *arg, bool finished)
{
    return lock_goes_on(arg, false, !finished);
}

/* It was held by the dead before: the news of that may have gone to the victim. */
static const char *
check_news_for_sure(void *arg, bool finished)
{
    (void)finished;
    return lock_goes_on(arg, true, true);
}

static const char *
check_news_perhaps(void *arg, bool finished)
{
    (void)finished;
    return lock_goes_on(arg, false, true);
}

/* The victim held it, two waited: one of them is told, unless the victim had released. */
static const char *
check_two_parked(void *arg, bool finished)
{
    if (torture_back(2, TO_PARKED) != 2) {
        return "the waiters do not get the lock";
    }
    const char *wrong = results(2, 0, !finished);
    wrong = wrong ? wrong : nobody_waits();
    return wrong ? wrong : lock_goes_on(arg, false, false);
}

static const char *
check_arrived(void *arg, bool finished)
{
    if (torture_back(1, TO_PARKED) != 1) {
        return "who arrived does not get the lock";
    }
    const char *wrong = results(1, 0, !finished);
    return wrong ? wrong : lock_goes_on(arg, false, !finished);
}

/* Who arrived got it before the victim, or after its death. */
static const char *
check_arrived_held(void *arg, bool finished)
{
    if (torture_back(1, TO_PARKED) != 1) {
        return "who arrived does not get the lock";
    }
    const char *wrong = results(1, finished, 1);
    return wrong ? wrong : lock_goes_on(arg, false, torture_result(0) == 0);
}

/* The survivor has it, all the time. */
static const char *
check_not_got(void *arg, bool finished)
{
    struct world *w = arg;
    (void)finished;
    torture_mark();
    if (mp_lock_locked(w->lock) != 1 || mp_lock_release(w->lock) != 0) {
        return "the lock was taken from its living owner";
    }
    if (torture_back(1, TO_PARKED) != 1) {
        return "the waiter does not get the lock";
    }
    const char *wrong = results(1, 0, 0);
    wrong = wrong ? wrong : nobody_waits();
    return wrong ? wrong : lock_goes_on(w, false, false);
}

/* One of four waiters died, the victim: with the lock or without. */
static const char *
check_waiters(void *arg, bool finished)
{
    (void)finished;
    if (torture_back(3, TO_PARKED) != 3) {
        return "the waiters do not get the lock";
    }
    const char *wrong = results(2, 0, 1);
    bool news = torture_result(0) || torture_result(1);
    return wrong ? wrong : lock_goes_on(arg, false, !news);
}

/* ---- RLock ------------------------------------------------------------------------------------ */

static void
nest(void *arg)
{
    struct world *w = arg;
    for (int i = 0; i < 3; i++) {
        mp_rlock_acquire(w->rlock, MP_FOREVER);
    }
    for (int i = 0; i < 3; i++) {
        mp_rlock_release(w->rlock);
    }
}

static void
nest_and_hold(void *arg)
{
    struct world *w = arg;
    for (int i = 0; i < 3; i++) {
        mp_rlock_acquire(w->rlock, MP_FOREVER);
    }
    mp_rlock_release(w->rlock);
}

static void
hold_twice(void *arg)
{
    struct world *w = arg;
    mp_child_ok(mp_rlock_acquire(w->rlock, MP_FOREVER));
    mp_child_ok(mp_rlock_acquire(w->rlock, MP_FOREVER));
}

static void
release_twice(void *arg)
{
    struct world *w = arg;
    mp_rlock_release(w->rlock);
    mp_rlock_release(w->rlock);
}

static void
try_rlock(void *arg)
{
    struct world *w = arg;
    mp_rlock_acquire(w->rlock, 0);
}

static void
rlock_for_a_while(void *arg)
{
    struct world *w = arg;
    mp_rlock_acquire(w->rlock, SHORT_TIME);
}

static int
wait_for_rlock(void *arg, int which)
{
    struct world *w = arg;
    (void)which;
    int status = mp_rlock_acquire(w->rlock, LONG);
    mp_child_ok(mp_rlock_acquire(w->rlock, 0));
    mp_child_ok(mp_rlock_release(w->rlock));
    mp_child_ok(mp_rlock_release(w->rlock));
    return status;
}

static int
arrive_at_rlock(void *arg)
{
    return wait_for_rlock(arg, 0);
}

static const char *
check_rlock_held(void *arg, bool finished)
{
    return rlock_goes_on(arg, finished, true);
}

static const char *
check_rlock_released(void *arg, bool finished)
{
    return rlock_goes_on(arg, false, !finished);
}

static const char *
check_rlock_news_perhaps(void *arg, bool finished)
{
    (void)finished;
    return rlock_goes_on(arg, false, true);
}

static const char *
check_rlock_news_for_sure(void *arg, bool finished)
{
    (void)finished;
    return rlock_goes_on(arg, true, true);
}

static const char *
check_rlock_two_parked(void *arg, bool finished)
{
    if (torture_back(2, TO_PARKED) != 2) {
        return "the waiters do not get the rlock";
    }
    const char *wrong = results(2, 0, !finished);
    return wrong ? wrong : rlock_goes_on(arg, false, false);
}

static const char *
check_rlock_arrived(void *arg, bool finished)
{
    if (torture_back(1, TO_PARKED) != 1) {
        return "who arrived does not get the rlock";
    }
    const char *wrong = results(1, 0, !finished);
    return wrong ? wrong : rlock_goes_on(arg, false, !finished);
}

static const char *
check_rlock_not_got(void *arg, bool finished)
{
    struct world *w = arg;
    (void)finished;
    torture_mark();
    if (mp_rlock_release(w->rlock) != 0) {
        return "the rlock was taken from its living owner";
    }
    if (torture_back(1, TO_PARKED) != 1) {
        return "the waiter does not get the rlock";
    }
    const char *wrong = results(1, 0, 0);
    return wrong ? wrong : rlock_goes_on(w, false, false);
}

/* ---- MP_WITH ---------------------------------------------------------------------------------- */

static void
with_lock(void *arg)
{
    struct world *w = arg;
    MP_WITH(w->lock) {
        w->inside[0]++;
        if (mp_with_news() != 0) {
            return;
        }
        w->inside[1]++;
    }
}

static void
with_rlock_and_break(void *arg)
{
    struct world *w = arg;
    MP_WITH(w->rlock) {
        w->inside[0]++;
        MP_WITH(w->rlock) {
            w->inside[1]++;
            break;
        }
    }
}

/* In the body it died with the lock, before and after it without. */
static const char *
check_with(void *arg, bool finished)
{
    struct world *w = arg;
    bool half = w->inside[0] != w->inside[1];
    return lock_goes_on(w, half, !finished);
}

static const char *
check_with_rlock(void *arg, bool finished)
{
    struct world *w = arg;
    bool half = w->inside[0] != w->inside[1];
    return rlock_goes_on(w, half, !finished);
}

/* ---- the cases -------------------------------------------------------------------------------- */

#define OWNED "heap.owned.acquire heap.owned.release"
#define WAITS OWNED " heap.waits.begin heap.waits.end"

#define OF(set) .set_up = set, .tear_down = free_locks, .arg = &world

/* Reading /proc about a dead owner is most of a take-over: not every instruction of that. */
#define TAKE_OVER_STRIDE 3

static const struct torture_case cases[] = {
    {.name = "sync.lock.acquire",
     .commits = OWNED,
     OF(new_locks),
     .operation = acquire,
     .check = check_held},
    {.name = "sync.lock.release",
     .commits = OWNED,
     OF(new_locks),
     .operation = acquire_and_release,
     .check = check_released},
    {.name = "sync.lock.acquire+arriving",
     .commits = OWNED,
     OF(new_locks),
     .operation = acquire,
     .arrive = arrive_at_lock,
     .check = check_arrived_held},
    {.name = "sync.lock.release+arriving",
     .commits = OWNED,
     OF(new_locks),
     .operation = acquire_and_release,
     .arrive = arrive_at_lock,
     .check = check_arrived},
    {.name = "sync.lock.release+parked",
     .commits = OWNED,
     OF(new_locks),
     .parked = 2,
     .park = wait_for_lock,
     .late = true,
     .before = hold,
     .operation = release,
     .check = check_two_parked},
    {.name = "sync.lock.acquire+parked",
     .commits = WAITS,
     OF(new_held),
     .parked = 3,
     .park = wait_or_give,
     .operation = acquire,
     .check = check_waiters,
     .quick = 25},
    {.name = "sync.lock.acquire+timeout",
     .commits = WAITS,
     OF(new_held),
     .parked = 1,
     .park = wait_for_lock,
     .operation = acquire_for_a_while,
     .check = check_not_got,
     .quick = 40},
    {.name = "sync.lock.acquire+try",
     .commits = OWNED,
     OF(new_locks),
     .operation = try_and_release,
     .check = check_released},
    {.name = "sync.lock.acquire+try, held",
     .commits = OWNED,
     OF(new_held),
     .parked = 1,
     .park = wait_for_lock,
     .operation = try_it,
     .check = check_not_got,
     .quick = 40},
    {.name = "sync.lock.acquire+try, dead",
     .commits = OWNED,
     OF(new_dead),
     .operation = try_it,
     .check = check_news_for_sure,
     .stride = TAKE_OVER_STRIDE,
     .quick = 60},
    {.name = "sync.lock.acquire+dead",
     .commits = WAITS,
     OF(new_dead),
     .operation = acquire,
     .check = check_news_for_sure,
     .stride = TAKE_OVER_STRIDE,
     .quick = 60},
    {.name = "sync.lock.acquire+dead, arriving",
     .commits = WAITS,
     OF(new_dead),
     .operation = acquire_and_release,
     .arrive = arrive_at_lock,
     .check = check_news_perhaps,
     .stride = TAKE_OVER_STRIDE,
     .quick = 60},
    {.name = "sync.lock.acquire+dead, again",
     .commits = WAITS,
     OF(new_dead),
     .operation = acquire,
     .check = check_news_for_sure,
     .recovery = acquire,
     .stride = 17,
     .quick = 150},
    {.name = "sync.lock.release+again",
     .commits = OWNED,
     OF(new_locks),
     .operation = acquire_and_release,
     .check = check_news_perhaps,
     .recovery = acquire_and_release,
     .stride = 11,
     .quick = 150},
    {.name = "sync.rlock.acquire",
     .commits = OWNED,
     OF(new_locks),
     .operation = nest_and_hold,
     .check = check_rlock_held},
    {.name = "sync.rlock.release",
     .commits = OWNED,
     OF(new_locks),
     .operation = nest,
     .check = check_rlock_released},
    {.name = "sync.rlock.release+arriving",
     .commits = OWNED,
     OF(new_locks),
     .operation = nest,
     .arrive = arrive_at_rlock,
     .check = check_rlock_arrived},
    {.name = "sync.rlock.release+parked",
     .commits = OWNED,
     OF(new_locks),
     .parked = 2,
     .park = wait_for_rlock,
     .late = true,
     .before = hold_twice,
     .operation = release_twice,
     .check = check_rlock_two_parked},
    {.name = "sync.rlock.acquire+timeout",
     .commits = WAITS,
     OF(new_held),
     .parked = 1,
     .park = wait_for_rlock,
     .operation = rlock_for_a_while,
     .check = check_rlock_not_got,
     .quick = 40},
    {.name = "sync.rlock.acquire+try, dead",
     .commits = OWNED,
     OF(new_dead),
     .operation = try_rlock,
     .check = check_rlock_news_for_sure,
     .stride = TAKE_OVER_STRIDE,
     .quick = 60},
    {.name = "sync.rlock.acquire+dead, again",
     .commits = WAITS,
     OF(new_dead),
     .operation = nest_and_hold,
     .check = check_rlock_news_for_sure,
     .recovery = nest_and_hold,
     .stride = 17,
     .quick = 150},
    {.name = "sync.rlock.release+again",
     .commits = OWNED,
     OF(new_locks),
     .operation = nest,
     .check = check_rlock_news_perhaps,
     .recovery = nest,
     .stride = 11,
     .quick = 150},
    {.name = "sync.with.lock",
     .commits = OWNED,
     OF(new_locks),
     .operation = with_lock,
     .check = check_with},
    {.name = "sync.with.rlock",
     .commits = OWNED,
     OF(new_locks),
     .operation = with_rlock_and_break,
     .check = check_with_rlock},
};
TORTURE_CASES(sync, cases)
