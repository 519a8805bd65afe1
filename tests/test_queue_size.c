/* test_queue_size.c: mp_queue with messages of all sizes: wrapping, growing, shrinking, running out. */
#include "mp_test.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "helpers/pattern.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* ---- help ------------------------------------------------------------------------------------ */

static mp_queue *
new_queue(int64_t maxsize)
{
    mp_queue *q = mp_queue_new(maxsize);
    if (!q) {
        fail_msg("mp_queue_new: %s", mp_last_error_text());
    }
    return q;
}

static mp_heap_info
heap_now(void)
{
    mp_heap_info info;
    mp_assert_ok(mp_heap_stats(&info));
    return info;
}

/* But for a few MiB the heap holds no more than before. */
static void
assert_given_back(const mp_heap_info *before)
{
    mp_heap_info now = heap_now();
    assert_true(now.used <= before->used + MIB);
#ifndef MP_PLATFORM_POSIX /* POSIX has no call that gives pages of a shared file back */
    assert_true(now.committed <= before->committed + 4 * MIB);
#endif
}

/* 8 B to 1 MiB, most of them small. */
static size_t
some_size(uint64_t *seed)
{
    unsigned bits = 3 + (unsigned)(next_random(seed) % 18);
    return ((size_t)1 << bits) - (next_random(seed) & 7);
}

/* Seconds that a busy machine may stand still in what happens at once. */
#define STALL 5.0

/* Between least and most seconds passed since. */
static void
took(double since, double least, double most)
{
    double t = mp_test_now() - since;
    if (t < least || t > most) {
        fail_msg("it took %.3f s, not %.3f to %.3f", t, least, most);
    }
}

/* ---- one at a time --------------------------------------------------------------------------- */

static void
test_queue_sizes_around_every_boundary_round_trip(void **state)
{
    (void)state;
    mp_queue *q = new_queue(0);
    size_t most = 70 * KIB, len;
    unsigned char *in = malloc(most), *out = malloc(most);
    for (size_t size = 0; size < most; size += size < 4200 ? 1 : 977) {
        fill(in, size, size);
        mp_assert_ok(mp_queue_put_bytes(q, in, size, 0));
        if (size % 3 == 0) {
            mp_assert_ok(mp_queue_put_bytes(q, in, size, 0));
            mp_assert_ok(mp_queue_get_bytes(q, out, most, &len, 0));
        }
        mp_assert_ok(mp_queue_get_bytes(q, out, size, &len, 0));
        assert_int_equal(len, size);
        assert_true(is_filled(out, size, size));
    }
    free(in);
    free(out);
    mp_assert_ok(mp_queue_free(q));
}

static void *
put_one_by_one(void *queue)
{
    static const char data[1000];
    for (size_t i = 0; mp_queue_put_bytes(queue, data, i * 37 % sizeof data, MP_FOREVER) == 0;) {
        i++;
    }
    return NULL;
}

/*
 * Now and then the reader looks just when the writer, ahead by nothing, goes round in the ring.
 * Many messages; fewer where the two seldom run at the same time, and each costs a turn.
 */
static void
test_queue_read_empty_while_it_wraps_gives_only_what_was_put(void **state)
{
    (void)state;
    mp_queue *q = new_queue(1);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, put_one_by_one, q), 0);
    enum { MOST = 200000, LEAST = 1000 };
    const double limit = mp_test_now() + 10;
    for (size_t i = 0, vain = 0; i < LEAST || (i < MOST && mp_test_now() < limit);) {
        char data[1000];
        size_t len;
        int status = mp_queue_get_bytes(q, data, sizeof data, &len, 0);
        if (status != MP_EEMPTY) {
            mp_assert_ok(status);
            assert_int_equal(len, i * 37 % sizeof data);
            i++;
        } else if (++vain % 1000 == 0) {
            sched_yield();
        }
    }
    mp_assert_ok(mp_queue_shutdown(q, true)); /* the writer leaves */
    pthread_join(t, NULL);
    mp_assert_ok(mp_queue_free(q));
}

/* ---- growth and shrinking -------------------------------------------------------------------- */

/* Messages with their number, of sizes that the number tells. */
static uint64_t
put_until(mp_queue *q, unsigned char *data, uint64_t number, size_t *held, size_t level)
{
    while (*held < level) {
        uint64_t seed = number * 2654435761u + 1;
        size_t len = some_size(&seed);
        fill(data, len, number);
        double t = mp_test_now();
        mp_assert_ok(mp_queue_put_bytes(q, data, len, 30));
        took(t, 0, STALL);
        *held += len;
        number++;
    }
    return number;
}

static uint64_t
get_until(mp_queue *q, unsigned char *data, uint64_t number, size_t *held, size_t level)
{
    while (*held > level) {
        uint64_t seed = number * 2654435761u + 1;
        size_t len, want = some_size(&seed);
        double t = mp_test_now();
        mp_assert_ok(mp_queue_get_bytes(q, data, MIB, &len, 30));
        took(t, 0, STALL);
        assert_int_equal(len, want);
        assert_true(is_filled(data, len, number));
        *held -= len;
        number++;
    }
    return number;
}

static void
test_queue_grows_and_shrinks_at_all_levels(void **state)
{
    (void)state;
    mp_queue *q = new_queue(0);
    mp_heap_info before = heap_now();
    size_t held = 0, len;
    unsigned char *data = malloc(MIB);
    uint64_t put = 0, got = 0, seed = 99;
    put = put_until(q, data, put, &held, 50 * MIB);
    assert_true(heap_now().used >= before.used + 50 * MIB);
    assert_true(heap_now().committed >= 50 * MIB);
    for (int i = 0; i < 60; i++) { /* low and high, by turns */
        size_t low = next_random(&seed) % (8 * MIB), high = low + next_random(&seed) % (8 * MIB);
        got = get_until(q, data, got, &held, i % 3 ? low : low % (64 * KIB));
        put = put_until(q, data, put, &held, high);
        assert_int_equal(mp_queue_qsize(q), (int64_t)(put - got));
    }
    got = get_until(q, data, got, &held, 0);
    assert_int_equal(put, got);
    mp_assert_code(mp_queue_get_bytes(q, data, MIB, &len, 0.01), MP_EEMPTY); /* it looks around */
    assert_given_back(&before);
    mp_assert_ok(mp_queue_put_bytes(q, "on it goes", 10, 0));
    free(data);
    mp_assert_ok(mp_queue_free(q));
    assert_given_back(&before);
}

static void
test_queue_big_message_round_trips(void **state)
{
    (void)state;
    mp_queue *q = new_queue(0);
    mp_heap_info before = heap_now();
    size_t size = 300 * MIB, len;
    unsigned char *data = malloc(size), *back = calloc(1, size);
    assert_true(data && back);
    for (size_t i = 0; i < size; i += 4096) {
        memset(data + i, (int)(i >> 12), 4096);
    }
    mp_assert_ok(mp_queue_put_bytes(q, "first", 5, 0));
    mp_assert_ok(mp_queue_put_bytes(q, data, size, 0));
    mp_assert_ok(mp_queue_put_bytes(q, "last", 4, 0));
    mp_assert_ok(mp_queue_get_bytes(q, back, size, &len, 0));
    mp_assert_code(mp_queue_get_bytes(q, back, size - 1, &len, 0), MP_EBUFFERTOOSHORT);
    mp_assert_ok(mp_queue_get_bytes(q, back, size, &len, 0));
    assert_int_equal(len, size);
    assert_int_equal(memcmp(data, back, size), 0);
    mp_assert_ok(mp_queue_get_bytes(q, back, size, &len, 0));
    assert_int_equal(len, 4);
    mp_assert_code(mp_queue_get_bytes(q, back, size, &len, 0.01), MP_EEMPTY);
    assert_given_back(&before);
    free(data);
    free(back);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_never_empty_gives_its_peak_back(void **state)
{
    (void)state;
    mp_queue *q = new_queue(0);
    mp_heap_info before = heap_now();
    size_t len;
    unsigned char *data = calloc(1, MIB);
    for (int i = 0; i < 64; i++) {
        mp_assert_ok(mp_queue_put_bytes(q, data, MIB, 0));
    }
    for (int i = 0; i < 4000; i++) { /* small ones from now on; it is never seen empty */
        mp_assert_ok(mp_queue_put_bytes(q, data, 64, 0));
        mp_assert_ok(mp_queue_get_bytes(q, data, MIB, &len, 0));
    }
    assert_int_equal(mp_queue_qsize(q), 64);
    assert_given_back(&before);
    free(data);
    mp_assert_ok(mp_queue_free(q));
}

/* So many that they flow: the queue takes a large segment, and goes on in it. */
static void
let_flow(mp_queue *q, const mp_heap_info *before)
{
    char data[1000] = {0};
    size_t len;
    for (long i = 0; i < 1000000 && heap_now().used < before->used + MIB + MIB / 2; i++) {
        for (int j = 0; j < 100; j++) {
            mp_assert_ok(mp_queue_put_bytes(q, data, sizeof data, 0));
            mp_assert_ok(mp_queue_get_bytes(q, data, sizeof data, &len, 0));
        }
    }
    assert_true(heap_now().used >= before->used + MIB + MIB / 2);
    mp_assert_ok(mp_queue_put_bytes(q, data, sizeof data, 0));
    mp_assert_ok(mp_queue_get_bytes(q, data, sizeof data, &len, 1));
    assert_true(heap_now().used >= before->used + MIB + MIB / 2); /* nobody waited in vain yet */
}

static void
test_queue_that_flowed_gives_its_segment_back(void **state)
{
    (void)state;
    static const double waits[] = {0, 0.01};
    mp_heap_info before = heap_now();
    for (size_t i = 0; i < 2; i++) {
        mp_queue *q = new_queue(0);
        char data[1000];
        size_t len;
        let_flow(q, &before);
        mp_assert_code(mp_queue_get_bytes(q, data, sizeof data, &len, waits[i]), MP_EEMPTY);
        assert_given_back(&before);
        let_flow(q, &before);
        mp_assert_ok(mp_queue_free(q));
        assert_given_back(&before);
    }
}

/* A message now and then is no flow, also where nobody ever waits for nothing. */
static void
test_queue_that_flows_no_more_gives_its_segment_back(void **state)
{
    (void)state;
    mp_queue *q = new_queue(0);
    mp_heap_info before = heap_now();
    char data[1000] = {0};
    size_t len;
    let_flow(q, &before);
    double limit = mp_test_now() + 30;
    while (heap_now().used > before.used + MIB && mp_test_now() < limit) {
        mp_assert_ok(mp_queue_put_bytes(q, data, 8, 0));
        mp_assert_ok(mp_queue_get_bytes(q, data, sizeof data, &len, 0));
        struct timespec pause = {0, 150000}; /* the pace is what this is about */
        nanosleep(&pause, NULL);
    }
    assert_given_back(&before);
    mp_assert_ok(mp_queue_free(q));
}

/* ---- an exhausted heap ----------------------------------------------------------------------- */

/* A program of its own, whose heap may have no more than the least that there is. */
static int
small_heap(void)
{
    const struct rlimit limit = {64 * MIB, 64 * MIB};
    mp_child_check(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    mp_queue *q = mp_queue_new(0);
    mp_child_check(q != NULL);
    unsigned char *data = malloc(100 * KIB), *back = malloc(100 * KIB);
    uint64_t put = 0, got = 0;
    size_t len;
    for (int round = 0; round < 20; round++) {
        int status = 0;
        for (;;) {
            size_t size = (put * 7919) % (100 * KIB);
            fill(data, size, put);
            status = mp_queue_put_bytes(q, data, size, 1);
            if (status != 0 || put - got > 10000) {
                break;
            }
            put++;
        }
        mp_child_check(status == MP_ENOMEM);
        mp_child_check(mp_queue_qsize(q) == (int64_t)(put - got));
        mp_child_code(mp_queue_put(q, mp_bytes(data, 100 * KIB), 1), MP_ENOMEM);
        uint64_t leave = round % 3 ? (put - got) / 3 : 0;
        while (put - got > leave) {
            mp_child_ok(mp_queue_get_bytes(q, back, 100 * KIB, &len, 0));
            mp_child_check(len == (got * 7919) % (100 * KIB) && is_filled(back, len, got));
            got++;
        }
    }
    free(data);
    free(back);
    mp_child_ok(mp_queue_free(q));
    puts("survived");
    return 0;
}

static void
test_queue_exhausted_heap_refuses_and_goes_on(void **state)
{
    (void)state;
    char out[2048];
    int status = mp_test_run_self("--small-heap", out, sizeof out);
    if (status != 0 || strcmp(out, "survived\n") != 0) {
        fail_msg("status %#x: %s", (unsigned)status, out);
    }
}

/* ---- an exhausted process -------------------------------------------------------------------- */

static size_t
address_space(void)
{
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    mp_child_check(f && fscanf(f, "%zu", &pages) == 1);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* A program of its own, which may have 20 MiB more than it has. */
static int
small_process(void)
{
    mp_queue *q = mp_queue_new(0);
    mp_obj o;
    void *data = calloc(1, 40 * MIB);
    mp_child_ok(mp_queue_put_bytes(q, data, 40 * MIB, 0));
    mp_child_ok(mp_queue_put(q, mp_bytes(data, 40 * MIB), 0));
    free(data);
    struct rlimit old, limit;
    mp_child_check(getrlimit(RLIMIT_AS, &old) == 0);
    limit = old;
    for (int i = 0; i < 2; i++) {
        limit.rlim_cur = address_space() + 20 * MIB;
        mp_child_check(setrlimit(RLIMIT_AS, &limit) == 0);
        mp_child_code(mp_queue_get(q, &o, 0), MP_ENOMEM);
        mp_child_check(mp_is_none(o) && mp_queue_qsize(q) == 2 - i);
        mp_child_check(setrlimit(RLIMIT_AS, &old) == 0);
        mp_child_ok(mp_queue_get(q, &o, 0));
        mp_child_check(mp_obj_len(o) == (int64_t)(40 * MIB));
        mp_obj_free(o);
    }
    mp_child_ok(mp_queue_free(q));
    puts("survived");
    return 0;
}

static void
test_queue_message_that_no_memory_is_left_for_stays(void **state)
{
    (void)state;
#if defined __SANITIZE_ADDRESS__
    skip(); /* it needs the address space for itself */
#endif
    char out[2048];
    int status = mp_test_run_self("--small-process", out, sizeof out);
    if (status != 0 || strcmp(out, "survived\n") != 0) {
        fail_msg("status %#x: %s", (unsigned)status, out);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_queue_sizes_around_every_boundary_round_trip),
    cmocka_unit_test(test_queue_read_empty_while_it_wraps_gives_only_what_was_put),
    cmocka_unit_test(test_queue_grows_and_shrinks_at_all_levels),
    cmocka_unit_test(test_queue_big_message_round_trips),
    cmocka_unit_test(test_queue_never_empty_gives_its_peak_back),
    cmocka_unit_test(test_queue_that_flowed_gives_its_segment_back),
    cmocka_unit_test(test_queue_that_flows_no_more_gives_its_segment_back),
    cmocka_unit_test(test_queue_exhausted_heap_refuses_and_goes_on),
    cmocka_unit_test(test_queue_message_that_no_memory_is_left_for_stays),
};

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    if (argc == 2 && strcmp(argv[1], "--small-heap") == 0) {
        return small_heap();
    }
    if (argc == 2 && strcmp(argv[1], "--small-process") == 0) {
        return small_process();
    }
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
}
