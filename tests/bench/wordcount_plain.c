/*
 * wordcount_plain.c - the work of examples/wordcount in one process without libmp
 *
 * The same walk, the same counting and the same table, in a loop: what one worker of wordcount is
 * measured against.
 *
 *     wordcount_plain [--all] DIR...
 *
 * Prints the totals and the seconds of the walk and the count; with --all every word as
 * `sort | uniq -c` would.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "count.h"
#include "report.h"
#include "table.h"
#include "walk.h"

static double
now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Print the table's words; 0, or -1: no memory. */
static int
print_words(const struct wc_table *table, bool all)
{
    struct wc_slot *slots = malloc((table->used + 1) * sizeof *slots);
    struct wc_entry *entries = malloc((table->used + 1) * sizeof *entries);
    if (slots == NULL || entries == NULL) {
        free(slots);
        free(entries);
        return -1;
    }
    size_t count = wc_table_range(table, 0, UINT64_MAX, slots);
    for (size_t i = 0; i < count; i++) {
        entries[i] = (struct wc_entry){slots[i].word->count, slots[i].word};
    }
    if (all) {
        wc_print_all(entries, count);
    } else {
        wc_print_top(entries, count, 10);
    }
    free(slots);
    free(entries);
    return 0;
}

static int
list_all(void *memory, const char *const *paths, struct wc_listing *ret_listings, size_t count)
{
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++) {
        status = wc_read_directory(paths[i], &ret_listings[i], memory);
    }
    return status;
}

static int
no_memory(void)
{
    fprintf(stderr, "wordcount_plain: no memory\n");
    return 1;
}

int
main(int argc, char **argv)
{
    static struct wc_memory memory = {malloc, free};
    bool all = argc > 1 && strcmp(argv[1], "--all") == 0;
    double begin = now();

    struct wc_walk walk;
    if (wc_walk_run(&walk, &memory, (const char *const *)argv + 1 + all, (size_t)(argc - 1 - all),
                    list_all, &memory) != 0) {
        return no_memory();
    }
    double walked = now();

    struct wc_counter counter;
    int status = wc_counter_init(&counter, &memory);
    for (size_t i = 0; i < walk.count && status != ENOMEM; i++) {
        status = wc_count_piece(&counter, walk.files[i].path, 0, WC_TO_END);
        if (status != 0) {
            wc_report_unreadable(walk.files[i].path, status);
        }
    }
    if (status == ENOMEM) {
        return no_memory();
    }
    double counted = now();

    const struct wc_totals *totals = &counter.totals;
    if (!all) {
        printf("files %" PRIu64 ", skipped %" PRIu64 ", bytes %" PRIu64 ", words %" PRIu64
               ", distinct %zu\n",
               totals->files, totals->skipped, totals->bytes, totals->words, counter.table->used);
        printf("walk %.3f s, count %.3f s, %.1f MB/s\n", walked - begin, counted - walked,
               (double)totals->bytes / 1e6 / (counted - walked));
    }
    if (print_words(counter.table, all) != 0) {
        return no_memory();
    }
    if (fflush(stdout) != 0) {
        perror("wordcount_plain");
        return 1;
    }
    wc_table_free(counter.table, &memory);
    wc_counter_end(&counter);
    wc_walk_free(&walk);
    return 0;
}
