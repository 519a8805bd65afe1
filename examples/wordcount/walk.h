/*
 * walk.h - find the regular files below directories
 */
#ifndef WC_WALK_H
#define WC_WALK_H

#include <stddef.h>
#include <stdint.h>

struct wc_file {
    const char *path;
    int64_t size; /* when it was found */
};

struct wc_place; /* device and inode of a directory */

struct wc_walk {
    struct wc_file *files;
    size_t count;
    size_t capacity;
    uint64_t bytes;      /* sum of the sizes */
    uint64_t unreadable; /* files and directories that could not be looked at */

    char **pending; /* directories found and not read yet */
    size_t pending_count;
    size_t pending_capacity;

    struct wc_place *visited; /* hash table of the directories read */
    size_t visited_count;
    size_t visited_capacity;
};

/*
 * Add the regular files at or below root to a walk that was zeroed before its first use.  Symbolic
 * links are followed only when root itself is one.  A directory is read once, also when it is
 * reached on several ways.  What cannot be looked at is reported on stderr and left out.
 * 0, or -1: no memory.
 */
int wc_walk_add(struct wc_walk *walk, const char *root);

void wc_walk_free(struct wc_walk *walk);

/* "PROGRAM: PATH: what the system says" on stderr. */
void wc_report_unreadable(const char *path, int error);

#endif
