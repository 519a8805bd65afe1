/*
 * sync/event.h: the shared struct of Event.
 *
 * Layout    word: {sleepers:32 | generation:31 | SET:1}; sleepers wait on the low half
 * Writers   everybody, by changes of the whole word: set makes SET of a clear word, counts the
 *           generation up and takes all sleepers off; clear takes SET away; a waiter counts itself
 *           among the sleepers of the generation that it found, and off when its time is over
 * Commit    sync.event.set: the CAS; sync.event.clear: the AND
 * Waiting   spin about 3 us, then sleep in slices while the low half is what it was on arrival
 * Death     of a setter between the CAS and the wake-up: the sleepers' slices end.  Of a sleeper:
 *           it stays counted, and the next set makes one call for nothing
 * Fork      the word names no process
 * Always    a set word counts no sleepers.  Whoever waits since generation g may go as soon as the
 *           low half is no longer {g, clear}: then a set has come, even if a clear came after it
 */
#ifndef MP_SYNC_EVENT_H
#define MP_SYNC_EVENT_H

#include <stddef.h>

#include <mp/synchronize.h>

#include "heap/heap.h"

#define MP__EVENT_SET UINT64_C(1)

struct mp_event {
    mp__head head;
    uint64_t unused[3]; /* MP__HEAP_OWN */
    _Atomic uint64_t word;
};

_Static_assert(offsetof(struct mp_event, word) >= MP__HEAP_OWN, "waiters change it");

#endif
