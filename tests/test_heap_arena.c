/* Heaps of one process's own: sizes, arenas that grow and go, blocks that others use, forks. */
#include "helpers/process.h"

#include <sys/wait.h>

static size_t
used_blocks(void)
{
    mp_heap_info info;
    mp_assert_ok(mp_heap_stats(&info));
    return info.blocks;
}

static size_t
used_bytes(void)
{
    mp_heap_info info;
    mp_assert_ok(mp_heap_stats(&info));
    return info.used;
}

static void
test_heap_arena_sizes(void **state)
{
    (void)state;
    mp_heap *h = mp_heap_new(0);
    assert_non_null(h);
    static const struct {
        int64_t size;
        int code;
    } bad[] = {{-1, MP_EVALUE}, {INT64_MIN, MP_EVALUE}, {INT64_MAX, MP_EOVERFLOW}};
    for (size_t i = 0; i < 3; i++) {
        assert_null(mp_heap_malloc(h, bad[i].size));
        assert_int_equal(mp_last_error(), bad[i].code);
        assert_null(mp_heap_malloc(NULL, bad[i].size));
        assert_int_equal(mp_last_error(), bad[i].code);
        assert_null(mp_heap_new(bad[i].size));
        assert_int_equal(mp_last_error(), bad[i].code);
    }
    assert_null(mp_heap_malloc(h, INT64_C(1) << 46)); /* more than there is */
    assert_int_equal(mp_last_error(), MP_ENOMEM);
    char *none = mp_heap_malloc(h, 0), *one = mp_heap_malloc(h, 1), *more = mp_heap_malloc(h, 17);
    assert_true(none && one && more);
    assert_int_equal(one - none, 16);
    assert_int_equal(more - one, 16);
    assert_int_equal((uintptr_t)none % 16, 0);
    assert_true(mp_heap_contains(none));
    mp_assert_ok(mp_heap_free(h, NULL));
    mp_assert_code(mp_heap_free(h, none + 1), MP_EVALUE);
    mp_assert_code(mp_heap_free(h, &none), MP_EVALUE);
    mp_assert_ok(mp_heap_free(h, one));
    mp_assert_code(mp_heap_free(h, one), MP_EVALUE);    /* twice */
    assert_ptr_equal(mp_heap_malloc(h, 10), one);       /* its place is used again */
    mp_assert_code(mp_heap_free(NULL, one), MP_EVALUE); /* another heap's */
    mp_assert_ok(mp_heap_close(h));
    mp_assert_code(mp_heap_close(h), MP_EVALUE);
    assert_null(mp_heap_malloc(h, 1));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    mp_assert_code(mp_heap_free(h, one), MP_EVALUE);
    mp_assert_ok(mp_heap_close(NULL));
}

static void
test_heap_arena_doubles_and_drops_what_is_big(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), before = used_blocks();
    mp_heap *h = mp_heap_new((int64_t)page);
    enum { COUNT = 8 };
    void *blocks[COUNT];
    size_t bytes = used_bytes();
    for (int i = 0; i < COUNT; i++) { /* each as big as the next arena: 1, 2, 4 ... pages */
        blocks[i] = mp_heap_malloc(h, (int64_t)(page << i));
        assert_non_null(blocks[i]);
        assert_int_equal(used_blocks(), before + (size_t)i + 1);
        assert_true(used_bytes() - bytes >= page << i && used_bytes() - bytes < (page << i) + page);
        bytes = used_bytes();
    }
    for (int i = 0; i < COUNT; i++) {
        mp_assert_ok(mp_heap_free(h, blocks[i]));
    }
    assert_int_equal(used_blocks(), before + COUNT); /* small ones are kept for the next */
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = mp_heap_malloc(h, (int64_t)(page << i));
    }
    assert_int_equal(used_blocks(), before + COUNT);
    void *big = mp_heap_malloc(h, (4 << 20) - 16), *bigger = mp_heap_malloc(h, 9 << 20);
    assert_int_equal(used_blocks(), before + COUNT + 2);
    mp_assert_ok(mp_heap_free(h, bigger));
    mp_assert_ok(mp_heap_free(h, big));
    assert_int_equal(used_blocks(), before + COUNT); /* those of 4 MiB and more go */
    mp_assert_ok(mp_heap_close(h));
    assert_int_equal(used_blocks(), before);
}

static void
test_heap_arena_neighbours_become_one(void **state)
{
    (void)state;
    size_t before = used_blocks();
    mp_heap *h = mp_heap_new(1 << 16);
    enum { COUNT = 64 };
    void *blocks[COUNT];
    for (unsigned seed = 1; seed < 20; seed++) {
        int order[COUNT];
        for (int i = 0; i < COUNT; i++) {
            blocks[i] = mp_heap_malloc(h, 1024);
            assert_non_null(blocks[i]);
            order[i] = i;
        }
        srand(seed);
        for (int i = COUNT - 1; i > 0; i--) {
            int k = rand() % (i + 1), swap = order[i];
            order[i] = order[k];
            order[k] = swap;
        }
        for (int i = 0; i < COUNT; i++) {
            mp_assert_ok(mp_heap_free(h, blocks[order[i]]));
        }
        void *whole = mp_heap_malloc(h, 1 << 16); /* fits only if all are one again */
        assert_non_null(whole);
        assert_int_equal(used_blocks(), before + 1);
        mp_assert_ok(mp_heap_free(h, whole));
    }
    mp_assert_ok(mp_heap_close(h));
}

static void
test_heap_arena_blocks_do_not_overlap(void **state)
{
    (void)state;
    mp_heap *h = mp_heap_new(0);
    enum { COUNT = 300 };
    static struct {
        unsigned char *at;
        size_t size;
        unsigned char mark;
    } b[COUNT];
    srand(7);
    for (int round = 0; round < 20000; round++) {
        int i = rand() % COUNT;
        if (b[i].at) {
            for (size_t k = 0; k < b[i].size; k++) {
                assert_int_equal(b[i].at[k], b[i].mark);
            }
            mp_assert_ok(mp_heap_free(h, b[i].at));
            b[i].at = NULL;
        } else {
            b[i].size = (size_t)(rand() % (rand() % 20 ? 300 : 30000));
            b[i].mark = (unsigned char)rand();
            b[i].at = mp_heap_malloc(h, (int64_t)b[i].size);
            assert_non_null(b[i].at);
            memset(b[i].at, b[i].mark, b[i].size);
        }
    }
    mp_assert_ok(mp_heap_close(h));
}

static int
write_to_block(const mp_args *args)
{
    void *block = NULL;
    mp_args_get(args, &block);
    *(int *)block = 42;
    mp_child_code(mp_heap_free(NULL, block), MP_EVALUE); /* it is the parent's */
    int *own = mp_heap_malloc(NULL, sizeof *own);
    mp_child_check(own && (void *)own != block);
    mp_child_code(mp_heap_free(NULL, block), MP_EVALUE);
    mp_child_ok(mp_heap_free(NULL, own));
    mp_heap *h = mp_heap_new(0);
    int *mine = mp_heap_malloc(h, 5000);
    mp_child_check(mine != NULL);
    *mine = 1;
    mp_child_ok(mp_heap_close(h));
    return *(int *)block == 42 ? 0 : 1;
}

static void
test_heap_arena_block_is_every_processes(void **state)
{
    (void)state;
    mp_heap *h = mp_heap_new(0);
    int *block = mp_heap_malloc(h, sizeof *block);
    *block = 0;
    assert_int_equal(finish(start(write_to_block, mp_args((void *)block))), 0);
    assert_int_equal(*block, 42);
    mp_assert_ok(mp_heap_free(h, block));
    mp_assert_ok(mp_heap_close(h));
}

static void
test_heap_arena_child_of_fork_has_its_own(void **state)
{
    (void)state;
    mp_heap *h = mp_heap_new(0);
    int *block = mp_heap_malloc(h, 100), status;
    *block = 5;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        mp_child_code(mp_heap_free(h, block), MP_EVALUE);
        int *own = mp_heap_malloc(h, 100);
        mp_child_check(own && own != block);
        *own = 6;
        mp_child_code(mp_heap_free(h, block), MP_EVALUE);
        mp_child_ok(mp_heap_free(h, own));
        mp_child_ok(mp_heap_close(h));
        mp_child_check(*block == 5);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(*block, 5);
    int *again = mp_heap_malloc(h, 100);
    assert_true(again && again != block);
    mp_assert_ok(mp_heap_free(h, block));
    mp_assert_ok(mp_heap_close(h));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_heap_arena_sizes),
    cmocka_unit_test(test_heap_arena_doubles_and_drops_what_is_big),
    cmocka_unit_test(test_heap_arena_neighbours_become_one),
    cmocka_unit_test(test_heap_arena_blocks_do_not_overlap),
    cmocka_unit_test(test_heap_arena_block_is_every_processes),
    cmocka_unit_test(test_heap_arena_child_of_fork_has_its_own),
};

MP_TEST_MAIN(tests)
