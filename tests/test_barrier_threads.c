/*
 * test_barrier_threads.c: Barrier and Event between threads over one mapping, for ThreadSanitizer:
 * what they order is plain memory here.
 */
#include "helpers/threads.h"

#include <pthread.h>
#include <stdatomic.h>

#define PARTIES 3
#define ROUNDS  300
#define LONG    30.0

/* ---- Barrier -----------------------------------------------------------------------------------*/

struct rounds {
    mp_barrier *barrier;
    long part[PARTIES]; /* each thread's own, until the action */
    long sum;           /* the action's, until all have come again */
    _Atomic int threads, over, opened, wrong;
};

static int
add_up(void *arg)
{
    struct rounds *r = arg;
    r->sum = 0;
    for (int i = 0; i < PARTIES; i++) {
        r->sum += r->part[i];
    }
    return 0;
}

static void *
take_part(void *arg)
{
    struct rounds *r = arg;
    int me = r->threads++;
    for (long i = 1; i <= ROUNDS; i++) {
        r->part[me] = i;
        if (mp_barrier_wait(r->barrier, LONG) < 0 || r->sum != PARTIES * i) {
            r->wrong++;
        }
        if (mp_barrier_wait(r->barrier, LONG) < 0) { /* all have read it */
            r->wrong++;
        }
    }
    return NULL;
}

static void
test_barrier_orders_what_threads_do(void **state)
{
    (void)state;
    pthread_t thread[PARTIES];
    struct rounds r = {.sum = 0};
    r.barrier = mp_barrier_new(PARTIES, &(mp_barrier_options){.action = add_up, .arg = &r});
    for (int i = 0; i < PARTIES; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, take_part, &r), 0);
    }
    for (int i = 0; i < PARTIES; i++) {
        pthread_join(thread[i], NULL);
    }
    assert_int_equal(r.wrong, 0);
    mp_assert_ok(mp_barrier_free(r.barrier));
}

/* Come until it is over, whatever becomes of the rounds. */
static void *
come_whatever_happens(void *arg)
{
    struct rounds *r = arg;
    for (int i = 0; !r->over; i++) {
        int place = mp_barrier_wait(r->barrier, i % 7 ? LONG : 0.0005);
        if (place >= PARTIES || (place < 0 && place != MP_EBROKENBARRIER)) {
            r->wrong++;
        }
        r->opened += place == 0;
    }
    return NULL;
}

static void
test_barrier_is_in_order_after_resets_and_aborts_at_any_time(void **state)
{
    (void)state;
    pthread_t thread[PARTIES];
    struct rounds r = {.sum = 0};
    char text[100];
    r.barrier = mp_barrier_new(PARTIES, NULL);
    for (int i = 0; i < PARTIES; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, come_whatever_happens, &r), 0);
    }
    for (int i = 0; i < 20000 || (r.opened < 50 && !r.wrong); i++) {
        mp_assert_ok(i % 3 ? mp_barrier_reset(r.barrier) : mp_barrier_abort(r.barrier));
        assert_in_range(mp_barrier_n_waiting(r.barrier), 0, PARTIES);
        assert_true(mp_barrier_repr(r.barrier, text, sizeof text) > 0);
        /* More and more time in between, until it has opened often enough. */
        for (int k = 0; k < i % 5 * (1000 + i / 20) && mp_barrier_broken(r.barrier) == 0; k++) {
        }
    }
    r.over = 1;
    mp_assert_ok(mp_barrier_abort(r.barrier));
    for (int i = 0; i < PARTIES; i++) {
        pthread_join(thread[i], NULL);
    }
    assert_int_equal(r.wrong, 0);
    mp_assert_ok(mp_barrier_free(r.barrier));
}

/* ---- Event -------------------------------------------------------------------------------------*/

struct baton {
    mp_event *mine, *yours;
    long *number;
};

static void *
pass_on(void *arg)
{
    struct baton *b = arg;
    for (long i = 0; i < ROUNDS; i++) {
        if (mp_event_wait(b->mine, LONG) != 0 || mp_event_clear(b->mine) != 0) {
            return NULL;
        }
        ++*b->number;
        if (mp_event_set(b->yours) != 0) {
            return NULL;
        }
    }
    return arg;
}

static void
test_event_orders_what_threads_do(void **state)
{
    (void)state;
    long number = 0;
    mp_event *one = mp_event_new(), *two = mp_event_new();
    struct baton a = {one, two, &number}, b = {two, one, &number};
    pthread_t thread;
    void *result;
    assert_int_equal(pthread_create(&thread, NULL, pass_on, &a), 0);
    mp_assert_ok(mp_event_set(one));
    assert_ptr_equal(pass_on(&b), &b);
    pthread_join(thread, &result);
    assert_ptr_equal(result, &a);
    assert_int_equal(number, 2 * ROUNDS);
    mp_assert_ok(mp_event_free(one));
    mp_assert_ok(mp_event_free(two));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_barrier_orders_what_threads_do),
    cmocka_unit_test(test_barrier_is_in_order_after_resets_and_aborts_at_any_time),
    cmocka_unit_test(test_event_orders_what_threads_do),
};

MP_TEST_MAIN_OF_THREADS(tests, true)
