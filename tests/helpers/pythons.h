/*
 * helpers/pythons.h: the CPythons of this machine, for the tests that talk to real ones: python3 of
 * PATH and every version pyenv has, of 3.8 or later.
 */
#ifndef MP_TEST_HELPERS_PYTHONS_H
#define MP_TEST_HELPERS_PYTHONS_H

#include "mp_test.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PYTHONS_MAX 16

static char *pythons[PYTHONS_MAX];
static size_t python_count;

/* Run a program to its end; its exit code, 127 when it cannot be run. */
static inline int
run(const char *const argv[])
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        return 127;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

static inline void
consider(const char *path)
{
    const char *const argv[] = {
        path, "-c", "import sys, multiprocessing; sys.exit(sys.version_info < (3, 8))", NULL};
    if (python_count < PYTHONS_MAX && run(argv) == 0) {
        pythons[python_count++] = strdup(path);
    }
}

static inline void
find_pythons(void)
{
    const char *home = getenv("HOME");
    char pattern[512];
    glob_t found;
    consider("python3");
    snprintf(pattern, sizeof pattern, "%s/.pyenv/versions/*/bin/python3", home ? home : "");
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            consider(found.gl_pathv[i]);
        }
        globfree(&found);
    }
}

static inline void
forget_pythons(void)
{
    while (python_count > 0) {
        free(pythons[--python_count]);
    }
}

#endif
