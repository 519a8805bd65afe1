/* queue/await.c: how getters and putters wait: they look for a while, then they sleep. */
#include "queue/inner.h"

#include "base/error.h"
#include "heap/waits.h"

/* Looks in which a message comes soon. */
#define SOON 8

/* Pauses for letting some gather, how few of them were not worth it, and how many are enough. */
#define GATHER_FIRST 16
#define GATHER_MOST  64
#define GATHER_FEW   4
#define GATHER_GOOD  32

/* After a sleep that was so short, the next wait is awake for so many looks: about as long. */
#define SHORT_SLEEP (150 * 1000)
#define AWAKE_LOOKS 4000

/* What did not help is not tried again for a while, and ever longer: times at most. */
#define GATHER_REST 1023
#define AWAKE_REST  15

static uint32_t
rest_longer(uint32_t rest, uint32_t most)
{
    return rest < most ? rest * 2 + 1 : most;
}

/* ---- looking --------------------------------------------------------------------------------- */

/*
 * A consumer that keeps up with its producer takes the cache line that is being written from it for
 * each single message.  So, while messages come fast, it lets a few of them gather before it looks.
 * Where they come one by one, as in a round trip, that is tried ever more rarely.
 */
static void
let_gather(struct mp__ring *r)
{
    uint32_t head =
        (uint32_t)mp__place_sequence(atomic_load_explicit(&r->head, memory_order_relaxed));
    uint32_t came = head - r->gather_from;
    r->gather_from = head;
    if (r->gather && came <= GATHER_FEW) {
        r->gather = 0;
        r->gather_rest = r->gather_next;
        r->gather_next = rest_longer(r->gather_next, GATHER_REST);
    } else if (r->gather) {
        r->gather_next = 0;
        if (came < GATHER_GOOD && r->gather < GATHER_MOST) {
            r->gather *= 2;
        }
    }
    for (uint32_t i = 0; i < r->gather; i++) {
        mp__plat_pause();
    }
}

/* One came at the i-th look. */
static void
note_soon(struct mp__ring *r, uint32_t i)
{
    if (i >= SOON) {
        r->gather = 0;
    } else if (r->gather == 0 && r->gather_rest > 0) {
        r->gather_rest--;
    } else if (r->gather == 0) {
        r->gather = GATHER_FIRST;
    }
}

/* Whether a message comes while we look; under get_lock. */
static bool
comes_soon(struct mp__ring *r, uint64_t unit)
{
    let_gather(r);
    for (uint32_t i = 0, most = MP__SPINS + r->patience + r->get_awake.looks; i < most; i++) {
        if (atomic_load_explicit(mp__record(unit), memory_order_relaxed) != 0) {
            note_soon(r, i);
            if (i >= MP__SPINS) {
                r->get_awake.next = 0; /* it helped */
            }
            return true;
        }
        mp__plat_pause();
    }
    r->gather = 0;
    r->patience = 0;
    return false;
}

/*
 * Two that wait for one another by turns: once one of them sleeps, its wake-up takes longer than
 * the other looks, so that sleeps too, and so on.  So after a short sleep one looks for as long as a
 * wake-up takes; where that does not help, as for messages that come at just that pace, ever more
 * rarely.
 */
static void
looked_in_vain(struct mp__ring_awake *a)
{
    if (a->looks) {
        a->looks = 0;
        a->rest = a->next;
        a->next = rest_longer(a->next, AWAKE_REST);
    }
}

static void
slept(struct mp__ring_awake *a, int64_t ns)
{
    if (ns >= SHORT_SLEEP) {
        return;
    }
    if (a->rest > 0) {
        a->rest--;
    } else {
        a->looks = AWAKE_LOOKS;
    }
}

/* ---- sleeping -------------------------------------------------------------------------------- */

/* The queue that somebody waits for; its memory may be somebody else's after a sleep. */
struct visit {
    const void *object;
    uint64_t serial;
};

/* Under a lock. */
static struct visit
begin_visit(const struct mp__ring *r)
{
    return (struct visit){r->object, atomic_load_explicit(&r->serial, memory_order_relaxed)};
}

static bool
is_gone(const struct visit *v, const struct mp__ring *r)
{
    return v->object && (v->serial == 0 || r->object != v->object ||
                         atomic_load_explicit(&r->serial, memory_order_seq_cst) != v->serial);
}

int
mp__ring_gone(void)
{
    return mp__error(MP_EVALUE, "the queue was freed while somebody waited");
}

/*
 * From before the lock is let go until it is had again, or the ring is left: who frees the queue
 * waits for those who are noted, for one that is awake, or stopped, may be about to write in it.
 */
static void
note_wait(const struct visit *v)
{
    if (v->object) {
        mp__waiting(v->object);
    }
}

static int
wait_over(const struct visit *v, int status)
{
    if (v->object) {
        mp__waiting_done();
    }
    return status;
}

/* Sleep for a slice, and leave.  0; MP_ETIMEOUT: the deadline has passed; MP_EVALUE: freed. */
static int
sleep_once(const struct visit *v, struct mp__ring *r, _Atomic uint32_t *waiters,
           _Atomic uint32_t *event, uint32_t seen, mp__deadline until)
{
    bool late = mp__park(event, seen, until);
    if (is_gone(v, r)) {
        return mp__ring_gone();
    }
    mp__park_leave(waiters, event, seen);
    return late ? MP_ETIMEOUT : 0;
}

/* ---- for a message --------------------------------------------------------------------------- */

void
mp__ring_trim_after_run(struct mp__ring *r, uint32_t least)
{
    uint32_t run = atomic_exchange_explicit(&r->run, 0, memory_order_relaxed);
    if (run >= least && (run > 0 || mp__slot_keeps(r))) { /* the count of these may be too low */
        mp__slot_trim(r);
    }
}

/* Whether a getter should look again, instead of sleeping. */
static bool
something(struct mp__ring *r, uint64_t unit)
{
    return atomic_load_explicit(mp__record(unit), memory_order_seq_cst) != 0 ||
           atomic_load_explicit(&r->returned, memory_order_seq_cst) != 0 ||
           atomic_load_explicit(&r->shut, memory_order_seq_cst) != MP__RING_OPEN;
}

int
mp__ring_await(struct mp__ring *r, const struct mp__cursor *c, mp__deadline until)
{
    if (comes_soon(r, c->unit)) {
        return 0;
    }
    looked_in_vain(&r->get_awake);
    bool big = mp__ring_is_big(r, c->segment);
    uint32_t seen = atomic_load_explicit(&r->get_event, memory_order_acquire);
    mp__park_register(&r->get_waiters);
    /* The record at head may be freed once the lock is let go. */
    if (something(r, c->unit)) {
        mp__park_leave(&r->get_waiters, &r->get_event, seen);
        return 0;
    }
    struct visit v = begin_visit(r);
    note_wait(&v);
    mp__ring_unlock_get(r);
    if (big && is_gone(&v, r)) {
        return wait_over(&v, mp__ring_gone());
    }
    if (big) {
        mp__ring_shrink(r);
    }
    int64_t began = mp__plat_now();
    int status = sleep_once(&v, r, &r->get_waiters, &r->get_event, seen, until);
    if (status == MP_EVALUE) {
        return wait_over(&v, status);
    }
    mp__slot_look(r);
    if (mp__messages_between(atomic_load_explicit(&r->head, memory_order_relaxed),
                             atomic_load_explicit(&r->tail, memory_order_relaxed)) == 0) {
        mp__ring_trim_after_run(r, 0); /* it slept for nothing */
        mp__ring_flow_ends(r);
    }
    int locked = wait_over(&v, mp__ring_lock_get_until(r, until));
    if (locked < 0) {
        return locked;
    }
    slept(&r->get_awake, mp__plat_now() - began);
    return status;
}

/* ---- for room -------------------------------------------------------------------------------- */

/* Whether a putter should look again. */
static bool
changed(struct mp__ring *r, uint64_t head, uint32_t returned)
{
    return atomic_load_explicit(&r->head, memory_order_seq_cst) != head ||
           atomic_load_explicit(&r->returned, memory_order_seq_cst) != returned ||
           atomic_load_explicit(&r->shut, memory_order_seq_cst) != MP__RING_OPEN;
}

static bool
room_comes_soon(struct mp__ring *r, uint64_t head, uint32_t returned, uint32_t looks)
{
    for (uint32_t i = 0; i < looks; i++) {
        if (changed(r, head, returned)) {
            return true;
        }
        mp__plat_pause();
    }
    return false;
}

int
mp__ring_await_room(struct mp__ring *r, mp__deadline until)
{
    uint64_t head = r->head_seen;
    uint32_t returned = atomic_load_explicit(&r->returned, memory_order_relaxed);
    uint32_t seen = atomic_load_explicit(&r->put_event, memory_order_acquire);
    uint32_t looks = MP__SPINS + r->put_awake.looks;
    struct visit v = begin_visit(r);
    note_wait(&v);
    mp__ring_unlock_put(r);
    bool soon = room_comes_soon(r, head, returned, looks);
    if (is_gone(&v, r)) {
        return wait_over(&v, mp__ring_gone());
    }
    if (soon) {
        return wait_over(&v, mp__ring_lock_put_until(r, until));
    }
    mp__park_register(&r->put_waiters);
    if (changed(r, head, returned)) {
        mp__park_leave(&r->put_waiters, &r->put_event, seen);
        return wait_over(&v, mp__ring_lock_put_until(r, until));
    }
    int64_t began = mp__plat_now();
    int status = sleep_once(&v, r, &r->put_waiters, &r->put_event, seen, until);
    if (status == MP_EVALUE) {
        return wait_over(&v, status);
    }
    int locked = wait_over(&v, mp__ring_lock_put_until(r, until));
    if (locked < 0) {
        return locked;
    }
    looked_in_vain(&r->put_awake);
    slept(&r->put_awake, mp__plat_now() - began);
    return status;
}
