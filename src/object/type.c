/*
 * type.c - types of the program's own: values that are known by a name, and travel as the arguments
 * from which they are made again.
 *
 * Memory    a list that only grows, newest first; a newer registration of a name hides an older, of
 *           which there may be values
 * Threads   without a lock: a node is published by one CAS, and never changes
 */
#include "object/object.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "object/pickle.h"

static _Atomic(const mp__type *) types;

_Thread_local const mp__obj_handles *mp__obj_spawning;

const mp__type *
mp__type_by_global(const char *module, size_t module_len, const char *name, size_t name_len)
{
    const mp__type *t = atomic_load_explicit(&types, memory_order_acquire);
    while (t && (strlen(t->module) != module_len || memcmp(t->module, module, module_len) != 0 ||
                 strlen(t->name) != name_len || memcmp(t->name, name, name_len) != 0)) {
        t = t->older;
    }
    return t;
}

static const mp__type *
by_name(const char *name)
{
    const char *dot = name ? strrchr(name, '.') : NULL;
    return dot ? mp__type_by_global(name, (size_t)(dot - name), dot + 1, strlen(dot + 1)) : NULL;
}

static const mp__type *
new_type(const mp_type *given, const char *dot, const mp__type *older)
{
    size_t module_len = (size_t)(dot - given->name), name_len = strlen(dot + 1);
    mp__type *t = malloc(sizeof *t + module_len + name_len + 2);
    if (!t) {
        mp__error(MP_ENOMEM, "mp_register_type: no memory");
        return NULL;
    }
    char *text = (char *)(t + 1);
    memcpy(text, given->name, module_len);
    text[module_len] = '\0';
    memcpy(text + module_len + 1, dot + 1, name_len + 1);
    t->older = older;
    t->module = text;
    t->name = text + module_len + 1;
    t->given = *given;
    t->given.name = NULL; /* the caller's */
    return t;
}

int
mp_register_type(const mp_type *type)
{
    if (!type || !type->name || !type->reduce || !type->rebuild) {
        return mp__error(MP_EVALUE, "mp_register_type: no name, reduce or rebuild");
    }
    const char *dot = strrchr(type->name, '.');
    if (!dot || dot == type->name || !dot[1] || !mp__utf8_valid(type->name, strlen(type->name))) {
        return mp__error(MP_EVALUE, "mp_register_type: '%s' is no name with a module, as app.Point",
                         type->name);
    }
    if (mp__global_is_ours(type->name, (size_t)(dot - type->name), dot + 1, strlen(dot + 1))) {
        return mp__error(MP_EVALUE, "mp_register_type: %s is one of the library's own", type->name);
    }
    const mp__type *newest = atomic_load_explicit(&types, memory_order_acquire), *t = NULL;
    do {
        const mp__type *known = by_name(type->name);
        if (known && known->given.reduce == type->reduce && known->given.rebuild == type->rebuild &&
            known->given.release == type->release) {
            free((void *)(uintptr_t)t);
            return 0;
        }
        free((void *)(uintptr_t)t);
        t = new_type(type, dot, newest);
    } while (t && !atomic_compare_exchange_weak_explicit(&types, &newest, t, memory_order_acq_rel,
                                                         memory_order_acquire));
    return t ? 0 : MP_ENOMEM;
}

mp_obj
mp__instance_new(const mp__type *type, void *data)
{
    mp__instance *v = mp__body_new(sizeof *v, MP_KIND_TYPED);
    if (!v) {
        mp__type_release(type, data);
        return mp__obj_failed(MP_ENOMEM);
    }
    v->type = type;
    v->data = data;
    return mp__obj_of(v);
}

void
mp__type_release(const mp__type *type, void *data)
{
    if (type->given.release) {
        type->given.release(data);
    }
}

/* The code of a callback that failed; with a text, if it left none. */
int
mp__type_failed(const mp__type *type, int status, const char *what)
{
    return mp_last_error() == status ? status
                                     : mp__error(status, "pickle: %s of %s.%s failed: %s", what,
                                                 type->module, type->name, mp_strerror(status));
}

/* The arguments that the program gives for it. */
static mp_obj
reduce(const mp__instance *v)
{
    mp_obj args = mp_none();
    int rc = v->type->given.reduce(v->data, &args);
    if (rc < 0) {
        return mp__obj_failed(mp__type_failed(v->type, rc, "reduce"));
    }
    if (args.mp__kind == MP_KIND_TUPLE) {
        return args;
    }
    rc = args.mp__kind == MP_KIND_FAILED
             ? mp__obj_failure(args)
             : mp__error(MP_ETYPE, "pickle: reduce of %s.%s gave %s, expected a tuple",
                         v->type->module, v->type->name, mp_obj_type_name(args));
    mp_obj_free(args);
    return mp__obj_failed(rc);
}

mp_obj
mp__instance_reduce(const mp__instance *v, mp__kept **kept)
{
    mp_obj args = reduce(v);
    if (args.mp__kind == MP_KIND_FAILED) {
        return args;
    }
    mp__kept *k = malloc(sizeof *k);
    if (!k) {
        mp_obj_free(args);
        return mp__obj_failed(mp__error(MP_ENOMEM, "pickle: no memory"));
    }
    *k = (mp__kept){.next = *kept, .o = args};
    *kept = k;
    return args;
}

void
mp__kept_free(mp__kept *kept)
{
    while (kept) {
        mp__kept *k = kept;
        kept = k->next;
        mp_obj_free(k->o);
        free(k);
    }
}

mp_obj
mp_from_typed(const char *name, void *data)
{
    const mp__type *type = by_name(name);
    if (!type) {
        return mp__obj_failed(
            mp__error(MP_EVALUE, "mp_from_typed: %s is no registered type", name ? name : "NULL"));
    }
    return mp__instance_new(type, data);
}

void *
mp_as_typed(mp_obj o, const char *name)
{
    const mp__instance *v = o.mp__kind == MP_KIND_TYPED ? o.mp__u.p : NULL;
    const char *dot = name ? strrchr(name, '.') : NULL;
    if (v && dot && strcmp(v->type->name, dot + 1) == 0 &&
        strlen(v->type->module) == (size_t)(dot - name) &&
        memcmp(v->type->module, name, (size_t)(dot - name)) == 0) {
        return v->data;
    }
    if (o.mp__kind == MP_KIND_FAILED) {
        mp__obj_failure(o);
    } else {
        mp__error(MP_ETYPE, "mp_as_typed: expected %s, got %s", name ? name : "NULL",
                  mp_obj_type_name(o));
    }
    return NULL;
}
