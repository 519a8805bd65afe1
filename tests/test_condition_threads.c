/* test_condition_threads.c: threads of one process over conditions, for ThreadSanitizer as well. */
#include "helpers/threads.h"

#include <pthread.h>
#include <stdlib.h>

#define TEAM   3 /* threads on each side */
#define ROUNDS 1500
#define ROOM   2

/* Goods that go from one side to the other; the lock guards the plain numbers. */
struct store {
    mp_lock *lock;
    mp_condition *has_room, *has_goods;
    int goods, put, got;
};

static bool
room(void *arg)
{
    return ((struct store *)arg)->goods < ROOM;
}

static bool
goods(void *arg)
{
    return ((struct store *)arg)->goods > 0;
}

static void *
produce(void *arg)
{
    struct store *s = arg;
    for (int i = 0; i < ROUNDS; i++) {
        if (mp_condition_acquire(s->has_room, MP_FOREVER) != 0 ||
            mp_condition_wait_for(s->has_room, room, s, MP_FOREVER) != 0) {
            return NULL;
        }
        s->goods++;
        s->put++;
        if (mp_condition_notify(s->has_goods, 1) != 0 || mp_condition_release(s->has_room) != 0) {
            return NULL;
        }
    }
    return s;
}

/* Impatient: it leaves the line and comes again. */
static void *
consume(void *arg)
{
    struct store *s = arg;
    for (int i = 0; i < ROUNDS;) {
        if (mp_lock_acquire(s->lock, MP_FOREVER) != 0) {
            return NULL;
        }
        int status = mp_condition_wait_for(s->has_goods, goods, s, i % 3 ? MP_FOREVER : 0.0002);
        if (status == 0) {
            s->goods--;
            s->got++;
            i++;
            status = mp_condition_notify(s->has_room, 1);
        }
        if ((status != 0 && status != MP_ETIMEOUT) || mp_lock_release(s->lock) != 0) {
            return NULL;
        }
    }
    return s;
}

static void
test_condition_threads_lose_no_wake_up(void **state)
{
    (void)state;
    pthread_t thread[2 * TEAM];
    struct store s = {.lock = mp_lock_new()};
    s.has_room = mp_condition_new(s.lock);
    s.has_goods = mp_condition_new(s.lock);
    for (int i = 0; i < 2 * TEAM; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, i % 2 ? produce : consume, &s), 0);
    }
    for (int i = 0; i < 2 * TEAM; i++) {
        void *result;
        assert_int_equal(pthread_join(thread[i], &result), 0);
        assert_ptr_equal(result, &s);
    }
    assert_int_equal(s.goods, 0);
    assert_int_equal(s.put, TEAM * ROUNDS);
    assert_int_equal(s.got, TEAM * ROUNDS);
    mp_assert_ok(mp_condition_free(s.has_room));
    mp_assert_ok(mp_condition_free(s.has_goods));
    mp_assert_ok(mp_lock_free(s.lock));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_condition_threads_lose_no_wake_up),
};

MP_TEST_MAIN_OF_THREADS(tests, true)
