/* heap/funcref.c: functions to places in the program, and back. */
#include "heap/funcref.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mp/context.h>

#include "base/error.h"

/* ---- names of functions ---------------------------------------------------------------------- */

/* Only ever added to, at the front, by CAS: so readers need no lock, and a fork finds it whole. */
struct named {
    struct named *next;
    mp__func function;
    char name[MP__PLAT_MODULE_BYTES];
};
static _Atomic(struct named *) all_named;

static struct named *
by_name(const char *name)
{
    struct named *n = atomic_load(&all_named);
    while (n && strcmp(n->name, name) != 0) {
        n = n->next;
    }
    return n;
}

static struct named *
by_function(mp__func f)
{
    struct named *n = atomic_load(&all_named);
    while (n && n->function != f) {
        n = n->next;
    }
    return n;
}

int
mp_register_function(const char *name, void (*function)(void))
{
    if (!name || !*name || !function || strlen(name) >= MP__PLAT_MODULE_BYTES) {
        return mp__error(MP_EVALUE,
                         "mp_register_function: no function, or no name of at most %d "
                         "bytes",
                         MP__PLAT_MODULE_BYTES - 1);
    }
    struct named *n = malloc(sizeof *n), *known;
    if (!n) {
        return mp__error(MP_ENOMEM, "mp_register_function: no memory");
    }
    snprintf(n->name, sizeof n->name, "%s", name);
    n->function = function;
    n->next = atomic_load(&all_named);
    do {
        known = by_name(name);
    } while (!known && !atomic_compare_exchange_weak(&all_named, &n->next, n));
    if (known) {
        free(n);
        if (known->function != function) {
            return mp__error(MP_EVALUE, "mp_register_function: %s is another function's", name);
        }
    }
    return 0;
}

/* ---- references ------------------------------------------------------------------------------ */

int
mp__funcref_make(mp__func f, mp__funcref *ret)
{
    memset(ret, 0, sizeof *ret);
    if (!f) {
        ret->null = 1;
        return 0;
    }
    const struct named *n = by_function(f);
    if (n) {
        ret->named = 1;
        memcpy(ret->place.module, n->name, strlen(n->name) + 1);
        return 0;
    }
    int status = mp__plat_func_to_ref((uintptr_t)f, &ret->place);
    if (status < 0) {
        return mp__error(MP_ENOTSUP,
                         "the function at %p is in no module of this program (made at run time?), "
                         "so only the start method fork can run it",
                         (void *)(uintptr_t)f);
    }
    return 0;
}

/* The latest find of this thread: workers run one task many times, and the forkserver finds a
   target before it forks the child that asks for it again. */
static _Thread_local struct {
    mp__funcref ref;
    mp__func func; /* NULL: none yet */
} latest;

static int
find(const mp__funcref *ref, mp__func *ret)
{
    uintptr_t address;
    int status = mp__plat_func_from_ref(&ref->place, &address);
    const char *module = ref->place.module[0] ? ref->place.module : "the program";
    switch (status) {
    case 0:
        *ret = (mp__func)address;
        return 0;
    case -ENOENT:
        return mp__error(MP_ERUNTIME, "%s, which has the function, is not loaded here", module);
    case -ESTALE:
        return mp__error(MP_ERUNTIME,
                         "%s is another build here than in the process that sent the function: it "
                         "was replaced meanwhile, or mp_set_executable() names another program",
                         module);
    case -EFAULT:
        return mp__error(MP_ERUNTIME, "offset %#llx of %s is not code",
                         (unsigned long long)ref->place.offset, module);
    default:
        return mp__error_os(-status, "finding the function in %s", module);
    }
}

int
mp__funcref_find(const mp__funcref *ref, mp__func *ret)
{
    *ret = NULL;
    if (ref->null) {
        return 0;
    }
    if (ref->named) {
        const struct named *n = by_name(ref->place.module);
        if (!n) {
            return mp__error(MP_ERUNTIME,
                             "no function is registered as %s here: mp_register_function() must "
                             "come before mp_freeze_support()",
                             ref->place.module);
        }
        *ret = n->function;
        return 0;
    }
    if (latest.func && memcmp(ref, &latest.ref, sizeof *ref) == 0) {
        *ret = latest.func;
        return 0;
    }
    int status = find(ref, ret);
    if (status == 0) {
        latest.ref = *ref;
        latest.func = *ret;
    }
    return status;
}
