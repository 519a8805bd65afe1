/* queue/segment.h: the form of records and of the segments they lie in; see ring.h. */
#ifndef MP_QUEUE_SEGMENT_H
#define MP_QUEUE_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "heap/family.h"

#define MP__UNIT          UINT64_C(16)
#define MP__UNIT_BITS     36
#define MP__UNIT_MASK     ((UINT64_C(1) << MP__UNIT_BITS) - 1)
#define MP__SEQUENCE_MASK ((UINT64_C(1) << (64 - MP__UNIT_BITS)) - 1)

/* The record types beside enum mp__ring_type. */
#define MP__RECORD_SKIP   3
#define MP__RECORD_LINK   4
#define MP__RECORD_HEADER 8

struct mp__segment {
    _Atomic(void *) next; /* set before the LINK that leads there is committed */
    uint64_t base, end;   /* units of the ring, [base, end) */
    uint64_t pad[5];      /* records begin on a cache line */
};
_Static_assert(sizeof(struct mp__segment) == 64, "records begin on a cache line");

static inline bool
mp__segment_has(const struct mp__segment *s, uint64_t unit)
{
    return unit >= s->base && unit < s->end;
}

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

#endif
