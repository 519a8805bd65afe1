/* platform/posix/pipe.c: pipes, made close-on-exec right after. */
#include "platform/common.h"

#include <errno.h>
#include <unistd.h>

int
mp__plat_pipe(int ret_fds[2])
{
    if (pipe(ret_fds) < 0) {
        return -errno;
    }
    int status = mp__plat_cloexec(ret_fds[0]);
    if (status == 0) {
        status = mp__plat_cloexec(ret_fds[1]);
    }
    if (status < 0) {
        close(ret_fds[0]);
        close(ret_fds[1]);
    }
    return status;
}
