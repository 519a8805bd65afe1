/*
 * heap/heap.h: the family heap for the other rooms.
 *
 * Everything here is in the family's one mapping, at one address in every process.
 */
#ifndef MP_HEAP_HEAP_H
#define MP_HEAP_HEAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mp/heap.h>

/*
 * The first words of every shared object: the tag tells a live one from NULL, a freed one, and
 * something else.
 */
enum mp__tag {
    MP__TAG_LOCK = 0x4b434f4c, /* "LOCK" */
    MP__TAG_RLOCK = 0x4b434c52,
    MP__TAG_SEMAPHORE = 0x414d4553,
    MP__TAG_CONDITION = 0x444e4f43,
    MP__TAG_EVENT = 0x544e5645,
    MP__TAG_BARRIER = 0x52524142,
    MP__TAG_VALUE = 0x554c4156,
    MP__TAG_ARRAY = 0x59415241,
    MP__TAG_RAW = 0x57415252,
    MP__TAG_QUEUE = 0x55455551,
    MP__TAG_POOL = 0x4c4f4f50
};
typedef struct mp__head {
    _Atomic uint32_t tag; /* enum mp__tag; 0 once freed */
    uint32_t reserved;
} mp__head;

/*
 * A free block's first bytes are the heap's.  Words that waiters change stand behind them: a waiter
 * looks at the tag before it goes on, but what it waits for may be freed just then, and though that
 * is its owner's fault, the family's heap must not suffer by it.
 */
#define MP__HEAP_OWN 32

/* At the end of a process: give back the arenas of its own heap (arena.c) that have no block. */
void mp__heap_arenas_end(void);

/* Make this process a member of a family with a heap, if it is not.  0 or an error with text. */
int mp__heap_join(void);

/* size bytes aligned to align (a power of two, at least 16), or NULL with MP_ENOMEM. */
void *mp__heap_alloc(size_t size, size_t align);

/*
 * The same, and in the same step store the block's address in *slot, a word of the heap: a process
 * killed anywhere in it has done both or neither, so no block is lost.  0 or MP_ENOMEM.
 */
int mp__heap_alloc_to(size_t size, size_t align, _Atomic(void *) *slot);

/*
 * If *slot still is `seen`, free that block and store `next` there, in one step.  False when it is
 * not: what a process that died inside one of these had stored, and others saw, is taken back by
 * the next call; then look at the slot again.  Killed in it, a process may leave a block of some MiB
 * in the slot that has lost its bytes but for the first 4000: to be freed, and to be read no more.
 */
bool mp__heap_free_from(_Atomic(void *) *slot, void *seen, void *next);

/*
 * What a process that died inside the allocator had stored and not committed, which others saw, is
 * taken back now.
 */
void mp__heap_settle(void);

/* Usable bytes of a live block. */
size_t mp__heap_block_size(const void *ptr);

/* A zeroed shared object with its tag, aligned to 64; NULL with MP_ENOMEM. */
void *mp__shared_new(size_t size, enum mp__tag tag);

/* Clear the tag and free.  0; MP_EVALUE when it is not live, text for `call`; NULL is fine. */
int mp__shared_free(void *object, enum mp__tag tag, const char *call);

/*
 * Clear the tag: of two that free one object, one gets 0 and then frees its parts and, with
 * mp_free(), the object.  MP_EVALUE for the other, and for what is not live or is part of another.
 */
int mp__shared_claim(void *object, enum mp__tag tag, const char *call);

/* Where this process's family has its blocks; nowhere until it has joined one. */
extern struct mp__heap_range {
    uintptr_t first;
    size_t bytes;
} mp__heap_range;

/* Whether object is a live one: in the heap, aligned, with this tag. */
static inline bool
mp__shared_live(const void *object, enum mp__tag tag)
{
    /* Embedded objects (a value's lock) are aligned to 16 only. */
    uintptr_t p = (uintptr_t)object;
    const mp__head *h = object;
    return p - mp__heap_range.first < mp__heap_range.bytes && p % 16 == 0 &&
           atomic_load_explicit(&h->tag, memory_order_relaxed) == (uint32_t)tag;
}

/* MP_EVALUE with the text "call: not a live noun (...)". */
int mp__shared_not_live(const void *object, enum mp__tag tag, const char *call);

/* 0, or that.  On the way of every lock and unlock, so without a call when all is well. */
static inline int
mp__shared_check(const void *object, enum mp__tag tag, const char *call)
{
    return __builtin_expect(mp__shared_live(object, tag), 1)
               ? 0
               : mp__shared_not_live(object, tag, call);
}

#endif
