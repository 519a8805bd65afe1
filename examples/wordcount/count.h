/*
 * count.h - count the words of a file, or of a piece of it
 */
#ifndef WC_COUNT_H
#define WC_COUNT_H

#include <stdint.h>
#include <sys/types.h>

#include "table.h"

/* The end of a piece that goes up to the end of the file. */
#define WC_TO_END INT64_MAX

struct wc_totals {
    uint64_t files;   /* text files counted */
    uint64_t skipped; /* files that are not text */
    uint64_t bytes;   /* of text files */
    uint64_t words;
};

/* What one process counts with. */
struct wc_counter {
    struct wc_table *table;
    const struct wc_memory *memory; /* the table's */
    struct wc_totals totals;
    char *buffer; /* of malloc(), reused from file to file */
    size_t capacity;
};

/* 0, or ENOMEM. */
int wc_counter_init(struct wc_counter *counter, const struct wc_memory *memory);

/* Gives the buffer back; the table is the caller's. */
void wc_counter_end(struct wc_counter *counter);

/*
 * Count the words that begin at offsets from start up to but not including end.  A word that began
 * before start is the previous piece's; one that goes on after end is read to its end.  So pieces
 * that cover a file count each word once, wherever the borders fall.
 *
 * A file with a NUL byte in its first 8 KiB is not text and only counted as skipped.  Files are
 * counted in totals by the piece that starts at 0.  A file that shrank has its present end.
 *
 * 0, or an errno code: ENOMEM means the process has no memory for it, others that the file cannot
 * be read (any more).
 */
int wc_count_piece(struct wc_counter *counter, const char *path, int64_t start, int64_t end);

#endif
