/* platform/posix/posix.h: what the files of posix/ share among themselves. */
#ifndef MP_PLATFORM_POSIX_H
#define MP_PLATFORM_POSIX_H

#include "platform/common.h"

/* The build of the program's file as mp__plat_executable() found it; length 0 before. */
void mp__plat_program_build(mp__plat_funcref *ret);

#endif
