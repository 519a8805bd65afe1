/* helpers/names.h: what the tests of the resource tracker share: names of shared memory, its end. */
#ifndef MP_TEST_HELPERS_NAMES_H
#define MP_TEST_HELPERS_NAMES_H

#include "mp_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NAME_BYTES 64

static inline void
new_name(char name[NAME_BYTES])
{
    static int counter;
    snprintf(name, NAME_BYTES, "/mp-test-%ld-%d", (long)getpid(), ++counter);
}

/* It has our pid: one that is there already was left by a dead process that had the same. */
static inline void
make_shm(const char *name)
{
    shm_unlink(name);
    int fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
    mp_child_check(fd >= 0);
    close(fd);
}

static inline bool
shm_exists(const char *name)
{
    int fd = shm_open(name, O_RDWR, 0);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

/* The test's bound ends a wait that does not. */
static inline void
wait_until_gone(const char *name)
{
    while (shm_exists(name)) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* Stop the tracker, which has no other client; its exit code. */
static inline int
stop(void)
{
    int code = -1000;
    mp_assert_ok(mp_resource_tracker_stop(30, &code));
    return code;
}

#endif
