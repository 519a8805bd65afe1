/* process/launch.c: describing a child to itself, and hearing whether it understood. */
#include "process/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/handle.h"
#include "connection/connection.h"
#include "heap/funcref.h"
#include "heap/heap.h"
#include "object/object.h"
#include "platform/platform.h"
#include "sync/handles.h"

#define BLOCK_MAGIC UINT32_C(0x6c6d7062)

/*
 * Layout    the struct, then name, identity, parent's name, directory, each with its NUL, then the
 *           pickle of the arguments
 * Writers   the parent, before the hello is sent; it frees the block when it has the answer
 * Death     of the parent: the block is leaked in a heap that goes with its last process
 */
struct block {
    uint32_t magic;
    uint32_t method; /* index in methods[] */
    int32_t parent_pid;
    uint8_t daemon, parent_main_thread;
    uint16_t reserved;
    uint32_t name_len, identity_len, parent_name_len; /* NULs included */
    uint32_t dir_len; /* 0: the child is in the right directory, or ours has no name any more */
    uint64_t args_len;
    mp__funcref target;
    char text[];
};

static const struct mp__popen *const methods[] = {&mp__popen_fork, &mp__popen_spawn,
                                                  &mp__popen_forkserver};

static uint32_t
method_index(const char *method)
{
    uint32_t i = 0;
    while (i < 2 && strcmp(methods[i]->method, method) != 0) {
        i++;
    }
    return i;
}

/* ---- the parent's side ----------------------------------------------------------------------- */

/* A connection among the arguments: its descriptor goes along, its number says which and how. */
static int
connection_out(void *ctx, mp_connection *c, int64_t *ret_index)
{
    struct mp__launch *l = ctx;
    bool readable, writable;
    int fd = mp__connection_fd(c, &readable, &writable);
    if (fd < 0) {
        return fd;
    }
    if (l->fd_count == MP__LAUNCH_FDS) {
        return mp__error(MP_EVALUE, "mp_process_start: more than %d connections as arguments",
                         MP__LAUNCH_FDS);
    }
    l->fds[l->fd_count] = fd;
    *ret_index = (int64_t)l->fd_count++ << 2 | readable << 1 | writable;
    return 0;
}

/* A forkserver is in the directory of its own start: its children are told ours.  The bytes of the
   name with its NUL, 0 for none. */
static size_t
directory(const char *method, char *buf, size_t size)
{
    if (strcmp(method, "forkserver") != 0 || !getcwd(buf, size)) {
        return 0;
    }
    return strlen(buf) + 1;
}

static char *
append(char *to, const void *from, size_t len)
{
    memcpy(to, from, len);
    return to + len;
}

int
mp__launch_make(mp_process *p, const char *method, struct mp__launch *ret)
{
    ret->block = NULL;
    ret->fd_count = 0;
    const mp__obj_handles handles = {.connection_out = connection_out, .ctx = ret};
    void *args = NULL;
    size_t args_len = 0; /* of no arguments: nothing is sent */
    int status = 0;
    if (mp_args_len(p->args) > 0) {
        status = mp__obj_dump(mp__args_tuple(p->args), &handles, &args, &args_len);
    }
    if (status < 0) {
        return status;
    }
    mp_process *self = mp_current_process();
    size_t name_len = strlen(p->name) + 1, identity_len = strlen(p->identity) + 1;
    size_t parent_len = strlen(self->name) + 1;
    char dir[4096];
    size_t dir_len = directory(method, dir, sizeof dir);
    struct block *b =
        mp_malloc(sizeof *b + name_len + identity_len + parent_len + dir_len + args_len);
    if (!b) {
        free(args);
        return MP_ENOMEM;
    }
    memset(b, 0, sizeof *b);
    b->magic = BLOCK_MAGIC;
    b->method = method_index(method);
    b->parent_pid = (int32_t)getpid();
    b->daemon = p->daemon;
    b->parent_main_thread = mp__plat_tid() == (uint32_t)getpid();
    b->name_len = (uint32_t)name_len;
    b->identity_len = (uint32_t)identity_len;
    b->parent_name_len = (uint32_t)parent_len;
    b->dir_len = (uint32_t)dir_len;
    b->args_len = args_len;
    char *to = append(b->text, p->name, name_len);
    to = append(to, p->identity, identity_len);
    to = append(to, self->name, parent_len);
    to = append(to, dir, dir_len);
    if (args_len > 0) {
        append(to, args, args_len);
    }
    free(args);
    ret->block = b;
    status = mp__funcref_make((mp__func)p->target, &b->target);
    if (status < 0) {
        mp__launch_done(ret);
    }
    return status;
}

void
mp__launch_done(struct mp__launch *l)
{
    mp_free(l->block);
    l->block = NULL;
}

int
mp__launch_await(int fd, mp__deadline until, struct mp__answer *ret)
{
    int ready = mp__plat_poll_in(fd, until);
    if (ready <= 0) {
        return ready < 0 ? mp__error_os(-ready, "waiting for a child's answer") : MP_ETIMEOUT;
    }
    ssize_t n = mp__plat_read_all(fd, ret, sizeof *ret);
    if (n != (ssize_t)sizeof *ret) {
        return -EPIPE;
    }
    ret->text[sizeof ret->text - 1] = '\0';
    return ret->status < 0 ? mp__error(ret->status, "in the child: %s", ret->text) : 0;
}

/* ---- the child's side ------------------------------------------------------------------------ */

int
mp__launch_receive(int sock, struct mp__hello *ret, int *fds, int *count)
{
    int status = mp__plat_recv_fds(sock, ret, sizeof *ret, fds, count);
    for (int i = 0; i < *count && status == 0; i++) {
        fds[i] = mp__plat_lift(fds[i]);
        if (fds[i] < 0) {
            status = fds[i];
        }
    }
    if (status == 0 && ret->magic != MP__HELLO_MAGIC) {
        status = -EPROTO;
    }
    for (int i = 0; i < *count && status < 0; i++) {
        close(fds[i]);
    }
    *count = status < 0 ? 0 : *count;
    return status;
}

int
mp__launch_answer(int fd, int status)
{
    struct mp__answer a = {.status = status, .pid = (int32_t)getpid()};
    if (status < 0) {
        snprintf(a.text, sizeof a.text, "%s", mp_last_error_text());
    }
    struct iovec iov = {&a, sizeof a};
    return mp__plat_write_all(fd, &iov, 1);
}

static bool
is_block(const struct block *b)
{
    return mp_heap_contains(b) && b->magic == BLOCK_MAGIC && b->method <= 2;
}

void
mp__launch_target(const void *block, mp__funcref *ret)
{
    const struct block *b = block;
    if (is_block(b)) { /* what is wrong mp__launch_run() tells */
        *ret = b->target;
    }
}

void
mp__launch_prepare(const mp__funcref *target)
{
    mp__func f;
    mp__funcref_find(target, &f); /* what is wrong the child tells */
}

struct arrivals {
    const int *fds;
    int count;
};

static int
connection_in(void *ctx, int64_t index, mp_connection **ret)
{
    const struct arrivals *a = ctx;
    int64_t i = index >> 2;
    if (i < 0 || i >= a->count) {
        return mp__error(MP_ERUNTIME, "the descriptor of a connection did not arrive");
    }
    *ret = mp__connection_adopt(a->fds[i], index & 2, index & 1);
    return *ret ? 0 : MP_ENOMEM;
}

static int
read_args(const char *data, size_t len, const int *fds, int fd_count, mp_args **ret)
{
    struct arrivals a = {fds, fd_count};
    const mp__obj_handles handles = {
        .connection_in = connection_in, .check = mp__family_check, .ctx = &a};
    mp_obj tuple;
    *ret = NULL;
    if (len == 0) {
        return 0;
    }
    int status = mp__obj_load(data, len, &handles, &tuple);
    if (status < 0) {
        return status;
    }
    *ret = mp__args_from_tuple(tuple);
    return *ret ? 0 : mp_last_error();
}

/* Build the process object that the block, which is one, describes.  0 or an error with text. */
static int
read_block(const struct block *b, const int *fds, int fd_count, mp_process *p,
           struct mp__birth *birth)
{
    const char *dir = b->text + b->name_len + b->identity_len + b->parent_name_len;
    const char *args = dir + b->dir_len;
    mp__func target;
    int status = mp__funcref_find(&b->target, &target);
    if (status < 0) {
        return status;
    }
    if (b->dir_len > 0 && chdir(dir) < 0) {
        return mp__error_os(errno, "going to the directory %s", dir);
    }
    status = read_args(args, b->args_len, fds, fd_count, &p->args);
    if (status < 0) {
        return status;
    }
    p->target = (mp_target)target;
    /* The three texts in one copy, which lives as long as the process. */
    static char usual[256];
    size_t texts = b->name_len + b->identity_len + b->parent_name_len;
    char *copy = texts <= sizeof usual ? usual : malloc(texts);
    if (!copy) {
        return mp__error(MP_ENOMEM, "no memory for the process object");
    }
    memcpy(copy, b->text, texts);
    p->name = copy;
    p->identity = copy + b->name_len;
    p->daemon = b->daemon;
    p->sentinel = p->start_pipe = -1;
    birth->method = methods[b->method];
    birth->parent_name = p->identity + b->identity_len;
    birth->parent_pid = b->parent_pid;
    birth->parent_main_thread = b->parent_main_thread;
    return 0;
}

static mp_process self; /* of this process, for as long as it runs */

void
mp__launch_warm(void)
{
    static const struct block nobody = {.method = 2, .target = {.null = 1}};
    struct mp__birth birth;
    read_block(&nobody, NULL, 0, &self, &birth);
    mp__child_warm();
}

void
mp__launch_run(const void *block, const int *fds, int fd_count, int answer_fd,
               bool parent_is_os_parent)
{
    struct mp__birth birth = {.parent_is_os_parent = parent_is_os_parent};
    int status = is_block(block) ? read_block(block, fds, fd_count, &self, &birth)
                                 : mp__error(MP_ERUNTIME, "the launch message is damaged");
    /* Nobody listens: the parent died, or gave the start up and told its caller that there is no
       child.  So there is none. */
    if (mp__launch_answer(answer_fd, status) < 0 || status < 0) {
        _exit(1);
    }
    if (parent_is_os_parent && mp__children_have_pidfds()) {
        close(answer_fd);
    } else {
        self.start_pipe = answer_fd; /* its end is what tells the parent of ours */
    }
    mp__child_main(&self, &birth);
}
