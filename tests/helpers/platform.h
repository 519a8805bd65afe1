/* helpers/platform.h: what the tests of the platform's floor share. */
#ifndef MP_TEST_HELPERS_PLATFORM_H
#define MP_TEST_HELPERS_PLATFORM_H

#include "mp_test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_OPEN 256

/* Exit status as waitpid() gives it: 0 when all was well. */
static inline int
run_child(void (*body)(void *), void *arg)
{
    int status = -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        body(arg);
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

static inline int
count_open(void)
{
    int n = 0;
    for (int fd = 0; fd < MOST_OPEN; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

static inline void
close_both(const int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

#endif
