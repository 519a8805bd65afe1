/*
 * queue/ring.h: the bytes under every queue: messages in a chain of rings in the family's heap.
 *
 * Layout    struct mp__ring: one cache line for producers, one for consumers, one for each side's
 *           sleepers.  Messages lie in segments, blocks of the heap used as rings and chained by
 *           `next`.  A record is an 8-byte header {type:8 | len:56} and its bytes, padded to 16.
 *           Header 0 means "nothing here yet".  SKIP sends the reader to its segment's base, LINK
 *           to a place in the next segment.  A place is {sequence:28 | offset:36}, the offset from
 *           the heap's base in units of 16 bytes, the sequence the number of messages before it.
 * Writers   tail, tail_seg, next_seg, head_seen: the holder of put_lock.  head, first: the holder
 *           of get_lock.  Record bytes: the producer, before its commit.
 * Commit    queue.put.commit    the store of the message's header, or, when it lies after a wrap or
 *                               in a new segment, of the SKIP or LINK at the old tail
 *           queue.get.consume   the store of head; also the producers' licence to overwrite
 * Waiting   consumers test the header at head about 3 us while they hold get_lock, then sleep on
 *           get_event; producers on a full queue sleep on put_event.  See sync/park.h.
 * Death     producer before its commit: the bytes are nobody's, the next one overwrites them; a
 *           segment that was made but not linked is in next_seg and freed by the next producer.
 *           After its commit, before tail: the next holder of put_lock rolls tail forward over what
 *           is committed.  Consumer before consume: the message goes to the next; after: it was
 *           handed over.  Segments that are read empty are freed together with the store of
 *           `first`, in one step of the heap's journal, so none is lost or freed twice.
 * Fork      nothing private
 * Always    the segments from `first` along `next` contain head and then tail; a segment is freed
 *           only when head has left it and it is not tail_seg, so the holder of put_lock may read
 *           the record at tail even while it recovers.  The header at tail is 0.  mp__ring_check().
 */
#ifndef MP_QUEUE_RING_H
#define MP_QUEUE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/deadline.h"
#include "heap/ilock.h"

#define MP__RING_MOST ((UINT32_C(1) << 28) - 2) /* messages; one sequence is for "tail lags" */

enum mp__ring_type { MP__RING_OBJECT = 1, MP__RING_BYTES = 2 };

struct mp__ring {
    uint32_t maxsize; /* constant */
    _Alignas(64) mp__ilock put_lock;
    _Atomic uint64_t tail;
    uint64_t head_seen; /* a head that was true once: spares producers the consumers' line */
    _Atomic(void *) tail_seg;
    _Atomic(void *) next_seg; /* made, and linked or about to be */
    _Alignas(64) mp__ilock get_lock;
    _Atomic uint64_t head;
    _Atomic(void *) first; /* oldest segment */
    _Alignas(64) _Atomic uint32_t get_waiters;
    _Atomic uint32_t get_event;
    _Alignas(64) _Atomic uint32_t put_waiters;
    _Atomic uint32_t put_event;
};

/* maxsize 1 .. MP__RING_MOST.  0 or MP_ENOMEM. */
int mp__ring_init(struct mp__ring *r, uint32_t maxsize);

/* Free all segments. */
void mp__ring_done(struct mp__ring *r);

/* 0; MP_EFULL (without text); MP_ENOMEM. */
int mp__ring_put(struct mp__ring *r, enum mp__ring_type type, const void *data, size_t len,
                 mp__deadline until);

/*
 * Called with the oldest message under the lock: return where to copy its len bytes, or NULL with
 * *ret_status to leave it in the queue.
 */
typedef void *(*mp__ring_place)(void *ctx, enum mp__ring_type type, size_t len, int *ret_status);

/* 0; MP_EEMPTY (without text); what place said. */
int mp__ring_get(struct mp__ring *r, mp__ring_place place, void *ctx, mp__deadline until);

/* Messages in it, exact. */
uint32_t mp__ring_count(struct mp__ring *r);

/* NULL, or what is wrong.  Nobody else may use the ring meanwhile. */
const char *mp__ring_check(struct mp__ring *r);

#endif
