/*
 * report.c - sort words and print them
 */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By the bytes' values, as sort does in the C locale. */
static int
by_text(const void *left, const void *right)
{
    const struct wc_word *a = ((const struct wc_entry *)left)->word;
    const struct wc_word *b = ((const struct wc_entry *)right)->word;
    size_t common = a->length < b->length ? a->length : b->length;
    int order = memcmp(a->text, b->text, common);
    return order != 0 ? order : (a->length > b->length) - (a->length < b->length);
}

/* The most frequent first. */
static int
by_count(const void *left, const void *right)
{
    uint64_t a = ((const struct wc_entry *)left)->count;
    uint64_t b = ((const struct wc_entry *)right)->count;
    return a != b ? (a < b) - (a > b) : by_text(left, right);
}

/* heap[0] is the last in the order of by_count; let the entry at `at` sink to where it belongs. */
static void
sink(struct wc_entry *heap, size_t count, size_t at)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count) {
            return;
        }
        if (child + 1 < count && by_count(&heap[child + 1], &heap[child]) > 0) {
            child++;
        }
        if (by_count(&heap[child], &heap[at]) <= 0) {
            return;
        }
        struct wc_entry entry = heap[at];
        heap[at] = heap[child];
        heap[child] = entry;
        at = child;
    }
}

/*
 * Leave the `top` first entries of the order in entries[0, top), in no order: cheaper than sorting
 * all when few are wanted.
 */
static void
select_top(struct wc_entry *entries, size_t count, size_t top)
{
    for (size_t i = top / 2; i-- > 0;) {
        sink(entries, top, i);
    }
    for (size_t i = top; i < count; i++) {
        if (by_count(&entries[i], &entries[0]) < 0) {
            entries[0] = entries[i];
            sink(entries, top, 0);
        }
    }
}

static void
print_entries(const struct wc_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        printf("%7" PRIu64 " ", entries[i].count);
        fwrite(entries[i].word->text, 1, entries[i].word->length, stdout);
        putchar('\n');
    }
}

void
wc_print_top(struct wc_entry *entries, size_t count, size_t top)
{
    if (top > count) {
        top = count;
    }
    if (top > 0) {
        select_top(entries, count, top);
        qsort(entries, top, sizeof *entries, by_count);
        print_entries(entries, top);
    }
}

void
wc_print_all(struct wc_entry *entries, size_t count)
{
    if (count > 0) {
        qsort(entries, count, sizeof *entries, by_text);
        print_entries(entries, count);
    }
}
