/*
 * base/handle.h: the objects of this process alone (processes, connections, pools), so that a call
 * can tell a live one from NULL, a freed one, or something else, without touching its memory.
 *
 * Threads   one mutex over a hash set of addresses
 * Fork      a child inherits the set; the mutex is held across fork (base/fork.h)
 */
#ifndef MP_BASE_HANDLE_H
#define MP_BASE_HANDLE_H

#include <stdbool.h>

enum mp__handle_kind {
    MP__PROCESS = 1,
    MP__CONNECTION,
    MP__POOL,
    MP__ARGS,
    MP__CLOSED_QUEUE,
    MP__HEAP
};

/* 0 or MP_ENOMEM. */
int mp__handle_add(const void *object, enum mp__handle_kind kind);

/* True when it was there; of two threads that free one object, one gets true. */
bool mp__handle_remove(const void *object, enum mp__handle_kind kind);

/* Have removed(object) called for every object but mp_args that is taken out; no lock is held. */
void mp__handle_on_remove(void (*removed)(const void *object));

/* Whether it is a live object of this kind. */
bool mp__handle_live(const void *object, enum mp__handle_kind kind);

/* 0, or MP_EVALUE with the text "call: not a live noun (NULL, freed, or something else)". */
int mp__handle_check(const void *object, enum mp__handle_kind kind, const char *call);

#endif
