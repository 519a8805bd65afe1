/*
 * heap/funcref.h: functions as they travel between processes of the family.
 *
 * Under fork, and for anybody with the same image at the same place, the address is the function;
 * under spawn and forkserver it is found again from module + offset, with the build checked.
 */
#ifndef MP_HEAP_FUNCREF_H
#define MP_HEAP_FUNCREF_H

#include "platform/platform.h"

typedef void (*mp__func)(void);

/* Fits shared memory: no address in it. */
typedef struct mp__funcref {
    uint32_t null;  /* 1: no function */
    uint32_t named; /* 1: registered; its name stands in place of the module's path */
    mp__plat_funcref place;
} mp__funcref;

/* 0; MP_ENOTSUP with text: not in any loaded module. */
int mp__funcref_make(mp__func f, mp__funcref *ret);

/* 0; MP_ERUNTIME with text: what differs here. */
int mp__funcref_find(const mp__funcref *ref, mp__func *ret);

#endif
