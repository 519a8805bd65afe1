/*
 * test_queue_threads.c: threads of one process over queues of all kinds, by all calls, for
 * ThreadSanitizer as well; and what a wait costs.
 */
#include "helpers/threads.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TEAM = 3, ROUNDS = 600, LONG = 9000 };

static struct {
    mp_queue *q;
    _Atomic long put, got, sum_put, sum_got, wrong;
} world;

static void
wrong_unless(bool ok)
{
    world.wrong += !ok;
}

/* Numbers, as messages of every form. */
static void *
produce(void *arg)
{
    long me = (long)(intptr_t)arg;
    long *big = calloc(1, LONG);
    for (long i = 0; i < ROUNDS; i++) {
        long n = me * ROUNDS + i, batch[3] = {n, n, n};
        static const size_t lens[3] = {sizeof n, sizeof n, sizeof n};
        long count = 1;
        switch (i % 5) {
        case 0:
            wrong_unless(mp_queue_put(world.q, n, MP_FOREVER) == 0);
            break;
        case 1:
            wrong_unless(mp_queue_put_bytes(world.q, &n, sizeof n, MP_FOREVER) == 0);
            break;
        case 2:
            *big = n;
            wrong_unless(mp_queue_put_bytes(world.q, big, LONG, MP_FOREVER) == 0);
            break;
        case 3: {
            long *mine = mp_queue_reserve(world.q, LONG);
            wrong_unless(mine != NULL);
            memset(mine, 0, LONG);
            *mine = n;
            wrong_unless(mp_queue_commit(world.q, mine, LONG, MP_FOREVER) == 0);
            break;
        }
        default:
            wrong_unless(mp_queue_put_many_bytes(world.q, batch, lens, 3, NULL, MP_FOREVER) == 0);
            count = 3;
        }
        world.put += count;
        world.sum_put += count * n;
    }
    free(big);
    return NULL;
}

static long
number_of(mp_obj o)
{
    long n = 0;
    if (mp_obj_kind(o) == MP_KIND_BYTES) {
        memcpy(&n, mp_as_bytes(o, NULL), sizeof n);
    } else {
        n = (long)mp_as_int(o);
    }
    mp_obj_free(o);
    return n;
}

static void
done(long n)
{
    world.got++;
    world.sum_got += n;
    wrong_unless(mp_joinable_queue_task_done(world.q) == 0);
}

/* By every call that takes; false when the queue is shut down and empty. */
static bool
take(int turn)
{
    mp_obj items[4];
    const void *loan;
    size_t count = 1;
    int status;
    if (turn % 3 == 0) {
        status = mp_queue_get(world.q, items, 5);
    } else if (turn % 3 == 1) {
        status = mp_queue_get_many(world.q, 4, items, &count, 5);
    } else {
        status = mp_queue_peek(world.q, items, &loan, 5);
        if (status == 0 && turn % 2) {
            mp_obj_free(items[0]);
            wrong_unless(mp_queue_give_back(world.q, loan) == 0);
            return true;
        }
        wrong_unless(status != 0 || mp_queue_release(world.q, loan) == 0);
    }
    for (size_t i = 0; status == 0 && i < count; i++) {
        done(number_of(items[i]));
    }
    wrong_unless(status == 0 || status == MP_ESHUTDOWN);
    return status == 0;
}

static void *
consume(void *arg)
{
    for (int turn = (int)(intptr_t)arg; take(turn); turn++) {
    }
    return NULL;
}

/* Looks at it all the time, and watches it now and then. */
static void *
look(void *arg)
{
    (void)arg;
    while (!(mp_queue_empty(world.q) == 1 && mp_joinable_queue_join(world.q, 0.001) == 0 &&
             world.put == TEAM * (ROUNDS + 2 * (ROUNDS / 5)))) {
        struct pollfd p = {mp_queue_fileno(world.q), POLLIN, 0};
        wrong_unless(p.fd >= 0 && poll(&p, 1, 5) >= 0);
        wrong_unless(mp_queue_qsize(world.q) >= 0 && mp_queue_full(world.q) >= 0);
        wrong_unless(mp_queue_unwatch(world.q) == 0);
    }
    wrong_unless(mp_queue_shutdown(world.q, false) == 0);
    return NULL;
}

static void
all_calls(int64_t maxsize, uint64_t max_bytes)
{
    pthread_t t[2 * TEAM + 1];
    memset(&world, 0, sizeof world);
    world.q =
        mp_queue_new_with(maxsize, &(mp_queue_options){.joinable = true, .max_bytes = max_bytes});
    assert_non_null(world.q);
    for (intptr_t i = 0; i < TEAM; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, produce, (void *)i), 0);
        assert_int_equal(pthread_create(&t[TEAM + i], NULL, consume, (void *)i), 0);
    }
    assert_int_equal(pthread_create(&t[2 * TEAM], NULL, look, NULL), 0);
    for (int i = 0; i < 2 * TEAM + 1; i++) {
        pthread_join(t[i], NULL);
    }
    assert_int_equal(world.wrong, 0);
    assert_int_equal(world.got, world.put);
    assert_int_equal(world.sum_got, world.sum_put);
    mp_assert_code(mp_joinable_queue_task_done(world.q), MP_EVALUE);
    mp_assert_ok(mp_queue_free(world.q));
}

static void
test_queue_all_calls_by_many_threads_add_up(void **state)
{
    (void)state;
    all_calls(0, 0);
    all_calls(7, 0);
    all_calls(0, 40000);
}

/* Seconds of a processor in a second of waiting, after the first 10 ms.  POSIX has naps. */
#ifdef MP_PLATFORM_POSIX
#define MOST_BURNED 0.05
#else
#define MOST_BURNED 0.01
#endif

static void
test_queue_waiting_burns_next_to_nothing(void **state)
{
    (void)state;
    mp_queue *q = mp_queue_new(1);
    mp_obj o;
    struct timespec a, b;
    mp_assert_code(mp_queue_get(q, &o, 0.01), MP_EEMPTY);
    for (int put = 0; put < 2; put++) {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        if (put) {
            mp_assert_ok(mp_queue_put(q, 1, 0));
            mp_assert_code(mp_queue_put(q, 2, 1), MP_EFULL);
        } else {
            mp_assert_code(mp_queue_get(q, &o, 1), MP_EEMPTY);
        }
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
        double burned = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
        print_message("%.2f ms in a second\n", burned * 1000);
#if !defined __SANITIZE_THREAD__ && !defined __SANITIZE_ADDRESS__
        assert_true(burned < MOST_BURNED);
#endif
    }
    mp_assert_ok(mp_queue_free(q));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_queue_all_calls_by_many_threads_add_up),
    cmocka_unit_test(test_queue_waiting_burns_next_to_nothing),
};

MP_TEST_MAIN_OF_THREADS(tests, true)
