/* process/context.c: start methods, the global choice among them, and contexts. */
#include <mp/context.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/log.h"
#include "object/object.h"
#include "platform/platform.h"
#include "process/process.h"

static const mp_context contexts[] = {
    {"fork", "ForkProcess", &mp__popen_fork},
    {"spawn", "SpawnProcess", &mp__popen_spawn},
    {"forkserver", "ForkServerProcess", &mp__popen_forkserver},
};
#define METHODS (sizeof contexts / sizeof *contexts)

static MP__FORK_DATA _Atomic(const mp_context *) chosen; /* NULL: not chosen yet */

static const mp_context *
find(const char *method)
{
    for (size_t i = 0; i < METHODS; i++) {
        if (strcmp(contexts[i].name, method) == 0) {
            return &contexts[i];
        }
    }
    return NULL;
}

static const mp_context *
default_context(void)
{
    /* Read once: a program that changes its environment must not change our mind. */
    static _Atomic(const mp_context *) found;
    const mp_context *c = atomic_load(&found);
    if (!c) {
        const char *wish = getenv("MP_START_METHOD");
        c = wish ? find(wish) : NULL;
        c = c ? c : &contexts[0];
        atomic_store(&found, c);
    }
    return c;
}

static int
no_such_method(const char *call, const char *method)
{
    return mp__error(MP_EVALUE, "%s: no start method '%s'; there are fork, spawn and forkserver",
                     call, method);
}

const mp_context *
mp__context_in_use(void)
{
    const mp_context *none = NULL, *c = default_context();
    return atomic_compare_exchange_strong(&chosen, &none, c) ? c : none;
}

void
mp__context_pin(const struct mp__popen *method)
{
    atomic_store(&chosen, mp__context_of(method));
}

const mp_context *
mp_get_context(const char *method)
{
    if (!method) {
        return mp__context_in_use();
    }
    const mp_context *c = find(method);
    if (!c) {
        no_such_method("mp_get_context", method);
    }
    return c;
}

const char *
mp_get_start_method(bool allow_none)
{
    const mp_context *c = atomic_load(&chosen);
    if (!c && !allow_none) {
        c = mp__context_in_use();
    }
    return c ? c->name : NULL;
}

int
mp_set_start_method(const char *method, bool force)
{
    const mp_context *wanted = method ? find(method) : force ? NULL : default_context();
    if (method && !wanted) {
        return no_such_method("mp_set_start_method", method);
    }
    if (force) {
        atomic_store(&chosen, wanted);
        return 0;
    }
    const mp_context *now = NULL;
    if (!atomic_compare_exchange_strong(&chosen, &now, wanted)) {
        return mp__error(MP_ERUNTIME, "mp_set_start_method: the start method is chosen already: %s",
                         now->name);
    }
    return 0;
}

const char *const *
mp_get_all_start_methods(void)
{
    static const char *const orders[METHODS][METHODS + 1] = {
        {"fork", "spawn", "forkserver", NULL},
        {"spawn", "fork", "forkserver", NULL},
        {"forkserver", "fork", "spawn", NULL},
    };
    return orders[default_context() - contexts];
}

const char *
mp_default_start_method(void)
{
    return default_context()->name;
}

const char *
mp_context_get_start_method(const mp_context *ctx)
{
    return ctx ? ctx->name : mp_get_start_method(false);
}

const mp_context *
mp_context_get_context(const mp_context *ctx, const char *method)
{
    return ctx && !method ? ctx : mp_get_context(method);
}

int
mp_context_set_start_method(const mp_context *ctx, const char *method)
{
    return ctx ? mp__error(MP_EVALUE,
                           "mp_context_set_start_method: the %s context keeps its method",
                           ctx->name)
               : mp_set_start_method(method, false);
}

const mp_context *
mp_context_fork(void)
{
    return &contexts[0];
}

const mp_context *
mp_context_spawn(void)
{
    return &contexts[1];
}

const mp_context *
mp_context_forkserver(void)
{
    return &contexts[2];
}

const mp_context *
mp__context_of(const struct mp__popen *method)
{
    size_t i = 0;
    while (i < METHODS - 1 && contexts[i].popen != method) {
        i++;
    }
    return &contexts[i];
}

/* ---- reducers -------------------------------------------------------------------------------- */

static mp_reducer reducers[METHODS]; /* under the mutex of popen_spawn.c, held across fork */
static atomic_bool any_reducer;      /* there was one, once */

int
mp_context_set_reducer(const mp_context *ctx, const mp_reducer *reducer)
{
    static const mp_reducer none;
    const mp_reducer *r = reducer ? reducer : &none;
    if (!r->dump != !r->load) {
        return mp__error(MP_EVALUE, "mp_context_set_reducer: only one of dump and load");
    }
    mp__spawn_lock();
    for (size_t i = 0; i < METHODS; i++) {
        if (!ctx || ctx == &contexts[i]) {
            reducers[i] = *r;
        }
    }
    mp__spawn_unlock();
    atomic_store(&any_reducer, true);
    return 0;
}

bool
mp__context_reducer(const struct mp__popen *method, mp_reducer *ret)
{
    memset(ret, 0, sizeof *ret);
    if (atomic_load_explicit(&any_reducer, memory_order_acquire)) {
        mp__spawn_lock();
        *ret = reducers[mp__context_of(method) - contexts];
        mp__spawn_unlock();
    }
    return ret->dump != NULL;
}

int
mp_context_get_reducer(const mp_context *ctx, mp_reducer *ret)
{
    if (!ret) {
        return mp__error(MP_EVALUE, "mp_context_get_reducer: NULL for the result");
    }
    ctx = ctx ? ctx : mp__context_in_use();
    return mp__context_reducer(ctx->popen, ret) ? 0 : MP_NOT_YET;
}

bool
mp_is_spawning(void)
{
    return mp__obj_spawning && mp__obj_spawning->fd_out;
}

/* ---- fork with threads ----------------------------------------------------------------------- */

static _Atomic int strict = -1; /* what mp_set_fork_strict() said; -1: nothing */

int
mp_set_fork_strict(bool on)
{
    atomic_store(&strict, on);
    return 0;
}

int
mp__fork_strict(void)
{
    return atomic_load(&strict);
}

void
mp__fork_strict_adopt(int parents)
{
    atomic_store(&strict, parents);
}

static bool
is_strict(void)
{
    int said = atomic_load_explicit(&strict, memory_order_relaxed);
    const char *wish = said < 0 ? getenv("MP_FORK_STRICT") : NULL;
    return said < 0 ? wish && *wish && strcmp(wish, "0") != 0 : said;
}

int
mp__context_check_threads(const char *child)
{
    static _Atomic pid_t warned; /* the process that was */
    bool refuse = is_strict();
    if (!refuse && !mp__log_heard(MP_LOG_WARNING)) {
        return 0; /* nobody would hear it: threads are not counted */
    }
    pid_t pid = getpid();
    if (!refuse && atomic_load(&warned) == pid) {
        return 0;
    }
    int threads = mp__plat_threads();
    if (threads <= 1) {
        return 0;
    }
    if (refuse) {
        return mp__error(MP_ERUNTIME,
                         "mp_process_start: this process (pid=%d) has %d threads, so a fork may "
                         "lead to deadlocks in %s, and MP_FORK_STRICT or mp_set_fork_strict() "
                         "forbids it; use the start method forkserver or spawn",
                         (int)pid, threads, child);
    }
    if (atomic_exchange(&warned, pid) != pid) {
        mp__log_warning("This process (pid=%d) is multi-threaded, use of fork() may lead to "
                        "deadlocks in the child.",
                        (int)pid);
    }
    return 0;
}

int
mp_cpu_count(void)
{
    return mp__plat_cpus();
}

int
mp_usable_cpu_count(void)
{
    return mp__plat_usable_cpus();
}
