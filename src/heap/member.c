/*
 * heap/member.c: the process table.
 *
 * Layout    one 64-bit word a slot: {left:1 | start:19 | generation:20 | pid:24}.  pid 0: free.
 *           start is the low bits of the process's start time, 0 unknown.
 * Writers   claim: any process, by CAS of a free or dead slot to its own pid and the next
 *           generation.  leave: the member.  reaped: the parent, while the pid is still a zombie
 *           and so cannot belong to anybody else.
 * Commit    heap.member.claim: the CAS; heap.member.leave: the bit
 * Death     a slot whose process is dead is free for the next claim; until then its identity is
 *           judged dead by pid and start time (linux/) or record lock (posix/)
 * Fork      the child forgets its parent's identity and claims a slot of its own when it needs one
 */
#include "heap/member.h"

#include <unistd.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/recovery.h"
#include "heap/family.h"
#include "heap/heap.h"
#include "heap/owned.h"
#include "platform/platform.h"

#define PID_BITS   24
#define GEN_BITS   20
#define SLOT_BITS  12
#define PID_MASK   ((UINT64_C(1) << PID_BITS) - 1)
#define GEN_MASK   ((UINT64_C(1) << GEN_BITS) - 1)
#define START_MASK ((UINT32_C(1) << 19) - 1)
#define LEFT       (UINT64_C(1) << 63)

_Static_assert(1 << SLOT_BITS == MP__MEMBER_SLOTS, "an identity holds a slot number");

/* Of a process that found the table full of live ones: it is never taken for dead. */
#define ANONYMOUS ((mp__ident)(MP__MEMBER_SLOTS - 1))

static MP__FORK_DATA _Atomic mp__ident self; /* 0: not claimed yet */

#if defined MP_TESTING
bool mp__no_recovery;
#endif

static uint64_t
word_of(uint32_t generation, pid_t pid, uint32_t start)
{
    return (uint64_t)(start & START_MASK) << (PID_BITS + GEN_BITS) |
           (uint64_t)generation << PID_BITS | ((uint64_t)pid & PID_MASK);
}

static pid_t
pid_of(uint64_t word)
{
    return (pid_t)(word & PID_MASK);
}

static uint32_t
generation_of(uint64_t word)
{
    return (uint32_t)(word >> PID_BITS & GEN_MASK);
}

/* Whether the process that a word names has ended. */
static bool
ended(uint64_t word, uint32_t slot)
{
    pid_t pid = pid_of(word);
    uint32_t start = (uint32_t)(word >> (PID_BITS + GEN_BITS)) & START_MASK;
    if (pid == getpid()) {
        /* Our own slot; or one of a process that is dead and had the same pid. */
        mp__ident mine = atomic_load_explicit(&self, memory_order_relaxed);
        return mine != 0 && slot != (mine & (MP__MEMBER_SLOTS - 1));
    }
    if (mp__plat_process_ended(pid, 0, mp__family_fd, (off_t)slot)) {
        return true;
    }
    /* The pid lives; is it still the same process? */
    uint32_t now = start ? mp__plat_start_time(pid) & START_MASK : 0;
    return now != 0 && now != start;
}

/* Take slot i if it holds `seen`; the identity, or 0. */
static mp__ident
claim(uint32_t i, uint64_t seen, uint32_t start)
{
    uint32_t generation = (generation_of(seen) + 1) & (uint32_t)GEN_MASK;
    if (generation == 0) {
        generation = 1; /* identities are not 0, nor ANONYMOUS's generation */
    }
    /* The lock first: once the word names us, a missing lock would mean that we are dead. */
    if (mp__plat_hold(mp__family_fd, (off_t)i) < 0) {
        return 0;
    }
    uint64_t mine = word_of(generation, getpid(), start);
    if (!atomic_compare_exchange_strong(&mp__family->members[i], &seen, mine)) {
        mp__plat_drop(mp__family_fd, (off_t)i);
        return 0;
    }
    uint32_t high = atomic_load(&mp__family->members_high);
    while (high < i + 1 && !atomic_compare_exchange_weak(&mp__family->members_high, &high, i + 1)) {
    }
    return (mp__ident)(generation << SLOT_BITS | i);
}

static mp__ident
claim_any(void)
{
    uint32_t start = mp__plat_start_time(getpid());
    for (int dead_too = 0; dead_too < 2; dead_too++) {
        for (uint32_t i = 0; i < MP__MEMBER_SLOTS - 1; i++) {
            uint64_t seen = atomic_load(&mp__family->members[i]);
            if (pid_of(seen) == 0 || (dead_too && ended(seen, i))) {
                mp__ident id = claim(i, seen, start);
                if (id) {
                    return id;
                }
            }
        }
    }
    return ANONYMOUS;
}

mp__ident
mp__self(void)
{
    mp__ident id = atomic_load_explicit(&self, memory_order_relaxed);
    if (__builtin_expect(id == 0, 0)) {
        /* One thread at a time: record locks belong to the whole process, so a second thread that
           gives up a slot would drop the lock of the first. */
        mp__family_lock();
        id = atomic_load_explicit(&self, memory_order_relaxed);
        if (id == 0) {
            id = claim_any();
            atomic_store_explicit(&self, id, memory_order_relaxed);
        }
        mp__family_unlock();
    }
    return id;
}

bool
mp__member_dead(mp__ident who)
{
    if (who == ANONYMOUS || !MP__RECOVERS) {
        return false;
    }
    uint32_t i = who & (MP__MEMBER_SLOTS - 1);
    uint64_t word = atomic_load(&mp__family->members[i]);
    if (generation_of(word) != who >> SLOT_BITS || pid_of(word) == 0) {
        return true;
    }
    return ended(word, i);
}

bool
mp__member_is_known(mp__ident who)
{
    return who != ANONYMOUS;
}

mp__ident
mp__member_in(uint32_t i)
{
    uint64_t word = atomic_load(&mp__family->members[i]);
    if (pid_of(word) == 0 || ended(word, i)) {
        return 0;
    }
    return (mp__ident)(generation_of(word) << SLOT_BITS | i);
}

pid_t
mp__member_pid(mp__ident who)
{
    uint64_t word = atomic_load(&mp__family->members[who & (MP__MEMBER_SLOTS - 1)]);
    return generation_of(word) == who >> SLOT_BITS ? pid_of(word) : 0;
}

void
mp__member_leave(void)
{
    mp__ident id = atomic_load_explicit(&self, memory_order_relaxed);
    if (id != 0 && id != ANONYMOUS) {
        /* heap.member.leave */
        atomic_fetch_or(&mp__family->members[id & (MP__MEMBER_SLOTS - 1)], LEFT);
    }
}

size_t
mp__member_count(void)
{
    size_t count = 0;
    uint32_t high = atomic_load_explicit(&mp__family->members_high, memory_order_relaxed);
    for (uint32_t i = 0; i < high; i++) {
        uint64_t word = atomic_load_explicit(&mp__family->members[i], memory_order_relaxed);
        count += pid_of(word) != 0 && !(word & LEFT);
    }
    return count;
}

void
mp__member_reaped(pid_t pid)
{
    if (!mp__family) {
        return;
    }
    uint32_t high = atomic_load(&mp__family->members_high);
    for (uint32_t i = 0; i < high; i++) {
        uint64_t word = atomic_load(&mp__family->members[i]);
        if (pid_of(word) == pid) {
            atomic_compare_exchange_strong(&mp__family->members[i], &word,
                                           word_of(generation_of(word), 0, 0));
        }
    }
}

void
mp__member_forked(void)
{
    atomic_store(&self, 0);
    mp__owned_mine = 0; /* the other threads are not in the child */
    mp__plat_forget_thread();
}
