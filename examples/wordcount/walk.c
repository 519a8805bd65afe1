/*
 * walk.c - find the regular files below directories
 *
 * Directories wait in a list, not in the call stack, and one is open at a time: neither a deep tree
 * nor a limit on open files is a problem.
 */
#define _POSIX_C_SOURCE 200809L
#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct wc_place {
    dev_t device;
    ino_t inode;
    bool taken;
};

void
wc_report_unreadable(const char *path, int error)
{
    fprintf(stderr, "wordcount: %s: %s\n", path, strerror(error));
}

/* Room for one more element; the new block, or NULL. */
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

static char *
join_path(const char *directory, const char *name)
{
    size_t length = strlen(directory);
    size_t name_size = strlen(name) + 1;
    bool slash = length > 0 && directory[length - 1] != '/';
    char *path = malloc(length + slash + name_size);
    if (path != NULL) {
        memcpy(path, directory, length);
        path[length] = '/';
        memcpy(path + length + slash, name, name_size);
    }
    return path;
}

static struct wc_place *
find_place(struct wc_place *table, size_t capacity, dev_t device, ino_t inode)
{
    uint64_t hash = ((uint64_t)inode ^ (uint64_t)device << 40) * 0x9e3779b97f4a7c15u;
    size_t at = (hash >> 32) & (capacity - 1);
    while (table[at].taken && (table[at].device != device || table[at].inode != inode)) {
        at = (at + 1) & (capacity - 1);
    }
    return &table[at];
}

/* 1 the first time that the directory comes, 0 later, -1: no memory. */
static int
visit(struct wc_walk *walk, dev_t device, ino_t inode)
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

/* Take over a path, as a file or as a directory to read later; NULL or no room: -1. */
static int
take_path(struct wc_walk *walk, char *path, const struct stat *st)
{
    if (path == NULL) {
        return -1;
    }
    if (S_ISDIR(st->st_mode)) {
        char **pending = room_for_one(walk->pending, walk->pending_count, &walk->pending_capacity,
                                      sizeof *pending);
        if (pending == NULL) {
            free(path);
            return -1;
        }
        walk->pending = pending;
        pending[walk->pending_count++] = path;
        return 0;
    }
    struct wc_file *files = room_for_one(walk->files, walk->count, &walk->capacity, sizeof *files);
    if (files == NULL) {
        free(path);
        return -1;
    }
    walk->files = files;
    files[walk->count++] = (struct wc_file){.path = path, .size = st->st_size};
    walk->bytes += (uint64_t)st->st_size;
    return 0;
}

static int
take_entry(struct wc_walk *walk, DIR *directory, const char *path, const char *name)
{
    struct stat st;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return 0;
    }
    if (fstatat(dirfd(directory), name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
            return 0;
        }
        return take_path(walk, join_path(path, name), &st);
    }
    int error = errno;
    if (error == ENOENT) {
        return 0; /* removed since its name was read */
    }
    char *entry = join_path(path, name);
    if (entry == NULL) {
        return -1;
    }
    wc_report_unreadable(entry, error);
    walk->unreadable++;
    free(entry);
    return 0;
}

static int
read_directory(struct wc_walk *walk, DIR *directory, const char *path)
{
    struct stat st;
    if (fstat(dirfd(directory), &st) == 0) {
        int first = visit(walk, st.st_dev, st.st_ino);
        if (first != 1) {
            return first;
        }
    }
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            break;
        }
        if (take_entry(walk, directory, path, entry->d_name) != 0) {
            return -1;
        }
    }
    if (errno != 0) {
        wc_report_unreadable(path, errno);
        walk->unreadable++;
    }
    return 0;
}

/* Read the directories that wait, and those found meanwhile. */
static int
read_pending(struct wc_walk *walk)
{
    int status = 0;
    while (walk->pending_count > 0 && status == 0) {
        char *path = walk->pending[--walk->pending_count];
        DIR *directory = opendir(path);
        if (directory != NULL) {
            status = read_directory(walk, directory, path);
            closedir(directory);
        } else {
            wc_report_unreadable(path, errno);
            walk->unreadable++;
        }
        free(path);
    }
    return status;
}

int
wc_walk_add(struct wc_walk *walk, const char *root)
{
    struct stat st;
    if (stat(root, &st) != 0) {
        wc_report_unreadable(root, errno);
        walk->unreadable++;
        return 0;
    }
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
        fprintf(stderr, "wordcount: %s: neither a directory nor a regular file\n", root);
        walk->unreadable++;
        return 0;
    }
    if (take_path(walk, strdup(root), &st) != 0) {
        return -1;
    }
    return read_pending(walk);
}

void
wc_walk_free(struct wc_walk *walk)
{
    for (size_t i = 0; i < walk->count; i++) {
        free((char *)walk->files[i].path);
    }
    while (walk->pending_count > 0) {
        free(walk->pending[--walk->pending_count]);
    }
    free(walk->files);
    free(walk->pending);
    free(walk->visited);
}
