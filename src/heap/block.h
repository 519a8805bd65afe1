/*
 * heap/block.h: what the allocator's blocks look like; for the files of the allocator alone, so its
 * names are short.  alloc.c tells the rules.
 */
#ifndef MP_HEAP_BLOCK_H
#define MP_HEAP_BLOCK_H

#include <stdatomic.h>
#include <stdint.h>

#include "heap/family.h"

#define UNIT       UINT64_C(16)
#define BIG        (UINT64_C(64) << 10)
#define TRIM       (UINT64_C(2) << 20)
#define KEEP       (UINT64_C(1) << 20)
#define STEP       (UINT64_C(64) << 10)
#define MOST_ALIGN (UINT64_C(1) << 20)

/* A request above this has its inner pages reserved after the lock is let go. */
#define LATE (UINT64_C(1) << 20)

/* Bytes of a block that stay as they were until it is free, for whoever frees it again. */
#define STAY UINT64_C(4096)

#define USED       UINT64_C(1)
#define FREEING    UINT64_C(2)
#define PART       UINT64_C(4) /* used: only the pages of STAY bytes are sure to be reserved */
#define FLAGS      (UNIT - 1)
#define CHECK_BITS 24
#define SIZE_MASK  ((UINT64_C(1) << (64 - CHECK_BITS)) - 1 - FLAGS)

/* The header of every block, and what a free one has behind it. */
struct block {
    uint64_t before; /* offset of the block before, 0: this is the first */
    uint64_t info;   /* check bits:24 | size:36 | flags:4 */
    uint64_t next;   /* free: offsets in the list, 0 ends */
    uint64_t back;
    uint64_t ready; /* free and BIG: offset up to which pages are reserved */
    uint64_t dirty; /* free and BIG: bytes behind ready that may hold pages */
};
#define HEADER   16
#define SMALLEST 32

static inline struct mp__family *
fam(void)
{
    return mp__family;
}

static inline struct block *
at(uint64_t offset)
{
    return (struct block *)(uintptr_t)(fam()->base + offset);
}

static inline uint64_t
offset_of(const void *p)
{
    return (uint64_t)(uintptr_t)p - fam()->base;
}

/* By atomic loads: whoever frees a block marks it before it has the lock, see give_back(). */
static inline uint64_t
info_at(uint64_t offset)
{
    return atomic_load_explicit((_Atomic uint64_t *)&at(offset)->info, memory_order_relaxed);
}

static inline uint64_t
size_of(uint64_t offset)
{
    return info_at(offset) & SIZE_MASK;
}

static inline uint64_t
check_bits(uint64_t offset)
{
    return (offset + fam()->key) * UINT64_C(0x9E3779B97F4A7C15) >> (64 - CHECK_BITS)
                                                                       << (64 - CHECK_BITS);
}

static inline uint64_t
info_of(uint64_t offset, uint64_t size, uint64_t flags)
{
    return check_bits(offset) | size | flags;
}

static inline uint64_t
page_up(uint64_t x)
{
    return (x + fam()->page - 1) & ~(uint64_t)(fam()->page - 1);
}

static inline uint64_t
page_down(uint64_t x)
{
    return x & ~(uint64_t)(fam()->page - 1);
}

static inline uint64_t
at_most(uint64_t x, uint64_t most)
{
    return x < most ? x : most;
}

static inline unsigned
class_of(uint64_t size)
{
    uint64_t u = size / UNIT;
    if (u < 64) {
        return (unsigned)u;
    }
    unsigned e = 63 - (unsigned)__builtin_clzll(u);
    return 64 + (e - 6) * 8 + (unsigned)(u >> (e - 3) & 7);
}

#endif
