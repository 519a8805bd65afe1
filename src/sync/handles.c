/* handles.c - a handle in an object that travels must name a live shared object. */
#include "sync/handles.h"

#include <stddef.h>

#include <mp/error.h>
#include <mp/heap.h>

#include "base/error.h"
#include "heap/heap.h"

int
mp__family_check(void *ctx, enum mp_handle_type type, void *address)
{
    (void)ctx;
    switch (type) {
    case MP_HANDLE_POINTER:
        if (mp_heap_contains(address)) {
            return 0;
        }
        return mp__error(MP_EVALUE, "%p: not memory of mp_malloc(), no other process could use it",
                         address);
    case MP_HANDLE_QUEUE:
        return mp__shared_check(address, MP__TAG_QUEUE, "handle");
    case MP_HANDLE_LOCK:
        return mp__shared_check(address, MP__TAG_LOCK, "handle");
    case MP_HANDLE_RLOCK:
        return mp__shared_check(address, MP__TAG_RLOCK, "handle");
    case MP_HANDLE_SEMAPHORE:
        return mp__shared_check(address, MP__TAG_SEMAPHORE, "handle");
    case MP_HANDLE_CONDITION:
        return mp__shared_check(address, MP__TAG_CONDITION, "handle");
    case MP_HANDLE_EVENT:
        return mp__shared_check(address, MP__TAG_EVENT, "handle");
    case MP_HANDLE_BARRIER:
        return mp__shared_check(address, MP__TAG_BARRIER, "handle");
    case MP_HANDLE_VALUE:
        return mp__shared_check(address, MP__TAG_VALUE, "handle");
    case MP_HANDLE_ARRAY:
        return mp__shared_check(address, MP__TAG_ARRAY, "handle");
    case MP_HANDLE_CONNECTION:
    case MP_HANDLE_FD:
        break;
    }
    return mp__error(MP_EVALUE, "handle of an unknown type (%d)", (int)type);
}

const mp__obj_handles mp__family_handles = {
    .connection_out = NULL,
    .connection_in = NULL,
    .check = mp__family_check,
    .ctx = NULL,
};
