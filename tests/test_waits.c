/* test_waits.c: who waits for what, as a diagnostic reads it: pids, threads, objects and times. */
#include "mp_test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap/heap.h"
#include "heap/waits.h"
#include "platform/platform.h"

#define MOST 200

struct seen {
    size_t count, beyond;
    struct mp__wait wait[MOST];
};

static void
note(void *ctx, const struct mp__wait *wait)
{
    struct seen *seen = ctx;
    assert_true(seen->count < MOST);
    seen->wait[seen->count++] = *wait;
}

static struct seen
look(void)
{
    struct seen seen = {0};
    seen.beyond = mp__waits_each(note, &seen);
    return seen;
}

/* Look until so many threads wait; the test's own bound ends it. */
static struct seen
look_for(size_t count, size_t beyond)
{
    struct seen seen = look();
    while (seen.count != count || seen.beyond != beyond) {
        poll(NULL, 0, 1);
        seen = look();
    }
    return seen;
}

static const struct mp__wait *
of_pid(const struct seen *seen, pid_t pid)
{
    for (size_t i = 0; i < seen->count; i++) {
        if (seen->wait[i].pid == pid) {
            return &seen->wait[i];
        }
    }
    return NULL;
}

static void
reap(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

/* ---- processes ------------------------------------------------------------------------------- */

static mp_lock *lock;
static mp_rlock *rlock;
static mp_semaphore *semaphore;

static int
set_up(void **state)
{
    (void)state;
    lock = mp_lock_new();
    rlock = mp_rlock_new();
    semaphore = mp_semaphore_new(0);
    return lock && rlock && semaphore && mp_lock_acquire(lock, 0) == 0 &&
                   mp_rlock_acquire(rlock, 0) == 0
               ? 0
               : -1;
}

static int
tear_down(void **state)
{
    (void)state;
    mp_lock_free(lock);
    mp_rlock_free(rlock);
    mp_semaphore_free(semaphore);
    return 0;
}

static void
wait_for_lock(void)
{
    mp_lock_acquire(lock, MP_FOREVER);
}

static void
wait_for_rlock(void)
{
    mp_rlock_acquire(rlock, MP_FOREVER);
}

static void
wait_for_semaphore(void)
{
    mp_semaphore_acquire(semaphore, MP_FOREVER);
}

static void
wait_with_undo(void)
{
    mp_semaphore_acquire_undo(semaphore, MP_FOREVER);
}

static pid_t
child(void (*wait_for_it)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        wait_for_it();
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}

static void
assert_wait(const struct seen *seen, pid_t pid, const void *object, uint32_t tag, int64_t from,
            int64_t to)
{
    const struct mp__wait *w = of_pid(seen, pid);
    assert_non_null(w);
    assert_ptr_equal(w->object, object);
    assert_int_equal(w->tag, tag);
    assert_true(w->tid != 0);
    assert_true(w->since >= from - 5 * MP__MS);
    assert_true(w->since <= to);
}

static void
test_waits_tell_each_process_and_its_object(void **state)
{
    (void)state;
    int64_t from = mp__plat_now();
    pid_t pid[] = {child(wait_for_lock), child(wait_for_semaphore), child(wait_for_rlock),
                   child(wait_with_undo)};
    struct seen seen = look_for(4, 0);
    int64_t to = mp__plat_now();
    assert_wait(&seen, pid[0], lock, MP__TAG_LOCK, from, to);
    assert_wait(&seen, pid[1], semaphore, MP__TAG_SEMAPHORE, from, to);
    assert_wait(&seen, pid[2], rlock, MP__TAG_RLOCK, from, to);
    assert_wait(&seen, pid[3], semaphore, MP__TAG_SEMAPHORE, from, to);
    poll(NULL, 0, 120); /* some slices: it is still the same wait */
    struct seen later = look();
    assert_int_equal(later.count, 4);
    for (int i = 0; i < 4; i++) {
        assert_true(of_pid(&later, pid[i])->since == of_pid(&seen, pid[i])->since);
    }

    /* The killed ones are gone at once, also while nobody has reaped them. */
    siginfo_t info;
    kill(pid[0], SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)pid[0], &info, WEXITED | WNOWAIT), 0);
    seen = look();
    assert_int_equal(seen.count, 3);
    assert_null(of_pid(&seen, pid[0]));
    for (int i = 0; i < 4; i++) {
        kill(pid[i], SIGKILL);
        reap(pid[i]);
    }
    assert_int_equal(look().count, 0);
}

static void
test_waits_end_with_the_wait(void **state)
{
    (void)state;
    pid_t first = child(wait_for_lock), second = child(wait_for_semaphore);
    look_for(2, 0);
    mp_assert_ok(mp_lock_release(lock));
    mp_assert_ok(mp_semaphore_release(semaphore));
    reap(first);
    reap(second);
    assert_int_equal(look().count, 0);
    mp_assert_code(mp_semaphore_acquire(semaphore, 0.02), MP_ETIMEOUT);
    assert_int_equal(look().count, 0);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *
thread_waits(void *unused)
{
    mp_semaphore_acquire(semaphore, MP_FOREVER);
    return unused;
}

static void
start_threads(pthread_t *thread, int n)
{
    pthread_attr_t small;
    assert_int_equal(pthread_attr_init(&small), 0);
    assert_int_equal(pthread_attr_setstacksize(&small, 256 * 1024), 0);
    for (int i = 0; i < n; i++) {
        assert_int_equal(pthread_create(&thread[i], &small, thread_waits, NULL), 0);
    }
    pthread_attr_destroy(&small);
}

static void
end_threads(pthread_t *thread, int n)
{
    for (int i = 0; i < n; i++) {
        mp_assert_ok(mp_semaphore_release(semaphore));
    }
    for (int i = 0; i < n; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    assert_int_equal(look_for(0, 0).count, 0);
}

static void
test_waits_name_threads_apart(void **state)
{
    (void)state;
    pthread_t thread[2];
    start_threads(thread, 2);
    struct seen seen = look_for(2, 0);
    assert_int_equal(seen.wait[0].pid, getpid());
    assert_int_equal(seen.wait[1].pid, getpid());
    assert_true(seen.wait[0].tid != seen.wait[1].tid);
    end_threads(thread, 2);
}

/* More at once than there are words for, again and again: those of ended threads are used again. */
static void
test_waits_beyond_the_words_are_counted(void **state)
{
    (void)state;
    enum { EXTRA = 7, N = MP__WAITS_PAIRS + EXTRA };
    static pthread_t thread[N];
    for (int round = 0; round < 3; round++) {
        start_threads(thread, N);
        for (struct seen seen = look(); seen.count + seen.beyond != N; seen = look()) {
            poll(NULL, 0, 1);
        }
        assert_true(look().beyond >= EXTRA);
        end_threads(thread, N);
    }
    start_threads(thread, 1);
    assert_int_equal(look_for(1, 0).count, 1);
    end_threads(thread, 1);
}

/* ---- by hand --------------------------------------------------------------------------------- */

static void
test_waits_nested_tell_the_outermost(void **state)
{
    (void)state;
    mp__waiting(lock);
    mp__waiting(semaphore);
    struct seen seen = look();
    assert_int_equal(seen.count, 1);
    assert_ptr_equal(seen.wait[0].object, lock);
    assert_int_equal(seen.wait[0].tid, mp__plat_tid());
    mp__waiting_done();
    assert_int_equal(look().count, 1);
    mp__waiting_done();
    assert_int_equal(look().count, 0);
}

/* Its parent waits meanwhile: the child of a fork does not. */
static void
test_waits_are_not_inherited(void **state)
{
    (void)state;
    int status = -1;
    mp__waiting(lock);
    pid_t pid = fork();
    if (pid == 0) {
        struct seen seen = {0};
        mp__waits_each(note, &seen);
        mp_child_check(seen.count == 1 && seen.wait[0].pid == getppid());
        mp__waiting(semaphore);
        seen.count = 0;
        mp__waits_each(note, &seen);
        mp_child_check(seen.count == 2 && of_pid(&seen, getpid())->object == semaphore);
        mp__waiting_done();
        seen.count = 0;
        mp__waits_each(note, &seen);
        mp_child_check(seen.count == 1 && seen.wait[0].pid == getppid());
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    mp__waiting_done();
    assert_int_equal(look().count, 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_waits_tell_each_process_and_its_object, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_waits_end_with_the_wait, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_waits_name_threads_apart, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_waits_beyond_the_words_are_counted, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_waits_nested_tell_the_outermost, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_waits_are_not_inherited, set_up, tear_down),
};

MP_TEST_MAIN(tests)
