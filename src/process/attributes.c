/*
 * process/attributes.c: the attributes of a child, from the options to the child itself.
 *
 * Paths mean what they mean to who starts it, so files are opened before the directory changes.
 * Limits come last: what goes before needs descriptors and memory.
 */
#include "process/attributes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "heap/family.h"
#include "platform/platform.h"
#include "process/process.h"

#define MOST_BYTES (UINT32_C(1) << 30) /* of one block: its offsets have 32 bits */

extern char **environ;

/* ---- making ---------------------------------------------------------------------------------- */

static int
check_environment(const char *const *changes)
{
    for (size_t i = 0; changes && changes[i]; i++) {
        if (*changes[i] == '\0' || *changes[i] == '=') {
            return mp__error(MP_EVALUE,
                             "mp_process_new: environment change \"%s\" names no variable",
                             changes[i]);
        }
    }
    return 0;
}

static int
check(const mp_process_options *o)
{
    if (o->nice < -40 || o->nice > 40) {
        return mp__error(MP_EVALUE, "mp_process_new: nice is %d, beyond -40 to 40", o->nice);
    }
    if (o->group < MP_GROUP_INHERIT || o->group > MP_GROUP_SESSION) {
        return mp__error(MP_EVALUE, "mp_process_new: group is %d, not one of enum mp_process_group",
                         o->group);
    }
    if (o->cpu_count > 0 && !o->cpus) {
        return mp__error(MP_EVALUE, "mp_process_new: cpus is NULL, cpu_count %zu", o->cpu_count);
    }
    for (size_t i = 0; i < o->cpu_count; i++) {
        if (o->cpus[i] < 0) {
            return mp__error(MP_EVALUE, "mp_process_new: cpu %d", o->cpus[i]);
        }
    }
    const char *const paths[] = {o->directory, o->stdin_path, o->stdout_path, o->stderr_path};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (paths[i] && !*paths[i]) {
            return mp__error(MP_EVALUE, "mp_process_new: an empty path");
        }
    }
    return check_environment(o->environment);
}

static bool
has_any(const mp_process_options *o)
{
    return o->nice != 0 || o->group != MP_GROUP_INHERIT || o->cpu_count > 0 || o->max_memory > 0 ||
           o->max_cpu_seconds > 0 || o->max_files > 0 || o->directory || o->stdin_path ||
           o->stdout_path || o->stderr_path || (o->environment && o->environment[0]);
}

static size_t
text_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static size_t
size_of(const mp_process_options *o)
{
    size_t size = sizeof(struct mp__attributes) + text_size(o->directory) +
                  text_size(o->stdin_path) + text_size(o->stdout_path) + text_size(o->stderr_path);
    for (size_t i = 0; o->environment && o->environment[i]; i++) {
        size += text_size(o->environment[i]);
    }
    size_t numbers = o->cpu_count > MOST_BYTES ? MOST_BYTES : o->cpu_count * sizeof(int32_t);
    return size + numbers;
}

/* Append a text; its offset, 0 for none. */
static uint32_t
put_text(struct mp__attributes *a, const char *text)
{
    if (!text) {
        return 0;
    }
    uint32_t at = a->size;
    size_t len = strlen(text) + 1;
    memcpy((char *)a + at, text, len);
    a->size += (uint32_t)len;
    return at;
}

int
mp__attributes_make(const mp_process_options *o, struct mp__attributes **ret)
{
    *ret = NULL;
    int status = check(o);
    if (status < 0 || !has_any(o)) {
        return status;
    }
    size_t size = size_of(o);
    if (size >= MOST_BYTES) {
        return mp__error(MP_EVALUE, "mp_process_new: attributes of %zu bytes", size);
    }
    struct mp__attributes *a = calloc(1, size);
    if (!a) {
        return mp__error(MP_ENOMEM, "mp_process_new: no memory");
    }
    a->size = sizeof *a;
    a->nice = o->nice;
    a->group = (uint32_t)o->group;
    a->append = o->append;
    a->max_memory = o->max_memory;
    a->max_cpu_seconds = o->max_cpu_seconds;
    a->max_files = o->max_files;
    a->cpu_count = (uint32_t)o->cpu_count;
    int32_t *cpus = (int32_t *)(a + 1);
    for (size_t i = 0; i < o->cpu_count; i++) {
        cpus[i] = o->cpus[i];
    }
    a->size += (uint32_t)(o->cpu_count * sizeof *cpus);
    a->directory = put_text(a, o->directory);
    a->files[0] = put_text(a, o->stdin_path);
    a->files[1] = put_text(a, o->stdout_path);
    a->files[2] = put_text(a, o->stderr_path);
    a->environment = a->size;
    for (size_t i = 0; o->environment && o->environment[i]; i++) {
        put_text(a, o->environment[i]);
        a->change_count++;
    }
    *ret = a;
    return 0;
}

/* ---- applying -------------------------------------------------------------------------------- */

static const char *
text_at(const struct mp__attributes *a, uint32_t offset)
{
    return offset ? (const char *)a + offset : NULL;
}

static int
open_as(int fd, const char *path, int flags)
{
    int from;
    do {
        from = open(path, flags, 0666); /* less the umask, as a shell makes files */
    } while (from < 0 && errno == EINTR);
    if (from < 0) {
        return mp__error_os(errno, "opening %s as descriptor %d", path, fd);
    }
    if (from != fd) {
        int status = dup2(from, fd) < 0 ? -errno : 0;
        close(from);
        if (status < 0) {
            return mp__error_os(-status, "%s as descriptor %d", path, fd);
        }
    }
    return 0;
}

static int
redirect(const struct mp__attributes *a, bool copied, bool *ret_has_stdin)
{
    const char *in = text_at(a, a->files[0]), *out = text_at(a, a->files[1]);
    const char *err = text_at(a, a->files[2]);
    int status = 0;
    int flags = O_WRONLY | O_CREAT | O_NOCTTY | O_APPEND | (a->append ? 0 : O_TRUNC);
    if (in) {
        status = open_as(0, in, O_RDONLY | O_NOCTTY);
        if (status == 0) {
            mp__child_forget_stdin(copied);
        }
    } else if (copied || a->max_files > 0) {
        mp__child_give_up_stdin(copied);
    }
    *ret_has_stdin = in || copied || a->max_files > 0;
    if (status == 0 && out) {
        status = open_as(1, out, flags);
    }
    if (status == 0 && err && out && strcmp(err, out) == 0) {
        status = dup2(1, 2) < 0 ? mp__error_os(errno, "%s as descriptor 2", err) : 0;
    } else if (status == 0 && err) {
        status = open_as(2, err, flags);
    }
    return status;
}

/* Whether the variable of this setting ("NAME=value") is the one of the change. */
static bool
is_variable(const char *setting, const char *change)
{
    size_t len = strcspn(change, "=");
    return strncmp(setting, change, len) == 0 && setting[len] == '=';
}

/*
 * A new array, by hand: setenv() takes a lock of the libc's that a thread of our parent may have
 * held when it forked.
 */
static int
change_environment(const struct mp__attributes *a)
{
    size_t n = 0;
    while (environ && environ[n]) {
        n++;
    }
    char *texts = malloc(a->size - a->environment + 1);
    char **list = malloc((n + a->change_count + 1) * sizeof *list);
    if (!texts || !list) {
        free(texts);
        free(list);
        return mp__error(MP_ENOMEM, "no memory for the environment");
    }
    memcpy(texts, text_at(a, a->environment), a->size - a->environment);
    for (size_t i = 0; i < n; i++) {
        list[i] = environ[i];
    }
    char *change = texts;
    for (uint32_t c = 0; c < a->change_count; c++, change += strlen(change) + 1) {
        size_t kept = 0;
        for (size_t i = 0; i < n; i++) {
            if (!is_variable(list[i], change)) {
                list[kept++] = list[i];
            }
        }
        n = kept;
        if (strchr(change, '=')) {
            list[n++] = change;
        }
    }
    list[n] = NULL;
    environ = list;
    return 0;
}

static int
set_limit(int resource, const char *what, uint64_t soft, uint64_t hard)
{
    struct rlimit now;
    if (getrlimit(resource, &now) < 0) {
        return mp__error_os(errno, "the limit of %s", what);
    }
    if (soft > now.rlim_max && now.rlim_max != RLIM_INFINITY) {
        return mp__error_os(EPERM, "a limit of %llu %s: %llu is the most that this process may set",
                            (unsigned long long)soft, what, (unsigned long long)now.rlim_max);
    }
    struct rlimit wanted = {(rlim_t)soft, (rlim_t)hard};
    if (now.rlim_max != RLIM_INFINITY && wanted.rlim_max > now.rlim_max) {
        wanted.rlim_max = now.rlim_max;
    }
    if (setrlimit(resource, &wanted) < 0) {
        return mp__error_os(errno, "a limit of %llu %s", (unsigned long long)soft, what);
    }
    return 0;
}

static int
limit(const struct mp__attributes *a)
{
    int status = 0;
    if (a->max_cpu_seconds > 0) {
        /* SIGXCPU at the limit; a second later SIGKILL for one that goes on. */
        status = set_limit(RLIMIT_CPU, "cpu seconds", a->max_cpu_seconds, a->max_cpu_seconds + 1);
    }
    if (status == 0 && a->max_files > 0) {
        status = set_limit(RLIMIT_NOFILE, "descriptors", a->max_files, a->max_files);
    }
    if (status == 0 && a->max_memory > 0) {
        uint64_t heap = mp__family ? mp__family->size : 0; /* reserved, however little is used */
        uint64_t bytes =
            a->max_memory > UINT64_MAX / 2 - heap ? UINT64_MAX / 2 : a->max_memory + heap;
        status = set_limit(RLIMIT_AS, "bytes of memory", bytes, bytes);
    }
    return status;
}

static int
join_group(const struct mp__attributes *a)
{
    if (a->group == MP_GROUP_NEW && setpgid(0, 0) < 0) {
        return mp__error_os(errno, "a process group of its own");
    }
    if (a->group == MP_GROUP_SESSION && setsid() < 0) {
        return mp__error_os(errno, "a session of its own");
    }
    return 0;
}

static int
schedule(const struct mp__attributes *a)
{
    if (a->cpu_count > 0) {
        int status = mp__plat_set_cpus((const int32_t *)(a + 1), a->cpu_count);
        if (status == -ENOTSUP) {
            return mp__error(MP_ENOTSUP, "this system cannot tell a process its processors");
        }
        if (status < 0) {
            return mp__error_os(-status, "running on these %u processors only", a->cpu_count);
        }
    }
    errno = 0;
    if (a->nice != 0 && nice(a->nice) == -1 && errno != 0) {
        return mp__error_os(errno == EPERM ? EACCES : errno, "nice %d", a->nice);
    }
    return 0;
}

int
mp__attributes_apply(const struct mp__attributes *a, bool copied, bool *ret_has_stdin)
{
    int status = redirect(a, copied, ret_has_stdin);
    if (status == 0 && a->change_count > 0) {
        status = change_environment(a);
    }
    if (status == 0 && a->directory && chdir(text_at(a, a->directory)) < 0) {
        status = mp__error_os(errno, "going to the directory %s", text_at(a, a->directory));
    }
    if (status == 0) {
        status = join_group(a);
    }
    if (status == 0) {
        status = schedule(a);
    }
    return status == 0 ? limit(a) : status;
}
