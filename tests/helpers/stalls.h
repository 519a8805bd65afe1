/*
 * helpers/stalls.h: what the machine itself lost while a test measured a time.
 *
 * Bounds on times of the library's are strict, and a machine that runs nobody for some hundred
 * milliseconds is not the library's fault.  While a test watches, a companion on each processor
 * naps for a millisecond again and again and notes when it was let run too late; the time in which
 * any of them was kept from running is no part of what the test measures.
 */
#ifndef MP_TEST_HELPERS_STALLS_H
#define MP_TEST_HELPERS_STALLS_H

/* The companions are threads of this process; in a test's set-up and tear-down, or around it. */
void stalls_watch(void);
void stalls_unwatch(void);

/* Seconds between two times of mp_test_now() in which some processor let its companion not run. */
double stalls_between(double from, double to);

/* In a test: it took no longer than the bound, and what the machine lost meanwhile. */
#define assert_in_time(begin, end, bound) stalls_assert(begin, end, bound, __FILE__, __LINE__)

void stalls_assert(double begin, double end, double bound, const char *file, int line);

#endif
