/*
 * test_sync_threads.c: every primitive, the allocator, queue and value, used by many threads of one
 * process over one mapping.  Under ThreadSanitizer each test also says that what one thread did
 * before it let go is seen by the next: the counters here are plain memory on purpose.
 */
#include "helpers/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#define THREADS 4
#define TURNS   2000

/* What the threads of a test share. */
struct shared {
    mp_lock *lock;
    mp_rlock *rlock;
    mp_semaphore *semaphore;
    mp_condition *condition;
    mp_event *event[3], *answer;
    mp_barrier *barrier;
    mp_queue *queue;
    mp_value *value;
    _Atomic int heard;
    _Atomic long wrong;
    long plain; /* guarded by what is tested */
    long seen[THREADS];
};

struct one {
    struct shared *s;
    int number;
};

static void
check(struct shared *s, bool right)
{
    if (!right) {
        atomic_fetch_add(&s->wrong, 1);
    }
}

static void
in_threads(struct shared *s, void *(*function)(void *))
{
    pthread_t thread[THREADS];
    struct one one[THREADS];
    for (int i = 0; i < THREADS; i++) {
        one[i] = (struct one){s, i};
        assert_int_equal(pthread_create(&thread[i], NULL, function, &one[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
    }
    assert_int_equal(atomic_load(&s->wrong), 0);
}

/* ---- locks ------------------------------------------------------------------------------------ */

static void *
count_under_lock(void *arg)
{
    struct shared *s = ((struct one *)arg)->s;
    for (int i = 0; i < TURNS; i++) {
        /* Waits for ever, for some time and tries, mixed. */
        double timeout = i % 3 == 0 ? MP_FOREVER : i % 3 == 1 ? 0.00001 : 0;
        int status;
        while ((status = mp_lock_acquire(s->lock, timeout)) == MP_ETIMEOUT) {
        }
        check(s, status == 0);
        s->plain++;
        check(s, mp_lock_locked(s->lock) == 1);
        check(s, mp_lock_release(s->lock) == 0);
    }
    return NULL;
}

static void
test_lock_orders_the_memory_of_threads(void **state)
{
    (void)state;
    struct shared s = {.lock = mp_lock_new()};
    in_threads(&s, count_under_lock);
    assert_int_equal(s.plain, THREADS * TURNS);
    mp_assert_ok(mp_lock_free(s.lock));
}

static void *
count_under_rlock(void *arg)
{
    struct shared *s = ((struct one *)arg)->s;
    for (int i = 0; i < TURNS; i++) {
        MP_WITH(s->rlock) {
            MP_WITH(s->rlock) {
                s->plain++;
            }
        }
    }
    check(s, mp_rlock_release(s->rlock) == MP_ESTATE);
    return NULL;
}

static void
test_rlock_orders_the_memory_of_threads(void **state)
{
    (void)state;
    struct shared s = {.rlock = mp_rlock_new()};
    in_threads(&s, count_under_rlock);
    assert_int_equal(s.plain, THREADS * TURNS);
    mp_assert_ok(mp_rlock_free(s.rlock));
}

/* ---- semaphores ------------------------------------------------------------------------------- */

static void *
count_under_semaphore(void *arg)
{
    struct one *me = arg;
    struct shared *s = me->s;
    for (int i = 0; i < TURNS; i++) {
        int status = me->number % 2 ? mp_semaphore_acquire(s->semaphore, MP_FOREVER)
                                    : mp_semaphore_acquire_undo(s->semaphore, MP_FOREVER);
        check(s, status == 0);
        s->plain++;
        check(s, mp_semaphore_release(s->semaphore) == 0);
    }
    return NULL;
}

static void
test_semaphore_orders_the_memory_of_threads(void **state)
{
    (void)state;
    struct shared s = {.semaphore = mp_bounded_semaphore_new(1)};
    in_threads(&s, count_under_semaphore);
    assert_int_equal(s.plain, THREADS * TURNS);
    assert_int_equal(mp_semaphore_get_value(s.semaphore), 1);
    mp_assert_ok(mp_semaphore_free(s.semaphore));
}

/* ---- condition -------------------------------------------------------------------------------- */

/* Half of the threads put, half take; all by one plain counter. */
static void *
put_or_take(void *arg)
{
    struct one *me = arg;
    struct shared *s = me->s;
    for (int i = 0; i < TURNS; i++) {
        check(s, mp_condition_acquire(s->condition, MP_FOREVER) == 0);
        if (me->number % 2) {
            s->plain++;
            check(s, (i % 2 ? mp_condition_notify(s->condition, 1)
                            : mp_condition_notify_all(s->condition)) == 0);
        } else {
            while (s->plain == 0) {
                int status = mp_condition_wait(s->condition, i % 5 ? MP_FOREVER : 0.0001);
                check(s, status == 0 || status == MP_ETIMEOUT);
            }
            s->plain--;
        }
        check(s, mp_condition_release(s->condition) == 0);
    }
    return NULL;
}

static void
test_condition_orders_the_memory_of_threads(void **state)
{
    (void)state;
    struct shared s = {.condition = mp_condition_new(NULL)};
    in_threads(&s, put_or_take);
    assert_int_equal(s.plain, 0);
    mp_assert_ok(mp_condition_free(s.condition));
}

/* ---- event ------------------------------------------------------------------------------------ */

/*
 * Thread 0 says a number and sets the round's event; the others read it, and the last one answers.
 * Of the three events one is cleared that everybody is past.
 */
static void *
hear_the_event(void *arg)
{
    struct one *me = arg;
    struct shared *s = me->s;
    for (int i = 1; i <= TURNS / 4; i++) {
        if (me->number == 0) {
            s->plain = i;
            check(s, mp_event_clear(s->event[(i + 1) % 3]) == 0);
            check(s, mp_event_set(s->event[i % 3]) == 0);
            while (mp_event_wait(s->answer, 0.0001) == MP_ETIMEOUT) {
            }
            check(s, mp_event_is_set(s->answer) == 1);
            check(s, mp_event_clear(s->answer) == 0);
        } else {
            check(s, mp_event_wait(s->event[i % 3], MP_FOREVER) == 0);
            check(s, s->plain == i);
            if (atomic_fetch_add(&s->heard, 1) == THREADS - 2) {
                atomic_store(&s->heard, 0);
                check(s, mp_event_set(s->answer) == 0);
            }
        }
    }
    return NULL;
}

static void
test_event_orders_the_memory_of_threads(void **state)
{
    (void)state;
    struct shared s = {.answer = mp_event_new()};
    for (int i = 0; i < 3; i++) {
        s.event[i] = mp_event_new();
    }
    in_threads(&s, hear_the_event);
    assert_int_equal(s.plain, TURNS / 4);
    for (int i = 0; i < 3; i++) {
        mp_assert_ok(mp_event_free(s.event[i]));
    }
    mp_assert_ok(mp_event_free(s.answer));
}

/* ---- barrier ---------------------------------------------------------------------------------- */

static int
count_round(void *arg)
{
    struct shared *s = arg;
    long sum = 0;
    for (int i = 0; i < THREADS; i++) {
        sum += s->seen[i];
    }
    s->plain++;
    return sum == s->plain * THREADS ? 0 : MP_EVALUE;
}

static void *
meet(void *arg)
{
    struct one *me = arg;
    struct shared *s = me->s;
    for (long i = 1; i <= TURNS / 4; i++) {
        s->seen[me->number] = i;
        int place = mp_barrier_wait(s->barrier, MP_FOREVER);
        check(s, place >= 0 && place < THREADS);
        check(s, s->plain == i);
        for (int other = 0; other < THREADS; other++) {
            check(s, s->seen[other] == i);
        }
        check(s, mp_barrier_wait(s->barrier, MP_FOREVER) >= 0); /* before the next round's writes */
        check(s, mp_barrier_broken(s->barrier) == 0);
    }
    return NULL;
}

/* The action runs in every round: also in the second of each pair, which takes it back. */
static int
count_first_rounds(void *arg)
{
    static bool second;
    int status = second ? 0 : count_round(arg);
    second = !second;
    return status;
}

static void
test_barrier_orders_the_memory_of_threads(void **state)
{
    (void)state;
    struct shared s = {.plain = 0};
    mp_barrier_options options = {.action = count_first_rounds, .arg = &s};
    s.barrier = mp_barrier_new(THREADS, &options);
    assert_non_null(s.barrier);
    in_threads(&s, meet);
    assert_int_equal(s.plain, TURNS / 4);
    mp_assert_ok(mp_barrier_free(s.barrier));
}

/* ---- the heap --------------------------------------------------------------------------------- */

#define PLACES 16
static _Atomic(unsigned char *) place[PLACES];

static void *
exchange_blocks(void *arg)
{
    struct one *me = arg;
    struct shared *s = me->s;
    unsigned seed = (unsigned)me->number + 1;
    for (int i = 0; i < TURNS; i++) {
        seed = seed * 1103515245 + 12345;
        size_t size = 16 + (seed >> 8) % 4000;
        unsigned char *mine = mp_malloc(size);
        check(s, mine != NULL);
        memset(mine, (int)size, size);
        memcpy(mine, &size, sizeof size);
        unsigned char *other = atomic_exchange(&place[(seed >> 20) % PLACES], mine);
        if (other) {
            memcpy(&size, other, sizeof size);
            for (size_t at = sizeof size; at < size; at++) {
                check(s, other[at] == (unsigned char)size);
            }
            if (i % 8 == 0) {
                other = mp_realloc(other, size * 2);
            }
            check(s, mp_free(other) == 0);
        }
        if (i % 64 == 0) {
            mp_heap_info info;
            check(s, mp_heap_stats(&info) == 0 && info.used > 0);
        }
    }
    return NULL;
}

static void
test_heap_orders_the_memory_of_threads(void **state)
{
    (void)state;
    struct shared s = {.plain = 0};
    in_threads(&s, exchange_blocks);
    for (int i = 0; i < PLACES; i++) {
        mp_assert_ok(mp_free(atomic_exchange(&place[i], NULL)));
    }
}

/* ---- queue and value -------------------------------------------------------------------------- */

/* Blocks with plain content go through: whoever gets one may read it. */
static void *
put_and_get(void *arg)
{
    struct one *me = arg;
    struct shared *s = me->s;
    for (int i = 0; i < TURNS; i++) {
        if (me->number % 2) {
            long *block = mp_malloc(sizeof *block);
            *block = i;
            check(s, mp_queue_put_bytes(s->queue, &block, sizeof block, MP_FOREVER) == 0);
            check(s, mp_queue_qsize(s->queue) >= 0);
        } else {
            long *block = NULL;
            size_t len = 0;
            check(s, mp_queue_get_bytes(s->queue, &block, sizeof block, &len, MP_FOREVER) == 0);
            check(s, len == sizeof block && *block >= 0 && *block < TURNS);
            check(s, mp_free(block) == 0);
        }
    }
    return NULL;
}

static void
test_queue_orders_the_memory_of_threads(void **state)
{
    (void)state;
    for (int64_t maxsize = 0; maxsize < 4; maxsize += 3) {
        struct shared s = {.queue = mp_queue_new(maxsize)};
        in_threads(&s, put_and_get);
        assert_int_equal(mp_queue_empty(s.queue), 1);
        mp_assert_ok(mp_queue_free(s.queue));
    }
}

static void *
count_in_value(void *arg)
{
    struct shared *s = ((struct one *)arg)->s;
    for (int i = 0; i < TURNS; i++) {
        mp_obj number;
        check(s, mp_rlock_acquire(mp_value_get_lock(s->value), MP_FOREVER) == 0);
        check(s, mp_value_get(s->value, &number) == 0);
        check(s, mp_value_set(s->value, mp_from(mp_as_int(number) + 1)) == 0);
        check(s, mp_rlock_release(mp_value_get_lock(s->value)) == 0);
    }
    return NULL;
}

static void
test_value_orders_the_memory_of_threads(void **state)
{
    (void)state;
    struct shared s = {.value = mp_value_new('q', mp_none())};
    in_threads(&s, count_in_value);
    mp_obj number;
    mp_assert_ok(mp_value_get(s.value, &number));
    assert_int_equal(mp_as_int(number), THREADS * TURNS);
    mp_assert_ok(mp_value_free(s.value));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_lock_orders_the_memory_of_threads),
    cmocka_unit_test(test_rlock_orders_the_memory_of_threads),
    cmocka_unit_test(test_semaphore_orders_the_memory_of_threads),
    cmocka_unit_test(test_condition_orders_the_memory_of_threads),
    cmocka_unit_test(test_event_orders_the_memory_of_threads),
    cmocka_unit_test(test_barrier_orders_the_memory_of_threads),
    cmocka_unit_test(test_heap_orders_the_memory_of_threads),
    cmocka_unit_test(test_queue_orders_the_memory_of_threads),
    cmocka_unit_test(test_value_orders_the_memory_of_threads),
};

MP_TEST_MAIN_OF_THREADS(tests, true)
