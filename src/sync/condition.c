/* sync/condition.c: mp_condition; the protocol is told in condition.h. */
#include "sync/condition.h"

#include <string.h>

#include "base/error.h"
#include "base/hot_tls.h"
#include "heap/owned.h"
#include "heap/waits.h"
#include "sync/handover.h"
#include "sync/park.h"

#undef mp_condition_new

/* A block of the chain holds this many times the slots before it, and no more than MOST_SLOTS. */
#define GROWTH     3
#define MOST_SLOTS 4096

/* ---- words ------------------------------------------------------------------------------------ */

/*
 * All stores are release stores: then none overtakes another, and what a process that was killed
 * had stored is what the program's text says.
 */
#define get(word)        atomic_load_explicit(&(word), memory_order_relaxed)
#define put(word, value) atomic_store_explicit(&(word), (value), memory_order_release)

static mp__waiter_block *
first_block(mp_condition *c)
{
    return (mp__waiter_block *)(void *)&c->first;
}

/* The block behind b, which is number *n of those that count (0 is the first); NULL: none. */
static mp__waiter_block *
next_block(mp_condition *c, mp__waiter_block *b, uint64_t *n)
{
    return ++*n <= get(c->ready) ? get(b->more) : NULL;
}

/* ---- the line and the free list, by the holder of the guard ----------------------------------- */

static void
make_free(mp_condition *c, mp__waiter *w)
{
    put(w->state, MP__WAITER_FREE);
    put(w->next, get(c->free));
    put(c->free, w);
}

static void
take_out_of_line(mp_condition *c, mp__waiter *w)
{
    mp__waiter *next = get(w->next), *prev = get(w->prev);
    if (prev) {
        put(prev->next, next); /* sync.condition.leave */
    } else {
        put(c->head, next);
    }
    if (next) {
        put(next->prev, prev);
    } else {
        put(c->tail, prev);
    }
    put(c->waiting, get(c->waiting) - 1);
}

static _Atomic uint64_t *
lock_word(mp_condition *c)
{
    return c->recursive ? &((mp_rlock *)c->lock)->word : &((mp_lock *)c->lock)->word;
}

/* Whoever is first in line may go, instead of the dead one if there is one. */
static void
grant_first(mp_condition *c, mp__waiter *dead)
{
    mp__waiter *w = get(c->head);
    put(w->heirs_below, dead ? get(dead->heirs_below) : get(c->ticket));
    put(c->passing, dead);
    put(c->granted, get(c->granted) + 1); /* first: it makes those in line look around */
    /* sync.condition.grant, sync.condition.pass */
    uint32_t was = atomic_exchange_explicit(&w->state, MP__WAITER_GRANTED, memory_order_acq_rel);
    if (dead) {
        make_free(c, dead);
        put(c->granted, get(c->granted) - 1);
    }
    take_out_of_line(c, w);
    put(c->passing, NULL);
    if (was == MP__WAITER_PARKED) {
        mp__handover_later(lock_word(c), &w->state);
    }
}

/* Grant all whom the latest notification is for. */
static void
grant_the_notified(mp_condition *c)
{
    mp__waiter *w;
    while ((w = get(c->head)) && get(w->ticket) < get(c->granted_below)) {
        grant_first(c, NULL);
    }
}

/* ---- the dead, by the holder of the guard ----------------------------------------------------- */

/* Whether a slot's process has died; *alive is whom the caller has asked about before. */
static bool
is_dead(mp__waiter *w, mp__ident *alive)
{
    mp__ident owner = get(w->owner);
    if (owner == *alive || owner == mp__self()) {
        return false;
    }
    if (mp__member_dead(owner)) {
        return true;
    }
    *alive = owner;
    return false;
}

/* Have somebody who lives first in line, or nobody. */
static mp__waiter *
live_first(mp_condition *c, mp__ident *alive)
{
    mp__waiter *w;
    while ((w = get(c->head)) && is_dead(w, alive)) {
        take_out_of_line(c, w);
        make_free(c, w);
    }
    return w;
}

/* The dead w was granted: its heir is the first in line, if it was in line then. */
static void
pass_on(mp_condition *c, mp__waiter *w, mp__ident *alive)
{
    mp__waiter *heir = live_first(c, alive);
    if (heir && get(heir->ticket) < get(w->heirs_below)) {
        grant_first(c, w);
    } else {
        make_free(c, w); /* sync.condition.leave */
        put(c->granted, get(c->granted) - 1);
    }
}

/* Take the slots of the dead back; live ones inherit. */
static void
collect(mp_condition *c, bool from_line_too)
{
    uint64_t n = 0;
    mp__ident alive = 0;
    for (mp__waiter_block *b = first_block(c); b; b = next_block(c, b, &n)) {
        for (uint64_t i = 0; i < b->count; i++) {
            mp__waiter *w = &b->slot[i];
            uint32_t state = get(w->state);
            if (state == MP__WAITER_FREE || (state != MP__WAITER_GRANTED && !from_line_too) ||
                !is_dead(w, &alive)) {
                continue;
            }
            if (state == MP__WAITER_GRANTED) {
                pass_on(c, w, &alive);
            } else {
                take_out_of_line(c, w);
                make_free(c, w);
            }
        }
    }
}

/* ---- after a death ---------------------------------------------------------------------------- */

static void
free_what_does_not_count(mp_condition *c)
{
    uint64_t n = 0;
    mp__waiter_block *last = first_block(c), *b;
    while ((b = next_block(c, last, &n))) {
        last = b;
    }
    void *extra = get(last->more);
    if (extra) {
        mp__heap_free_from(&last->more, extra, NULL); /* unless it never was there */
    }
}

/* Walk the line: make what it is known by anew, and drop those whose grant was cut short. */
static void
recover_line(mp_condition *c)
{
    mp__waiter *w, *prev = NULL;
    uint32_t waiting = 0;
    while ((w = get(c->head)) && get(w->state) == MP__WAITER_GRANTED) {
        put(c->head, get(w->next));
    }
    for (; w; prev = w, w = get(w->next)) {
        w->in_line = true;
        put(w->prev, prev);
        waiting++;
    }
    put(c->tail, prev);
    put(c->waiting, waiting);
}

/* The last holder of the guard died in here.  Doing this twice is the same as once. */
static void
recover(mp_condition *c)
{
    uint64_t n = 0;
    uint32_t granted = 0;
    mp__waiter *dead = get(c->passing), *first = get(c->head);
    if (dead && first && get(first->state) == MP__WAITER_GRANTED) {
        put(dead->state, MP__WAITER_FREE); /* it has an heir */
    }
    put(c->passing, NULL);
    free_what_does_not_count(c);
    for (mp__waiter_block *b = first_block(c); b; b = next_block(c, b, &n)) {
        for (uint64_t i = 0; i < b->count; i++) {
            b->slot[i].in_line = false;
        }
    }
    recover_line(c);
    put(c->free, NULL);
    n = 0;
    for (mp__waiter_block *b = first_block(c); b; b = next_block(c, b, &n)) {
        for (uint64_t i = b->count; i-- > 0;) {
            mp__waiter *w = &b->slot[i];
            if (get(w->state) == MP__WAITER_GRANTED) {
                granted++;
            } else if (!w->in_line) {
                make_free(c, w);
            }
        }
    }
    put(c->granted, granted);
    grant_the_notified(c);
}

static void
enter(mp_condition *c)
{
    if (mp__ilock_acquire(&c->guard, MP__NEVER) == MP_OWNER_DIED) {
        recover(c);
    }
}

static void
leave(mp_condition *c)
{
    mp__ilock_release(&c->guard);
}

/* ---- waiting ---------------------------------------------------------------------------------- */

/* One more block of slots.  0 or MP_ENOMEM. */
static int
grow(mp_condition *c)
{
    uint64_t n = 0, total = MP__WAITERS_INSIDE;
    mp__waiter_block *last = first_block(c), *b;
    while ((b = next_block(c, last, &n))) {
        last = b;
        total += b->count;
    }
    uint64_t count = total * GROWTH < MOST_SLOTS ? total * GROWTH : MOST_SLOTS;
    size_t slots = (size_t)count * sizeof(mp__waiter);
    int status = mp__heap_alloc_to(sizeof(mp__waiter_block) + slots, 64, &last->more);
    if (status < 0) {
        return status;
    }
    b = get(last->more);
    put(b->more, NULL);
    b->count = count;
    memset(b->slot, 0, slots);
    put(c->ready, get(c->ready) + 1); /* sync.condition.grow */
    for (uint64_t i = count; i-- > 0;) {
        make_free(c, &b->slot[i]);
    }
    return 0;
}

/* A slot at the end of the line; NULL with MP_ENOMEM. */
static mp__waiter *
line_up(mp_condition *c)
{
    enter(c);
    mp__waiter *w = get(c->free), *last;
    if (!w) {
        collect(c, true);
        w = get(c->free);
    }
    if (!w && grow(c) == 0) {
        w = get(c->free);
    }
    if (w) {
        uint64_t ticket = get(c->ticket);
        put(c->free, get(w->next));
        put(c->ticket, ticket + 1);
        last = get(c->tail);
        put(w->owner, mp__self());
        put(w->ticket, ticket);
        put(w->next, NULL);
        put(w->prev, last);
        put(w->state, MP__WAITER_WAITING);
        if (last) {
            put(last->next, w); /* sync.condition.register */
        } else {
            put(c->head, w);
        }
        put(c->tail, w);
        put(c->waiting, get(c->waiting) + 1);
    }
    leave(c);
    return w;
}

/* Freed under its waiters, which is its owner's fault; the heap must not suffer by it. */
static bool
is_live(mp_condition *c)
{
    return mp__shared_live(c, MP__TAG_CONDITION);
}

/* Out of line, unless it was notified just now; MP_EVALUE: there is no line any more. */
static int
give_up(mp_condition *c, mp__waiter *w)
{
    if (!is_live(c)) {
        return MP_EVALUE;
    }
    enter(c);
    bool granted = get(w->state) == MP__WAITER_GRANTED;
    if (!granted) {
        take_out_of_line(c, w);
        make_free(c, w);
    }
    leave(c);
    return granted;
}

/*
 * Somebody was notified, and is not back yet.  The first in line sees to it that this is not for
 * ever; the others see to it that the first in line lives.
 */
static void
look_around(mp_condition *c, mp__waiter *w)
{
    mp__ident alive = 0;
    enter(c);
    if (get(w->state) == MP__WAITER_PARKED && live_first(c, &alive) == w) {
        collect(c, false);
    }
    leave(c);
}

static bool
is_granted(mp__waiter *w)
{
    return atomic_load_explicit(&w->state, memory_order_acquire) == MP__WAITER_GRANTED;
}

/*
 * A thread whose spinning came to nothing many times does less of it, for the other may need this
 * very processor; every fourth time it tries in earnest.
 */
static bool
spin(mp__waiter *w)
{
    static MP__HOT_TLS unsigned failed; /* in a row */
    bool in_earnest = failed < 16 || failed % 4 == 0;
    for (int i = in_earnest ? MP__SPINS : MP__SPINS / 8; i >= 0; i--) {
        if (is_granted(w)) {
            failed = 0;
            return true;
        }
        mp__plat_pause();
    }
    failed++;
    return false;
}

/* Whether whoever is first in line was notified, and has not been granted. */
static bool
is_cut_short(mp_condition *c)
{
    mp__waiter *first = get(c->head);
    return first && get(first->ticket) < get(c->granted_below);
}

/* Whether it was notified; if not, its slot is free again.  MP_EVALUE: freed, without text. */
static int
sleep_in_line(mp_condition *c, mp__waiter *w, mp__deadline until)
{
    uint32_t waiting = MP__WAITER_WAITING;
    if (until != MP__TRY && spin(w)) {
        return true;
    }
    if (mp__deadline_passed(until)) {
        return give_up(c, w);
    }
    if (!atomic_compare_exchange_strong_explicit(&w->state, &waiting, MP__WAITER_PARKED,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        return true;
    }
    int granted;
    int64_t look = mp__plat_now() + MP__SLICE;
    mp__waiting(c);
    while (!(granted = is_granted(w))) {
        if (mp__park(&w->state, MP__WAITER_PARKED, until) || !is_live(c)) {
            granted = give_up(c, w);
            break;
        }
        /* By the clock: signals may end every single sleep early. */
        if (mp__plat_now() >= look) {
            if (get(c->granted) != 0 || is_cut_short(c)) {
                look_around(c, w);
            }
            look = mp__plat_now() + MP__SLICE;
        }
    }
    mp__waiting_done();
    return granted;
}

/* The wait of a notified one returns: whoever dies from now on has had its wake-up. */
static void
go(mp_condition *c, mp__waiter *w)
{
    enter(c);
    make_free(c, w); /* sync.condition.leave */
    put(c->granted, get(c->granted) - 1);
    leave(c);
}

/* ---- the lock --------------------------------------------------------------------------------- */

static MP__HOT_TLS int news;

/* 0; MP_EVALUE; MP_ESTATE when this thread does not hold the lock. */
static int
check_held(mp_condition *c, const char *call)
{
    int status = mp__shared_check(c, MP__TAG_CONDITION, call);
    if (status < 0) {
        return status;
    }
    if (!mp__shared_live(c->lock, c->recursive ? MP__TAG_RLOCK : MP__TAG_LOCK)) {
        return mp__error(MP_EVALUE, "%s: the condition's lock was freed", call);
    }
    if ((get(*lock_word(c)) & ~(uint64_t)MP__PLAT_WAITERS) != mp__owned_by_me()) {
        return mp__error(MP_ESTATE, "%s: this thread does not hold the condition's lock", call);
    }
    return 0;
}

/* Let go of all levels; how many they were. */
static uint32_t
let_go(mp_condition *c)
{
    uint32_t depth = c->recursive ? ((mp_rlock *)c->lock)->depth : 1;
    if (mp__owned_release(lock_word(c)) & MP__PLAT_WAITERS) {
        mp__handover_now();
    }
    return depth;
}

/* MP_EVALUE, without text: the lock was freed.  The condition may have been, too. */
static int
take_back(mp_rlock *r, mp_lock *l, uint32_t depth)
{
    if (!(r ? mp__shared_live(r, MP__TAG_RLOCK) : mp__shared_live(l, MP__TAG_LOCK))) {
        return MP_EVALUE;
    }
    int status = mp__owned_acquire_for(r ? &r->word : &l->word, mp__owned_by_me(), MP__NEVER,
                                       r ? (void *)r : l);
    if (r && status >= 0) {
        r->depth = depth;
    }
    return status;
}

/* As mp_condition_wait(), without a text for MP_ETIMEOUT; adds to news. */
static int
wait_until(mp_condition *c, mp__deadline until, const char *call)
{
    int status = check_held(c, call);
    if (status < 0) {
        return status;
    }
    mp__waiter *w = line_up(c);
    if (!w) {
        return mp_last_error();
    }
    mp_rlock *r = c->recursive ? c->lock : NULL;
    mp_lock *l = c->recursive ? NULL : c->lock;
    uint32_t depth = let_go(c);
    int granted = sleep_in_line(c, w, until);
    status = take_back(r, l, depth);
    if (status < 0 || granted < 0 || !is_live(c)) {
        return mp__error(MP_EVALUE, "%s: the condition or its lock was freed meanwhile", call);
    }
    if (status == MP_OWNER_DIED) {
        news = MP_OWNER_DIED;
    }
    if (granted == 0) {
        return MP_ETIMEOUT;
    }
    go(c, w);
    return 0;
}

/* ---- public ----------------------------------------------------------------------------------- */

static mp_condition *
condition_over(void *lock, bool recursive)
{
    mp_condition *c = mp__shared_new(sizeof *c, MP__TAG_CONDITION);
    if (c) {
        mp__waiter_block *first = first_block(c);
        first->count = MP__WAITERS_INSIDE;
        for (int i = MP__WAITERS_INSIDE; i-- > 0;) {
            make_free(c, &first->slot[i]);
        }
        c->recursive = recursive;
        c->lock = lock ? lock : &c->own;
        if (!lock) {
            mp__rlock_init(&c->own);
        }
    }
    return c;
}

mp_condition *
mp_condition_new(mp_rlock *lock)
{
    if (lock && mp__shared_check(lock, MP__TAG_RLOCK, "mp_condition_new") < 0) {
        return NULL;
    }
    return condition_over(lock, true);
}

mp_condition *
mp_condition_new_with_lock(mp_lock *lock)
{
    if (mp__shared_check(lock, MP__TAG_LOCK, "mp_condition_new_with_lock") < 0) {
        return NULL;
    }
    return condition_over(lock, false);
}

int
mp_condition_free(mp_condition *cond)
{
    if (!cond) {
        return 0;
    }
    int status = mp__shared_claim(cond, MP__TAG_CONDITION, "mp_condition_free");
    if (status < 0) {
        return status;
    }
    if (cond->lock == &cond->own) {
        put(cond->own.head.tag, 0); /* its address must not seem live in memory used again */
    }
    enter(cond); /* the chain is as it should be then */
    leave(cond);
    mp__waiter_block *first = first_block(cond), *b;
    for (uint64_t n = get(cond->ready); n > 0 && (b = get(first->more)); n--) {
        mp__heap_free_from(&first->more, b, get(b->more));
    }
    return mp_free(cond);
}

int
mp_condition_acquire(mp_condition *cond, double timeout)
{
    int status = mp__shared_check(cond, MP__TAG_CONDITION, "mp_condition_acquire");
    if (status < 0) {
        return status;
    }
    return cond->recursive ? mp_rlock_acquire(cond->lock, timeout)
                           : mp_lock_acquire(cond->lock, timeout);
}

int
mp_condition_release(mp_condition *cond)
{
    int status = mp__shared_check(cond, MP__TAG_CONDITION, "mp_condition_release");
    if (status < 0) {
        return status;
    }
    return cond->recursive ? mp_rlock_release(cond->lock) : mp_lock_release(cond->lock);
}

int
mp_condition_wait(mp_condition *cond, double timeout)
{
    static const char call[] = "mp_condition_wait";
    mp__deadline until;
    int status = mp__deadline_from(timeout, call, &until);
    if (status < 0) {
        return status;
    }
    news = 0;
    status = wait_until(cond, until, call);
    return status == MP_ETIMEOUT ? mp__error(status, "%s: not notified in time", call)
           : status < 0          ? status
                                 : news;
}

int
mp_condition_wait_for(mp_condition *cond, bool (*predicate)(void *arg), void *arg, double timeout)
{
    static const char call[] = "mp_condition_wait_for";
    mp__deadline until;
    int status = check_held(cond, call);
    if (status < 0 || (status = mp__deadline_from(timeout, call, &until)) < 0) {
        return status;
    }
    if (!predicate) {
        return mp__error(MP_EVALUE, "%s: no predicate (NULL)", call);
    }
    news = 0;
    int told = 0; /* a predicate may use conditions, too */
    for (;;) {
        if (predicate(arg)) {
            news = told;
            return told;
        }
        news = told;
        if (mp__deadline_passed(until)) {
            return mp__error(MP_ETIMEOUT, "%s: the predicate was not true in time", call);
        }
        status = wait_until(cond, until, call);
        if (status < 0 && status != MP_ETIMEOUT) {
            return status;
        }
        told = news;
    }
}

int
mp_condition_news(void)
{
    return news;
}

/* Whether its process has died, as far as that can be told without asking the system. */
static bool
is_gone(mp__waiter *w)
{
    mp__ident owner = get(w->owner);
    return owner != mp__self() && mp__member_is_known(owner) && mp__member_pid(owner) == 0;
}

/* The ticket behind those who are notified: the first n in line, the dead not counted. */
static uint64_t
ticket_behind(mp_condition *c, uint64_t n)
{
    mp__waiter *next;
    if (n >= get(c->waiting)) {
        return get(c->ticket);
    }
    for (mp__waiter *w = get(c->head); w; w = next) {
        next = get(w->next);
        if (is_gone(w)) {
            take_out_of_line(c, w);
            make_free(c, w);
        } else if (--n == 0) {
            return get(w->ticket) + 1;
        }
    }
    return get(c->ticket);
}

static int
notify(mp_condition *c, uint64_t n, const char *call)
{
    int status = check_held(c, call);
    /* Nobody lines up without the lock, which is ours. */
    if (status == 0 && n > 0 && atomic_load_explicit(&c->head, memory_order_acquire)) {
        enter(c);
        put(c->granted_below, ticket_behind(c, n)); /* sync.condition.notify */
        grant_the_notified(c);
        leave(c);
    }
    return status;
}

int
mp_condition_notify(mp_condition *cond, int n)
{
    return notify(cond, n > 0 ? (uint64_t)n : 0, "mp_condition_notify");
}

int
mp_condition_notify_all(mp_condition *cond)
{
    return notify(cond, UINT64_MAX, "mp_condition_notify_all");
}
