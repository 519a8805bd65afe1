/*
 * report.h - print the words of a table
 */
#ifndef WC_REPORT_H
#define WC_REPORT_H

#include <stddef.h>

#include "table.h"

/* The `top` most frequent words, one a line, those of equal count in alphabetical order. */
/* 0, or -1: no memory.  Whether stdout took it is to be asked of stdout. */
int wc_print_top(const struct wc_table *table, size_t top);

/* Every word with its count, as `LC_ALL=C sort | uniq -c` prints them.  As wc_print_top(). */
int wc_print_all(const struct wc_table *table);

#endif
