/*
 * plan.c - cut the work into units
 *
 * Everything is in mp_malloc() memory, where a pointer is the same in all processes: a worker gets a
 * unit and follows its pointers to the files and their names, under every start method.
 */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include <mp/mp.h>

#include "count.h"

enum {
    UNITS_A_WORKER = 16,     /* about as many, so that all end at about the same time ... */
    UNIT_LEAST = 128 << 10,  /* ... but of bytes enough to be worth handing out, */
    UNIT_MOST = 4 << 20,     /* and not so many that the end gets uneven */
    COST_OF_A_FILE = 2 << 10 /* opening a file takes as long as counting about so many bytes */
};

/* The files in one block of shared memory; their names are there already. */
static struct wc_file *
share_files(const struct wc_walk *walk)
{
    struct wc_file *files = mp_malloc(walk->count * sizeof *files);
    if (files != NULL && walk->count > 0) {
        memcpy(files, walk->files, walk->count * sizeof *files);
    }
    return files;
}

static uint64_t
cost_of(const struct wc_file *file)
{
    return (uint64_t)file->size + COST_OF_A_FILE;
}

static void
add_unit(struct wc_plan *plan, struct wc_unit unit)
{
    unit.done = plan->done;
    if (plan->units != NULL) {
        plan->units[plan->count] = unit;
    }
    plan->count++;
}

/* A large file: pieces of equal size; the last takes what the file grew meanwhile. */
static void
add_pieces(struct wc_plan *plan, const struct wc_file *file, uint64_t target)
{
    uint64_t pieces = (uint64_t)file->size / target + 1;
    int64_t size = file->size / (int64_t)pieces + 1;
    for (int64_t start = 0; start < file->size; start += size) {
        bool last = file->size - start <= size;
        add_unit(plan, (struct wc_unit){.files = file,
                                        .count = 1,
                                        .start = start,
                                        .end = last ? WC_TO_END : start + size,
                                        .cost = (uint64_t)(last ? file->size - start : size)});
    }
}

/* Count the units, and store them once plan->units has room for them. */
static void
cut(struct wc_plan *plan, const struct wc_file *files, size_t count, uint64_t target)
{
    struct wc_unit batch = {.end = WC_TO_END};
    plan->count = 0;
    for (size_t i = 0; i < count; i++) {
        bool large = cost_of(&files[i]) > 2 * target;
        if (batch.count > 0 && (large || batch.cost + cost_of(&files[i]) > target)) {
            add_unit(plan, batch);
            batch = (struct wc_unit){.end = WC_TO_END};
        }
        if (large) {
            add_pieces(plan, &files[i], target);
            continue;
        }
        if (batch.count == 0) {
            batch.files = &files[i];
        }
        batch.count++;
        batch.cost += cost_of(&files[i]);
    }
    if (batch.count > 0) {
        add_unit(plan, batch);
    }
}

/* The most expensive first: what is left for the end is small.  Pieces of a file in order. */
static int
by_cost(const void *left, const void *right)
{
    const struct wc_unit *a = left;
    const struct wc_unit *b = right;
    if (a->cost != b->cost) {
        return (a->cost < b->cost) - (a->cost > b->cost);
    }
    if (a->files != b->files) {
        return (a->files > b->files) - (a->files < b->files);
    }
    return (a->start > b->start) - (a->start < b->start);
}

int
wc_plan_make(struct wc_plan *plan, const struct wc_walk *walk, int workers)
{
    *plan = (struct wc_plan){.bytes = walk->bytes};
    uint64_t cost = walk->bytes + walk->count * COST_OF_A_FILE;
    uint64_t target = cost / (UNITS_A_WORKER * (uint64_t)workers);
    target = target < UNIT_LEAST ? UNIT_LEAST : target;
    target = target > UNIT_MOST ? UNIT_MOST : target;

    plan->files = share_files(walk);
    plan->done = mp_calloc(1, sizeof *plan->done);
    if (plan->files == NULL || plan->done == NULL) {
        wc_plan_free(plan);
        return -1;
    }
    cut(plan, plan->files, walk->count, target);
    plan->units = mp_calloc(plan->count, sizeof *plan->units);
    if (plan->units == NULL) {
        wc_plan_free(plan);
        return -1;
    }
    cut(plan, plan->files, walk->count, target);
    qsort(plan->units, plan->count, sizeof *plan->units, by_cost);
    return 0;
}

void
wc_plan_free(struct wc_plan *plan)
{
    mp_free(plan->units);
    mp_free((void *)plan->done);
    mp_free(plan->files);
}
