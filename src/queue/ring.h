/*
 * queue/ring.h: the bytes under every queue: messages in a chain of rings in the family's heap.
 *
 * Layout    struct mp__ring: a cache line that hardly ever changes, one for producers, one for
 *           consumers, one for each side's sleepers.  Messages lie in segments, blocks of the heap
 *           used as rings and chained by `next`.  A record is an 8-byte header {type:8 | len:56}
 *           and its bytes, padded to 16.  Header 0 means "nothing here yet".  SKIP sends the reader
 *           to its segment's base, LINK to a place in the next segment.  With REF in the type the
 *           bytes are in a block of their own, and the record is the header and its address.
 *           A place is {sequence:28 | offset:36}, the offset from the heap's base in units of 16
 *           bytes, the sequence the number of messages before it.
 *           Blocks on their way into the ring or out of it are in slots: see slot.h.
 * Writers   tail, tail_seg, next_seg, head_seen, giving, put_bytes, flowing, flow*: the holder of
 *           put_lock.  head, first, taking, take_head, order, returned*, late, dropped, got_bytes:
 *           the holder of get_lock.  shelves, new_shelf: of shelf_lock.  shut: the holder of
 *           put_lock; it never goes back.  FREED, as serial 0: who frees the queue.  Record bytes:
 *           the producer, before its commit.
 * Commit    queue.put.commit    the store of the message's header, or, when it lies after a wrap or
 *                               in a new segment, of the SKIP or LINK at the old tail
 *           queue.get.consume   the store of head; also the producers' licence to overwrite
 *           queue.shutdown.commit  the store of shut
 *           and those of slots, in slot.h
 * Waiting   consumers test the header at head about 3 us while they hold get_lock, or 0.1 ms when the
 *           last sleep was a short one, then sleep on get_event; producers on a full queue test head,
 *           without a lock, then sleep on put_event.  See await.c, sync/park.h.
 * Death     producer before its commit: the bytes are nobody's, the next one overwrites them; a
 *           segment that was made but not linked is in next_seg and freed by the next producer.
 *           After its commit, before tail: the next holder of put_lock rolls tail forward over what
 *           is committed.  Consumer before consume: the message goes to the next; after: it was
 *           handed over, unless it is in a slot.  Segments that are read empty are freed together
 *           with the store of `first`, in one step of the heap's journal, so none is lost or freed
 *           twice.
 * Fork      nothing private
 * Always    the segments from `first` along `next` contain head and then tail; a segment is freed
 *           only when head has left it and it is not tail_seg, so the holder of put_lock may read
 *           the record at tail even while it recovers.  The header at tail is 0.  A block is in the
 *           ring or in one slot.  mp__ring_check().
 *
 * Statuses of all calls come without text, but for those of MP_ENOMEM and MP_EVALUE.
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

enum mp__ring_shut { MP__RING_OPEN, MP__RING_DRAINS, MP__RING_DROPPED, MP__RING_FREED };

/* Bytes up to a place: exact, because the entry with tail's or head's place in it is the true one. */
struct mp__ring_bytes {
    struct {
        _Atomic uint64_t place, bytes;
    } at[2];
};

/* Whether the next wait stays awake for longer; see await.c. */
struct mp__ring_awake {
    uint32_t looks; /* so many more */
    uint32_t rest;  /* times that this is not tried, and the next time */
    uint32_t next;
};

struct mp__ring {
    /* Read by all. */
    uint32_t maxsize;          /* constant */
    _Atomic uint32_t shut;     /* enum mp__ring_shut */
    uint64_t maxbytes;         /* constant; 0: no limit */
    _Atomic uint32_t returned; /* messages in slots that go out first */
    _Atomic uint32_t late;     /* messages dropped one by one after an immediate shutdown */
    _Atomic(void *) shelves;   /* the slots: struct mp__shelf; NULL: none were needed yet */
    _Atomic uint64_t returned_bytes;
    _Atomic uint64_t dropped; /* 0, or 1 + the messages that an immediate shutdown dropped */
    _Atomic uint64_t serial;  /* constant, of the object; 0 once it is freed */
    _Atomic bool flowing;     /* small messages flow, and may have a big segment: see put.c */
    const void *object; /* constant: what those who wait are said to wait for; NULL: nothing */

    _Alignas(64) mp__ilock put_lock;
    _Atomic uint64_t tail;
    uint64_t head_seen; /* a head that was true once: spares producers the consumers' line */
    _Atomic(void *) tail_seg;
    _Atomic(void *) next_seg; /* made, and linked or about to be */
    _Atomic(void *) giving;   /* the slot whose block the record at tail is to refer to */
    uint64_t got_seen;        /* as head_seen, of the bytes */
    struct mp__ring_awake put_awake;
    uint64_t flowed;      /* bytes by which the tail went round, fast */
    int64_t flowed_at;    /* when it last did, or was last looked at */
    int64_t flowing_from; /* since when there is a big segment for it */
    uint32_t flow_slow;   /* looks in sequence at which it was slow */
    uint32_t flow_rest;   /* as in mp__ring_awake: of what did not last */
    uint32_t flow_next;

    _Alignas(64) mp__ilock get_lock;
    _Atomic uint64_t head;
    _Atomic(void *) first;  /* oldest segment */
    _Atomic(void *) taking; /* the slot that takes the message at take_head */
    _Atomic uint64_t take_head;
    uint64_t order;             /* of the next message that goes into a slot */
    _Atomic int64_t looked_at;  /* when somebody last looked for the dead among the slots' owners */
    _Atomic(void *) drop_block; /* of a message that is being dropped */
    uint32_t gather;            /* pauses before the first look when it is empty ... */
    uint32_t gather_from;       /* ... and the sequence at which that was last */
    uint32_t gather_rest;       /* waits until it is tried again */
    uint32_t gather_next;       /* and how many the next time */
    uint32_t patience;          /* more looks, for the next of big messages */
    struct mp__ring_awake get_awake;

    _Alignas(64) _Atomic uint32_t get_waiters;
    _Atomic uint32_t get_event;
    _Atomic uint32_t watched; /* see mp__ring_watched() */
    _Alignas(64) _Atomic uint32_t put_waiters;
    _Atomic uint32_t put_event;

    _Alignas(64) mp__ilock shelf_lock; /* over adding a shelf */
    _Atomic(void *) new_shelf;         /* made, and linked or about to be */
    _Atomic uint32_t kept_in;          /* KiB of blocks that were ever kept */
    _Atomic uint32_t kept_at;          /* at which message one was last kept */
    _Atomic uint32_t run;              /* big messages since it was last seen empty */
    _Atomic bool was_lent;             /* and that one was not read as a whole, for all we know */
    /* Of those who look for a kept block; by themselves, since they do that for each big message. */
    _Alignas(64) _Atomic uint32_t turn; /* the slot from which on the next is looked for */
    _Atomic uint32_t kept_out;          /* KiB of kept blocks that were taken again, or freed */
    _Atomic uint32_t flow_puts;         /* big messages */
    _Atomic int64_t flow_at;            /* when there were last a multiple of some of them */
    _Atomic uint64_t waited_at;         /* head when a producer waited for a block in vain */
    _Alignas(64) struct mp__ring_bytes put_bytes; /* only with maxbytes */
    _Alignas(64) struct mp__ring_bytes got_bytes;
};

/*
 * maxsize 1 .. MP__RING_MOST; maxbytes: how many bytes of messages it holds at most, 0: any number.
 * *r is zeroed memory of the heap.  0 or MP_ENOMEM.
 */
int mp__ring_init(struct mp__ring *r, uint32_t maxsize, uint64_t maxbytes);

/* It is to be freed: who waits for something of it, or for his turn, leaves with MP_EVALUE. */
void mp__ring_freed(struct mp__ring *r);

/* All who sleep in its calls look whether it is. */
void mp__ring_wake(struct mp__ring *r);

/* Free all that it holds, also what dead processes held.  Nobody may use the ring any more. */
void mp__ring_done(struct mp__ring *r);

/* ---- putting --------------------------------------------------------------------------------- */

/*
 * 0; MP_EFULL: no room in time; MP_ESHUTDOWN, also to who waited; MP_ENOMEM; MP_EVALUE: more than
 * maxbytes by itself, or freed meanwhile.  Big messages are copied before any lock is taken.
 */
int mp__ring_put(struct mp__ring *r, enum mp__ring_type type, const void *data, size_t len,
                 mp__deadline until);

/*
 * Several, in this order; others' messages may come between.  Several go in under one lock, a few
 * microseconds' worth.  *ret_done, set in any case, is how many are in: the first ones.  0: all.
 */
struct mp__ring_part {
    const void *data;
    size_t len;
};
int mp__ring_put_many(struct mp__ring *r, enum mp__ring_type type,
                      const struct mp__ring_part *parts, size_t n, size_t *ret_done,
                      mp__deadline until);

/*
 * A message that was taken goes to the front: the next that is got.  Whatever the limits say.
 * 0; MP_ENOMEM: it is the caller's to tell of the loss.  After an immediate shutdown: 0, dropped.
 */
int mp__ring_put_back(struct mp__ring *r, enum mp__ring_type type, const void *data, size_t len);

/*
 * Reserve len bytes, aligned to 64, that the caller fills at leisure.  They are no message yet and
 * have no place in the order.  0 with *ret_data; MP_ESHUTDOWN; MP_ENOMEM; MP_EVALUE as put.
 * When the process dies the bytes are freed.
 */
int mp__ring_reserve(struct mp__ring *r, size_t len, void **ret_data);

/*
 * Put the first len bytes of what was reserved, which are the queue's from then on.  As
 * mp__ring_put(), and on any error they stay reserved: commit again, or cancel.  MP_EVALUE when data
 * is not reserved by this process here, or len is more than was.
 */
int mp__ring_commit(struct mp__ring *r, enum mp__ring_type type, void *data, size_t len,
                    mp__deadline until);

/* Give reserved bytes up: 0; MP_EVALUE. */
int mp__ring_cancel(struct mp__ring *r, void *data);

/* ---- getting --------------------------------------------------------------------------------- */

/*
 * Called with the oldest message under the lock: return where to copy its len bytes, or NULL with
 * *ret_status to leave it in the queue.  No waiting, no calls of the ring.
 */
typedef void *(*mp__ring_place)(void *ctx, enum mp__ring_type type, size_t len, int *ret_status);

/*
 * 0; MP_EEMPTY; MP_ESHUTDOWN: shut down, and empty or dropped; what place said; MP_ENOMEM (only for
 * a message too big to lie in the ring: no shared memory for the table of messages in flight).
 * A big message is copied after the lock; a process killed meanwhile leaves it to the next.
 */
int mp__ring_get(struct mp__ring *r, mp__ring_place place, void *ctx, mp__deadline until);

/*
 * Wait for the first, then take what is there too, up to `most` messages.  place is called for each
 * of them; when it returns NULL that one stays and ends it.  *ret_done, set in any case, is how
 * many came.  0 when any came, else as mp__ring_get().
 * While place is called for the k-th, up to a few before may not be consumed yet, but will be,
 * unless the process dies.
 */
int mp__ring_get_many(struct mp__ring *r, mp__ring_place place, void *ctx, size_t most,
                      size_t *ret_done, mp__deadline until);

/*
 * Take the oldest message out and use it where it lies: aligned to 64, readable and writable, until
 * release.  It does not count as in the queue meanwhile.  Several may be open.  As mp__ring_get();
 * MP_ENOMEM also for a small one's copy.  If the process dies the message goes to the front.
 */
int mp__ring_peek(struct mp__ring *r, void **ret_data, size_t *ret_len,
                  enum mp__ring_type *ret_type, mp__deadline until);

/* The same, and MP_ETYPE when that is an object, which stays where it is. */
int mp__ring_peek_bytes(struct mp__ring *r, void **ret_data, size_t *ret_len, mp__deadline until);

/* The same, and MP_ETYPE when it is no more than MP__INLINE_MOST bytes, and stays where it is. */
int mp__ring_peek_big(struct mp__ring *r, void **ret_data, size_t *ret_len,
                      enum mp__ring_type *ret_type, mp__deadline until);

/* Done with it: 0; MP_EVALUE: data is not peeked by this process here. */
int mp__ring_release(struct mp__ring *r, void *data);

/* Put it to the front again, before what was peeked after it.  As mp__ring_release(). */
int mp__ring_give_back(struct mp__ring *r, void *data);

/* ---- the whole ------------------------------------------------------------------------------- */

/*
 * No more puts; who waits for room leaves with MP_ESHUTDOWN; getters get what is there, then
 * MP_ESHUTDOWN.  immediate: what is there is dropped, and what is given back later.  0.
 * A second call may make it immediate.
 */
int mp__ring_shutdown(struct mp__ring *r, bool immediate);
static inline bool
mp__ring_is_shutdown(const struct mp__ring *r)
{
    return atomic_load_explicit(&r->shut, memory_order_acquire) != MP__RING_OPEN;
}

/* Messages in it, exact; none after an immediate shutdown. */
uint32_t mp__ring_count(struct mp__ring *r);

/*
 * Whether a getter would not have to wait.  Does not wait either: while somebody is putting or getting
 * it may be late, and then mp__ring_watched() is called.
 */
bool mp__ring_readable(struct mp__ring *r);

/* Their bytes, exact; 0 when it has no maxbytes. */
uint64_t mp__ring_held(struct mp__ring *r);

/*
 * Messages ever committed, without those that an immediate shutdown dropped, modulo 2^28; exact.
 * What is peeked counts, until it is given back to a queue that was shut down so.
 */
#define MP__RING_PUTS_MASK ((UINT32_C(1) << 28) - 1)
uint32_t mp__ring_puts(struct mp__ring *r);

/* The same of a moment ago: one load, no lock. */
uint32_t mp__ring_puts_seen(const struct mp__ring *r);

/*
 * Defined by watch.c.  Called without locks after a message came or came back, and after a
 * shutdown, if r->watched was not 0: whoever wants to be told stores 1 there, then looks whether
 * there is a message, then waits.
 */
void mp__ring_watched(struct mp__ring *r);

/* NULL, or what is wrong.  Nobody else may use the ring meanwhile. */
const char *mp__ring_check(struct mp__ring *r);

#endif
