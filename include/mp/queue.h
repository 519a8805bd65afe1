/*
 * mp/queue.h: first in, first out, between any number of processes.
 *
 *     mp_queue *q = mp_queue_new(0);
 *     mp_queue_put(q, mp_list(42, mp_none(), "hello"), MP_FOREVER);   // in any process
 *     ...
 *     mp_obj item;
 *     mp_queue_get(q, &item, MP_FOREVER);                             // in any other
 *
 * C structs, checked by the compiler:
 *
 *     MP_QUEUE_OF(points, struct point);                              // once, at file scope
 *     points *q = points_new(100);
 *     points_put(q, &(struct point){1, 2}, MP_FOREVER);
 *     points_get(q, &point, MP_FOREVER);
 *
 * Big messages without a copy, made and read where they lie:
 *
 *     float *image = mp_queue_reserve(q, bytes);                      // producer
 *     ... fill it ...
 *     mp_queue_commit(q, image, bytes, MP_FOREVER);
 *
 *     const void *image; size_t bytes;                                // consumer
 *     mp_queue_peek_bytes(q, &image, &bytes, MP_FOREVER);
 *     ... read it ...
 *     mp_queue_release(q, image);
 *
 * Mirrors   multiprocessing.Queue, JoinableQueue, SimpleQueue; shutdown of Python's queue.Queue
 * Sharing   a queue lives in the family's heap; its pointer is valid in every process of the family
 *           and may lie in a queue, in a struct of mp_malloc(), in an array
 * Delivery  put is done when it returns: the message is in shared memory and every process can see
 *           it.  No feeder thread, so exit never waits for a reader and a producer may be joined
 *           before its messages are read.  Each message goes to exactly one getter, in the order
 *           the puts were committed.
 * Threads   every call from any thread of any process, except mp_queue_free()
 * Fork      a child of fork() has what its parent closed closed, too, and no descriptor of
 *           mp_queue_fileno()
 * Death     a process killed inside put has put or not put; inside get, the message was handed
 *           over or goes to the next getter (one of more than 4 KiB, or that was put or peeked as a
 *           loan, within 0.1 s, maybe after younger ones).  Nobody else hangs, nothing is torn.
 *           What it had reserved is freed, what it had peeked and not released goes to the next
 *           getter.  A message that get had handed over dies with it; peek is for those who cannot
 *           lose one
 * Memory    16 KiB, or up to 256 KiB when so much lay in it once, and what its messages need.
 *           While messages flow (8 MiB and more went through, at some 10 MB/s or faster) up to
 *           2 MiB of room for small ones, and up to 4 MiB of blocks for big ones, stay with the
 *           queue.  They go back when a getter finds it empty and does not wait, or waits and
 *           nothing comes, when few go through, and at free
 * Stopped   a process that is stopped (SIGSTOP, a debugger) in the middle of a call, which is
 *           microseconds long, may keep others of the same side waiting until it goes on.  Calls
 *           with a time-out wait until then and at least a second for it, then they are
 *           MP_EFULL or MP_EEMPTY; qsize, empty, full and join wait a second, too
 */
#ifndef MP_QUEUE_H
#define MP_QUEUE_H

#include <mp/context.h>
#include <mp/error.h>
#include <mp/object.h>

/* Zero what you do not set; NULL in place of the struct means all defaults. */
typedef struct mp_queue_options {
    uint64_t max_bytes;   /* bytes of all messages in it together: beyond them put waits for room
                             as with maxsize; one message alone may be as long; 0: no limit     */
    size_t element_size;  /* every message has so many bytes, and is no object; 0: any message  */
    bool joinable;        /* as mp_joinable_queue_new()                                         */
    uint64_t reserved[4]; /* must be 0, else MP_EVALUE                                          */
} mp_queue_options;

MP_BEGIN_DECLS

/* ---- making ----------------------------------------------------------------------------------*/

/*
 * An empty queue of at most maxsize messages; 0 or less: as many as memory holds, up to
 * 268,435,454.  NULL with mp_last_error(): MP_ENOMEM, or MP_EVALUE for a maxsize beyond that.
 */
MP_API mp_queue *mp_queue_new(int64_t maxsize);

/* The same with options.  MP_EVALUE too: reserved fields not 0, element_size above max_bytes. */
MP_API mp_queue *mp_queue_new_with(int64_t maxsize, const mp_queue_options *options);

/* Python's ctx.Queue() and so on; they work with every start method, whatever ctx. */
MP_API mp_queue *mp_context_queue(const mp_context *ctx, int64_t maxsize);
MP_API mp_queue *mp_context_joinable_queue(const mp_context *ctx, int64_t maxsize);
MP_API mp_queue *mp_context_simple_queue(const mp_context *ctx);

/*
 * Give it, its messages and all loans of it back; nobody may use it any more, nor what it lent.
 * Who sleeps in one of its calls, in whatever process, comes back with MP_EVALUE, and is waited for:
 * two seconds at most, for it may be stopped.
 * NULL is fine; MP_EVALUE.  A process killed in here has freed it, or somebody else may still do so.
 */
MP_API int mp_queue_free(mp_queue *q);

/* ---- objects ---------------------------------------------------------------------------------*/

/*
 * Append item, which is consumed; wait for room up to timeout.
 *   0             it is in the queue
 *   MP_EFULL      no room in time (Python: queue.Full)
 *   MP_ESHUTDOWN  the queue was shut down, maybe while we waited
 *   MP_ENOMEM     no memory for it; the queue is unchanged and goes on
 *   MP_ERUNTIME   it holds a connection: those travel only as arguments of a new process
 *   MP_ETYPE      a queue of elements of one size
 *   MP_EOVERFLOW  a JoinableQueue with 267 million unfinished tasks
 *   MP_EVALUE     not a live queue, this process closed it, longer than max_bytes, or the time-out
 *                 is NaN
 */
MP_API int mp_queue_put(mp_queue *q, mp_obj item, double timeout);
MP_API int mp_queue_put_nowait(mp_queue *q, mp_obj item);

/*
 * Remove the oldest message into *ret_item, yours to free; wait for one up to timeout.  A message
 * of mp_queue_put_bytes() comes as bytes.
 *   0             *ret_item is set, else it is None
 *   MP_EEMPTY     nothing came in time (Python: queue.Empty)
 *   MP_ESHUTDOWN  the queue was shut down and is empty
 *   MP_ENOMEM     no memory to take it; it stays in the queue.  Only when the memory ends while a
 *                 message taken is being decoded is that one used up, and the text says so.
 *   MP_EVALUE     not a live queue, this process closed it, NULL, or the time-out is NaN
 */
MP_API int mp_queue_get(mp_queue *q, mp_obj *ret_item, double timeout);
MP_API int mp_queue_get_nowait(mp_queue *q, mp_obj *ret_item);

/*
 * Append n items in order, all consumed; others' messages may come between.  *ret_count, which may
 * be NULL, is how many are in: with 0 all of them, after an error the first so many, but none when
 * one cannot be encoded.  As mp_queue_put().
 */
MP_API int mp_queue_put_many(mp_queue *q, size_t n, const mp_obj *items, size_t *ret_count,
                             double timeout);

/*
 * Wait for a message as mp_queue_get() does; then take what else is there, up to room in all.
 * *ret_count is how many items are set, yours to free; at least 1 with 0, else none.  One that
 * cannot be decoded stands there as an error (MP_KIND_ERROR).
 */
MP_API int mp_queue_get_many(mp_queue *q, size_t room, mp_obj *ret_items, size_t *ret_count,
                             double timeout);

/*
 * Call hook, in the thread that puts, for each item that this process cannot put because it cannot
 * be encoded; put returns the error all the same (Python's feeder has only
 * Queue._on_queue_feeder_error()).  item is borrowed.  NULL: none.  It must not put in q.
 */
typedef void mp_queue_error_hook(void *ctx, mp_queue *q, mp_obj item, int code, const char *text);
MP_API int mp_queue_set_error_hook(mp_queue_error_hook *hook, void *ctx);

/* ---- bytes -----------------------------------------------------------------------------------*/

/* Append len bytes, copied; no encoding.  data may be NULL only if len is 0.  As mp_queue_put(). */
MP_API int mp_queue_put_bytes(mp_queue *q, const void *data, size_t len, double timeout);

/*
 * Remove the oldest message into buf of cap bytes; *ret_len is its length.
 *   MP_EBUFFERTOOSHORT  it is longer than cap: *ret_len says how long; it stays in the queue
 *   MP_ETYPE            it is an object of mp_queue_put(); it stays in the queue
 *   else as mp_queue_get()
 */
MP_API int mp_queue_get_bytes(mp_queue *q, void *buf, size_t cap, size_t *ret_len, double timeout);

/*
 * Append n messages that lie one behind the other at data, of lens[0], lens[1] ... bytes; lens NULL
 * in a queue of elements of one size.  As mp_queue_put_many().
 */
MP_API int mp_queue_put_many_bytes(mp_queue *q, const void *data, const size_t *lens, size_t n,
                                   size_t *ret_count, double timeout);

/*
 * Wait for a message as mp_queue_get_bytes() does; then take what else is there, up to `most` in
 * all and as far as buf has room: one behind the other, their lengths in ret_lens, which may be
 * NULL in a queue of elements of one size.  An object is left in the queue.
 */
MP_API int mp_queue_get_many_bytes(mp_queue *q, void *buf, size_t cap, size_t *ret_lens,
                                   size_t most, size_t *ret_count, double timeout);

/* ---- loans: messages made and read where they lie --------------------------------------------*/

/*
 * Room for a message of len bytes, aligned to 64, for you to fill in place.  Nobody waits for you,
 * and any number may be open at once; in the end commit or cancel.  If this process dies first it
 * is given back.  NULL with mp_last_error(): MP_ENOMEM; MP_EVALUE; MP_ETYPE (not the element's
 * size); MP_ESHUTDOWN.
 */
MP_API void *mp_queue_reserve(mp_queue *q, size_t len);

/*
 * Append the first len bytes of it, at most what was reserved; data is the queue's from then on.
 * Messages are in the order of their commits.  On error it still is yours: commit again, or
 * cancel.  As mp_queue_put(), and MP_EVALUE: no loan of this process.
 */
MP_API int mp_queue_commit(mp_queue *q, void *data, size_t len, double timeout);

/* Give it back unsent.  MP_EVALUE: no such loan. */
MP_API int mp_queue_cancel(mp_queue *q, void *data);

/*
 * Lend the oldest message: take it from the queue, to be read in place, until release or give_back.
 * If this process dies first it goes to the next getter, before all others, as soon as the death is
 * seen (within 0.1 s): a message is seen at least once, whatever happens.  Any number may be open
 * at once.  The bytes are aligned to 64 and nobody else's meanwhile.  As mp_queue_get_bytes(); it
 * needs a little memory.
 */
MP_API int mp_queue_peek_bytes(mp_queue *q, const void **ret_data, size_t *ret_len, double timeout);

/*
 * The same for an object: *ret_item is a copy and yours to free, *ret_loan what to release.
 * MP_EUNPICKLING ...: it cannot be read, nor by anybody else: it is used up, as with mp_queue_get().
 */
MP_API int mp_queue_peek(mp_queue *q, mp_obj *ret_item, const void **ret_loan, double timeout);

/* You are done with it: now it is gone.  MP_EVALUE: no loan of this process. */
MP_API int mp_queue_release(mp_queue *q, const void *data);

/*
 * You are not: it is the oldest message again, for whoever comes next, or dropped when the queue was
 * shut down immediately.  MP_EVALUE.
 */
MP_API int mp_queue_give_back(mp_queue *q, const void *data);

/* ---- looking ---------------------------------------------------------------------------------*/

/* Messages in the queue just now, exact, lent ones not counted; MP_EVALUE. */
MP_API int64_t mp_queue_qsize(mp_queue *q);

/*
 * 1 or 0, true at the moment of the call; MP_EVALUE.  An unbounded queue is never full.
 * empty: MP_ECLOSED when this process closed it and it ever was put in, as in Python.
 */
MP_API int mp_queue_empty(mp_queue *q);
MP_API int mp_queue_full(mp_queue *q);

/*
 * A descriptor of this process for poll() and epoll: readable while a message waits, or the queue
 * is shut down.  The first call makes it, and with the first queue a thread that watches all
 * queues asked for; a process that does not ask has neither.  It is the queue's: do not read, write
 * or close it.  The same number until mp_queue_unwatch(), mp_queue_close() or mp_queue_free().
 * Get with time-out 0: another may have been faster.  When another process takes the last message,
 * or frees the queue (end of file), it is seen a moment later, within 0.1 s.  By edges (EPOLLET):
 * get until MP_EEMPTY, or get_many until it gives fewer than there is room for; then the next
 * message is an edge.
 * A child of fork() has none: there the number is closed.
 * MP_EVALUE: not a live queue, or closed; -EMFILE, -EAGAIN ...: what the system says.
 */
MP_API int mp_queue_fileno(mp_queue *q);

/* Close it, and end the thread with the last.  0 also when there is none; MP_EVALUE. */
MP_API int mp_queue_unwatch(mp_queue *q);

/* ---- the end of a queue ----------------------------------------------------------------------*/

/*
 * No more puts, in any process: MP_ESHUTDOWN from now on, also for those who wait for room.  Getters
 * take what is left, then get MP_ESHUTDOWN too.  immediate: what is left is dropped, and counted as
 * done (mp_joinable_queue_join()).  A second call may go on to immediate.  Python: queue.Queue.shutdown
 * of 3.13, which multiprocessing.Queue does not have.
 * 0, MP_EVALUE.  A process killed in here has done it, or not, or another finishes what it began.
 */
MP_API int mp_queue_shutdown(mp_queue *q, bool immediate);

/*
 * This process will use it no more: put and get are MP_EVALUE here from now on (of a SimpleQueue
 * MP_ECLOSED).  Other processes do not notice; qsize and full go on; loans may still be returned.
 * Twice is fine.  0, MP_EVALUE, MP_ENOMEM.
 */
MP_API int mp_queue_close(mp_queue *q);

/*
 * In Python these wait for the feeder thread that brings messages to the pipe, or let it go without
 * having done so.  There is none here and nothing is ever under way, so both have nothing to do.
 * MP_ESTATE: join_thread before mp_queue_close(); MP_EVALUE.
 */
MP_API int mp_queue_join_thread(mp_queue *q);
MP_API int mp_queue_cancel_join_thread(mp_queue *q);

/* ---- JoinableQueue ---------------------------------------------------------------------------*/

/*
 * A queue that counts unfinished tasks: a message is one from its put until somebody, who need not
 * be who got it, says mp_joinable_queue_task_done().  Everything above works on it, too.  Put and
 * count are one step: no death comes between.
 *
 * When a process dies after it got a message and before task_done, join waits for ever, as in
 * Python: nobody can know how far it was.  Who peeks, says task_done and then releases, leaves the
 * message to the next if it dies; then a task may be said to be done twice.
 */
MP_API mp_queue *mp_joinable_queue_new(int64_t maxsize);

/* One task is done.  0; MP_EVALUE: called more often than items were put; MP_EATTR: not joinable. */
MP_API int mp_joinable_queue_task_done(mp_queue *q);

/* Wait until none is unfinished.  0, MP_ETIMEOUT, MP_EVALUE, MP_EATTR. */
MP_API int mp_joinable_queue_join(mp_queue *q, double timeout);

/* mp_queue_put() and mp_queue_get(), by the names of their class. */
MP_API int mp_joinable_queue_put(mp_queue *q, mp_obj item, double timeout);
MP_API int mp_joinable_queue_get(mp_queue *q, mp_obj *ret_item, double timeout);

/* ---- SimpleQueue -----------------------------------------------------------------------------*/

/*
 * A queue without limit, whose calls have no time-outs: put never waits, get waits as long as it
 * takes.  Closed, they are MP_ECLOSED.  Else as the calls above, which work on it, too.  Python's
 * get ends with EOFError when all writers are gone; here any process of the family may write.
 */
MP_API mp_queue *mp_simple_queue_new(void);
MP_API int mp_simple_queue_put(mp_queue *q, mp_obj item);
MP_API int mp_simple_queue_get(mp_queue *q, mp_obj *ret_item);
MP_API int mp_simple_queue_empty(mp_queue *q); /* MP_ECLOSED when this process closed it */
MP_API int mp_simple_queue_close(mp_queue *q);

/* For MP_QUEUE_OF: q when it is a live queue of elements of this size, else NULL with MP_ETYPE. */
MP_API mp_queue *mp_queue_check_element(mp_queue *q, size_t element_size);

MP_END_DECLS

/* put takes whatever mp_from() takes: mp_queue_put(q, 42, MP_FOREVER). */
#ifndef __cplusplus
#define mp_queue_put(q, x, timeout)          (mp_queue_put)((q), mp_from(x), (timeout))
#define mp_queue_put_nowait(q, x)            (mp_queue_put_nowait)((q), mp_from(x))
#define mp_joinable_queue_put(q, x, timeout) (mp_joinable_queue_put)((q), mp_from(x), (timeout))
#define mp_simple_queue_put(q, x)            (mp_simple_queue_put)((q), mp_from(x))
#endif

/* ---- queues of C structs ---------------------------------------------------------------------*/

/*
 * MP_QUEUE_OF(name, type); at file scope makes a type `name`, whose queues hold elements of `type`
 * and nothing else, with these calls; a pointer to anything else does not compile.
 *
 *     name *name_new(int64_t maxsize);
 *     name *name_from(mp_queue *q);        the same queue, after a trip through arguments or another
 *                                          queue; NULL with MP_ETYPE when its elements have another
 *                                          size
 *     mp_queue *name_queue(name *q);       as an mp_queue, for mp_args(), shutdown, qsize, fileno ...
 *     int name_free(name *q);
 *     int name_put(name *q, type const *from, double timeout);
 *     int name_get(name *q, type *to, double timeout);
 *     int name_put_many(name *q, type const *from, size_t n, size_t *ret_count, double timeout);
 *     int name_get_many(name *q, type *to, size_t room, size_t *ret_count, double timeout);
 *     type *name_reserve(name *q);         NULL on error
 *     int name_commit(name *q, type *element, double timeout);
 *     int name_peek(name *q, type const **ret_element, double timeout);
 *     int name_release(name *q, type const *element);
 *     int name_give_back(name *q, type const *element);
 *
 * The type must be one that may be copied byte by byte, and whose pointers, if it has any, point
 * into the heap.  It is at most 1 GiB big and needs no wider alignment than 64, else the macro does
 * not compile.
 */
#define MP_QUEUE_OF(name, type)                                                                    \
    MP__QUEUE_ELEMENT_CHECK(type)                                                                  \
    typedef struct name name;                                                                      \
    MP__QUEUE_INLINE name *name##_from(mp_queue *q)                                                \
    {                                                                                              \
        return (name *)(void *)mp_queue_check_element(q, sizeof(type));                            \
    }                                                                                              \
    MP__QUEUE_INLINE mp_queue *name##_queue(name *q)                                               \
    {                                                                                              \
        return (mp_queue *)(void *)q;                                                              \
    }                                                                                              \
    MP__QUEUE_INLINE name *name##_new(int64_t maxsize)                                             \
    {                                                                                              \
        mp_queue_options options = MP__QUEUE_NO_OPTIONS;                                           \
        options.element_size = sizeof(type);                                                       \
        return (name *)(void *)mp_queue_new_with(maxsize, &options);                               \
    }                                                                                              \
    MP__QUEUE_INLINE int name##_free(name *q)                                                      \
    {                                                                                              \
        return mp_queue_free(name##_queue(q));                                                     \
    }                                                                                              \
    MP__QUEUE_INLINE int name##_put(name *q, type const *from, double timeout)                     \
    {                                                                                              \
        return mp_queue_put_bytes(name##_queue(q), from, sizeof(type), timeout);                   \
    }                                                                                              \
    MP__QUEUE_INLINE int name##_get(name *q, type *to, double timeout)                             \
    {                                                                                              \
        size_t len;                                                                                \
        return mp_queue_get_bytes(name##_queue(q), to, sizeof(type), &len, timeout);               \
    }                                                                                              \
    MP__QUEUE_INLINE int name##_put_many(name *q, type const *from, size_t n, size_t *ret_count,   \
                                         double timeout)                                           \
    {                                                                                              \
        return mp_queue_put_many_bytes(name##_queue(q), from, NULL, n, ret_count, timeout);        \
    }                                                                                              \
    MP__QUEUE_INLINE int name##_get_many(name *q, type *to, size_t room, size_t *ret_count,        \
                                         double timeout)                                           \
    {                                                                                              \
        return mp_queue_get_many_bytes(name##_queue(q), to, room * sizeof(type), NULL, room,       \
                                       ret_count, timeout);                                        \
    }                                                                                              \
    MP__QUEUE_INLINE type *name##_reserve(name *q)                                                 \
    {                                                                                              \
        return (type *)mp_queue_reserve(name##_queue(q), sizeof(type));                            \
    }                                                                                              \
    MP__QUEUE_INLINE int name##_commit(name *q, type *element, double timeout)                     \
    {                                                                                              \
        return mp_queue_commit(name##_queue(q), element, sizeof(type), timeout);                   \
    }                                                                                              \
    MP__QUEUE_INLINE int name##_peek(name *q, type const **ret_element, double timeout)            \
    {                                                                                              \
        const void *data = NULL;                                                                   \
        size_t len;                                                                                \
        int status = mp_queue_peek_bytes(name##_queue(q), &data, &len, timeout);                   \
        *ret_element = (type const *)data;                                                         \
        return status;                                                                             \
    }                                                                                              \
    MP__QUEUE_INLINE int name##_release(name *q, type const *element)                              \
    {                                                                                              \
        return mp_queue_release(name##_queue(q), element);                                         \
    }                                                                                              \
    MP__QUEUE_INLINE int name##_give_back(name *q, type const *element)                            \
    {                                                                                              \
        return mp_queue_give_back(name##_queue(q), element);                                       \
    }                                                                                              \
    struct name /* for the semicolon */

#if defined __GNUC__
#define MP__QUEUE_INLINE static inline __attribute__((unused))
#else
#define MP__QUEUE_INLINE static inline
#endif
#define MP__QUEUE_MOST_ELEMENT ((size_t)1 << 30)
#ifdef __cplusplus
#include <type_traits>
#define MP__QUEUE_NO_OPTIONS mp_queue_options()
#define MP__QUEUE_ELEMENT_CHECK(type)                                                              \
    static_assert(sizeof(type) <= MP__QUEUE_MOST_ELEMENT && alignof(type) <= 64,                   \
                  "an element of a queue has at most 1 GiB and is aligned to 64 at most");         \
    static_assert(std::is_trivially_copyable<type>::value,                                         \
                  "elements of a queue are copied byte by byte");
#else
#define MP__QUEUE_NO_OPTIONS                                                                       \
    {                                                                                              \
        0                                                                                          \
    }
#define MP__QUEUE_ELEMENT_CHECK(type)                                                              \
    _Static_assert(sizeof(type) <= MP__QUEUE_MOST_ELEMENT && _Alignof(type) <= 64,                 \
                   "an element of a queue has at most 1 GiB and is aligned to 64 at most");
#endif

#endif
