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
#include "base/fork.h"
#include "base/handle.h"
#include "connection/connection.h"
#include "heap/funcref.h"
#include "heap/heap.h"
#include "object/object.h"
#include "platform/platform.h"
#include "process/attributes.h"
#include "process/finalize.h"
#include "process/tracker.h"
#include "sync/handles.h"

#define BLOCK_MAGIC UINT32_C(0x6c6d7062)

/*
 * Layout    the struct, then the attributes (attributes.h), what it runs in place of its target and
 *           what reads its arguments (an mp__funcref each), if there are any, then name,
 *           identity, parent's name, directory, temporary directory, each with its NUL, then the
 *           authkey and the pickle of the arguments, in a pair with the user's data if there are any
 * Writers   the parent, before the hello is sent; it frees the block when it has the answer
 * Death     of the parent: the block is leaked in a heap that goes with its last process
 */
struct block {
    uint32_t magic;
    uint32_t method; /* index in methods[] */
    int32_t parent_pid;
    uint8_t daemon, has_context, has_run, has_userdata;
    uint32_t name_len, identity_len, parent_name_len; /* NULs included */
    uint32_t dir_len; /* 0: the child is in the right directory, or ours has no name any more */
    uint64_t args_len;
    uint64_t ticket;         /* crash.h */
    uint32_t attributes_len; /* a multiple of 8; 0: none */
    uint32_t temp_dir_len;   /* its NUL included */
    uint32_t authkey_len;
    uint32_t parent_start; /* as of mp__plat_start_time(): the pid may be another's some day */
    uint8_t has_tracker, has_reducer, has_args;
    uint8_t by_pidfd;   /* its end is seen by that, not by the socket */
    uint8_t null_stdin; /* under spawn: descriptor 0 is /dev/null as it is */
    uint8_t reserved[3];
    struct mp__logger_birth log;
    int32_t fork_strict;
    mp__funcref target;
    _Alignas(8) char text[];
};

static const struct mp__popen *const methods[] = {&mp__popen_fork, &mp__popen_spawn,
                                                  &mp__popen_forkserver};

/* What it runs in place of its target, if it has that. */
static mp__funcref *
run_of(struct block *b)
{
    return (mp__funcref *)(void *)(b->text + b->attributes_len);
}

/* What reads its arguments, if it is not the library. */
static mp__funcref *
loader_of(struct block *b)
{
    return run_of(b) + b->has_run;
}

static size_t
refs_size(const struct block *b)
{
    return (size_t)(b->has_run + b->has_reducer) * sizeof(mp__funcref);
}

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

/* A descriptor likewise. */
static int
fd_out(void *ctx, int fd, int64_t *ret_index)
{
    struct mp__launch *l = ctx;
    if (fcntl(fd, F_GETFD) < 0) {
        return mp__error_os(errno, "mp_process_start: passing descriptor %d", fd);
    }
    if (l->fd_count == MP__LAUNCH_FDS) {
        return mp__error(MP_EVALUE, "mp_process_start: more than %d descriptors as arguments",
                         MP__LAUNCH_FDS);
    }
    l->fds[l->fd_count] = fd;
    *ret_index = l->fd_count++;
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

/* The same for a text that may be another by now: cut, or with a rest behind its NUL. */
static char *
append_text(char *to, const char *text, size_t size)
{
    snprintf(to, size, "%s", text);
    return to + size;
}

/* The code of a reducer's function, with a text if it left none. */
static int
reduced(int status, const char *function)
{
    return status >= 0 || mp_last_error() == status
               ? status
               : mp__error(status, "mp_process_start: %s of the reducer failed: %s", function,
                           mp_strerror(status));
}

/* The bytes of what p is given, by the context's reducer, if it has one. */
static int
dump_args(const mp_process *p, const mp_reducer *reducer, const mp__obj_handles *handles,
          void **ret, size_t *ret_len)
{
    mp_obj given = mp_obj_ref(mp__args_tuple(p->args));
    if (p->userdata) {
        const mp_obj both[] = {given, mp_obj_ref(mp_args_item(p->userdata, 0))};
        given = mp_tuple_of(2, both);
    }
    const mp__obj_handles *outer = mp__obj_spawning;
    mp__obj_spawning = handles;
    int status = reducer->dump ? reduced(reducer->dump(given, ret, ret_len), "dump")
                               : mp__obj_dump(given, handles, ret, ret_len);
    mp__obj_spawning = outer;
    mp_obj_free(given);
    return status;
}

/* The child has our resource tracker, if we have one. */
static int
share_tracker(struct mp__launch *l)
{
    l->tracker = mp__tracker_share();
    if (l->tracker < -1) {
        return mp__error_os(-l->tracker, "mp_process_start: passing on the resource tracker");
    }
    if (l->tracker >= 0) {
        l->fds[l->fd_count++] = l->tracker;
    }
    return 0;
}

/* When this process started; asked for once. */
static uint32_t
own_start(void)
{
    static _Atomic uint64_t known; /* {pid:32 | start:32}: a child finds another's pid in it */
    uint64_t pid = (uint64_t)getpid() << 32, word = atomic_load(&known);
    if (word >> 32 << 32 != pid) {
        word = pid | mp__plat_start_time(getpid());
        atomic_store(&known, word);
    }
    return (uint32_t)word;
}

/* What a block is filled from; sizes with the NUL. */
struct content {
    mp_reducer reducer;
    void *args; /* their bytes; NULL: none */
    struct mp__authkey *authkey;
    const void *key;
    char dir[4096], temp_dir[MP__TEMP_DIR_BYTES];
    size_t args_len, key_len, name_len, identity_len, parent_len, dir_len, temp_dir_len;
};

/* 0 or an error with text. */
static int
gather(mp_process *p, const char *method, struct mp__launch *l, struct content *c)
{
    const mp__obj_handles handles = {.connection_out = connection_out, .fd_out = fd_out, .ctx = l};
    c->args = NULL;
    c->args_len = 0; /* of no arguments: nothing is sent */
    mp__context_reducer(methods[method_index(method)], &c->reducer);
    if (mp_args_len(p->args) > 0 || p->userdata) {
        int status = dump_args(p, &c->reducer, &handles, &c->args, &c->args_len);
        if (status < 0) {
            return status;
        }
    }
    const mp_process *self = mp_current_process();
    c->authkey = mp__authkey_hold(p, &c->key, &c->key_len);
    c->identity_len = strlen(p->identity) + 1;
    mp__children_lock(); /* another thread may name us, or it, anew */
    c->name_len = strlen(p->name) + 1;
    c->parent_len = strlen(self->name) + 1;
    mp__children_unlock();
    c->dir_len = directory(method, c->dir, sizeof c->dir);
    mp__temp_dir_get(c->temp_dir);
    c->temp_dir_len = strlen(c->temp_dir) + 1;
    return 0;
}

static void
describe(struct block *b, const mp_process *p, const char *method, const struct content *c)
{
    memset(b, 0, sizeof *b);
    b->magic = BLOCK_MAGIC;
    b->method = method_index(method);
    b->parent_pid = (int32_t)getpid();
    b->parent_start = own_start();
    b->daemon = p->daemon;
    b->name_len = (uint32_t)c->name_len;
    b->identity_len = (uint32_t)c->identity_len;
    b->parent_name_len = (uint32_t)c->parent_len;
    b->dir_len = (uint32_t)c->dir_len;
    b->temp_dir_len = (uint32_t)c->temp_dir_len;
    b->authkey_len = (uint32_t)c->key_len;
    b->args_len = c->args_len;
    b->attributes_len = p->attributes ? (uint32_t)((p->attributes->size + 7) / 8 * 8) : 0;
    b->ticket = p->ticket;
    b->fork_strict = mp__fork_strict();
    mp__logger_describe(&b->log);
    b->has_context = p->context != NULL;
    b->has_run = p->run != NULL;
    b->has_reducer = c->reducer.load != NULL;
    b->has_args = mp_args_len(p->args) > 0 || p->userdata;
    b->has_userdata = p->userdata != NULL;
    b->by_pidfd = methods[b->method] == &mp__popen_spawn && mp__children_have_pidfds();
    b->null_stdin = methods[b->method] == &mp__popen_spawn && mp__plat_stdin_is_null();
}

/* What lies behind the struct. */
static void
fill(struct block *b, const mp_process *p, const struct content *c)
{
    if (p->attributes) {
        memcpy(b->text, p->attributes, p->attributes->size);
    }
    char *to = b->text + b->attributes_len + refs_size(b);
    mp__children_lock();
    to = append_text(to, p->name, c->name_len);
    to = append(to, p->identity, c->identity_len);
    to = append_text(to, mp__process_self()->name, c->parent_len);
    mp__children_unlock();
    to = append(to, c->dir, c->dir_len);
    to = append(to, c->temp_dir, c->temp_dir_len);
    if (c->key_len > 0) {
        to = append(to, c->key, c->key_len);
    }
    if (c->args_len > 0) {
        append(to, c->args, c->args_len);
    }
}

/* The functions, as the child will find them. */
static int
refer(struct block *b, const mp_process *p, const mp_reducer *reducer)
{
    int status = mp__funcref_make((mp__func)p->target, &b->target);
    if (status == 0 && p->run) {
        status = mp__funcref_make((mp__func)p->run, run_of(b));
    }
    if (status == 0 && reducer->load) {
        status = mp__funcref_make((mp__func)reducer->load, loader_of(b));
    }
    return status;
}

/* The descriptors that every child has, behind those of its arguments. */
static int
add_descriptors(mp_process *p, struct mp__launch *l)
{
    int status = share_tracker(l);
    ((struct block *)l->block)->has_tracker = l->tracker >= 0;
    if (status == 0 && p->daemon) {
        l->lifeline = status = mp__children_lifeline(p);
        l->fds[l->fd_count++] = l->lifeline;
    }
    return status < 0 ? status : 0;
}

int
mp__launch_make(mp_process *p, const char *method, struct mp__launch *ret)
{
    ret->block = NULL;
    ret->fd_count = 0;
    ret->lifeline = ret->tracker = -1;
    struct content c;
    int status = gather(p, method, ret, &c);
    if (status < 0) {
        return status;
    }
    struct block head;
    describe(&head, p, method, &c);
    struct block *b =
        mp_malloc(sizeof *b + head.attributes_len + refs_size(&head) + c.name_len + c.identity_len +
                  c.parent_len + c.dir_len + c.temp_dir_len + c.key_len + c.args_len);
    if (b) {
        *b = head;
        fill(b, p, &c);
    }
    mp__authkey_unref(c.authkey);
    free(c.args);
    if (!b) {
        return MP_ENOMEM;
    }
    ret->block = b;
    status = refer(b, p, &c.reducer);
    if (status == 0) {
        status = add_descriptors(p, ret);
    }
    if (status < 0) {
        mp__launch_done(ret);
    }
    return status;
}

void
mp__launch_sent(struct mp__launch *l)
{
    if (l->tracker >= 0) {
        close(l->tracker);
        l->tracker = -1;
    }
    if (l->lifeline >= 0) {
        close(l->lifeline);
        l->lifeline = -1;
    }
}

void
mp__launch_done(struct mp__launch *l)
{
    mp_free(l->block);
    l->block = NULL;
    mp__launch_sent(l);
}

int
mp__launch_await(int fd, mp__deadline until, struct mp__answer *ret)
{
    int ready = mp__plat_poll_in(fd, until);
    if (ready <= 0) {
        return ready < 0 ? mp__error_os(-ready, "waiting for a child's answer") : MP_ETIMEOUT;
    }
    return mp__launch_read(fd, ret);
}

int
mp__launch_read(int fd, struct mp__answer *ret)
{
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

static void
fill_answer(struct mp__answer *ret, int status)
{
    *ret = (struct mp__answer){.status = status, .pid = (int32_t)getpid()};
    if (status < 0) {
        snprintf(ret->text, sizeof ret->text, "%s", mp_last_error_text());
    }
}

int
mp__launch_answer(int fd, int status)
{
    struct mp__answer a;
    fill_answer(&a, status);
    struct iovec iov = {&a, sizeof a};
    return mp__plat_write_all(fd, &iov, 1);
}

/* A spawned child's, on its pipe.  When nobody listens SIGPIPE may well end it, as it is to end then. */
static int
answer_on_pipe(int fd, int status)
{
    struct mp__answer a;
    fill_answer(&a, status);
    return write(fd, &a, sizeof a) == (ssize_t)sizeof a ? 0
                                                        : -EPIPE; /* in one piece, or not at all */
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

typedef int (*load_function)(const void *data, size_t len, mp_obj *ret);

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
fd_in(void *ctx, int64_t index, int *ret)
{
    const struct arrivals *a = ctx;
    if (index < 0 || index >= a->count) {
        return mp__error(MP_ERUNTIME, "a descriptor did not arrive");
    }
    *ret = a->fds[index];
    atomic_store_explicit(&mp__fds_were_made, true, memory_order_relaxed);
    return 0;
}

static int
read_args(const struct block *b, const char *data, const int *fds, int fd_count, mp_process *p)
{
    struct arrivals a = {fds, fd_count};
    const mp__obj_handles handles = {
        .connection_in = connection_in, .fd_in = fd_in, .check = mp__family_check, .ctx = &a};
    mp__func load = NULL;
    mp_obj tuple = mp_none();
    bool with_userdata = b->has_userdata;
    p->args = p->userdata = NULL;
    if (!b->has_args) {
        return 0;
    }
    int status =
        b->has_reducer ? mp__funcref_find(loader_of((struct block *)(uintptr_t)b), &load) : 0;
    if (status < 0) {
        return status;
    }
    mp__obj_spawning = &handles;
    status = load ? reduced(((load_function)load)(data, b->args_len, &tuple), "load")
                  : mp__obj_load(data, b->args_len, &handles, &tuple);
    mp__obj_spawning = NULL;
    if (status == 0 && with_userdata &&
        (mp_obj_kind(tuple) != MP_KIND_TUPLE || mp_obj_len(tuple) != 2)) {
        status = mp__error(MP_ETYPE, "load of the reducer gave no pair of arguments and user data");
    }
    if (status < 0) {
        mp_obj_free(tuple);
        return status;
    }
    if (with_userdata) {
        mp_obj pair = tuple, userdata = mp_obj_ref(mp_list_get(pair, 1));
        tuple = mp_obj_ref(mp_list_get(pair, 0));
        mp_obj_free(pair);
        p->userdata = mp_args_of(1, &userdata);
    }
    p->args = mp__args_from_tuple(tuple);
    return p->args && (p->userdata || !with_userdata) ? 0 : mp_last_error();
}

/* Build the process object that the block, which is one, describes.  0 or an error with text. */
static int
read_block(const struct block *b, const int *fds, int fd_count, mp_process *p,
           struct mp__birth *birth)
{
    const char *texts = b->text + b->attributes_len + refs_size(b);
    const char *dir = texts + b->name_len + b->identity_len + b->parent_name_len;
    const char *temp_dir = dir + b->dir_len, *authkey = temp_dir + b->temp_dir_len;
    const char *args = authkey + b->authkey_len;
    mp__func target, run = NULL;
    int status = mp__funcref_find(&b->target, &target);
    if (status == 0 && b->has_run) {
        status = mp__funcref_find(run_of((struct block *)(uintptr_t)b), &run);
    }
    if (status == 0 && b->parent_pid != 0) { /* else it is nobody's: mp__launch_warm() */
        status = mp__authkey_adopt(p, authkey, b->authkey_len);
    }
    if (status < 0) {
        return status;
    }
    if (b->dir_len > 0 && chdir(dir) < 0) {
        return mp__error_os(errno, "going to the directory %s", dir);
    }
    status = read_args(b, args, fds, fd_count, p);
    if (status < 0) {
        return status;
    }
    if (b->temp_dir_len > 1) {
        mp__temp_dir_adopt(temp_dir);
    }
    mp__logger_adopt(&b->log);
    mp__fork_strict_adopt(b->fork_strict);
    p->target = (mp_target)target;
    p->run = (mp_run)run;
    p->context = b->has_context ? mp__context_of(methods[b->method]) : NULL;
    /* The three texts in one copy, which lives as long as the process. */
    static MP__FORK_DATA char usual[256];
    size_t texts_len = b->name_len + b->identity_len + b->parent_name_len;
    char *copy = texts_len <= sizeof usual ? usual : malloc(texts_len);
    if (!copy) {
        return mp__error(MP_ENOMEM, "no memory for the process object");
    }
    memcpy(copy, texts, texts_len);
    p->name = copy;
    p->identity = copy + b->name_len;
    p->daemon = b->daemon;
    p->ticket = b->ticket;
    p->sentinel = p->verdict = p->start_pipe = p->lifeline = -1;
    if (b->daemon && fd_count > 0) {
        p->lifeline = fds[--fd_count];
    }
    if (b->has_tracker && fd_count > 0) {
        mp__tracker_adopt(fds[--fd_count]);
    }
    birth->method = methods[b->method];
    birth->parent_name = p->identity + b->identity_len;
    birth->parent_pid = b->parent_pid;
    birth->parent_start = b->parent_start;
    birth->has_stdin = b->null_stdin;
    if (b->attributes_len > 0) {
        /* Last: what was read until here needed memory and descriptors. */
        status = mp__attributes_apply((const struct mp__attributes *)(const void *)b->text, false,
                                      &birth->has_stdin);
    }
    return status;
}

static MP__FORK_DATA mp_process self; /* of this process, for as long as it runs */

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
    bool by_pidfd =
        status == 0 && ((const struct block *)block)->by_pidfd; /* now: it is freed then */
    /* Nobody listens: the parent died, or gave the start up and told its caller that there is no
       child.  So there is none. */
    int heard = parent_is_os_parent ? answer_on_pipe(answer_fd, status)
                                    : mp__launch_answer(answer_fd, status);
    if (heard < 0 || status < 0) {
        _exit(1);
    }
    if (by_pidfd) {
        close(answer_fd);
    } else {
        self.start_pipe = answer_fd; /* its end is what tells the parent of ours */
    }
    mp__child_main(&self, &birth);
}
