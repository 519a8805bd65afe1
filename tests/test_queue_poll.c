/*
 * test_queue_poll.c: mp_queue_fileno: readable while a message waits or the queue is shut down, for
 * poll and epoll, whoever puts and takes; and neither descriptor nor thread when nobody asks.
 */
#include "helpers/queue.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/select.h>
#include <sys/wait.h>
#if defined __linux__
#include <sys/epoll.h>
#endif

/* Within the time it becomes readable. */
static bool
readable(int fd, double seconds)
{
    struct pollfd p = {fd, POLLIN, 0};
    int n = poll(&p, 1, (int)(seconds * 1000));
    return n == 1 && (p.revents & POLLIN);
}

/* It is not readable any more, soon: nobody but the watcher's thread makes it so. */
static bool
becomes_quiet(int fd)
{
    double since = mp_test_now();
    while (readable(fd, 0)) {
        if (mp_test_now() - since > STALL) {
            return false;
        }
        nap();
    }
    return true;
}

static long
threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    long n = 0;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        n += e->d_name[0] != '.';
    }
    if (dir) {
        closedir(dir);
    }
    return n;
}

static void
test_queue_fileno_is_readable_while_a_message_waits(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    mp_assert_ok(mp_queue_put(q, 0, 0));
    int fd = mp_queue_fileno(q);
    assert_true(fd >= 0);
    assert_int_equal(mp_queue_fileno(q), fd); /* the same one */
    assert_true(readable(fd, 0));             /* what was there before counts */
    assert_next(q, 0);
    assert_false(readable(fd, 0)); /* this process took it: at once */
    for (int i = 0; i < 300; i++) {
        mp_assert_ok(mp_queue_put(q, i, 0));
        mp_assert_ok(mp_queue_put(q, i + 1, 0));
        assert_true(readable(fd, 0));
        assert_next(q, i);
        assert_true(readable(fd, 0)); /* level: one is left */
        assert_next(q, i + 1);
        assert_false(readable(fd, 0));
    }
    mp_assert_ok(mp_queue_unwatch(q));
    mp_assert_ok(mp_queue_unwatch(q));
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    mp_assert_ok(mp_queue_free(q));
}

static int
put_when_told(const mp_args *args)
{
    mp_queue *q, *go;
    mp_args_get(args, &q, &go);
    for (int i = 0;; i++) {
        mp_obj o;
        mp_child_ok(mp_queue_get(go, &o, 30));
        bool last = mp_is_none(o);
        mp_obj_free(o);
        if (last) {
            return 0;
        }
        mp_child_ok(mp_queue_put(q, i, 0));
    }
}

static void
test_queue_fileno_tells_of_messages_from_other_processes(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0)), *go = made(mp_queue_new(0));
    int fd = mp_queue_fileno(q);
    mp_process *p = start(put_when_told, mp_args(q, go));
    double slowest = 0;
    for (int i = 0; i < 200; i++) {
        assert_false(readable(fd, 0));
        double since = mp_test_now();
        mp_assert_ok(mp_queue_put(go, 1, 0));
        assert_true(readable(fd, 10));
        slowest = mp_test_now() - since > slowest ? mp_test_now() - since : slowest;
        assert_next(q, i);
    }
    print_message("slowest %.1f ms\n", slowest * 1000);
    mp_assert_ok(mp_queue_put(go, mp_none(), 0));
    assert_int_equal(finish(p), 0);
    mp_assert_ok(mp_queue_free(q)); /* closes it as well */
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    mp_assert_ok(mp_queue_free(go));
}

static int
take_all(const mp_args *args)
{
    mp_queue *q;
    mp_obj o;
    mp_args_get(args, &q);
    while (mp_queue_get(q, &o, 0) == 0) {
        mp_obj_free(o);
    }
    return 0;
}

static int
put_one(const mp_args *args)
{
    mp_queue *q;
    mp_args_get(args, &q);
    mp_child_ok(mp_queue_put(q, "one", 0));
    return 0;
}

static void
test_queue_fileno_is_quiet_again_when_another_process_took_all(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    int fd = mp_queue_fileno(q);
    for (int i = 0; i < 5; i++) {
        mp_assert_ok(mp_queue_put(q, i, 0));
        assert_true(readable(fd, 0));
        assert_int_equal(finish(start(take_all, mp_args(q))), 0);
        assert_true(becomes_quiet(fd));
        assert_int_equal(finish(start(put_one, mp_args(q))), 0); /* armed again */
        assert_true(readable(fd, 5));
        assert_int_equal(finish(start(take_all, mp_args(q))), 0);
        assert_true(becomes_quiet(fd));
    }
    mp_assert_ok(mp_queue_free(q));
}

/* A get that finds nothing is what an event loop does then: it does not turn round and round. */
static void
test_queue_fileno_get_that_finds_nothing_makes_it_quiet(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    mp_obj o;
    int fd = mp_queue_fileno(q);
    mp_assert_ok(mp_queue_put(q, 1, 0));
    assert_int_equal(finish(start(take_all, mp_args(q))), 0);
    mp_assert_code(mp_queue_get(q, &o, 0), MP_EEMPTY);
    assert_false(readable(fd, 0));
    mp_assert_ok(mp_queue_free(q));
}

static int
shut_it(const mp_args *args)
{
    mp_queue *q;
    mp_args_get(args, &q);
    mp_child_ok(mp_queue_shutdown(q, false));
    return 0;
}

static void
test_queue_fileno_tells_of_shutdown(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    mp_obj o;
    int fd = mp_queue_fileno(q);
    assert_false(readable(fd, 0));
    assert_int_equal(finish(start(shut_it, mp_args(q))), 0);
    assert_true(readable(fd, 5));
    mp_assert_code(mp_queue_get(q, &o, 0), MP_ESHUTDOWN);
    assert_true(readable(fd, 0)); /* for ever */
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_fileno_tells_of_what_is_given_back(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    const void *data;
    size_t len;
    int fd = mp_queue_fileno(q);
    mp_assert_ok(mp_queue_put_bytes(q, "x", 1, 0));
    mp_assert_ok(mp_queue_peek_bytes(q, &data, &len, 0));
    assert_false(readable(fd, 0));
    mp_assert_ok(mp_queue_give_back(q, data));
    assert_true(readable(fd, 0));
    mp_assert_ok(mp_queue_free(q));
}

static int
peek_and_die(const mp_args *args)
{
    mp_queue *q;
    const void *data;
    size_t len;
    mp_args_get(args, &q);
    mp_child_ok(mp_queue_peek_bytes(q, &data, &len, 5));
    _exit(0);
}

static void
test_queue_fileno_tells_of_what_a_dead_peeker_had(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    int fd = mp_queue_fileno(q);
    mp_assert_ok(mp_queue_put_bytes(q, "x", 1, 0));
    assert_int_equal(finish(start(peek_and_die, mp_args(q))), 0);
    char buf[4];
    size_t len;
    assert_true(readable(fd, 5));
    mp_assert_ok(mp_queue_get_bytes(q, buf, sizeof buf, &len, 5));
    assert_int_equal(len, 1);
    assert_false(readable(fd, 0));
    mp_assert_ok(mp_queue_free(q));
}

/* ---- threads and descriptors ----------------------------------------------------------------- */

static void
test_queue_fileno_needs_one_thread_and_only_while_asked_for(void **state)
{
    (void)state;
    enum { COUNT = 30 };
    mp_queue *q[COUNT];
    long before = threads();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            q[i] = made(mp_queue_new(0));
        }
        assert_int_equal(threads(), before);
        for (int i = 0; i < COUNT; i++) {
            assert_true(mp_queue_fileno(q[i]) >= 0);
        }
        assert_int_equal(threads(), before + 1);
        for (int i = 0; i < COUNT; i++) {
            mp_assert_ok(mp_queue_put(q[i], i, 0));
            for (int k = 0; k < COUNT; k++) {
                assert_int_equal(readable(mp_queue_fileno(q[k]), 0), k == i);
            }
            assert_next(q[i], i);
        }
        for (int i = 0; i < COUNT; i++) {
            if (round == 0) {
                mp_assert_ok(mp_queue_unwatch(q[i]));
            } else if (round == 1) {
                mp_assert_ok(mp_queue_close(q[i]));
            }
            mp_assert_ok(mp_queue_free(q[i]));
        }
        for (double since = mp_test_now(); threads() > before && mp_test_now() - since < STALL;) {
            nap(); /* a joined thread is in /proc for a moment */
        }
        assert_int_equal(threads(), before);
    }
}

static int
free_it(const mp_args *args)
{
    mp_queue *q;
    mp_args_get(args, &q);
    mp_child_ok(mp_queue_free(q));
    return 0;
}

static void
test_queue_fileno_of_a_queue_freed_elsewhere_ends(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    int fd = mp_queue_fileno(q);
    char byte;
    assert_int_equal(finish(start(free_it, mp_args(q))), 0);
    struct pollfd p = {fd, POLLIN, 0};
    assert_int_equal(poll(&p, 1, 5000), 1); /* at its end */
    assert_int_equal(read(fd, &byte, 1), 0);
    mp_assert_code(mp_queue_fileno(q), MP_EVALUE);
    mp_assert_ok(mp_queue_unwatch(q));
    mp_assert_code(mp_queue_unwatch(q), MP_EVALUE);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

/* One that was freed elsewhere, and a new one in its place: who unwatches means the new one first. */
static void
test_queue_unwatch_means_the_one_that_lives(void **state)
{
    (void)state;
    enum { TRIES = 20 };
    mp_queue *q = made(mp_queue_new(0)), *fresh[TRIES];
    int n = 0, old = mp_queue_fileno(q);
    assert_int_equal(finish(start(free_it, mp_args(q))), 0);
    do {
        fresh[n] = made(mp_queue_new(0));
    } while (fresh[n++] != q && n < TRIES);
    assert_ptr_equal(fresh[n - 1], q); /* or this test shows nothing */
    int own = mp_queue_fileno(q);
    assert_true(own >= 0 && own != old);
    mp_assert_ok(mp_queue_unwatch(q));
    assert_int_equal(fcntl(own, F_GETFD), -1);
    assert_true(fcntl(old, F_GETFD) >= 0);
    mp_assert_ok(mp_queue_unwatch(q));
    assert_int_equal(fcntl(old, F_GETFD), -1);
    while (n > 0) {
        mp_assert_ok(mp_queue_free(fresh[--n]));
    }
}

static void
test_queue_fileno_child_of_fork_has_none(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    int fd = mp_queue_fileno(q), status;
    pid_t pid = fork();
    if (pid == 0) {
        mp_child_check(threads() == 1);
        mp_child_check(fcntl(fd, F_GETFD) == -1);
        int own = mp_queue_fileno(q);
        mp_child_check(own >= 0 && !readable(own, 0));
        mp_child_ok(mp_queue_put(q, 7, 0));
        mp_child_check(readable(own, 0));
        mp_child_check(threads() == 2);
        mp_child_ok(mp_queue_unwatch(q));
        _exit(0);
    }
    assert_true(readable(fd, 5));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_next(q, 7);
    assert_false(readable(fd, 0));
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_fileno_not_a_live_one_is_refused(void **state)
{
    (void)state;
    mp_assert_code(mp_queue_fileno(NULL), MP_EVALUE);
    mp_assert_code(mp_queue_unwatch(NULL), MP_EVALUE);
    mp_queue *q = made(mp_queue_new(0));
    mp_assert_ok(mp_queue_unwatch(q)); /* never asked for */
    mp_assert_ok(mp_queue_free(q));
    mp_assert_code(mp_queue_fileno(q), MP_EVALUE);
}

/* ---- an event loop --------------------------------------------------------------------------- */

enum { SOURCES = 3, EACH = 3000 };

static int
put_bursts(const mp_args *args)
{
    mp_queue *q;
    mp_args_get(args, &q);
    for (int i = 0; i < EACH; i++) {
        mp_child_ok(mp_queue_put(q, i, 30));
        if (i % 97 == 0) {
            nap();
        }
    }
    return 0;
}

/* Take one message each time it is said that there is some: level-triggered, so none is forgotten. */
static void
test_queue_fileno_poll_loop_loses_no_message(void **state)
{
    (void)state;
    mp_queue *q[SOURCES];
    mp_process *p[SOURCES];
    struct pollfd fds[SOURCES];
    int next[SOURCES] = {0}, total = 0;
    for (int i = 0; i < SOURCES; i++) {
        q[i] = made(mp_queue_new(i == 2 ? 10 : 0));
        fds[i] = (struct pollfd){mp_queue_fileno(q[i]), POLLIN, 0};
        p[i] = start(put_bursts, mp_args(q[i]));
    }
    while (total < SOURCES * EACH) {
        assert_true(poll(fds, SOURCES, 30000) > 0);
        for (int i = 0; i < SOURCES; i++) {
            mp_obj o;
            if ((fds[i].revents & POLLIN) && mp_queue_get(q[i], &o, 0) == 0) {
                assert_int_equal(mp_as_int(o), next[i]++);
                total++;
            }
        }
    }
    for (int i = 0; i < SOURCES; i++) {
        assert_int_equal(finish(p[i]), 0);
        assert_false(readable(fds[i].fd, 0));
        mp_assert_ok(mp_queue_free(q[i]));
    }
}

#if defined __linux__
static void
test_queue_fileno_epoll_loop_loses_no_message(void **state)
{
    (void)state;
    mp_queue *q[SOURCES];
    mp_process *p[SOURCES];
    int next[SOURCES] = {0}, total = 0, epoll = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < SOURCES; i++) {
        q[i] = made(mp_queue_new(0));
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
        assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, mp_queue_fileno(q[i]), &e), 0);
        p[i] = start(put_bursts, mp_args(q[i]));
    }
    while (total < SOURCES * EACH) {
        struct epoll_event e[SOURCES];
        int n = epoll_wait(epoll, e, SOURCES, 30000);
        assert_true(n > 0);
        for (int k = 0; k < n; k++) {
            mp_obj got[16];
            size_t some = 0;
            uint32_t i = e[k].data.u32;
            if (mp_queue_get_many(q[i], 16, got, &some, 0) != 0) {
                continue; /* the putter was ahead of the count by a moment */
            }
            for (size_t m = 0; m < some; m++) {
                assert_int_equal(mp_as_int(got[m]), next[i]++);
                total++;
            }
        }
    }
    for (int i = 0; i < SOURCES; i++) {
        assert_int_equal(finish(p[i]), 0);
        mp_assert_ok(mp_queue_free(q[i]));
    }
    close(epoll);
}

/* Edges: after a get that found no more, one is told of the next message, whatever came meanwhile. */
static void
edges_come(bool many)
{
    mp_queue *q = made(mp_queue_new(0));
    mp_process *p[3];
    int total = 0, epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};
    assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, mp_queue_fileno(q), &e), 0);
    for (int i = 0; i < 3; i++) {
        p[i] = start(put_bursts, mp_args(q));
    }
    while (total < 3 * EACH) {
        assert_int_equal(epoll_wait(epoll, &e, 1, 30000), 1);
        size_t some = 0, room = many ? 16 : 1;
        do {
            mp_obj got[16];
            if ((many ? mp_queue_get_many(q, room, got, &some, 0) : mp_queue_get(q, got, 0)) ==
                MP_EEMPTY) {
                break;
            }
            some = many ? some : 1;
            total += (int)some;
        } while (some == room); /* fewer: there were no more */
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(finish(p[i]), 0);
    }
    mp_assert_ok(mp_queue_free(q));
    close(epoll);
}

static void
test_queue_fileno_edges_are_told_to_who_takes_all(void **state)
{
    (void)state;
    edges_come(false);
    edges_come(true);
}
#endif

/* ---- threads --------------------------------------------------------------------------------- */

static void *
watch_and_not(void *queue)
{
    for (int i = 0; i < 300; i++) {
        if (mp_queue_fileno(queue) < 0 || mp_queue_put(queue, i, 0) < 0) {
            return "failed";
        }
        mp_obj o;
        if (mp_queue_get(queue, &o, 5) < 0 || mp_queue_unwatch(queue) < 0) {
            return "failed";
        }
    }
    return NULL;
}

static void
test_queue_fileno_beginning_and_ending_in_many_threads(void **state)
{
    (void)state;
    pthread_t t[4];
    mp_queue *q[2] = {made(mp_queue_new(0)), made(mp_queue_new(0))};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, watch_and_not, q[i / 2]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *said;
        pthread_join(t[i], &said);
        assert_null(said);
    }
    mp_assert_ok(mp_queue_free(q[0]));
    mp_assert_ok(mp_queue_free(q[1]));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_queue_fileno_is_readable_while_a_message_waits),
    cmocka_unit_test(test_queue_fileno_tells_of_messages_from_other_processes),
    cmocka_unit_test(test_queue_fileno_is_quiet_again_when_another_process_took_all),
    cmocka_unit_test(test_queue_fileno_get_that_finds_nothing_makes_it_quiet),
    cmocka_unit_test(test_queue_fileno_tells_of_shutdown),
    cmocka_unit_test(test_queue_fileno_tells_of_what_is_given_back),
    cmocka_unit_test(test_queue_fileno_tells_of_what_a_dead_peeker_had),
    cmocka_unit_test(test_queue_fileno_needs_one_thread_and_only_while_asked_for),
    cmocka_unit_test(test_queue_fileno_of_a_queue_freed_elsewhere_ends),
    cmocka_unit_test(test_queue_unwatch_means_the_one_that_lives),
    cmocka_unit_test(test_queue_fileno_child_of_fork_has_none),
    cmocka_unit_test(test_queue_fileno_not_a_live_one_is_refused),
    cmocka_unit_test(test_queue_fileno_poll_loop_loses_no_message),
#if defined __linux__
    cmocka_unit_test(test_queue_fileno_epoll_loop_loses_no_message),
    cmocka_unit_test(test_queue_fileno_edges_are_told_to_who_takes_all),
#endif
    cmocka_unit_test(test_queue_fileno_beginning_and_ending_in_many_threads),
};
MP_TEST_MAIN(tests)
