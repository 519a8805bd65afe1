/* helpers/pool.h: what the tests of pools share. */
#ifndef MP_TEST_HELPERS_POOL_H
#define MP_TEST_HELPERS_POOL_H

#include "mp_test.h"

static inline mp_pool *
new_pool(int processes)
{
    mp_pool *pool = mp_pool_new(&(mp_pool_options){.processes = processes});
    if (!pool) {
        fail_msg("mp_pool_new: %s", mp_last_error_text());
    }
    return pool;
}

static inline void
end_pool(mp_pool *pool)
{
    mp_assert_ok(mp_pool_close(pool));
    mp_assert_ok(mp_pool_join(pool));
    mp_assert_ok(mp_pool_free(pool));
}

static inline mp_obj
square(mp_obj n)
{
    return mp_from(mp_as_int(n) * mp_as_int(n));
}

static inline void
assert_works(mp_pool *pool)
{
    mp_obj out;
    mp_assert_ok(mp_pool_map(pool, square, mp_list(1, 2, 3), &out));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(mp_as_int(mp_list_get(out, i)), (i + 1) * (i + 1));
    }
    mp_obj_free(out);
}

#endif
