/*
 * test_queue_freed_fault.c: a queue is freed while others wait for it in every way: for a message,
 * for room, and for their turn to look.  All come back with MP_EVALUE, and none writes where the
 * queue was.
 */
#include "helpers/queue.h"

#include <sys/wait.h>

#include "queue/queue.h"
#include "step.h"

enum { WAITERS = 4, BLOCKS = 40, ROUNDS = 6 };

#define LONG 30.0 /* who has not come back by then never will */

/* ---- who waits -------------------------------------------------------------------------------- */

static int
get_one(mp_queue *q, double timeout)
{
    mp_obj o;
    int status = mp_queue_get(q, &o, timeout);
    mp_obj_free(o);
    return status;
}

static int
put_one(mp_queue *q, double timeout)
{
    return (mp_queue_put)(q, mp_from_int(7), timeout);
}

static int
put_big_one(mp_queue *q, double timeout)
{
    static const char big[9000];
    return mp_queue_put_bytes(q, big, sizeof big, timeout);
}

static int
get_many(mp_queue *q, double timeout)
{
    mp_obj items[3];
    size_t count;
    return mp_queue_get_many(q, 3, items, &count, timeout);
}

static int
peek_one(mp_queue *q, double timeout)
{
    const void *data;
    size_t len;
    return mp_queue_peek_bytes(q, &data, &len, timeout);
}

static pid_t
start_waiter(mp_queue *q, int (*wait)(mp_queue *, double))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        mp_child_code(wait(q, LONG), MP_EVALUE);
        _exit(0);
    }
    return pid;
}

/* Free it; what comes in its place stays as it is while the others leave. */
static pid_t
start_freer(mp_queue *q, struct note *n)
{
    pid_t parent = getpid(), pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        unsigned char *block[BLOCKS];
        mp_child_ok(mp_queue_free(q));
        for (size_t i = 0; i < BLOCKS; i++) {
            mp_child_check((block[i] = mp_malloc(200 + i * 40)) != NULL);
            memset(block[i], 0x33, 200 + i * 40);
        }
        while (atomic_load(&n->go) == 0 && getppid() == parent) {
            nap();
        }
        for (size_t i = 0; i < BLOCKS; i++) {
            for (size_t k = 0; k < 200 + i * 40; k++) {
                mp_child_check(block[i][k] == 0x33);
            }
            mp_child_ok(mp_free(block[i]));
        }
        _exit(0);
    }
    return pid;
}

static int
exit_code(pid_t pid)
{
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- for their turn ---------------------------------------------------------------------------- */

static void
get_now(void *queue)
{
    (void)get_one(queue, 0);
}

static void
put_now(void *queue)
{
    (void)put_one(queue, 0);
}

/*
 * One is held with the lock in its hands; some wait for that, another wants to free the queue.  In
 * which order they have the lock is not said.
 */
static void
freed_while_they_wait(mp_queue *q, void (*holds)(void *), const mp__ilock *lock,
                      int (*wait)(mp_queue *, double))
{
    struct note *n = note_new();
    struct step s;
    pid_t waiter[WAITERS];
    step_begin(&s, NULL, holds, q);
    while (atomic_load(&lock->word) == 0) {
        assert_true(step_on(&s, 1));
    }
    for (int i = 0; i < WAITERS; i++) {
        waiter[i] = start_waiter(q, wait);
        wait_until_asleep(waiter[i], 3);
    }
    pid_t freer = start_freer(q, n);
    wait_until_asleep(freer, 3);
    while (step_on(&s, 1)) {
    }
    for (int i = 0; i < WAITERS; i++) {
        assert_int_equal(exit_code(waiter[i]), 0);
    }
    step_kill(&s);
    atomic_store(&n->go, 1);
    assert_int_equal(exit_code(freer), 0);
    mp_free(n);
}

static void
freed_at_get_lock(int (*wait)(mp_queue *, double))
{
    if (!step_possible()) {
        skip();
    }
    for (int i = 0; i < ROUNDS; i++) {
        mp_queue *q = made(mp_queue_new(0));
        freed_while_they_wait(q, get_now, &q->ring.get_lock, wait);
    }
}

static void
freed_at_put_lock(int (*wait)(mp_queue *, double))
{
    if (!step_possible()) {
        skip();
    }
    for (int i = 0; i < ROUNDS; i++) {
        mp_queue *q = made(mp_queue_new(1));
        mp_assert_ok(mp_queue_put(q, 1, 0));
        freed_while_they_wait(q, put_now, &q->ring.put_lock, wait);
    }
}

static void
test_queue_freed_while_getters_wait_for_their_turn(void **state)
{
    (void)state;
    freed_at_get_lock(get_one);
}

static void
test_queue_freed_while_batches_are_waited_for(void **state)
{
    (void)state;
    freed_at_get_lock(get_many);
}

static void
test_queue_freed_while_peekers_wait_for_their_turn(void **state)
{
    (void)state;
    freed_at_get_lock(peek_one);
}

static void
test_queue_freed_while_putters_wait_for_their_turn(void **state)
{
    (void)state;
    freed_at_put_lock(put_one);
}

static void
test_queue_freed_while_putters_of_big_messages_wait_for_their_turn(void **state)
{
    (void)state;
    freed_at_put_lock(put_big_one);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_queue_freed_while_getters_wait_for_their_turn),
    cmocka_unit_test(test_queue_freed_while_batches_are_waited_for),
    cmocka_unit_test(test_queue_freed_while_peekers_wait_for_their_turn),
    cmocka_unit_test(test_queue_freed_while_putters_wait_for_their_turn),
    cmocka_unit_test(test_queue_freed_while_putters_of_big_messages_wait_for_their_turn),
};
MP_TEST_MAIN(tests)
