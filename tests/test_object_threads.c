/* test_object_threads.c: values that several threads look at, reference and pickle at once. */
#include "object_test.h"
#include "helpers/threads.h"

#include <pthread.h>

#include "object/object.h"

static void *
use_shared(void *arg)
{
    mp_obj dict = *(mp_obj *)arg;
    size_t wrong = 0;
    for (int i = 0; i < 2000; i++) {
        mp_obj mine = mp_list(mp_obj_ref(dict), mp_obj_ref(dict));
        mp_obj key = mp_tuple(mp_tuple("k", i % 10), "x");
        wrong += mp_as_int(mp_dict_get(dict, key)) != i % 10;
        size_t pos = 0;
        mp_obj each, out = mp_none();
        while (mp_dict_next(dict, &pos, &each, NULL)) {
            wrong += mp_is_none(mp_dict_get(dict, each)); /* hashes the keys of the dict */
        }
        void *data;
        size_t len;
        wrong += mp_obj_dump(mine, &data, &len) != 0 || mp_obj_load(data, len, &out) != 0;
        wrong += !mp_obj_equal(out, mine);
        free(data);
        mp_obj_free(out);
        mp_obj_free(key);
        mp_obj_free(mine);
    }
    return wrong ? arg : NULL;
}

static void
test_obj_is_read_by_threads_at_once(void **state)
{
    (void)state;
    mp_obj dict = mp_dict();
    for (int i = 0; i < 10; i++) {
        mp_assert_ok(mp_dict_put(dict, mp_tuple(mp_tuple("k", i), "x"), mp_from(i)));
    }
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use_shared, &dict), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    assert_int_equal(mp__body_refs(mp__obj_body(dict)), 1);
    mp_obj_free(dict);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_obj_is_read_by_threads_at_once),
};

MP_TEST_MAIN_OF_THREADS(tests, false)
