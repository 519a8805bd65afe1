/*
 * shared/slice.c: parts of an mp_array, copied in and out under one hold of its lock.
 *
 * Numbers are stored one by one, each with one store, so a killed slice tears none; but some are
 * new and some old, and so it is with strings and structs.  The next who takes the lock is told.
 */
#include <string.h>

#include <mp/error.h>
#include <mp/sharedctypes.h>

#include "base/error.h"
#include "shared/typecode.h"
#include "shared/typed.h"

static int
check(mp_array *a, const char *call)
{
    return mp__shared_check(a, MP__TAG_ARRAY, call);
}

/* ---- slices ----------------------------------------------------------------------------------*/

/* Which elements a slice names: `count` of them from `first` on, each `step` further. */
struct range {
    ptrdiff_t first, step;
    size_t count;
};

/* One end of a slice: counted from the array's end when negative, and inside [low, high]. */
static ptrdiff_t
clamp(ptrdiff_t i, ptrdiff_t length, ptrdiff_t low, ptrdiff_t high)
{
    i = i < 0 ? i + length : i;
    return i < low ? low : i > high ? high : i;
}

static int
find_range(mp_array *a, ptrdiff_t start, ptrdiff_t stop, ptrdiff_t step, struct range *ret,
           const char *call)
{
    int rc = check(a, call);
    if (rc < 0) {
        return rc;
    }
    if (step == 0) {
        return mp__error(MP_EVALUE, "%s: the slice's step is zero", call);
    }
    ptrdiff_t length = (ptrdiff_t)a->t.is.count;
    ptrdiff_t low = step < 0 ? -1 : 0, high = step < 0 ? length - 1 : length;
    step = step < -PTRDIFF_MAX ? -PTRDIFF_MAX : step; /* can be negated */
    start = clamp(start, length, low, high);
    stop = clamp(stop, length, low, high);
    ptrdiff_t way = step < 0 ? start - stop : stop - start, stride = step < 0 ? -step : step;
    ret->first = start;
    ret->step = step;
    ret->count = way > 0 ? (size_t)((way - 1) / stride) + 1 : 0;
    return 0;
}

static unsigned char *
element(mp_array *a, const struct range *r, size_t i)
{
    return a->t.is.data + (r->first + (ptrdiff_t)i * r->step) * (ptrdiff_t)a->t.is.size;
}

/* Copy into the array; the caller has the lock. */
static void
store(mp_array *a, unsigned char *to, const void *from, size_t count)
{
    if (mp__typecode_is_struct(a->t.is.typecode)) {
        memcpy(to, from, count * a->t.is.size);
    } else {
        mp__elements_store(to, a->t.is.size, from, count);
    }
}

int
mp_array_get_slice(mp_array *a, ptrdiff_t start, ptrdiff_t stop, ptrdiff_t step, void *ret,
                   size_t room, size_t *ret_count)
{
    static const char call[] = "mp_array_get_slice";
    struct range r = {0, 1, 0};
    int rc = find_range(a, start, stop, step, &r, call);
    if (ret_count) {
        *ret_count = r.count;
    }
    if (rc == 0 && r.count > room) {
        rc = mp__error(MP_EBUFFERTOOSHORT, "%s: %zu elements, room for %zu", call, r.count, room);
    }
    if (rc == 0 && r.count && !ret) {
        rc = mp__error(MP_EVALUE, "%s: nowhere to put %zu elements (NULL)", call, r.count);
    }
    if (rc < 0 || (rc = mp__typed_enter(&a->t, MP_FOREVER)) < 0) {
        return rc;
    }
    size_t size = a->t.is.size;
    if (r.step == 1 && r.count) {
        memcpy(ret, element(a, &r, 0), r.count * size);
    } else {
        for (size_t i = 0; i < r.count; i++) {
            memcpy((unsigned char *)ret + i * size, element(a, &r, i), size);
        }
    }
    mp__typed_leave(&a->t);
    return rc;
}

int
mp_array_set_slice(mp_array *a, ptrdiff_t start, ptrdiff_t stop, ptrdiff_t step, const void *from,
                   size_t count)
{
    static const char call[] = "mp_array_set_slice";
    struct range r;
    int rc = find_range(a, start, stop, step, &r, call);
    if (rc == 0 && r.count != count) {
        rc = mp__error(MP_EVALUE, "%s: %zu elements for a slice of %zu", call, count, r.count);
    }
    if (rc == 0 && count && !from) {
        rc = mp__error(MP_EVALUE, "%s: %zu elements at NULL", call, count);
    }
    if (rc < 0 || (rc = mp__typed_enter(&a->t, MP_FOREVER)) < 0) {
        return rc;
    }
    if (r.step == 1 && count) {
        store(a, element(a, &r, 0), from, count);
    } else {
        for (size_t i = 0; i < count; i++) {
            store(a, element(a, &r, i), (const unsigned char *)from + i * a->t.is.size, 1);
        }
    }
    mp__typed_leave(&a->t);
    return rc;
}

/* ---- strings ---------------------------------------------------------------------------------*/

static int
check_string(mp_array *a, const void *user, const char *call)
{
    int rc = check(a, call);
    if (rc == 0 && a->t.is.typecode != MP_TYPE_CHAR) {
        rc = mp__error(MP_EATTR, "%s: an array of %s holds no string, one of 'c' does", call,
                       mp__typecode_name(a->t.is.typecode));
    }
    if (rc == 0 && !user) {
        rc = mp__error(MP_EVALUE, "%s: the string is NULL", call);
    }
    return rc;
}

int
mp_array_get_string(mp_array *a, char *ret, size_t cap)
{
    static const char call[] = "mp_array_get_string";
    int rc = check_string(a, ret, call);
    if (rc < 0 || (rc = mp__typed_enter(&a->t, MP_FOREVER)) < 0) {
        return rc;
    }
    size_t len = a->t.is.count;
    const unsigned char *end = len ? memchr(a->t.is.data, 0, len) : NULL;
    len = end ? (size_t)(end - a->t.is.data) : len;
    if (len < cap) {
        memcpy(ret, a->t.is.data, len);
        ret[len] = 0;
        mp__typed_leave(&a->t);
        return rc;
    }
    mp__typed_leave_quietly(&a->t, rc);
    return mp__error(MP_EBUFFERTOOSHORT, "%s: %zu bytes and a NUL, room for %zu", call, len, cap);
}

int
mp_array_set_string(mp_array *a, const char *s)
{
    static const char call[] = "mp_array_set_string";
    int rc = check_string(a, s, call);
    size_t len = rc == 0 ? strlen(s) : 0;
    if (rc == 0 && len > a->t.is.count) {
        rc = mp__error(MP_EVALUE, "%s: %zu bytes are too long for an array of %zu", call, len,
                       (size_t)a->t.is.count);
    }
    if (rc < 0 || (rc = mp__typed_enter(&a->t, MP_FOREVER)) < 0) {
        return rc;
    }
    store(a, a->t.is.data, s, len < a->t.is.count ? len + 1 : len);
    mp__typed_leave(&a->t);
    return rc;
}

/* ---- all bytes -------------------------------------------------------------------------------*/

int
mp_array_get_raw(mp_array *a, void *ret, size_t cap)
{
    static const char call[] = "mp_array_get_raw";
    int rc = check(a, call);
    size_t bytes = rc == 0 ? a->t.is.count * a->t.is.size : 0;
    if (rc == 0 && bytes > cap) {
        rc = mp__error(MP_EBUFFERTOOSHORT, "%s: %zu bytes, room for %zu", call, bytes, cap);
    }
    if (rc == 0 && bytes && !ret) {
        rc = mp__error(MP_EVALUE, "%s: nowhere to put %zu bytes (NULL)", call, bytes);
    }
    if (rc < 0 || (rc = mp__typed_enter(&a->t, MP_FOREVER)) < 0) {
        return rc;
    }
    if (bytes) {
        memcpy(ret, a->t.is.data, bytes);
    }
    mp__typed_leave(&a->t);
    return rc;
}

int
mp_array_set_raw(mp_array *a, const void *from, size_t len)
{
    static const char call[] = "mp_array_set_raw";
    int rc = check(a, call);
    if (rc == 0 && (len > a->t.is.count * a->t.is.size || len % a->t.is.size)) {
        rc = mp__error(MP_EVALUE, "%s: %zu bytes for an array of %zu elements of %zu bytes", call,
                       len, (size_t)a->t.is.count, (size_t)a->t.is.size);
    }
    if (rc == 0 && len && !from) {
        rc = mp__error(MP_EVALUE, "%s: %zu bytes at NULL", call, len);
    }
    if (rc < 0 || (rc = mp__typed_enter(&a->t, MP_FOREVER)) < 0) {
        return rc;
    }
    store(a, a->t.is.data, from, len / a->t.is.size);
    mp__typed_leave(&a->t);
    return rc;
}
