/*
 * queue/hook.c: whom to tell of items that cannot be encoded, as Python's feeder does.
 *
 * Threads   one mutex over the two words; the hook runs without it
 * Fork      a child has its parent's hook
 */
#include "queue/queue.h"

#include <pthread.h>
#include <stdio.h>

#include "base/error.h"
#include "base/fork.h"

static MP__FORK_DATA pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int init_status;
static mp_queue_error_hook *the_hook;
static void *the_ctx;

static void
lock(void)
{
    pthread_mutex_lock(&mutex);
}

static void
unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

static void
init(void)
{
    init_status = mp__fork_leaf(lock, unlock);
}

int
mp_queue_set_error_hook(mp_queue_error_hook *hook, void *ctx)
{
    pthread_once(&once, init);
    lock();
    the_hook = hook;
    the_ctx = ctx;
    unlock();
    return init_status;
}

void
mp__queue_not_encoded(mp_queue *q, mp_obj item, int code)
{
    lock();
    mp_queue_error_hook *hook = the_hook;
    void *ctx = the_ctx;
    unlock();
    if (hook) {
        char text[512];
        snprintf(text, sizeof text, "%s", mp_last_error_text());
        hook(ctx, q, item, code, text);
        mp__error_text(code, text); /* the hook's own calls may have failed meanwhile */
    }
}
