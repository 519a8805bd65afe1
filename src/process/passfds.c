/*
 * process/passfds.c: closing what a program must not have, and running one with a choice of
 * descriptors.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mp/util.h>

#include "base/error.h"
#include "platform/platform.h"
#include "process/tracker.h"

/* Above it descriptors are not looked for where the system does not list them. */
#define MOST_DESCRIPTORS 65536

static int
by_number(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* A sorted copy of them, with `more` places at its end.  NULL with an error. */
static int *
sorted(const int *fds, size_t count, size_t more, const char *call)
{
    for (size_t i = 0; i < count; i++) {
        if (fds[i] < 0) {
            mp__error(MP_EVALUE, "%s: %d is no descriptor", call, fds[i]);
            return NULL;
        }
    }
    int *copy = malloc((count + more + 1) * sizeof *copy);
    if (!copy) {
        mp__error(MP_ENOMEM, "%s: no memory for %zu descriptors", call, count);
        return NULL;
    }
    if (count > 0) {
        memcpy(copy, fds, count * sizeof *copy);
    }
    qsort(copy, count, sizeof *copy, by_number);
    return copy;
}

/* The highest descriptor there may be; from a list of the system's, which a limit that was lowered
   since does not cut off. */
int
mp__fds_highest(void)
{
    int found = -1;
    DIR *d = opendir("/dev/fd");
    struct dirent *e;
    while (d && (e = readdir(d)) != NULL) {
        int fd = atoi(e->d_name);
        found = fd > found ? fd : found;
    }
    if (d) {
        closedir(d);
    }
    if (found < 0) {
        long bound = sysconf(_SC_OPEN_MAX);
        found = bound < 0 || bound > MOST_DESCRIPTORS ? MOST_DESCRIPTORS : (int)bound;
    }
    return found;
}

/* Safe in a child of fork: calls nothing that takes a lock. */
void
mp__fds_close_others(const int *keep, size_t count, int last)
{
    size_t k = 0;
    for (int fd = 0; fd <= last; fd++) {
        while (k < count && keep[k] < fd) {
            k++;
        }
        if (k == count || keep[k] != fd) {
            close(fd);
        }
    }
}

int
mp_close_all_fds_except(const int *fds, size_t count)
{
    int *keep = sorted(fds, count, 0, "mp_close_all_fds_except");
    if (!keep) {
        return mp_last_error();
    }
    mp__fds_close_others(keep, count, mp__fds_highest());
    free(keep);
    return 0;
}

/* In the child: fds are sorted and kept, `report` is one of them. */
static MP_NORETURN_ATTR void
become(const char *path, char *const argv[], const int *fds, size_t count, int last, int report)
{
    mp__fds_close_others(fds, count, last);
    for (size_t i = 0; i < count; i++) {
        int flags = fds[i] == report ? -1 : fcntl(fds[i], F_GETFD);
        if (flags >= 0) {
            fcntl(fds[i], F_SETFD, flags & ~FD_CLOEXEC);
        }
    }
    execv(path, argv);
    int err = errno;
    while (write(report, &err, sizeof err) < 0 && errno == EINTR) {
    }
    _exit(255);
}

/* The pid, or -errno: of the fork, or of the exec that the child reports. */
static pid_t
fork_and_exec(const char *path, char *const argv[], int *fds, size_t count)
{
    int report[2], err = 0;
    int status = mp__plat_pipe(report);
    if (status == 0) {
        status = mp__plat_lift_pair(report);
    }
    if (status < 0) {
        return status;
    }
    fds[count++] = report[1];
    qsort(fds, count, sizeof *fds, by_number);
    int last = mp__fds_highest();
    mp__tracker_keep = true; /* its descriptor may be one of them; the others go anyway */
    pid_t pid = fork();
    mp__tracker_keep = false;
    if (pid == 0) {
        become(path, argv, fds, count, last, report[1]);
    }
    status = pid < 0 ? -errno : 0;
    close(report[1]);
    if (pid > 0 && mp__plat_read_all(report[0], &err, sizeof err) == (ssize_t)sizeof err) {
        status = -err;
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    close(report[0]);
    return status < 0 ? status : pid;
}

pid_t
mp_spawnv_passfds(const char *path, char *const argv[], const int *fds, size_t count)
{
    if (!path || !argv) {
        return mp__error(MP_EVALUE, "mp_spawnv_passfds: no program or no arguments");
    }
    int *keep = sorted(fds, count, 4, "mp_spawnv_passfds");
    if (!keep) {
        return mp_last_error();
    }
    for (int fd = 0; fd < 3; fd++) {
        keep[count++] = fd; /* twice does no harm */
    }
    pid_t pid = fork_and_exec(path, argv, keep, count);
    free(keep);
    return pid < 0 ? mp__error_os((int)-pid, "mp_spawnv_passfds: running %s", path) : pid;
}

bool
mp_address_is_abstract(const void *address, size_t len)
{
    return address && len > 0 && *(const char *)address == '\0';
}
