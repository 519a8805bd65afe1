/* helpers/reload.h: a value after a trip through its pickle. */
#ifndef MP_TEST_HELPERS_RELOAD_H
#define MP_TEST_HELPERS_RELOAD_H

#include "mp_test.h"

#include <stdlib.h>

static inline mp_obj
reload(mp_obj o)
{
    void *data;
    size_t len;
    mp_obj back;
    mp_assert_ok(mp_obj_dump(o, &data, &len));
    mp_assert_ok(mp_obj_load(data, len, &back));
    free(data);
    mp_obj_free(o);
    return back;
}

#endif
