/*
 * process/finalize.c: finalizers.
 *
 * The list is in the order of the end: by priority, of equals the newest first.  Who takes a node
 * out of it, under the mutex, runs it: so each runs once.
 */
#include "process/finalize.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/handle.h"
#include "base/log.h"
#include "process/process.h"

struct node {
    struct node *next;
    mp_finalizer number;
    int priority;
    pid_t pid; /* of its maker */
    const void *obj;
    mp_callback callback;
    void *arg;
};

static MP__FORK_DATA struct node *first;
static mp_finalizer latest;
static MP__FORK_DATA atomic_int bound; /* nodes with an object: to most frees, none */

static void
object_ended(const void *obj)
{
    if (atomic_load_explicit(&bound, memory_order_relaxed) > 0) {
        mp_finalize_object(obj);
    }
    mp__after_fork_object_ended(obj);
}

void
mp__finalizers_watch(void)
{
    mp__handle_on_remove(object_ended);
}

mp_finalizer
mp_finalize_new(const void *obj, mp_callback callback, void *arg, int exitpriority)
{
    if (!callback) {
        mp__error(MP_EVALUE, "mp_finalize_new: no callback");
        return 0;
    }
    if (!obj && exitpriority == MP_NO_PRIORITY) {
        mp__error(MP_EVALUE, "mp_finalize_new: without object, exitpriority cannot be none");
        return 0;
    }
    struct node *n = mp__process_init() == 0 ? malloc(sizeof *n) : NULL;
    if (!n) {
        mp__error(MP_ENOMEM, "mp_finalize_new: no memory");
        return 0;
    }
    *n = (struct node){
        .priority = exitpriority, .pid = getpid(), .obj = obj, .callback = callback, .arg = arg};
    mp__finalizers_watch();
    mp__registry_lock();
    mp_finalizer number = n->number = ++latest;
    struct node **at = &first;
    while (*at && (*at)->priority > exitpriority) {
        at = &(*at)->next;
    }
    n->next = *at;
    *at = n;
    atomic_fetch_add(&bound, obj != NULL);
    mp__registry_unlock();
    return number;
}

/* Under the mutex: take *at, which is not NULL, out of the list. */
static struct node *
take(struct node **at)
{
    struct node *n = *at;
    *at = n->next;
    atomic_fetch_sub(&bound, n->obj != NULL);
    return n;
}

static struct node *
take_number(mp_finalizer number)
{
    mp__registry_lock();
    struct node **at = &first;
    while (*at && (*at)->number != number) {
        at = &(*at)->next;
    }
    struct node *n = *at ? take(at) : NULL;
    mp__registry_unlock();
    return n;
}

/* A node that was taken; NULL: somebody else took it. */
static void
run(struct node *n)
{
    if (!n) {
        mp__log_sub_debug("finalizer no longer registered");
    } else if (n->pid != getpid()) {
        mp__log_sub_debug("finalizer ignored because different process");
    } else {
        mp__log_sub_debug("finalizer calling %p with %p", (void *)(uintptr_t)n->callback, n->arg);
        n->callback(n->arg);
    }
    free(n);
}

int
mp_finalize_call(mp_finalizer f)
{
    run(take_number(f));
    return 0;
}

int
mp_finalize_cancel(mp_finalizer f)
{
    free(take_number(f));
    return 0;
}

int
mp_finalize_still_active(mp_finalizer f)
{
    mp__registry_lock();
    struct node *n = first;
    while (n && n->number != f) {
        n = n->next;
    }
    mp__registry_unlock();
    return n != NULL;
}

int
mp_finalize_object(const void *obj)
{
    struct node *n;
    do {
        struct node **newest = NULL;
        mp__registry_lock();
        for (struct node **at = &first; *at; at = &(*at)->next) {
            if ((*at)->obj == obj && obj && (!newest || (*at)->number > (*newest)->number)) {
                newest = at;
            }
        }
        n = newest ? take(newest) : NULL;
        mp__registry_unlock();
        if (n) {
            run(n);
        }
    } while (n); /* one may have made another */
    mp__after_fork_object_ended(obj);
    return 0;
}

/*
 * The next of a run through the list that takes those up to `last`, which were there when it
 * began: newer ones are left, so the place of the previous one is where to look on.
 */
static struct node *
take_next(int least_priority, mp_finalizer last)
{
    mp__registry_lock();
    struct node **at = &first;
    while (*at && (*at)->number > last) {
        at = &(*at)->next;
    }
    struct node *n = *at && (*at)->priority >= least_priority ? take(at) : NULL;
    mp__registry_unlock();
    return n;
}

void
mp__finalizers_run(int least_priority)
{
    mp__registry_lock();
    mp_finalizer last = first ? latest : 0;
    mp__registry_unlock();
    struct node *n;
    while (last > 0 && (n = take_next(least_priority, last)) != NULL) {
        mp__log_sub_debug("calling <Finalize object, callback=%p, args=(%p,), exitpriority=%d>",
                          (void *)(uintptr_t)n->callback, n->arg, n->priority);
        run(n);
    }
}

void
mp__finalizers_clear(void)
{
    mp__registry_lock();
    while (first) {
        free(take(&first));
    }
    mp__registry_unlock();
}
