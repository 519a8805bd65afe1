/* platform/posix/streams.c: what the standard streams hold; there is no way to ask. */
#include "platform/common.h"

#include <stdio.h>

bool
mp__plat_stdin_has_unread(void)
{
    return true;
}

bool
mp__plat_stdin_is_null(void)
{
    return false;
}

void
mp__plat_flush_output(void)
{
    fflush(stdout);
    fflush(stderr);
}
