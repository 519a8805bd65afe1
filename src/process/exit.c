/* process/exit.c: exit handlers, and the order of a process's end. */
#include <stdatomic.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/log.h"
#include "heap/member.h"
#include "process/finalize.h"
#include "process/process.h"

struct handler {
    struct handler *next; /* the one before */
    mp_callback function;
    void *arg;
};

static MP__FORK_DATA pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static MP__FORK_DATA struct handler *handlers;
static MP__FORK_DATA atomic_bool exiting;

void
mp__registry_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void
mp__registry_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

static void
in_child(void)
{
    mp__fork_fresh();
    mp__registry_unlock();
}

int
mp__registry_init(void)
{
    return mp__fork_hooks(mp__registry_lock, mp__registry_unlock, in_child);
}

int
mp_atexit(mp_callback function, void *arg)
{
    if (!function) {
        return mp__error(MP_EVALUE, "mp_atexit: NULL");
    }
    struct handler *h = mp__process_init() == 0 ? malloc(sizeof *h) : NULL;
    if (!h) {
        return mp__error(MP_ENOMEM, "mp_atexit: no memory");
    }
    *h = (struct handler){.function = function, .arg = arg};
    mp__registry_lock();
    h->next = handlers;
    handlers = h;
    mp__registry_unlock();
    return 0;
}

int
mp_atexit_unregister(mp_callback function, void *arg)
{
    int found = 0;
    mp__registry_lock();
    for (struct handler **at = &handlers; *at;) {
        struct handler *h = *at;
        if (h->function == function && h->arg == arg) {
            *at = h->next;
            free(h);
            found++;
        } else {
            at = &h->next;
        }
    }
    mp__registry_unlock();
    return found ? 0 : mp__error(MP_EKEY, "mp_atexit_unregister: there is no such exit handler");
}

static struct handler *
take_handler(void)
{
    mp__registry_lock();
    struct handler *h = handlers;
    if (h) {
        handlers = h->next;
    }
    mp__registry_unlock();
    return h;
}

/* One that is noted while another runs is the next, as in Python. */
static void
run_handlers(void)
{
    struct handler *h;
    while ((h = take_handler()) != NULL) {
        h->function(h->arg);
        free(h);
    }
}

void
mp__exit_forget(void)
{
    struct handler *h;
    while ((h = take_handler()) != NULL) {
        free(h);
    }
    mp__finalizers_clear();
    atomic_store(&exiting, false);
}

bool
mp_is_exiting(void)
{
    return atomic_load(&exiting);
}

void
mp__process_shutdown(void)
{
    run_handlers();
    bool again = atomic_exchange(&exiting, true);
    if (!again) {
        mp__log_info("process shutting down");
        mp__log_debug("running all \"atexit\" finalizers with priority >= 0");
    }
    mp__finalizers_run(0);
    mp__children_end();
    if (!again) {
        mp__log_debug("running the remaining \"atexit\" finalizers");
    }
    mp__finalizers_run(MP_NO_PRIORITY + 1);
    mp__finalizers_clear();
    mp__process_settle();
    mp__member_leave();
}

int
mp_shutdown(void)
{
    mp__process_shutdown();
    return 0;
}
