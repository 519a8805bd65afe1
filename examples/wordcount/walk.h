/*
 * walk.h - find the regular files below directories
 */
#ifndef WC_WALK_H
#define WC_WALK_H

#include <stddef.h>
#include <stdint.h>

#include "listing.h"
#include "table.h"

struct wc_file {
    const char *path;
    int64_t size; /* when it was found */
};

struct wc_walk {
    struct wc_file *files;
    size_t count;
    size_t capacity;
    uint64_t bytes;      /* sum of the sizes */
    uint64_t unreadable; /* files and directories that could not be looked at */

    const struct wc_memory *memory; /* of the paths */
    struct wc_found **blocks;       /* the listings that hold them */
    size_t block_count;
    size_t block_capacity;

    const char **pending; /* directories found and not read yet */
    size_t pending_count;
    size_t pending_capacity;

    struct wc_place *visited; /* hash table of the directories found */
    size_t visited_count;
    size_t visited_capacity;
};

/*
 * List count directories: wc_read_directory() for each, in any order, by any process that has the
 * walk's memory.  0, or another value that ends the walk.
 */
typedef int (*wc_list_all)(void *context, const char *const *paths, struct wc_listing *ret_listings,
                           size_t count);

/*
 * Find the regular files at or below the roots.  Symbolic links are followed only when a root
 * itself is one.  A directory is read once, also when it is reached on several ways.  What cannot
 * be looked at is reported on stderr and left out.
 * 0; -1: no memory; else what list_all returned.
 */
int wc_walk_run(struct wc_walk *walk, const struct wc_memory *memory, const char *const *roots,
                size_t count, wc_list_all list_all, void *context);

void wc_walk_free(struct wc_walk *walk);

/* "wordcount: PATH: what the system says" on stderr. */
void wc_report_unreadable(const char *path, int error);

#endif
