/* Value and Array in the hands of several threads of one process, for ThreadSanitizer. */
#include "helpers/threads.h"

#include <pthread.h>
#include <string.h>

#define THREADS 4
#define ROUNDS  400
#define LENGTH  24

struct pair {
    long first, second;
};

static struct world {
    mp_value *count, *number, *pair;
    mp_array *shorts, *string;
    _Atomic int wrong;
} world;

static void *
work(void *arg)
{
    const int which = (int)(intptr_t)arg;
    short mine[LENGTH], seen[LENGTH];
    char text[LENGTH + 1], got[LENGTH + 1];
    struct pair p;
    int wrong = 0;
    for (int i = 0; i < LENGTH; i++) {
        mine[i] = (short)(which + 1);
    }
    memset(text, 'a' + which, LENGTH);
    text[LENGTH - which] = 0;
    for (int i = 0; i < ROUNDS; i++) {
        mp_obj o;
        MP_WITH(world.count) {
            *(long *)mp_value_data(world.count) += 1;
        }
        wrong += mp_value_set(world.number, which) != 0;
        wrong += mp_value_get(world.number, &o) != 0 || mp_as_int(o) < 0 || mp_as_int(o) >= THREADS;
        wrong += mp_value_write(world.pair, &(struct pair){i, i}) != 0;
        wrong += mp_value_read(world.pair, &p) != 0 || p.first != p.second;
        wrong += mp_array_set_slice(world.shorts, 0, LENGTH, 1, mine, LENGTH) != 0;
        wrong += mp_array_get_slice(world.shorts, MP_SLICE_END, MP_SLICE_BEGIN, -1, seen, LENGTH,
                                    NULL) != 0;
        for (int j = 1; j < LENGTH; j++) {
            wrong += seen[j] != seen[0];
        }
        wrong += mp_array_set_string(world.string, text) != 0;
        wrong += mp_array_get_string(world.string, got, sizeof got) != 0;
        wrong += strlen(got) != (size_t)(LENGTH - (got[0] - 'a'));
        mp_obj_free(mp_array_tolist(world.shorts));
    }
    world.wrong += wrong;
    return NULL;
}

static void
test_value_and_array_of_many_threads_are_of_one_moment(void **state)
{
    (void)state;
    pthread_t thread[THREADS];
    char text[LENGTH + 1];
    memset(text, 'a', LENGTH);
    world.count = mp_value_new('l', 0);
    world.number = mp_value_new('i', 0);
    world.pair = mp_value_new_struct(sizeof(struct pair), NULL);
    world.shorts = mp_array_new('h', LENGTH, NULL);
    world.string = mp_array_new('c', LENGTH, text);
    assert_true(world.count && world.number && world.pair && world.shorts && world.string);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, work, (void *)(intptr_t)i), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    assert_int_equal(world.wrong, 0);
    assert_int_equal(*(long *)mp_value_data(world.count), THREADS * ROUNDS);
    mp_value_free(world.count);
    mp_value_free(world.number);
    mp_value_free(world.pair);
    mp_array_free(world.shorts);
    mp_array_free(world.string);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_value_and_array_of_many_threads_are_of_one_moment),
};

MP_TEST_MAIN_OF_THREADS(tests, true)
