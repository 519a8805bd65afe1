/* test_platform_shm.c: platform.h's shared memory, the same for both sides. */
#include "helpers/platform.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/common.h"

#define MIB ((size_t)1 << 20)

/* Whether this is the side that can seal: the one that can tell start times too. */
static bool
system_seals(void)
{
    return mp__plat_start_time(getpid()) != 0;
}

static void
write_two_pages(void *arg)
{
    memset(arg, 'x', 8192);
}

static void
test_shm_mapped_is_zero_and_shared_with_children(void **state)
{
    (void)state;
    static const char zeros[8192];
    int fd = mp__plat_shm_create(4 * MIB);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    char *p = mp__plat_map(fd, NULL, 4 * MIB);
    assert_true(p != MAP_FAILED);
    char *again = mp__plat_map(fd, NULL, 4 * MIB);
    assert_true(again != MAP_FAILED);
    assert_memory_equal(p, zeros, sizeof zeros);
    assert_int_equal(run_child(write_two_pages, p + MIB), 0);
    assert_memory_equal(p, zeros, sizeof zeros);
    assert_true(p[MIB] == 'x' && p[MIB + 8191] == 'x' && p[MIB + 8192] == 0);
    assert_memory_equal(p + MIB, again + MIB, 8192);
    munmap(again, 4 * MIB);
    munmap(p, 4 * MIB);
    close(fd);
}

static void
test_shm_size_is_sealed_where_the_system_can(void **state)
{
    (void)state;
    int fd = mp__plat_shm_create(MIB);
    struct stat file;
    if (system_seals()) {
        assert_int_equal(ftruncate(fd, 4096), -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(ftruncate(fd, (off_t)(2 * MIB)), -1);
    }
    assert_int_equal(fstat(fd, &file), 0);
    assert_int_equal(file.st_size, MIB);
    assert_int_equal(file.st_mode & 077, 0);
    close(fd);
}

static void
test_shm_pages_are_reserved_and_given_back(void **state)
{
    (void)state;
    static const char zeros[4096];
    int fd = mp__plat_shm_create(64 * MIB);
    char *p = mp__plat_map(fd, NULL, 64 * MIB);
    assert_int_equal(mp__plat_shm_committed(fd), 0);
    p[8 * MIB] = 'x';
    assert_int_equal(mp__plat_shm_reserve(fd, p, 8 * MIB, 2 * MIB), 0);
    assert_true(mp__plat_shm_committed(fd) >= 2 * MIB);
    assert_true(mp__plat_shm_committed(fd) < 4 * MIB);
    assert_int_equal(p[8 * MIB], 'x');
    int status = mp__plat_shm_discard(fd, p, 8 * MIB, MIB);
    if (status == 0) {
        assert_true(mp__plat_shm_committed(fd) < 2 * MIB);
        assert_memory_equal(p + 8 * MIB, zeros, sizeof zeros);
    } else {
        assert_int_equal(status, -ENOTSUP);
    }
    assert_int_equal(mp__plat_shm_committed(-1), 0);
    munmap(p, 64 * MIB);
    close(fd);
}

/* What linux/ falls back to where memfd_create is refused, and posix/ always does. */
static void
test_shm_nameless_is_private_and_sized(void **state)
{
    (void)state;
    struct stat file;
    int fd = mp__plat_shm_nameless();
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(mp__plat_shm_resize(fd, 2 * MIB), 0);
    assert_int_equal(fstat(fd, &file), 0);
    assert_int_equal(file.st_size, 2 * MIB);
    assert_int_equal(file.st_mode & 077, 0);
    assert_int_equal(file.st_nlink, 0);
    char *p = mp__plat_map(fd, NULL, 2 * MIB);
    assert_true(p != MAP_FAILED);
    assert_int_equal(mp__plat_shm_reserve(fd, p, MIB, MIB), 0);
    assert_true(mp__plat_shm_committed(fd) >= MIB);
    munmap(p, 2 * MIB);
    close(fd);
}

static void
test_shm_too_large_is_refused(void **state)
{
    (void)state;
    int before = count_open();
    assert_true(mp__plat_shm_create(SIZE_MAX) < 0);
    assert_int_equal(count_open(), before);
}

static void
create_under_limit(void *arg)
{
    (void)arg;
    const struct rlimit limit = {MIB, MIB};
    mp_child_check(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    mp_child_check(mp__plat_shm_create(2 * MIB) == -EFBIG);
    int fd = mp__plat_shm_create(MIB);
    mp_child_check(fd >= 0);
    mp_child_check(mp__plat_shm_reserve(fd, NULL, 0, MIB) == 0);
}

static void
test_shm_over_the_file_size_limit_is_refused_without_a_signal(void **state)
{
    (void)state;
    assert_int_equal(run_child(create_under_limit, NULL), 0);
}

static volatile sig_atomic_t ticks;

static void
tick(int number)
{
    (void)number;
    ticks++;
}

static void
reserve_under_timer(void *arg)
{
    (void)arg;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = tick; /* without SA_RESTART */
    const struct itimerval often = {{0, 500}, {0, 500}};
    int fd = mp__plat_shm_create(64 * MIB);
    mp_child_check(fd >= 0);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    /* As often as it takes for signals to have come: one call may be faster than the timer. */
    do {
        mp_child_check(mp__plat_shm_reserve(fd, NULL, 0, 64 * MIB) == 0);
        poll(NULL, 0, 0); /* where ThreadSanitizer hands out signals */
    } while (ticks < 2);
    mp_child_check(mp__plat_shm_committed(fd) >= 64 * MIB);
}

static void
test_shm_reserve_interrupted_by_signals_completes(void **state)
{
    (void)state;
    assert_int_equal(run_child(reserve_under_timer, NULL), 0);
}

static void
test_map_at_a_free_place_is_there(void **state)
{
    (void)state;
    int fd = mp__plat_shm_create(4 * MIB);
    void *free_place = mp__plat_map(fd, NULL, 4 * MIB);
    munmap(free_place, 4 * MIB);
    assert_ptr_equal(mp__plat_map(fd, free_place, 4 * MIB), free_place);
    munmap(free_place, 4 * MIB);
    close(fd);
}

static void
test_map_at_a_taken_place_is_refused(void **state)
{
    (void)state;
    int fd = mp__plat_shm_create(4 * MIB);
    char *taken = mp__plat_map(-1, NULL, 4096);
    assert_true(taken != MAP_FAILED);
    taken[0] = 'x';
    errno = 0;
    assert_true(mp__plat_map(fd, taken, 4096) == MAP_FAILED);
    assert_int_equal(errno, EEXIST);
    assert_int_equal(taken[0], 'x');
    munmap(taken, 4096);
    close(fd);
}

/* Whether the system's own list of mappings says that this one is left out of core dumps. */
static bool
is_left_out_of_dumps(const void *at)
{
    char line[512];
    char start[32];
    bool here = false;
    bool left_out = false;
    FILE *list = fopen("/proc/self/smaps", "r");
    snprintf(start, sizeof start, "%llx-", (unsigned long long)(uintptr_t)at);
    while (list != NULL && fgets(line, sizeof line, list) != NULL) {
        if (strncmp(line, start, strlen(start)) == 0) {
            here = true;
        } else if (here && strncmp(line, "VmFlags:", 8) == 0) {
            left_out = strstr(line, " dd") != NULL;
            break;
        }
    }
    if (list != NULL) {
        fclose(list);
    }
    return left_out;
}

static void
test_map_is_left_out_of_core_dumps(void **state)
{
    (void)state;
    if (!system_seals()) {
        skip();
    }
    int fd = mp__plat_shm_create(MIB);
    void *p = mp__plat_map(fd, NULL, MIB);
    assert_true(is_left_out_of_dumps(p));
    munmap(p, MIB);
    close(fd);
}

static void
test_map_without_a_file_is_inherited(void **state)
{
    (void)state;
    char *p = mp__plat_map(-1, NULL, 4 * MIB);
    assert_true(p != MAP_FAILED);
    assert_int_equal(mp__plat_shm_reserve(-1, p, MIB, MIB), 0);
    assert_int_equal(run_child(write_two_pages, p + MIB), 0);
    assert_int_equal(p[MIB + 100], 'x');
    int status = mp__plat_shm_discard(-1, p, MIB, MIB);
    assert_true(status == 0 || status == -ENOTSUP);
    assert_int_equal(p[MIB + 100], status == 0 ? 0 : 'x');
    munmap(p, 4 * MIB);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_shm_mapped_is_zero_and_shared_with_children),
    cmocka_unit_test(test_shm_size_is_sealed_where_the_system_can),
    cmocka_unit_test(test_shm_pages_are_reserved_and_given_back),
    cmocka_unit_test(test_shm_nameless_is_private_and_sized),
    cmocka_unit_test(test_shm_too_large_is_refused),
    cmocka_unit_test(test_shm_over_the_file_size_limit_is_refused_without_a_signal),
    cmocka_unit_test(test_shm_reserve_interrupted_by_signals_completes),
    cmocka_unit_test(test_map_at_a_free_place_is_there),
    cmocka_unit_test(test_map_at_a_taken_place_is_refused),
    cmocka_unit_test(test_map_is_left_out_of_core_dumps),
    cmocka_unit_test(test_map_without_a_file_is_inherited),
};

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, false);
}
