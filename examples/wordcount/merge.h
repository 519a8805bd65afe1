/*
 * merge.h - the reduce: the workers' tables become one list of words
 *
 * The hashes are divided into ranges of equal size.  A range is a share: its words are in all
 * tables, and in no other share, so that the shares are merged side by side.
 */
#ifndef WC_MERGE_H
#define WC_MERGE_H

#include <stddef.h>
#include <stdint.h>

#include "report.h"
#include "table.h"

/* In shared memory, as are the tables. */
struct wc_share {
    struct wc_table *const *tables;
    size_t table_count;
    uint64_t first; /* hashes, both included */
    uint64_t last;
};

struct wc_merged {
    struct wc_entry *entries; /* of mp_malloc() */
    size_t count;
};

/* The task of the reduce: a const struct wc_share in, a struct wc_merged out. */
int wc_merge_share(const void *share, void *ret_merged);

/* The shares of the tables, in one block of mp_malloc(); NULL with mp_last_error(). */
struct wc_share *wc_shares_make(struct wc_table *const *tables, size_t table_count,
                                size_t *ret_count);

/* All shares' entries in one block of malloc(), NULL: no memory.  Takes over their memory. */
struct wc_entry *wc_merged_join(const struct wc_merged *merged, size_t count, size_t *ret_count);

#endif
