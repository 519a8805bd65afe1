/*
 * table.c - the parts of the word table that are not in the inner loop: room, growth, ranges
 */
#include "table.h"

enum {
    FIRST_BITS = 14,       /* slots of a new table: 2 to this power */
    CHUNK_SIZE = 256 << 10 /* bytes of words allocated at a time */
};

struct wc_chunk {
    struct wc_chunk *next;
    uint64_t bytes[]; /* aligned for struct wc_word */
};

static size_t
slot_count(const struct wc_table *table)
{
    return (size_t)1 << (64 - table->shift);
}

static struct wc_slot *
new_slots(const struct wc_memory *memory, int bits)
{
    size_t size = sizeof(struct wc_slot) << bits;
    struct wc_slot *slots = memory->allocate(size);
    if (slots != NULL) {
        memset(slots, 0, size);
    }
    return slots;
}

struct wc_table *
wc_table_new(const struct wc_memory *memory)
{
    struct wc_table *table = memory->allocate(sizeof *table);
    if (table == NULL) {
        return NULL;
    }
    *table = (struct wc_table){.shift = 64 - FIRST_BITS};
    table->slots = new_slots(memory, FIRST_BITS);
    if (table->slots == NULL) {
        memory->release(table);
        return NULL;
    }
    return table;
}

void
wc_table_free(struct wc_table *table, const struct wc_memory *memory)
{
    if (table == NULL) {
        return;
    }
    for (struct wc_chunk *chunk = table->room; chunk != NULL;) {
        struct wc_chunk *next = chunk->next;
        memory->release(chunk);
        chunk = next;
    }
    memory->release(table->slots);
    memory->release(table);
}

/* The first free slot for a hash that is not in the table. */
static struct wc_slot *
free_slot(struct wc_table *table, uint64_t hash)
{
    size_t last = slot_count(table) - 1;
    size_t at = hash >> table->shift;
    while (table->slots[at].word != NULL) {
        at = (at + 1) & last;
    }
    return &table->slots[at];
}

/* Make sure that `words` words, one more than there are, fill at most half of the slots. */
static int
reserve(struct wc_table *table, const struct wc_memory *memory, size_t words)
{
    if (words <= slot_count(table) / 2) {
        return 0;
    }
    int bits = 64 - table->shift + 1;
    struct wc_slot *slots = new_slots(memory, bits);
    if (slots == NULL) {
        return -1;
    }
    struct wc_table old = *table;
    table->slots = slots;
    table->shift = 64 - bits;
    for (size_t i = 0; i < slot_count(&old); i++) {
        if (old.slots[i].word != NULL) {
            *free_slot(table, old.slots[i].hash) = old.slots[i];
        }
    }
    memory->release(old.slots);
    return 0;
}

/* Room for a word; long ones get a chunk of their own. */
static struct wc_word *
new_word(struct wc_table *table, const struct wc_memory *memory, size_t padded)
{
    size_t size = sizeof(struct wc_word) + padded;
    if (size > table->left) {
        size_t bytes = size > CHUNK_SIZE / 4 ? size : CHUNK_SIZE - sizeof(struct wc_chunk);
        struct wc_chunk *chunk = memory->allocate(sizeof *chunk + bytes);
        if (chunk == NULL) {
            return NULL;
        }
        if (bytes == size && table->room != NULL) { /* go on filling the present one */
            chunk->next = table->room->next;
            table->room->next = chunk;
            return (struct wc_word *)chunk->bytes;
        }
        chunk->next = table->room;
        table->room = chunk;
        table->left = bytes;
    }
    /* A chunk is filled from its end, so that its size need not be known. */
    table->left -= size;
    return (struct wc_word *)((char *)table->room->bytes + table->left);
}

int
wc_table_insert(struct wc_table *table, const struct wc_memory *memory, uint64_t hash,
                const char *text, size_t length)
{
    size_t padded = (length + WC_STEP - 1) / WC_STEP * WC_STEP;
    if (reserve(table, memory, table->used + 1) != 0) {
        return -1;
    }
    struct wc_word *word = new_word(table, memory, padded);
    if (word == NULL) {
        return -1;
    }
    word->count = 1;
    word->length = length;
    memcpy(word->text, text, length);
    memset(word->text + length, 0, padded - length);
    *free_slot(table, hash) = (struct wc_slot){.hash = hash, .word = word};
    table->used++;
    return 0;
}

/*
 * A word is at or behind the slot that its hash chooses, with no free slot between: so the words of
 * a range end at the first free slot that is not before the range's last one.
 */
size_t
wc_table_range(const struct wc_table *table, uint64_t first, uint64_t last,
               struct wc_slot *ret_slots)
{
    size_t mask = slot_count(table) - 1;
    size_t start = first >> table->shift, end = last >> table->shift;
    size_t count = 0;
    int at_end = 0;
    for (size_t at = start;; at = (at + 1) & mask) {
        const struct wc_slot *slot = &table->slots[at];
        if (at_end && at == start) {
            return count; /* around the whole table */
        }
        at_end |= at == end;
        if (slot->word == NULL) {
            if (at_end) {
                return count;
            }
        } else if (slot->hash >= first && slot->hash <= last) {
            if (ret_slots != NULL) {
                ret_slots[count] = *slot;
            }
            count++;
        }
    }
}
