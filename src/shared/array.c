/* shared/array.c: mp_array, elements in a row that all processes see; typed.h has its layout. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mp/error.h>
#include <mp/sharedctypes.h>

#include "base/error.h"
#include "object/object.h"
#include "shared/typecode.h"
#include "shared/typed.h"
#include "sync/repr.h"

#undef mp_array_set
#undef mp_array_read
#undef mp_array_write

static int
check(mp_array *a, const char *call)
{
    return mp__shared_check(a, MP__TAG_ARRAY, call);
}

/* ---- making and freeing ----------------------------------------------------------------------*/

mp_array *
mp_array_new(int typecode, size_t length, const void *init)
{
    return mp__typed_new(MP__TAG_ARRAY, typecode, length, init, NULL, "mp_array_new");
}

mp_array *
mp_array_new_with(int typecode, size_t length, const void *init, const mp_shared_options *options)
{
    return mp__typed_new(MP__TAG_ARRAY, typecode, length, init, options, "mp_array_new_with");
}

mp_array *
mp_context_array(const mp_context *ctx, int typecode, size_t length, const void *init,
                 const mp_shared_options *options)
{
    (void)ctx; /* as in mp_context_value() */
    return mp__typed_new(MP__TAG_ARRAY, typecode, length, init, options, "mp_context_array");
}

int
mp_array_free(mp_array *a)
{
    return mp__typed_free((mp__typed *)a, MP__TAG_ARRAY, "mp_array_free");
}

/* ---- one element -----------------------------------------------------------------------------*/

/* The address of an element, or NULL with the code in *ret_rc. */
static unsigned char *
element_at(mp_array *a, ptrdiff_t index, int *ret_rc, const char *call)
{
    *ret_rc = check(a, call);
    if (*ret_rc) {
        return NULL;
    }
    ptrdiff_t length = (ptrdiff_t)a->t.is.count, i = index < 0 ? index + length : index;
    if (i < 0 || i >= length) {
        *ret_rc = mp__error(MP_EINDEX, "%s: index %td of an array of %td", call, index, length);
        return NULL;
    }
    return a->t.is.data + (size_t)i * a->t.is.size;
}

/* The same for a number. */
static unsigned char *
number_at(mp_array *a, ptrdiff_t index, int *ret_rc, const char *call)
{
    unsigned char *at = element_at(a, index, ret_rc, call);
    if (at && mp__typecode_is_struct(a->t.is.typecode)) {
        *ret_rc = mp__error(
            MP_ETYPE, "%s: a struct is no number: use mp_array_read(), mp_array_write()", call);
        return NULL;
    }
    return at;
}

int
mp_array_get(mp_array *a, ptrdiff_t index, mp_obj *ret)
{
    static const char call[] = "mp_array_get";
    mp__element element;
    int rc;
    if (!ret) {
        return mp__error(MP_EVALUE, "%s: nowhere to put the number (NULL)", call);
    }
    *ret = mp_none();
    const unsigned char *at = number_at(a, index, &rc, call);
    if (at) {
        rc = mp__typed_enter(&a->t, MP_FOREVER);
    }
    if (rc < 0) {
        return rc;
    }
    mp__element_load(at, a->t.is.size, &element);
    mp__typed_leave_quietly(&a->t, rc);
    return mp__element_to(a->t.is.typecode, &element, ret, call);
}

int
mp_array_set(mp_array *a, ptrdiff_t index, mp_obj x)
{
    static const char call[] = "mp_array_set";
    mp__element element;
    int rc;
    unsigned char *at = number_at(a, index, &rc, call);
    if (at) {
        rc = mp__element_from(a->t.is.typecode, x, &element, call);
    }
    mp_obj_free(x);
    if (rc == 0) {
        rc = mp__typed_enter(&a->t, MP_FOREVER);
    }
    if (rc < 0) {
        return rc;
    }
    mp__element_store(at, a->t.is.size, &element); /* shared.array.set */
    mp__typed_leave_quietly(&a->t, rc);
    return 0;
}

/* Before a copy of one element of size bytes: the lock is taken. */
static int
enter_for(mp_array *a, ptrdiff_t index, const void *user, size_t size, unsigned char **ret_at,
          const char *call)
{
    int rc;
    *ret_at = element_at(a, index, &rc, call);
    if (*ret_at && (!user || size != a->t.is.size)) {
        rc = mp__error(MP_EVALUE, "%s: %s%zu bytes, an element has %zu", call,
                       user ? "" : "NULL for ", size, (size_t)a->t.is.size);
    }
    return rc < 0 ? rc : mp__typed_enter(&a->t, MP_FOREVER);
}

int
mp_array_read(mp_array *a, ptrdiff_t index, void *ret, size_t size)
{
    unsigned char *at;
    int rc = enter_for(a, index, ret, size, &at, "mp_array_read");
    if (rc >= 0) {
        memcpy(ret, at, size);
        mp__typed_leave(&a->t);
    }
    return rc;
}

int
mp_array_write(mp_array *a, ptrdiff_t index, const void *from, size_t size)
{
    unsigned char *at;
    int rc = enter_for(a, index, from, size, &at, "mp_array_write");
    if (rc < 0) {
        return rc;
    }
    if (mp__typecode_is_struct(a->t.is.typecode)) {
        memcpy(at, from, size);
    } else {
        mp__elements_store(at, size, from, 1);
    }
    mp__typed_leave(&a->t);
    return rc;
}

bool
mp_array_next(mp_array *a, size_t *pos, mp_obj *ret)
{
    if (!pos || check(a, "mp_array_next") < 0 || *pos >= a->t.is.count) {
        if (ret) {
            *ret = mp_none();
        }
        return false;
    }
    return mp_array_get(a, (ptrdiff_t)(*pos)++, ret) == 0;
}

/* ---- all elements ----------------------------------------------------------------------------*/

/* A copy of all elements at one moment, to be freed whatever the result. */
static int
snapshot(mp_array *a, unsigned char **ret, const char *call)
{
    size_t bytes = a->t.is.count * a->t.is.size;
    *ret = malloc(bytes ? bytes : 1);
    if (!*ret) {
        return mp__error(MP_ENOMEM, "%s: no memory for %zu bytes", call, bytes);
    }
    int rc = mp__typed_enter(&a->t, MP_FOREVER);
    if (rc < 0) {
        return rc;
    }
    memcpy(*ret, a->t.is.data, bytes);
    mp__typed_leave_quietly(&a->t, rc); /* a list cannot tell */
    return 0;
}

mp_obj
mp_array_tolist(mp_array *a)
{
    static const char call[] = "mp_array_tolist";
    int rc = check(a, call);
    if (rc == 0 && mp__typecode_is_struct(a->t.is.typecode)) {
        rc = mp__error(MP_ETYPE, "%s: structs are no numbers: use mp_array_get_slice()", call);
    }
    if (rc) {
        return mp__obj_failed(rc);
    }
    size_t length = a->t.is.count, done = 0;
    mp_obj *items = malloc((length ? length : 1) * sizeof *items);
    if (!items) {
        return mp__obj_failed(
            mp__error(MP_ENOMEM, "%s: no memory for a list of %zu", call, length));
    }
    unsigned char *copy;
    rc = snapshot(a, &copy, call);
    while (rc == 0 && done < length) {
        mp__element element;
        memcpy(&element, copy + done * a->t.is.size, a->t.is.size);
        rc = mp__element_to(a->t.is.typecode, &element, &items[done], call);
        done += rc == 0;
    }
    mp_obj list = rc ? mp__obj_failed(rc) : mp_list_of(length, items);
    while (rc && done > 0) {
        mp_obj_free(items[--done]);
    }
    free(copy);
    free(items);
    return list;
}

int64_t
mp_array_len(mp_array *a)
{
    int rc = check(a, "mp_array_len");
    return rc ? rc : (int64_t)a->t.is.count;
}

int
mp_array_repr(mp_array *a, char *buf, size_t size)
{
    static const char call[] = "mp_array_repr";
    char type[40];
    int rc = check(a, call);
    if (rc < 0) {
        return rc;
    }
    if (mp__typecode_is_struct(a->t.is.typecode)) {
        snprintf(type, sizeof type, "struct_%zu", (size_t)a->t.is.size);
    } else {
        snprintf(type, sizeof type, "%s", mp__typecode_name(a->t.is.typecode));
    }
    bool locked = a->t.is.lock_kind != MP__UNLOCKED;
    return mp__repr(call, buf, size, "%s<multiprocessing.sharedctypes.%s_Array_%zu object at %p>%s",
                    !locked                            ? ""
                    : a->t.is.typecode == MP_TYPE_CHAR ? "<SynchronizedString wrapper for "
                                                       : "<SynchronizedArray wrapper for ",
                    type, (size_t)a->t.is.count, (void *)a->t.is.data, locked ? ">" : "");
}

/* ---- data and lock ---------------------------------------------------------------------------*/

void *
mp_array_data(mp_array *a)
{
    return check(a, "mp_array_data") ? NULL : a->t.is.data;
}

void *
mp_array_get_obj(mp_array *a)
{
    return check(a, "mp_array_get_obj") ? NULL : a->t.is.data;
}

mp_rlock *
mp_array_get_lock(mp_array *a)
{
    static const char call[] = "mp_array_get_lock";
    return check(a, call) ? NULL : mp__typed_rlock(&a->t, call);
}

int
mp_array_acquire(mp_array *a, double timeout)
{
    static const char call[] = "mp_array_acquire";
    int rc = check(a, call);
    rc = rc ? rc : mp__typed_need_lock(&a->t, call);
    return rc ? rc : mp__typed_enter(&a->t, timeout);
}

int
mp_array_release(mp_array *a)
{
    static const char call[] = "mp_array_release";
    int rc = check(a, call);
    rc = rc ? rc : mp__typed_need_lock(&a->t, call);
    return rc ? rc : mp__typed_leave(&a->t);
}

mp_with_guard
mp_with_enter_array(mp_array *a)
{
    static const char call[] = "MP_WITH";
    if (check(a, call) < 0 || mp__typed_need_lock(&a->t, call) < 0) {
        return (mp_with_guard){.mp__run = 0};
    }
    return a->t.is.lock_kind == MP__BY_LOCK ? mp_with_enter_lock(a->t.lock)
                                            : mp_with_enter_rlock(a->t.lock);
}
