/*
 * mp/queue.h: first in, first out, between any number of processes.
 *
 * Mirrors   multiprocessing.Queue
 * Sharing   a queue lives in the family's heap; its pointer is valid in every process of the family
 * Delivery  put is done when it returns: the message is in shared memory and every process can see
 *           it.  No feeder thread, so exit never waits for a reader and a producer may be joined
 *           before its messages are read.  Each message goes to exactly one getter, in the order
 *           the puts were committed.
 * Threads   every call from any thread of any process, except mp_queue_free()
 * Death     a process killed inside put has put or not put; inside get, the message was handed
 *           over or goes to the next getter.  Nobody else hangs, nothing is torn.
 */
#ifndef MP_QUEUE_H
#define MP_QUEUE_H

#include <mp/error.h>
#include <mp/object.h>

MP_BEGIN_DECLS

/*
 * An empty queue of at most maxsize messages; 0 or less: as many as memory holds, up to
 * 268,435,454.  NULL with mp_last_error(): MP_ENOMEM, or MP_EVALUE for a maxsize beyond that.
 */
MP_API mp_queue *mp_queue_new(int64_t maxsize);

/* Give it and its messages back; nobody may use it any more.  NULL is fine; MP_EVALUE. */
MP_API int mp_queue_free(mp_queue *q);

/*
 * Append item, which is consumed; wait for room up to timeout.
 *   0            it is in the queue
 *   MP_EFULL     no room in time (Python: queue.Full)
 *   MP_ENOMEM    no memory for it; the queue is unchanged and goes on
 *   MP_ERUNTIME  it holds a connection: those travel only as arguments of a new process
 *   MP_EVALUE    not a live queue, or the time-out is NaN
 */
MP_API int mp_queue_put(mp_queue *q, mp_obj item, double timeout);
MP_API int mp_queue_put_nowait(mp_queue *q, mp_obj item);

/*
 * Remove the oldest message into *ret_item, yours to free; wait for one up to timeout.  A message
 * of mp_queue_put_bytes() comes as bytes.
 *   0            *ret_item is set, else it is None
 *   MP_EEMPTY    nothing came in time (Python: queue.Empty)
 *   MP_ENOMEM    no memory to take it; it stays in the queue.  Only when the memory ends while a
 *                message taken is being decoded is that one used up, and the text says so.
 *   MP_EVALUE    not a live queue, NULL, or the time-out is NaN
 */
MP_API int mp_queue_get(mp_queue *q, mp_obj *ret_item, double timeout);
MP_API int mp_queue_get_nowait(mp_queue *q, mp_obj *ret_item);

/* Append len bytes, copied; no encoding.  data may be NULL only if len is 0.  As mp_queue_put(). */
MP_API int mp_queue_put_bytes(mp_queue *q, const void *data, size_t len, double timeout);

/*
 * Remove the oldest message into buf of cap bytes; *ret_len is its length.
 *   MP_EBUFFERTOOSHORT  it is longer than cap: *ret_len says how long; it stays in the queue
 *   MP_ETYPE            it is an object of mp_queue_put(); it stays in the queue
 *   else as mp_queue_get()
 */
MP_API int mp_queue_get_bytes(mp_queue *q, void *buf, size_t cap, size_t *ret_len, double timeout);

/* Messages in the queue just now, exact; MP_EVALUE. */
MP_API int64_t mp_queue_qsize(mp_queue *q);

/* 1 or 0, true at the moment of the call; MP_EVALUE.  An unbounded queue is never full. */
MP_API int mp_queue_empty(mp_queue *q);
MP_API int mp_queue_full(mp_queue *q);

MP_END_DECLS

/* put takes whatever mp_from() takes: mp_queue_put(q, 42, MP_FOREVER). */
#ifndef __cplusplus
#define mp_queue_put(q, x, timeout) (mp_queue_put)((q), mp_from(x), (timeout))
#define mp_queue_put_nowait(q, x)   (mp_queue_put_nowait)((q), mp_from(x))
#endif

#endif
