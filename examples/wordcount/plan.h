/*
 * plan.h - cut the work into units
 *
 * A unit is what a worker takes at a time: a batch of small files, or a piece of a large one.
 */
#ifndef WC_PLAN_H
#define WC_PLAN_H

#include <stdint.h>

#include "walk.h"

/* In the memory that all processes share; so are the files it points to. */
struct wc_unit {
    const struct wc_file *files;
    size_t count;
    int64_t start; /* the piece of the only file; of a batch 0 and WC_TO_END */
    int64_t end;
    uint64_t cost;          /* bytes, and something for each file */
    _Atomic uint64_t *done; /* bytes done by all workers, for the progress bar */
};

struct wc_plan {
    struct wc_unit *units; /* the most expensive first */
    size_t count;
    uint64_t bytes;         /* of all units */
    _Atomic uint64_t *done; /* how many of them are done, while the work goes on */
    struct wc_file *files;
};

/* The walk's memory is shared memory.  0, or -1 with mp_last_error() set. */
int wc_plan_make(struct wc_plan *plan, const struct wc_walk *walk, int workers);

void wc_plan_free(struct wc_plan *plan);

#endif
