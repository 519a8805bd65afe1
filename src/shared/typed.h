/*
 * shared/typed.h: what a Value and an Array are: elements of a type in the heap, and their lock.
 *
 * Layout    in the family heap, one block
 *             0     is         what the data are: tag, type, size and number of elements, address;
 *                              creator, before anyone else has the pointer
 *             40    block      the heap block all of this is in; the free empties it
 *             48    lock       the mp_rlock or mp_lock to take, NULL: none; creator
 *             56    start      the same block for ever; creator
 *             64    own        the lock, unless one was given; see sync/lock.h
 *             112   number     the data of a Value of at most 16 bytes: they come in one cache
 *                              line with the lock, and what nobody writes is in the other
 *             128   other data, if no wider alignment than 64 was asked for.  If it was, the data
 *                              stand at the block's beginning, and this struct at its end
 * Writers   data: set, write, slices and strings under the lock, and users through the data pointer
 *           by their own rules; no other field changes after creation
 * Commit    shared.value.set, shared.array.set: the one store of a number; it is aligned, so a
 *           reader without the lock sees the old or the new one.  A slice, a string and a struct
 *           have none: killed inside, a part of it is new.  shared.value.free, shared.array.free:
 *           one step of the heap's journal frees the block and empties `block`
 * Waiting   none of its own, only for the lock
 * Death     of a holder: get and set of a number take the lock over, go on, and leave it so that the
 *           next who asks is still told (mp__typed_leave_quietly); everything else tells its caller.
 *           Inside new: the block goes with the family, as with any malloc().  Inside free: before
 *           its commit another free does it, after it all is done
 * Fork      nothing private
 *
 * Always    is.count * is.size bytes at is.data lie in the block, or in another's for what
 *           mp_synchronized() wrapped
 */
#ifndef MP_SHARED_TYPED_H
#define MP_SHARED_TYPED_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <mp/sharedctypes.h>

#include "heap/heap.h"
#include "shared/typecode.h"
#include "sync/lock.h"

/* What some data are.  A raw object has one at the end of its block. */
typedef struct mp__desc {
    mp__head head; /* MP__TAG_VALUE, _ARRAY or _RAW; ~tag while it is being freed */
    int32_t typecode;
    uint8_t is_array;
    uint8_t lock_kind; /* enum mp__lock_kind */
    uint64_t size;     /* of an element */
    uint64_t count;
    unsigned char *data;
} mp__desc;

enum mp__lock_kind { MP__UNLOCKED, MP__BY_RLOCK, MP__BY_LOCK };

typedef struct mp__typed {
    mp__desc is;
    _Atomic(void *) block;
    void *lock;
    void *start;
    _Alignas(64) struct mp_rlock own;
    _Alignas(16) unsigned char number[16];
} mp__typed;

struct mp_value {
    mp__typed t;
};
struct mp_array {
    mp__typed t;
};

_Static_assert(offsetof(mp__typed, block) == 40, "behind what a free block has of the heap's own");
_Static_assert(sizeof(mp__typed) == 128, "lock and number come in one cache line");

/* ---- making and freeing ----------------------------------------------------------------------*/

/*
 * A Value or an Array with zeroed data, or data copied from init.  NULL with text for `call`:
 * MP_ETYPE (unknown code), MP_EOVERFLOW, MP_EVALUE (options), MP_ENOMEM.
 */
void *mp__typed_new(enum mp__tag tag, int typecode, size_t count, const void *init,
                    const mp_shared_options *options, const char *call);

/* The same around data that are there already and stay somebody else's. */
void *mp__typed_wrap(enum mp__tag tag, const mp__desc *is, const mp_shared_options *options,
                     const char *call);

int mp__typed_free(mp__typed *t, enum mp__tag tag, const char *call);

/* The first contents of a Value that init stands for, in space or init; *ret_data NULL: zeroes. */
int mp__typed_initial(int typecode, mp_obj init, mp__element *space, const void **ret_data,
                      const char *call);

/* Where the description of a raw object is in its block. */
mp__desc *mp__raw_desc(const void *data);

/* count elements of size bytes; false with MP_EOVERFLOW when no memory could hold them. */
bool mp__typed_fits(size_t size, size_t count, const char *call);

/* What a data pointer points to: a raw object's, a Value's or an Array's.  NULL with MP_EVALUE. */
const mp__desc *mp__desc_of(const void *data, const char *call);

/* ---- the lock --------------------------------------------------------------------------------*/

/* 0 (also when there is no lock), MP_OWNER_DIED, or an error with text. */
int mp__typed_enter(mp__typed *t, double timeout);
int mp__typed_leave(mp__typed *t);

/* Leave; if entering gave MP_OWNER_DIED, which this caller does not tell, the next one is told. */
void mp__typed_leave_quietly(mp__typed *t, int entered);

/* The lock itself, if it is an mp_rlock; NULL with MP_EATTR (none) or MP_ETYPE (an mp_lock). */
mp_rlock *mp__typed_rlock(mp__typed *t, const char *call);

/* MP_EATTR when there is none. */
int mp__typed_need_lock(mp__typed *t, const char *call);

#endif
