/* helpers/targets.h: functions of a shared object beside the test program (targets.c). */
#ifndef MP_TEST_HELPERS_TARGETS_H
#define MP_TEST_HELPERS_TARGETS_H

#include <mp/object.h>

/* A target whose exit code is 42. */
int mp_test_target_elsewhere(const mp_args *args);

#endif
