/* Connections whose other end closes or dies, under signals, and short of descriptors or memory. */
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- ends that close and die ----------------------------------------------------------------- */

static volatile sig_atomic_t pipe_signals;

static void
count_sigpipe(int signum)
{
    (void)signum;
    pipe_signals++;
}

static void
test_connection_send_to_a_closed_end_raises_no_signal(void **state)
{
    (void)state;
    for (int duplex = 0; duplex < 2; duplex++) {
        mp_connection *r, *w;
        struct sigaction act = {.sa_handler = count_sigpipe}, old, after;
        sigset_t pending;
        mp_assert_ok(mp_pipe(&r, &w, duplex));
        mp_connection_close(r);
        sigaction(SIGPIPE, &act, &old);
        mp_assert_code(mp_connection_send_bytes(w, "x", 1), -EPIPE);
        mp_assert_code(mp_connection_send(w, mp_list(1, 2)), -EPIPE);
        sigpending(&pending);
        sigaction(SIGPIPE, &old, &after);
        assert_false(sigismember(&pending, SIGPIPE));
        assert_int_equal(pipe_signals, 0);
        assert_true(after.sa_handler == count_sigpipe);
        /* And with the disposition that would end the process. */
        signal(SIGPIPE, SIG_DFL);
        mp_assert_code(mp_connection_send_bytes(w, "x", 1), -EPIPE);
        sigaction(SIGPIPE, &old, NULL);
        mp_connection_free(r);
        mp_connection_free(w);
    }
}

static void
test_connection_reset_by_unread_data_is_the_end(void **state)
{
    (void)state;
    mp_connection *a, *b;
    mp_assert_ok(mp_pipe(&a, &b, true));
    mp_assert_ok(mp_connection_send_bytes(a, "never read", 10));
    mp_connection_close(b);
    mp_assert_code(recv_code(a), MP_EEOF);
    mp_assert_code(recv_code(a), MP_EEOF);
    mp_connection_free(a);
    mp_connection_free(b);
}

static void
test_connection_data_before_the_reset_arrives(void **state)
{
    (void)state;
    int wire;
    mp_connection *c = connection_and_wire(&wire);
    mp_assert_ok(mp_connection_send_bytes(c, "never read", 10));
    PUT(wire, "\0\0\0\2ok\0\0\0\5ab");
    close(wire);
    assert_receives(c, "ok", 2);
    mp_assert_code(recv_code(c), MP_EBADMSG); /* cut off, though by a reset */
    mp_assert_code(recv_code(c), MP_EEOF);
    mp_connection_free(c);
}

static void
test_connection_peer_killed_is_the_end(void **state)
{
    (void)state;
    mp_connection *a, *b;
    mp_assert_ok(mp_pipe(&a, &b, true));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        mp_connection_close(a);
        mp_connection_send_bytes(b, "ready", 5);
        for (;;) {
            pause();
        }
    }
    mp_connection_close(b);
    assert_receives(a, "ready", 5);
    kill(child, SIGKILL);
    mp_assert_code(recv_code(a), MP_EEOF);
    mp_assert_code(mp_connection_send_bytes(a, "x", 1), -EPIPE);
    waitpid(child, NULL, 0);
    mp_connection_free(a);
    mp_connection_free(b);
}

static void
test_connection_peer_killed_inside_a_message_is_told(void **state)
{
    (void)state;
    mp_connection *a, *b;
    unsigned char *big = pattern(4 << 20, 3);
    assert_non_null(big);
    mp_assert_ok(mp_pipe(&a, &b, true));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        mp_connection_close(a);
        mp_connection_send_bytes(b, big, 4 << 20); /* more than the kernel holds: never ends */
        _exit(1);
    }
    free(big);
    mp_connection_close(b);
    assert_int_equal(mp_connection_poll(a, MP_FOREVER), 1);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    mp_assert_code(recv_code(a), MP_EBADMSG);
    mp_assert_code(recv_code(a), MP_EEOF);
    mp_connection_free(a);
    mp_connection_free(b);
}

/* ---- signals, descriptors that do not block, shortages --------------------------------------- */

static atomic_int alarms;

static void
count_alarm(int signum)
{
    (void)signum;
    atomic_fetch_add(&alarms, 1);
}

struct interrupting {
    pthread_t target;
    mp_connection *c;
};

static void *
interrupt_then_send(void *arg)
{
    struct interrupting *in = arg;
    for (int i = 0; i < 50; i++) {
        int before = atomic_load(&alarms);
        pthread_kill(in->target, SIGALRM);
        while (atomic_load(&alarms) == before) {
            sched_yield();
        }
    }
    mp_connection_send_bytes(in->c, "through", 7);
    return NULL;
}

static void
test_connection_recv_goes_on_after_signals(void **state)
{
    (void)state;
    mp_connection *a, *b;
    pthread_t thread;
    struct sigaction act = {.sa_handler = count_alarm}, old; /* no SA_RESTART */
    mp_assert_ok(mp_pipe(&a, &b, true));
    sigaction(SIGALRM, &act, &old);
    struct interrupting in = {pthread_self(), a};
    assert_int_equal(pthread_create(&thread, NULL, interrupt_then_send, &in), 0);
    assert_receives(b, "through", 7);
    pthread_join(thread, NULL);
    assert_int_equal(pthread_create(&thread, NULL, interrupt_then_send, &in), 0);
    assert_int_equal(mp_connection_poll(b, MP_FOREVER), 1);
    pthread_join(thread, NULL);
    sigaction(SIGALRM, &old, NULL);
    mp_connection_free(a);
    mp_connection_free(b);
}

static void
test_connection_over_nonblocking_descriptors_waits(void **state)
{
    (void)state;
    int fds[2];
    const size_t len = 2 << 20;
    unsigned char *data = pattern(len, 7);
    assert_non_null(data);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fcntl(fds[i], F_SETFL, O_NONBLOCK), 0);
    }
    mp_connection *a = mp_connection_new(fds[0], true, true);
    mp_connection *b = mp_connection_new(fds[1], true, true);
    struct sending s = {a, data, len, 1};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, send_in_thread, &s), 0);
    assert_receives(b, data, len);
    pthread_join(thread, NULL);
    assert_int_equal(s.rc, 0);
    free(data);
    mp_connection_free(a);
    mp_connection_free(b);
}

/* In a child: with `room` descriptors left mp_pipe fails and leaves all of them. */
static int
pipe_with_descriptors_left(int room, bool duplex)
{
    int lowest = dup(0);
    close(lowest);
    struct rlimit limit = {(rlim_t)(lowest + room), (rlim_t)(lowest + room)};
    mp_connection *a = (mp_connection *)&limit, *b = (mp_connection *)&limit;
    if (lowest < 0 || setrlimit(RLIMIT_NOFILE, &limit)) {
        return 2;
    }
    for (int i = 0; i < 3; i++) {
        if (mp_pipe(&a, &b, duplex) != -EMFILE || a || b || mp_last_error() != -EMFILE) {
            return 3;
        }
    }
    for (int i = 0; i < room; i++) {
        if (dup(0) < 0) {
            return 4;
        }
    }
    return 0;
}

static void
test_pipe_without_descriptors_fails_and_leaks_none(void **state)
{
    (void)state;
    for (int room = 0; room < 2; room++) {
        for (int duplex = 0; duplex < 2; duplex++) {
            int status;
            pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0) {
                _exit(pipe_with_descriptors_left(room, duplex));
            }
            assert_int_equal(waitpid(child, &status, 0), child);
            assert_int_equal(status, 0);
        }
    }
}

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifndef SANITIZED
/* In a child that cannot get any more memory from the system. */
static int
receive_without_memory(mp_connection *c)
{
    char buf[8];
    size_t len;
    const struct rlimit limit = {1, 1};
    if (setrlimit(RLIMIT_AS, &limit)) {
        return 2;
    }
    if (recv_code(c) != MP_ENOMEM) {
        return 3;
    }
    if (mp_connection_recv_bytes_into(c, buf, sizeof buf, &len) || len != 4) {
        return 4;
    }
    return memcmp(buf, "next", 4) ? 5 : 0;
}
#endif

static void
test_connection_recv_without_memory_uses_the_message_up(void **state)
{
    (void)state;
#ifdef SANITIZED
    skip(); /* sanitizers need memory of their own */
#else
    const size_t len = 64 << 20;
    unsigned char *data = calloc(1, len);
    mp_connection *a, *b;
    int status;
    assert_non_null(data);
    mp_assert_ok(mp_pipe(&a, &b, true));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        mp_connection_close(a);
        _exit(receive_without_memory(b));
    }
    mp_connection_close(b);
    int first = mp_connection_send_bytes(a, data, len);
    int second = mp_connection_send_bytes(a, "next", 4);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(first, 0);
    assert_int_equal(second, 0);
    free(data);
    mp_connection_free(a);
    mp_connection_free(b);
#endif
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_connection_send_to_a_closed_end_raises_no_signal),
    cmocka_unit_test(test_connection_reset_by_unread_data_is_the_end),
    cmocka_unit_test(test_connection_data_before_the_reset_arrives),
    cmocka_unit_test(test_connection_peer_killed_is_the_end),
    cmocka_unit_test(test_connection_peer_killed_inside_a_message_is_told),
    cmocka_unit_test(test_connection_recv_goes_on_after_signals),
    cmocka_unit_test(test_connection_over_nonblocking_descriptors_waits),
    cmocka_unit_test(test_pipe_without_descriptors_fails_and_leaks_none),
    cmocka_unit_test(test_connection_recv_without_memory_uses_the_message_up),
};

MP_TEST_MAIN(tests)
