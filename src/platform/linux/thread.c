/*
 * platform/linux/thread.c: this thread's number, and the hint that it may die holding a lock.
 *
 * The kernel keeps for every thread the head of a list of robust mutexes, which the libc gave it.
 * When the thread ends it looks, last of all, at the head's list_op_pending: the one lock that was
 * being taken or released.  It never follows a link from there; it only compares the futex word
 * with the thread's number, and if they are equal puts MP__PLAT_DIED in its place and wakes one
 * sleeper; if the word is 0 it only wakes one.  So pointing list_op_pending at a word of ours costs
 * a store and asks nothing of the word's surroundings.
 *
 * Limits    one word at a time; a robust pthread mutex used meanwhile takes the place for itself;
 *           no list (a raw clone(), an emulator, a filter of system calls): no hint.  In all
 *           of these the waiters find the dead owner themselves, a little later.
 * Fork      the child's list is another one and its thread has another number: both are cached per
 *           thread and dropped by mp__plat_forget_thread()
 */
#include "platform/linux/linux.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As the kernel has it: struct robust_list_head. */
struct list_head {
    void *first;
    long futex_offset;
    volatile uintptr_t list_op_pending;
};

/* The futex is the low half of the word. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LOW_HALF 4
#else
#define LOW_HALF 0
#endif

static MP__HOT_TLS uint32_t cached_tid;
MP__HOT_TLS struct mp__plat_hint mp__plat_hint;
static MP__HOT_TLS volatile uintptr_t told_nobody; /* where there is no list */

uint32_t
mp__plat_tid(void)
{
    if (cached_tid == 0) {
        cached_tid = (uint32_t)syscall(SYS_gettid);
    }
    return cached_tid;
}

bool
mp__plat_first_thread(void)
{
    return mp__plat_tid() == (uint32_t)getpid();
}

static struct list_head *
ask_for_head(void)
{
    struct list_head *head = NULL;
    size_t size = 0;
    if (syscall(SYS_get_robust_list, 0, &head, &size) < 0 || size != sizeof(struct list_head)) {
        return NULL;
    }
    return head;
}

/* Some libcs give the kernel the list only when the thread takes its first robust mutex. */
static void
take_robust_mutex(void)
{
    pthread_mutexattr_t kind;
    pthread_mutex_t mutex;
    if (pthread_mutexattr_init(&kind) != 0) {
        return;
    }
    pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    if (pthread_mutex_init(&mutex, &kind) == 0) {
        if (pthread_mutex_lock(&mutex) == 0) {
            pthread_mutex_unlock(&mutex);
        }
        pthread_mutex_destroy(&mutex);
    }
    pthread_mutexattr_destroy(&kind);
}

void
mp__plat_find_hint(void)
{
    struct list_head *head = ask_for_head();
    if (head == NULL) {
        take_robust_mutex();
        head = ask_for_head();
    }
    mp__plat_hint.tell = head ? &head->list_op_pending : &told_nobody;
    /* The kernel adds the offset of the futex in a robust mutex of the libc. */
    mp__plat_hint.offset = head ? (uintptr_t)(LOW_HALF - head->futex_offset) : 0;
}

void
mp__plat_forget_thread(void)
{
    cached_tid = 0;
    mp__plat_hint.tell = NULL;
}
