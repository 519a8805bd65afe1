/*
 * test_queue_stopped_fault.c: a process that is stopped in the middle of an operation, and lives: who
 * has a time-out comes back, counts are told, and nothing is wrong when it goes on.
 */
#include "helpers/queue.h"

#include <pthread.h>
#include <sys/wait.h>

#include "queue/inner.h"
#include "queue/queue.h"
#include "step.h"

/* The second that a lock is waited for, and what a busy machine adds. */
#define LATE (1 + STALL)

static void
put_one(void *queue)
{
    (mp_queue_put)(queue, mp_from_int(7), 0);
}

static void
get_one(void *queue)
{
    mp_obj o;
    (void)mp_queue_get(queue, &o, 0);
}

static void
say_done(void *queue)
{
    (void)mp_joinable_queue_task_done(queue);
}

/* A victim stopped with this lock in its hands. */
static struct step
stopped_with(mp_queue *q, void (*operation)(void *), const mp__ilock *lock)
{
    struct step s;
    step_begin(&s, NULL, operation, q);
    while (atomic_load(&lock->word) == 0) {
        assert_true(step_on(&s, 1));
    }
    return s;
}

static void
go_on(struct step *s)
{
    while (step_on(s, 1)) {
    }
}

/* Every call that has a time-out, or only looks; those of one side are free to succeed. */
static void
calls_come_back(mp_queue *q, bool putter)
{
    mp_obj o;
    size_t some;
    for (int i = 0; i < 2; i++) {
        double since = mp_test_now(), timeout = i ? 0.2 : 0;
        if (putter) {
            mp_assert_code(mp_queue_put(q, 1, timeout), MP_EFULL);
            took(since, 0.9, LATE);
            since = mp_test_now();
            mp_assert_code(mp_queue_put_bytes(q, "x", 1, timeout), MP_EFULL);
        } else {
            mp_assert_code(mp_queue_get(q, &o, timeout), MP_EEMPTY);
            took(since, 0.9, LATE);
            since = mp_test_now();
            mp_assert_code(mp_queue_get_many(q, 1, &o, &some, timeout), MP_EEMPTY);
        }
        took(since, 0.9, LATE);
    }
    double since = mp_test_now();
    assert_int_equal(mp_queue_qsize(q), 1);
    assert_int_equal(mp_queue_empty(q), 0);
    took(since, 0, 2 * LATE);
}

static void
test_queue_putter_stopped_inside_others_come_back_in_time(void **state)
{
    (void)state;
    if (!step_possible()) {
        skip();
    }
    mp_queue *q = made(mp_queue_new(0));
    mp_assert_ok(mp_queue_put(q, 1, 0));
    struct step s = stopped_with(q, put_one, &q->ring.put_lock);
    calls_come_back(q, true);
    assert_next(q, 1); /* getters do not need what the putter holds */
    go_on(&s);
    step_kill(&s);
    assert_next(q, 7);
    mp_assert_ok(mp_queue_put(q, 2, 0));
    assert_next(q, 2);
    assert_int_equal(mp_queue_qsize(q), 0);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_getter_stopped_inside_others_come_back_in_time(void **state)
{
    (void)state;
    if (!step_possible()) {
        skip();
    }
    mp_queue *q = made(mp_queue_new(0));
    mp_assert_ok(mp_queue_put(q, 1, 0));
    struct step s = stopped_with(q, get_one, &q->ring.get_lock);
    calls_come_back(q, false);
    mp_assert_ok(mp_queue_put(q, 2, 0));
    go_on(&s); /* it has the first */
    step_kill(&s);
    assert_next(q, 2);
    mp_assert_ok(mp_queue_free(q));
}

enum { FORKS = 7 };

/* The thread that watches, and with it fork(), do not wait for who is stopped. */
static void
test_queue_fileno_and_fork_go_on_while_a_putter_is_stopped(void **state)
{
    (void)state;
    if (!step_possible()) {
        skip();
    }
    mp_queue *q = made(mp_queue_new(0));
    struct step s = stopped_with(q, put_one, &q->ring.put_lock);
    int fd = mp_queue_fileno(q);
    struct pollfd p = {fd, POLLIN, 0};
    int late = 0;
    for (int i = 0; i < FORKS; i++) {
        assert_int_equal(poll(&p, 1, 120), 0); /* the thread has looked again */
        double since = mp_test_now();
        pid_t pid = fork();
        if (pid == 0) {
            _exit(0);
        }
        late += mp_test_now() - since > 0.4;
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
    assert_true(late <=
                FORKS / 2); /* a thread that waits makes each of them late, for most of a second */
    go_on(&s);
    step_kill(&s);
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_next(q, 7);
    mp_assert_ok(mp_queue_free(q));
}

/* ---- freed ----------------------------------------------------------------------------------- */

enum { BLOCKS = 40 };

static void
ask_for_it(void *queue)
{
    (void)mp_queue_fileno(queue); /* refused, when it was freed before */
}

/* Free it; what others have in its place stays as it is. */
static void
free_and_use(mp_queue *q, struct note *n, pid_t parent)
{
    unsigned char *block[BLOCKS];
    mp_child_ok(mp_queue_free(q));
    for (size_t i = 0; i < BLOCKS; i++) {
        block[i] = mp_malloc(200 + i * 40);
        mp_child_check(block[i]);
        memset(block[i], 0x33, 200 + i * 40);
    }
    atomic_store(&n->ready, 1);
    while (atomic_load(&n->go) == 0) {
        mp_child_check(getppid() == parent);
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

/* A process looks whether a queue is readable, as its thread does, while another frees the queue. */
static void
test_queue_freed_while_a_watcher_looks_at_it(void **state)
{
    (void)state;
    static const char big[9000];
    if (!step_possible()) {
        skip();
    }
    struct note *n = note_new();
    bool more = true;
    for (long at = 1; more; at += at < 300 ? 5 : 53) {
        mp_queue *q = made(mp_queue_new(0));
        char got[sizeof big];
        size_t len;
        int status;
        mp_assert_ok(mp_queue_put_bytes(q, big, sizeof big, 0)); /* then there is more to look at */
        mp_assert_ok(mp_queue_get_bytes(q, got, sizeof got, &len, 0));
        atomic_store(&n->ready, 0);
        atomic_store(&n->go, 0);
        struct step s;
        step_begin(&s, ask_for_it, ask_for_it, q);
        more = step_on(&s, at);
        pid_t parent = getpid(), pid = fork();
        if (pid == 0) {
            free_and_use(q, n, parent);
        }
        for (int i = 0; i < 20 && atomic_load(&n->ready) == 0; i++) {
            nap(); /* it may have to wait for the other */
        }
        go_on(&s);
        wait_for(&n->ready, 1);
        step_kill(&s);
        atomic_store(&n->go, 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    mp_free(n);
}

/* ---- join ------------------------------------------------------------------------------------- */

struct joiner {
    mp_queue *q;
    int status;
    _Atomic int over;
};

static void *
join_it(void *arg)
{
    struct joiner *j = arg;
    j->status = mp_joinable_queue_join(j->q, MP_FOREVER);
    atomic_store(&j->over, 1);
    return NULL;
}

/* Until it sleeps, or sleeps again after it was woken; or has come back. */
static void
wait_until_it_sleeps(struct joiner *j)
{
    while (atomic_load(&j->q->join_waiters) == 0 && atomic_load(&j->over) == 0) {
        nap();
    }
}

/*
 * Somebody said that the last task is done, and has not told the joiners yet, when a task is put and
 * others join: what he tells them late is about a moment before their time.
 */
static void
test_joinable_queue_join_is_not_ended_by_a_moment_before_it_began(void **state)
{
    (void)state;
    if (!step_possible()) {
        skip();
    }
    bool more = true;
    for (long n = 0; more; n += 7) {
        struct joiner j = {made(mp_joinable_queue_new(0)), -1, 0};
        pthread_t t;
        mp_assert_ok(mp_joinable_queue_put(j.q, 1, 0));
        assert_next(j.q, 1);
        struct step s;
        step_begin(&s, NULL, say_done, j.q);
        while (atomic_load(&j.q->done) == 0) {
            assert_true(step_on(&s, 1));
        }
        more = step_on(&s, n);
        mp_assert_ok(mp_joinable_queue_join(j.q, 0));
        mp_assert_ok(mp_joinable_queue_put(j.q, 2, 0));
        assert_int_equal(pthread_create(&t, NULL, join_it, &j), 0);
        wait_until_it_sleeps(&j);
        go_on(&s);
        wait_until_it_sleeps(&j);
        assert_int_equal(atomic_load(&j.over), 0);
        step_kill(&s);
        mp_assert_ok(mp_joinable_queue_task_done(j.q));
        pthread_join(t, NULL);
        mp_assert_ok(j.status);
        mp_assert_ok(mp_queue_free(j.q));
    }
}

/* A putter is stopped as its message can just be got, and is not counted yet. */
static void
stop_putter_uncounted(struct step *s, mp_queue *q)
{
    uint64_t tail = atomic_load(&q->ring.tail);
    step_begin(s, NULL, put_one, q);
    while (atomic_load(mp__record(mp__place_unit(tail))) == 0) {
        assert_true(step_on(s, 1));
    }
    assert_true(atomic_load(&q->ring.tail) == tail);
}

static void
test_joinable_queue_what_was_got_is_a_task_though_its_putter_is_stopped(void **state)
{
    (void)state;
    if (!step_possible()) {
        skip();
    }
    mp_queue *q = made(mp_joinable_queue_new(0));
    struct step s;
    stop_putter_uncounted(&s, q);
    assert_next(q, 7);
    mp_assert_code(mp_joinable_queue_join(q, 0), MP_ETIMEOUT);
    mp_assert_ok(mp_joinable_queue_task_done(q));
    mp_assert_ok(mp_joinable_queue_join(q, 0));
    go_on(&s);
    step_kill(&s);
    mp_assert_ok(mp_joinable_queue_join(q, 0));
    mp_assert_code(mp_joinable_queue_task_done(q), MP_EVALUE);
    mp_assert_ok(mp_queue_free(q));
}

/* The same with a limit of bytes: what is counted for nothing is no more than what is there. */
static void
test_queue_full_of_bytes_is_told_though_a_putter_is_stopped(void **state)
{
    (void)state;
    if (!step_possible()) {
        skip();
    }
    mp_queue *q = made(mp_queue_new_with(0, &(mp_queue_options){.max_bytes = 100}));
    struct step s;
    stop_putter_uncounted(&s, q);
    assert_next(q, 7);
    assert_int_equal(mp_queue_empty(q), 1);
    assert_int_equal(mp_queue_full(q), 0);
    go_on(&s);
    step_kill(&s);
    assert_int_equal(mp_queue_full(q), 0);
    mp_assert_ok(mp_queue_free(q));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_queue_putter_stopped_inside_others_come_back_in_time),
    cmocka_unit_test(test_queue_getter_stopped_inside_others_come_back_in_time),
    cmocka_unit_test(test_queue_fileno_and_fork_go_on_while_a_putter_is_stopped),
    cmocka_unit_test(test_queue_freed_while_a_watcher_looks_at_it),
    cmocka_unit_test(test_joinable_queue_join_is_not_ended_by_a_moment_before_it_began),
    cmocka_unit_test(test_joinable_queue_what_was_got_is_a_task_though_its_putter_is_stopped),
    cmocka_unit_test(test_queue_full_of_bytes_is_told_though_a_putter_is_stopped),
};
MP_TEST_MAIN(tests)
