/*
 * torture_heap_storm.c: the allocator in the hands of many processes that are killed at random, and
 * all of it together.
 *
 * Each worker has places for blocks in the heap, which its follower of the same number takes over.
 * A block that a place has is stamped, at its begin and end, and its stamp is noted beside the place
 * while it is whole: nobody else may ever have had the same bytes.
 */
#include "torture/torture.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "heap/alloc.h"
#include "heap/heap.h"
#include "sync/lock.h"

#define WORKERS 6
#define PLACES  12
#define MOST    (600 * 1024)

/* Blocks of a dead one that no place knows: of a malloc() and a free(), or of a realloc(). */
#define LOST_BY_ONE 2

struct place {
    _Atomic(void *) block;
    _Atomic uint64_t stamp; /* 0: what is in the block is not sure */
    _Atomic size_t size;
};

static struct world {
    struct shared {
        struct place place[WORKERS][PLACES];
        _Atomic uint64_t stamps;
        /* The mixed storm: places that all have in common, in order of the lock. */
        mp_lock *lock;
        mp_rlock *rlock;
        struct place common[PLACES];
        volatile uint64_t counter, sum[WORKERS];
        _Atomic long deaths;
    } * s;
    size_t blocks;
} heap_world, mixed_world;

/* ---- a place's block -------------------------------------------------------------------------- */

static size_t
some_size(void)
{
    switch (torture_random(16)) {
    case 0:
        return 16 + torture_random(MOST);
    case 1:
    case 2:
        return 16 + torture_random(20000);
    default:
        return 16 + torture_random(400);
    }
}

static void
stamp(struct place *p, uint64_t value)
{
    char *block = p->block;
    memcpy(block, &value, sizeof value);
    memcpy(block + p->size - sizeof value, &value, sizeof value);
    p->stamp = value;
}

static void
look(const struct place *p)
{
    const char *block = p->block;
    uint64_t value = p->stamp, first, last;
    if (!block || value == 0) {
        return;
    }
    memcpy(&first, block, sizeof first);
    memcpy(&last, block + p->size - sizeof last, sizeof last);
    mp_child_check(first == value && last == value);
    mp_child_check(mp__heap_block_size(block) >= p->size);
}

/* Fill an empty place, empty a full one. */
static void
turn(struct shared *s, struct place *p)
{
    look(p);
    p->stamp = 0;
    if (p->block) {
        mp_child_check(mp__heap_free_from(&p->block, p->block, NULL) || !p->block);
        return;
    }
    p->size = some_size();
    mp_child_ok(mp__heap_alloc_to(p->size, 16, &p->block));
    stamp(p, ++s->stamps);
}

/* As a program does it, which loses what it holds when it is killed. */
static void
passing(void)
{
    size_t size = some_size(), other = some_size();
    unsigned char *p = torture_random(2) ? mp_malloc(size) : mp_calloc(1, size);
    mp_child_check(p);
    p[0] = p[size - 1] = 0x5a;
    unsigned char *q = torture_random(2) ? p : mp_realloc(p, other);
    mp_child_check(q && q[0] == 0x5a);
    mp_child_ok(mp_free(q));
}

/* ---- rounds ----------------------------------------------------------------------------------- */

static void
rest(void)
{
    if (torture_random(100) == 0) {
        nanosleep(&(struct timespec){.tv_nsec = 30000}, NULL); /* let others run */
    }
}

static void
allocate(void *arg, int which)
{
    struct world *w = arg;
    if (torture_random(3) == 0) {
        passing();
    } else {
        turn(w->s, &w->s->place[which][torture_random(PLACES)]);
    }
    rest();
}

/* Under the lock: places that all share, and a counter that must add up. */
static void
change_common(struct shared *s, int which, int status)
{
    if (status == MP_OWNER_DIED) {
        s->deaths++;
        uint64_t sum = 0;
        for (int i = 0; i < WORKERS; i++) {
            sum += s->sum[i];
        }
        s->counter = sum;
    }
    turn(s, &s->common[torture_random(PLACES)]);
    s->counter++;
    s->sum[which]++;
}

static void
mix(void *arg, int which)
{
    struct world *w = arg;
    struct shared *s = w->s;
    switch (torture_random(4)) {
    case 0: {
        int status = mp_lock_acquire(s->lock, torture_random(4) ? MP_FOREVER : 0);
        if (status >= 0) {
            change_common(s, which, status);
            mp_child_ok(mp_lock_release(s->lock));
        }
        break;
    }
    case 1:
        MP_WITH(s->rlock) {
            MP_WITH(s->lock) {
                change_common(s, which, mp_with_news());
            }
        }
        break;
    case 2: { /* objects come and go too */
        mp_lock *own = mp_lock_new();
        mp_child_check(own);
        mp_child_ok(mp_lock_acquire(own, 0));
        mp_child_ok(mp_lock_free(own));
        break;
    }
    default:
        allocate(arg, which);
    }
    rest();
}

/* ---- the parent ------------------------------------------------------------------------------- */

static void
open_heap(void *arg)
{
    struct world *w = arg;
    w->s = mp_calloc(1, sizeof *w->s);
    mp_child_check(w->s);
    w->s->lock = mp_lock_new();
    w->s->rlock = mp_rlock_new();
    mp_child_check(w->s->lock && w->s->rlock);
    w->blocks = torture_blocks();
}

static void
empty(struct place *p)
{
    look(p);
    while (p->block) {
        mp__heap_free_from(&p->block, p->block, NULL);
    }
}

static const char *
check_heap(void *arg, long kills)
{
    static char text[100];
    struct world *w = arg;
    mp_child_ok(mp_free(mp_malloc(1))); /* who died last may have left the heap's lock */
    const char *wrong = mp__alloc_check();
    if (wrong) {
        return wrong;
    }
    for (int i = 0; i < WORKERS; i++) {
        for (int k = 0; k < PLACES; k++) {
            empty(&w->s->place[i][k]);
        }
    }
    for (int k = 0; k < PLACES; k++) {
        empty(&w->s->common[k]);
    }
    size_t now = torture_blocks();
    if (now < w->blocks || now > w->blocks + (size_t)kills * LOST_BY_ONE) {
        snprintf(text, sizeof text, "%zu blocks before and %zu after %ld kills", w->blocks, now,
                 kills);
        return text;
    }
    return mp__alloc_check();
}

static const char *
check_mixed(void *arg, long kills)
{
    struct world *w = arg;
    int status = mp_lock_acquire(w->s->lock, 10);
    if (status < 0 || mp_rlock_acquire(w->s->rlock, 10) < 0) {
        return "a lock is stuck";
    }
    uint64_t sum = 0;
    for (int i = 0; i < WORKERS; i++) {
        sum += w->s->sum[i];
    }
    if (status == 0 && sum != w->s->counter) {
        return "the counter does not add up";
    }
    if (mp_rlock_release(w->s->rlock) != 0 || mp_lock_release(w->s->lock) != 0) {
        return "a lock is out of order";
    }
    return w->s->deaths > kills ? "more deaths are told than there were" : check_heap(arg, kills);
}

static const struct torture_storm heap_storms[] = {
    {.name = "heap.alloc.storm",
     .commits = "heap.journal.commit heap.ilock.acquire heap.member.claim",
     .workers = WORKERS,
     .kills = 6000,
     .quick_kills = 500,
     .open = open_heap,
     .work = allocate,
     .check = check_heap,
     .arg = &heap_world},
};

static const struct torture_storm sync_storms[] = {
    {.name = "sync.mixed.storm",
     .commits = "heap.owned.acquire heap.owned.release heap.journal.commit",
     .workers = WORKERS,
     .kills = 3000,
     .quick_kills = 300,
     .open = open_heap,
     .work = mix,
     .check = check_mixed,
     .arg = &mixed_world},
};

TORTURE_STORMS(heap, heap_storms)
TORTURE_STORMS(sync, sync_storms)
