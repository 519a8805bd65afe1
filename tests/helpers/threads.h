/* helpers/threads.h: the main() of tests that ThreadSanitizer looks at. */
#ifndef MP_TEST_HELPERS_THREADS_H
#define MP_TEST_HELPERS_THREADS_H

#include "mp_test.h"

#include <pthread.h>

static inline void *
do_nothing(void *arg)
{
    return arg;
}

/* ThreadSanitizer starts a thread of its own with the first one; the harness would miss its end. */
#define MP_TEST_MAIN_OF_THREADS(tests, family)                                                     \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        pthread_t thread;                                                                          \
        mp_freeze_support(argc, argv);                                                             \
        if (pthread_create(&thread, NULL, do_nothing, NULL) == 0) {                                \
            pthread_join(thread, NULL);                                                            \
        }                                                                                          \
        return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, family);              \
    }

#endif
