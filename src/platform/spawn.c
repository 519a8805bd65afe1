/*
 * platform/spawn.c: starting a program with a few descriptors and nothing else of ours.
 *
 * posix_spawn on both sides; only how the other descriptors are closed differs.
 */
#include "platform/common.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
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
 * What is kept comes to its place in the child alone: to copy it here and close the copy would drop the
 * record locks that this process has on the file, by which posix/ tells that it lives; and a child that
 * another thread forks meanwhile would have the copy, too.
 */
struct moves {
    int count;
    struct {
        int from, to; /* to < 0: done */
    } of[MP__PLAT_MOST_KEPT];
    int wanted[MP__PLAT_MOST_KEPT]; /* how many are still to be moved from place 3 + i */
    int aside;                      /* a number that none of them has, and that is no place */
    bool used;                      /* that */
    int highest;                    /* number of all these */
};

static void
want(struct moves *m, int fd, int more)
{
    if (fd >= 3 && fd < 3 + m->count) {
        m->wanted[fd - 3] += more;
    }
}

static bool
is_kept(const int *keep, int count, int fd)
{
    int i = 0;
    while (i < count && keep[i] != fd) {
        i++;
    }
    return i < count;
}

static void
plan(struct moves *m, const int *keep, int count)
{
    memset(m, 0, sizeof *m);
    m->count = count;
    for (int i = 0; i < count; i++) {
        m->of[i].from = keep[i];
        m->of[i].to = 3 + i;
        want(m, keep[i], 1);
        m->highest = keep[i] > m->highest ? keep[i] : m->highest;
    }
    for (m->aside = 3 + count; is_kept(keep, count, m->aside);) {
        m->aside++;
    }
    m->highest = m->aside > m->highest ? m->aside : m->highest;
}

/* All moves by which nothing is lost that is still wanted.  How many were left out, or -1 with a
   status. */
static int
move_all(struct moves *m, posix_spawn_file_actions_t *actions, int *ret_status)
{
    int left;
    for (bool moved = true; moved;) {
        moved = false;
        left = 0;
        for (int i = 0; i < m->count; i++) {
            int from = m->of[i].from, to = m->of[i].to;
            if (to >= 0 && m->wanted[to - 3] > 0) {
                left++;
            } else if (to >= 0) {
                *ret_status = posix_spawn_file_actions_adddup2(actions, from, to);
                if (*ret_status != 0) {
                    return -1;
                }
                want(m, from, -1);
                m->of[i].to = -1;
                moved = true;
            }
        }
    }
    return left;
}

/* The first that is left, and all that are the same descriptor, from where it stands to `aside`. */
static int
step_aside(struct moves *m, posix_spawn_file_actions_t *actions)
{
    int i = 0;
    while (m->of[i].to < 0) {
        i++;
    }
    int from = m->of[i].from;
    for (; i < m->count; i++) {
        if (m->of[i].to >= 0 && m->of[i].from == from) {
            want(m, from, -1);
            m->of[i].from = m->aside;
        }
    }
    m->used = true;
    return posix_spawn_file_actions_adddup2(actions, from, m->aside);
}

/*
 * Those that are left stand in each other's places in a ring, or in their own: moved onto itself it would
 * stay close-on-exec with some libcs.  Once one has stepped aside the rest of its ring can move, and it
 * too, before the next needs that number.
 */
static int
describe_files(posix_spawn_file_actions_t *actions, struct moves *m)
{
    int status = 0, left;
    while (status == 0 && (left = move_all(m, actions, &status)) > 0) {
        status = step_aside(m, actions);
    }
    if (status == 0 && m->used) {
        status = posix_spawn_file_actions_addclose(actions, m->aside);
    }
    return status == 0 ? mp__plat_spawn_closes(actions, 3 + m->count) : status;
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
    struct moves moves;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    if (count < 0 || count > MP__PLAT_MOST_KEPT) {
        return -EINVAL;
    }
    plan(&moves, keep, count);
    int status = posix_spawn_file_actions_init(&actions);
    if (status != 0) {
        return -status;
    }
    status = posix_spawnattr_init(&attributes);
    if (status != 0) {
        goto out;
    }
    status = describe_files(&actions, &moves);
    if (status == 0) {
        status = describe_signals(&attributes);
    }
    if (status == 0) {
        status = posix_spawn(ret_pid, path, &actions, &attributes, argv, envp);
    }
    posix_spawnattr_destroy(&attributes);
out:
    posix_spawn_file_actions_destroy(&actions);
    /* A number that the limit forbids, or a place for it. */
    return status == EBADF && moves.highest >= sysconf(_SC_OPEN_MAX) ? -EMFILE : -status;
}
