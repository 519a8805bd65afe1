/*
 * walk.c - find the regular files below directories
 *
 * The tree is read level by level: the directories of a level are listed, all of them at once as
 * far as the caller can, and what they hold makes the next level.
 */
#define _POSIX_C_SOURCE 200809L
#include "walk.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct wc_place {
    uint64_t device;
    uint64_t inode;
    bool taken;
};

void
wc_report_unreadable(const char *path, int error)
{
    fprintf(stderr, "wordcount: %s: %s\n", path, strerror(error));
}

static void
report(struct wc_walk *walk, const char *path, int error)
{
    wc_report_unreadable(path, error);
    walk->unreadable++;
}

/* A block with room for one more element: the same, a larger one, or NULL. */
static void *
room_for_one(void *block, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) {
        return block;
    }
    size_t bigger = *capacity == 0 ? 64 : 2 * *capacity;
    block = realloc(block, bigger * size);
    if (block != NULL) {
        *capacity = bigger;
    }
    return block;
}

static struct wc_place *
find_place(struct wc_place *table, size_t capacity, uint64_t device, uint64_t inode)
{
    uint64_t hash = (inode ^ device << 40) * 0x9e3779b97f4a7c15u;
    size_t at = (hash >> 32) & (capacity - 1);
    while (table[at].taken && (table[at].device != device || table[at].inode != inode)) {
        at = (at + 1) & (capacity - 1);
    }
    return &table[at];
}

/* 1 the first time that a directory comes, 0 later, -1: no memory. */
static int
visit(struct wc_walk *walk, uint64_t device, uint64_t inode)
{
    if (2 * walk->visited_count >= walk->visited_capacity) {
        size_t bigger = walk->visited_capacity == 0 ? 64 : 2 * walk->visited_capacity;
        struct wc_place *table = calloc(bigger, sizeof *table);
        if (table == NULL) {
            return -1;
        }
        for (size_t i = 0; i < walk->visited_capacity; i++) {
            struct wc_place *old = &walk->visited[i];
            if (old->taken) {
                *find_place(table, bigger, old->device, old->inode) = *old;
            }
        }
        free(walk->visited);
        walk->visited = table;
        walk->visited_capacity = bigger;
    }
    struct wc_place *place = find_place(walk->visited, walk->visited_capacity, device, inode);
    if (place->taken) {
        return 0;
    }
    *place = (struct wc_place){device, inode, true};
    walk->visited_count++;
    return 1;
}

static int
take_directory(struct wc_walk *walk, const struct wc_found *found)
{
    int first = visit(walk, found->device, found->inode);
    if (first != 1) {
        return first;
    }
    const char **pending =
        room_for_one(walk->pending, walk->pending_count, &walk->pending_capacity, sizeof *pending);
    if (pending == NULL) {
        return -1;
    }
    walk->pending = pending;
    pending[walk->pending_count++] = found->path;
    return 0;
}

static int
take_file(struct wc_walk *walk, const struct wc_found *found)
{
    struct wc_file *files = room_for_one(walk->files, walk->count, &walk->capacity, sizeof *files);
    if (files == NULL) {
        return -1;
    }
    walk->files = files;
    files[walk->count++] = (struct wc_file){.path = found->path, .size = found->size};
    walk->bytes += (uint64_t)found->size;
    return 0;
}

/* Take what a listing holds, and the block that it is in. */
static int
take_listing(struct wc_walk *walk, const struct wc_listing *listing)
{
    struct wc_found **blocks =
        room_for_one(walk->blocks, walk->block_count, &walk->block_capacity, sizeof *blocks);
    if (blocks == NULL) {
        return -1;
    }
    walk->blocks = blocks;
    blocks[walk->block_count++] = listing->found;

    int status = 0;
    for (size_t i = 0; i < listing->count && status == 0; i++) {
        const struct wc_found *found = &listing->found[i];
        if (found->kind == WC_DIRECTORY) {
            status = take_directory(walk, found);
        } else if (found->kind == WC_FILE) {
            status = take_file(walk, found);
        } else {
            report(walk, found->path, found->kind);
        }
    }
    return status;
}

/* A root is taken as if a listing had found it, but through a link. */
static int
take_root(struct wc_walk *walk, const char *root)
{
    struct stat st;
    if (stat(root, &st) != 0) {
        report(walk, root, errno);
        return 0;
    }
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
        report(walk, root, ENOTDIR);
        return 0;
    }
    size_t size = strlen(root) + 1;
    struct wc_found *found = walk->memory->allocate(sizeof *found + size);
    if (found == NULL) {
        return -1;
    }
    *found = (struct wc_found){.path = memcpy(found + 1, root, size),
                               .size = st.st_size,
                               .device = (uint64_t)st.st_dev,
                               .inode = (uint64_t)st.st_ino,
                               .kind = S_ISDIR(st.st_mode) ? WC_DIRECTORY : WC_FILE};
    return take_listing(walk, &(struct wc_listing){.found = found, .count = 1});
}

/* List the directories that wait; those found in them wait then. */
static int
read_level(struct wc_walk *walk, wc_list_all list_all, void *context)
{
    const char **paths = walk->pending;
    size_t count = walk->pending_count;
    walk->pending = NULL;
    walk->pending_count = 0;
    walk->pending_capacity = 0;

    struct wc_listing *listings = calloc(count, sizeof *listings);
    int status = listings != NULL ? list_all(context, paths, listings, count) : -1;
    for (size_t i = 0; i < count && status == 0; i++) {
        if (listings[i].error != 0) {
            report(walk, paths[i], listings[i].error);
        }
        status = take_listing(walk, &listings[i]);
    }
    free(listings);
    free(paths);
    return status;
}

int
wc_walk_run(struct wc_walk *walk, const struct wc_memory *memory, const char *const *roots,
            size_t count, wc_list_all list_all, void *context)
{
    *walk = (struct wc_walk){.memory = memory};
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++) {
        status = take_root(walk, roots[i]);
    }
    while (walk->pending_count > 0 && status == 0) {
        status = read_level(walk, list_all, context);
    }
    return status;
}

void
wc_walk_free(struct wc_walk *walk)
{
    for (size_t i = 0; i < walk->block_count; i++) {
        walk->memory->release(walk->blocks[i]); /* NULL for an empty directory */
    }
    free(walk->blocks);
    free(walk->files);
    free(walk->pending);
    free(walk->visited);
}
