/*
 * report.c - sort the words of a table and print them
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
    const struct wc_word *a = *(struct wc_word *const *)left;
    const struct wc_word *b = *(struct wc_word *const *)right;
    size_t common = a->length < b->length ? a->length : b->length;
    int order = memcmp(a->text, b->text, common);
    return order != 0 ? order : (a->length > b->length) - (a->length < b->length);
}

/* The most frequent first. */
static int
by_count(const void *left, const void *right)
{
    const struct wc_word *a = *(struct wc_word *const *)left;
    const struct wc_word *b = *(struct wc_word *const *)right;
    return a->count != b->count ? (a->count < b->count) - (a->count > b->count)
                                : by_text(left, right);
}

/* heap[0] is the last in the order of by_count; let it sink to where it belongs. */
static void
sink(struct wc_word **heap, size_t count, size_t at)
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
        struct wc_word *word = heap[at];
        heap[at] = heap[child];
        heap[child] = word;
        at = child;
    }
}

/*
 * Leave the `top` first words of the order in words[0, top), in no order: cheaper than sorting all
 * when few are wanted.
 */
static void
select_top(struct wc_word **words, size_t count, size_t top)
{
    for (size_t i = top / 2; i-- > 0;) {
        sink(words, top, i);
    }
    for (size_t i = top; i < count; i++) {
        if (by_count(&words[i], &words[0]) < 0) {
            words[0] = words[i];
            sink(words, top, 0);
        }
    }
}

static struct wc_word **
list_words(const struct wc_table *table)
{
    struct wc_word **words = malloc((table->used + 1) * sizeof *words);
    size_t slots = (size_t)1 << (64 - table->shift);
    for (size_t i = 0, n = 0; i < slots && words != NULL; i++) {
        if (table->slots[i].word != NULL) {
            words[n++] = table->slots[i].word;
        }
    }
    return words;
}

static void
print_words(struct wc_word *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        printf("%7" PRIu64 " ", words[i]->count);
        fwrite(words[i]->text, 1, words[i]->length, stdout);
        putchar('\n');
    }
}

int
wc_print_top(const struct wc_table *table, size_t top)
{
    struct wc_word **words = list_words(table);
    if (words == NULL) {
        return -1;
    }
    if (top > table->used) {
        top = table->used;
    }
    if (top > 0) {
        select_top(words, table->used, top);
        qsort(words, top, sizeof *words, by_count);
    }
    print_words(words, top);
    free(words);
    return 0;
}

int
wc_print_all(const struct wc_table *table)
{
    struct wc_word **words = list_words(table);
    if (words == NULL) {
        return -1;
    }
    qsort(words, table->used, sizeof *words, by_text);
    print_words(words, table->used);
    free(words);
    return 0;
}
