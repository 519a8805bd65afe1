/*
 * platform/posix/executable.c: the file of the running program, by the name it was called with.
 *
 * POSIX does not tell which file a process runs, so this is only as good as argv[0].
 */
#include "platform/posix/posix.h"

#include <string.h>

/*
 * The build, written once and then only read.  A fork in the middle of the writing leaves the child
 * at WRITING for ever, that is, with a build that it cannot tell: no lock to be inherited held.
 */
enum { UNKNOWN, WRITING, KNOWN };
static _Atomic int state;
static mp__plat_funcref known;

int
mp__plat_executable(const char *argv0, char *buf, size_t size)
{
    struct stat file;
    int status = mp__plat_find_program(argv0, buf, size);
    if (status < 0 || stat(buf, &file) < 0) {
        return status;
    }
    /* The first answer stays: the file may be replaced while the program runs. */
    int expected = UNKNOWN;
    if (atomic_compare_exchange_strong(&state, &expected, WRITING)) {
        mp__plat_file_build(&file, &known);
        atomic_store(&state, KNOWN);
    }
    return status;
}

void
mp__plat_program_build(mp__plat_funcref *ret)
{
    if (atomic_load(&state) == KNOWN) {
        memcpy(ret->build, known.build, sizeof ret->build);
        ret->build_len = known.build_len;
    } else {
        ret->build_len = 0;
    }
}
