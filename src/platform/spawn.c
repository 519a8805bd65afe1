/*
 * platform/spawn.c: starting a program with a few descriptors and nothing else of ours.
 *
 * posix_spawn on both sides; only how the other descriptors are closed differs.
 */
#include "platform/common.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/* Above it descriptors are not looked for one by one: a limit of millions would take seconds. */
#define MOST_DESCRIPTORS 65536

int
mp__plat_spawn_close_one(posix_spawn_file_actions_t *actions, int first, int fd)
{
    int flags = fcntl(fd, F_GETFD);
    if (fd < first || flags < 0 || (flags & FD_CLOEXEC)) {
        return 0;
    }
    return posix_spawn_file_actions_addclose(actions, fd);
}

int
mp__plat_spawn_close_below_bound(posix_spawn_file_actions_t *actions, int first)
{
    long bound = sysconf(_SC_OPEN_MAX);
    if (bound < 0 || bound > MOST_DESCRIPTORS) {
        bound = MOST_DESCRIPTORS;
    }
    int status = 0;
    for (int fd = first; fd < bound && status == 0; fd++) {
        status = mp__plat_spawn_close_one(actions, first, fd);
    }
    return status;
}

/*
 * What is kept, from where it is moved to its place.  One that stands in somebody's place is copied out
 * of the way first; also in its own, where a move onto itself would leave it close-on-exec with some
 * libcs.
 */
struct sources {
    int fds[MP__PLAT_MOST_KEPT];
    int count, copied; /* of them, the latest */
};

static void
close_copies(const struct sources *s, const int *keep)
{
    for (int i = 0; i < s->copied; i++) {
        if (s->fds[i] != keep[i]) {
            close(s->fds[i]);
        }
    }
}

static int
find_sources(struct sources *s, const int *keep, int count)
{
    s->count = count;
    for (s->copied = 0; s->copied < count; s->copied++) {
        int fd = keep[s->copied];
        if (fd >= 3 && fd < 3 + count) {
            fd = fcntl(fd, F_DUPFD_CLOEXEC, 3 + count);
            if (fd < 0) {
                int status = errno;
                close_copies(s, keep);
                return status;
            }
        }
        s->fds[s->copied] = fd;
    }
    return 0;
}

/* The limit on descriptors, at which a copy out of the way is EINVAL and a move to its place EBADF. */
static int
explain(int status, int count)
{
    return (status == EINVAL || status == EBADF) && 3L + count > sysconf(_SC_OPEN_MAX) ? EMFILE
                                                                                       : status;
}

static int
describe_files(posix_spawn_file_actions_t *actions, const struct sources *s)
{
    int status = 0;
    for (int i = 0; i < s->count && status == 0; i++) {
        status = posix_spawn_file_actions_adddup2(actions, s->fds[i], 3 + i);
    }
    return status == 0 ? mp__plat_spawn_closes(actions, 3 + s->count) : status;
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
mp__plat_spawn(const char *path, char *const argv[], char *const envp[], const int *keep, int count,
               pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    struct sources sources;
    if (count < 0 || count > MP__PLAT_MOST_KEPT) {
        return -EINVAL;
    }
    int status = find_sources(&sources, keep, count);
    if (status != 0) {
        return -explain(status, count);
    }
    status = posix_spawn_file_actions_init(&actions);
    if (status != 0) {
        goto out_sources;
    }
    status = posix_spawnattr_init(&attributes);
    if (status != 0) {
        goto out_actions;
    }
    status = describe_files(&actions, &sources);
    if (status == 0) {
        status = describe_signals(&attributes);
    }
    if (status == 0) {
        status = posix_spawn(ret_pid, path, &actions, &attributes, argv, envp);
    }
    posix_spawnattr_destroy(&attributes);
out_actions:
    posix_spawn_file_actions_destroy(&actions);
out_sources:
    close_copies(&sources, keep);
    return -explain(status, count);
}
