/*
 * heap/alloc.c: the allocator of the family's heap.
 *
 * Layout    Blocks lie one behind the other from family->data to the end.  Each begins with its
 *           header: the offset of the block before it, and its size with flags and check bits.
 *           Free blocks are in doubly linked lists by size class (exact to 1 KiB, then eight
 *           classes for each power of two); a bitmap tells which lists are not empty.
 * Pages     A free block below 64 KiB has all its pages reserved.  A bigger one has them up to
 *           `ready`; what lies behind is reserved before it is handed out.  Reserving is what
 *           fails when memory is exhausted, so touching never does.  A free block that holds more
 *           than TRIM bytes of pages gives them back but for the first KEEP.  A used block has all
 *           its pages, unless PART says that they are still coming, or going: a big one's are
 *           reserved and given back without the lock, by the one whose block it is.
 * Writers   the holder of family->alloc.lock
 * Commit    each operation changes its words through the journal and commits at its end
 * Death     not committed: rolled back by the next holder, as if never called.  A block handed out
 *           but not yet returned to its dead caller stays in use, as with any malloc, and so does
 *           one whose free() had begun; the library's own objects avoid that by
 *           mp__heap_alloc_to() and mp__heap_free_from().
 * Fork      nothing private
 * Always    blocks tile the heap; no two free blocks are neighbours; a free block is in the list of
 *           its class.  mp__alloc_check().
 */
#include "heap/alloc.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "heap/block.h"
#include "heap/family.h"
#include "heap/heap.h"
#include "platform/platform.h"

/* ---- size classes --------------------------------------------------------------------------- */

/* The first class all of whose blocks hold size. */
static unsigned
class_that_fits(uint64_t size)
{
    uint64_t u = size / UNIT;
    if (u < 64) {
        return (unsigned)u;
    }
    unsigned e = 63 - (unsigned)__builtin_clzll(u);
    return class_of((u + (UINT64_C(1) << (e - 3)) - 1) * UNIT);
}

static void
set(uint64_t *word, uint64_t value)
{
    mp__journal_set(&fam()->alloc.journal, word, value);
}

static void
unlink_block(uint64_t offset)
{
    struct mp__alloc *a = &fam()->alloc;
    struct block *b = at(offset);
    unsigned c = class_of(size_of(offset));
    if (b->back) {
        set(&at(b->back)->next, b->next);
    } else {
        set(&a->bin[c], b->next);
        if (!b->next) {
            set(&a->map[c / 64], a->map[c / 64] & ~(UINT64_C(1) << c % 64));
        }
    }
    if (b->next) {
        set(&at(b->next)->back, b->back);
    }
}

/* Write the header of a free block and put it in its list. */
static void
link_block(uint64_t offset, uint64_t size, uint64_t before, uint64_t ready, uint64_t dirty)
{
    struct mp__alloc *a = &fam()->alloc;
    struct block *b = at(offset);
    unsigned c = class_of(size);
    set(&b->before, before);
    set(&b->info, info_of(offset, size, 0));
    set(&b->next, a->bin[c]);
    set(&b->back, 0);
    if (size >= BIG) {
        set(&b->ready, ready);
        set(&b->dirty, dirty);
    }
    if (a->bin[c]) {
        set(&at(a->bin[c])->back, offset);
    } else {
        set(&a->map[c / 64], a->map[c / 64] | UINT64_C(1) << c % 64);
    }
    set(&a->bin[c], offset);
}

/* A free block of at least size bytes, 0 when there is none. */
static uint64_t
find(uint64_t size)
{
    struct mp__alloc *a = &fam()->alloc;
    unsigned c = class_that_fits(size);
    for (unsigned w = c / 64; w < MP__BIN_WORDS; w++) {
        uint64_t bits = a->map[w];
        if (w == c / 64) {
            bits &= ~UINT64_C(0) << c % 64;
        }
        if (bits) {
            return a->bin[w * 64 + (unsigned)__builtin_ctzll(bits)];
        }
    }
    /* Nearly full: a block of the request's own class may do. */
    uint64_t offset = a->bin[class_of(size)];
    for (int i = 0; offset && i < 64; i++) {
        if (size_of(offset) >= size) {
            return offset;
        }
        offset = at(offset)->next;
    }
    return 0;
}

/* ---- pages ---------------------------------------------------------------------------------- */

static int
reserve(uint64_t from, uint64_t to)
{
    from = page_down(from);
    to = at_most(page_up(to), fam()->size);
    return from < to ? mp__plat_shm_reserve(mp__family_fd, fam(), from, to - from) : 0;
}

/* Where the reserved pages of a free block end. */
static uint64_t
ready_of(uint64_t offset)
{
    struct block *b = at(offset);
    uint64_t end = offset + size_of(offset);
    return size_of(offset) >= BIG ? at_most(b->ready, end) : end;
}

static uint64_t
dirty_of(uint64_t offset)
{
    return size_of(offset) >= BIG ? at(offset)->dirty : 0;
}

/* ---- taking a block ------------------------------------------------------------------------- */

/* How a free block is cut up: [block .. lead .. used .. rest .. end). */
struct cut {
    uint64_t block, used, rest, end; /* offsets; used == block: no lead; rest == end: no rest */
    uint64_t ready;                  /* pages are reserved from block to here */
};

static struct cut
plan_cut(uint64_t block, uint64_t need, uint64_t align)
{
    struct cut k = {.block = block, .end = block + size_of(block), .ready = ready_of(block)};
    k.used = block;
    /* The address is aligned, not the offset: the base may be aligned to a page only. */
    uint64_t payload = fam()->base + block + HEADER;
    if (payload % align) {
        k.used += (payload + SMALLEST + align - 1) / align * align - payload;
    }
    k.rest = k.used + need;
    if (k.end - k.rest < SMALLEST) {
        k.rest = k.end;
    }
    return k;
}

/*
 * Reserve the pages that the cut needs before its headers are written.  *late is where the pages
 * that the caller reserves after the lock begin, 0: none.
 */
static int
reserve_cut(struct cut *k, uint64_t *late)
{
    uint64_t rest_size = k->end - k->rest;
    /* A rest below BIG has all pages, a bigger one those of its header. */
    uint64_t must = rest_size == 0    ? k->end
                    : rest_size < BIG ? k->end
                                      : k->rest + sizeof(struct block);
    *late = 0;
    if (must <= k->ready) {
        return 0;
    }
    uint64_t first = k->used + STAY; /* a free block's header is in it, too */
    if (k->rest - k->used > LATE && k->ready < k->rest) {
        /* Headers now, the inside later. */
        int status = first > k->ready ? reserve(k->ready, first) : 0;
        if (status == 0) {
            status = reserve(k->rest < k->end ? k->rest : k->end - 1, must);
        }
        *late = k->ready > first ? k->ready : first;
        k->ready = rest_size ? at_most(page_up(must), k->end) : k->end;
        return status;
    }
    uint64_t to = at_most(must + STEP, k->end);
    if (rest_size == 0 || rest_size < BIG) {
        to = k->end;
    }
    int status = reserve(k->ready, to);
    if (status < 0 && to > must) { /* the step ahead is a luxury */
        to = must;
        status = reserve(k->ready, to);
    }
    k->ready = at_most(page_up(to), k->end);
    return status;
}

/* flags: of the block that is used then. */
static void
apply_cut(const struct cut *k, uint64_t flags)
{
    struct block *b = at(k->block);
    uint64_t before = b->before, dirty = dirty_of(k->block), used_before = before;
    unlink_block(k->block);
    if (k->used != k->block) {
        /* All of the lead is reserved: it lies before the used part. */
        link_block(k->block, k->used - k->block, before, k->used, 0);
        used_before = k->block;
    }
    set(&at(k->used)->before, used_before);
    set(&at(k->used)->info, info_of(k->used, k->rest - k->used, flags));
    uint64_t last = k->used;
    if (k->rest != k->end) {
        link_block(k->rest, k->end - k->rest, k->used,
                   k->ready > k->rest ? k->ready : page_up(k->rest + sizeof(struct block)), dirty);
        last = k->rest;
    }
    if (k->end < fam()->size) {
        set(&at(k->end)->before, last);
    }
    struct mp__alloc *a = &fam()->alloc;
    set(&a->used_bytes, a->used_bytes + (k->rest - k->used));
    set(&a->used_blocks, a->used_blocks + 1);
}

/* ---- giving it back ------------------------------------------------------------------------- */

/*
 * Join a used block with its free neighbours and list it.  b_ready is where its own reserved pages
 * end.  The free block's offset.
 */
static uint64_t
apply_free(uint64_t offset, uint64_t b_ready)
{
    struct mp__alloc *a = &fam()->alloc;
    struct block *b = at(offset);
    uint64_t start = offset, end = offset + size_of(offset), before = b->before;
    uint64_t ready = b_ready, dirty = 0;
    set(&a->used_bytes, a->used_bytes - (end - offset));
    set(&a->used_blocks, a->used_blocks - 1);
    if (end < fam()->size && !(info_at(end) & USED)) {
        uint64_t n = end, n_ready = ready_of(n);
        end += size_of(n);
        dirty += dirty_of(n);
        if (ready == n) {
            ready = n_ready;
        } else {
            dirty += n_ready - n;
        }
        unlink_block(n);
    }
    if (before && !(info_at(before) & USED)) {
        uint64_t p = before, p_ready = ready_of(p);
        dirty += dirty_of(p);
        if (p_ready == start) {
            /* one run of pages */
        } else {
            dirty += ready - start;
            ready = p_ready;
        }
        start = p;
        before = at(p)->before;
        unlink_block(p);
    }
    /* The old header must not look like a live block when it is given back again. */
    if (start != offset) {
        set(&b->info, 0);
    }
    link_block(start, end - start, before, ready, dirty);
    if (end < fam()->size) {
        set(&at(end)->before, start);
    }
    return start;
}

/* Give pages of a free block back when it holds many; after the commit. */
static void
trim(uint64_t offset)
{
    struct block *b = at(offset);
    uint64_t size = size_of(offset), end = offset + size;
    if (size < TRIM || b->ready - offset + b->dirty < TRIM) {
        return;
    }
    uint64_t keep = page_up(offset + KEEP);
    keep = at_most(keep, page_up(at_most(b->ready, end)));
    uint64_t to = page_down(end);
    /* First say that they are gone, then let them go: killed between, they stay a while. */
    struct mp__journal *j = &fam()->alloc.journal;
    mp__journal_set(j, &b->ready, keep);
    mp__journal_set(j, &b->dirty, 0);
    mp__journal_commit(j);
    if (keep < to) {
        mp__plat_shm_discard(mp__family_fd, fam(), keep, to - keep);
    }
}

/* ---- the lock ------------------------------------------------------------------------------- */

static void
lock(void)
{
    struct mp__alloc *a = &fam()->alloc;
    if (mp__ilock_acquire(&a->lock, MP__NEVER) == MP_OWNER_DIED) {
        mp__journal_rollback(&a->journal);
    }
}

static void
unlock(void)
{
    mp__ilock_release(&fam()->alloc.lock);
}

static void
commit(void)
{
    mp__journal_commit(&fam()->alloc.journal);
}

/* ---- the room's calls ------------------------------------------------------------------------ */

int
mp__alloc_init(struct mp__family *f)
{
    uint64_t size = f->size - f->data;
    int status = reserve(f->data, f->data + sizeof(struct block));
    if (status == 0) {
        link_block(f->data, size, 0, page_up(f->data + sizeof(struct block)), 0);
        commit();
    }
    return status;
}

static int
no_memory(uint64_t size)
{
    return mp__error(MP_ENOMEM, "no shared memory for %llu bytes: the heap or the system is full",
                     (unsigned long long)size);
}

/*
 * Without the lock, the pages from `late` on of the block that was cut; it is in slot, if that is not
 * NULL, so that it is not lost when we die.  0; or -errno, and the block is free again.
 */
static int
reserve_late(const struct cut *k, uint64_t late, _Atomic(void *) *slot)
{
    int status = reserve(late, k->rest);
    if (status == 0) {
        atomic_store_explicit((_Atomic uint64_t *)&at(k->used)->info,
                              info_of(k->used, k->rest - k->used, USED), memory_order_release);
        return 0;
    }
    /* The pages that it did get go back, or a full system stays full. */
    uint64_t from = page_up(k->used + STAY), to = page_down(k->rest);
    if (from < to) {
        mp__plat_shm_discard(mp__family_fd, fam(), from, to - from);
    }
    lock();
    if (slot) {
        set((uint64_t *)slot, 0);
    }
    apply_free(k->used, from);
    commit();
    unlock();
    return status;
}

/* The offset of a used block, 0 with MP_ENOMEM.  slot as in mp__heap_alloc_to. */
static uint64_t
take(uint64_t size, uint64_t align, _Atomic(void *) *slot)
{
    if (size > fam()->size || align > MOST_ALIGN) {
        no_memory(size);
        return 0;
    }
    uint64_t need = (size + HEADER + UNIT - 1) & ~(UNIT - 1);
    need = need < SMALLEST ? SMALLEST : need;
    uint64_t late = 0;
    struct cut k = {0};
    lock();
    uint64_t block = find(need + (align > UNIT ? align + SMALLEST : 0));
    if (block) {
        k = plan_cut(block, need, align);
        if (reserve_cut(&k, &late) < 0) {
            block = 0;
        }
    }
    if (block) {
        apply_cut(&k, late ? USED | PART : USED);
        if (slot) {
            set((uint64_t *)slot, fam()->base + k.used + HEADER);
        }
        commit();
    }
    unlock();
    if (!block || (late && reserve_late(&k, late, slot) < 0)) {
        no_memory(size);
        return 0;
    }
    return k.used;
}

static void *
payload(uint64_t offset)
{
    return offset ? (void *)(uintptr_t)(fam()->base + offset + HEADER) : NULL;
}

void *
mp__heap_alloc(size_t size, size_t align)
{
    return mp__heap_join() < 0 ? NULL : payload(take(size, align < UNIT ? UNIT : align, NULL));
}

int
mp__heap_alloc_to(size_t size, size_t align, _Atomic(void *) *slot)
{
    return take(size, align < UNIT ? UNIT : align, slot) ? 0 : MP_ENOMEM;
}

/* The offset of the live block whose payload ptr is, 0 when it is none. */
static uint64_t
live_block(const void *ptr)
{
    if (!mp_heap_contains(ptr) || (uintptr_t)ptr % UNIT) {
        return 0;
    }
    uint64_t offset = offset_of(ptr) - HEADER;
    if (offset < fam()->data) {
        return 0;
    }
    uint64_t info = info_at(offset), size = info & SIZE_MASK;
    bool ok = (info & FLAGS & ~PART) == USED && info == info_of(offset, size, info & FLAGS) &&
              size >= SMALLEST && offset + size <= fam()->size;
    return ok ? offset : 0;
}

size_t
mp__heap_block_size(const void *ptr)
{
    uint64_t offset = live_block(ptr);
    return offset ? size_of(offset) - HEADER : 0;
}

/*
 * A big block in the caller's slot gives its pages back, while the lock, which we hold, is let go.
 * Killed meanwhile, it still is in the slot, and says that it has but a part of them.  False: it is
 * not big.
 */
static bool
thin_out(uint64_t offset)
{
    uint64_t size = size_of(offset), from = page_up(offset + STAY), to = page_down(offset + size);
    if (size < TRIM || (info_at(offset) & PART)) {
        return false;
    }
    set(&at(offset)->info, info_of(offset, size, USED | PART));
    commit();
    unlock();
    mp__plat_shm_discard(mp__family_fd, fam(), from, to - from);
    lock();
    return true;
}

bool
mp__heap_free_from(_Atomic(void *) *slot, void *seen, void *next)
{
    lock();
    /* A dead process may have changed the slot without committing it: taking the lock rolled that
       back, and what the caller saw was never true. */
    if (atomic_load_explicit(slot, memory_order_relaxed) != seen) {
        unlock();
        return false;
    }
    uint64_t offset = live_block(seen);
    if (offset && thin_out(offset) && atomic_load_explicit(slot, memory_order_relaxed) != seen) {
        unlock();
        return false;
    }
    set((uint64_t *)slot, (uint64_t)(uintptr_t)next);
    if (offset) {
        uint64_t all = offset + size_of(offset);
        offset = apply_free(offset, info_at(offset) & PART ? page_up(offset + STAY) : all);
    }
    commit();
    if (offset) {
        trim(offset);
    }
    unlock();
    return true;
}

void
mp__heap_settle(void)
{
    lock();
    unlock();
}

static int
not_live(const char *call, const void *ptr)
{
    return mp__error(MP_EVALUE, "%s: %p is not a live block of the family's heap%s", call, ptr,
                     mp_heap_contains(ptr) ? " (freed before, or not a block's start)" : "");
}

static int
give_back(const char *call, void *ptr)
{
    uint64_t offset = live_block(ptr);
    /* Only one of two that free the same block gets past this: what is expected is a block in use,
       never whatever stands there by now. */
    uint64_t part = offset ? info_at(offset) & PART : 0;
    uint64_t info = offset ? info_of(offset, size_of(offset), USED | part) : 0;
    if (!offset || !atomic_compare_exchange_strong((_Atomic uint64_t *)&at(offset)->info, &info,
                                                   (info & ~FLAGS) | USED | FREEING)) {
        return not_live(call, ptr);
    }
    uint64_t size = size_of(offset), ready = part ? page_up(offset + STAY) : offset + size;
    if (size >= TRIM) {
        /* A big block's pages go back before the lock is taken: the block is still ours. */
        uint64_t from = page_up(offset + sizeof(struct block)), to = page_down(offset + size);
        if (mp__plat_shm_discard(mp__family_fd, fam(), from, to - from) == 0) {
            /* The page where the next block begins stays, as part of that block. */
            ready = from;
        }
    }
    lock();
    offset = apply_free(offset, ready);
    commit();
    trim(offset);
    unlock();
    return 0;
}

/* ---- malloc and its kin ---------------------------------------------------------------------- */

void *
mp_malloc(size_t size)
{
    return mp__heap_alloc(size, UNIT);
}

void *
mp_calloc(size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        mp__error(MP_EOVERFLOW, "mp_calloc: %zu times %zu bytes do not fit", count, size);
        return NULL;
    }
    void *p = mp__heap_alloc(total, UNIT);
    return p ? memset(p, 0, total) : NULL;
}

void *
mp_aligned_alloc(size_t align, size_t size)
{
    if (align == 0 || (align & (align - 1)) || align > MOST_ALIGN) {
        mp__error(MP_EVALUE, "mp_aligned_alloc: %zu is no power of two up to 1 MiB", align);
        return NULL;
    }
    return mp__heap_alloc(size, align);
}

void *
mp_realloc(void *ptr, size_t size)
{
    if (!ptr) {
        return mp_malloc(size);
    }
    size_t old = mp__heap_block_size(ptr);
    if (old == 0) {
        not_live("mp_realloc", ptr);
        return NULL;
    }
    if (size <= old && size >= old / 2) {
        return ptr;
    }
    void *fresh = mp_malloc(size);
    if (!fresh && size <= old) {
        return ptr; /* no memory to save memory with */
    }
    if (fresh) {
        memcpy(fresh, ptr, size < old ? size : old);
        give_back("mp_realloc", ptr);
    }
    return fresh;
}

int
mp_free(void *ptr)
{
    return ptr ? give_back("mp_free", ptr) : 0;
}
