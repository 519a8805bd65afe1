/*
 * base/deadline.h: one type for "until when": an absolute time of the monotonic clock.
 *
 * A public time-out is turned into a deadline once, on entry; every inner wait takes the deadline,
 * so interrupted and repeated waits never add the time-out again.
 */
#ifndef MP_BASE_DEADLINE_H
#define MP_BASE_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

/* Nanoseconds on the monotonic clock.  MP__NEVER waits for ever, MP__TRY does not wait. */
typedef int64_t mp__deadline;
#define MP__NEVER INT64_MAX
#define MP__TRY   INT64_C(0)

#define MP__MS INT64_C(1000000)
#define MP__S  INT64_C(1000000000)

/* Beyond this (146 years) a time-out is for ever; the sum with the clock still fits 63 bits. */
#define MP__LONGEST_S 4.6e9

int mp__deadline_of_shorter(double seconds, const char *what, mp__deadline *ret);

/* From public seconds.  0, or MP_EVALUE with text (of `what`) for NaN. */
static inline int
mp__deadline_from(double seconds, const char *what, mp__deadline *ret)
{
    if (seconds >= MP__LONGEST_S) {
        *ret = MP__NEVER;
        return 0;
    }
    return mp__deadline_of_shorter(seconds, what, ret);
}

/* Nanoseconds that are left: 0 when it has passed, INT64_MAX for MP__NEVER. */
int64_t mp__deadline_left(mp__deadline d);

/* The same for poll(2): milliseconds rounded up, -1 for ever, and at most cap_ms if that is >= 0. */
int mp__deadline_poll_ms(mp__deadline d, int cap_ms);

static inline bool
mp__deadline_passed(mp__deadline d)
{
    return mp__deadline_left(d) == 0;
}

#endif
