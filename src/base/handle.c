/* base/handle.c: a hash set of live private objects; open addressing, no tombstones. */
#include "base/handle.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/fork.h"

struct slot {
    const void *object; /* NULL: empty */
    enum mp__handle_kind kind;
};

MP__FORK_LEAF(mutex);
static MP__FORK_DATA struct slot *slots; /* capacity is 0 or a power of two, at most half full */
static MP__FORK_DATA size_t capacity, count;
/* The first table: a start writes to it before the fork and after it. */
static MP__FORK_DATA struct slot near[16];
static void (*_Atomic on_remove)(const void *object); /* NULL: nobody asks */

static const char *const nouns[] = {
    [MP__PROCESS] = "process", [MP__CONNECTION] = "connection",     [MP__POOL] = "pool",
    [MP__ARGS] = "mp_args",    [MP__CLOSED_QUEUE] = "closed queue", [MP__HEAP] = "heap",
};

static size_t
home(const void *object)
{
    return (size_t)(((uint64_t)(uintptr_t)object >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 32) &
           (capacity - 1);
}

/* The object's slot, or the empty one where it would go; the table is never full. */
static struct slot *
find(const void *object)
{
    size_t i = home(object);
    while (slots[i].object && slots[i].object != object) {
        i = (i + 1) & (capacity - 1);
    }
    return &slots[i];
}

/* The slot of a live object of this kind, or NULL. */
static struct slot *
live(const void *object, enum mp__handle_kind kind)
{
    struct slot *s = object && capacity ? find(object) : NULL;
    return s && s->object && s->kind == kind ? s : NULL;
}

static bool
grow(void)
{
    struct slot *old = slots;
    size_t old_capacity = capacity, wanted = capacity ? capacity * 4 : sizeof near / sizeof *near;
    struct slot *fresh = old ? calloc(wanted, sizeof *fresh) : near;
    if (!fresh) {
        return false;
    }
    slots = fresh;
    capacity = wanted;
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i].object) {
            *find(old[i].object) = old[i];
        }
    }
    if (old != near) {
        free(old);
    }
    return true;
}

int
mp__handle_add(const void *object, enum mp__handle_kind kind)
{
    pthread_mutex_lock(&mutex);
    bool ok = count * 2 < capacity || grow();
    if (ok) {
        struct slot *s = find(object);
        count += s->object == NULL;
        s->object = object;
        s->kind = kind;
    }
    pthread_mutex_unlock(&mutex);
    return ok ? 0 : mp__error(MP_ENOMEM, "out of memory for a %s", nouns[kind]);
}

bool
mp__handle_remove(const void *object, enum mp__handle_kind kind)
{
    pthread_mutex_lock(&mutex);
    struct slot *s = live(object, kind);
    if (s) {
        s->object = NULL;
        count--;
        /* Those behind it may have been pushed past it: put each of the run in again. */
        for (size_t i = ((size_t)(s - slots) + 1) & (capacity - 1); slots[i].object;
             i = (i + 1) & (capacity - 1)) {
            struct slot moved = slots[i];
            slots[i].object = NULL;
            *find(moved.object) = moved;
        }
    }
    pthread_mutex_unlock(&mutex);
    void (*told)(const void *) = atomic_load_explicit(&on_remove, memory_order_acquire);
    if (s && told && kind != MP__ARGS) {
        told(object);
    }
    return s != NULL;
}

void
mp__handle_on_remove(void (*removed)(const void *object))
{
    atomic_store_explicit(&on_remove, removed, memory_order_release);
}

bool
mp__handle_live(const void *object, enum mp__handle_kind kind)
{
    pthread_mutex_lock(&mutex);
    bool found = live(object, kind) != NULL;
    pthread_mutex_unlock(&mutex);
    return found;
}

int
mp__handle_check(const void *object, enum mp__handle_kind kind, const char *call)
{
    if (mp__handle_live(object, kind)) {
        return 0;
    }
    return mp__error(MP_EVALUE, "%s: not a live %s (%s)", call, nouns[kind],
                     object ? "freed, or something else" : "NULL");
}
