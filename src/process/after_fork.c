/*
 * process/after_fork.c: what a child runs before its target, and thread locks and thread-locals
 * that it finds fresh.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/log.h"
#include "process/finalize.h"
#include "process/process.h"

struct note {
    struct note *next;
    void *obj;
    int (*function)(void *obj);
    uint64_t number;
};

static MP__FORK_DATA struct note *notes; /* oldest first; under the registry's mutex */
static MP__FORK_DATA uint64_t latest;
static MP__FORK_DATA atomic_int count; /* of notes */

int
mp_register_after_fork(void *obj, int (*function)(void *obj))
{
    if (!function) {
        return mp__error(MP_EVALUE, "mp_register_after_fork: NULL");
    }
    struct note *n = mp__process_init() == 0 ? malloc(sizeof *n) : NULL;
    if (!n) {
        return mp__error(MP_ENOMEM, "mp_register_after_fork: no memory");
    }
    *n = (struct note){.obj = obj, .function = function};
    mp__finalizers_watch();
    mp__registry_lock();
    n->number = ++latest;
    struct note **at = &notes;
    while (*at) {
        at = &(*at)->next;
    }
    *at = n;
    atomic_fetch_add(&count, 1);
    mp__registry_unlock();
    return 0;
}

/* Forget the notes of obj and function, or of obj at all.  How many there were. */
static int
forget(const void *obj, int (*function)(void *obj))
{
    int found = 0;
    mp__registry_lock();
    for (struct note **at = &notes; *at;) {
        struct note *n = *at;
        if (n->obj == obj && (!function || n->function == function)) {
            *at = n->next;
            free(n);
            found++;
        } else {
            at = &n->next;
        }
    }
    atomic_fetch_sub(&count, found);
    mp__registry_unlock();
    return found;
}

int
mp_unregister_after_fork(void *obj, int (*function)(void *obj))
{
    if (!function || forget(obj, function) == 0) {
        return mp__error(MP_EKEY, "mp_unregister_after_fork: it was not registered");
    }
    return 0;
}

void
mp__after_fork_object_ended(const void *obj)
{
    if (obj && atomic_load_explicit(&count, memory_order_relaxed) > 0) {
        forget(obj, NULL);
    }
}

/* The first that is newer than `number`: the functions may register and forget others. */
static bool
next_note(uint64_t number, struct note *ret)
{
    mp__registry_lock();
    struct note *n = notes;
    while (n && n->number <= number) {
        n = n->next;
    }
    if (n) {
        *ret = *n;
    }
    mp__registry_unlock();
    return n != NULL;
}

void
mp__after_fork_run(void)
{
    struct note n = {.number = 0};
    uint64_t last = latest; /* of a child's beginning: there is no other thread */
    while (atomic_load_explicit(&count, memory_order_relaxed) > 0 && next_note(n.number, &n) &&
           n.number <= last) {
        int status = n.function(n.obj);
        if (status < 0) {
            mp__log_info("after forker raised exception %s: %s", mp_err_name(status),
                         mp_last_error() == status ? mp_last_error_text() : mp_strerror(status));
        }
    }
}

/* ---- locks and thread-locals ------------------------------------------------------------------ */

struct mp_fork_lock {
    mp_fork_lock *next, **back; /* in the list of all; under the registry's mutex */
    pthread_mutex_t mutex;      /* over held, never held for long */
    pthread_cond_t freed;
    bool held;
};

/* A thread's value is one of ours, which tells in which process it was set. */
struct value {
    struct value *next, **back; /* of one local; under the registry's mutex */
    mp_callback destructor;
    void *value;
    unsigned generation;
};

struct mp_fork_local {
    pthread_key_t key;
    mp_callback destructor;
    struct value *values;
};

static MP__FORK_DATA mp_fork_lock *locks;
static MP__FORK_DATA atomic_uint generation; /* one more in every child */

void
mp__fork_fresh(void)
{
    for (mp_fork_lock *l = locks; l; l = l->next) {
        pthread_mutex_init(&l->mutex, NULL);
        pthread_cond_init(&l->freed, NULL);
        l->held = false;
    }
    atomic_fetch_add(&generation, 1);
}

mp_fork_lock *
mp_fork_lock_new(void)
{
    mp_fork_lock *l = mp__process_init() == 0 ? calloc(1, sizeof *l) : NULL;
    if (!l) {
        mp__error(MP_ENOMEM, "mp_fork_lock_new: no memory");
        return NULL;
    }
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->freed, NULL);
    mp__registry_lock();
    l->back = &locks;
    l->next = locks;
    if (l->next) {
        l->next->back = &l->next;
    }
    locks = l;
    mp__registry_unlock();
    return l;
}

int
mp_fork_lock_free(mp_fork_lock *l)
{
    if (l) {
        mp__registry_lock();
        *l->back = l->next;
        if (l->next) {
            l->next->back = l->back;
        }
        mp__registry_unlock();
        pthread_cond_destroy(&l->freed);
        pthread_mutex_destroy(&l->mutex);
        free(l);
    }
    return 0;
}

int
mp_fork_lock_acquire(mp_fork_lock *l, bool block)
{
    if (!l) {
        return mp__error(MP_EVALUE, "mp_fork_lock_acquire: NULL");
    }
    pthread_mutex_lock(&l->mutex);
    while (l->held && block) {
        pthread_cond_wait(&l->freed, &l->mutex);
    }
    bool got = !l->held;
    l->held = true;
    pthread_mutex_unlock(&l->mutex);
    return got ? 0 : mp__error(MP_ETIMEOUT, "mp_fork_lock_acquire: it is held");
}

int
mp_fork_lock_release(mp_fork_lock *l)
{
    if (!l) {
        return mp__error(MP_EVALUE, "mp_fork_lock_release: NULL");
    }
    pthread_mutex_lock(&l->mutex);
    bool held = l->held;
    l->held = false;
    pthread_cond_signal(&l->freed);
    pthread_mutex_unlock(&l->mutex);
    return held ? 0 : mp__error(MP_ERUNTIME, "mp_fork_lock_release: release unlocked lock");
}

/* At the end of a thread. */
static void
end_value(void *p)
{
    struct value *v = p;
    mp__registry_lock();
    *v->back = v->next;
    if (v->next) {
        v->next->back = v->back;
    }
    mp__registry_unlock();
    if (v->destructor && v->value && v->generation == atomic_load(&generation)) {
        v->destructor(v->value);
    }
    free(v);
}

mp_fork_local *
mp_fork_local_new(mp_callback destructor)
{
    mp_fork_local *l = mp__process_init() == 0 ? calloc(1, sizeof *l) : NULL;
    if (!l) {
        mp__error(MP_ENOMEM, "mp_fork_local_new: no memory");
        return NULL;
    }
    int err = pthread_key_create(&l->key, end_value);
    if (err != 0) {
        free(l);
        mp__error_os(err, "mp_fork_local_new: no thread key");
        return NULL;
    }
    l->destructor = destructor;
    return l;
}

int
mp_fork_local_free(mp_fork_local *l)
{
    if (l) {
        pthread_key_delete(l->key); /* from here on no thread's end comes to its value */
        while (l->values) {
            struct value *v = l->values;
            l->values = v->next;
            free(v);
        }
        free(l);
    }
    return 0;
}

void *
mp_fork_local_get(mp_fork_local *l)
{
    const struct value *v = l ? pthread_getspecific(l->key) : NULL;
    return v && v->generation == atomic_load(&generation) ? v->value : NULL;
}

/* This thread's first value: NULL when there is no memory. */
static struct value *
new_value(mp_fork_local *l)
{
    struct value *v = malloc(sizeof *v);
    if (!v || pthread_setspecific(l->key, v) != 0) {
        free(v);
        return NULL;
    }
    v->destructor = l->destructor;
    mp__registry_lock();
    v->back = &l->values;
    v->next = l->values;
    if (v->next) {
        v->next->back = &v->next;
    }
    l->values = v;
    mp__registry_unlock();
    return v;
}

int
mp_fork_local_set(mp_fork_local *l, void *value)
{
    if (!l) {
        return mp__error(MP_EVALUE, "mp_fork_local_set: NULL");
    }
    struct value *v = pthread_getspecific(l->key);
    v = v ? v : new_value(l);
    if (!v) {
        return mp__error(MP_ENOMEM, "mp_fork_local_set: no memory");
    }
    v->value = value;
    v->generation = atomic_load(&generation);
    return 0;
}
