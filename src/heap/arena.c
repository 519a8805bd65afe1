/*
 * heap/arena.c: heaps of one process's own, as Python's multiprocessing.heap: blocks in arenas.
 *
 * Layout    of an arena, a block of the family's allocator: nothing but the blocks.  What is where is
 *           in this process's memory, so no other can damage it.
 * Writers   one mutex over all heaps, a leaf
 * Fork      the child finds its parent's records and drops them with its first call that would change
 *           them: the arenas are the parent's
 * Always    the pieces of an arena are in the order of their addresses, and no two that are free are
 *           neighbours
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mp/heap.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/handle.h"
#include "heap/heap.h"

/* Python's numbers.  Its blocks are aligned to 8, ours as those of mp_malloc(). */
#define ALIGNMENT    16
#define DOUBLE_UNTIL ((size_t)4 << 20)
#define DISCARD_FROM ((size_t)4 << 20)
#define MOST         ((int64_t)1 << 47)

#define BINS          48
#define FIRST_BUCKETS 64

struct arena {
    struct arena *next, **back;
    char *base; /* NULL: of the parent, see fork */
    size_t size;
};

/* A block, or a piece between two. */
struct piece {
    struct piece *before, *after; /* in the arena */
    struct piece *next, **back;   /* in its bin, or in its bucket */
    struct arena *arena;
    char *at;
    size_t size;
    bool is_free;
};

struct mp_heap {
    pid_t owner;
    size_t first_size, next_size; /* of arenas */
    struct arena *arenas;
    struct piece *bin[BINS];     /* free ones by the power of two of their size */
    struct piece **buckets;      /* blocks by address */
    size_t bucket_count, blocks; /* a power of two, or 0 */
};

MP__FORK_LEAF(mutex);
static mp_heap own;                          /* for NULL */
static MP__FORK_DATA _Atomic pid_t own_user; /* the latest process that took blocks of it */

/* ---- lists ----------------------------------------------------------------------------------- */

static void
link_into(struct piece **list, struct piece *p)
{
    p->next = *list;
    p->back = list;
    if (p->next) {
        p->next->back = &p->next;
    }
    *list = p;
}

static void
unlink_from(struct piece *p)
{
    *p->back = p->next;
    if (p->next) {
        p->next->back = p->back;
    }
}

static unsigned
bin_of(size_t size)
{
    unsigned bin = 0;
    while (size > ALIGNMENT && bin < BINS - 1) {
        size /= 2;
        bin++;
    }
    return bin;
}

static struct piece **
bucket_of(mp_heap *h, const void *at)
{
    uint64_t hash = (uint64_t)(uintptr_t)at * UINT64_C(0x9E3779B97F4A7C15);
    return &h->buckets[(size_t)(hash >> 32) & (h->bucket_count - 1)];
}

/* Room for one more block.  0 or MP_ENOMEM. */
static int
grow_buckets(mp_heap *h)
{
    if (h->blocks < h->bucket_count) {
        return 0;
    }
    size_t old_count = h->bucket_count, count = old_count ? old_count * 2 : FIRST_BUCKETS;
    struct piece **old = h->buckets, **buckets = calloc(count, sizeof(struct piece *));
    if (!buckets) {
        return MP_ENOMEM;
    }
    h->buckets = buckets;
    h->bucket_count = count;
    for (size_t i = 0; i < old_count; i++) {
        while (old[i]) {
            struct piece *p = old[i];
            unlink_from(p);
            link_into(bucket_of(h, p->at), p);
        }
    }
    free(old);
    return 0;
}

static void
make_free(mp_heap *h, struct piece *p)
{
    p->is_free = true;
    link_into(&h->bin[bin_of(p->size)], p);
}

/* ---- arenas ---------------------------------------------------------------------------------- */

static size_t
round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* A new arena in one free piece.  NULL: no memory. */
static struct piece *
new_arena(mp_heap *h, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t length = round_up(size > h->next_size ? size : h->next_size, page);
    struct arena *a = malloc(sizeof *a);
    struct piece *p = malloc(sizeof *p);
    void *base = a && p ? mp_calloc(1, length) : NULL;
    if (!base) {
        free(a);
        free(p);
        return NULL;
    }
    *a = (struct arena){.next = h->arenas, .back = &h->arenas, .base = base, .size = length};
    if (a->next) {
        a->next->back = &a->next;
    }
    h->arenas = a;
    *p = (struct piece){.arena = a, .at = base, .size = length};
    make_free(h, p);
    if (h->next_size < DOUBLE_UNTIL) {
        h->next_size *= 2;
    }
    return p;
}

/* p is all of its arena, and in no list. */
static void
discard(struct piece *p)
{
    struct arena *a = p->arena;
    *a->back = a->next;
    if (a->next) {
        a->next->back = a->back;
    }
    mp_free(a->base);
    free(a);
    free(p);
}

/* Forget everything; give the arenas back, if they are ours. */
static void
drop(mp_heap *h, bool ours)
{
    struct piece *p;
    for (size_t i = 0; i < BINS; i++) {
        while ((p = h->bin[i]) != NULL) {
            unlink_from(p);
            free(p);
        }
    }
    for (size_t i = 0; i < h->bucket_count; i++) {
        while ((p = h->buckets[i]) != NULL) {
            unlink_from(p);
            free(p);
        }
    }
    for (struct arena *a = h->arenas, *next; a; a = next) {
        next = a->next;
        if (ours) {
            mp_free(a->base);
        }
        free(a);
    }
    free(h->buckets);
    size_t first = h->first_size;
    memset(h, 0, sizeof *h);
    h->first_size = h->next_size = first;
    h->owner = getpid();
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* The smallest bin's first that is large enough; in the bin of its own size not all are. */
static struct piece *
find(mp_heap *h, size_t size)
{
    for (unsigned i = bin_of(size); i < BINS; i++) {
        for (struct piece *p = h->bin[i]; p; p = p->next) {
            if (p->size >= size) {
                return p;
            }
        }
    }
    return new_arena(h, size);
}

/* Under the mutex. */
static struct piece *
take(mp_heap *h, size_t size)
{
    struct piece *rest = malloc(sizeof *rest);
    struct piece *p = rest && grow_buckets(h) == 0 ? find(h, size) : NULL;
    if (!p) {
        free(rest);
        return NULL;
    }
    unlink_from(p);
    if (p->size > size) {
        *rest = (struct piece){.before = p, .after = p->after, .arena = p->arena};
        rest->at = p->at + size;
        rest->size = p->size - size;
        if (rest->after) {
            rest->after->before = rest;
        }
        p->after = rest;
        p->size = size;
        make_free(h, rest);
    } else {
        free(rest);
    }
    p->is_free = false;
    link_into(bucket_of(h, p->at), p);
    h->blocks++;
    return p;
}

/* p takes in its neighbour after it, which is free and in no list. */
static void
merge(struct piece *p)
{
    struct piece *gone = p->after;
    p->size += gone->size;
    p->after = gone->after;
    if (p->after) {
        p->after->before = p;
    }
    free(gone);
}

/* Under the mutex. */
static void
give_back(mp_heap *h, struct piece *p)
{
    unlink_from(p);
    h->blocks--;
    if (p->after && p->after->is_free) {
        unlink_from(p->after);
        merge(p);
    }
    if (p->before && p->before->is_free) {
        p = p->before;
        unlink_from(p);
        merge(p);
    }
    if (!p->before && !p->after && p->arena->size >= DISCARD_FROM) {
        discard(p);
    } else {
        make_free(h, p);
    }
}

void
mp__heap_arenas_end(void)
{
    if (atomic_load_explicit(&own_user, memory_order_relaxed) != getpid()) {
        return; /* most children: they need not touch its page */
    }
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < BINS; i++) {
        for (struct piece *p = own.bin[i], *next; p; p = next) {
            next = p->next;
            if (!p->before && !p->after) {
                unlink_from(p);
                discard(p);
            }
        }
    }
    pthread_mutex_unlock(&mutex);
}

/* ---- the public calls ------------------------------------------------------------------------ */

static mp_heap *
live(mp_heap *heap, const char *call)
{
    if (heap) {
        return mp__handle_check(heap, MP__HEAP, call) == 0 ? heap : NULL;
    }
    return &own;
}

/* 0, MP_EVALUE or MP_EOVERFLOW with text. */
static int
check_size(int64_t size, const char *call)
{
    if (size < 0) {
        return mp__error(MP_EVALUE, "%s: size %lld out of range", call, (long long)size);
    }
    if (size > MOST) {
        return mp__error(MP_EOVERFLOW, "%s: size %lld too large", call, (long long)size);
    }
    return 0;
}

mp_heap *
mp_heap_new(int64_t size)
{
    if (check_size(size, "mp_heap_new") < 0 || !live(NULL, "mp_heap_new")) {
        return NULL;
    }
    mp_heap *h = calloc(1, sizeof *h);
    if (!h || mp__handle_add(h, MP__HEAP) < 0) {
        free(h);
        mp__error(MP_ENOMEM, "mp_heap_new: no memory");
        return NULL;
    }
    h->owner = getpid();
    h->first_size = h->next_size = size > 0 ? (size_t)size : 1;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    h->first_size = h->next_size = round_up(h->first_size, page);
    return h;
}

void *
mp_heap_malloc(mp_heap *heap, int64_t size)
{
    heap = live(heap, "mp_heap_malloc");
    if (!heap || check_size(size, "mp_heap_malloc") < 0) {
        return NULL;
    }
    int status = mp__heap_join(); /* not under the mutex */
    if (status < 0) {
        return NULL;
    }
    pthread_mutex_lock(&mutex);
    if (heap->owner != getpid()) {
        drop(heap, false);
    }
    if (heap->next_size == 0) { /* the process's own, for the first time */
        heap->first_size = heap->next_size = (size_t)sysconf(_SC_PAGESIZE);
    }
    if (heap == &own) {
        atomic_store_explicit(&own_user, heap->owner, memory_order_relaxed);
    }
    struct piece *p = take(heap, round_up(size > 0 ? (size_t)size : 1, ALIGNMENT));
    void *at = p ? p->at : NULL;
    pthread_mutex_unlock(&mutex);
    if (!at) {
        mp__error(MP_ENOMEM, "mp_heap_malloc: no memory for %lld bytes", (long long)size);
    }
    return at;
}

int
mp_heap_free(mp_heap *heap, void *block)
{
    heap = live(heap, "mp_heap_free");
    if (!heap) {
        return mp_last_error();
    }
    if (!block) {
        return 0;
    }
    pthread_mutex_lock(&mutex);
    pid_t owner = heap->owner;
    bool ours = owner == getpid();
    struct piece *p = ours && heap->bucket_count > 0 ? *bucket_of(heap, block) : NULL;
    while (p && p->at != block) {
        p = p->next;
    }
    if (p) {
        give_back(heap, p);
    }
    pthread_mutex_unlock(&mutex);
    if (!ours && owner > 0) {
        return mp__error(MP_EVALUE, "mp_heap_free: the blocks are process %ld's, not of %ld",
                         (long)owner, (long)getpid());
    }
    return p ? 0 : mp__error(MP_EVALUE, "mp_heap_free: %p is no block of this heap", block);
}

int
mp_heap_close(mp_heap *heap)
{
    if (!heap) {
        return 0;
    }
    if (!live(heap, "mp_heap_close") || !mp__handle_remove(heap, MP__HEAP)) {
        return mp__error(MP_EVALUE, "mp_heap_close: not a live heap");
    }
    pthread_mutex_lock(&mutex);
    drop(heap, heap->owner == getpid());
    pthread_mutex_unlock(&mutex);
    free(heap);
    return 0;
}
