/*
 * mp/heap.h: memory that every process of the family sees at the same address.
 *
 * The first call of libmp that needs shared memory makes the family's heap; children map it at the
 * same address under fork, spawn and forkserver.  So a pointer into it, as mp_malloc() or any
 * constructor returns it, can be stored in it, put in a queue, given to a child, and is valid in
 * every process of the family.
 *
 * Mirrors   multiprocessing.heap, and malloc(3)
 * Memory    pages are reserved before you get them: exhaustion is MP_ENOMEM, never SIGBUS; the
 *           pages of freed memory go back to the system
 * Threads   every call from any thread of any process
 * Fork      a child of a plain fork() shares the heap too
 * Death     a process killed inside any of these leaves the others able to allocate and free
 */
#ifndef MP_HEAP_H
#define MP_HEAP_H

#include <mp/config.h>

MP_BEGIN_DECLS

/*
 * size bytes, aligned to 16, contents undefined.  size 0 gives a unique pointer to free.
 * NULL with mp_last_error(): MP_ENOMEM when memory or the heap's address range is used up, or what
 * kept the heap from being made.
 */
MP_API void *mp_malloc(size_t size);

/* As mp_malloc(count * size), zeroed; MP_EOVERFLOW when the product does not fit. */
MP_API void *mp_calloc(size_t count, size_t size);

/*
 * Move to size bytes; contents up to the smaller size are kept.  ptr NULL is mp_malloc(size).
 * NULL on error, ptr is then unchanged and still yours: MP_ENOMEM; MP_EVALUE when ptr is not a
 * live block of the heap.
 */
MP_API void *mp_realloc(void *ptr, size_t size);

/* As mp_malloc(), aligned to align, a power of two of at most 1 MiB, else MP_EVALUE. */
MP_API void *mp_aligned_alloc(size_t align, size_t size);

/*
 * Give a block back, from any process, once.  NULL is fine.
 * Returns 0, or MP_EVALUE and changes nothing: ptr is not from the heap, or was freed before.
 */
MP_API int mp_free(void *ptr);

/* Whether ptr points into this process's family heap. */
MP_API bool mp_heap_contains(const void *ptr);

/* What the heap holds just now; all sizes in bytes. */
typedef struct mp_heap_info {
    size_t capacity;  /* address range of the heap                             */
    size_t used;      /* bytes in blocks that are in use, headers included     */
    size_t blocks;    /* number of blocks in use, the library's own included   */
    size_t committed; /* memory the system really holds for the heap           */
    size_t processes; /* processes registered in the family                    */
} mp_heap_info;

/* Fill in *ret_info.  0; all zero in a process that has no family yet; MP_EVALUE for NULL. */
MP_API int mp_heap_stats(mp_heap_info *ret_info);

/* ---- Python's multiprocessing.heap ----------------------------------------------------------- */

/*
 * A heap of one process's own: blocks that are cut from a few big pieces of the family's heap, the
 * arenas, and go back all at once.  The memory is the family's: a block's address is good in every
 * process of it, for mp_from_pointer() too.  What is where, only the process knows that made it; a
 * child of fork() begins with none of it, and its first block is in an arena of its own.
 *
 * NULL in place of a heap is the process's own one, as Python's BufferWrapper has: always there,
 * never closed; at the end of the process its arenas without blocks go back.
 *
 * Mirrors   multiprocessing.heap.Heap, Arena, BufferWrapper
 * Threads   every call from any thread, except mp_heap_close() of a heap that another uses
 * Death     of the process: its arenas stay until the family ends, and so do blocks that others use
 */
typedef struct mp_heap mp_heap;

/*
 * A heap whose first arena, made with the first block, has size bytes, rounded up to pages; each
 * further one twice as many, up to 4 MiB, or as many as its block needs.  size 0: one page.
 * NULL: MP_EVALUE (negative), MP_EOVERFLOW (more than an arena can be), MP_ENOMEM.
 */
MP_API mp_heap *mp_heap_new(int64_t size);

/*
 * size bytes, rounded up to a multiple of 16 and aligned to it, zeroed when its place was never
 * used before; size 0 as 1.
 * NULL: MP_EVALUE (negative; no live heap), MP_EOVERFLOW (too large), MP_ENOMEM.
 */
MP_API void *mp_heap_malloc(mp_heap *heap, int64_t size);

/*
 * Give a block back to the heap that it is from.  Its neighbours that are free become one with it;
 * an arena of 4 MiB or more that has no other block goes back to the family.  NULL is fine.
 * 0; MP_EVALUE, and nothing changes: no block of this heap, freed before, or the heap's blocks are
 * another process's, which alone may free them.
 */
MP_API int mp_heap_free(mp_heap *heap, void *block);

/*
 * Give back all of its arenas, with all blocks, and end it.  In a child of fork() it ends the
 * child's copy, and the parent's arenas stay.  NULL is fine.  0, or MP_EVALUE: no live heap.
 */
MP_API int mp_heap_close(mp_heap *heap);

MP_END_DECLS

#endif
