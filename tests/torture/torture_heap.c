/*
 * torture_heap.c: the allocator of the family's heap, and the table of members, killed after each
 * instruction.
 *
 * What is not committed never happened: a survivor finds the heap in order, and the victim has
 * lost at most the block that its call had not yet returned.
 */
#include "torture/torture.h"

#include <stdatomic.h>
#include <string.h>

#include "heap/alloc.h"
#include "heap/family.h"
#include "heap/heap.h"
#include "heap/journal.h"
#include "heap/member.h"

#define SMALL 200
#define KIB   1024
#define MIB   (1024 * KIB)

/* What a case works on; the survivor's, and by fork each victim's. */
struct world {
    size_t old, size;           /* what the victim allocates, and of realloc the size before */
    bool free_left, free_right; /* the neighbours of what it frees */
    void *left, *mid, *right, *guard;
    void *expected;        /* what the victim's malloc() will give */
    _Atomic(void *) *slot; /* a word of the heap */
    size_t blocks;         /* in use before the victim */
};

/* The survivor's first call after a death, which recovers the lock; then all must be in order. */
static const char *
survive(void)
{
    double start = mp_test_now();
    void *p = mp_malloc(24);
    torture_waited(mp_test_now() - start);
    if (!p) {
        return "the survivor cannot allocate";
    }
    memset(p, 7, 24);
    if (mp_free(p) != 0) {
        return "the survivor cannot free";
    }
    return mp__alloc_check();
}

/* Whether blocks in use are `base`, or one more: the dead one's. */
static const char *
lost_at_most_one(size_t base)
{
    size_t now = torture_blocks();
    return now == base || now == base + 1 ? NULL : "more than the dead one's block is lost";
}

/* ---- operations and what is left of them ------------------------------------------------------*/

static void
plan_malloc(void *arg)
{
    struct world *w = arg;
    w->expected = mp_malloc(w->size);
    mp_free(w->expected);
    w->blocks = torture_blocks();
}

/* As plan_malloc(), with no pages ready for the block: 0.4 MiB of them when 0.6 are used. */
static void
plan_reserve(void *arg)
{
    struct world *w = arg;
    void *hold = mp_malloc(600 * KIB);
    w->expected = mp_malloc(w->size);
    mp_free(w->expected);
    mp_free(hold);
    mp_free(mp_malloc(5 * MIB)); /* gives back all pages but for the first MiB */
    w->left = mp_malloc(600 * KIB);
    w->blocks = torture_blocks();
    if (w->left != hold) {
        w->expected = NULL;
    }
}

static void
do_malloc(void *arg)
{
    struct world *w = arg;
    mp_malloc(w->size);
}

/* The dead one's block, if it has one, is in order: the survivor frees it. */
static const char *
check_malloc(void *arg, bool finished)
{
    struct world *w = arg;
    const char *wrong = survive();
    if (!wrong && finished && torture_blocks() != w->blocks + 1) {
        wrong = "the block of a malloc() that was done is not there";
    }
    wrong = wrong ? wrong : lost_at_most_one(w->blocks);
    if (!wrong && torture_blocks() != w->blocks && mp_free(w->expected) != 0) {
        wrong = "the dead one's block is none";
    }
    if (w->left) {
        mp_free(w->left);
        w->left = NULL;
    }
    return wrong ? wrong : mp__alloc_check();
}

static void
do_calloc(void *arg)
{
    struct world *w = arg;
    mp_calloc(w->size / 8, 8);
}

static void
do_aligned(void *arg)
{
    struct world *w = arg;
    mp_aligned_alloc(4096, w->size);
}

static void
plan_aligned(void *arg)
{
    struct world *w = arg;
    w->expected = mp_aligned_alloc(4096, w->size);
    mp_free(w->expected);
    w->blocks = torture_blocks();
}

/* Three neighbours and a guard; what lies between older losses is used up until they are. */
static void
plan_free(void *arg)
{
    struct world *w = arg;
    do {
        w->left = mp_malloc(w->size);
        w->mid = mp_malloc(w->size);
        w->right = mp_malloc(w->size);
        w->guard = mp_malloc(40);
    } while ((char *)w->right - (char *)w->mid != (char *)w->mid - (char *)w->left ||
             (char *)w->guard - (char *)w->right != (char *)w->mid - (char *)w->left);
    if (w->free_left) {
        mp_free(w->left);
    }
    if (w->free_right) {
        mp_free(w->right);
    }
    w->blocks = torture_blocks();
}

static void
do_free(void *arg)
{
    struct world *w = arg;
    mp_free(w->mid);
}

static const char *
check_free(void *arg, bool finished)
{
    struct world *w = arg;
    const char *wrong = survive();
    size_t now = torture_blocks();
    if (!wrong && now != w->blocks && now != w->blocks - 1) {
        wrong = "the number of blocks is neither as before nor one less";
    }
    if (!wrong && finished && now != w->blocks - 1) {
        wrong = "a free() that was done has no effect";
    }
    bool live = mp__heap_block_size(w->mid) != 0;
    if (!wrong && live && now != w->blocks) {
        wrong = "the block is live, but not counted";
    }
    if (!wrong && mp_free(w->mid) != (live ? 0 : MP_EVALUE)) {
        wrong = "a second free() gives neither 0 nor MP_EVALUE";
    }
    if (!w->free_left) {
        mp_free(w->left);
    }
    if (!w->free_right) {
        mp_free(w->right);
    }
    mp_free(w->guard);
    return wrong ? wrong : mp__alloc_check();
}

static void
plan_free_big(void *arg)
{
    struct world *w = arg;
    w->free_left = w->free_right = true; /* there are none */
    w->mid = mp_malloc(w->size);
    w->guard = NULL;
    w->blocks = torture_blocks();
}

static void
plan_realloc(void *arg)
{
    struct world *w = arg;
    w->mid = mp_malloc(w->old);
    memset(w->mid, 0x5a, w->old);
    w->guard = mp_malloc(40);
    w->expected = mp_malloc(w->size);
    mp_free(w->expected);
    w->blocks = torture_blocks();
}

static void
do_realloc(void *arg)
{
    struct world *w = arg;
    mp_realloc(w->mid, w->size);
}

static bool
all_bytes(const void *p, int byte, size_t len)
{
    const unsigned char *c = p;
    for (size_t i = 0; i < len; i++) {
        if (c[i] != byte) {
            return false;
        }
    }
    return true;
}

static const char *
check_realloc(void *arg, bool finished)
{
    struct world *w = arg;
    const char *wrong = survive();
    bool stays = w->size <= w->old && w->size >= w->old / 2;
    bool old_lives = mp__heap_block_size(w->mid) != 0;
    bool new_lives = !stays && mp__heap_block_size(w->expected) >= w->size;
    size_t kept = w->size < w->old ? w->size : w->old;
    wrong = wrong ? wrong : lost_at_most_one(w->blocks);
    if (!wrong && !all_bytes(old_lives ? w->mid : w->expected, 0x5a, kept)) {
        wrong = "the contents are lost";
    }
    if (!wrong && (stays      ? !old_lives
                   : finished ? old_lives || !new_lives
                              : !old_lives && !new_lives)) {
        wrong = "there is neither the old nor the new block";
    }
    if (old_lives) {
        mp_free(w->mid);
    }
    if (new_lives) {
        mp_free(w->expected);
    }
    mp_free(w->guard);
    return wrong ? wrong : mp__alloc_check();
}

/* ---- the library's own blocks: slot and block, both or neither -------------------------------- */

static void
plan_slot(void *arg)
{
    struct world *w = arg;
    if (!w->slot) {
        w->slot = mp_calloc(1, sizeof *w->slot);
    }
    w->blocks = torture_blocks();
}

static void
plan_full_slot(void *arg)
{
    struct world *w = arg;
    plan_slot(arg);
    if (!atomic_load(w->slot)) {
        mp__heap_alloc_to(w->size, 64, w->slot);
    }
}

static void
do_alloc_to(void *arg)
{
    struct world *w = arg;
    mp__heap_alloc_to(w->size, 64, w->slot);
}

static void
do_free_from(void *arg)
{
    struct world *w = arg;
    mp__heap_free_from(w->slot, atomic_load(w->slot), NULL);
}

static const char *
check_slot(void *arg, bool finished)
{
    struct world *w = arg;
    const char *wrong = survive();
    void *block = atomic_load(w->slot);
    (void)finished;
    if (!wrong && torture_blocks() != w->blocks + (block != NULL)) {
        wrong = block ? "the slot has a block that is not in use"
                      : "a block is in use that is in no slot";
    }
    if (!wrong && block && mp__heap_block_size(block) < w->size) {
        wrong = "the slot's block is none";
    }
    mp__heap_free_from(w->slot, atomic_load(w->slot), NULL);
    if (!wrong && torture_blocks() != w->blocks) {
        wrong = "a block was lost";
    }
    return wrong ? wrong : mp__alloc_check();
}

/* ---- the table of members --------------------------------------------------------------------- */

static void
stay_cold(void *arg)
{
    (void)arg;
}

static size_t
members(void)
{
    mp_heap_info info = {0};
    mp_heap_stats(&info);
    return info.processes;
}

static void
count_members(void *arg)
{
    struct world *w = arg;
    w->blocks = members();
}

static void
do_claim(void *arg)
{
    (void)arg;
    mp__self();
}

static void
do_leave(void *arg)
{
    (void)arg;
    mp__member_leave();
}

/* The victim was reaped by the survivor, which frees its slot: nobody is counted too much. */
static const char *
check_members(void *arg, bool finished)
{
    struct world *w = arg;
    (void)finished;
    return members() != w->blocks ? "the dead one is still counted" : survive();
}

/* ---- others ----------------------------------------------------------------------------------- */

static void
recover(void *arg)
{
    (void)arg;
    mp_free(mp_malloc(1));
}

static int
arrive(void *arg)
{
    (void)arg;
    void *p = mp_malloc(40);
    return p && mp_free(p) == 0 && !mp__alloc_check() ? 0 : -1;
}

/* Who arrived may have got the block next to the victim's, so that nothing is where it was. */
static const char *
check_arrived(void *arg, bool finished)
{
    struct world *w = arg;
    (void)finished;
    if (torture_back(1, 5) != 1 || torture_result(0) != 0) {
        return "who arrived cannot allocate";
    }
    const char *wrong = survive();
    return wrong ? wrong : lost_at_most_one(w->blocks);
}

/* The victim frees a block meanwhile. */
static const char *
check_free_arrived(void *arg, bool finished)
{
    if (torture_back(1, 5) != 1 || torture_result(0) != 0) {
        return "who arrived cannot allocate";
    }
    return check_free(arg, finished);
}

/* The second victim may lose its block too. */
static const char *
check_two(void *arg, bool finished)
{
    struct world *w = arg;
    const char *wrong = survive();
    (void)finished;
    return wrong                               ? wrong
           : torture_blocks() <= w->blocks + 2 ? NULL
                                               : "more than two blocks are lost";
}

static const char *
check_two_after_free(void *arg, bool finished)
{
    struct world *w = arg;
    const char *wrong = check_two(arg, finished);
    mp_free(w->mid);
    mp_free(w->guard);
    return wrong ? wrong : mp__alloc_check();
}

/* ---- a control: without recovery there is damage ----------------------------------------------- */

/* Open the dead one's lock by hand, look, and only then roll back. */
static const char *
check_unrecovered(void *arg, bool finished)
{
    struct world *w = arg;
    struct mp__alloc *a = &mp__family->alloc;
    (void)finished;
    atomic_store(&a->lock.word, 0);
    uint64_t count = atomic_exchange(&a->journal.count, 0);
    const char *wrong = mp__alloc_check();
    atomic_store(&a->journal.count, count);
    mp__journal_rollback(&a->journal);
    if (w->mid) {
        mp_free(w->mid);
        mp_free(w->guard);
    }
    mp_child_check(!mp__alloc_check());
    return wrong;
}

/* ---- the cases -------------------------------------------------------------------------------- */

#define COMMITS                                                                                    \
    "heap.journal.commit heap.ilock.acquire heap.ilock.release heap.owned.acquire "                \
    "heap.owned.release"

static struct world w0 = {.size = 40};
static struct world w1 = {.size = 600 * KIB};
static struct world w2 = {.size = 2 * MIB};
static struct world w3 = {.size = 40};
static struct world w4 = {.size = 40};
static struct world w5 = {.size = 1000};
static struct world w6 = {.size = 100};
static struct world w7 = {.old = 100, .size = 400};
static struct world w8 = {.old = 100 * KIB, .size = 2 * MIB};
static struct world w9 = {.old = 4000, .size = 100};
static struct world w10 = {.old = 400, .size = 300};
static struct world w11 = {.size = SMALL};
static struct world w12 = {.size = SMALL, .free_left = true};
static struct world w13 = {.size = SMALL, .free_right = true};
static struct world w14 = {.size = SMALL, .free_left = true, .free_right = true};
static struct world w15 = {.size = 5 * MIB};
static struct world w16 = {.size = SMALL, .free_left = true, .free_right = true};
static struct world w17 = {.size = SMALL, .free_left = true, .free_right = true};
static struct world w18 = {.size = 1000};
static struct world w19 = {.size = 1000};
static struct world w24 = {.size = 8 << 20}; /* its pages come and go without the lock */
static struct world w25 = {.size = 8 << 20};
static struct world w20 = {.size = 40};
static struct world w21 = {.size = 0};
static struct world w22 = {.size = 0};
static struct world w23 = {.size = 0};

static const struct torture_case cases[] = {
    {.name = "heap.alloc.malloc",
     .commits = COMMITS,
     .set_up = plan_malloc,
     .operation = do_malloc,
     .check = check_malloc,
     .arg = &w0},
    {.name = "heap.alloc.malloc+reserve",
     .commits = COMMITS,
     .set_up = plan_reserve,
     .operation = do_malloc,
     .check = check_malloc,
     .arg = &w1},
    {.name = "heap.alloc.malloc+late reserve",
     .commits = COMMITS,
     .set_up = plan_reserve,
     .operation = do_malloc,
     .check = check_malloc,
     .arg = &w2},
    {.name = "heap.alloc.malloc+arriving",
     .commits = COMMITS,
     .set_up = plan_malloc,
     .operation = do_malloc,
     .arrive = arrive,
     .check = check_arrived,
     .arg = &w3},
    {.name = "heap.alloc.malloc+again",
     .commits = COMMITS,
     .set_up = plan_malloc,
     .operation = do_malloc,
     .check = check_two,
     .recovery = recover,
     .spread = 20,
     .stride = 9,
     .quick = 90,
     .arg = &w4},
    {.name = "heap.alloc.calloc",
     .commits = COMMITS,
     .set_up = plan_malloc,
     .operation = do_calloc,
     .check = check_malloc,
     .arg = &w5},
    {.name = "heap.alloc.aligned",
     .commits = COMMITS,
     .set_up = plan_aligned,
     .operation = do_aligned,
     .check = check_malloc,
     .arg = &w6},
    {.name = "heap.alloc.realloc+grow",
     .commits = COMMITS,
     .set_up = plan_realloc,
     .operation = do_realloc,
     .check = check_realloc,
     .arg = &w7},
    {.name = "heap.alloc.realloc+grow big",
     .commits = COMMITS,
     .set_up = plan_realloc,
     .operation = do_realloc,
     .check = check_realloc,
     .arg = &w8},
    {.name = "heap.alloc.realloc+shrink",
     .commits = COMMITS,
     .set_up = plan_realloc,
     .operation = do_realloc,
     .check = check_realloc,
     .arg = &w9},
    {.name = "heap.alloc.realloc+in place",
     .commits = COMMITS,
     .set_up = plan_realloc,
     .operation = do_realloc,
     .check = check_realloc,
     .arg = &w10},
    {.name = "heap.alloc.free",
     .commits = COMMITS,
     .set_up = plan_free,
     .operation = do_free,
     .check = check_free,
     .arg = &w11},
    {.name = "heap.alloc.free+joins left",
     .commits = COMMITS,
     .set_up = plan_free,
     .operation = do_free,
     .check = check_free,
     .arg = &w12},
    {.name = "heap.alloc.free+joins right",
     .commits = COMMITS,
     .set_up = plan_free,
     .operation = do_free,
     .check = check_free,
     .arg = &w13},
    {.name = "heap.alloc.free+joins both",
     .commits = COMMITS,
     .set_up = plan_free,
     .operation = do_free,
     .check = check_free,
     .arg = &w14},
    {.name = "heap.alloc.free+big",
     .commits = COMMITS,
     .set_up = plan_free_big,
     .operation = do_free,
     .check = check_free,
     .arg = &w15},
    {.name = "heap.alloc.free+arriving",
     .commits = COMMITS,
     .set_up = plan_free,
     .operation = do_free,
     .arrive = arrive,
     .check = check_free_arrived,
     .arg = &w16},
    {.name = "heap.alloc.free+again",
     .commits = COMMITS,
     .set_up = plan_free,
     .operation = do_free,
     .check = check_two_after_free,
     .recovery = recover,
     .spread = 20,
     .stride = 9,
     .quick = 90,
     .arg = &w17},
    {.name = "heap.alloc.alloc_to",
     .commits = COMMITS,
     .set_up = plan_slot,
     .operation = do_alloc_to,
     .check = check_slot,
     .arg = &w18},
    {.name = "heap.alloc.free_from",
     .commits = COMMITS,
     .set_up = plan_full_slot,
     .operation = do_free_from,
     .check = check_slot,
     .arg = &w19},
    {.name = "heap.alloc.alloc_to+big",
     .commits = COMMITS,
     .set_up = plan_slot,
     .operation = do_alloc_to,
     .check = check_slot,
     .quick = 60,
     .arg = &w24},
    {.name = "heap.alloc.free_from+big",
     .commits = COMMITS,
     .set_up = plan_full_slot,
     .operation = do_free_from,
     .check = check_slot,
     .quick = 60,
     .arg = &w25},
    {.name = "heap.alloc.malloc+first call",
     .commits = COMMITS,
     .set_up = plan_malloc,
     .before = stay_cold,
     .operation = do_malloc,
     .check = check_malloc,
     .stride = 7,
     .quick = 100,
     .arg = &w20},
    {.name = "heap.member.claim",
     .commits = COMMITS,
     .set_up = count_members,
     .before = stay_cold,
     .operation = do_claim,
     .check = check_members,
     .stride = 5,
     .quick = 100,
     .arg = &w21},
    {.name = "heap.member.leave",
     .commits = COMMITS,
     .set_up = count_members,
     .operation = do_leave,
     .check = check_members,
     .quick = 1,
     .arg = &w22},
    {.name = "heap.member.claim+again",
     .commits = COMMITS,
     .set_up = count_members,
     .before = stay_cold,
     .operation = do_claim,
     .check = check_members,
     .recovery = recover,
     .stride = 9,
     .quick = 90,
     .arg = &w23},
    {.name = "heap.journal.commit+malloc, control",
     .set_up = plan_malloc,
     .operation = do_malloc,
     .check = check_unrecovered,
     .must_fail = true,
     .arg = &w0},
    {.name = "heap.journal.commit+free, control",
     .set_up = plan_free,
     .operation = do_free,
     .check = check_unrecovered,
     .must_fail = true,
     .arg = &w14},
};
TORTURE_CASES(heap, cases)
