/*
 * test_heap_limits_fault.c: shortages: a smaller heap or a clear error, and never a signal.
 *
 * Each test is a child of fork() that has its limit before it makes its family.
 */
#include "mp_test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined __linux__
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "step.h"

#include "heap/alloc.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* A sanitizer itself needs terabytes of address space. */
#if defined __SANITIZE_ADDRESS__
static const bool sanitized = true;
#elif defined __has_feature
#if __has_feature(address_sanitizer)
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif
#else
static const bool sanitized = false;
#endif

static mp_heap_info
stats(void)
{
    mp_heap_info info;
    mp_child_ok(mp_heap_stats(&info));
    return info;
}

static void
limit(int what, size_t to)
{
    struct rlimit l;
    mp_child_check(getrlimit(what, &l) == 0);
    l.rlim_cur = to;
    mp_child_check(setrlimit(what, &l) == 0);
}

/* A failing call has left its code and a text. */
static void
check_told(int code)
{
    mp_child_check(mp_last_error() == code);
    mp_child_check(strlen(mp_last_error_text()) > 10);
}

/* The heap does what a heap does, also between processes. */
static void
check_works(void)
{
    mp_heap_info before = stats();
    char *p = mp_malloc(100 * KIB);
    mp_child_check(p != NULL);
    memset(p, 1, 100 * KIB);
    void *aligned = mp_aligned_alloc(MIB, 100);
    mp_child_check(aligned != NULL && (uintptr_t)aligned % MIB == 0);
    pid_t pid = fork();
    if (pid == 0) {
        mp_child_check(p[0] == 1);
        memset(p, 2, 100 * KIB);
        mp_child_ok(mp_free(aligned));
        _exit(0);
    }
    int status;
    mp_child_check(waitpid(pid, &status, 0) == pid && status == 0);
    mp_child_check(p[0] == 2 && p[100 * KIB - 1] == 2);
    mp_child_code(mp_free(aligned), MP_EVALUE);
    mp_child_ok(mp_free(p));
    mp_child_check(stats().blocks == before.blocks);
    mp_child_check(mp__alloc_check() == NULL);
}

static int
spawned(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    memset(p, 5, 1);
    return 7;
}

/* A spawned child reaches the heap, or the start says why not. */
static void
check_spawn(bool possible)
{
    char *p = mp_calloc(1, 1);
    mp_child_check(p != NULL);
    mp_process *child = mp_process_new(spawned, mp_args((void *)p),
                                       &(mp_process_options){.context = mp_get_context("spawn")});
    mp_child_check(child != NULL);
    int status = mp_process_start(child), code = 0;
    if (possible) {
        mp_child_check(status == 0);
        mp_child_ok(mp_process_join(child, MP_FOREVER));
        mp_child_ok(mp_process_exitcode(child, &code));
        mp_child_check(code == 7 && p[0] == 5);
    } else {
        mp_child_check(status < 0);
        check_told(status);
    }
    mp_child_ok(mp_process_free(child));
    mp_child_ok(mp_free(p));
}

/* ---- limits before the family ------------------------------------------------------------------*/

static void
with_address_space(void *arg)
{
    (void)arg;
    limit(RLIMIT_AS, 1024 * MIB);
    check_works();
    mp_child_check(stats().capacity < 1024 * MIB && stats().capacity > 32 * MIB);
    mp_child_check(mp_malloc(900 * MIB) == NULL);
    check_told(MP_ENOMEM);
    check_spawn(true);
}

/* No room for even the smallest heap. */
static void
with_no_address_space(void *arg)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    (void)arg;
    if (!f || fscanf(f, "%lu", &pages) != 1) {
        exit(0);
    }
    fclose(f);
    limit(RLIMIT_AS, pages * (size_t)sysconf(_SC_PAGESIZE) + 20 * MIB);
    mp_child_check(mp_malloc(1) == NULL);
    mp_child_check(mp_last_error() < 0 && *mp_last_error_text());
    mp_child_check(mp_lock_new() == NULL && mp_last_error() < 0);
    mp_child_check(stats().capacity == 0);
    limit(RLIMIT_AS, RLIM_INFINITY); /* and then it is possible after all */
    check_works();
}

static void
with_file_size(void *arg)
{
    size_t size = *(size_t *)arg;
    limit(RLIMIT_FSIZE, size);
    check_works();
    if (size >= 64 * MIB) {
        mp_child_check(stats().capacity < size);
        check_spawn(true);
    } else {
        check_spawn(false);
    }
}

static void
with_file_size_later(void *arg)
{
    (void)arg;
    check_works();
    limit(RLIMIT_FSIZE, 0);
    check_works();
    char *p = mp_malloc(32 * MIB);
    mp_child_check(p != NULL);
    memset(p, 1, 32 * MIB);
    mp_child_ok(mp_free(p));
}

static void
with_no_descriptor(void *arg)
{
    struct rlimit before;
    (void)arg;
    mp_child_check(getrlimit(RLIMIT_NOFILE, &before) == 0);
    limit(RLIMIT_NOFILE, 0);
    mp_child_check(mp_malloc(1) == NULL);
    check_told(-EMFILE);
    limit(RLIMIT_NOFILE, before.rlim_cur); /* and then it is possible after all */
    check_works();
    check_spawn(true);
}

/* As a program may have it: the family is there, and no more descriptors. */
static void
with_no_descriptor_later(void *arg)
{
    (void)arg;
    mp_child_ok(mp_free(mp_malloc(1)));
    limit(RLIMIT_NOFILE, 0);
    check_works();
}

static void
expect(void (*body)(void *), void *arg)
{
    assert_int_equal(step_family(body, arg), 0);
}

static void
test_heap_in_little_address_space_is_smaller(void **state)
{
    (void)state;
    if (sanitized) {
        skip();
    }
    expect(with_address_space, NULL);
}

static void
test_heap_without_address_space_is_an_error(void **state)
{
    (void)state;
    if (sanitized) {
        skip();
    }
    expect(with_no_address_space, NULL);
}

static void
test_heap_with_file_size_limits_is_smaller_or_for_fork_only(void **state)
{
    (void)state;
    static size_t sizes[] = {0, 1024 * 1024, 128 * 1024 * 1024};
    for (int i = 0; i < 3; i++) {
        expect(with_file_size, &sizes[i]);
    }
    expect(with_file_size_later, NULL);
}

static void
test_heap_without_descriptors_is_an_error_or_goes_on(void **state)
{
    (void)state;
    expect(with_no_descriptor, NULL);
    expect(with_no_descriptor_later, NULL);
}

/* ---- the heap's own end ------------------------------------------------------------------------*/

#define MOST_BLOCKS 800000

/* Allocate blocks of a size until there are no more; how many. */
static size_t
use_up(void **block, size_t size)
{
    size_t n = 0;
    while (n < MOST_BLOCKS && (block[n] = mp_malloc(size)) != NULL) {
        memset(block[n], (int)(n & 0xff), size < 64 ? size : 64);
        n++;
    }
    mp_child_check(n < MOST_BLOCKS);
    check_told(MP_ENOMEM);
    return n;
}

static void
free_all(void **block, size_t n, size_t first, size_t step)
{
    for (size_t i = first; i < n; i += step) {
        mp_child_check(((unsigned char *)block[i])[0] == (i & 0xff));
        mp_child_ok(mp_free(block[i]));
    }
}

static void
to_the_end(void *arg)
{
    static const size_t sizes[] = {100, 5000, 300 * 1024, 1024 * 1024 + 100, 9 * 1024 * 1024};
    (void)arg;
    limit(RLIMIT_FSIZE, 64 * MIB);
    mp_child_ok(mp_free(mp_malloc(1)));
    mp_heap_info start = stats();
    void **block = malloc(MOST_BLOCKS * sizeof *block);
    mp_child_check(block != NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = use_up(block, sizes[i]);
        size_t each = sizes[i] + 64; /* the class of nearly fitting blocks is lost at most */
        mp_child_check(n * each > start.capacity - start.capacity / 6 - each);
        mp_child_check(mp__alloc_check() == NULL);
        /* Every second one back: as many again, and not one more. */
        size_t half = (n + 1) / 2, again = 0;
        free_all(block, n, 0, 2);
        while (again < half + 2 && (block[2 * again] = mp_malloc(sizes[i])) != NULL) {
            memset(block[2 * again], (int)(2 * again & 0xff), sizes[i] < 64 ? sizes[i] : 64);
            again++;
        }
        mp_child_check(again == half);
        mp_child_check(mp_realloc(block[0], 30 * MIB) == NULL);
        check_told(MP_ENOMEM);
        free_all(block, n, 0, 1);
        mp_child_check(mp__alloc_check() == NULL);
        mp_child_check(stats().blocks == start.blocks && stats().used == start.used);
        mp_child_check(use_up(block, sizes[i]) == n);
        free_all(block, n, 0, 1);
    }
    void *all = mp_malloc(start.capacity - 64 * KIB);
    mp_child_check(all != NULL);
    memset(all, 1, start.capacity - 64 * KIB);
    mp_child_ok(mp_free(all));
    mp_child_check(stats().used == start.used && mp__alloc_check() == NULL);
    free(block);
}

static void
test_heap_used_up_says_so_and_recovers(void **state)
{
    (void)state;
    expect(to_the_end, NULL);
}

/* ---- the system's end --------------------------------------------------------------------------*/

#if defined __linux__ && defined __x86_64__

/* From now on fallocate() of more than `most` bytes fails with ENOSPC, as in a full system. */
static void
system_is_full(uint32_t most)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fallocate, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3), /* not the punching of holes */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, most, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSPC),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) != 0) {
        exit(0); /* not allowed here */
    }
}

static void
in_a_full_system(void *arg)
{
    uint32_t most = *(uint32_t *)arg;
    void *kept = mp_malloc(100 * KIB);
    mp_child_check(kept != NULL);
    mp_heap_info start = stats();
    system_is_full(most);
    static const size_t sizes[] = {3 * 1024 * 1024, 20 * 1024 * 1024, 1024 * 1024 + 1};
    for (int i = 0; i < 3; i++) {
        for (int round = 0; round < 3; round++) {
            mp_child_check(mp_malloc(sizes[i]) == NULL);
            check_told(MP_ENOMEM);
            mp_child_check(mp_aligned_alloc(64 * KIB, sizes[i]) == NULL);
            check_told(MP_ENOMEM);
            mp_child_check(mp_realloc(kept, sizes[i]) == NULL);
            check_told(MP_ENOMEM);
            mp_child_check(mp__alloc_check() == NULL);
        }
    }
    mp_child_check(stats().blocks == start.blocks && stats().used == start.used);
    /* What has its pages is still to be had. */
    memset(kept, 1, 100 * KIB);
    mp_child_ok(mp_free(kept));
    kept = mp_malloc(90 * KIB);
    mp_child_check(kept != NULL);
    memset(kept, 2, 90 * KIB);
    mp_child_ok(mp_free(kept));
    /* Small blocks until the pages end: no signal, and all come back. */
    static void *block[100000];
    size_t n = 0;
    while (n < 100000 && most == 0 && (block[n] = mp_malloc(200)) != NULL) {
        memset(block[n++], 3, 200);
    }
    mp_child_check(n < 100000);
    for (size_t i = 0; i < n; i++) {
        mp_child_ok(mp_free(block[i]));
    }
    mp_child_check(mp__alloc_check() == NULL && stats().blocks == start.blocks - 1);
}

/* Without any page; and with pages enough for headers, so that the late reservation fails. */
static void
test_heap_in_a_full_system_says_so_and_loses_nothing(void **state)
{
    (void)state;
    static uint32_t most[] = {0, 512 * 1024};
    expect(in_a_full_system, &most[0]);
    expect(in_a_full_system, &most[1]);
}

#else

static void
test_heap_in_a_full_system_says_so_and_loses_nothing(void **state)
{
    (void)state;
    skip();
}

#endif

#if defined __linux__

/* More than the machine has, and far less than the heap's addresses. */
static void
with_too_much(void *arg)
{
    (void)arg;
    /* If it is not refused this process shall be the one to end, which gives all back. */
    FILE *f = fopen("/proc/self/oom_score_adj", "w");
    if (!f || fputs("1000", f) < 0 || fclose(f) != 0) {
        exit(0);
    }
    size_t memory = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    mp_child_check(mp_malloc(1) != NULL);
    if (memory < stats().capacity / 8) {
        mp_child_check(mp_malloc(4 * memory) == NULL);
        check_told(MP_ENOMEM);
        mp_child_check(mp_array_new('b', 4 * memory, NULL) == NULL);
        check_told(MP_ENOMEM);
    }
}

static void
test_heap_refuses_what_the_machine_does_not_have(void **state)
{
    (void)state;
    expect(with_too_much, NULL);
}

#else

static void
test_heap_refuses_what_the_machine_does_not_have(void **state)
{
    (void)state;
    skip();
}

#endif

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_heap_in_little_address_space_is_smaller),
    cmocka_unit_test(test_heap_without_address_space_is_an_error),
    cmocka_unit_test(test_heap_with_file_size_limits_is_smaller_or_for_fork_only),
    cmocka_unit_test(test_heap_without_descriptors_is_an_error_or_goes_on),
    cmocka_unit_test(test_heap_used_up_says_so_and_recovers),
    cmocka_unit_test(test_heap_in_a_full_system_says_so_and_loses_nothing),
    cmocka_unit_test(test_heap_refuses_what_the_machine_does_not_have),
};

MP_TEST_MAIN_NO_FAMILY(tests)
