/* heap/family.c: making the family's heap, and joining it. */
#include "heap/family.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork.h"
#include "heap/heap.h"
#include "heap/waits.h"
#include "platform/platform.h"

/*
 * Where the heap may lie: 48 places of 1 TiB that nothing else uses on 64-bit systems; the mmap
 * area, the program and the shadow of the sanitizers are elsewhere.
 */
#define FIRST_PLACE UINT64_C(0x200000000000)
#define PLACE_BYTES (UINT64_C(1) << 40)
#define PLACES      48
#define TRIES       8

/*
 * ThreadSanitizer ends a program that maps at addresses of its own choice, or much of the rest: a
 * small heap there, where the system likes it.  Spawned children may find the place taken, so the
 * start method is fork.
 */
#if defined __SANITIZE_THREAD__
#define ANY_PLACE 1
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define ANY_PLACE 1
#endif
#endif
#ifndef ANY_PLACE
#define ANY_PLACE 0
#endif

#define LARGEST  (UINT64_C(1) << (ANY_PLACE ? 32 : 40))
#define SMALLEST (UINT64_C(1) << 26)

_Static_assert(sizeof(void *) == 8, "libmp needs a 64-bit system");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "libmp needs lock-free 64-bit atomics");

MP__FORK_DATA struct mp__family *mp__family;
MP__FORK_DATA struct mp__heap_range mp__heap_range;
MP__FORK_DATA int mp__family_fd = -1;

static MP__FORK_DATA _Atomic int joined;
static MP__FORK_DATA pthread_mutex_t mutex =
    PTHREAD_MUTEX_INITIALIZER; /* over joining the family */
static MP__FORK_DATA pthread_once_t once = PTHREAD_ONCE_INIT;

void
mp__family_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void
mp__family_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

static void
in_child(void)
{
    mp__family_unlock();
    mp__member_forked();
}

static void
install(void)
{
    mp__fork_hooks(mp__family_lock, mp__family_unlock, in_child);
}

/*
 * Map fd (or anonymous memory, -1) at a place that other images of the program have free too.
 * MAP_FAILED with errno when it does not fit at this size.
 */
static void *
map_somewhere(int fd, size_t size)
{
    uint64_t random = 0;
    mp__plat_random(&random, sizeof random);
    for (int i = 0; i < TRIES; i++) {
        uint64_t place = FIRST_PLACE + (random % PLACES) * PLACE_BYTES;
        random = random / PLACES + UINT64_C(0x9E3779B97F4A7C15);
        void *at = mp__plat_map(fd, (void *)(uintptr_t)place, size);
        if (at != MAP_FAILED || errno != EEXIST) {
            return at;
        }
    }
    return MAP_FAILED;
}

/* The largest heap that limits allow; 0 with *ret_fd, *ret_base, *ret_size, or -errno. */
static int
make_segment(int *ret_fd, void **ret_base, size_t *ret_size)
{
    int err = ENOMEM;
    for (uint64_t size = LARGEST; size >= SMALLEST; size /= 4) {
        int fd = mp__plat_shm_create(size);
        if (fd >= 0) {
            fd = mp__plat_lift(fd);
        }
        if (fd < 0) {
            err = -fd;
            if (err == EMFILE || err == ENFILE) {
                return -err;
            }
            continue;
        }
        void *at = ANY_PLACE ? MAP_FAILED : map_somewhere(fd, size);
        if (at == MAP_FAILED) {
            /* Places of our own choice are refused (a sanitizer, a small address space): let the
               system choose.  Children by fork have it; spawned ones try the same place. */
            at = mp__plat_map(fd, NULL, size);
        }
        if (at != MAP_FAILED) {
            *ret_fd = fd;
            *ret_base = at;
            *ret_size = size;
            return 0;
        }
        err = errno;
        close(fd);
    }
    for (uint64_t size = LARGEST; size >= SMALLEST; size /= 4) {
        void *at = mp__plat_map(-1, NULL, size);
        if (at != MAP_FAILED) {
            *ret_fd = -1;
            *ret_base = at;
            *ret_size = size;
            return 0;
        }
    }
    return -err;
}

/* Whether spawn started this process and it has not come past mp_freeze_support(). */
static bool
missed_freeze_support(void)
{
    const char *mark = getenv(MP__CHILD_ENV);
    return mark && strchr(mark, ':') && strtol(mark, NULL, 10) == (long)getppid();
}

/* As Python's RuntimeError in a child that starts processes while its main module loads. */
static void
explain_and_exit(void)
{
    static const char text[] =
        "libmp: this process was started by mp_process_start(), but its main() went on without\n"
        "doing the work of a child. With the start methods spawn and forkserver, the first\n"
        "statement of main() must be\n"
        "\n"
        "    mp_freeze_support(argc, argv);\n";
    fputs(text, stderr);
    fflush(stderr);
    _exit(1);
}

/* f is the family of this process from now on; NULL: none. */
static void
belong_to(struct mp__family *f, int fd)
{
    mp__family = f;
    mp__family_fd = fd;
    mp__heap_range = (struct mp__heap_range){0, 0};
    if (f) {
        mp__heap_range = (struct mp__heap_range){f->base + f->data, f->size - f->data};
    }
}

static int
make_family(void)
{
    int fd = -1;
    void *base = NULL;
    size_t size = 0;
    int status = make_segment(&fd, &base, &size);
    if (status < 0) {
        return mp__error_os(-status, "the family's shared memory cannot be made");
    }
    long page = sysconf(_SC_PAGESIZE);
    size_t head = (sizeof(struct mp__family) + (size_t)page - 1) / (size_t)page * (size_t)page;
    status = mp__plat_shm_reserve(fd, base, 0, head);
    if (status == 0) {
        struct mp__family *f = base;
        f->layout = MP__FAMILY_LAYOUT;
        f->page = (uint32_t)page;
        f->base = (uint64_t)(uintptr_t)base;
        f->size = size;
        f->waits = head;
        f->data = head + (uint64_t)MP__MEMBER_SLOTS * MP__WAITS_BYTES;
        mp__plat_random(&f->key, sizeof f->key);
        belong_to(f, fd);
        status = mp__alloc_init(f);
        f->magic = MP__FAMILY_MAGIC;
    }
    if (status < 0) {
        belong_to(NULL, -1);
        munmap(base, size);
        if (fd >= 0) {
            close(fd);
        }
        return mp__error(MP_ENOMEM, "no memory for the family's heap: %s", mp_strerror(status));
    }
    return 0;
}

int
mp__heap_join(void)
{
    if (atomic_load_explicit(&joined, memory_order_acquire)) {
        return 0;
    }
    if (missed_freeze_support()) {
        explain_and_exit();
    }
    pthread_once(&once, install);
    pthread_mutex_lock(&mutex);
    int status = 0;
    if (!atomic_load_explicit(&joined, memory_order_relaxed)) {
        status = make_family();
        if (status == 0) {
            atomic_store_explicit(&joined, 1, memory_order_release);
        }
    }
    pthread_mutex_unlock(&mutex);
    return status;
}

int
mp__heap_adopt(int fd, uint64_t base, uint64_t size)
{
    pthread_once(&once, install);
    void *at = mp__plat_map(fd, (void *)(uintptr_t)base, size);
    if (at == MAP_FAILED) {
        return mp__error_os(errno, "the family's heap cannot be mapped at its address %#llx",
                            (unsigned long long)base);
    }
    struct mp__family *f = at;
    uint32_t layout = f->layout;
    if (f->magic != MP__FAMILY_MAGIC || layout != MP__FAMILY_LAYOUT || f->base != base ||
        f->size != size) {
        munmap(at, size);
        return mp__error(MP_ERUNTIME, "the parent's heap is of another libmp (layout %u, mine %u)",
                         layout, MP__FAMILY_LAYOUT);
    }
    belong_to(f, fd);
    atomic_store_explicit(&joined, 1, memory_order_release);
    return 0;
}

bool
mp_heap_contains(const void *ptr)
{
    return (uintptr_t)ptr - mp__heap_range.first < mp__heap_range.bytes;
}

int
mp_heap_stats(mp_heap_info *ret_info)
{
    if (!ret_info) {
        return mp__error(MP_EVALUE, "mp_heap_stats: NULL");
    }
    memset(ret_info, 0, sizeof *ret_info);
    struct mp__family *f = mp__family;
    if (!f) {
        return 0;
    }
    ret_info->capacity = f->size - f->data;
    /* Others change them under the lock meanwhile: an instant's numbers are all there is to say. */
    ret_info->used =
        atomic_load_explicit((_Atomic uint64_t *)&f->alloc.used_bytes, memory_order_relaxed);
    ret_info->blocks =
        atomic_load_explicit((_Atomic uint64_t *)&f->alloc.used_blocks, memory_order_relaxed);
    ret_info->committed = mp__plat_shm_committed(mp__family_fd);
    ret_info->processes = mp__member_count();
    return 0;
}
