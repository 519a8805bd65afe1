/*
 * sync/handover.h: wake-ups that are due when a lock is released.
 *
 * Whoever is notified needs the lock that its notifier holds: woken at once it would only go to
 * sleep again on the lock.  So the notifier notes its word here, and the release of the lock wakes
 * it.  That costs releases nothing: they look here only if the lock has the bit of sleepers.
 *
 * Death     the sleeper finds out by itself at the end of its slice; so it does when another thread
 *           than the notifier releases the lock
 * Fork      a child may wake somebody for nothing
 */
#ifndef MP_SYNC_HANDOVER_H
#define MP_SYNC_HANDOVER_H

#include <stdatomic.h>
#include <stdint.h>

/* Wake a sleeper of `word` when this thread, which holds the lock, has let it go. */
void mp__handover_later(_Atomic uint64_t *lock, _Atomic uint32_t *word);

/* A lock that had the bit of sleepers was released by this thread. */
void mp__handover_now(void);

#endif
