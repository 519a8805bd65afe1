/* sync/undo.c: units of a semaphore that come back when their holder dies; see semaphore.h. */
#include "sync/semaphore.h"

#include <string.h>

#include "base/error.h"
#include "platform/platform.h"

/* After somebody has looked for the dead, others need not for a while. */
#define LOOK_EVERY (20 * MP__MS)

#define RECORD_MASK (UINT64_C(0xffff) << MP__RECORD_SHIFT)

static uint64_t
pack(mp__ident who, uint32_t units)
{
    return (uint64_t)who << 32 | units;
}

static mp__ident
who_of(uint64_t now)
{
    return (mp__ident)(now >> 32);
}

static uint32_t
units_of(uint64_t now)
{
    return (uint32_t)now;
}

/* ---- records --------------------------------------------------------------------------------- */

/* Going through the records that exist; with or without the lock. */
struct walk {
    struct mp__undo_block *block;
    uint32_t number, count;
};

static struct walk
walk_from_start(mp_semaphore *s)
{
    struct walk w = {.count = atomic_load_explicit(&s->records, memory_order_acquire)};
    w.block = w.count ? atomic_load_explicit(&s->blocks, memory_order_relaxed) : NULL;
    return w;
}

/* The next record, or NULL; its number in the word then is w->number. */
static struct mp__undo *
walk_on(struct walk *w)
{
    if (w->number == w->count) {
        return NULL;
    }
    uint32_t i = w->number++ % MP__UNDO_BLOCK;
    if (i == 0 && w->number > 1) {
        w->block = atomic_load_explicit(&w->block->next, memory_order_relaxed);
    }
    return &w->block->undo[i];
}

static struct mp__undo *
record(mp_semaphore *s, uint32_t number)
{
    struct mp__undo_block *b = atomic_load_explicit(&s->blocks, memory_order_relaxed);
    for (uint32_t i = (number - 1) / MP__UNDO_BLOCK; i > 0; i--) {
        b = atomic_load_explicit(&b->next, memory_order_relaxed);
    }
    return &b->undo[(number - 1) % MP__UNDO_BLOCK];
}

static uint64_t
now_of(struct mp__undo *u)
{
    return atomic_load_explicit(&u->now, memory_order_relaxed);
}

/* Where the next block is linked from. */
static _Atomic(void *) *
last_link(mp_semaphore *s)
{
    _Atomic(void *) *link = &s->blocks;
    uint32_t n = atomic_load_explicit(&s->records, memory_order_relaxed) / MP__UNDO_BLOCK;
    for (; n > 0; n--) {
        struct mp__undo_block *b = atomic_load_explicit(link, memory_order_relaxed);
        link = &b->next;
    }
    return link;
}

/* Free a block that a process linked and, being killed, did not count. */
static void
free_uncounted(_Atomic(void *) *link)
{
    void *left;
    while ((left = atomic_load_explicit(link, memory_order_relaxed)) != NULL) {
        mp__heap_free_from(link, left, NULL);
    }
}

/* One more block of free records.  0 or MP_ENOMEM. */
static int
grow(mp_semaphore *s)
{
    if (atomic_load_explicit(&s->records, memory_order_relaxed) + MP__UNDO_BLOCK >
        MP__MOST_RECORDS) {
        return mp__error(MP_ENOMEM, "mp_semaphore_acquire_undo: %lu processes hold units already",
                         (unsigned long)MP__MOST_RECORDS);
    }
    _Atomic(void *) *link = last_link(s);
    free_uncounted(link);
    int status = mp__heap_alloc_to(sizeof(struct mp__undo_block), 64, link);
    if (status == 0) {
        memset(atomic_load_explicit(link, memory_order_relaxed), 0, sizeof(struct mp__undo_block));
        /* sync.semaphore.undo_grow */
        atomic_fetch_add_explicit(&s->records, MP__UNDO_BLOCK, memory_order_release);
    }
    return status;
}

/* The number of the record with this process's units; of a free one; 0. */
static uint32_t
find(mp_semaphore *s, mp__ident who, bool or_free)
{
    struct walk w = walk_from_start(s);
    uint32_t free_one = 0;
    for (struct mp__undo *u; (u = walk_on(&w)) != NULL;) {
        uint64_t now = now_of(u);
        if (units_of(now) == 0) {
            free_one = free_one ? free_one : w.number;
        } else if (who_of(now) == who) {
            return w.number;
        }
    }
    return or_free ? free_one : 0;
}

/* ---- changing a record and the value as one -------------------------------------------------- */

/* Finish a change that was committed.  Under the lock. */
static void
mp__undo_settle(mp_semaphore *s)
{
    uint64_t word = atomic_load_explicit(&s->word, memory_order_acquire);
    if (word >> MP__RECORD_SHIFT == 0) {
        return;
    }
    struct mp__undo *u = record(s, (uint32_t)(word >> MP__RECORD_SHIFT));
    atomic_store_explicit(&u->now, u->then, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&s->word, &word, word & ~RECORD_MASK,
                                                  memory_order_release, memory_order_relaxed)) {
    }
}

static void
lock(mp_semaphore *s)
{
    mp__ilock_acquire(&s->lock, MP__NEVER);
    mp__undo_settle(s); /* what a dead holder committed */
}

static void
unlock(mp_semaphore *s)
{
    mp__ilock_release(&s->lock);
}

/* In the word, where no record is named. */
static uint64_t
named(uint32_t number)
{
    return (uint64_t)number << MP__RECORD_SHIFT;
}

/* Make the record `then`, and the value less by one.  False: it is 0. */
static bool
commit_take(mp_semaphore *s, uint32_t number, uint64_t then)
{
    record(s, number)->then = then;
    uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed);
    do {
        if (mp__semaphore_value(word) == 0) {
            return false;
        }
        /* sync.semaphore.undo_acquire */
    } while (!atomic_compare_exchange_weak_explicit(&s->word, &word, (word - 1) | named(number),
                                                    memory_order_acq_rel, memory_order_relaxed));
    mp__undo_settle(s);
    return true;
}

/*
 * Make the record `then`, and the value more by `units` or, if that is too many, by what there is
 * room for: strict refuses that, with MP_EVALUE.  *wake: the sleepers to wake, after the lock.
 */
static int
commit_give(mp_semaphore *s, uint32_t number, uint64_t then, uint32_t units, bool strict,
            uint32_t *wake)
{
    record(s, number)->then = then;
    uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed), sleepers;
    uint32_t given;
    do {
        uint32_t room = s->max - mp__semaphore_value(word);
        if (strict && units > room) {
            return MP_EVALUE;
        }
        given = units < room ? units : room;
        sleepers = mp__semaphore_sleepers(word);
        sleepers = sleepers < given ? sleepers : given;
        /* sync.semaphore.undo_release, sync.semaphore.give_back */
    } while (!atomic_compare_exchange_weak_explicit(
        &s->word, &word, (word + given - sleepers * MP__SLEEPER) | named(number),
        memory_order_acq_rel, memory_order_relaxed));
    *wake = (uint32_t)sleepers;
    mp__undo_settle(s);
    return 0;
}

static void
wake_sleepers(mp_semaphore *s, uint32_t n)
{
    if (n > 0) {
        mp__plat_wake(mp__semaphore_low(s), (int)n);
    }
}

/* ---- the room's calls ------------------------------------------------------------------------ */

int
mp__undo_take(mp_semaphore *s)
{
    mp__ident self = mp__self();
    if (mp__semaphore_value(atomic_load_explicit(&s->word, memory_order_relaxed)) == 0) {
        return MP_ETIMEOUT;
    }
    int status = 0;
    lock(s);
    uint32_t number = find(s, self, true);
    if (number == 0 && (status = grow(s)) == 0) {
        number = find(s, self, true);
    }
    if (status == 0) {
        uint64_t now = now_of(record(s, number));
        uint32_t units = who_of(now) == self ? units_of(now) : 0;
        status = commit_take(s, number, pack(self, units + 1)) ? 0 : MP_ETIMEOUT;
    }
    unlock(s);
    return status;
}

bool
mp__undo_held(mp_semaphore *s)
{
    /* Without the lock: a record of this process stays while it holds a unit, and a stale one of
       others only leads to a look under the lock. */
    return atomic_load_explicit(&s->records, memory_order_relaxed) != 0 &&
           find(s, mp__self(), false) != 0;
}

int
mp__undo_release(mp_semaphore *s)
{
    int status = MP_ETIMEOUT;
    uint32_t wake = 0;
    lock(s);
    uint32_t number = find(s, mp__self(), false);
    if (number != 0) {
        status = commit_give(s, number, now_of(record(s, number)) - 1, 1, true, &wake);
    }
    unlock(s);
    wake_sleepers(s, wake);
    return status;
}

static void
give_back(mp_semaphore *s, uint32_t number, uint64_t seen)
{
    uint32_t wake = 0;
    lock(s);
    if (now_of(record(s, number)) == seen) {
        commit_give(s, number, 0, units_of(seen), false, &wake);
    }
    unlock(s);
    wake_sleepers(s, wake);
}

void
mp__undo_look(mp_semaphore *s)
{
    if (atomic_load_explicit(&s->records, memory_order_relaxed) == 0) {
        return;
    }
    int64_t now = mp__plat_now(), last = atomic_load_explicit(&s->looked, memory_order_relaxed);
    if (now - last < LOOK_EVERY || !atomic_compare_exchange_strong(&s->looked, &last, now)) {
        return;
    }
    if (atomic_load_explicit(&s->word, memory_order_relaxed) >> MP__RECORD_SHIFT != 0) {
        /* A change is being made, or its maker died over it. */
        lock(s);
        unlock(s);
    }
    mp__ident self = mp__self();
    struct walk w = walk_from_start(s);
    for (struct mp__undo *u; (u = walk_on(&w)) != NULL;) {
        uint64_t seen = now_of(u);
        if (units_of(seen) > 0 && who_of(seen) != self && mp__member_dead(who_of(seen))) {
            give_back(s, w.number, seen);
        }
    }
}

void
mp__undo_done(mp_semaphore *s)
{
    lock(s);
    unlock(s);
    free_uncounted(last_link(s));
    for (struct mp__undo_block *b;
         (b = atomic_load_explicit(&s->blocks, memory_order_relaxed)) != NULL;) {
        mp__heap_free_from(&s->blocks, b, atomic_load_explicit(&b->next, memory_order_relaxed));
    }
    atomic_store_explicit(&s->records, 0, memory_order_relaxed);
}
