/* helpers/queue.h: what the tests of queues share. */
#ifndef MP_TEST_HELPERS_QUEUE_H
#define MP_TEST_HELPERS_QUEUE_H

#include "helpers/process.h"

#include <poll.h>

#include "helpers/sleepers.h"

/* A constructor's queue, or the test fails with its text. */
static inline mp_queue *
made(mp_queue *q)
{
    if (!q) {
        fail_msg("no queue: %s", mp_last_error_text());
    }
    return q;
}

/*
 * Seconds that a busy machine may stand still in what happens at once.  It tells that from what
 * happens at the end of a time-out, or never: those are far longer.
 */
#define STALL 5.0

/* Between least and most seconds passed since. */
static inline void
took(double since, double least, double most)
{
    double t = mp_test_now() - since;
    if (t < least || t > most) {
        fail_msg("it took %.3f s, not %.3f to %.3f", t, least, most);
    }
}

/* The next item, an int. */
static inline void
assert_next(mp_queue *q, int64_t expected)
{
    mp_obj o;
    mp_assert_ok(mp_queue_get(q, &o, 10));
    assert_int_equal(mp_obj_kind(o), MP_KIND_INT);
    assert_int_equal(mp_as_int(o), expected);
}

static inline void
assert_text(const char *part)
{
    if (!strstr(mp_last_error_text(), part)) {
        fail_msg("\"%s\" does not say \"%s\"", mp_last_error_text(), part);
    }
}

#endif
