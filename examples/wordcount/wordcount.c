/*
 * wordcount: count the words of large trees of files, with a pool of processes.
 *
 *     options.c    the command line
 *     walk.c       finding the files, level by level of the tree;
 *     listing.c    the workers of an mp_pool list the directories of a level
 *     plan.c       the parent cuts the work into units, in shared memory
 *     work.c       the map: the workers count the units, into a table each;
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

/* How the walk has directories listed: by the workers. */
static int
list_all(void *context, const char *const *paths, struct wc_listing *ret_listings, size_t count)
{
    mp_pool *pool = context;
    return mp_pool_map_array(pool, wc_list_directory, paths, sizeof *paths, ret_listings,
                             sizeof *ret_listings, count, NULL);
}

/* Find the files below the roots.  0 or 1. */
static int
find_files(mp_pool *pool, struct wc_walk *walk, const struct wc_options *options)
{
    int status = wc_walk_run(walk, &wc_shared_memory, options->roots, (size_t)options->roots_count,
                             list_all, pool);
    if (status == -1) {
        return failed("out of memory");
    }
    return status != 0 ? failed(mp_last_error_text()) : 0;
}

/* What became of all files. */
struct count {
    struct wc_counted counted;
    uint64_t unreadable;      /* files and directories */
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

/* 0 or 1.  The shared memory of a count that failed goes with the process. */
static int
count_words(struct count *count, const struct wc_options *options, const mp_context *context)
{
    mp_pool *pool =
        mp_pool_new(&(mp_pool_options){.processes = options->workers, .context = context});
    if (pool == NULL) {
        return failed(mp_last_error_text());
    }
    struct wc_walk walk;
    int status = find_files(pool, &walk, options);
    if (status == 0) {
        status = map(pool, &walk, count);
    }
    if (status == 0) {
        status = reduce(pool, count);
    }
    mp_pool_free(pool);
    count->unreadable = walk.unreadable + count->counted.unreadable;
    wc_walk_free(&walk);
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

/* The exit status. */
static int
run(struct wc_options *options)
{
    if (options->help) {
        wc_options_help();
        return 0;
    }
    const mp_context *context = mp_get_context(options->method);
    if (context == NULL) {
        failed(mp_last_error_text());
        return 2;
    }
    if (options->workers == 0) {
        options->workers = mp_usable_cpu_count();
    }

    double begin = now();
    struct count count = {.entries = NULL};
    if (count_words(&count, options, context) != 0) {
        return 1;
    }
    double seconds = now() - begin;

    if (options->all) {
        wc_print_all(count.entries, count.entry_count);
    } else {
        print_totals(&count, seconds, options->workers, context);
        wc_print_top(count.entries, count.entry_count, options->top);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return failed(strerror(errno));
    }
    if (count.unreadable > 0) {
        fprintf(stderr, "wordcount: %" PRIu64 " files or directories could not be read\n",
                count.unreadable);
    }
    free(count.entries);
    wc_counted_free(&count.counted);
    return 0;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    struct wc_options options;
    int status = wc_options_parse(&options, argc, argv) == 0 ? run(&options) : 2;
    free(options.roots);
    return status;
}
