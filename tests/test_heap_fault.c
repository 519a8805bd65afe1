/*
 * test_heap_fault.c: a process killed after each instruction inside the allocator, and shortages.
 *
 * Each test has a family of its own (step_family): a block that a killed malloc() had not returned
 * is lost, and must not be the next test's loss.
 */
#include "mp_test.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "step.h"

#include "heap/alloc.h"
#include "heap/family.h"
#include "heap/heap.h"
#include "heap/journal.h"
#include "heap/member.h"

#define SMALL 200
#define KIB   1024
#define MIB   (1024 * KIB)

#if defined MP_PLATFORM_POSIX
#define BOUND  0.2 /* no kernel's hint there: a waiter finds out by itself, */
#define SPREAD 6   /* and takes his time: fewer double deaths */
#else
#define BOUND  0.1
#define SPREAD 20
#endif

/* What a case works on; the survivor's, and by fork each victim's. */
static struct world {
    size_t size;                /* what the victim allocates */
    bool free_left, free_right; /* the neighbours of what it frees */
    void *left, *mid, *right, *guard;
    void *expected;        /* what the victim's malloc() will give */
    _Atomic(void *) *slot; /* a word of the heap */
    size_t blocks;         /* in use before the victim */
    struct step_waits waits;
} world = {.waits = {.bound = BOUND}};

static size_t
blocks(void)
{
    mp_heap_info info = {0};
    mp_heap_stats(&info);
    return info.blocks;
}

/* The victim is a member and has everything cached before it is led. */
static void
warm_up(void *arg)
{
    (void)arg;
    mp_free(mp_malloc(1));
}

/* The survivor's first call after a death, which recovers the lock; then all must be in order. */
static const char *
survive(struct world *w)
{
    double start = mp_test_now();
    void *p = mp_malloc(24);
    step_waited(&w->waits, mp_test_now() - start);
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
    size_t now = blocks();
    return now == base || now == base + 1 ? NULL : "more than the dead one's block is lost";
}

/* ---- operations and what is left of them ------------------------------------------------------*/

static void
plan_malloc(void *arg)
{
    struct world *w = arg;
    w->expected = mp_malloc(w->size);
    mp_free(w->expected);
    w->blocks = blocks();
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
    w->blocks = blocks();
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
    const char *wrong = survive(w);
    if (!wrong && finished && blocks() != w->blocks + 1) {
        wrong = "the block of a malloc() that was done is not there";
    }
    wrong = wrong ? wrong : lost_at_most_one(w->blocks);
    if (!wrong && blocks() != w->blocks && mp_free(w->expected) != 0) {
        wrong = "the dead one's block is none";
    }
    if (w->left) {
        mp_free(w->left);
        w->left = NULL;
    }
    return wrong ? wrong : mp__alloc_check();
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
    w->blocks = blocks();
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
    w->blocks = blocks();
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
    const char *wrong = survive(w);
    size_t now = blocks();
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
    w->blocks = blocks();
}

static void
plan_realloc(void *arg)
{
    struct world *w = arg;
    w->mid = mp_malloc(100);
    memset(w->mid, 0x5a, 100);
    w->guard = mp_malloc(40);
    w->expected = mp_malloc(w->size);
    mp_free(w->expected);
    w->blocks = blocks();
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
    const char *wrong = survive(w);
    bool old_lives = mp__heap_block_size(w->mid) != 0;
    bool new_lives = mp__heap_block_size(w->expected) >= w->size;
    wrong = wrong ? wrong : lost_at_most_one(w->blocks);
    if (!wrong && !all_bytes(old_lives ? w->mid : w->expected, 0x5a, 100)) {
        wrong = "the contents are lost";
    }
    if (!wrong && (finished ? old_lives || !new_lives : !old_lives && !new_lives)) {
        wrong = "there is neither the old nor the new block";
    }
    if (old_lives) {
        mp_free(w->mid);
    }
    if (new_lives) {
        mp_free(w->expected);
    }
    mp_free(w->guard);
    return wrong;
}

/* ---- the library's own blocks: slot and block, both or neither -------------------------------- */

static void
plan_slot(void *arg)
{
    struct world *w = arg;
    if (!w->slot) {
        w->slot = mp_calloc(1, sizeof *w->slot);
    }
    w->blocks = blocks();
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
    const char *wrong = survive(w);
    void *block = atomic_load(w->slot);
    (void)finished;
    if (!wrong && blocks() != w->blocks + (block != NULL)) {
        wrong = block ? "the slot has a block that is not in use"
                      : "a block is in use that is in no slot";
    }
    if (!wrong && block && mp__heap_block_size(block) < w->size) {
        wrong = "the slot's block is none";
    }
    mp__heap_free_from(w->slot, atomic_load(w->slot), NULL);
    if (!wrong && blocks() != w->blocks) {
        wrong = "a block was lost";
    }
    return wrong ? wrong : mp__alloc_check();
}

/* ---- cases ----------------------------------------------------------------------------------- */

/* A whole family: every position of one operation. */
static void
run_case(void *arg)
{
    const struct step_case *c = arg;
    struct world *w = c->arg;
    struct step_result r = step_all(c);
    mp_child_check(r.wrong == 0);
    mp_child_check(r.positions > 30); /* else the victims were not led at all */
    const char *late = step_waits_wrong(&w->waits);
    if (late) {
        mp_child_fail(c->name, 0, late);
    }
}

static void
expect_case(const struct step_case *c)
{
    if (!step_possible()) {
        print_message("no process may lead another one here\n");
        skip();
    }
    struct step_case copy = *c;
    copy.arg = &world;
    copy.before = copy.before ? copy.before : warm_up;
    assert_int_equal(step_family(run_case, &copy), 0);
}

static void
test_malloc_killed_anywhere_loses_at_most_its_block(void **state)
{
    (void)state;
    world.size = 40;
    expect_case(&(struct step_case){
        .name = "malloc", .set_up = plan_malloc, .operation = do_malloc, .check = check_malloc});
}

static void
test_malloc_killed_while_it_reserves_pages_loses_at_most_its_block(void **state)
{
    (void)state;
    world.size = 600 * KIB;
    expect_case(&(struct step_case){.name = "malloc with reserve",
                                    .set_up = plan_reserve,
                                    .operation = do_malloc,
                                    .check = check_malloc});
}

static void
test_big_malloc_killed_while_it_reserves_late_loses_at_most_its_block(void **state)
{
    (void)state;
    world.size = 2 * MIB;
    expect_case(&(struct step_case){.name = "malloc with late reserve",
                                    .set_up = plan_reserve,
                                    .operation = do_malloc,
                                    .check = check_malloc});
}

static void
test_aligned_alloc_killed_anywhere_loses_at_most_its_block(void **state)
{
    (void)state;
    world.size = 100;
    expect_case(&(struct step_case){.name = "aligned_alloc",
                                    .set_up = plan_aligned,
                                    .operation = do_aligned,
                                    .check = check_malloc});
}

static void
test_realloc_killed_anywhere_keeps_the_contents(void **state)
{
    (void)state;
    world.size = 400;
    expect_case(&(struct step_case){.name = "realloc",
                                    .set_up = plan_realloc,
                                    .operation = do_realloc,
                                    .check = check_realloc});
}

static void
free_case(const char *name, bool left, bool right)
{
    world.size = SMALL;
    world.free_left = left;
    world.free_right = right;
    expect_case(&(struct step_case){
        .name = name, .set_up = plan_free, .operation = do_free, .check = check_free});
}

static void
test_free_killed_anywhere_frees_or_not(void **state)
{
    (void)state;
    free_case("free", false, false);
}

static void
test_free_killed_while_it_joins_left_frees_or_not(void **state)
{
    (void)state;
    free_case("free, joined left", true, false);
}

static void
test_free_killed_while_it_joins_right_frees_or_not(void **state)
{
    (void)state;
    free_case("free, joined right", false, true);
}

static void
test_free_killed_while_it_joins_both_frees_or_not(void **state)
{
    (void)state;
    free_case("free, joined both", true, true);
}

static void
test_big_free_killed_while_it_gives_pages_back_frees_or_not(void **state)
{
    (void)state;
    world.size = 5 * MIB;
    expect_case(&(struct step_case){
        .name = "free big", .set_up = plan_free_big, .operation = do_free, .check = check_free});
}

static void
test_alloc_to_killed_anywhere_loses_nothing(void **state)
{
    (void)state;
    world.size = 1000;
    expect_case(&(struct step_case){
        .name = "alloc_to", .set_up = plan_slot, .operation = do_alloc_to, .check = check_slot});
}

static void
test_free_from_killed_anywhere_loses_nothing(void **state)
{
    (void)state;
    world.size = 1000;
    expect_case(&(struct step_case){.name = "free_from",
                                    .set_up = plan_full_slot,
                                    .operation = do_free_from,
                                    .check = check_slot});
}

static void
stay_cold(void *arg)
{
    (void)arg;
}

/* Taking a slot in the table reads /proc, thousands of instructions: every 7th. */
static void
test_first_call_killed_anywhere_leaves_the_family_in_order(void **state)
{
    (void)state;
    world.size = 40;
    expect_case(&(struct step_case){.name = "first call of a process",
                                    .set_up = plan_malloc,
                                    .before = stay_cold,
                                    .operation = do_malloc,
                                    .check = check_malloc,
                                    .stride = 7});
}

/* ---- deaths during recovery ------------------------------------------------------------------ */

static void
recover(void *arg)
{
    (void)arg;
    mp_free(mp_malloc(1));
}

/* The second victim may lose its block too. */
static const char *
check_two(void *arg, bool finished)
{
    struct world *w = arg;
    const char *wrong = survive(w);
    (void)finished;
    return wrong ? wrong : blocks() <= w->blocks + 2 ? NULL : "more than two blocks are lost";
}

/* SPREAD first deaths, every ninth instruction of each recovery, not the same ones. */
static void
test_recovery_from_malloc_killed_anywhere_is_done_by_the_next(void **state)
{
    (void)state;
    world.size = 40;
    expect_case(&(struct step_case){.name = "malloc, twice",
                                    .set_up = plan_malloc,
                                    .operation = do_malloc,
                                    .check = check_two,
                                    .recovery = recover,
                                    .spread = SPREAD,
                                    .stride = 9});
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

static void
test_recovery_from_free_killed_anywhere_is_done_by_the_next(void **state)
{
    (void)state;
    world.size = SMALL;
    world.free_left = world.free_right = true;
    expect_case(&(struct step_case){.name = "free, twice",
                                    .set_up = plan_free,
                                    .operation = do_free,
                                    .check = check_two_after_free,
                                    .recovery = recover,
                                    .spread = SPREAD,
                                    .stride = 9});
}

/* ---- the control: without recovery there is damage -------------------------------------------- */

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
    return wrong;
}

static void
run_control(void *arg)
{
    struct step_result r = step_all(arg);
    mp_child_check(r.wrong > 5);
    mp_child_check(r.wrong < r.positions);
    mp_child_check(mp__alloc_check() == NULL);
}

static void
test_control_without_recovery_finds_damage(void **state)
{
    (void)state;
    if (!step_possible()) {
        skip();
    }
    struct step_case c = {.name = "control: malloc",
                          .set_up = plan_malloc,
                          .before = warm_up,
                          .operation = do_malloc,
                          .check = check_unrecovered,
                          .go_on = true,
                          .arg = &world};
    world.size = 40;
    world.mid = NULL;
    assert_int_equal(step_family(run_control, &c), 0);
    c.name = "control: free";
    c.set_up = plan_free;
    c.operation = do_free;
    world.size = SMALL;
    world.free_left = world.free_right = true;
    assert_int_equal(step_family(run_control, &c), 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_malloc_killed_anywhere_loses_at_most_its_block),
    cmocka_unit_test(test_malloc_killed_while_it_reserves_pages_loses_at_most_its_block),
    cmocka_unit_test(test_big_malloc_killed_while_it_reserves_late_loses_at_most_its_block),
    cmocka_unit_test(test_aligned_alloc_killed_anywhere_loses_at_most_its_block),
    cmocka_unit_test(test_realloc_killed_anywhere_keeps_the_contents),
    cmocka_unit_test(test_free_killed_anywhere_frees_or_not),
    cmocka_unit_test(test_free_killed_while_it_joins_left_frees_or_not),
    cmocka_unit_test(test_free_killed_while_it_joins_right_frees_or_not),
    cmocka_unit_test(test_free_killed_while_it_joins_both_frees_or_not),
    cmocka_unit_test(test_big_free_killed_while_it_gives_pages_back_frees_or_not),
    cmocka_unit_test(test_alloc_to_killed_anywhere_loses_nothing),
    cmocka_unit_test(test_free_from_killed_anywhere_loses_nothing),
    cmocka_unit_test(test_first_call_killed_anywhere_leaves_the_family_in_order),
    cmocka_unit_test(test_recovery_from_malloc_killed_anywhere_is_done_by_the_next),
    cmocka_unit_test(test_recovery_from_free_killed_anywhere_is_done_by_the_next),
    cmocka_unit_test(test_control_without_recovery_finds_damage),
};

MP_TEST_MAIN_NO_FAMILY(tests)
