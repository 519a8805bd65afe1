/*
 * wordcount: count the words of large trees of files, with a pool of processes.
 *
 *     options.c    the command line
 *     walk.c       the parent finds the files
 *     plan.c       and cuts the work into units, in shared memory;
 *     work.c       the map: the workers of an mp_pool count them, into a table each;
 *     merge.c      the reduce: the workers merge the tables, a range of hashes each
 *     count.c      counting a file, or a piece of one
 *     table.c      words and their counts
 *     progress.c   a bar on the terminal meanwhile
 *     report.c     the words, sorted
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <mp/mp.h>

#include "merge.h"
#include "options.h"
#include "plan.h"
#include "progress.h"
#include "report.h"
#include "walk.h"
#include "work.h"

static double
now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static int
failed(const char *what)
{
    fprintf(stderr, "wordcount: %s\n", what);
    return 1;
}

/* Walk what was asked for, or the places where most systems have text.  0, 1 or 2. */
static int
find_files(struct wc_walk *walk, const struct wc_options *options)
{
    static const char *const usual[] = {"/usr/share/common-licenses", "/usr/share/doc",
                                        "/usr/include"};
    int status = 0;
    for (int i = 0; i < options->roots_count && status == 0; i++) {
        status = wc_walk_add(walk, options->roots[i]);
    }
    int found = options->roots_count;
    for (size_t i = 0; i < sizeof usual / sizeof usual[0] && options->roots_count == 0; i++) {
        struct stat st;
        if (status == 0 && stat(usual[i], &st) == 0) {
            status = wc_walk_add(walk, usual[i]);
            found++;
        }
    }
    if (status != 0) {
        return failed("out of memory");
    }
    if (found == 0) {
        failed("there is nothing to count by default here: name a directory");
        return 2;
    }
    return 0;
}

/* What became of all files. */
struct count {
    struct wc_counted counted;
    struct wc_entry *entries; /* every word once */
    size_t entry_count;
};

/* The map: every unit is counted into the table of the worker that takes it.  0 or 1. */
static int
map(mp_pool *pool, const struct wc_walk *walk, struct count *count)
{
    struct wc_plan plan;
    if (wc_plan_make(&plan, walk, mp_pool_processes(pool)) != 0) {
        return failed(mp_last_error_text());
    }
    struct wc_result *results = mp_calloc(plan.count, sizeof *results);
    if (results == NULL) {
        return failed(mp_last_error_text());
    }
    struct wc_progress *progress = wc_progress_begin(plan.done, plan.bytes);
    int status = mp_pool_map_array(pool, wc_count_unit, plan.units, sizeof *plan.units, results,
                                   sizeof *results, plan.count, &(mp_map_options){.chunksize = 1});
    wc_progress_end(progress);
    if (status != 0) {
        return failed(mp_last_error_text());
    }
    if (wc_collect(&count->counted, results, plan.count) != 0) {
        return failed("out of memory");
    }
    mp_free(results);
    wc_plan_free(&plan);
    return 0;
}

/* The reduce: the tables, by ranges of the hashes, are merged into one list of words.  0 or 1. */
static int
reduce(mp_pool *pool, struct count *count)
{
    size_t shares_count;
    struct wc_share *shares =
        wc_shares_make(count->counted.tables, count->counted.table_count, &shares_count);
    struct wc_merged *merged = mp_calloc(shares_count, sizeof *merged);
    if (shares == NULL || merged == NULL ||
        mp_pool_map_array(pool, wc_merge_share, shares, sizeof *shares, merged, sizeof *merged,
                          shares_count, &(mp_map_options){.chunksize = 1}) != 0) {
        return failed(mp_last_error_text());
    }
    count->entries = wc_merged_join(merged, shares_count, &count->entry_count);
    if (count->entries == NULL) {
        return failed("out of memory");
    }
    mp_free(merged);
    mp_free(shares);
    return 0;
}

/* 0 or 1.  The memory of a count that failed goes with the process. */
static int
count_words(struct count *count, const struct wc_walk *walk, int workers, const mp_context *context)
{
    mp_pool *pool = mp_pool_new(&(mp_pool_options){.processes = workers, .context = context});
    if (pool == NULL) {
        return failed(mp_last_error_text());
    }
    int status = map(pool, walk, count);
    if (status == 0) {
        status = reduce(pool, count);
    }
    mp_pool_free(pool);
    return status;
}

static void
print_totals(const struct count *count, double seconds, int workers, const mp_context *context)
{
    const struct wc_totals *totals = &count->counted.totals;
    printf("files    %" PRIu64 "\n", totals->files);
    printf("skipped  %" PRIu64 " (not text)\n", totals->skipped);
    printf("bytes    %" PRIu64 "\n", totals->bytes);
    printf("words    %" PRIu64 "\n", totals->words);
    printf("distinct %zu\n", count->entry_count);
    printf("seconds  %.3f (%.1f MB/s; %d workers, %s)\n", seconds,
           (double)totals->bytes / 1e6 / seconds, workers, mp_context_get_start_method(context));
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    struct wc_options options;
    if (wc_options_parse(&options, argc, argv) != 0) {
        return 2;
    }
    if (options.help) {
        wc_options_help();
        return 0;
    }
    const mp_context *context = mp_get_context(options.method);
    if (context == NULL) {
        failed(mp_last_error_text());
        return 2;
    }
    int workers = options.workers > 0 ? options.workers : mp_usable_cpu_count();

    double begin = now();
    struct wc_walk walk = {0};
    int status = find_files(&walk, &options);
    if (status != 0) {
        return status;
    }
    struct count count;
    if (count_words(&count, &walk, workers, context) != 0) {
        return 1;
    }
    double seconds = now() - begin;

    if (options.all) {
        wc_print_all(count.entries, count.entry_count);
    } else {
        print_totals(&count, seconds, workers, context);
        wc_print_top(count.entries, count.entry_count, options.top);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return failed(strerror(errno));
    }
    uint64_t unreadable = walk.unreadable + count.counted.unreadable;
    if (unreadable > 0) {
        fprintf(stderr, "wordcount: %" PRIu64 " files or directories could not be read\n",
                unreadable);
    }
    free(count.entries);
    wc_counted_free(&count.counted);
    wc_walk_free(&walk);
    return 0;
}
