/* base/deadline.c: public seconds to monotonic deadlines. */
#include "base/deadline.h"

#include <limits.h>
#include <math.h>

#include "base/error.h"
#include "platform/platform.h"

int
mp__deadline_of_shorter(double seconds, const char *what, mp__deadline *ret)
{
    if (isnan(seconds)) {
        return mp__error(MP_EVALUE, "%s: the time-out is not a number", what);
    }
    if (seconds <= 0) {
        *ret = MP__TRY;
    } else {
        *ret = mp__plat_now() + (int64_t)(seconds * 1e9) + 1; /* rounded up: never early */
    }
    return 0;
}

int64_t
mp__deadline_left(mp__deadline d)
{
    if (d == MP__NEVER) {
        return INT64_MAX;
    }
    if (d == MP__TRY) {
        return 0;
    }
    int64_t left = d - mp__plat_now();
    return left > 0 ? left : 0;
}

int
mp__deadline_poll_ms(mp__deadline d, int cap_ms)
{
    int64_t left = mp__deadline_left(d);
    int64_t ms = left == INT64_MAX ? -1 : left / MP__MS + (left % MP__MS != 0);
    if (ms > INT_MAX) {
        ms = INT_MAX;
    }
    if (cap_ms >= 0 && (ms < 0 || ms > cap_ms)) {
        ms = cap_ms;
    }
    return (int)ms;
}
