/* helpers/sleepers.h: waiting until others are asleep: an event, where a test would have to sleep. */
#ifndef MP_TEST_HELPERS_SLEEPERS_H
#define MP_TEST_HELPERS_SLEEPERS_H

#include <time.h>

#include "heap/waits.h"

struct sleepers {
    const void *object;
    int count;
};

static inline void
count_sleeper(void *ctx, const struct mp__wait *wait)
{
    struct sleepers *s = ctx;
    s->count += wait->object == s->object;
}

/* Until so many threads, of whatever processes, sleep and wait for this. */
static inline void
wait_for_sleepers(const void *object, int wanted)
{
    struct sleepers s = {object, 0};
    mp__waits_each(count_sleeper, &s);
    while (s.count < wanted) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        s.count = 0;
        mp__waits_each(count_sleeper, &s);
    }
}

#endif
