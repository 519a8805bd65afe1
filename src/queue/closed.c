/*
 * queue/closed.c: mp_queue_close: what this process will not use any more, and the calls that wait
 * for a feeder thread where there is one.
 *
 * Only this process knows.  Its note is under the queue's serial number, not its address: another
 * process may free the queue, and a new one may come to lie there.
 */
#include "queue/queue.h"

#include "base/error.h"
#include "base/handle.h"

_Atomic uint32_t mp__queues_closed;

/* No address of an object: those have the highest bit clear. */
static const void *
key(const mp_queue *q)
{
    return (const void *)(uintptr_t)(UINT64_C(1) << 63 | q->serial << 4);
}

bool
mp__queue_is_closed(const mp_queue *q)
{
    return mp__handle_live(key(q), MP__CLOSED_QUEUE);
}

void
mp__queue_forget_closed(const mp_queue *q)
{
    if (atomic_load_explicit(&mp__queues_closed, memory_order_relaxed) != 0 &&
        mp__handle_remove(key(q), MP__CLOSED_QUEUE)) {
        atomic_fetch_sub_explicit(&mp__queues_closed, 1, memory_order_relaxed);
    }
}

int
mp__queue_closed_error(const mp_queue *q, const char *call)
{
    return mp__error(q->kind == MP__QUEUE_SIMPLE ? MP_ECLOSED : MP_EVALUE,
                     "%s: the queue is closed in this process", call);
}

static int
close_queue(mp_queue *q, const char *call)
{
    int status = mp__shared_check(q, MP__TAG_QUEUE, call);
    if (status < 0 || mp__queue_is_closed(q)) {
        return status;
    }
    status = mp__handle_add(key(q), MP__CLOSED_QUEUE);
    if (status == 0) {
        atomic_fetch_add_explicit(&mp__queues_closed, 1, memory_order_relaxed);
        (void)mp__watch_user(q, false);
    }
    return status;
}

int
mp_queue_close(mp_queue *q)
{
    return close_queue(q, "mp_queue_close");
}

int
mp_simple_queue_close(mp_queue *q)
{
    return close_queue(q, "mp_simple_queue_close");
}

int
mp_queue_join_thread(mp_queue *q)
{
    int status = mp__shared_check(q, MP__TAG_QUEUE, "mp_queue_join_thread");
    if (status == 0 && !mp__queue_is_closed(q)) {
        status = mp__error(MP_ESTATE, "mp_queue_join_thread: call mp_queue_close() first");
    }
    return status;
}

int
mp_queue_cancel_join_thread(mp_queue *q)
{
    return mp__shared_check(q, MP__TAG_QUEUE, "mp_queue_cancel_join_thread");
}
