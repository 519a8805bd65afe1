/*
 * report.h - print words and their counts
 */
#ifndef WC_REPORT_H
#define WC_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "table.h"

struct wc_entry {
    uint64_t count; /* of all tables together; the word has that of its own table */
    const struct wc_word *word;
};

/*
 * Print the `top` most frequent words, one a line, those of equal count in alphabetical order.
 * Reorders the entries.  Whether stdout took it is to be asked of stdout.
 */
void wc_print_top(struct wc_entry *entries, size_t count, size_t top);

/* Every word with its count, as `LC_ALL=C sort | uniq -c` prints them.  Reorders the entries. */
void wc_print_all(struct wc_entry *entries, size_t count);

#endif
