/*
 * sync/condition.h: the shared structs of Condition.
 *
 * Layout    A waiter has a slot, whose `state` it sleeps on.  Slots come in blocks: four in the
 *           condition itself, the others in a chain that only grows.  Slots in use before their
 *           grant hang in a queue from `head` by `next`, oldest first; free ones in a list.
 * Truth     head and next (who is in line), state, ticket, granted_below, passing, ready.  All
 *           else (prev, tail, the free list, the counts) is made anew from those by the next one
 *           after a death.
 * Writers   the holder of `guard`, an internal lock: a condition is right even if the user's lock
 *           is not (any process may release a Lock).  Only WAITING -> PARKED is the waiter's own.
 * Commit    sync.condition.register  the link that puts a slot at the queue's end
 *           sync.condition.notify    granted_below = ticket: all in line below it are notified
 *           sync.condition.grant     state = GRANTED; the notified one may go
 *           sync.condition.leave     the link that takes a slot out of line, or state = FREE of a
 *                                    granted one: its wait is about to return
 *           sync.condition.pass      state = GRANTED of the heir of one who died granted
 *           sync.condition.grow      ready + 1: the new block counts
 * Waiting   spins a few us while WAITING, says so by PARKED, and sleeps in slices of 50 ms.  A
 *           notifier makes a system call only for a PARKED one.
 * Death     A notifier: after sync.condition.notify the next holder of the guard grants the rest,
 *           and the waiters look by themselves at their slices' ends.
 *           A waiter in line: a notifier skips it if the table of members knows already, and
 *           grants it if not.  One that was granted, and is dead or dies before its wait returns, has
 *           an heir: the first in line, which looks at its slice's end, if it was in line when the
 *           dead one was notified (`heirs_below`).  Slots of dead ones are collected before the
 *           chain grows.
 * Fork      a child waits nowhere: slots are its parent's
 * Always    tickets rise along the queue; whoever is in line is WAITING or PARKED, but for the
 *           first while it is being granted; a slot is free, in line or granted.  A notification
 *           grants the first in line and none that came later.  tests/model/condition.pml
 */
#ifndef MP_SYNC_CONDITION_H
#define MP_SYNC_CONDITION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mp/synchronize.h>

#include "heap/ilock.h"
#include "heap/member.h"
#include "sync/lock.h"

enum { MP__WAITER_FREE, MP__WAITER_WAITING, MP__WAITER_PARKED, MP__WAITER_GRANTED };

typedef struct mp__waiter mp__waiter;
struct mp__waiter {
    _Alignas(64) _Atomic uint32_t state; /* the waiter sleeps on it while PARKED */
    _Atomic mp__ident owner;
    _Atomic uint64_t ticket;      /* its place in time */
    _Atomic uint64_t heirs_below; /* granted: who had a smaller ticket may inherit */
    _Atomic(mp__waiter *) next;   /* in line: the one behind; free: in the list */
    _Atomic(mp__waiter *) prev;
    bool in_line; /* recovery's own mark */
};

typedef struct mp__waiter_block {
    _Atomic(void *) more; /* the next block; it counts if `ready` says so */
    uint64_t count;
    _Alignas(64) mp__waiter slot[]; /* a line each: everybody spins on its own */
} mp__waiter_block;

#define MP__WAITERS_INSIDE 4

struct mp_condition {
    mp__head object;
    void *lock;      /* an mp_rlock or mp_lock; maybe own */
    bool recursive;  /* an mp_rlock */
    uint64_t unused; /* from here on waiters change it: MP__HEAP_OWN */
    mp__ilock guard;
    _Atomic(mp__waiter *) head;
    _Atomic uint64_t ticket;        /* of the next that comes */
    _Atomic uint64_t granted_below; /* tickets below are notified */
    _Atomic uint32_t waiting, granted;
    _Atomic(mp__waiter *) tail, free;
    _Alignas(64) _Atomic(mp__waiter *) passing; /* the dead one whose grant is being passed on */
    _Atomic uint64_t ready;                     /* blocks of the chain that count */
    _Alignas(16) struct mp_rlock own;
    _Alignas(64) struct {
        _Atomic(void *) more; /* as mp__waiter_block, with its slots */
        uint64_t count;
        _Alignas(64) mp__waiter slot[MP__WAITERS_INSIDE];
    } first;
};

_Static_assert(sizeof(mp__waiter) == 64, "a line each");
_Static_assert(offsetof(struct mp_condition, guard) >= MP__HEAP_OWN, "waiters change it");

#endif
