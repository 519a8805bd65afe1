/*
 * process/preload.c: the functions that a forkserver runs before it forks.
 *
 * Writers   the mutex is over the list; the block belongs to who asked for it
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fork.h"
#include "heap/heap.h"
#include "platform/platform.h"
#include "process/launch.h"

#define BLOCK_MAGIC UINT32_C(0x6c6d7065)

struct preload {
    uint32_t magic, on_error; /* enum mp_preload_policy */
    uint64_t count;
    mp__funcref functions[];
};

static MP__FORK_DATA pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct preload *list; /* of malloc(); NULL: none */

void
mp__preload_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void
mp__preload_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

static size_t
size_of(size_t n)
{
    return sizeof(struct preload) + n * sizeof(mp__funcref);
}

int
mp_set_forkserver_preload(const mp_preload *functions, size_t n, int on_error)
{
    if ((n > 0 && !functions) || n > UINT32_MAX || on_error < MP_PRELOAD_IGNORE ||
        on_error > MP_PRELOAD_FAIL) {
        return mp__error(MP_EVALUE, "mp_set_forkserver_preload: %s",
                         n > 0 && !functions ? "NULL" : "not one of enum mp_preload_policy");
    }
    struct preload *fresh = n > 0 ? calloc(1, size_of(n)) : NULL;
    if (n > 0 && !fresh) {
        return mp__error(MP_ENOMEM, "mp_set_forkserver_preload: no memory");
    }
    int status = 0;
    for (size_t i = 0; i < n && status == 0; i++) {
        status = functions[i]
                     ? mp__funcref_make((mp__func)functions[i], &fresh->functions[i])
                     : mp__error(MP_ETYPE, "mp_set_forkserver_preload: function %zu is NULL", i);
    }
    if (status < 0) {
        free(fresh);
        return status;
    }
    if (fresh) {
        fresh->magic = BLOCK_MAGIC;
        fresh->on_error = (uint32_t)on_error;
        fresh->count = n;
    }
    mp__preload_lock();
    struct preload *old = list;
    list = fresh;
    mp__preload_unlock();
    free(old);
    return 0;
}

void *
mp__preload_describe(int *ret_status)
{
    struct preload *block = NULL;
    *ret_status = 0;
    mp__preload_lock();
    if (list) {
        size_t size = size_of((size_t)list->count);
        block = mp_malloc(size);
        if (block) {
            memcpy(block, list, size);
        } else {
            *ret_status = MP_ENOMEM;
        }
    }
    mp__preload_unlock();
    return block;
}

/* One function, whose error is told in a text of ours.  0 or its code. */
static int
run_one(const mp__funcref *ref, size_t i)
{
    mp__func f;
    int status = mp__funcref_find(ref, &f);
    if (status == 0) {
        status = ((mp_preload)f)();
    }
    if (status == 0) {
        return 0;
    }
    int code = status < 0 ? status : MP_ERUNTIME;
    char text[400];
    snprintf(text, sizeof text, "%s",
             mp_last_error() == status ? mp_last_error_text() : mp_strerror(code));
    return mp__error(code, "preloading, function %zu: %s", i, text);
}

int
mp__preload_run(const void *block)
{
    const struct preload *p = block;
    if (!p) {
        return 0;
    }
    if (!mp_heap_contains(p) || p->magic != BLOCK_MAGIC) {
        return mp__error(MP_ERUNTIME, "the list of what to preload is damaged");
    }
    int status = 0;
    for (size_t i = 0; i < p->count; i++) {
        int one = run_one(&p->functions[i], i);
        if (one < 0 && p->on_error == MP_PRELOAD_WARN) {
            fprintf(stderr, "forkserver: %s: %s\n", mp_err_name(one), mp_last_error_text());
        }
        if (one < 0 && p->on_error == MP_PRELOAD_FAIL) {
            status = one;
            break;
        }
    }
    mp__plat_flush_output();
    return status;
}
