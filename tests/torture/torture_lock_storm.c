/*
 * torture_lock_storm.c: locks in the hands of many processes that are killed at random.
 *
 * The lock guards a counter, and each worker counts its own rounds too.  Who is told of a dead
 * owner adds up all workers' counts again.  In the end the counter must be the sum: had two been
 * inside at once, or had a death not been told, it were not.
 */
#include "torture/torture.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "heap/ilock.h"
#include "heap/owned.h"
#include "sync/lock.h"

#define WORKERS 6

enum phase { OUTSIDE, INSIDE };

struct shared {
    mp_lock *lock;
    mp_rlock *rlock;
    mp__ilock ilock;
    volatile uint64_t counter, inside;
    struct {
        volatile uint64_t count;
        _Atomic int phase;
        _Atomic long news;
    } worker[WORKERS];
};

struct world {
    struct shared *s;
    /* How a worker gets in and out: acquire's status. */
    int (*enter)(struct shared *s);
    int (*leave)(struct shared *s);
    _Atomic uint64_t *(*word)(struct shared *s);
    /* The parent's, of whom it has killed. */
    long owners;  /* while they owned the lock */
    long unheard; /* some of these: they may have been told of a death and not have noted it */
};

/* ---- a round ---------------------------------------------------------------------------------- */

static void
add_up(struct shared *s)
{
    uint64_t sum = 0;
    for (int i = 0; i < WORKERS; i++) {
        sum += s->worker[i].count;
    }
    s->counter = sum;
    s->inside = 0;
}

static void
count_inside(struct shared *s, int which, int status)
{
    s->worker[which].news += status == MP_OWNER_DIED;
    s->worker[which].phase = INSIDE;
    if (status == MP_OWNER_DIED) {
        add_up(s);
    }
    mp_child_check(s->inside == 0);
    s->inside = (uint64_t)which + 1;
    s->counter++;
    s->worker[which].count++;
    mp_child_check(s->inside == (uint64_t)which + 1);
    s->inside = 0;
}

static void
pass_time(void)
{
    for (volatile unsigned i = torture_random(300); i > 0; i--) {
    }
    if (torture_random(200) == 0) {
        nanosleep(&(struct timespec){.tv_nsec = 30000}, NULL); /* let others run */
    }
}

static void
round_of_a_worker(void *arg, int which)
{
    struct world *w = arg;
    w->s->worker[which].phase = OUTSIDE;
    int status = w->enter(w->s);
    if (status >= 0) {
        count_inside(w->s, which, status);
        mp_child_ok(w->leave(w->s));
    }
    w->s->worker[which].phase = OUTSIDE;
    pass_time();
}

/* ---- kinds of locks --------------------------------------------------------------------------- */

/* For ever, for a moment, not at all: all of them count as a round. */
static double
some_timeout(void)
{
    static const double timeouts[] = {MP_FOREVER, MP_FOREVER, 1.0, 0.0005, 0};
    return timeouts[torture_random(5)];
}

static int
enter_lock(struct shared *s)
{
    int status = mp_lock_acquire(s->lock, some_timeout());
    mp_child_check(status >= 0 || status == MP_ETIMEOUT);
    return status;
}

static int
leave_lock(struct shared *s)
{
    return mp_lock_release(s->lock);
}

static _Atomic uint64_t *
word_of_lock(struct shared *s)
{
    return &s->lock->word;
}

static int
enter_rlock(struct shared *s)
{
    int status = mp_rlock_acquire(s->rlock, some_timeout());
    mp_child_check(status >= 0 || status == MP_ETIMEOUT);
    if (status >= 0) {
        mp_child_ok(mp_rlock_acquire(s->rlock, 0));
    }
    return status;
}

static int
leave_rlock(struct shared *s)
{
    mp_child_ok(mp_rlock_release(s->rlock));
    mp_child_check(mp_rlock_locked(s->rlock) == 1);
    return mp_rlock_release(s->rlock);
}

static _Atomic uint64_t *
word_of_rlock(struct shared *s)
{
    return &s->rlock->word;
}

static int
enter_ilock(struct shared *s)
{
    return mp__ilock_acquire(&s->ilock, MP__NEVER);
}

static int
leave_ilock(struct shared *s)
{
    mp__ilock_release(&s->ilock);
    return 0;
}

static _Atomic uint64_t *
word_of_ilock(struct shared *s)
{
    return &s->ilock.word;
}

static void
round_with(void *arg, int which)
{
    struct world *w = arg;
    w->s->worker[which].phase = OUTSIDE;
    MP_WITH(w->s->lock) {
        count_inside(w->s, which, mp_with_news());
    }
    w->s->worker[which].phase = OUTSIDE;
    pass_time();
}

/* ---- the parent ------------------------------------------------------------------------------- */

static void
open_lock(void *arg)
{
    struct world *w = arg;
    w->s = mp_calloc(1, sizeof *w->s);
    mp_child_check(w->s);
    w->s->lock = mp_lock_new();
    w->s->rlock = mp_rlock_new();
    mp_child_check(w->s->lock && w->s->rlock);
}

/* It stands still, and if it owns the lock, that can only be taken over after its death. */
static void
count_owner(void *arg, int which, pid_t pid)
{
    struct world *w = arg;
    uint64_t word = atomic_load(w->word(w->s));
    if (word != 0 && mp__member_pid(mp__owned_owner(word)) == pid) {
        w->owners++;
        w->unheard += w->s->worker[which].phase == OUTSIDE;
    }
}

static const char *
check_counter(void *arg, long kills)
{
    static char text[120];
    struct world *w = arg;
    (void)kills;
    int status = w->enter(w->s);
    for (int i = 0; status == MP_ETIMEOUT && i < 1000; i++) {
        status = w->enter(w->s);
    }
    if (status < 0) {
        return "the lock is stuck";
    }
    long news = status == MP_OWNER_DIED;
    if (news) {
        add_up(w->s);
    }
    uint64_t counter = w->s->counter, sum = 0;
    for (int i = 0; i < WORKERS; i++) {
        sum += w->s->worker[i].count;
        news += w->s->worker[i].news;
    }
    if (w->leave(w->s) != 0) {
        return "the lock is out of order";
    }
    if (counter != sum || counter == 0) {
        snprintf(text, sizeof text, "counted %llu, of %llu rounds", (unsigned long long)counter,
                 (unsigned long long)sum);
        return text;
    }
    /* owners is 0 in a storm that does not count them. */
    if (w->owners > 0 && (news > w->owners || news < w->owners - w->unheard)) {
        snprintf(text, sizeof text, "%ld owners were killed, %ld unheard, and %ld deaths told",
                 w->owners, w->unheard, news);
        return text;
    }
    return NULL;
}

static struct world
    lock_world = {.enter = enter_lock, .leave = leave_lock, .word = word_of_lock},
    counted_lock_world = {.enter = enter_lock, .leave = leave_lock, .word = word_of_lock},
    rlock_world = {.enter = enter_rlock, .leave = leave_rlock, .word = word_of_rlock},
    ilock_world = {.enter = enter_ilock, .leave = leave_ilock, .word = word_of_ilock},
    with_world = {.enter = enter_lock, .leave = leave_lock, .word = word_of_lock};

#define OWNED "heap.owned.acquire heap.owned.release"

static const struct torture_storm storms[] = {
    {.name = "sync.lock.storm",
     .commits = OWNED,
     .workers = WORKERS,
     .kills = 6000,
     .quick_kills = 300,
     .open = open_lock,
     .work = round_of_a_worker,
     .check = check_counter,
     .arg = &lock_world},
    {.name = "sync.lock.storm+counted",
     .commits = OWNED,
     .workers = WORKERS,
     .kills = 1500,
     .quick_kills = 300,
     .open = open_lock,
     .work = round_of_a_worker,
     .doomed = count_owner,
     .check = check_counter,
     .arg = &counted_lock_world},
    {.name = "sync.rlock.storm+counted",
     .commits = OWNED,
     .workers = WORKERS,
     .kills = 1500,
     .quick_kills = 300,
     .open = open_lock,
     .work = round_of_a_worker,
     .doomed = count_owner,
     .check = check_counter,
     .arg = &rlock_world},
    {.name = "sync.with.storm+counted",
     .commits = OWNED,
     .workers = WORKERS,
     .kills = 1000,
     .quick_kills = 200,
     .open = open_lock,
     .work = round_with,
     .doomed = count_owner,
     .check = check_counter,
     .arg = &with_world},
    {.name = "heap.ilock.storm+counted",
     .commits = OWNED,
     .workers = WORKERS,
     .kills = 1500,
     .quick_kills = 300,
     .open = open_lock,
     .work = round_of_a_worker,
     .doomed = count_owner,
     .check = check_counter,
     .arg = &ilock_world},
};

TORTURE_STORMS(sync, storms)
