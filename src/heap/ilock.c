/*
 * heap/ilock.c: the library's internal lock: an owned word (owned.h), and the kernel's help.
 *
 * While a thread takes, holds or releases such a lock, the kernel knows the word: if the thread
 * dies, the next in line is woken at once and need not wait for its slice.
 */
#include "heap/ilock.h"

#include <stddef.h>

#include "base/hot_tls.h"
#include "base/recovery.h"
#include "heap/owned.h"
#include "platform/platform.h"

/* Locks this thread holds, innermost last: a queue's lock is held while the heap's is taken. */
#define DEEPEST 4
static MP__HOT_TLS struct {
    mp__ilock *lock[DEEPEST];
    int depth;
} held;

static void
hint(_Atomic uint64_t *word)
{
    if (MP__RECOVERS) {
        mp__plat_dying_hint(word);
    }
}

/* The innermost lock this thread holds is what the kernel shall look at when the thread dies. */
static void
hint_innermost(void)
{
    int n = held.depth;
    hint(n > 0 && n <= DEEPEST ? &held.lock[n - 1]->word : NULL);
}

int
mp__ilock_acquire(mp__ilock *l, mp__deadline until)
{
    uint64_t mine = mp__owned_by_me();
    hint(&l->word);
    int status = mp__owned_acquire(&l->word, mine, until); /* heap.ilock.acquire */
    if (status < 0) {
        hint_innermost();
        return status;
    }
    if (held.depth < DEEPEST) {
        held.lock[held.depth] = l;
    }
    held.depth++;
    return status;
}

void
mp__ilock_release(mp__ilock *l)
{
    /* heap.ilock.release */
    mp__owned_release(&l->word);
    held.depth--;
    hint_innermost();
}
