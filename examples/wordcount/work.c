/*
 * work.c - what a worker does: listing directories, and the map, counting a unit
 *
 * Each worker counts all its units into one table, in the memory that all processes share, and its
 * results point there.  So nothing is sent, and there are as many tables to merge as workers, not
 * units.  A table is touched only by its worker while the map runs and only read afterwards, so no
 * lock is needed.
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

const struct wc_memory wc_shared_memory = {mp_malloc, release};

/* ---- in a worker ------------------------------------------------------------------------------*/

int
wc_list_directory(const void *in, void *out)
{
    return wc_read_directory(*(const char *const *)in, out, &wc_shared_memory) == 0 ? 0 : MP_ENOMEM;
}

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

    if (counter.table == NULL && wc_counter_init(&counter, &wc_shared_memory) != 0) {
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
report_failures(struct wc_counted *counted, struct wc_result *results, size_t count)
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
            counted->unreadable++;
        }
    }
    free(all);
    return 0;
}

/* Note a worker's table once. */
static void
note_table(struct wc_counted *counted, struct wc_table *table)
{
    for (size_t i = 0; i < counted->table_count; i++) {
        if (counted->tables[i] == table) {
            return;
        }
    }
    counted->tables[counted->table_count++] = table;
}

int
wc_collect(struct wc_counted *counted, struct wc_result *results, size_t count)
{
    *counted = (struct wc_counted){.tables = mp_calloc(count, sizeof *counted->tables)};
    if (counted->tables == NULL) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        add_totals(&counted->totals, &results[i].totals);
        note_table(counted, results[i].table);
    }
    return report_failures(counted, results, count);
}

void
wc_counted_free(struct wc_counted *counted)
{
    for (size_t i = 0; i < counted->table_count; i++) {
        wc_table_free(counted->tables[i], &wc_shared_memory);
    }
    mp_free(counted->tables);
}
