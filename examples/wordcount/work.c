/*
 * work.c - map and reduce
 *
 * Each worker counts all its units into one table, in the memory that all processes share, and its
 * results point there.  So nothing is sent, and the parent has as many tables to merge as there are
 * workers, not units: with one worker none.  Only its worker touches a table while the map runs,
 * and only the parent afterwards, so no lock is needed.
 */
#include "work.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <mp/mp.h>

static void
release(void *block)
{
    mp_free(block);
}

static const struct wc_memory shared_memory = {mp_malloc, release};

/* ---- in a worker ------------------------------------------------------------------------------*/

/* This process's own, from its first unit to its end. */
static struct wc_counter counter;

static int
add_failure(struct wc_result *result, const char *path, int error)
{
    struct wc_failure *failures =
        mp_realloc(result->failures, (result->failure_count + 1) * sizeof *failures);
    if (failures == NULL) {
        return mp_last_error();
    }
    result->failures = failures;
    failures[result->failure_count++] = (struct wc_failure){.path = path, .error = error};
    return 0;
}

int
wc_count_unit(const void *in, void *out)
{
    const struct wc_unit *unit = in;
    struct wc_result *result = out;
    *result = (struct wc_result){.table = NULL};

    if (counter.table == NULL && wc_counter_init(&counter, &shared_memory) != 0) {
        return MP_ENOMEM;
    }
    result->table = counter.table;
    counter.totals = (struct wc_totals){0};
    for (size_t i = 0; i < unit->count; i++) {
        const struct wc_file *file = &unit->files[i];
        int error = wc_count_piece(&counter, file->path, unit->start, unit->end);
        if (error == ENOMEM) {
            return MP_ENOMEM;
        }
        int status = error != 0 ? add_failure(result, file->path, error) : 0;
        if (status != 0) {
            return status;
        }
        int64_t end = unit->end < file->size ? unit->end : file->size;
        atomic_fetch_add_explicit(unit->done, (uint64_t)(end - unit->start), memory_order_relaxed);
    }
    result->totals = counter.totals;
    return 0;
}

/* ---- in the parent ----------------------------------------------------------------------------*/

static void
add_totals(struct wc_totals *to, const struct wc_totals *from)
{
    to->files += from->files;
    to->skipped += from->skipped;
    to->bytes += from->bytes;
    to->words += from->words;
}

static int
by_path(const void *left, const void *right)
{
    const struct wc_failure *a = left;
    const struct wc_failure *b = right;
    return strcmp(a->path, b->path);
}

/* Report each file once, although several pieces of it may have failed. */
static int
report_failures(struct wc_sum *sum, struct wc_result *results, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        total += results[i].failure_count;
    }
    struct wc_failure *all = malloc((total + 1) * sizeof *all);
    if (all == NULL) {
        return -1;
    }
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < results[i].failure_count; j++) {
            all[n++] = results[i].failures[j];
        }
        mp_free(results[i].failures);
        results[i].failures = NULL;
    }
    qsort(all, n, sizeof *all, by_path);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(all[i].path, all[i - 1].path) != 0) {
            wc_report_unreadable(all[i].path, all[i].error);
            sum->unreadable++;
        }
    }
    free(all);
    return 0;
}

/* Note a worker's table once. */
static int
note_table(struct wc_sum *sum, struct wc_table *table)
{
    for (size_t i = 0; i < sum->merged_count; i++) {
        if (sum->merged[i] == table) {
            return 0;
        }
    }
    struct wc_table **merged = realloc(sum->merged, (sum->merged_count + 1) * sizeof *sum->merged);
    if (merged == NULL) {
        return -1;
    }
    sum->merged = merged;
    merged[sum->merged_count++] = table;
    return 0;
}

/* Merge into the table with the most words; it is moved out of the list. */
static int
merge_tables(struct wc_sum *sum)
{
    size_t largest = 0;
    for (size_t i = 1; i < sum->merged_count; i++) {
        if (sum->merged[i]->used > sum->merged[largest]->used) {
            largest = i;
        }
    }
    if (sum->merged_count == 0) {
        sum->table = wc_table_new(&shared_memory);
        return sum->table != NULL ? 0 : -1;
    }
    sum->table = sum->merged[largest];
    sum->merged[largest] = sum->merged[--sum->merged_count];
    for (size_t i = 0; i < sum->merged_count; i++) {
        if (wc_table_merge(sum->table, sum->merged[i], &shared_memory) != 0) {
            return -1;
        }
    }
    return 0;
}

int
wc_reduce(struct wc_sum *sum, struct wc_result *results, size_t count)
{
    *sum = (struct wc_sum){.table = NULL};
    for (size_t i = 0; i < count; i++) {
        add_totals(&sum->totals, &results[i].totals);
        if (note_table(sum, results[i].table) != 0) {
            return -1;
        }
    }
    if (report_failures(sum, results, count) != 0) {
        return -1;
    }
    return merge_tables(sum);
}

void
wc_sum_free(struct wc_sum *sum)
{
    for (size_t i = 0; i < sum->merged_count; i++) {
        wc_table_free(sum->merged[i], &shared_memory);
    }
    free(sum->merged);
    wc_table_free(sum->table, &shared_memory);
}
