/*
 * asan_fork.c: malloc() in a child that was forked amid another thread's, under AddressSanitizer.
 *
 * libc sees to it that its allocator is whole in such a child; the sanitizer's of gcc below 14 and
 * clang below 17 does not, and the child waits for ever for a thread that it does not have.  So the
 * program's calls pass here, and fork() waits until none is inside.
 *
 * Writers   who allocates counts up and down; who forks adds FORKING, waits for the others, and
 *           takes it back
 * Fork      the handlers are the first that are registered, so of those before a fork the last to
 *           run: who holds a lock of the library's and allocates is through by then
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

/* The sanitizer's own; no header declares them. */
void *__interceptor_malloc(size_t size);
void *__interceptor_calloc(size_t count, size_t size);
void *__interceptor_realloc(void *p, size_t size);
void *__interceptor_aligned_alloc(size_t alignment, size_t size);
int __interceptor_posix_memalign(void **ret, size_t alignment, size_t size);
void __interceptor_free(void *p);
void mp_test_forks_amid_malloc(void);
const char *__lsan_default_suppressions(void);
const char *__lsan_default_options(void);

#define FORKING (1L << 32) /* each who forks adds so much */
static atomic_long inside;

static void
enter(void)
{
    while (atomic_fetch_add(&inside, 1) >= FORKING) {
        atomic_fetch_sub(&inside, 1);
        sched_yield();
    }
}

static void
leave(void)
{
    atomic_fetch_sub(&inside, 1);
}

static void
before_fork(void)
{
    atomic_fetch_add(&inside, FORKING);
    while (atomic_load(&inside) % FORKING != 0) {
        sched_yield();
    }
}

static void
after_fork(void)
{
    atomic_fetch_sub(&inside, FORKING);
}

static void
in_child(void)
{
    atomic_store(&inside, 0);
}

/* The linker is told to want it: that brings this file from the archive into a program. */
__attribute__((constructor(101))) void
mp_test_forks_amid_malloc(void)
{
    pthread_atfork(before_fork, after_fork, in_child);
}

void *
malloc(size_t size)
{
    enter();
    void *p = __interceptor_malloc(size);
    leave();
    return p;
}

void *
calloc(size_t count, size_t size)
{
    enter();
    void *p = __interceptor_calloc(count, size);
    leave();
    return p;
}

void *
realloc(void *old, size_t size)
{
    enter();
    void *p = __interceptor_realloc(old, size);
    leave();
    return p;
}

void *
aligned_alloc(size_t alignment, size_t size)
{
    enter();
    void *p = __interceptor_aligned_alloc(alignment, size);
    leave();
    return p;
}

int
posix_memalign(void **ret, size_t alignment, size_t size)
{
    enter();
    int status = __interceptor_posix_memalign(ret, alignment, size);
    leave();
    return status;
}

void
free(void *p)
{
    int number = errno;
    enter();
    __interceptor_free(p);
    leave();
    errno = number;
}

/* What the dynamic linker keeps is no leak: it knows that by its caller, which is now here. */
const char *
__lsan_default_suppressions(void)
{
    return "leak:ld-linux\n";
}

const char *
__lsan_default_options(void)
{
    return "print_suppressions=0";
}
