/*
 * process/popen_spawn.c: the child is the program run anew, with one socket for its launch message
 * and nothing else of its parent's.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork.h"
#include "heap/family.h"
#include "platform/platform.h"
#include "process/launch.h"

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

/* The environment with the mark of a child: the parent's pid, and the number of the socket's inode,
   by which the child knows its descriptor.  mark holds the text.  NULL: no memory. */
static char **
child_environment(int keep, char *mark, size_t size)
{
    struct stat st = {.st_ino = 0};
    fstat(keep, &st);
    size_t n = 0;
    while (environ && environ[n]) {
        n++;
    }
    char **envp = malloc((n + 2) * sizeof *envp);
    if (envp) {
        snprintf(mark, size, MP__CHILD_ENV "=%ld:%llu", (long)getpid(),
                 (unsigned long long)st.st_ino);
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

/* Run the image with `keep` as its descriptor 3.  0 or an error with text. */
static int
run_image(int keep, pid_t *ret_pid)
{
    char path[4096], mark[96];
    int status = program(path, sizeof path);
    if (status < 0) {
        return status;
    }
    char **envp = child_environment(keep, mark, sizeof mark);
    if (!envp) {
        return mp__error(MP_ENOMEM, "mp_process_start: no memory for the environment");
    }
    char *const only_name[] = {path, NULL};
    status = mp__plat_spawn(path, arguments(only_name), envp, keep, ret_pid);
    free(envp);
    return status < 0 ? mp__error_os(-status, "mp_process_start: running %s", path) : 0;
}

static int
send_hello(int sock, enum mp__hello_kind kind, const struct mp__launch *l)
{
    struct mp__hello hello;
    int fds[MP__HELLO_FDS], n = 0;
    memset(&hello, 0, sizeof hello);
    hello.magic = MP__HELLO_MAGIC;
    hello.kind = (uint16_t)kind;
    hello.heap_base = mp__family->base;
    hello.heap_size = mp__family->size;
    hello.block = l ? (uint64_t)(uintptr_t)l->block : 0;
    fds[n++] = mp__family_fd;
    for (int i = 0; l && i < l->fd_count; i++) {
        fds[n++] = l->fds[i];
    }
    int status = mp__plat_send_fds(sock, &hello, sizeof hello, fds, n);
    /* A child that ended already says why by its answer, or by none. */
    return status == -EPIPE || status == -ECONNRESET ? 0 : status;
}

/* What it means that the image gave no answer; end is its wait status. */
static int
no_answer(int status, int end)
{
    if (status == MP_ETIMEOUT) {
        return mp__error(MP_ERUNTIME,
                         "mp_process_start: the child did not come to mp_freeze_support() within "
                         "%d s; it must be the first statement of main()",
                         (int)(MP__LAUNCH_PATIENCE / MP__S));
    }
    if (WIFSIGNALED(end)) {
        return mp__error(MP_ERUNTIME, "mp_process_start: signal %d killed the child as it started",
                         WTERMSIG(end));
    }
    return mp__error(MP_ERUNTIME,
                     "mp_process_start: the child ended with exit code %d before it joined. Is "
                     "mp_freeze_support(argc, argv) the first statement of main(), and is the "
                     "program that runs there this one (mp_set_executable)?",
                     WEXITSTATUS(end));
}

/* End a child that is not ours to use; its wait status.  One that has ended keeps its own. */
static int
put_down(pid_t pid)
{
    int end = 0, code;
    if (mp__plat_child_ended(pid, -1, &code) == 0) {
        kill(pid, SIGKILL);
    }
    while (waitpid(pid, &end, 0) < 0 && errno == EINTR) {
    }
    return end;
}

/* One try.  -EEXIST: the heap's place was taken in that image. */
static int
try_image(enum mp__hello_kind kind, const struct mp__launch *l, pid_t *ret_pid, int *ret_socket)
{
    int pair[2];
    int status = mp__plat_socketpair(pair);
    if (status < 0) {
        return mp__error_os(-status, "mp_process_start: no socket to talk to the child");
    }
    pid_t pid = -1;
    pair[0] = mp__plat_lift(pair[0]);
    if (pair[0] < 0) {
        close(pair[1]);
        return mp__error_os(-pair[0], "mp_process_start: no descriptor to talk to the child");
    }
    status = run_image(pair[1], &pid);
    close(pair[1]);
    if (status < 0) {
        close(pair[0]);
        return status;
    }
    struct mp__answer answer;
    status = send_hello(pair[0], kind, l);
    if (status < 0) {
        mp__error_os(-status, "mp_process_start: sending %d descriptors", l ? l->fd_count + 1 : 1);
    } else {
        status = mp__launch_await(pair[0], mp__plat_now() + MP__LAUNCH_PATIENCE, &answer);
    }
    if (status < 0) {
        close(pair[0]);
        int end = put_down(pid);
        return status == -EPIPE || status == MP_ETIMEOUT ? no_answer(status, end) : status;
    }
    *ret_pid = pid;
    *ret_socket = pair[0];
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
                int *ret_socket)
{
    int status = -EEXIST;
    for (int i = 0; i < TRIES && status == -EEXIST; i++) {
        status = try_image(kind, l, ret_pid, ret_socket);
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
    int sock = -1;
    status = mp__spawn_image(MP__HELLO_CHILD, &l, &p->pid, &sock);
    mp__launch_done(&l);
    if (status < 0) {
        return status;
    }
    p->sentinel = mp__plat_pidfd(p->pid);
    p->sentinel_is_pidfd = p->sentinel >= 0;
    if (mp__children_have_pidfds()) {
        /* Without a free descriptor it runs all the same: waiting then looks now and again. */
        close(sock);
    } else {
        p->sentinel = sock; /* the child keeps its end open until it ends */
    }
    return 0;
}

const struct mp__popen mp__popen_spawn = {
    .method = "spawn",
    .launch = launch,
    .poll = mp__children_poll_pid,
    .signal = mp__children_signal_pid,
};
