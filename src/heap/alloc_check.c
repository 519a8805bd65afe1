/* heap/alloc_check.c: what always holds in the family's heap; the rules are in alloc.c. */
#include "heap/alloc.h"

#include <stdbool.h>

#include "heap/block.h"

const char *
mp__alloc_check(void)
{
    struct mp__family *f = fam();
    uint64_t before = 0, used = 0, blocks = 0, free_blocks = 0, listed = 0;
    bool free_before = false;
    for (uint64_t o = f->data; o < f->size; o += size_of(o)) {
        uint64_t info = info_at(o), size = info & SIZE_MASK;
        bool is_used = info & USED;
        if (size < SMALLEST || o + size > f->size || info != info_of(o, size, info & FLAGS)) {
            return "a block's header is damaged";
        }
        if (at(o)->before != before) {
            return "a block does not know the block before it";
        }
        if (!is_used && free_before) {
            return "two free blocks are neighbours";
        }
        used += is_used ? size : 0;
        blocks += is_used;
        free_blocks += !is_used;
        free_before = !is_used;
        before = o;
    }
    for (unsigned c = 0; c < MP__BINS; c++) {
        uint64_t back = 0;
        if (!f->alloc.bin[c] != !(f->alloc.map[c / 64] >> c % 64 & 1)) {
            return "the bitmap does not tell which lists are empty";
        }
        for (uint64_t o = f->alloc.bin[c]; o; o = at(o)->next) {
            if ((info_at(o) & USED) || class_of(size_of(o)) != c || at(o)->back != back) {
                return "a list of free blocks is damaged";
            }
            back = o;
            if (++listed > free_blocks) {
                return "a list of free blocks has a ring";
            }
        }
    }
    if (listed != free_blocks) {
        return "a free block is in no list";
    }
    if (used != f->alloc.used_bytes || blocks != f->alloc.used_blocks) {
        return "the counts of used blocks are off";
    }
    return atomic_load(&f->alloc.journal.count) ? "the journal is not empty" : NULL;
}
