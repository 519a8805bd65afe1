/* helpers/pattern.h: bytes that can be told again, and numbers that are the same each time. */
#ifndef MP_TEST_HELPERS_PATTERN_H
#define MP_TEST_HELPERS_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a message that depend on its number and place. */
static inline void
fill(unsigned char *data, size_t len, uint64_t number)
{
    for (size_t i = 0; i < len; i++) {
        data[i] = (unsigned char)(number * 31 + i * 7 + (i >> 8));
    }
}

static inline bool
is_filled(const unsigned char *data, size_t len, uint64_t number)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] != (unsigned char)(number * 31 + i * 7 + (i >> 8))) {
            return false;
        }
    }
    return true;
}

/* The same numbers each time. */
static inline uint64_t
next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

#endif
