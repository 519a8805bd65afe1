/*
 * array.c - mp_array: numbers in a row that all processes see, with one lock
 *
 * Layout    in the family heap, one block aligned to 64
 *             0     head       tag; cleared by the free
 *             8     typecode, size of an element, length   creator, before anyone else has the pointer
 *             32    lock       a recursive lock; see sync/lock.h
 *             64    data       length elements, aligned to 64; whoever holds the lock, and users
 *                              through mp_array_data() by their own rules
 * Writers   data: mp_array_set under the lock; no field but data and lock changes after creation
 * Commit    the one store of an element: it is aligned, so a reader without the lock sees the old
 *           or the new one
 * Waiting   none of its own, only for the lock
 * Death     of a holder: the next access takes the lock over and goes on; an element is never half
 *           changed, and what several of them mean together is the user's.  Inside free: the array
 *           is gone, its block goes with the family
 * Fork      nothing private
 *
 * Always    length * element size plus the struct is the size that was allocated
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <mp/error.h>
#include <mp/sharedctypes.h>

#include "base/error.h"
#include "heap/heap.h"
#include "object/object.h"
#include "shared/typecode.h"
#include "sync/lock.h"

#undef mp_array_set

struct mp_array {
    mp__head head;
    int32_t typecode;
    uint32_t size;
    uint64_t length;
    _Alignas(16) struct mp_rlock lock;
    _Alignas(64) unsigned char data[];
};

_Static_assert(offsetof(struct mp_array, lock) == 32, "the lock stands where the header says");
_Static_assert(offsetof(struct mp_array, data) == 64, "and the data");

mp_array *
mp_array_new(int typecode, size_t length, const void *init)
{
    static const char call[] = "mp_array_new";
    size_t size = mp__typecode_size(typecode, call);
    if (size == 0) {
        return NULL;
    }
    if (length > (PTRDIFF_MAX - sizeof(mp_array)) / size) {
        mp__error(MP_EOVERFLOW, "%s: %zu elements of %zu bytes do not fit in memory", call, length,
                  size);
        return NULL;
    }
    mp_array *a = mp__shared_new(sizeof *a + length * size, MP__TAG_ARRAY);
    if (!a) {
        return NULL;
    }
    a->typecode = typecode;
    a->size = (uint32_t)size;
    a->length = length;
    mp__rlock_init(&a->lock);
    if (init && length) {
        memcpy(a->data, init, length * size);
    }
    return a;
}

int
mp_array_free(mp_array *a)
{
    static const char call[] = "mp_array_free";
    int rc = a ? mp__shared_check(a, MP__TAG_ARRAY, call) : 0;
    if (!a || rc) {
        return rc;
    }
    uint32_t live = MP__TAG_RLOCK; /* as in mp_value_free */
    if (!atomic_compare_exchange_strong(&a->lock.head.tag, &live, 0)) {
        return mp__error(MP_EVALUE, "%s: not a live array (freed)", call);
    }
    return mp__shared_free(a, MP__TAG_ARRAY, call);
}

/* The address of an element, or NULL with the code in *ret_rc. */
static unsigned char *
element_at(mp_array *a, ptrdiff_t index, int *ret_rc, const char *call)
{
    *ret_rc = mp__shared_check(a, MP__TAG_ARRAY, call);
    if (*ret_rc) {
        return NULL;
    }
    ptrdiff_t length = (ptrdiff_t)a->length, i = index < 0 ? index + length : index;
    if (i < 0 || i >= length) {
        *ret_rc = mp__error(MP_EINDEX, "%s: index %td of an array of %td", call, index, length);
        return NULL;
    }
    return a->data + (size_t)i * a->size;
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
    const unsigned char *at = element_at(a, index, &rc, call);
    if (at) {
        rc = mp_rlock_acquire(&a->lock, MP_FOREVER);
    }
    if (rc < 0) {
        return rc;
    }
    mp__element_load(at, a->size, &element);
    mp_rlock_release(&a->lock);
    return mp__element_to(a->typecode, &element, ret, call);
}

int
mp_array_set(mp_array *a, ptrdiff_t index, mp_obj x)
{
    static const char call[] = "mp_array_set";
    mp__element element;
    int rc;
    unsigned char *at = element_at(a, index, &rc, call);
    if (at) {
        rc = mp__element_from(a->typecode, x, &element, call);
    }
    mp_obj_free(x);
    if (rc == 0) {
        rc = mp_rlock_acquire(&a->lock, MP_FOREVER);
    }
    if (rc < 0) {
        return rc;
    }
    mp__element_store(at, a->size, &element);
    mp_rlock_release(&a->lock);
    return 0;
}

/* A copy of all elements at one moment, to be freed whatever the result. */
static int
snapshot(mp_array *a, unsigned char **ret, const char *call)
{
    size_t bytes = a->length * a->size;
    *ret = malloc(bytes ? bytes : 1);
    if (!*ret) {
        return mp__error(MP_ENOMEM, "%s: no memory for %zu bytes", call, bytes);
    }
    int rc = mp_rlock_acquire(&a->lock, MP_FOREVER);
    if (rc < 0) {
        return rc;
    }
    memcpy(*ret, a->data, bytes);
    mp_rlock_release(&a->lock);
    return 0;
}

mp_obj
mp_array_tolist(mp_array *a)
{
    static const char call[] = "mp_array_tolist";
    int rc = mp__shared_check(a, MP__TAG_ARRAY, call);
    if (rc) {
        return mp__obj_failed(rc);
    }
    size_t length = a->length, done = 0;
    mp_obj *items = malloc((length ? length : 1) * sizeof *items);
    if (!items) {
        return mp__obj_failed(
            mp__error(MP_ENOMEM, "%s: no memory for a list of %zu", call, length));
    }
    unsigned char *copy;
    rc = snapshot(a, &copy, call);
    while (rc == 0 && done < length) {
        mp__element element;
        memcpy(&element, copy + done * a->size, a->size);
        rc = mp__element_to(a->typecode, &element, &items[done], call);
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
    int rc = mp__shared_check(a, MP__TAG_ARRAY, "mp_array_len");
    return rc ? rc : (int64_t)a->length;
}

void *
mp_array_data(mp_array *a)
{
    return mp__shared_check(a, MP__TAG_ARRAY, "mp_array_data") ? NULL : a->data;
}

mp_rlock *
mp_array_get_lock(mp_array *a)
{
    return mp__shared_check(a, MP__TAG_ARRAY, "mp_array_get_lock") ? NULL : &a->lock;
}
