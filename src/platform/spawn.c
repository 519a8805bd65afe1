/*
 * platform/spawn.c: starting a program with four descriptors and nothing else of ours.
 *
 * posix_spawn on both sides; only how descriptors from 4 up are closed differs.
 */
#include "platform/common.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/* Above it descriptors are not looked for one by one: a limit of millions would take seconds. */
#define MOST_DESCRIPTORS 65536

int
mp__plat_spawn_close_one(posix_spawn_file_actions_t *actions, int fd)
{
    int flags = fcntl(fd, F_GETFD);
    if (fd < 4 || flags < 0 || (flags & FD_CLOEXEC)) {
        return 0;
    }
    return posix_spawn_file_actions_addclose(actions, fd);
}

int
mp__plat_spawn_close_below_bound(posix_spawn_file_actions_t *actions)
{
    long bound = sysconf(_SC_OPEN_MAX);
    if (bound < 0 || bound > MOST_DESCRIPTORS) {
        bound = MOST_DESCRIPTORS;
    }
    int status = 0;
    for (int fd = 4; fd < bound && status == 0; fd++) {
        status = mp__plat_spawn_close_one(actions, fd);
    }
    return status;
}

/*
 * keep stands at `source` too, which is not 3: a move of 3 onto itself would leave it close-on-exec
 * with some libcs.
 */
static int
describe_files(posix_spawn_file_actions_t *actions, int keep, int source)
{
    int status = posix_spawn_file_actions_adddup2(actions, source, 3);
    if (status == 0 && keep < 3) {
        status = posix_spawn_file_actions_addclose(actions, keep);
    }
    return status == 0 ? mp__plat_spawn_closes(actions) : status;
}

static int
describe_signals(posix_spawnattr_t *attributes)
{
    sigset_t all;
    sigset_t none;
    sigfillset(&all);
    sigdelset(&all, SIGKILL); /* cannot be set, and some systems refuse to try */
    sigdelset(&all, SIGSTOP);
    sigemptyset(&none);
    int status = posix_spawnattr_setsigdefault(attributes, &all);
    if (status == 0) {
        status = posix_spawnattr_setsigmask(attributes, &none);
    }
    if (status == 0) {
        status =
            posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    }
    return status;
}

int
mp__plat_spawn(const char *path, char *const argv[], char *const envp[], int keep, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int source = keep;
    if (keep == 3) {
        source = fcntl(keep, F_DUPFD_CLOEXEC, 4);
        if (source < 0) {
            return -errno;
        }
    }
    int status = posix_spawn_file_actions_init(&actions);
    if (status != 0) {
        goto out_source;
    }
    status = posix_spawnattr_init(&attributes);
    if (status != 0) {
        goto out_actions;
    }
    status = describe_files(&actions, keep, source);
    if (status == 0) {
        status = describe_signals(&attributes);
    }
    if (status == 0) {
        status = posix_spawn(ret_pid, path, &actions, &attributes, argv, envp);
    }
    posix_spawnattr_destroy(&attributes);
out_actions:
    posix_spawn_file_actions_destroy(&actions);
out_source:
    if (source != keep) {
        close(source);
    }
    return -status;
}
