/* platform/linux/pipe.c: pipes, close-on-exec from their first moment. */
#include "platform/linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int
mp__plat_pipe(int ret_fds[2])
{
    return pipe2(ret_fds, O_CLOEXEC) < 0 ? -errno : 0;
}
