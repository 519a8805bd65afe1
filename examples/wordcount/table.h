/*
 * table.h - how often each word was seen
 *
 * A hash table with open addressing.  It is made of slots that hold the hash and a pointer to the
 * word, and of chunks that hold the words.  Where they are allocated is up to the caller: the
 * workers use the memory that all processes share (mp_malloc), so that the parent reads a worker's
 * table in place; a program of one process uses malloc.
 */
#ifndef WC_TABLE_H
#define WC_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Kept by each process for itself and passed to the calls: a shared table holds no functions. */
struct wc_memory {
    void *(*allocate)(size_t size); /* NULL when there is no more */
    void (*release)(void *block);
};

struct wc_word {
    uint64_t count;
    size_t length;
    char text[]; /* length letters, then zeros up to a multiple of WC_STEP */
};

struct wc_slot {
    uint64_t hash;
    struct wc_word *word; /* NULL: the slot is free */
};

struct wc_table {
    struct wc_slot *slots;
    int shift;             /* 64 - log2(slots): a hash's first slot is hash >> shift */
    size_t used;           /* distinct words */
    struct wc_chunk *room; /* the chunk that is being filled, a list of all */
    size_t left;           /* free bytes in it */
};

/* Words are hashed and compared this many letters at a time. */
enum { WC_STEP = sizeof(uint64_t) };

/* All take the table's memory functions.  The int is 0, or -1: no memory, nothing changed. */
struct wc_table *wc_table_new(const struct wc_memory *memory);
void wc_table_free(struct wc_table *table, const struct wc_memory *memory); /* NULL is fine */
int wc_table_insert(struct wc_table *table, const struct wc_memory *memory, uint64_t hash,
                    const char *text, size_t length);

/*
 * Copy the slots of the words with a hash from first to last, both included, to ret_slots, when it
 * is not NULL.  Returns their number.  Slots are in the order of the hashes, nearly, so a range
 * costs no more than its share of the table.
 */
size_t wc_table_range(const struct wc_table *table, uint64_t first, uint64_t last,
                      struct wc_slot *ret_slots);

/* The up to WC_STEP letters at text as a number, zeros after them.  Reads WC_STEP bytes. */
static inline uint64_t
wc_step(const char *text, size_t length)
{
    static const unsigned char keep[2 * WC_STEP] = {255, 255, 255, 255, 255, 255, 255, 255};
    uint64_t letters, mask;
    memcpy(&letters, text, WC_STEP);
    if (length >= WC_STEP) {
        return letters;
    }
    memcpy(&mask, keep + WC_STEP - length, WC_STEP); /* in either byte order */
    return letters & mask;
}

/*
 * Add one to the count of a word.  Reads up to WC_STEP - 1 bytes beyond its end.
 * Stays in the header to be compiled into the counting loop.
 */
static inline int
wc_table_count(struct wc_table *table, const struct wc_memory *memory, const char *text,
               size_t length)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < length; i += WC_STEP) {
        hash = (hash ^ wc_step(text + i, length - i)) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    hash *= 0xd6e8feb86659fd93u; /* the high bits choose the slot */

    size_t last = ((size_t)1 << (64 - table->shift)) - 1;
    for (size_t at = hash >> table->shift;; at = (at + 1) & last) {
        struct wc_slot *slot = &table->slots[at];
        if (slot->word == NULL) {
            return wc_table_insert(table, memory, hash, text, length);
        }
        if (slot->hash != hash || slot->word->length != length) {
            continue;
        }
        size_t i = 0;
        uint64_t other;
        do {
            memcpy(&other, slot->word->text + i, WC_STEP);
            if (other != wc_step(text + i, length - i)) {
                break;
            }
            i += WC_STEP;
        } while (i < length);
        if (i >= length) {
            slot->word->count++;
            return 0;
        }
    }
}

#endif
