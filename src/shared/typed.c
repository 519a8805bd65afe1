/* shared/typed.c: making, freeing, locking and finding what typed.h describes. */
#include "shared/typed.h"

#include <string.h>
#include <unistd.h>

#include <mp/error.h>

#include "base/error.h"
#include "heap/owned.h"
#include "object/object.h"
#include "shared/typecode.h"

#define LINE       64
#define MOST_ALIGN ((size_t)1 << 20)

/* ---- options ---------------------------------------------------------------------------------*/

/* Which lock, as the options say; *ret_lock is NULL for one of its own. */
static int
choose_lock(const mp_shared_options *o, uint8_t *ret_kind, void **ret_lock, const char *call)
{
    int status = 0;
    *ret_lock = NULL;
    *ret_kind = MP__BY_RLOCK;
    if (!o) {
        return 0;
    }
    for (size_t i = 0; i < sizeof o->reserved / sizeof *o->reserved; i++) {
        if (o->reserved[i]) {
            return mp__error(MP_EVALUE, "%s: reserved fields of the options must be 0", call);
        }
    }
    if ((o->lock != NULL) + (o->rlock != NULL) + o->unlocked > 1) {
        return mp__error(MP_EVALUE, "%s: the options name more than one of lock, rlock, unlocked",
                         call);
    }
    if (o->lock) {
        *ret_kind = MP__BY_LOCK;
        *ret_lock = o->lock;
        status = mp__shared_check(o->lock, MP__TAG_LOCK, call);
    } else if (o->rlock) {
        *ret_lock = o->rlock;
        status = mp__shared_check(o->rlock, MP__TAG_RLOCK, call);
    } else if (o->unlocked) {
        *ret_kind = MP__UNLOCKED;
    }
    return status;
}

/* The alignment that is asked for, 0: none in particular; -1 with text when it is none. */
static int
choose_align(const mp_shared_options *o, size_t *ret_align, const char *call)
{
    *ret_align = o ? o->align : 0;
    if (*ret_align & (*ret_align - 1) || *ret_align > MOST_ALIGN) {
        return mp__error(MP_EVALUE, "%s: an alignment of %zu is no power of two up to 1 MiB", call,
                         *ret_align);
    }
    if (o && o->page_aligned) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        *ret_align = *ret_align < page ? page : *ret_align;
    }
    return 0;
}

/* ---- making ----------------------------------------------------------------------------------*/

static size_t
round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

bool
mp__typed_fits(size_t size, size_t count, const char *call)
{
    if (count <= (PTRDIFF_MAX - 2 * MOST_ALIGN) / size) {
        return true;
    }
    mp__error(MP_EOVERFLOW, "%s: %zu elements of %zu bytes do not fit in memory", call, count,
              size);
    return false;
}

/* Where a struct that describes the block's beginning stands at its end. */
static void *
tail_of(const void *block, size_t struct_size, size_t struct_align)
{
    uintptr_t end = (uintptr_t)block + mp__heap_block_size(block);
    return (void *)((end - struct_size) & ~(uintptr_t)(struct_align - 1));
}

mp__desc *
mp__raw_desc(const void *data)
{
    return tail_of(data, sizeof(mp__desc), 16);
}

/* A block for the struct and `bytes` of data, with the struct's fields of its place set. */
static mp__typed *
place(size_t bytes, size_t align, bool is_value)
{
    mp__typed *t;
    if (align > LINE) {
        unsigned char *data = mp__heap_alloc(round_up(bytes, align) + sizeof *t, align);
        if (!data) {
            return NULL;
        }
        t = tail_of(data, sizeof *t, LINE);
        memset(t, 0, sizeof *t);
        t->is.data = data;
        t->start = data;
        atomic_init(&t->block, data);
        return t;
    }
    bool inside = is_value && bytes <= sizeof t->number && align <= 16;
    t = mp__heap_alloc(sizeof *t + (inside ? 0 : round_up(bytes, align ? align : 1)), LINE);
    if (t) {
        memset(t, 0, sizeof *t);
        t->is.data = inside ? t->number : (unsigned char *)(t + 1);
        t->start = t;
        atomic_init(&t->block, t);
    }
    return t;
}

static void
publish(mp__typed *t, enum mp__tag tag, uint8_t lock_kind, void *lock)
{
    t->is.lock_kind = lock_kind;
    t->lock = lock;
    if (lock_kind == MP__BY_RLOCK && !lock) {
        mp__rlock_init(&t->own);
        t->lock = &t->own;
    }
    atomic_store_explicit(&t->is.head.tag, (uint32_t)tag, memory_order_release);
}

int
mp__typed_initial(int typecode, mp_obj init, mp__element *space, const void **ret_data,
                  const char *call)
{
    size_t size = mp__typecode_size(typecode, call), len;
    *ret_data = NULL;
    if (size == 0) {
        return MP_ETYPE;
    }
    if (mp_is_none(init)) {
        return 0;
    }
    if (mp__typecode_is_struct(typecode)) {
        if (mp_obj_kind(init) == MP_KIND_FAILED) {
            return mp__obj_failure(init);
        }
        if (mp_obj_kind(init) != MP_KIND_BYTES ||
            (*ret_data = mp_as_bytes(init, &len), len != size)) {
            return mp__error(MP_ETYPE, "%s: bytes of length %zu expected for a struct", call, size);
        }
        return 0;
    }
    *ret_data = space;
    return mp__element_from(typecode, init, space, call);
}

void *
mp__typed_new(enum mp__tag tag, int typecode, size_t count, const void *init,
              const mp_shared_options *options, const char *call)
{
    uint8_t kind;
    void *lock;
    size_t size = mp__typecode_size(typecode, call), align;
    if (size == 0 || !mp__typed_fits(size, count, call) ||
        choose_lock(options, &kind, &lock, call) < 0 || choose_align(options, &align, call) < 0) {
        return NULL;
    }
    size_t bytes = size * count;
    mp__typed *t = place(bytes, align, tag == MP__TAG_VALUE);
    if (!t) {
        return NULL;
    }
    t->is.typecode = typecode;
    t->is.is_array = tag == MP__TAG_ARRAY;
    t->is.size = size;
    t->is.count = count;
    if (init && bytes) {
        memcpy(t->is.data, init, bytes);
    } else {
        memset(t->is.data, 0, bytes);
    }
    publish(t, tag, kind, lock);
    return t;
}

void *
mp__typed_wrap(enum mp__tag tag, const mp__desc *is, const mp_shared_options *options,
               const char *call)
{
    uint8_t kind;
    void *lock;
    if (choose_lock(options, &kind, &lock, call) < 0) {
        return NULL;
    }
    if (options && (options->align || options->page_aligned)) {
        mp__error(MP_EVALUE, "%s: the data are there already, their alignment is what it is", call);
        return NULL;
    }
    mp__typed *t = place(0, 0, true);
    if (t) {
        t->is.typecode = is->typecode;
        t->is.is_array = is->is_array;
        t->is.size = is->size;
        t->is.count = is->count;
        t->is.data = is->data;
        publish(t, tag, kind, lock);
    }
    return t;
}

/* ---- freeing ---------------------------------------------------------------------------------*/

/*
 * Whether t has this tag.  A process that died inside the allocator may have left words there that
 * are not committed: having taken its lock once, we see what is true.
 */
static bool
tagged(const mp__typed *t, uint32_t tag)
{
    if (mp__shared_live(t, (enum mp__tag)tag)) {
        return true;
    }
    if (!mp_heap_contains(t)) {
        return false;
    }
    mp__heap_settle();
    return mp__shared_live(t, (enum mp__tag)tag);
}

/*
 * The tag tells all others that it is gone, or going: ~tag.  Whoever finds it so goes on where the
 * first one is, or was killed: the heap's journal lets one of them free the block.
 */
int
mp__typed_free(mp__typed *t, enum mp__tag tag, const char *call)
{
    if (!t) {
        return 0;
    }
    uint32_t live = (uint32_t)tag, going = ~(uint32_t)tag;
    if (mp__shared_live(t, tag)) {
        if (!atomic_compare_exchange_strong(&t->is.head.tag, &live, going) && live != going) {
            return mp__error(MP_EVALUE, "%s: freed by another meanwhile", call);
        }
    } else if (!tagged(t, going)) {
        int status = mp__shared_check(t, tag, call);
        return status ? status : mp__error(MP_EVALUE, "%s: changed by another meanwhile", call);
    }
    /* The lock's address must not seem a live lock's in memory that is used again. */
    uint32_t lock_tag = MP__TAG_RLOCK;
    atomic_compare_exchange_strong(&t->own.head.tag, &lock_tag, 0);
    /* What `block` says may be what a dead process stored and did not commit: the heap looks again
       under its lock.  shared.value.free, shared.array.free */
    if (!t->start || !mp__heap_free_from(&t->block, t->start, NULL)) {
        return mp__error(MP_EVALUE, "%s: freed by another meanwhile", call);
    }
    return 0;
}

/* ---- finding ---------------------------------------------------------------------------------*/

static const mp__desc *
as_owner(const void *candidate, const void *data)
{
    const mp__desc *is = candidate;
    return (mp__shared_live(is, MP__TAG_VALUE) || mp__shared_live(is, MP__TAG_ARRAY)) &&
                   is->data == data
               ? is
               : NULL;
}

const mp__desc *
mp__desc_of(const void *data, const char *call)
{
    const mp__desc *is = NULL;
    size_t usable =
        mp_heap_contains(data) && (uintptr_t)data % 16 == 0 ? mp__heap_block_size(data) : 0;
    if (usable >= sizeof(mp__desc)) {
        is = mp__raw_desc(data);
        if (mp__shared_live(is, MP__TAG_RAW) && is->data == data) {
            return is;
        }
    }
    is =
        usable >= sizeof(mp__typed) ? as_owner(tail_of(data, sizeof(mp__typed), LINE), data) : NULL;
    if (!is && mp_heap_contains(data)) {
        is = as_owner((const char *)data - offsetof(mp__typed, number), data);
        is = is ? is : as_owner((const char *)data - sizeof(mp__typed), data);
    }
    if (!is) {
        mp__error(MP_EVALUE, "%s: %p is not the data of a raw object, a value or an array", call,
                  data);
    }
    return is;
}

/* ---- the lock --------------------------------------------------------------------------------*/

int
mp__typed_enter(mp__typed *t, double timeout)
{
    switch (t->is.lock_kind) {
    case MP__BY_RLOCK:
        return mp_rlock_acquire(t->lock, timeout);
    case MP__BY_LOCK:
        return mp_lock_acquire(t->lock, timeout);
    default:
        return 0;
    }
}

int
mp__typed_leave(mp__typed *t)
{
    switch (t->is.lock_kind) {
    case MP__BY_RLOCK:
        return mp_rlock_release(t->lock);
    case MP__BY_LOCK:
        return mp_lock_release(t->lock);
    default:
        return 0;
    }
}

void
mp__typed_leave_quietly(mp__typed *t, int entered)
{
    if (entered != MP_OWNER_DIED) {
        mp__typed_leave(t);
        return;
    }
    /* As a release, but the word then says what the kernel says of a dead owner. */
    _Atomic uint64_t *word =
        t->is.lock_kind == MP__BY_LOCK ? &((mp_lock *)t->lock)->word : &((mp_rlock *)t->lock)->word;
    if (atomic_exchange_explicit(word, MP__PLAT_DIED, memory_order_release) & MP__PLAT_WAITERS) {
        mp__owned_wake(word);
    }
}

int
mp__typed_need_lock(mp__typed *t, const char *call)
{
    return t->is.lock_kind != MP__UNLOCKED
               ? 0
               : mp__error(MP_EATTR, "%s: it was made without a lock", call);
}

mp_rlock *
mp__typed_rlock(mp__typed *t, const char *call)
{
    if (mp__typed_need_lock(t, call) < 0) {
        return NULL;
    }
    if (t->is.lock_kind == MP__BY_LOCK) {
        mp__error(MP_ETYPE, "%s: its lock is the mp_lock it was given; MP_WITH takes it itself",
                  call);
        return NULL;
    }
    return t->lock;
}
