/* heap/waits.c: noting waits, and walking them; the words are described in waits.h. */
#include "heap/waits.h"

#include <pthread.h>

#include "base/hot_tls.h"
#include "heap/family.h"
#include "heap/heap.h"
#include "heap/member.h"
#include "platform/platform.h"

#define OBJECT_UNIT  16
#define SINCE_BITS   28
#define SINCE_MASK   ((UINT64_C(1) << SINCE_BITS) - 1)
#define SINCE_NS     22 /* a unit of time is 2^22 ns */
#define TID_MASK     UINT64_C(0xffffffff)
#define SLOT(who)    ((uint32_t)(who) & (MP__MEMBER_SLOTS - 1))
#define BITS_OF_WORD 64

_Static_assert(sizeof(struct mp__waits_slot) == MP__WAITS_BYTES, "a slot is full of pairs");
_Static_assert(MP__MEMBER_SLOTS % BITS_OF_WORD == 0, "a bit for each slot");

/* This thread's pair, while the identity is still this process's; and how deep its waits nest. */
static MP__HOT_TLS struct {
    struct mp__waits_pair *pair; /* NULL: none yet, or none to be had */
    mp__ident self;              /* whose pair that is */
    unsigned depth;
    bool beyond; /* counted, not noted */
} mine;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_exit;
static bool has_key;

static struct mp__waits_slot *
slot_of(mp__ident who)
{
    return (struct mp__waits_slot *)((char *)mp__family + mp__family->waits) + SLOT(who);
}

/* ---- a thread's pair ------------------------------------------------------------------------- */

/* A thread ends: its pair is free for others. */
static void
give_up(void *ptr)
{
    struct mp__waits_pair *pair = ptr;
    uint64_t who = (uint64_t)mine.self << 32 | mp__plat_tid();
    /* In a child of fork() the pair is the parent's. */
    if (pair == mine.pair && mine.self == mp__self() &&
        atomic_load_explicit(&pair->who, memory_order_relaxed) == who) {
        atomic_store_explicit(&pair->what, 0, memory_order_relaxed);
        atomic_store_explicit(&pair->who, 0, memory_order_release);
    }
    mine.pair = NULL;
    mine.self = 0;
}

static void
make_key(void)
{
    has_key = pthread_key_create(&at_exit, give_up) == 0;
}

static bool
is_ready(uint32_t slot)
{
    return atomic_load_explicit(&mp__family->waits_ready[slot / BITS_OF_WORD],
                                memory_order_acquire) >>
               slot % BITS_OF_WORD &
           1;
}

/* Have the pages of this process's slot; false when the system has none. */
static bool
make_ready(mp__ident self)
{
    uint32_t slot = SLOT(self);
    if (is_ready(slot)) {
        return true;
    }
    size_t from = mp__family->waits + slot * (size_t)MP__WAITS_BYTES;
    from -= from % mp__family->page;
    size_t len = MP__WAITS_BYTES > mp__family->page ? MP__WAITS_BYTES : mp__family->page;
    if (mp__plat_shm_reserve(mp__family_fd, mp__family, from, len) < 0) {
        return false;
    }
    atomic_fetch_or(&mp__family->waits_ready[slot / BITS_OF_WORD], UINT64_C(1)
                                                                       << slot % BITS_OF_WORD);
    return true;
}

static struct mp__waits_pair *
claim(mp__ident self)
{
    struct mp__waits_slot *s = slot_of(self);
    for (unsigned i = 0; i < MP__WAITS_PAIRS; i++) {
        struct mp__waits_pair *p = &s->pair[i];
        uint64_t seen = atomic_load_explicit(&p->who, memory_order_relaxed);
        /* Free, or left by a process that had the slot before. */
        if ((mp__ident)(seen >> 32) != self &&
            atomic_compare_exchange_strong(&p->who, &seen, (uint64_t)self << 32)) {
            atomic_store_explicit(&p->what, 0, memory_order_relaxed);
            atomic_store_explicit(&p->who, (uint64_t)self << 32 | mp__plat_tid(),
                                  memory_order_release);
            return p;
        }
    }
    return NULL;
}

/* Find this thread a pair, once: with its first wait in this process. */
static void
find_pair(mp__ident self)
{
    mine.pair = NULL;
    mine.self = self;
    pthread_once(&once, make_key);
    if (!mp__member_is_known(self) || !has_key || !make_ready(self)) {
        return;
    }
    mine.pair = claim(self);
    if (mine.pair && pthread_setspecific(at_exit, mine.pair) != 0) {
        give_up(mine.pair); /* nobody would when the thread ends */
        mine.self = self;
    }
}

/* One more or less of this process's threads waits without a pair. */
static void
count_beyond(mp__ident self, bool more)
{
    _Atomic uint64_t *beyond = &slot_of(self)->beyond;
    uint64_t seen = atomic_load_explicit(beyond, memory_order_relaxed), wanted;
    do {
        uint32_t n = (mp__ident)(seen >> 32) == self ? (uint32_t)seen : 0;
        wanted = (uint64_t)self << 32 | (more ? n + 1 : n ? n - 1 : 0);
    } while (!atomic_compare_exchange_weak(beyond, &seen, wanted));
}

/* ---- noting ---------------------------------------------------------------------------------- */

void
mp__waiting(const void *object)
{
    mp__ident self = mp__self();
    if (mine.self != self) {
        mine.depth = 0; /* a child of fork(): what its parent's thread waited for is not its */
        find_pair(self);
    }
    if (mine.depth++ > 0) {
        return;
    }
    if (!mine.pair) {
        mine.beyond = mp__member_is_known(self) && make_ready(self);
        if (mine.beyond) {
            count_beyond(self, true);
        }
        return;
    }
    uint64_t place = ((uint64_t)(uintptr_t)object - mp__family->base) / OBJECT_UNIT;
    uint64_t since = (uint64_t)mp__plat_now() >> SINCE_NS & SINCE_MASK;
    /* heap.waits.begin; in one order with what who waits then reads of the object: see
       mp__waits_for() */
    atomic_store_explicit(&mine.pair->what, place << SINCE_BITS | since, memory_order_seq_cst);
}

void
mp__waiting_done(void)
{
    if (mine.depth == 0 || --mine.depth > 0) {
        return;
    }
    if (mine.pair) {
        /* heap.waits.end */
        atomic_store_explicit(&mine.pair->what, 0, memory_order_release);
    } else if (mine.beyond) {
        count_beyond(mine.self, false);
    }
}

/* ---- walking --------------------------------------------------------------------------------- */

static int64_t
since_of(uint64_t what, int64_t now)
{
    uint64_t ago = (((uint64_t)now >> SINCE_NS) - what) & SINCE_MASK;
    return (int64_t)((((uint64_t)now >> SINCE_NS) - ago) << SINCE_NS);
}

/* What a pair says of a live process's thread; false: nothing. */
static bool
read_pair(struct mp__waits_pair *p, mp__ident self, struct mp__wait *ret)
{
    uint64_t who = atomic_load_explicit(&p->who, memory_order_acquire);
    uint64_t what = atomic_load_explicit(&p->what, memory_order_acquire);
    if ((mp__ident)(who >> 32) != self || (who & TID_MASK) == 0 || what == 0 ||
        atomic_load_explicit(&p->who, memory_order_relaxed) != who) {
        return false;
    }
    uint64_t place = (what >> SINCE_BITS) * OBJECT_UNIT;
    ret->tid = (uint32_t)(who & TID_MASK);
    ret->object = (const void *)(uintptr_t)(mp__family->base + place);
    ret->since = since_of(what, mp__plat_now());
    ret->tag = 0;
    if (mp_heap_contains(ret->object)) {
        const mp__head *h = ret->object;
        ret->tag = atomic_load_explicit(&h->tag, memory_order_relaxed);
    }
    return true;
}

bool
mp__waits_for(const void *object)
{
    uint64_t place = ((uint64_t)(uintptr_t)object - mp__family->base) / OBJECT_UNIT;
    uint32_t high = atomic_load(&mp__family->members_high);
    for (uint32_t i = 0; i < high; i++) {
        for (unsigned k = 0; is_ready(i) && k < MP__WAITS_PAIRS; k++) {
            struct mp__waits_pair *p = &slot_of(i)->pair[k];
            uint64_t who = atomic_load_explicit(&p->who, memory_order_acquire);
            uint64_t what = atomic_load_explicit(&p->what, memory_order_seq_cst);
            if (what != 0 && what >> SINCE_BITS == place &&
                !mp__member_dead((mp__ident)(who >> 32))) {
                return true;
            }
        }
    }
    return false;
}

size_t
mp__waits_each(void (*tell)(void *ctx, const struct mp__wait *wait), void *ctx)
{
    size_t more = 0;
    struct mp__wait wait;
    uint32_t high = mp__family ? atomic_load(&mp__family->members_high) : 0;
    for (uint32_t i = 0; i < high; i++) {
        mp__ident self = is_ready(i) ? mp__member_in(i) : 0;
        if (self == 0) {
            continue;
        }
        struct mp__waits_slot *s = slot_of(i);
        wait.pid = mp__member_pid(self);
        uint64_t beyond = atomic_load_explicit(&s->beyond, memory_order_relaxed);
        more += (mp__ident)(beyond >> 32) == self ? (uint32_t)beyond : 0;
        for (unsigned k = 0; k < MP__WAITS_PAIRS; k++) {
            if (read_pair(&s->pair[k], self, &wait)) {
                tell(ctx, &wait);
            }
        }
    }
    return more;
}
