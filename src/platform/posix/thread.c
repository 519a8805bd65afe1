/* platform/posix/thread.c: this thread's number, counted by ourselves; no hint to any kernel. */
#include "platform/common.h"

/* Continues in the child of a fork, so a number is given once in a line of processes. */
static _Atomic uint32_t threads;
static _Thread_local uint32_t tid;

uint32_t
mp__plat_tid(void)
{
    while (tid == 0) {
        tid = (atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) + 1) & MP__PLAT_TID;
    }
    return tid;
}

void
mp__plat_dying_hint(_Atomic uint64_t *word)
{
    (void)word;
}

void
mp__plat_forget_thread(void)
{
    tid = 0;
}
