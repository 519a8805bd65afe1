/*
 * merge.c - the reduce: the workers' tables become one list of words
 */
#include "merge.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <mp/mp.h>

enum {
    WORDS_A_SHARE = 4096, /* about as many, so that an index of them stays in the cache */
    MOST_BITS = 12        /* the number of shares is at most 2 to this power */
};

/* Where the words of a share that were met are in the list of entries. */
struct index {
    struct place {
        uint64_t hash;
        size_t entry; /* its number, plus 1; 0: free */
    } * places;
    size_t last; /* places, minus 1 */
};

static bool
index_init(struct index *index, size_t words)
{
    size_t size = 16;
    while (size < 2 * words) {
        size *= 2;
    }
    index->last = size - 1;
    index->places = calloc(size, sizeof *index->places);
    return index->places != NULL;
}

/* Add a word's count to its entry, or to a new one. */
static void
add_word(struct index *index, struct wc_merged *merged, const struct wc_slot *slot)
{
    const struct wc_word *word = slot->word;
    /* All hashes of a share begin with the same bits: choose the place by the last ones. */
    for (size_t at = slot->hash & index->last;; at = (at + 1) & index->last) {
        struct place *place = &index->places[at];
        if (place->entry == 0) {
            merged->entries[merged->count++] = (struct wc_entry){word->count, word};
            *place = (struct place){slot->hash, merged->count};
            return;
        }
        struct wc_entry *entry = &merged->entries[place->entry - 1];
        if (place->hash == slot->hash && entry->word->length == word->length &&
            memcmp(entry->word->text, word->text, word->length) == 0) {
            entry->count += word->count;
            return;
        }
    }
}

int
wc_merge_share(const void *in, void *out)
{
    const struct wc_share *share = in;
    struct wc_merged *merged = out;
    *merged = (struct wc_merged){.entries = NULL};

    size_t total = 0;
    for (size_t i = 0; i < share->table_count; i++) {
        total += wc_table_range(share->tables[i], share->first, share->last, NULL);
    }
    struct wc_slot *slots = malloc((total + 1) * sizeof *slots);
    struct index index;
    bool ready = index_init(&index, total) && slots != NULL;
    if (ready) {
        merged->entries = mp_malloc(total * sizeof *merged->entries);
    }
    for (size_t i = 0; i < share->table_count && merged->entries != NULL; i++) {
        size_t count = wc_table_range(share->tables[i], share->first, share->last, slots);
        for (size_t j = 0; j < count; j++) {
            add_word(&index, merged, &slots[j]);
        }
    }
    free(index.places);
    free(slots);
    return merged->entries != NULL ? 0 : MP_ENOMEM;
}

struct wc_share *
wc_shares_make(struct wc_table *const *tables, size_t table_count, size_t *ret_count)
{
    size_t words = 0;
    for (size_t i = 0; i < table_count; i++) {
        words += tables[i]->used;
    }
    int bits = 1; /* of a hash, that tell the share */
    while (bits < MOST_BITS && words >> bits > WORDS_A_SHARE) {
        bits++;
    }
    *ret_count = (size_t)1 << bits;
    struct wc_share *shares = mp_calloc(*ret_count, sizeof *shares);
    for (size_t i = 0; i < *ret_count && shares != NULL; i++) {
        uint64_t first = (uint64_t)i << (64 - bits);
        shares[i] = (struct wc_share){.tables = tables,
                                      .table_count = table_count,
                                      .first = first,
                                      .last = first + ((uint64_t)1 << (64 - bits)) - 1};
    }
    return shares;
}

struct wc_entry *
wc_merged_join(const struct wc_merged *merged, size_t count, size_t *ret_count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        total += merged[i].count;
    }
    struct wc_entry *entries = malloc((total + 1) * sizeof *entries);
    *ret_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (entries != NULL) {
            memcpy(entries + *ret_count, merged[i].entries, merged[i].count * sizeof *entries);
            *ret_count += merged[i].count;
        }
        mp_free(merged[i].entries);
    }
    return entries;
}
