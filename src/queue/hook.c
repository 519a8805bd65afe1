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

MP__FORK_LEAF(mutex);
static mp_queue_error_hook *the_hook;
static void *the_ctx;

int
mp_queue_set_error_hook(mp_queue_error_hook *hook, void *ctx)
{
    pthread_mutex_lock(&mutex);
    the_hook = hook;
    the_ctx = ctx;
    pthread_mutex_unlock(&mutex);
    return 0;
}

void
mp__queue_not_encoded(mp_queue *q, mp_obj item, int code)
{
    pthread_mutex_lock(&mutex);
    mp_queue_error_hook *hook = the_hook;
    void *ctx = the_ctx;
    pthread_mutex_unlock(&mutex);
    if (hook) {
        char text[512];
        snprintf(text, sizeof text, "%s", mp_last_error_text());
        hook(ctx, q, item, code, text);
        mp__error_text(code, text); /* the hook's own calls may have failed meanwhile */
    }
}
