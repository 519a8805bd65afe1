/* object_test.h: for the tests of values. */
#ifndef OBJECT_TEST_H
#define OBJECT_TEST_H

#include "mp_test.h"

#include <stdlib.h>
#include <string.h>

/* The value is consumed. */
static inline void
check_repr(mp_obj o, const char *expected)
{
    char *text = mp_obj_repr(o);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
    mp_obj_free(o);
}

static inline void
check_failed(mp_obj o, int code)
{
    assert_int_equal(mp_obj_kind(o), MP_KIND_FAILED);
    assert_int_equal(mp_last_error(), code);
    assert_true(mp_last_error_text()[0] != 0);
    mp_obj_free(o);
}

/* The wanted text is in the text of the last error. */
static inline void
check_text(const char *wanted)
{
    if (!strstr(mp_last_error_text(), wanted)) {
        fail_msg("\"%s\" is not in \"%s\"", wanted, mp_last_error_text());
    }
}

static inline mp_obj
nested(int levels)
{
    mp_obj o = mp_from(1);
    for (int i = 0; i < levels; i++) {
        o = mp_list(o);
    }
    return o;
}

/* Two items of each level are the level below: 2**levels in all. */
static inline mp_obj
doubled(int levels)
{
    mp_obj o = mp_tuple("bottom");
    for (int i = 0; i < levels; i++) {
        o = mp_tuple(o, mp_obj_ref(o));
    }
    return o;
}

#endif
