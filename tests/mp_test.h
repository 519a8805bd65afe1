/*
 * mp_test.h: what every test program of libmp stands on, over cmocka.
 *
 *     static void
 *     test_queue_empty_get_times_out(void **state) { ... assert_int_equal(...); ... }
 *
 *     static const struct CMUnitTest tests[] = {
 *         cmocka_unit_test(test_queue_empty_get_times_out),
 *     };
 *     MP_TEST_MAIN(tests)
 *
 * Around each test the harness compares what the process holds: descriptors, children, threads,
 * blocks of the family's heap, names in /dev/shm.  A difference fails the test and is named.
 * What a test leaves running is killed, so that the next one starts clean.  A test that hangs
 * for MP_TEST_BOUND seconds is ended with everything it started (mp_test_bounded() changes that).
 *
 * In a child never use cmocka's assertions: they jump back into the runner, and the child would
 * go on with the parent's remaining tests.  Children use mp_child_check() and mp_child_ok(), and
 * the parent looks at their exit code.  The harness stops a child that does it all the same with
 * exit code MP_CHILD_STRAYED.
 *
 * `program PATTERN` runs only the tests that match (* and ? as in file names).
 */
#ifndef MP_TEST_H
#define MP_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <mp/mp.h>

#define MP_TEST_BOUND 50 /* seconds for one test; ctest's limit is for all of a program */

#define MP_CHILD_FAILED  99 /* exit code of a failed mp_child_check() */
#define MP_CHILD_STRAYED 98 /* exit code of a child that came back into the runner */

/* The main() of a test program.  The family's heap exists before the first test begins. */
#define MP_TEST_MAIN(tests) MP__TEST_MAIN(tests, true)

/* The same for tests of what happens before there is a heap. */
#define MP_TEST_MAIN_NO_FAMILY(tests) MP__TEST_MAIN(tests, false)

#define MP__TEST_MAIN(tests, family)                                                               \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        mp_freeze_support(argc, argv);                                                             \
        return mp_test_main(argc, argv, (tests), sizeof(tests) / sizeof *(tests), (family));       \
    }

/* Run the tests; the number that failed.  For a program with a main() of its own. */
int mp_test_main(int argc, char **argv, const struct CMUnitTest *tests, size_t count, bool family);

/* In a child: go on only if cond holds, else say where on stderr and _exit(MP_CHILD_FAILED). */
#define mp_child_check(cond) ((cond) ? (void)0 : mp_child_fail(__FILE__, __LINE__, #cond))

/* In a child: the same for a call of libmp that must return 0; tells the code and text. */
#define mp_child_ok(call) mp_child_status((call), 0, __FILE__, __LINE__, #call)

/* In a child: the same for a call that must return this code. */
#define mp_child_code(call, code) mp_child_status((call), (code), __FILE__, __LINE__, #call)

MP_NORETURN_ATTR void mp_child_fail(const char *file, int line, const char *text);
void mp_child_status(int status, int expected, const char *file, int line, const char *text);

/* In a test: a call of libmp must return 0, or this code; tells what it said instead. */
#define mp_assert_ok(call)         mp_test_status((call), 0, __FILE__, __LINE__, #call)
#define mp_assert_code(call, code) mp_test_status((call), (code), __FILE__, __LINE__, #call)

void mp_test_status(int status, int expected, const char *file, int line, const char *text);

/* End this test and all it started when it is still running in so many seconds from now. */
void mp_test_bounded(unsigned seconds);

/* A fresh directory of this test, removed after it with all that is in it. */
const char *mp_test_dir(void);

/*
 * Run this program anew with one argument (its main() must know it) and without the environment
 * variable of the start method.  Everything it writes to stdout and stderr goes to out, cut to cap
 * and ended with NUL.  What waitpid() gives as status.
 */
int mp_test_run_self(const char *argument, char *out, size_t cap);

/* Seconds on the monotonic clock, to measure with. */
double mp_test_now(void);

#endif
