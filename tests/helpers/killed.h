/* helpers/killed.h: a child that dies with what it holds. */
#ifndef MP_TEST_HELPERS_KILLED_H
#define MP_TEST_HELPERS_KILLED_H

#include "mp_test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that runs body(arg) and is then killed, with all it holds. */
static inline void
killed_after(void (*body)(void *), void *arg)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        body(arg);
        mp_child_check(write(ready[1], "x", 1) == 1);
        for (;;) {
            pause();
        }
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1); /* 0: the child has failed */
    close(ready[0]);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

#endif
