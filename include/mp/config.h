/*
 * mp/config.h: what every other header of libmp rests on: visibility, version, time.
 *
 * The headers compile alone, as C11 and as C++17, and need no feature macro from you.
 */
#ifndef MP_CONFIG_H
#define MP_CONFIG_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MP_VERSION_MAJOR 0
#define MP_VERSION_MINOR 1
#define MP_VERSION_PATCH 0
#define MP_VERSION       "0.1.0"

#if defined __GNUC__
#define MP_API           __attribute__((visibility("default")))
#define MP_PRINTF(f, a)  __attribute__((format(printf, f, a)))
#define MP_NORETURN_ATTR __attribute__((noreturn))
#else
#define MP_API
#define MP_PRINTF(f, a)
#define MP_NORETURN_ATTR
#endif

#ifdef __cplusplus
#define MP_BEGIN_DECLS extern "C" {
#define MP_END_DECLS   }
#define MP__OPTIONAL   = 0 /* a last parameter that may be left out; in C a macro does it */
#else
#define MP_BEGIN_DECLS
#define MP_END_DECLS
#define MP__OPTIONAL
#endif

/*
 * Time-outs are `double` seconds on the monotonic clock.  0 only tries, and so does a negative
 * number, as in Python.  MP_FOREVER waits as long as it takes (Python: None).  NaN is MP_EVALUE.
 */
#define MP_FOREVER ((double)INFINITY)

MP_BEGIN_DECLS

/* The version of the library that is linked, "0.1.0"; compare it with MP_VERSION, the header's. */
MP_API const char *mp_version(void);

MP_END_DECLS

#endif
