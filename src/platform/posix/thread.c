/* platform/posix/thread.c: this thread's number, counted by ourselves; no hint to any kernel. */
#include "platform/common.h"

#include <pthread.h>

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

/* POSIX has no number of the first thread: it is the one that the program was loaded by. */
static pthread_t first;

__attribute__((constructor)) static void
note_first(void)
{
    first = pthread_self();
}

bool
mp__plat_first_thread(void)
{
    return pthread_equal(first, pthread_self()) != 0;
}

MP__HOT_TLS struct mp__plat_hint mp__plat_hint;

void
mp__plat_find_hint(void)
{
    static MP__HOT_TLS volatile uintptr_t told_nobody;
    mp__plat_hint.tell = &told_nobody;
}

void
mp__plat_forget_thread(void)
{
    tid = 0;
    note_first(); /* the child's only thread */
}
