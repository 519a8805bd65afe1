/*
 * sync/repr.h: what the objects of this room print as: Python's repr().
 *
 * All go like snprintf(): at most size bytes with the ending NUL go to buf, which may be NULL when
 * size is 0, and the length that the whole text has is returned.  Nothing is printed.
 */
#ifndef MP_SYNC_REPR_H
#define MP_SYNC_REPR_H

#include <stddef.h>
#include <stdint.h>

#include <mp/config.h>

#include "base/name.h"

/* snprintf() into a caller's buffer; MP_EVALUE when buf is NULL with a size, text for `call`. */
int mp__repr(const char *call, char *buf, size_t size, const char *format, ...) MP_PRINTF(4, 5);

/*
 * Who holds an owned word (heap/owned.h), in Python's words: "None", the name of this process when
 * this thread holds it, with "|Thread-NUMBER" unless this is the process's first thread, else
 * "SomeOtherThread" or "SomeOtherProcess".
 */
enum mp__holder { MP__NOBODY, MP__THIS_THREAD, MP__OTHER_THREAD, MP__OTHER_PROCESS };
#define MP__HOLDER_BYTES (MP__NAME_BYTES + 32)
enum mp__holder mp__repr_holder(uint64_t word, char buf[MP__HOLDER_BYTES]);

#endif
