/* platform/program.c: the program's file: how to find it, and what tells one build from another. */
#include "platform/common.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Absolute, if it is a file that can be run.  0 or -errno. */
static int
try_path(const char *path, char *buf, size_t size)
{
    struct stat file;
    if (stat(path, &file) < 0) {
        return -errno;
    }
    if (!S_ISREG(file.st_mode) || access(path, X_OK) < 0) {
        return -EACCES;
    }
    char *real = realpath(path, NULL);
    if (real == NULL) {
        return -errno;
    }
    size_t len = strlen(real) + 1;
    if (len <= size) {
        memcpy(buf, real, len);
    }
    free(real);
    return len <= size ? 0 : -ENAMETOOLONG;
}

int
mp__plat_find_program(const char *argv0, char *buf, size_t size)
{
    if (argv0 == NULL || argv0[0] == '\0') {
        return -ENOENT;
    }
    if (strchr(argv0, '/') != NULL) {
        return try_path(argv0, buf, size);
    }
    const char *folders = getenv("PATH");
    if (folders == NULL) {
        return -ENOENT;
    }
    for (const char *at = folders;;) {
        size_t len = strcspn(at, ":");
        char candidate[PATH_MAX];
        /* An empty folder is the current one. */
        int n = len == 0 ? snprintf(candidate, sizeof candidate, "./%s", argv0)
                         : snprintf(candidate, sizeof candidate, "%.*s/%s", (int)len, at, argv0);
        if (n > 0 && (size_t)n < sizeof candidate && try_path(candidate, buf, size) == 0) {
            return 0;
        }
        if (at[len] == '\0') {
            return -ENOENT;
        }
        at += len + 1;
    }
}

static uint64_t
mixed(uint64_t state, uint64_t value)
{
    /* Multiply and fold: every bit of the value reaches every bit of the state. */
    state = (state ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    state ^= state >> 29;
    state *= UINT64_C(0xd6e8feb86659fd93);
    return state ^ (state >> 32);
}

void
mp__plat_file_build(const struct stat *file, mp__plat_funcref *ret)
{
    const uint64_t parts[] = {(uint64_t)file->st_dev, (uint64_t)file->st_ino,
                              (uint64_t)file->st_size, (uint64_t)file->st_mtim.tv_sec,
                              (uint64_t)file->st_mtim.tv_nsec};
    uint64_t hash[2] = {1, 2};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        hash[0] = mixed(hash[0], parts[i]);
        hash[1] = mixed(hash[1], parts[i]);
    }
    memset(ret->build, 0, sizeof ret->build);
    memcpy(ret->build, hash, sizeof hash);
    ret->build_len = sizeof hash;
}

bool
mp__plat_build_differs(const mp__plat_funcref *one, const mp__plat_funcref *other)
{
    if (one->build_len == 0 || other->build_len == 0) {
        return false;
    }
    return one->build_len != other->build_len || one->build_len > sizeof one->build ||
           memcmp(one->build, other->build, one->build_len) != 0;
}
