/* base/error.h: how the library fails: one thread-local code and text. */
#ifndef MP_BASE_ERROR_H
#define MP_BASE_ERROR_H

#include <mp/error.h>

/* Note a failure of this thread and return its code: `return mp__error(MP_EVALUE, "...", ...)`. */
int mp__error(int code, const char *format, ...) MP_PRINTF(2, 3);

/* The same for errno: "what: strerror".  Returns -err. */
int mp__error_os(int err, const char *format, ...) MP_PRINTF(2, 3);

/* Failure of a call on behalf of another: keeps code and text as they are (from a child, say). */
int mp__error_text(int code, const char *text);

#endif
