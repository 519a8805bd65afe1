/*
 * value.c - mp_value: one number that all processes see, with its lock
 *
 * Layout    in the family heap, one block aligned to 64
 *             0     head       tag; cleared by the free
 *             8     typecode, size   creator, before anyone else has the pointer
 *             16    data       the number, in the first bytes; whoever holds the lock, and users
 *                              through mp_value_data() by their own rules
 *             32    lock       a recursive lock; see sync/lock.h
 * Writers   data: mp_value_set under the lock; no field but data and lock changes after creation
 * Commit    the one store of the number's width: it is aligned, so a reader without the lock sees
 *           the old or the new one
 * Waiting   none of its own, only for the lock
 * Death     of a holder: the next access takes the lock over and goes on, for a single number has
 *           no half-changed state.  Inside free: the value is gone, its block goes with the family
 * Fork      nothing private
 *
 * Always    typecode is one of enum mp_typecode
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <mp/error.h>
#include <mp/sharedctypes.h>

#include "base/error.h"
#include "heap/heap.h"
#include "shared/typecode.h"
#include "sync/lock.h"

#undef mp_value_new
#undef mp_value_set

struct mp_value {
    mp__head head;
    int32_t typecode;
    uint32_t size;
    _Alignas(16) unsigned char data[sizeof(mp__element)];
    _Alignas(16) struct mp_rlock lock; /* its address is a live lock's, and those are so aligned */
};

_Static_assert(offsetof(struct mp_value, data) == 16, "the data stand where the header says");
_Static_assert(offsetof(struct mp_value, lock) == 32, "and the lock");
_Static_assert(sizeof(struct mp_value) <= 64, "lock and number come in one cache line");

mp_value *
mp_value_new(int typecode, mp_obj init)
{
    static const char call[] = "mp_value_new";
    mp__element element = {.Q = 0}; /* every type's zero */
    mp_value *v = NULL;
    size_t size = mp__typecode_size(typecode, call);
    if (size && (mp_is_none(init) || mp__element_from(typecode, init, &element, call) == 0)) {
        v = mp__shared_new(sizeof *v, MP__TAG_VALUE);
    }
    mp_obj_free(init);
    if (v) {
        v->typecode = typecode;
        v->size = (uint32_t)size;
        mp__element_store(v->data, size, &element);
        mp__rlock_init(&v->lock);
    }
    return v;
}

int
mp_value_free(mp_value *v)
{
    static const char call[] = "mp_value_free";
    int rc = v ? mp__shared_check(v, MP__TAG_VALUE, call) : 0;
    if (!v || rc) {
        return rc;
    }
    /* The lock's address must not seem live in memory that is used again; of two processes that
       free at once only one gets further. */
    uint32_t live = MP__TAG_RLOCK;
    if (!atomic_compare_exchange_strong(&v->lock.head.tag, &live, 0)) {
        return mp__error(MP_EVALUE, "%s: not a live value (freed)", call);
    }
    return mp__shared_free(v, MP__TAG_VALUE, call);
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
    int rc = mp__shared_check(v, MP__TAG_VALUE, call);
    if (rc == 0) {
        rc = mp_rlock_acquire(&v->lock, MP_FOREVER);
    }
    if (rc < 0) {
        return rc;
    }
    mp__element_load(v->data, v->size, &element);
    mp_rlock_release(&v->lock);
    return mp__element_to(v->typecode, &element, ret, call);
}

int
mp_value_set(mp_value *v, mp_obj x)
{
    static const char call[] = "mp_value_set";
    mp__element element;
    int rc = mp__shared_check(v, MP__TAG_VALUE, call);
    if (rc == 0) {
        rc = mp__element_from(v->typecode, x, &element, call);
    }
    mp_obj_free(x);
    if (rc == 0) {
        rc = mp_rlock_acquire(&v->lock, MP_FOREVER);
    }
    if (rc < 0) {
        return rc;
    }
    mp__element_store(v->data, v->size, &element);
    mp_rlock_release(&v->lock);
    return 0;
}

void *
mp_value_data(mp_value *v)
{
    return mp__shared_check(v, MP__TAG_VALUE, "mp_value_data") ? NULL : v->data;
}

mp_rlock *
mp_value_get_lock(mp_value *v)
{
    return mp__shared_check(v, MP__TAG_VALUE, "mp_value_get_lock") ? NULL : &v->lock;
}
