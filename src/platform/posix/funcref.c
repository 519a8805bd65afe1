/*
 * platform/posix/funcref.c: functions as distances from one known place in the program.
 *
 * POSIX.1-2008 cannot list what is loaded.  Within one module every distance is the same in every
 * run of a build, so a function is told by its distance from an address in the program that the
 * program gave (mp__plat_func_anchor).  What follows from it: a function of another module cannot
 * be told from one of the program's, and will not be found again where that module lies elsewhere;
 * and whether a place is code cannot be checked, nor whether it is within the program.  Another
 * build of the file is noticed once mp__plat_executable() was called.
 */
#include "platform/posix/posix.h"

#include <errno.h>

static _Atomic uintptr_t anchor;

void
mp__plat_func_anchor(uintptr_t address_in_main_program)
{
    uintptr_t none = 0;
    atomic_compare_exchange_strong(&anchor, &none, address_in_main_program);
}

int
mp__plat_func_to_ref(uintptr_t address, mp__plat_funcref *ret)
{
    uintptr_t from = atomic_load(&anchor);
    if (from == 0 || address == 0) {
        return -ENOENT;
    }
    mp__plat_funcref ref = {.offset = (uint64_t)(address - from)}; /* modulo 2^64 if it is below */
    mp__plat_program_build(&ref);
    *ret = ref;
    return 0;
}

int
mp__plat_func_from_ref(const mp__plat_funcref *ref, uintptr_t *ret_address)
{
    uintptr_t from = atomic_load(&anchor);
    if (from == 0 || ref->module[0] != '\0') {
        return -ENOENT;
    }
    mp__plat_funcref own = {0};
    mp__plat_program_build(&own);
    if (mp__plat_build_differs(&own, ref)) {
        return -ESTALE;
    }
    *ret_address = from + (uintptr_t)ref->offset;
    return 0;
}
