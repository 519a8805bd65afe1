/*
 * work.h - what a worker does: listing directories, and the map, counting a unit
 */
#ifndef WC_WORK_H
#define WC_WORK_H

#include <stddef.h>
#include <stdint.h>

#include "count.h"
#include "listing.h"
#include "plan.h"
#include "table.h"

/* mp_malloc() and mp_free(). */
extern const struct wc_memory wc_shared_memory;

/* A task: wc_read_directory(), from a const char * to a struct wc_listing. */
int wc_list_directory(const void *path, void *ret_listing);

struct wc_failure {
    const char *path; /* the unit's */
    int error;        /* errno code */
};

/* What a worker writes for a unit, into shared memory. */
struct wc_result {
    struct wc_totals totals;
    struct wc_table *table; /* the worker's, the same in all its results: complete when all are */
    struct wc_failure *failures;
    size_t failure_count;
};

/* The task of the map: a const struct wc_unit in, a struct wc_result out. */
int wc_count_unit(const void *unit, void *ret_result);

/* All results together. */
struct wc_counted {
    struct wc_totals totals;
    uint64_t unreadable;      /* files that could not be read */
    struct wc_table **tables; /* one a worker that did something, in shared memory */
    size_t table_count;
};

/*
 * Add up the results and report unreadable files on stderr.  Takes over the tables and failures.
 * 0, or -1: no memory.
 */
int wc_collect(struct wc_counted *counted, struct wc_result *results, size_t count);

void wc_counted_free(struct wc_counted *counted);

#endif
