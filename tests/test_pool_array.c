/* test_pool_array.c: mp_pool_map_array(): C data, in place and copied. */
#include "helpers/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- help ------------------------------------------------------------------------------------ */

/* ---- the tests -------------------------------------------------------------------------- */

struct in {
    int a, b;
};
struct out {
    int64_t sum;
    char text[12];
};

static int
add(const void *in, void *out)
{
    const struct in *i = in;
    struct out *o = out;
    o->sum = (int64_t)i->a + i->b;
    snprintf(o->text, sizeof o->text, "%d", i->a);
    return 0;
}

static int
count_up(const void *in, void *out)
{
    (void)out;
    __atomic_fetch_add(*(int *const *)in, 1, __ATOMIC_RELAXED);
    return 0;
}

/* input: even numbers are fine, 13 is an error code, others a failure */
static int
only_even(const void *in, void *out)
{
    int n = *(const int *)in;
    *(int *)out = n;
    return n == 13 ? -ENOENT : n & 1;
}

static void
fill_in(struct in *in, struct out *out, int n)
{
    for (int i = 0; i < n; i++) {
        in[i] = (struct in){i, 2 * i};
        out[i].sum = -1;
    }
}

static void
test_map_array_in_private_and_in_heap_memory(void **state)
{
    (void)state;
    mp_pool *pool = new_pool(3);
    enum { N = 5000 };
    for (int where = 0; where < 4; where++) {
        struct in *in = where & 1 ? mp_malloc(N * sizeof *in) : malloc(N * sizeof *in);
        struct out *out = where & 2 ? mp_malloc(N * sizeof *out) : malloc(N * sizeof *out);
        for (size_t chunk = 0; chunk < 3; chunk++) {
            mp_map_options options = {.chunksize = chunk == 2 ? SIZE_MAX : chunk};
            fill_in(in, out, N);
            mp_assert_ok(
                mp_pool_map_array(pool, add, in, sizeof *in, out, sizeof *out, N, &options));
            for (int i = 0; i < N; i++) {
                assert_int_equal(out[i].sum, 3 * i);
                assert_int_equal(atoi(out[i].text), i);
            }
        }
        where & 1 ? (void)mp_free(in) : free(in);
        where & 2 ? (void)mp_free(out) : free(out);
    }
    end_pool(pool);
}

static void
test_map_array_without_output_or_elements(void **state)
{
    (void)state;
    mp_pool *pool = new_pool(2);
    int *counter = mp_calloc(1, sizeof *counter), *to[100];
    for (int i = 0; i < 100; i++) {
        to[i] = counter;
    }
    mp_assert_ok(mp_pool_map_array(pool, count_up, to, sizeof *to, NULL, 0, 100, NULL));
    assert_int_equal(*counter, 100);
    mp_assert_ok(mp_pool_map_array(pool, count_up, to, sizeof *to, NULL, 0, 0, NULL));
    mp_assert_ok(mp_pool_map_array(pool, count_up, NULL, 8, NULL, 8, 0, NULL));
    assert_int_equal(*counter, 100);
    mp_free(counter);
    end_pool(pool);
}

static void
test_map_array_bad_arguments_are_refused(void **state)
{
    (void)state;
    mp_pool *pool = new_pool(1);
    int x[4] = {0};
    mp_assert_code(mp_pool_map_array(pool, NULL, x, 4, x, 4, 4, NULL), MP_EVALUE);
    mp_assert_code(mp_pool_map_array(pool, only_even, NULL, 4, x, 4, 4, NULL), MP_EVALUE);
    mp_assert_code(mp_pool_map_array(pool, only_even, x, 4, NULL, 4, 4, NULL), MP_EVALUE);
    mp_assert_code(mp_pool_map_array(NULL, only_even, x, 4, x, 4, 4, NULL), MP_EVALUE);
    mp_assert_code(mp_pool_map_array(pool, only_even, x, SIZE_MAX / 2, x, 4, 4, NULL),
                   MP_EOVERFLOW);
    mp_assert_code(mp_pool_map_array(pool, only_even, x, 4, x, SIZE_MAX / 2, 4, NULL),
                   MP_EOVERFLOW);
    mp_assert_code(mp_pool_map_array(pool, only_even, x, 0, x, 0, SIZE_MAX, NULL), MP_EOVERFLOW);
    mp_map_options options = {.reserved = {1}};
    mp_assert_code(mp_pool_map_array(pool, only_even, x, 4, x, 4, 4, &options), MP_EVALUE);
    assert_works(pool);
    end_pool(pool);
}

static void
test_map_array_failing_element_gives_code_and_item(void **state)
{
    (void)state;
    mp_pool *pool = new_pool(2);
    int in[60], out[60];
    for (int i = 0; i < 60; i++) {
        in[i] = 2 * i;
    }
    for (int round = 0; round < 2; round++) {
        in[41] = round ? 13 : 1;
        memset(out, 0xff, sizeof out);
        mp_assert_code(
            mp_pool_map_array(pool, only_even, in, sizeof *in, out, sizeof *out, 60, NULL),
            round ? -ENOENT : MP_ETASK);
        assert_non_null(strstr(mp_last_error_text(), "item 41"));
        for (int i = 0; i < 60; i++) {
            assert_int_equal(out[i], in[i]); /* all of them were run */
        }
    }
    end_pool(pool);
}

static int
next_number(const void *in, void *out)
{
    *(uint32_t *)out = *(const uint32_t *)in + 1;
    return 0;
}

static void
test_map_array_million_elements_are_right(void **state)
{
    (void)state;
    enum { N = 1000000 };
    mp_pool *pool = new_pool(0);
    assert_int_equal(mp_pool_processes(pool), mp_usable_cpu_count());
    uint32_t *in = malloc(N * sizeof *in), *out = calloc(N, sizeof *out);
    for (uint32_t i = 0; i < N; i++) {
        in[i] = i * 7;
    }
    for (size_t chunk = 0; chunk < 2; chunk++) {
        mp_map_options options = {.chunksize = chunk};
        memset(out, 0, N * sizeof *out);
        mp_assert_ok(mp_pool_map_array(pool, next_number, in, 4, out, 4, N, &options));
        for (uint32_t i = 0; i < N; i++) {
            assert_int_equal(out[i], i * 7 + 1);
        }
    }
    free(in);
    free(out);
    end_pool(pool);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_map_array_in_private_and_in_heap_memory),
    cmocka_unit_test(test_map_array_without_output_or_elements),
    cmocka_unit_test(test_map_array_bad_arguments_are_refused),
    cmocka_unit_test(test_map_array_failing_element_gives_code_and_item),
    cmocka_unit_test(test_map_array_million_elements_are_right),
};
MP_TEST_MAIN(tests)
