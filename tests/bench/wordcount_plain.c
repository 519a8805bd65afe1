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

int
main(int argc, char **argv)
{
    static const struct wc_memory memory = {malloc, free};
    bool all = argc > 1 && strcmp(argv[1], "--all") == 0;
    double begin = now();

    struct wc_walk walk = {0};
    for (int i = 1 + all; i < argc; i++) {
        if (wc_walk_add(&walk, argv[i]) != 0) {
            fprintf(stderr, "wordcount_plain: no memory\n");
            return 1;
        }
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
        fprintf(stderr, "wordcount_plain: no memory\n");
        return 1;
    }
    double counted = now();

    if (all) {
        status = wc_print_all(counter.table);
    } else {
        printf("files %llu, skipped %llu, bytes %llu, words %llu, distinct %zu\n",
               (unsigned long long)counter.totals.files, (unsigned long long)counter.totals.skipped,
               (unsigned long long)counter.totals.bytes, (unsigned long long)counter.totals.words,
               counter.table->used);
        printf("walk %.3f s, count %.3f s, %.1f MB/s\n", walked - begin, counted - walked,
               (double)counter.totals.bytes / 1e6 / (counted - walked));
        status = wc_print_top(counter.table, 10);
    }
    if (status != 0 || fflush(stdout) != 0) {
        fprintf(stderr, "wordcount_plain: cannot print: %s\n", strerror(errno));
        status = 1;
    }

    wc_table_free(counter.table, &memory);
    wc_counter_end(&counter);
    wc_walk_free(&walk);
    return status;
}
