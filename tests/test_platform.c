/*
 * test_platform.c: the contract of platform.h, the same for both sides.
 *
 * What only one side can do is told by what it answers: a start time of 0, or -ENOTSUP.
 * Shared memory, descriptors and started programs have files of their own, test_platform_*.c.
 */
#include "mp_test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/platform.h"

#define LONG_NS (30 * MP__S) /* never reached when the code is right */

/* ---- helpers --------------------------------------------------------------------------------- */

static mp__deadline
soon(void)
{
    return mp__plat_now() + LONG_NS;
}

/* Whether this is the side that asks the system about processes, threads and modules. */
static bool
system_tells(void)
{
    return mp__plat_start_time(getpid()) != 0;
}

static pid_t
start_child(void (*body)(void *), void *arg)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        mp__plat_forget_thread();
        body(arg);
        _exit(0);
    }
    return pid;
}

/* What waitpid() says in the end: 0 when all was well. */
static int
end_child(pid_t pid)
{
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

static int
run_child(void (*body)(void *), void *arg)
{
    return end_child(start_child(body, arg));
}

/* Killed and a zombie for sure, but not reaped. */
static void
make_zombie(pid_t pid)
{
    siginfo_t info;
    kill(pid, SIGKILL);
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
    }
}

static void
sleep_until_killed(void *arg)
{
    (void)arg;
    for (;;) {
        pause();
    }
}

/* 0, or the call's error; sends one byte so that the other side goes on. */
static int
signal_peer(int fd)
{
    char byte = '!';
    struct iovec iov = {&byte, 1};
    return mp__plat_write_all(fd, &iov, 1);
}

static bool
wait_peer(int fd)
{
    char byte;
    return mp__plat_poll_in(fd, soon()) == 1 && mp__plat_read_all(fd, &byte, 1) == 1;
}

static void *
shared_page(void)
{
    void *p = mp__plat_map(-1, NULL, 4096);
    assert_true(p != MAP_FAILED);
    return p;
}

/* ---- time, randomness, processors ------------------------------------------------------------ */

static void
test_clock_read_twice_does_not_go_back(void **state)
{
    (void)state;
    int64_t a = mp__plat_now();
    int64_t b = mp__plat_now();
    assert_true(a > 0 && b >= a);
}

static void
test_random_filled_twice_differs(void **state)
{
    (void)state;
    unsigned char a[4096] = {0};
    unsigned char b[4096] = {0};
    assert_int_equal(mp__plat_random(a, sizeof a - 1), 0);
    assert_int_equal(mp__plat_random(b, sizeof b - 1), 0);
    assert_memory_not_equal(a, b, 16);
    assert_memory_not_equal(a + sizeof a - 17, b + sizeof b - 17, 16);
    assert_int_equal(a[sizeof a - 1], 0);
    assert_int_equal(mp__plat_random(a, 0), 0);
}

static void
test_cpus_counted_are_at_least_one(void **state)
{
    (void)state;
    assert_true(mp__plat_cpus() >= 1);
    assert_true(mp__plat_usable_cpus() >= 1);
    assert_true(mp__plat_usable_cpus() <= mp__plat_cpus());
}

/* ---- words ----------------------------------------------------------------------------------- */

static void
test_word_that_differs_is_not_waited_for(void **state)
{
    (void)state;
    _Atomic uint32_t word = 1;
    int64_t before = mp__plat_now();
    assert_int_equal(mp__plat_wait(&word, 2, LONG_NS), 0);
    assert_true(mp__plat_now() - before < LONG_NS / 2);
}

static void
test_word_nobody_wakes_times_out(void **state)
{
    (void)state;
    _Atomic uint32_t word = 1;
    int64_t before = mp__plat_now();
    int status;
    do {
        status = mp__plat_wait(&word, 1, 5 * MP__MS);
    } while (status == 0);
    assert_int_equal(status, -ETIMEDOUT);
    assert_true(mp__plat_now() - before >= 5 * MP__MS);
    assert_int_equal(mp__plat_wait(&word, 1, 0), -ETIMEDOUT);
    assert_int_equal(mp__plat_wake(&word, 1), 0);
}

static void
wait_for_word(void *arg)
{
    _Atomic uint32_t *word = arg;
    mp_child_check(mp__plat_wait(word, 0, 2 * LONG_NS) == 0);
}

static void
test_word_woken_by_another_process_returns(void **state)
{
    (void)state;
    _Atomic uint32_t *word = shared_page();
    int64_t before = mp__plat_now();
    pid_t pid = start_child(wait_for_word, word);
    /* Where wakers count for something, the wake-up alone must do it: the word stays as it is. */
    int woken = 0;
    while (system_tells() && woken == 0 && mp__plat_now() - before < LONG_NS) {
        woken = mp__plat_wake(word, 1);
    }
    if (!system_tells()) {
        atomic_store(word, 1);
    }
    assert_int_equal(end_child(pid), 0);
    assert_int_equal(woken, system_tells());
    assert_true(mp__plat_now() - before < LONG_NS);
    munmap(word, 4096);
}

struct lock_page {
    _Atomic uint64_t word;
    bool clear_hint;
};

static void
die_with_lock(void *arg)
{
    struct lock_page *page = arg;
    mp__plat_dying_hint(&page->word);
    if (page->clear_hint) {
        mp__plat_dying_hint(NULL);
    }
    atomic_store(&page->word, (UINT64_C(7) << 32) | MP__PLAT_WAITERS | mp__plat_tid());
    raise(SIGKILL);
}

static void
test_hint_of_dead_owner_marks_the_word(void **state)
{
    (void)state;
    struct lock_page *page = shared_page();
    assert_int_equal(run_child(die_with_lock, page), SIGKILL);
    uint64_t word = atomic_load(&page->word);
    assert_int_equal(word >> 32, 7);
    if (system_tells()) {
        assert_int_equal(word & UINT32_MAX, MP__PLAT_DIED | MP__PLAT_WAITERS);
    } else {
        assert_true((word & MP__PLAT_TID) != 0);
    }
    munmap(page, 4096);
}

static void
test_hint_taken_back_leaves_the_word(void **state)
{
    (void)state;
    struct lock_page *page = shared_page();
    page->clear_hint = true;
    assert_int_equal(run_child(die_with_lock, page), SIGKILL);
    assert_true((atomic_load(&page->word) & MP__PLAT_TID) != 0);
    assert_false(atomic_load(&page->word) & MP__PLAT_DIED);
    munmap(page, 4096);
}

/* ---- identity and liveness ------------------------------------------------------------------- */

static void *
tell_tid(void *arg)
{
    uint32_t *tid = arg;
    *tid = mp__plat_tid();
    return NULL;
}

static void
tell_child_tid(void *arg)
{
    *(uint32_t *)arg = mp__plat_tid();
}

static void
test_tid_of_threads_and_children_differ(void **state)
{
    (void)state;
    uint32_t *others = shared_page();
    uint32_t own = mp__plat_tid();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, tell_tid, &others[0]), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(run_child(tell_child_tid, &others[1]), 0);
    assert_true(own != 0 && (own & ~MP__PLAT_TID) == 0);
    assert_int_equal(mp__plat_tid(), own);
    assert_true(others[0] != 0 && others[0] != own);
    assert_true(others[1] != 0 && others[1] != own);
    munmap(others, 4096);
}

/* A child that holds byte 5 of lock_fd, and does what it is told: 'd' drop it, else end. */
struct holder {
    int lock_fd;
    int orders[2];
    int answers[2];
};

static void
hold_as_told(void *arg)
{
    struct holder *h = arg;
    close(h->orders[1]);
    mp_child_check(mp__plat_hold(h->lock_fd, 5) == 0);
    mp_child_check(signal_peer(h->answers[1]) == 0);
    mp_child_check(wait_peer(h->orders[0]));
    mp__plat_drop(h->lock_fd, 5);
    mp_child_check(signal_peer(h->answers[1]) == 0);
    sleep_until_killed(NULL);
}

static pid_t
start_holder(struct holder *h, void (*body)(void *))
{
    h->lock_fd = mp__plat_shm_create(4096);
    assert_true(h->lock_fd >= 0);
    assert_int_equal(mp__plat_pipe(h->orders), 0);
    assert_int_equal(mp__plat_pipe(h->answers), 0);
    pid_t pid = start_child(body, h);
    assert_true(wait_peer(h->answers[0]));
    return pid;
}

static void
end_holder(struct holder *h)
{
    close(h->lock_fd);
    for (int i = 0; i < 2; i++) {
        close(h->orders[i]);
        close(h->answers[i]);
    }
}

static void
test_process_ourselves_has_not_ended(void **state)
{
    (void)state;
    int fd = mp__plat_shm_create(4096);
    assert_int_equal(mp__plat_hold(fd, 5), 0);
    assert_false(mp__plat_process_ended(getpid(), 0, fd, 5));
    assert_false(mp__plat_process_ended(getpid(), mp__plat_start_time(getpid()), fd, 5));
    assert_false(mp__plat_process_ended(getpid(), 0, -1, 0));
    mp__plat_drop(fd, 5);
    close(fd);
    assert_int_equal(mp__plat_hold(-1, 0), 0);
    mp__plat_drop(-1, 0);
}

static void
test_process_killed_has_ended_also_as_zombie(void **state)
{
    (void)state;
    struct holder h;
    pid_t pid = start_holder(&h, hold_as_told);
    uint32_t start = mp__plat_start_time(pid);
    assert_false(mp__plat_process_ended(pid, start, h.lock_fd, 5));
    assert_false(mp__plat_process_ended(pid, 0, h.lock_fd, 5));
    make_zombie(pid);
    assert_true(mp__plat_process_ended(pid, start, h.lock_fd, 5));
    assert_true(mp__plat_process_ended(pid, 0, h.lock_fd, 5));
    assert_int_equal(end_child(pid), SIGKILL);
    assert_true(mp__plat_process_ended(pid, start, h.lock_fd, 5));
    assert_true(mp__plat_process_ended(pid, start, -1, 0));
    assert_int_equal(mp__plat_start_time(pid), 0);
    end_holder(&h);
}

static void
test_process_of_another_start_has_ended(void **state)
{
    (void)state;
    if (!system_tells()) {
        skip();
    }
    uint32_t start = mp__plat_start_time(getpid());
    assert_true(mp__plat_process_ended(getpid(), start + 1, -1, 0));
    assert_true(mp__plat_process_ended(0, 0, -1, 0));
    assert_true(mp__plat_process_ended(-1, 0, -1, 0));
}

static void
test_hold_of_another_process_is_refused_until_dropped(void **state)
{
    (void)state;
    struct holder h;
    pid_t pid = start_holder(&h, hold_as_told);
    int alone = system_tells() ? 0 : -EAGAIN; /* where nothing is held nothing is refused */
    assert_int_equal(mp__plat_hold(h.lock_fd, 5), alone);
    assert_int_equal(mp__plat_hold(h.lock_fd, 6), 0);
    assert_int_equal(signal_peer(h.orders[1]), 0);
    assert_true(wait_peer(h.answers[0]));
    /* Where the lock is the sign of life, dropping it is the sign of the end. */
    assert_int_equal(mp__plat_process_ended(pid, 0, h.lock_fd, 5), !system_tells());
    assert_int_equal(mp__plat_hold(h.lock_fd, 5), 0);
    kill(pid, SIGKILL);
    end_child(pid);
    end_holder(&h);
}

static void *
answer_when_alone(void *arg)
{
    struct holder *h = arg;
    signal_peer(h->answers[1]);
    sleep_until_killed(NULL);
    return NULL;
}

static void
leave_first_thread(void *arg)
{
    struct holder *h = arg;
    pthread_t thread;
    mp_child_check(mp__plat_hold(h->lock_fd, 5) == 0);
    mp_child_check(pthread_create(&thread, NULL, answer_when_alone, h) == 0);
    pthread_exit(NULL);
}

static void
test_process_whose_first_thread_left_has_not_ended(void **state)
{
    (void)state;
#if defined __SANITIZE_ADDRESS__
    /* Its runtime may hang when a forked child makes a thread: once in hundreds of runs. */
    print_message("left out: AddressSanitizer's fork and thread creation do not go together\n");
    skip();
#endif
    struct holder h;
    pid_t pid = start_holder(&h, leave_first_thread);
    /* The first thread goes while we look: it must not show at any time. */
    int64_t until = mp__plat_now() + 50 * MP__MS;
    while (mp__plat_now() < until) {
        assert_false(mp__plat_process_ended(pid, 0, h.lock_fd, 5));
    }
    make_zombie(pid);
    assert_true(mp__plat_process_ended(pid, 0, h.lock_fd, 5));
    end_child(pid);
    end_holder(&h);
}

static void
test_pidfd_is_readable_when_the_child_has_ended(void **state)
{
    (void)state;
    pid_t pid = start_child(sleep_until_killed, NULL);
    int fd = mp__plat_pidfd(pid);
    if (fd >= 0) {
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(mp__plat_poll_in(fd, MP__TRY), 0);
    } else {
        assert_int_equal(fd, -ENOTSUP);
    }
    kill(pid, SIGKILL);
    if (fd >= 0) {
        assert_int_equal(mp__plat_poll_in(fd, soon()), 1);
        close(fd);
    }
    end_child(pid);
}

struct orphan {
    int tell[2], line[2];
    bool late; /* it asks when its parent has gone */
};

static void
ask_to_die(void *arg)
{
    struct orphan *o = arg;
    close(o->line[1]);
    if (o->late) {
        mp_child_check(mp__plat_poll_in(o->line[0], soon()) == 1);
    }
    mp_child_check(mp__plat_die_with(o->line[0]) == 0);
    signal_peer(o->tell[1]);
    sleep_until_killed(NULL);
}

static void *
start_orphan(void *arg)
{
    start_child(ask_to_die, arg);
    return NULL;
}

/* The thread that makes it is gone long before its process is. */
static void
leave_orphan(void *arg)
{
    struct orphan *o = arg;
    pthread_t thread;
    mp_child_check(pthread_create(&thread, NULL, start_orphan, o) == 0);
    mp_child_check(pthread_join(thread, NULL) == 0);
    if (!o->late) {
        mp_child_check(wait_peer(o->tell[0]));
        struct pollfd end = {.fd = o->tell[0], .events = POLLIN};
        close(o->tell[1]);
        mp_child_check(poll(&end, 1, 20) == 0); /* it lives as long as we do */
    }
}

static void
test_child_that_dies_with_its_parent_does(void **state)
{
    (void)state;
#if defined __SANITIZE_ADDRESS__
    skip(); /* as above */
#endif
    for (int late = 0; late < 2; late++) {
        struct orphan o = {.late = late};
        char byte;
        assert_int_equal(mp__plat_pipe(o.tell), 0);
        assert_int_equal(mp__plat_pipe(o.line), 0);
        pid_t pid = start_child(leave_orphan, &o);
        close(o.line[1]);
        close(o.line[0]);
        close(o.tell[1]); /* the grandchild's closes with it */
        assert_int_equal(end_child(pid), 0);
        if (!late) {
            assert_int_equal(mp__plat_poll_in(o.tell[0], soon()), 1);
        }
        while (mp__plat_read_all(o.tell[0], &byte, 1) == 1) {
        }
        close(o.tell[0]);
    }
    if (system_tells()) {
        assert_int_equal(mp__plat_die_with(-1), -EBADF);
    }
}

/* ---- functions ------------------------------------------------------------------------------- */

static int data_not_code = 4;

static int
times_three(int n)
{
    return 3 * n + 1;
}

static uintptr_t
address_of(int (*f)(int))
{
    return (uintptr_t)f;
}

static void
test_funcref_of_a_static_function_leads_back(void **state)
{
    (void)state;
    mp__plat_funcref ref;
    uintptr_t address = 0;
    assert_int_equal(mp__plat_func_to_ref(address_of(times_three), &ref), 0);
    assert_string_equal(ref.module, "");
    assert_true(ref.build_len > 0);
    assert_int_equal(mp__plat_func_from_ref(&ref, &address), 0);
    assert_true(address == address_of(times_three));
}

static void
test_funcref_of_a_library_function_leads_back(void **state)
{
    (void)state;
    mp__plat_funcref ref;
    uintptr_t address = 0;
    assert_int_equal(mp__plat_func_to_ref(address_of(abs), &ref), 0);
    assert_int_equal(mp__plat_func_from_ref(&ref, &address), 0);
    assert_true(address == address_of(abs));
}

static void
test_funcref_of_data_is_refused(void **state)
{
    (void)state;
    mp__plat_funcref ref;
    uintptr_t address = 0;
    if (!system_tells()) {
        skip();
    }
    assert_int_equal(mp__plat_func_to_ref((uintptr_t)&data_not_code, &ref), -EFAULT);
    assert_int_equal(mp__plat_func_to_ref((uintptr_t)&ref, &ref), -ENOENT);
    assert_int_equal(mp__plat_func_to_ref(address_of(times_three), &ref), 0);
    uint64_t offset = ref.offset;
    ref.offset += (uintptr_t)&data_not_code - address_of(times_three);
    assert_int_equal(mp__plat_func_from_ref(&ref, &address), -EFAULT);
    ref.offset = offset + (UINT64_C(1) << 40);
    assert_int_equal(mp__plat_func_from_ref(&ref, &address), -EFAULT);
}

static void
test_funcref_of_another_build_is_stale(void **state)
{
    (void)state;
    mp__plat_funcref ref;
    uintptr_t address = 0;
    assert_int_equal(mp__plat_func_to_ref(address_of(times_three), &ref), 0);
    ref.build[ref.build_len - 1] ^= 1;
    assert_int_equal(mp__plat_func_from_ref(&ref, &address), -ESTALE);
    ref.build[ref.build_len - 1] ^= 1;
    ref.build_len--;
    assert_int_equal(mp__plat_func_from_ref(&ref, &address), -ESTALE);
    ref.build_len = UINT32_MAX;
    assert_int_equal(mp__plat_func_from_ref(&ref, &address), -ESTALE);
}

static void
test_funcref_in_a_module_that_is_not_there_is_refused(void **state)
{
    (void)state;
    mp__plat_funcref ref = {.module = "/nonexistent/module.so"};
    uintptr_t address = 0;
    assert_int_equal(mp__plat_func_from_ref(&ref, &address), -ENOENT);
    memset(ref.module, 'm', sizeof ref.module);
    assert_int_equal(mp__plat_func_from_ref(&ref, &address), -ENOENT);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_clock_read_twice_does_not_go_back),
    cmocka_unit_test(test_random_filled_twice_differs),
    cmocka_unit_test(test_cpus_counted_are_at_least_one),
    cmocka_unit_test(test_word_that_differs_is_not_waited_for),
    cmocka_unit_test(test_word_nobody_wakes_times_out),
    cmocka_unit_test(test_word_woken_by_another_process_returns),
    cmocka_unit_test(test_hint_of_dead_owner_marks_the_word),
    cmocka_unit_test(test_hint_taken_back_leaves_the_word),
    cmocka_unit_test(test_tid_of_threads_and_children_differ),
    cmocka_unit_test(test_process_ourselves_has_not_ended),
    cmocka_unit_test(test_process_killed_has_ended_also_as_zombie),
    cmocka_unit_test(test_process_of_another_start_has_ended),
    cmocka_unit_test(test_hold_of_another_process_is_refused_until_dropped),
    cmocka_unit_test(test_process_whose_first_thread_left_has_not_ended),
    cmocka_unit_test(test_pidfd_is_readable_when_the_child_has_ended),
    cmocka_unit_test(test_child_that_dies_with_its_parent_does),
    cmocka_unit_test(test_funcref_of_a_static_function_leads_back),
    cmocka_unit_test(test_funcref_of_a_library_function_leads_back),
    cmocka_unit_test(test_funcref_of_data_is_refused),
    cmocka_unit_test(test_funcref_of_another_build_is_stale),
    cmocka_unit_test(test_funcref_in_a_module_that_is_not_there_is_refused),
};

int
main(int argc, char **argv)
{
    char path[4096];
    /* Where functions are counted from an anchor and the build is the file's: both known first. */
    mp__plat_func_anchor(address_of(times_three) + 1);
    mp__plat_executable(argv[0], path, sizeof path);
    mp_freeze_support(argc, argv);
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, false);
}
