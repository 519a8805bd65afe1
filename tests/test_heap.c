/* test_heap.c: malloc and its kin over the family's heap, in one process and in several. */
#include "mp_test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap/alloc.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define TIB (MIB * MIB)

static mp_heap_info
stats(void)
{
    mp_heap_info info;
    mp_assert_ok(mp_heap_stats(&info));
    return info;
}

static void
assert_heap_in_order(void)
{
    const char *wrong = mp__alloc_check();
    if (wrong) {
        fail_msg("%s", wrong);
    }
}

/* ---- patterns ---------------------------------------------------------------------------------*/

/* The ends and one byte of each page: enough to see blocks that overlap or lose their pages. */
static void
fill(void *p, size_t size, uint64_t seed)
{
    unsigned char *c = p;
    for (size_t i = 0; i<size; i += size - i> 4200 ? 4093 : 1) {
        c[i] = (unsigned char)(seed + i * 31);
    }
}

static bool
is_filled(const void *p, size_t size, uint64_t seed)
{
    const unsigned char *c = p;
    for (size_t i = 0; i<size; i += size - i> 4200 ? 4093 : 1) {
        if (c[i] != (unsigned char)(seed + i * 31)) {
            return false;
        }
    }
    return true;
}

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- sizes and alignments ----------------------------------------------------------------------*/

static const size_t sizes[] = {0,
                               1,
                               15,
                               16,
                               17,
                               63,
                               64,
                               65,
                               1000,
                               4095,
                               4096,
                               4097,
                               64 * 1024 - 48,
                               64 * 1024 - 16,
                               64 * 1024 - 1,
                               64 * 1024,
                               64 * 1024 + 1,
                               1048576 - 48,
                               1048576 - 1,
                               1048576,
                               1048576 + 1,
                               4194304 - 48,
                               4194304 - 1,
                               4194304,
                               4194304 + 1,
                               104857600};
#define SIZES (sizeof sizes / sizeof *sizes)

static void
test_malloc_of_every_size_gives_memory(void **state)
{
    (void)state;
    void *block[SIZES];
    for (size_t i = 0; i < SIZES; i++) {
        block[i] = mp_malloc(sizes[i]);
        assert_non_null(block[i]);
        assert_int_equal((uintptr_t)block[i] % 16, 0);
        assert_true(mp_heap_contains(block[i]));
        fill(block[i], sizes[i], i);
    }
    assert_heap_in_order();
    for (size_t i = 0; i < SIZES; i++) {
        assert_true(is_filled(block[i], sizes[i], i));
        mp_assert_ok(mp_free(block[i]));
        assert_heap_in_order();
    }
}

static void
test_malloc_of_nothing_gives_different_blocks(void **state)
{
    (void)state;
    void *a = mp_malloc(0), *b = mp_malloc(0);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    mp_assert_ok(mp_free(a));
    mp_assert_ok(mp_free(b));
}

static void
test_malloc_of_absurd_sizes_is_enomem(void **state)
{
    (void)state;
    static const size_t absurd[] = {SIZE_MAX,      SIZE_MAX - 15, SIZE_MAX - 16,    SIZE_MAX - 31,
                                    SIZE_MAX - 32, SIZE_MAX / 2,  SIZE_MAX / 2 + 1, 2 * TIB,
                                    TIB + 1,       TIB,           TIB - 1,          TIB - 16,
                                    TIB - 32,      TIB - 4096,    (size_t)1 << 63};
    mp_heap_info before = stats();
    for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++) {
        assert_null(mp_malloc(absurd[i]));
        assert_int_equal(mp_last_error(), MP_ENOMEM);
        assert_non_null(strstr(mp_last_error_text(), "shared memory"));
        assert_null(mp_calloc(1, absurd[i]));
        assert_null(mp_aligned_alloc(MIB, absurd[i]));
        assert_int_equal(mp_last_error(), MP_ENOMEM);
        void *p = mp_malloc(100);
        fill(p, 100, i);
        assert_null(mp_realloc(p, absurd[i]));
        assert_int_equal(mp_last_error(), MP_ENOMEM);
        assert_true(is_filled(p, 100, i));
        mp_assert_ok(mp_free(p));
    }
    mp_heap_info after = stats();
    assert_int_equal(after.used, before.used);
    assert_true(after.committed < before.committed + MIB);
    assert_heap_in_order();
}

static void
test_calloc_zeroes_memory_that_was_used(void **state)
{
    (void)state;
    static const size_t size[] = {1, 40, 5000, 100000, 6000000};
    for (size_t i = 0; i < 5; i++) {
        void *p = mp_malloc(size[i]);
        memset(p, 0xff, size[i]);
        mp_assert_ok(mp_free(p));
        unsigned char *z = mp_calloc(size[i], 1);
        assert_non_null(z);
        for (size_t k = 0; k < size[i]; k++) {
            assert_int_equal(z[k], 0);
        }
        mp_assert_ok(mp_free(z));
    }
    void *none = mp_calloc(0, 100);
    assert_non_null(none);
    mp_assert_ok(mp_free(none));
}

static void
test_calloc_overflow_is_told(void **state)
{
    (void)state;
    assert_null(mp_calloc(SIZE_MAX / 2 + 1, 2));
    assert_int_equal(mp_last_error(), MP_EOVERFLOW);
    assert_null(mp_calloc(SIZE_MAX, SIZE_MAX));
    assert_int_equal(mp_last_error(), MP_EOVERFLOW);
    assert_null(mp_calloc((size_t)1 << 32, (size_t)1 << 32));
    assert_int_equal(mp_last_error(), MP_EOVERFLOW);
}

static void
test_aligned_alloc_is_aligned_for_every_power_of_two(void **state)
{
    (void)state;
    enum { ALIGNS = 21, EACH = 5 };
    static const size_t size[EACH] = {0, 1, 100, 70000, 3000000};
    void *block[ALIGNS][EACH], *odd[ALIGNS];
    for (int a = 0; a < ALIGNS; a++) {
        odd[a] = mp_malloc((size_t)a * 16 + 1); /* so that what follows lies at odd places */
        for (int i = 0; i < EACH; i++) {
            block[a][i] = mp_aligned_alloc((size_t)1 << a, size[i]);
            assert_non_null(block[a][i]);
            assert_int_equal((uintptr_t)block[a][i] & (((uintptr_t)1 << a) - 1), 0);
            fill(block[a][i], size[i], (uint64_t)(a * EACH + i));
        }
        assert_heap_in_order();
    }
    for (int a = 0; a < ALIGNS; a++) {
        for (int i = 0; i < EACH; i++) {
            assert_true(is_filled(block[a][i], size[i], (uint64_t)(a * EACH + i)));
            mp_assert_ok(mp_free(block[a][i]));
        }
        mp_assert_ok(mp_free(odd[a]));
    }
    assert_heap_in_order();
}

static void
test_aligned_alloc_of_bad_alignment_is_evalue(void **state)
{
    (void)state;
    static const size_t bad[] = {0,       3,       24,          48,       100,
                                 1000000, 2097152, 1048576 + 1, SIZE_MAX, (size_t)1 << 63};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(mp_aligned_alloc(bad[i], 10));
        assert_int_equal(mp_last_error(), MP_EVALUE);
    }
}

/* ---- freeing -----------------------------------------------------------------------------------*/

static void
assert_not_freed(void *p)
{
    mp_heap_info before = stats();
    mp_assert_code(mp_free(p), MP_EVALUE);
    assert_int_equal(mp_last_error(), MP_EVALUE);
    assert_non_null(strstr(mp_last_error_text(), "mp_free"));
    assert_null(mp_realloc(p, 10));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    mp_heap_info after = stats();
    assert_int_equal(after.blocks, before.blocks);
    assert_int_equal(after.used, before.used);
}

static void
test_free_of_null_is_fine(void **state)
{
    (void)state;
    mp_assert_ok(mp_free(NULL));
}

static void
test_free_twice_is_evalue(void **state)
{
    (void)state;
    static const size_t size[] = {1, 100, 5000, 100000, 2000000, 5000000, 20000000};
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        /* With free and with used neighbours: the header goes, or stays as a free block's. */
        void *left = mp_malloc(size[i]), *mid = mp_malloc(size[i]), *right = mp_malloc(size[i]);
        mp_assert_ok(mp_free(mid));
        assert_not_freed(mid);
        mp_assert_ok(mp_free(right));
        assert_not_freed(right);
        assert_not_freed(mid);
        mp_assert_ok(mp_free(left));
        assert_not_freed(left);
        assert_not_freed(mid);
        assert_not_freed(right);
        assert_heap_in_order();
    }
}

static void
test_free_of_what_is_no_block_is_evalue(void **state)
{
    (void)state;
    char stack[64] = {0};
    char *p = mp_malloc(5000), *m = malloc(64);
    memset(p, 0xff, 5000);
    assert_not_freed(stack);
    assert_not_freed(m);
    assert_not_freed((void *)(uintptr_t) "text");
    for (size_t i = 1; i < 5000; i++) {
        mp_assert_code(mp_free(p + i), MP_EVALUE);
    }
    assert_not_freed(p + 16);
    assert_not_freed(p - 16);
    assert_not_freed((void *)(uintptr_t)16);
    assert_not_freed((void *)UINTPTR_MAX);
    assert_not_freed((void *)(UINTPTR_MAX - 15));
    free(m);
    mp_assert_ok(mp_free(p));
    assert_heap_in_order();
}

/* What a block holds cannot be freed as one, even a copy of a real header. */
static void
test_free_of_a_copied_header_is_evalue(void **state)
{
    (void)state;
    char *a = mp_malloc(200), *b = mp_malloc(200);
    memcpy(b + 32, a - 16, 16);
    assert_not_freed(b + 48);
    mp_assert_ok(mp_free(a));
    mp_assert_ok(mp_free(b));
}

static void
test_heap_contains_tells_its_own(void **state)
{
    (void)state;
    int x;
    char *p = mp_malloc(10);
    assert_true(mp_heap_contains(p));
    assert_true(mp_heap_contains(p + 9));
    assert_false(mp_heap_contains(NULL));
    assert_false(mp_heap_contains(&x));
    assert_false(mp_heap_contains((void *)UINTPTR_MAX));
    mp_assert_ok(mp_free(p));
    mp_assert_code(mp_heap_stats(NULL), MP_EVALUE);
}

/* ---- realloc -----------------------------------------------------------------------------------*/

static void
test_realloc_keeps_contents_up_and_down(void **state)
{
    (void)state;
    void *p = mp_realloc(NULL, 10);
    assert_non_null(p);
    size_t old = 10;
    fill(p, old, 1);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < SIZES; i++) {
            size_t size = sizes[round ? SIZES - 1 - i : i], both = size < old ? size : old;
            unsigned char first[16], last[16];
            size_t some = both < 16 ? both : 16;
            fill(p, old, i);
            memcpy(first, p, some);
            memcpy(last, (char *)p + both - some, some);
            p = mp_realloc(p, size);
            assert_non_null(p);
            assert_memory_equal(p, first, some);
            assert_memory_equal((char *)p + both - some, last, some);
            old = size;
        }
        assert_heap_in_order();
    }
    mp_assert_ok(mp_free(p));
}

/* ---- much of it --------------------------------------------------------------------------------*/

#define SLOTS 2000

static size_t
random_size(uint64_t *seed)
{
    uint64_t r = next_random(seed);
    switch (r % 32) {
    case 0:
        return r >> 8 & (r >> 40 & 7 ? 0xfffff : 0x7fffff); /* up to 1 MiB, now and then 8 MiB */
    case 1:
    case 2:
    case 3:
    case 4:
        return r >> 8 & 0xffff;
    default:
        return r >> 8 & 0x1ff;
    }
}

static void
test_heap_under_random_operations_stays_in_order(void **state)
{
    (void)state;
    static struct {
        void *p;
        size_t size;
        uint64_t seed;
    } slot[SLOTS];
    mp_heap_info before = stats();
    uint64_t seed = 88172645463325252u;
    for (long n = 0; n < 200000; n++) {
        size_t i = next_random(&seed) % SLOTS, size = random_size(&seed);
        if (slot[i].p && !is_filled(slot[i].p, slot[i].size, slot[i].seed)) {
            fail_msg("operation %ld: the contents of a block changed", n);
        }
        uint64_t what = next_random(&seed) % 8;
        if (slot[i].p && what < 5) {
            mp_assert_ok(mp_free(slot[i].p));
            slot[i].p = NULL;
            continue;
        }
        void *p = slot[i].p  ? mp_realloc(slot[i].p, size)
                  : what < 6 ? mp_malloc(size)
                             : mp_aligned_alloc((size_t)1 << next_random(&seed) % 17, size);
        assert_non_null(p);
        slot[i].p = p;
        slot[i].size = size;
        slot[i].seed = seed;
        fill(p, size, seed);
        if (n % 5000 == 0) {
            assert_heap_in_order();
        }
    }
    for (size_t i = 0; i < SLOTS; i++) {
        assert_true(!slot[i].p || is_filled(slot[i].p, slot[i].size, slot[i].seed));
        mp_assert_ok(mp_free(slot[i].p));
        slot[i].p = NULL;
    }
    assert_heap_in_order();
    mp_heap_info after = stats();
    assert_int_equal(after.used, before.used);
    assert_int_equal(after.blocks, before.blocks);
}

/* ---- between processes and threads --------------------------------------------------------------*/

#define SHARED_SLOTS 64
#define WORKERS      3
#define THREADS      2
#define TURNS        15000

/* Blocks that belong to whoever takes them out of their slot. */
static _Atomic(uint64_t *) *shared;

static void *
exchange_blocks(void *arg)
{
    uint64_t seed = (uint64_t)(uintptr_t)arg * 7919 + (uint64_t)getpid();
    for (int i = 0; i < TURNS; i++) {
        size_t size = random_size(&seed) % 20000 + 16;
        uint64_t *mine = mp_malloc(size);
        mp_child_check(mine != NULL);
        mine[0] = size;
        mine[1] = seed;
        fill(mine + 2, size - 16, seed);
        uint64_t *old = atomic_exchange(&shared[next_random(&seed) % SHARED_SLOTS], mine);
        if (old) {
            mp_child_check(is_filled(old + 2, old[0] - 16, old[1]));
            mp_child_ok(mp_free(old));
        }
    }
    return NULL;
}

static void
work_in_threads(void)
{
    pthread_t thread[THREADS];
    for (uintptr_t t = 0; t < THREADS; t++) {
        mp_child_check(pthread_create(&thread[t], NULL, exchange_blocks, (void *)(t + 1)) == 0);
    }
    for (int t = 0; t < THREADS; t++) {
        mp_child_check(pthread_join(thread[t], NULL) == 0);
    }
}

static void
test_processes_and_threads_free_each_others_blocks(void **state)
{
    (void)state;
    pid_t pid[WORKERS];
    shared = mp_calloc(SHARED_SLOTS, sizeof *shared);
    assert_non_null(shared);
    for (int i = 0; i < WORKERS; i++) {
        pid[i] = fork();
        if (pid[i] == 0) {
            work_in_threads();
            _exit(0);
        }
    }
    for (int i = 0; i < WORKERS; i++) {
        int status;
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_int_equal(status, 0);
    }
    assert_heap_in_order();
    for (int i = 0; i < SHARED_SLOTS; i++) {
        uint64_t *left = atomic_load(&shared[i]);
        assert_true(!left || is_filled(left + 2, left[0] - 16, left[1]));
        mp_assert_ok(mp_free(left));
    }
    mp_assert_ok(mp_free(shared));
    assert_heap_in_order();
}

/* Of several that free one block, one gets 0. */
static void
test_free_by_many_at_once_is_done_by_one(void **state)
{
    (void)state;
    enum { ROUNDS = 2000 };
    struct {
        _Atomic int ready, wins[ROUNDS];
        _Atomic(void *) block[ROUNDS];
    } *s = mp_calloc(1, sizeof *s);
    assert_non_null(s);
    for (int i = 0; i < ROUNDS; i++) {
        s->block[i] = mp_malloc(i % 7 == 0 ? 70000 : 100);
    }
    pid_t pid[2];
    for (int k = 0; k < 2; k++) {
        pid[k] = fork();
        if (pid[k] == 0) {
            mp_free(mp_malloc(1));
            s->ready++;
            while (s->ready < 2) {
            }
            for (int i = 0; i < ROUNDS; i++) {
                s->wins[i] += mp_free(s->block[i]) == 0;
            }
            _exit(0);
        }
    }
    for (int k = 0; k < 2; k++) {
        assert_int_equal(waitpid(pid[k], NULL, 0), pid[k]);
    }
    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(s->wins[i], 1);
    }
    assert_heap_in_order();
    mp_assert_ok(mp_free(s));
}

/* ---- pages -------------------------------------------------------------------------------------*/

static void
assert_committed_below(size_t most)
{
#if !defined MP_PLATFORM_POSIX /* POSIX has no call that gives pages back */
    size_t now = stats().committed;
    if (now >= most) {
        fail_msg("%zu KiB are committed, %zu allowed", now / KIB, most / KIB);
    }
#else
    (void)most;
#endif
}

static void
test_pages_of_a_big_block_go_back(void **state)
{
    (void)state;
    char *p = mp_malloc(64 * MIB);
    assert_non_null(p);
    assert_true(stats().committed >= 64 * MIB || stats().committed == 0);
    memset(p, 1, 64 * MIB);
    mp_assert_ok(mp_free(p));
    assert_committed_below(6 * MIB);
}

static void
test_pages_of_many_small_blocks_go_back(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    void **p = malloc(COUNT * sizeof *p);
    assert_non_null(p);
    for (int order = 0; order < 3; order++) {
        for (int i = 0; i < COUNT; i++) {
            p[i] = mp_malloc(200);
            assert_non_null(p[i]);
            memset(p[i], 1, 200);
        }
        for (int i = 0; i < COUNT; i++) {
            int k = order == 0 ? i : order == 1 ? COUNT - 1 - i : (int)(i * 99991L % COUNT);
            mp_assert_ok(mp_free(p[k]));
        }
        assert_committed_below(6 * MIB);
    }
    free(p);
    assert_heap_in_order();
}

static void
test_big_blocks_between_small_ones_have_their_pages(void **state)
{
    (void)state;
    /* Big blocks that come and go between small ones: pages are there whenever they are ours. */
    void *small[64];
    for (int i = 0; i < 64; i++) {
        char *big = mp_malloc(5 * MIB + (size_t)i * 4096);
        small[i] = mp_malloc(3000);
        fill(big, 5 * MIB, (uint64_t)i);
        fill(small[i], 3000, (uint64_t)i);
        assert_true(is_filled(big, 5 * MIB, (uint64_t)i));
        mp_assert_ok(mp_free(big));
    }
    for (int i = 0; i < 64; i++) {
        assert_true(is_filled(small[i], 3000, (uint64_t)i));
        mp_assert_ok(mp_free(small[i]));
    }
    assert_heap_in_order();
    assert_committed_below(8 * MIB);
}

static void
test_fresh_family_is_small(void **state)
{
    (void)state;
    char out[200];
    int status = mp_test_run_self("fresh-family", out, sizeof out);
    assert_int_equal(status, 0);
    long committed = strtol(out, NULL, 10);
    assert_in_range(committed, 0, 1024 * 1024 - 1);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_malloc_of_every_size_gives_memory),
    cmocka_unit_test(test_malloc_of_nothing_gives_different_blocks),
    cmocka_unit_test(test_malloc_of_absurd_sizes_is_enomem),
    cmocka_unit_test(test_calloc_zeroes_memory_that_was_used),
    cmocka_unit_test(test_calloc_overflow_is_told),
    cmocka_unit_test(test_aligned_alloc_is_aligned_for_every_power_of_two),
    cmocka_unit_test(test_aligned_alloc_of_bad_alignment_is_evalue),
    cmocka_unit_test(test_free_of_null_is_fine),
    cmocka_unit_test(test_free_twice_is_evalue),
    cmocka_unit_test(test_free_of_what_is_no_block_is_evalue),
    cmocka_unit_test(test_free_of_a_copied_header_is_evalue),
    cmocka_unit_test(test_heap_contains_tells_its_own),
    cmocka_unit_test(test_realloc_keeps_contents_up_and_down),
    cmocka_unit_test(test_heap_under_random_operations_stays_in_order),
    cmocka_unit_test(test_processes_and_threads_free_each_others_blocks),
    cmocka_unit_test(test_free_by_many_at_once_is_done_by_one),
    cmocka_unit_test(test_pages_of_a_big_block_go_back),
    cmocka_unit_test(test_pages_of_many_small_blocks_go_back),
    cmocka_unit_test(test_big_blocks_between_small_ones_have_their_pages),
    cmocka_unit_test(test_fresh_family_is_small),
};

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    if (argc > 1 && strcmp(argv[1], "fresh-family") == 0) {
        mp_heap_info info;
        mp_free(mp_malloc(1));
        mp_heap_stats(&info);
        printf("%zu\n", info.committed);
        return 0;
    }
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
}
