/* heap/alloc.h: the allocator's check, for tests and diagnostics. */
#ifndef MP_HEAP_ALLOC_H
#define MP_HEAP_ALLOC_H

/* NULL, or what is wrong with the heap.  Nobody else may be inside the allocator meanwhile. */
const char *mp__alloc_check(void);

#endif
