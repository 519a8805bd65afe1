/*
 * test_queue_freed_fault.c: a queue is freed while others wait for it in every way: for a message,
 * for room, and for their turn to look.  All come back with MP_EVALUE, and none writes where the
 * queue was.
 */
#include "helpers/queue.h"

#include <sys/ptrace.h>
#include <sys/wait.h>

#include "heap/waits.h"
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

/* ---- awake ------------------------------------------------------------------------------------- */

static void
get_in_time(void *queue)
{
    mp_child_code(get_one(queue, LONG), MP_EVALUE);
}

static void
put_in_time(void *queue)
{
    mp_child_code(put_one(queue, LONG), MP_EVALUE);
}

static void
join_in_time(void *queue)
{
    mp_child_code(mp_joinable_queue_join(queue, LONG), MP_EVALUE);
}

/* Its first wait is a longer way. */
static void
wait_before(void *queue)
{
    (void)mp_joinable_queue_join(queue, 0.001);
}

/* Who waits is held anywhere between two sleeps, and goes on when another has begun to free it. */
static void
freed_while_awake(void (*wait)(void *), size_t waiters)
{
    if (!step_possible()) {
        skip();
    }
    struct note *n = note_new();
    for (long at = 0; at < 600; at += 23) {
        int status;
        mp_queue *q = made(mp_joinable_queue_new(1));
        mp_assert_ok(mp_queue_put(q, 1, 0)); /* a task */
        if (wait == get_in_time) {
            assert_next(q, 1);
        }
        struct step s;
        step_begin(&s, wait_before, wait, q);
        while (atomic_load((_Atomic uint32_t *)(void *)((char *)q + waiters)) == 0) {
            assert_true(step_on(&s, 1));
        }
        assert_true(step_on(&s, at));
        atomic_store(&n->go, 0);
        pid_t freer = start_freer(q, n);
        wait_until_asleep(freer, 3);
        assert_int_equal(ptrace(PTRACE_CONT, s.pid, NULL, NULL), 0);
        assert_int_equal(waitpid(s.pid, &status, WUNTRACED), s.pid);
        assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP); /* it is at its end */
        step_kill(&s);
        atomic_store(&n->go, 1);
        assert_int_equal(exit_code(freer), 0);
    }
    mp_free(n);
}

static void
test_queue_freed_while_a_getter_is_awake(void **state)
{
    (void)state;
    freed_while_awake(get_in_time, offsetof(mp_queue, ring.get_waiters));
}

static void
test_queue_freed_while_a_putter_is_awake(void **state)
{
    (void)state;
    freed_while_awake(put_in_time, offsetof(mp_queue, ring.put_waiters));
}

static void
test_queue_freed_while_a_joiner_is_awake(void **state)
{
    (void)state;
    freed_while_awake(join_in_time, offsetof(mp_queue, join_waiters));
}

/* One that does not go on is not waited for, and where it writes then is nobody's. */
static void
test_queue_freed_while_a_getter_is_stopped(void **state)
{
    (void)state;
    int status;
    if (!step_possible()) {
        skip();
    }
    mp_queue *q = made(mp_queue_new(0));
    struct step s;
    step_begin(&s, NULL, get_in_time, q);
    while (atomic_load(&q->ring.get_waiters) == 0) {
        assert_true(step_on(&s, 1));
    }
    while (!mp__waits_for(q) || atomic_load(&q->ring.get_lock.word) != 0) {
        assert_true(step_on(&s, 1));
    }
    double since = mp_test_now();
    mp_assert_ok(mp_queue_free(q));
    took(since, 1.9, 2 + STALL);
    mp_assert_code(mp_queue_shutdown(q, false), MP_EVALUE);
    assert_true(mp__heap_block_size(q) >= sizeof *q);
    assert_int_equal(ptrace(PTRACE_CONT, s.pid, NULL, NULL), 0);
    assert_int_equal(waitpid(s.pid, &status, WUNTRACED), s.pid);
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP); /* it is at its end */
    step_kill(&s);
    assert_true(mp__heap_free_from(&q->block, q, NULL));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_queue_freed_while_getters_wait_for_their_turn),
    cmocka_unit_test(test_queue_freed_while_batches_are_waited_for),
    cmocka_unit_test(test_queue_freed_while_peekers_wait_for_their_turn),
    cmocka_unit_test(test_queue_freed_while_putters_wait_for_their_turn),
    cmocka_unit_test(test_queue_freed_while_putters_of_big_messages_wait_for_their_turn),
    cmocka_unit_test(test_queue_freed_while_a_getter_is_awake),
    cmocka_unit_test(test_queue_freed_while_a_putter_is_awake),
    cmocka_unit_test(test_queue_freed_while_a_joiner_is_awake),
    cmocka_unit_test(test_queue_freed_while_a_getter_is_stopped),
};
MP_TEST_MAIN(tests)
