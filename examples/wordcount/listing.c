/*
 * listing.c - what one directory holds
 *
 * The listing is collected in memory of the process that is used again for each directory, and then
 * copied to a block of its final size.
 */
#define _POSIX_C_SOURCE 200809L
#include "listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct {
    struct wc_found *found; /* without their paths, which follow each other in text */
    size_t count;
    size_t capacity;
    char *text;
    size_t used;
    size_t size;
} scratch;

/* Make room for a path of so many bytes and its entry. */
static bool
make_room(size_t bytes)
{
    if (scratch.count == scratch.capacity) {
        size_t capacity = 2 * scratch.capacity + 64;
        struct wc_found *found = realloc(scratch.found, capacity * sizeof *found);
        if (found == NULL) {
            return false;
        }
        scratch.found = found;
        scratch.capacity = capacity;
    }
    if (scratch.size - scratch.used < bytes) {
        size_t size = 2 * scratch.size + bytes;
        char *text = realloc(scratch.text, size);
        if (text == NULL) {
            return false;
        }
        scratch.text = text;
        scratch.size = size;
    }
    return true;
}

static int
add(const char *directory, const char *name, const struct wc_found *entry)
{
    size_t length = strlen(directory);
    size_t slash = length > 0 && directory[length - 1] != '/';
    size_t name_size = strlen(name) + 1;
    if (!make_room(length + slash + name_size)) {
        return ENOMEM;
    }
    char *path = scratch.text + scratch.used;
    memcpy(path, directory, length);
    memset(path + length, '/', slash);
    memcpy(path + length + slash, name, name_size);
    scratch.used += length + slash + name_size;
    scratch.found[scratch.count++] = *entry;
    return 0;
}

static int
look_at(DIR *directory, const char *path, const char *name)
{
    struct stat st;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return 0;
    }
    if (fstatat(dirfd(directory), name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        struct wc_found unseen = {.kind = errno};
        return errno == ENOENT ? 0 : add(path, name, &unseen); /* 0: removed meanwhile */
    }
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
        return 0;
    }
    struct wc_found entry = {.size = st.st_size,
                             .device = (uint64_t)st.st_dev,
                             .inode = (uint64_t)st.st_ino,
                             .kind = S_ISDIR(st.st_mode) ? WC_DIRECTORY : WC_FILE};
    return add(path, name, &entry);
}

/* Copy what was collected to a block of its own. */
static int
copy_out(struct wc_listing *listing, const struct wc_memory *memory)
{
    if (scratch.count == 0) {
        return 0;
    }
    size_t entries = scratch.count * sizeof *scratch.found;
    listing->found = memory->allocate(entries + scratch.used);
    if (listing->found == NULL) {
        return ENOMEM;
    }
    char *path = (char *)listing->found + entries;
    memcpy(listing->found, scratch.found, entries);
    memcpy(path, scratch.text, scratch.used);
    listing->count = scratch.count;
    for (size_t i = 0; i < listing->count; i++) {
        listing->found[i].path = path;
        path += strlen(path) + 1;
    }
    return 0;
}

int
wc_read_directory(const char *path, struct wc_listing *ret_listing, const struct wc_memory *memory)
{
    *ret_listing = (struct wc_listing){.found = NULL};
    DIR *directory = opendir(path);
    if (directory == NULL) {
        ret_listing->error = errno;
        return errno == ENOMEM ? ENOMEM : 0;
    }
    scratch.count = 0;
    scratch.used = 0;
    int status = 0;
    while (status == 0) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            ret_listing->error = errno;
            break;
        }
        status = look_at(directory, path, entry->d_name);
    }
    closedir(directory);
    return status == 0 ? copy_out(ret_listing, memory) : status;
}
