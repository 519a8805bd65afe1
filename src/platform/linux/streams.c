/*
 * platform/linux/streams.c: what the standard streams hold, without touching them.
 *
 * A child that has nothing to flush saves itself the copies of the pages that flushing writes to.
 * glibc's fields are in its public header, for its own inline functions; other libcs hide them.
 */
#include "platform/linux/linux.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

bool
mp__plat_stdin_has_unread(void)
{
#if defined __GLIBC__
    return stdin->_IO_read_ptr != stdin->_IO_read_end;
#else
    return true;
#endif
}

bool
mp__plat_stdin_is_null(void)
{
    struct stat st;
    return fstat(STDIN_FILENO, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3) &&
           (fcntl(STDIN_FILENO, F_GETFL) & O_ACCMODE) != O_WRONLY; /* nohup's is for writing */
}

static bool
may_hold_output(const FILE *stream)
{
#if defined __GLIBC__
    /* A wide stream keeps its characters elsewhere, and has a mode above 0. */
    return stream->_mode > 0 || stream->_IO_write_ptr != stream->_IO_write_base;
#else
    (void)stream;
    return true;
#endif
}

void
mp__plat_flush_output(void)
{
    if (may_hold_output(stdout)) {
        fflush(stdout);
    }
    if (may_hold_output(stderr)) {
        fflush(stderr);
    }
}
