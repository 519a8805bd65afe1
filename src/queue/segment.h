/* queue/segment.h: the form of places, of records and of the segments they lie in; see ring.h. */
#ifndef MP_QUEUE_SEGMENT_H
#define MP_QUEUE_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "heap/family.h"

#define MP__UNIT          UINT64_C(16)
#define MP__UNIT_BITS     36
#define MP__UNIT_MASK     ((UINT64_C(1) << MP__UNIT_BITS) - 1)
#define MP__SEQUENCE_MASK ((UINT64_C(1) << (64 - MP__UNIT_BITS)) - 1)

/* The record types beside enum mp__ring_type. */
#define MP__RECORD_SKIP   3
#define MP__RECORD_LINK   4
#define MP__RECORD_REF    0x40u /* with a message's type: the bytes are in a block, here is where */
#define MP__RECORD_HEADER 8

/* How far ahead bytes are asked for, and above which size libc knows better. */
#define MP__COPY_AHEAD_PUT  512
#define MP__COPY_AHEAD_GET  256
#define MP__COPY_AHEAD_MOST (UINT64_C(8) << 20)

/* Messages up to this size lie in the ring. */
#define MP__INLINE_MOST 4096

struct mp__segment {
    _Atomic(void *) next; /* set before the LINK that leads there is committed */
    uint64_t base, end;   /* units of the ring, [base, end) */
    uint64_t pad[5];      /* records begin on a cache line */
};
_Static_assert(sizeof(struct mp__segment) == 64, "records begin on a cache line");

/* ---- places ---------------------------------------------------------------------------------- */

static inline uint64_t
mp__place(uint64_t sequence, uint64_t unit)
{
    return sequence << MP__UNIT_BITS | unit;
}

static inline uint64_t
mp__place_unit(uint64_t p)
{
    return p & MP__UNIT_MASK;
}

static inline uint64_t
mp__place_sequence(uint64_t p)
{
    return p >> MP__UNIT_BITS;
}

/* The place at a unit, so many messages after p. */
static inline uint64_t
mp__place_after(uint64_t p, uint64_t messages, uint64_t unit)
{
    return mp__place((mp__place_sequence(p) + messages) & MP__SEQUENCE_MASK, unit);
}

static inline uint64_t
mp__messages_between(uint64_t head, uint64_t tail)
{
    return (mp__place_sequence(tail) - mp__place_sequence(head)) & MP__SEQUENCE_MASK;
}

/* ---- segments -------------------------------------------------------------------------------- */

static inline struct mp__segment *
mp__segment_in(_Atomic(void *) *slot)
{
    return atomic_load_explicit(slot, memory_order_acquire);
}

static inline bool
mp__segment_has(const struct mp__segment *s, uint64_t unit)
{
    return unit >= s->base && unit < s->end;
}

static inline uint64_t
mp__segment_bytes(const struct mp__segment *s)
{
    return (s->end - s->base) * MP__UNIT;
}

/* ---- records --------------------------------------------------------------------------------- */

/* The header of the record at a unit of the heap. */
static inline _Atomic uint64_t *
mp__record(uint64_t unit)
{
    return (_Atomic uint64_t *)(uintptr_t)(mp__family->base + unit * MP__UNIT);
}

static inline uint64_t
mp__record_header(unsigned type, uint64_t len)
{
    return (uint64_t)type << 56 | len;
}

static inline unsigned
mp__record_type(uint64_t header)
{
    return (unsigned)(header >> 56);
}

static inline uint64_t
mp__record_len(uint64_t header)
{
    return header & ((UINT64_C(1) << 56) - 1);
}

static inline bool
mp__record_is_ref(uint64_t header)
{
    return mp__record_type(header) & MP__RECORD_REF;
}

/* A cache line is soon to be written. */
static inline void
mp__ask_to_write(const void *at)
{
#if defined __x86_64__
    /* The builtin would only ask to read. */
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)at));
#else
    __builtin_prefetch(at, 1);
#endif
}

/*
 * Soon to be written, or read: so many bytes from a unit on.  The locks' own instructions wait for
 * all stores before, so a record's cache lines should be here when it is written.
 */
static inline void
mp__record_to_write(uint64_t unit, uint64_t bytes)
{
    mp__ask_to_write((const char *)mp__record(unit) + bytes);
}

static inline void
mp__record_to_read(uint64_t unit, uint64_t bytes)
{
    __builtin_prefetch((const char *)mp__record(unit) + bytes, 0);
}

/*
 * A big message's bytes into its block, and out of it.  The block's lines are in the other's cache, or
 * where both meet: a plain memcpy of libc, which may be one instruction, waits for each few of them;
 * these ask for lines ahead.
 */
static inline void
mp__block_put(void *to, const void *from, size_t len)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    size_t done = 0;
    for (; len - done >= 64 && len <= MP__COPY_AHEAD_MOST; done += 64) {
        mp__ask_to_write(t + done + MP__COPY_AHEAD_PUT);
        memcpy(t + done, f + done, 64); /* a few moves, no call */
    }
    memcpy(t + done, f + done, len - done);
}

static inline void
mp__block_get(void *to, const void *from, size_t len)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    size_t done = 0;
    for (; len - done >= 64 && len <= MP__COPY_AHEAD_MOST; done += 64) {
        __builtin_prefetch(f + done + MP__COPY_AHEAD_GET, 0);
        memcpy(t + done, f + done, 64);
    }
    memcpy(t + done, f + done, len - done);
}

/* A message's bytes into the ring or out of it; small ones without a call. */
static inline void
mp__record_copy(void *to, const void *from, size_t len)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    if (len - 8 <= 8) {
        uint64_t first, last;
        memcpy(&first, f, 8);
        memcpy(&last, f + len - 8, 8);
        memcpy(t, &first, 8);
        memcpy(t + len - 8, &last, 8);
    } else if (len) {
        memcpy(to, from, len);
    }
}

/* Its length in units. */
static inline uint64_t
mp__record_units(uint64_t header)
{
    uint64_t len = mp__record_is_ref(header) ? sizeof(void *) : mp__record_len(header);
    return (MP__RECORD_HEADER + len + MP__UNIT - 1) / MP__UNIT;
}

/* The bytes behind the header; of a REF, the address of its block. */
static inline void *
mp__record_data(uint64_t unit)
{
    return (void *)(mp__record(unit) + 1);
}

static inline void *
mp__record_block(uint64_t unit)
{
    return *(void **)mp__record_data(unit);
}

#endif
