/* queue/simple.c: mp_simple_queue: the calls of SimpleQueue, which has no limit and no time-outs. */
#include "queue/queue.h"

#include "base/error.h"

#undef mp_simple_queue_put

mp_queue *
mp_simple_queue_new(void)
{
    return mp__queue_new(MP__QUEUE_SIMPLE, 0, NULL, "mp_simple_queue_new");
}

mp_queue *
mp_context_simple_queue(const mp_context *ctx)
{
    (void)ctx; /* as in mp_context_queue() */
    return mp__queue_new(MP__QUEUE_SIMPLE, 0, NULL, "mp_context_simple_queue");
}

int
mp_simple_queue_put(mp_queue *q, mp_obj item)
{
    return (mp_queue_put)(q, item, MP_FOREVER);
}

int
mp_simple_queue_get(mp_queue *q, mp_obj *ret_item)
{
    return mp_queue_get(q, ret_item, MP_FOREVER);
}

int
mp_simple_queue_empty(mp_queue *q)
{
    int status = mp__shared_check(q, MP__TAG_QUEUE, "mp_simple_queue_empty");
    if (status == 0 && mp__queue_is_closed(q)) {
        status =
            mp__error(MP_ECLOSED, "mp_simple_queue_empty: the queue is closed in this process");
    }
    return status < 0 ? status : mp__ring_count(&q->ring) == 0;
}
