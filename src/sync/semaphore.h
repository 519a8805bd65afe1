/* sync/semaphore.h: the shared struct of Semaphore and BoundedSemaphore, and its undo records. */
#ifndef MP_SYNC_SEMAPHORE_H
#define MP_SYNC_SEMAPHORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mp/synchronize.h>

#include "base/deadline.h"
#include "heap/heap.h"
#include "heap/ilock.h"
#include "heap/member.h"

/*
 * A semaphore of either kind; a bounded one has a smaller max.
 *
 * Layout    word: {number of the record that is being changed:16, 0 none | sleepers:16 | value:32}
 *           records: in blocks in the heap, each linked from the one before, the first from
 *           `blocks`; how many there are stands in `records`.  A record says how many units a
 *           process took with undo: now, {identity:32 | units:32}, and then, what it becomes.  One
 *           with no units is free for anybody.
 * Writers   word's value and sleepers: anybody, by CAS; word's record number, the records, the
 *           blocks and `records`: the holder of `lock`.  max, bounded: the creator
 * Commit    sync.semaphore.acquire and sync.semaphore.release: the CAS of the value alone.
 *           With undo, under the lock: the record's `then` is written first.  One CAS of the word
 *           changes the value and names the record: sync.semaphore.undo_acquire,
 *           sync.semaphore.undo_release, or sync.semaphore.give_back of a dead process's units.
 *           From that CAS on the change has happened; now = then, and the CAS that takes the
 *           number out again, can be done by anybody and twice (mp__undo_settle).
 *           sync.semaphore.undo_grow: the store of `records`; a block that is linked and not
 *           counted is freed by the next who needs one
 * Waiting   spin, then sleep on the word's low half while it is 0.  A sleeper adds itself to
 *           sleepers in the same CAS that finds no unit; a release takes one off in its own CAS,
 *           and then wakes one.  So a release touches nothing of the semaphore after its commit,
 *           which may be what another waits for to free it.  Who wakes by itself takes one off, if
 *           there is any.  One registration too many (a sleeper was killed, or woke twice) costs a
 *           wake-up for nothing, one too few a slice.  A unit goes to whoever takes it first
 * Death     killed before its commit: nothing happened.  After it, in the lock: the word names the
 *           record, and the lock's next holder settles it.  A plain unit of a dead process is gone.
 *           Units with undo come back when somebody looks: every waiter at the ends of its slices,
 *           a try that finds none, get_value; never twice within LOOK_EVERY.  What would exceed max
 *           (another process had released for the dead one) is dropped.  Killed between a commit
 *           and the wake-up: the sleepers' slices end
 * Fork      a child has another identity: it holds nothing to undo
 * Always    value <= max; word's record number is 0 while the lock is free; no identity has two
 *           records with units; the value plus all units that are held is what it would be without
 *           any deaths, up to max
 */
struct mp_semaphore {
    mp__head head;
    uint32_t max;
    uint32_t bounded;         /* 1: its text says so */
    _Atomic(void *) blocks;   /* struct mp__undo_block */
    _Atomic uint32_t records; /* that exist, 0 until undo is first used */
    uint32_t reserved;
    _Atomic uint64_t word; /* from here on waiters change it: MP__HEAP_OWN */
    mp__ilock lock;
    _Atomic int64_t looked; /* when somebody last looked for the dead */
};

_Static_assert(offsetof(struct mp_semaphore, word) >= MP__HEAP_OWN, "waiters change it");

struct mp__undo {
    _Atomic uint64_t now;
    uint64_t then;
};

#define MP__UNDO_BLOCK 31
struct mp__undo_block {
    _Atomic(void *) next;
    uint64_t reserved;
    struct mp__undo undo[MP__UNDO_BLOCK];
};

/* In the word. */
#define MP__SLEEPER      (UINT64_C(1) << 32)
#define MP__MOST_SLEEP   UINT64_C(0xffff) /* more are not registered: their slices end */
#define MP__RECORD_SHIFT 48
#define MP__MOST_RECORDS UINT32_C(0xffff)

static inline uint32_t
mp__semaphore_value(uint64_t word)
{
    return (uint32_t)word;
}

static inline uint64_t
mp__semaphore_sleepers(uint64_t word)
{
    return word / MP__SLEEPER & MP__MOST_SLEEP;
}

/* The half that sleepers wait on: the value. */
static inline _Atomic uint32_t *
mp__semaphore_low(mp_semaphore *s)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (_Atomic uint32_t *)&s->word + 1;
#else
    return (_Atomic uint32_t *)&s->word;
#endif
}

/* Take a unit that comes back when this process dies: 0, MP_ETIMEOUT (none is free), MP_ENOMEM. */
int mp__undo_take(mp_semaphore *s);

/* Whether this process holds a unit that it took so. */
bool mp__undo_held(mp_semaphore *s);

/* Release one of those: 0; MP_EVALUE at max; MP_ETIMEOUT: there is none any more.  Without text. */
int mp__undo_release(mp_semaphore *s);

/* Give back what dead processes hold, if nobody looked just now; wakes as many as there are. */
void mp__undo_look(mp_semaphore *s);

/* The semaphore is being freed: so are its blocks. */
void mp__undo_done(mp_semaphore *s);

#endif
