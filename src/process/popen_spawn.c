/*
 * process/popen_spawn.c: the child is the program run anew, with the heap, a pipe for its answer, and
 * nothing else of its parent's but what it is given.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork.h"
#include "heap/family.h"
#include "platform/platform.h"
#include "process/launch.h"
#include "process/tracker.h"

/* An image may find the heap's address taken by its own mappings; the next one has others. */
#define TRIES 16

extern char **environ;

static MP__FORK_DATA pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char *executable; /* what mp_set_executable() said, or NULL; under mutex */
static char
    own_path[4096]; /* this program's image, once it was looked for; "" before; under mutex */

void
mp__spawn_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void
mp__spawn_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

int
mp_set_executable(const char *path)
{
    char *copy = path ? strdup(path) : NULL;
    if (path && !copy) {
        return mp__error(MP_ENOMEM, "mp_set_executable: no memory");
    }
    pthread_mutex_lock(&mutex);
    free(executable);
    executable = copy;
    pthread_mutex_unlock(&mutex);
    return 0;
}

/* The program to run, into buf.  0 or an error with text. */
static int
program(char *buf, size_t size)
{
    char **argv = mp__program_argv();
    pthread_mutex_lock(&mutex);
    int status = 0;
    if (!executable && !*own_path) {
        status = mp__plat_executable(argv ? argv[0] : NULL, own_path, sizeof own_path);
        if (status < 0) {
            *own_path = '\0';
        }
    }
    if (status == 0) {
        const char *path = executable ? executable : own_path;
        status = snprintf(buf, size, "%s", path) >= (int)size ? -ENAMETOOLONG : 0;
    }
    pthread_mutex_unlock(&mutex);
    return status < 0 ? mp__error_os(-status, "mp_process_start: where the program's file is") : 0;
}

char *
mp_get_executable(void)
{
    char path[4096];
    if (program(path, sizeof path) < 0) {
        return NULL;
    }
    char *copy = strdup(path);
    if (!copy) {
        mp__error(MP_ENOMEM, "mp_get_executable: no memory");
    }
    return copy;
}

/* The arguments of a child; with no main() that told us ours, its path alone. */
static char *const *
arguments(char *const only_name[])
{
    char **argv = mp__program_argv();
    return argv ? argv : only_name;
}

char **
mp_spawn_command_line(void)
{
    char path[4096];
    if (program(path, sizeof path) < 0) {
        return NULL;
    }
    char *const only_name[] = {path, NULL};
    char *const *argv = arguments(only_name);
    size_t n = 0, bytes = 0;
    for (; argv[n]; n++) {
        bytes += strlen(argv[n]) + 1;
    }
    char **list = malloc((n + 1) * sizeof *list + bytes);
    if (!list) {
        mp__error(MP_ENOMEM, "mp_spawn_command_line: no memory");
        return NULL;
    }
    char *to = (char *)(list + n + 1);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(argv[i]) + 1;
        list[i] = memcpy(to, argv[i], len);
        to += len;
    }
    list[n] = NULL;
    return list;
}

/* ---- the image's mark and its descriptors ---------------------------------------------------- */

/* What a new image is to be. */
struct image {
    enum mp__hello_kind kind;
    const struct mp__launch *launch;
    int channel; /* on which it answers */
    int fds[MP__CHILD_FDS], count;
};
_Static_assert(MP__CHILD_FDS <= MP__PLAT_MOST_KEPT, "all descriptors of a child can be kept");

static void
gather(struct image *im)
{
    im->fds[im->count++] = im->channel;
    if (im->kind != MP__HELLO_TRACKER) { /* which is not of the family */
        im->fds[im->count++] = mp__family_fd;
    }
    for (int i = 0; i < im->launch->fd_count; i++) {
        im->fds[im->count++] = im->launch->fds[i];
    }
}

static void
write_mark(const struct image *im, char *mark, size_t size)
{
    struct stat st = {.st_ino = 0};
    fstat(im->channel, &st);
    bool member = im->kind != MP__HELLO_TRACKER;
    snprintf(mark, size, MP__CHILD_ENV "=%ld:%llu:%d:%d:%llu:%llu:%llu", (long)getpid(),
             (unsigned long long)st.st_ino, (int)im->kind, im->count,
             member ? (unsigned long long)mp__family->base : 0,
             member ? (unsigned long long)mp__family->size : 0,
             (unsigned long long)(uintptr_t)im->launch->block);
}

/* The environment with the mark.  NULL: no memory. */
static char **
child_environment(char *mark)
{
    size_t n = 0;
    while (environ && environ[n]) {
        n++;
    }
    char **envp = malloc((n + 2) * sizeof *envp);
    if (envp) {
        size_t kept = 0;
        for (size_t i = 0; i < n; i++) {
            if (strncmp(environ[i], MP__CHILD_ENV "=", sizeof MP__CHILD_ENV) != 0) {
                envp[kept++] = environ[i]; /* a mark that is there already is somebody else's */
            }
        }
        envp[kept] = mark;
        envp[kept + 1] = NULL;
    }
    return envp;
}

/* Run the image.  0 or an error with text. */
static int
run_image(struct image *im, pid_t *ret_pid)
{
    char path[4096], mark[192];
    int status = program(path, sizeof path);
    if (status < 0) {
        return status;
    }
    gather(im);
    write_mark(im, mark, sizeof mark);
    char **envp = child_environment(mark);
    if (!envp) {
        return mp__error(MP_ENOMEM, "mp_process_start: no memory for the environment");
    }
    char *const only_name[] = {path, NULL};
    status = mp__plat_spawn(path, arguments(only_name), envp, im->fds, im->count, ret_pid);
    free(envp);
    if (status == -EMFILE || status == -EBADF) {
        return mp__error_os(-status, "mp_process_start: running %s with %d descriptors", path,
                            im->count);
    }
    return status < 0 ? mp__error_os(-status, "mp_process_start: running %s", path) : 0;
}

/* ---- waiting for a process that we made ------------------------------------------------------ */

/* So often one that we wait for is told to go on, if it was stopped. */
#define NUDGE_NS (200 * MP__MS)

static mp__deadline
sooner(mp__deadline until)
{
    mp__deadline nudge = mp__plat_now() + NUDGE_NS;
    return nudge < until ? nudge : until;
}

#if defined MP_TESTING
int64_t mp__launch_patience = 60 * MP__S;
#endif

int
mp__spawn_await_word(int fd, pid_t pid, int pidfd)
{
    mp__deadline until = mp__plat_now() + MP__LAUNCH_PATIENCE;
    int status = 0;
    /* The last look comes after that time: we may have been stopped since the one before. */
    for (bool last = false; status == 0 && !last;) {
        last = mp__deadline_passed(until);
        status = mp__plat_poll_in(fd, sooner(until));
        if (status == 0 && !last) {
            mp__plat_signal(pid, pidfd, SIGCONT);
        }
    }
    if (status < 0) {
        return mp__error_os(-status, "mp_process_start: waiting for an answer");
    }
    return status == 0 ? MP_ETIMEOUT : 0;
}

int
mp__spawn_await_end(pid_t pid, int pidfd, mp__deadline until, int *ret_code)
{
    const struct timespec nap = {.tv_nsec = MP__MS};
    mp__deadline nudge = sooner(until);
    int status;
    while ((status = mp__plat_child_ended(pid, pidfd, ret_code)) == 0) {
        if (mp__deadline_passed(nudge)) {
            if (mp__deadline_passed(until)) {
                return MP_ETIMEOUT;
            }
            mp__plat_signal(pid, pidfd, SIGCONT);
            nudge = sooner(until);
        }
        if (pidfd < 0 || mp__plat_poll_in(pidfd, nudge) < 0) {
            nanosleep(&nap, NULL);
        }
    }
    if (status < 0) {
        return status;
    }
    mp__plat_reap(pid, pidfd);
    return 0;
}

/* End a child that is not ours to use; its exit code, LOST if somebody else took it.  One that has
   ended keeps its own. */
#define LOST INT_MIN

static int
put_down(pid_t pid, int pidfd)
{
    int code;
    if (mp__plat_child_ended(pid, pidfd, &code) == 0) {
        mp__plat_signal(pid, pidfd, SIGKILL);
    }
    int status = mp__spawn_await_end(pid, pidfd, MP__NEVER, &code);
    if (pidfd >= 0) {
        close(pidfd);
    }
    return status < 0 ? LOST : code;
}

/* What it means that the image gave no answer; end is its exit code. */
static int
no_answer(int status, int end)
{
    if (status == MP_ETIMEOUT) {
        return mp__error(MP_ERUNTIME,
                         "mp_process_start: the child did not come to mp_freeze_support() and its "
                         "options within %d s; is that the first statement of main(), and is no "
                         "file among the options a pipe that nobody opens?",
                         (int)(MP__LAUNCH_PATIENCE / MP__S));
    }
    if (end == LOST) {
        return mp__error(MP_ERUNTIME, "mp_process_start: the child ended before it joined; how, "
                                      "another waitpid() of this program knows, or nobody, for "
                                      "SIGCHLD is ignored");
    }
    if (end < 0) {
        return mp__error(MP_ERUNTIME, "mp_process_start: signal %d killed the child as it started",
                         -end);
    }
    return mp__error(MP_ERUNTIME,
                     "mp_process_start: the child ended with exit code %d before it joined. Is "
                     "mp_freeze_support(argc, argv) the first statement of main(), and is the "
                     "program that runs there this one (mp_set_executable)?",
                     end);
}

/* ---- running the image ----------------------------------------------------------------------- */

/*
 * The pipes of starts that are under way, from their making until the child has the one end and its
 * answer has come on the other: a child that another thread forks meanwhile closes its copies.  It
 * would keep us from seeing that ours ended without an answer, and a forkserver from seeing our end.
 */
struct talk {
    struct talk *next, **back; /* under the mutex */
    int fds[2];                /* ours, the child's; -1: closed */
};
static MP__FORK_DATA struct talk *talks;

void
mp__spawn_forked(void)
{
    for (struct talk *t = talks; t; t = t->next) {
        for (int i = 0; i < 2; i++) {
            if (t->fds[i] >= 0) {
                close(t->fds[i]);
            }
        }
    }
    talks = NULL;
}

/* A server listens, too.  0 or an error with text. */
static int
begin_talk(struct talk *t, enum mp__hello_kind kind)
{
    mp__spawn_lock();
    int status = kind == MP__HELLO_SERVER ? mp__plat_socketpair(t->fds) : mp__plat_pipe(t->fds);
    if (status == 0) {
        status = mp__plat_lift_pair(t->fds);
    }
    if (status == 0) {
        t->back = &talks;
        t->next = talks;
        if (t->next) {
            t->next->back = &t->next;
        }
        talks = t;
    }
    mp__spawn_unlock();
    return status < 0 ? mp__error_os(-status, "mp_process_start: no pipe to hear from the child")
                      : 0;
}

static void
close_end(struct talk *t, int i)
{
    mp__spawn_lock();
    close(t->fds[i]);
    t->fds[i] = -1;
    mp__spawn_unlock();
}

/* The child's end is closed; ours, or -1 if it is to be closed. */
static int
end_talk(struct talk *t, bool keep)
{
    mp__spawn_lock();
    *t->back = t->next;
    if (t->next) {
        t->next->back = t->back;
    }
    if (!keep) {
        close(t->fds[0]);
    }
    mp__spawn_unlock();
    return keep ? t->fds[0] : -1;
}

/* One try.  -EEXIST: the heap's place was taken in that image. */
static int
try_image(enum mp__hello_kind kind, const struct mp__launch *l, pid_t *ret_pid, int *ret_pidfd,
          int *ret_end)
{
    struct talk t;
    pid_t pid = -1;
    int status = begin_talk(&t, kind);
    if (status < 0) {
        return status;
    }
    status = run_image(&(struct image){.kind = kind, .launch = l, .channel = t.fds[1]}, &pid);
    close_end(&t, 1);
    if (status < 0) {
        end_talk(&t, false);
        return status;
    }
    /* Without a free descriptor it runs all the same: waiting then looks now and again. */
    int pidfd = mp__plat_pidfd(pid);
    struct mp__answer answer;
    status = mp__spawn_await_word(t.fds[0], pid, pidfd);
    if (status == 0) {
        status = mp__launch_read(t.fds[0], &answer);
    }
    *ret_end = end_talk(&t, status == 0);
    if (status < 0) {
        int end = put_down(pid, pidfd);
        return status == -EPIPE || status == MP_ETIMEOUT ? no_answer(status, end) : status;
    }
    *ret_pid = pid;
    *ret_pidfd = pidfd;
    return 0;
}

int
mp__spawn_possible(void)
{
    if (mp__family_fd < 0) {
        return mp__error(MP_ENOTSUP, "mp_process_start: limits of this process allow no shared "
                                     "file for the heap, so only the start method fork works");
    }
    if (!mp__program_argv()) {
        return mp__error(MP_ERUNTIME,
                         "mp_process_start: the start methods spawn and forkserver need "
                         "mp_freeze_support(argc, argv) as the first statement of main()");
    }
    return 0;
}

int
mp__spawn_image(enum mp__hello_kind kind, const struct mp__launch *l, pid_t *ret_pid,
                int *ret_pidfd, int *ret_end)
{
    int status = -EEXIST;
    for (int i = 0; i < TRIES && status == -EEXIST; i++) {
        status = try_image(kind, l, ret_pid, ret_pidfd, ret_end);
    }
    return status;
}

int
mp__spawn_tracker(int fd, pid_t *ret_pid)
{
    struct mp__launch l = {.fds = {fd}, .fd_count = 1, .lifeline = -1, .tracker = -1};
    int end, pidfd = -1;
    int status = try_image(MP__HELLO_TRACKER, &l, ret_pid, &pidfd, &end);
    if (status == 0) {
        close(end);
        if (pidfd >= 0) {
            close(pidfd);
        }
    }
    return status;
}

static int
launch(mp_process *p)
{
    struct mp__launch l;
    int status = mp__spawn_possible();
    if (status == 0) {
        status = mp__launch_make(p, "spawn", &l);
    }
    if (status < 0) {
        return status;
    }
    int end = -1, pidfd = -1;
    status = mp__spawn_image(MP__HELLO_CHILD, &l, &p->pid, &pidfd, &end);
    mp__launch_done(&l);
    if (status < 0) {
        return status;
    }
    p->sentinel = pidfd;
    p->sentinel_is_pidfd = pidfd >= 0;
    p->started = pidfd >= 0 ? 0 : mp__plat_start_time(p->pid);
    if (mp__children_have_pidfds()) {
        close(end);
    } else {
        p->sentinel = end; /* the child keeps its end open until it ends */
    }
    return 0;
}

const struct mp__popen mp__popen_spawn = {
    .method = "spawn",
    .launch = launch,
    .poll = mp__children_poll_pid,
    .signal = mp__children_signal_pid,
};
