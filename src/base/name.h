/*
 * base/name.h: the name of this process, for texts.
 *
 * Names belong to the processes' room; rooms below it that print one ("<Lock(owner=MainProcess)>")
 * find it here, where that room notes it.
 *
 * Threads   one mutex
 * Fork      the child keeps its parent's name until it is given its own, as in Python
 */
#ifndef MP_BASE_NAME_H
#define MP_BASE_NAME_H

#include <stddef.h>

#define MP__NAME_BYTES 256 /* longer names are cut, between two characters */

/* This process's name from now on; "MainProcess" until then. */
void mp__name_set(const char *name);

/* A copy of it. */
void mp__name_get(char buf[MP__NAME_BYTES]);

#endif
