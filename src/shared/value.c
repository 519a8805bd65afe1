/* shared/value.c: mp_value, one number or struct that all processes see; typed.h has its layout. */
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

#undef mp_value_new
#undef mp_value_new_with
#undef mp_context_value
#undef mp_value_set
#undef mp_value_read
#undef mp_value_write

static int
check(mp_value *v, const char *call)
{
    return mp__shared_check(v, MP__TAG_VALUE, call);
}

/* ---- making and freeing ----------------------------------------------------------------------*/

static mp_value *
new_value(int typecode, mp_obj init, const mp_shared_options *options, const char *call)
{
    mp__element space = {.Q = 0};
    const void *data;
    mp_value *v = NULL;
    if (mp__typed_initial(typecode, init, &space, &data, call) == 0) {
        v = mp__typed_new(MP__TAG_VALUE, typecode, 1, data, options, call);
    }
    mp_obj_free(init);
    return v;
}

mp_value *
mp_value_new(int typecode, mp_obj init)
{
    return new_value(typecode, init, NULL, "mp_value_new");
}

mp_value *
mp_value_new_with(int typecode, mp_obj init, const mp_shared_options *options)
{
    return new_value(typecode, init, options, "mp_value_new_with");
}

mp_value *
mp_context_value(const mp_context *ctx, int typecode, mp_obj init, const mp_shared_options *options)
{
    (void)ctx; /* what lies in the family's heap is the same for every start method */
    return new_value(typecode, init, options, "mp_context_value");
}

mp_value *
mp_value_new_struct(size_t size, const void *init)
{
    static const char call[] = "mp_value_new_struct";
    if (size == 0) {
        mp__error(MP_EVALUE, "%s: a struct of no bytes", call);
        return NULL;
    }
    if (size >= MP__STRUCT_LIMIT) {
        mp__error(MP_EOVERFLOW, "%s: a struct of %zu bytes is too large (mp_malloc() has room)",
                  call, size);
        return NULL;
    }
    return mp__typed_new(MP__TAG_VALUE, MP__STRUCT + (int)size, 1, init, NULL, call);
}

int
mp_value_free(mp_value *v)
{
    return mp__typed_free((mp__typed *)v, MP__TAG_VALUE, "mp_value_free");
}

/* ---- the number ------------------------------------------------------------------------------*/

static int
check_number(mp_value *v, const char *call)
{
    int rc = check(v, call);
    if (rc == 0 && mp__typecode_is_struct(v->t.is.typecode)) {
        rc = mp__error(MP_EATTR, "%s: a struct is no number: use mp_value_read(), mp_value_write()",
                       call);
    }
    return rc;
}

static int
load(mp_value *v, mp__element *ret)
{
    int rc = mp__typed_enter(&v->t, MP_FOREVER);
    if (rc >= 0) {
        mp__element_load(v->t.is.data, v->t.is.size, ret);
        mp__typed_leave_quietly(&v->t, rc);
        rc = 0;
    }
    return rc;
}

int
mp_value_get(mp_value *v, mp_obj *ret)
{
    static const char call[] = "mp_value_get";
    mp__element element;
    if (!ret) {
        return mp__error(MP_EVALUE, "%s: nowhere to put the number (NULL)", call);
    }
    *ret = mp_none();
    int rc = check_number(v, call);
    rc = rc ? rc : load(v, &element);
    return rc ? rc : mp__element_to(v->t.is.typecode, &element, ret, call);
}

int
mp_value_set(mp_value *v, mp_obj x)
{
    static const char call[] = "mp_value_set";
    mp__element element;
    int rc = check_number(v, call);
    if (rc == 0) {
        rc = mp__element_from(v->t.is.typecode, x, &element, call);
    }
    mp_obj_free(x);
    if (rc == 0) {
        rc = mp__typed_enter(&v->t, MP_FOREVER);
    }
    if (rc < 0) {
        return rc;
    }
    mp__element_store(v->t.is.data, v->t.is.size, &element); /* shared.value.set */
    mp__typed_leave_quietly(&v->t, rc);
    return 0;
}

/* ---- the whole, as C data --------------------------------------------------------------------*/

/* Before a copy of size bytes: the lock is taken, 0 or MP_OWNER_DIED. */
static int
enter_for(mp_value *v, const void *user, size_t size, const char *call)
{
    int rc = check(v, call);
    if (rc < 0) {
        return rc;
    }
    if (!user || size != v->t.is.size) {
        return mp__error(MP_EVALUE, "%s: %s%zu bytes, the value has %zu", call,
                         user ? "" : "NULL for ", size, (size_t)v->t.is.size);
    }
    return mp__typed_enter(&v->t, MP_FOREVER);
}

int
mp_value_read(mp_value *v, void *ret, size_t size)
{
    int rc = enter_for(v, ret, size, "mp_value_read");
    if (rc >= 0) {
        memcpy(ret, v->t.is.data, size);
        mp__typed_leave(&v->t);
    }
    return rc;
}

int
mp_value_write(mp_value *v, const void *from, size_t size)
{
    int rc = enter_for(v, from, size, "mp_value_write");
    if (rc < 0) {
        return rc;
    }
    if (mp__typecode_is_struct(v->t.is.typecode)) {
        memcpy(v->t.is.data, from, size);
    } else {
        mp__elements_store(v->t.is.data, size, from, 1);
    }
    mp__typed_leave(&v->t);
    return rc;
}

/* ---- data and lock ---------------------------------------------------------------------------*/

void *
mp_value_data(mp_value *v)
{
    return check(v, "mp_value_data") ? NULL : v->t.is.data;
}

void *
mp_value_get_obj(mp_value *v)
{
    return check(v, "mp_value_get_obj") ? NULL : v->t.is.data;
}

mp_rlock *
mp_value_get_lock(mp_value *v)
{
    static const char call[] = "mp_value_get_lock";
    return check(v, call) ? NULL : mp__typed_rlock(&v->t, call);
}

int
mp_value_acquire(mp_value *v, double timeout)
{
    static const char call[] = "mp_value_acquire";
    int rc = check(v, call);
    rc = rc ? rc : mp__typed_need_lock(&v->t, call);
    return rc ? rc : mp__typed_enter(&v->t, timeout);
}

int
mp_value_release(mp_value *v)
{
    static const char call[] = "mp_value_release";
    int rc = check(v, call);
    rc = rc ? rc : mp__typed_need_lock(&v->t, call);
    return rc ? rc : mp__typed_leave(&v->t);
}

mp_with_guard
mp_with_enter_value(mp_value *v)
{
    static const char call[] = "MP_WITH";
    if (check(v, call) < 0 || mp__typed_need_lock(&v->t, call) < 0) {
        return (mp_with_guard){.mp__run = 0};
    }
    return v->t.is.lock_kind == MP__BY_LOCK ? mp_with_enter_lock(v->t.lock)
                                            : mp_with_enter_rlock(v->t.lock);
}

/* ---- repr ------------------------------------------------------------------------------------*/

/* The number as Python writes it, in memory of malloc(); NULL with an error. */
static char *
number_text(int typecode, const mp__element *e, const char *call)
{
    unsigned long long u = typecode == MP_TYPE_ULONG ? e->L : e->Q;
    mp_obj o;
    if ((typecode == MP_TYPE_ULONG || typecode == MP_TYPE_ULLONG) && u > INT64_MAX) {
        char *text = malloc(24);
        if (text) {
            snprintf(text, 24, "%llu", u);
        } else {
            mp__error(MP_ENOMEM, "%s: no memory for the text", call);
        }
        return text;
    }
    if (mp__element_to(typecode, e, &o, call) < 0) {
        return NULL;
    }
    char *text = mp_obj_repr(o);
    mp_obj_free(o);
    return text;
}

int
mp_value_repr(mp_value *v, char *buf, size_t size)
{
    static const char call[] = "mp_value_repr";
    mp__element e;
    int rc = check(v, call);
    if (rc < 0) {
        return rc;
    }
    bool locked = v->t.is.lock_kind != MP__UNLOCKED;
    if (mp__typecode_is_struct(v->t.is.typecode)) {
        return mp__repr(call, buf, size, "%s<struct of %zu bytes at %p>%s",
                        locked ? "<SynchronizedStruct wrapper for " : "", (size_t)v->t.is.size,
                        (void *)v->t.is.data, locked ? ">" : "");
    }
    rc = load(v, &e);
    char *number = rc < 0 ? NULL : number_text(v->t.is.typecode, &e, call);
    if (!number) {
        return mp_last_error();
    }
    rc = mp__repr(call, buf, size, locked ? "<Synchronized wrapper for %s(%s)>" : "%s(%s)",
                  mp__typecode_name(v->t.is.typecode), number);
    free(number);
    return rc;
}
