/*
 * listing.h - what one directory holds
 */
#ifndef WC_LISTING_H
#define WC_LISTING_H

#include <stddef.h>
#include <stdint.h>

#include "table.h"

enum { WC_FILE = 0, WC_DIRECTORY = -1 };

struct wc_found {
    const char *path;
    int64_t size;
    uint64_t device; /* with inode, which directory it is, whatever way it was reached */
    uint64_t inode;
    int kind; /* WC_FILE, WC_DIRECTORY, or the errno code of what could not be looked at */
};

struct wc_listing {
    struct wc_found *found; /* one block with the paths, in the memory given; NULL: none */
    size_t count;
    int error; /* errno code: the directory could not be read, or not to its end */
};

/*
 * List the regular files and directories in a directory; symbolic links and the rest are left out.
 * 0, or ENOMEM.
 */
int wc_read_directory(const char *path, struct wc_listing *ret_listing,
                      const struct wc_memory *memory);

#endif
