/* platform/linux/linux.h: what the files of linux/ share among themselves. */
#ifndef MP_PLATFORM_LINUX_H
#define MP_PLATFORM_LINUX_H

#include "platform/common.h"

/* Open the file of the running program for reading: the descriptor, or -errno. */
int mp__plat_open_program(void);

#endif
