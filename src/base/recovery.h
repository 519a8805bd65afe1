/*
 * base/recovery.h: a switch that only the library of the tests has, for a negative control.
 *
 * Without recovery nobody is judged dead, the kernel tells of no death, and sleeps are not sliced.
 * The torture must then fail (tests/torture/run --control): else it would not see a recovery that
 * is missing.
 */
#ifndef MP_BASE_RECOVERY_H
#define MP_BASE_RECOVERY_H

#include <stdbool.h>
#include <stdint.h>

#if defined MP_TESTING
extern bool mp__no_recovery; /* in heap/member.c */
#define MP__RECOVERS (!mp__no_recovery)
#else
#define MP__RECOVERS true
#endif

/* How long to sleep when `left` is left: at most a slice. */
static inline int64_t
mp__slice_of(int64_t left, int64_t slice)
{
    return MP__RECOVERS && slice < left ? slice : left;
}

#endif
