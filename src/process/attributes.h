/*
 * process/attributes.h: what a child is given before its target runs: processors, limits, a
 * directory, an environment, files in place of the standard descriptors, a group of its own.
 */
#ifndef MP_PROCESS_ATTRIBUTES_H
#define MP_PROCESS_ATTRIBUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mp/process.h>

/*
 * The attributes of one process, in one block without pointers, so that it is sent as it is.
 *
 * Layout    the struct, then cpu_count numbers of processors (int32_t), then texts with their NULs;
 *           directory .. environment are offsets from the struct's begin, 0: none
 */
struct mp__attributes {
    uint32_t size; /* of all */
    int32_t nice;
    uint32_t group; /* enum mp_process_group */
    uint32_t append;
    uint64_t max_memory, max_cpu_seconds, max_files;
    uint32_t cpu_count, change_count;
    uint32_t directory, files[3];
    uint32_t environment; /* the first of change_count texts */
    uint32_t reserved;
};

/* Copy them from the options; *ret is NULL when there are none.  0 or an error with text. */
int mp__attributes_make(const mp_process_options *o, struct mp__attributes **ret);

/*
 * In the child: have them.  copied: it is a copy of its parent, by fork.  *ret_has_stdin: descriptor
 * 0 is what it is to be.  0 or an error with text: the process may have some of them then.
 */
int mp__attributes_apply(const struct mp__attributes *a, bool copied, bool *ret_has_stdin);

#endif
