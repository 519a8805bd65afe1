/* heap/shared.c: objects in the heap, with a tag that tells a live one. */
#include "heap/heap.h"

#include <string.h>

#include "base/error.h"

#define OBJECT_ALIGN 64

static const char *
noun(enum mp__tag tag)
{
    switch (tag) {
    case MP__TAG_LOCK:
        return "lock";
    case MP__TAG_RLOCK:
        return "rlock";
    case MP__TAG_SEMAPHORE:
        return "semaphore";
    case MP__TAG_CONDITION:
        return "condition";
    case MP__TAG_EVENT:
        return "event";
    case MP__TAG_BARRIER:
        return "barrier";
    case MP__TAG_VALUE:
        return "value";
    case MP__TAG_ARRAY:
        return "array";
    case MP__TAG_RAW:
        return "raw object";
    case MP__TAG_QUEUE:
        return "queue";
    case MP__TAG_POOL:
        return "pool";
    }
    return "object";
}

void *
mp__shared_new(size_t size, enum mp__tag tag)
{
    mp__head *h = mp__heap_alloc(size, OBJECT_ALIGN);
    if (h) {
        memset(h, 0, size);
        atomic_store_explicit(&h->tag, (uint32_t)tag, memory_order_release);
    }
    return h;
}

int
mp__shared_not_live(const void *object, enum mp__tag tag, const char *call)
{
    return mp__error(MP_EVALUE, "%s: not a live %s (%s)", call, noun(tag),
                     !object                    ? "NULL"
                     : mp_heap_contains(object) ? "freed, or something else"
                                                : "not in this family's heap");
}

int
mp__shared_claim(void *object, enum mp__tag tag, const char *call)
{
    mp__head *h = object;
    uint32_t live = (uint32_t)tag;
    int status = mp__shared_check(object, tag, call);
    if (status == 0 && mp__heap_block_size(object) == 0) {
        /* The lock of a value or a condition. */
        return mp__error(MP_EVALUE, "%s: the %s is a part of another object, and goes with it",
                         call, noun(tag));
    }
    if (status == 0 && !atomic_compare_exchange_strong(&h->tag, &live, 0)) {
        status = mp__error(MP_EVALUE, "%s: the %s was freed by another meanwhile", call, noun(tag));
    }
    return status;
}

int
mp__shared_free(void *object, enum mp__tag tag, const char *call)
{
    if (!object) {
        return 0;
    }
    int status = mp__shared_claim(object, tag, call);
    return status < 0 ? status : mp_free(object);
}
