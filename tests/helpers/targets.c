/* helpers/targets.c: a shared object with a target for processes; it needs nothing of libmp. */
#include "helpers/targets.h"

static int
answer(void)
{
    return 42;
}

int
mp_test_target_elsewhere(const mp_args *args)
{
    (void)args;
    return answer();
}
