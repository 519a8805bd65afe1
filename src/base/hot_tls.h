/*
 * base/hot_tls.h: thread-local variables that are read on every lock and put.
 *
 * In a shared library the usual access is a call.  glibc keeps room for a few small variables of
 * libraries that come by dlopen(), so the direct form works there; other libcs refuse it.
 */
#ifndef MP_BASE_HOT_TLS_H
#define MP_BASE_HOT_TLS_H

#include <stdint.h> /* for __GLIBC__ */

#if defined __GLIBC__ && defined __GNUC__
#define MP__HOT_TLS _Thread_local __attribute__((tls_model("initial-exec")))
#else
#define MP__HOT_TLS _Thread_local
#endif

#endif
