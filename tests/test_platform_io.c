/* test_platform_io.c: platform.h's descriptors, the same for both sides. */
#include "helpers/platform.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/platform.h"

#define SOON (mp__plat_now() + 30 * MP__S) /* never reached when the code is right */
#define MUCH ((size_t)1 << 20)             /* more than a pipe or a socket holds */

/* ---- helpers --------------------------------------------------------------------------------- */

static void
fill(unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (unsigned char)(i * 7 + i / 251);
    }
}

/* 0 or -errno. */
static int
write_text(int fd, const char *text)
{
    char copy[32];
    size_t len = strlen(text);
    memcpy(copy, text, len);
    struct iovec iov = {copy, len};
    return mp__plat_write_all(fd, &iov, 1);
}

/* ---- reading, writing, waiting --------------------------------------------------------------- */

static void
test_pipe_and_socketpair_close_on_exec(void **state)
{
    (void)state;
    int fds[4];
    assert_int_equal(mp__plat_pipe(fds), 0);
    assert_int_equal(mp__plat_socketpair(fds + 2), 0);
    for (int i = 0; i < 4; i++) {
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
    }
    close_both(fds);
    close_both(fds + 2);
}

struct transfer {
    int fd;
    unsigned char *bytes;
    int status;
};

static void *
write_parts(void *arg)
{
    struct transfer *t = arg;
    struct iovec iov[] = {{t->bytes, 0},
                          {t->bytes, 1},
                          {t->bytes + 1, MUCH / 2},
                          {NULL, 0},
                          {t->bytes + 1 + MUCH / 2, MUCH - 1 - MUCH / 2},
                          {NULL, 0}};
    t->status = mp__plat_write_all(t->fd, iov, 6);
    close(t->fd);
    return NULL;
}

/* All of a vector arrives although the reader takes it in small bites. */
static void
check_transfer(const int fds[2])
{
    unsigned char *sent = malloc(MUCH);
    unsigned char *got = malloc(MUCH);
    struct transfer t = {.fd = fds[1], .bytes = sent, .status = 1};
    pthread_t thread;
    fill(sent, MUCH);
    assert_int_equal(pthread_create(&thread, NULL, write_parts, &t), 0);
    assert_int_equal(mp__plat_poll_in(fds[0], SOON), 1);
    assert_int_equal(mp__plat_read_all(fds[0], got, 10), 10);
    assert_int_equal(mp__plat_read_all(fds[0], got + 10, MUCH - 10), MUCH - 10);
    assert_int_equal(mp__plat_read_all(fds[0], got, 1), 0);
    pthread_join(thread, NULL);
    got[0] = sent[0];
    assert_int_equal(t.status, 0);
    assert_memory_equal(sent, got, MUCH);
    free(sent);
    free(got);
    close(fds[0]);
}

static void
test_write_all_to_a_full_pipe_writes_everything(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(mp__plat_pipe(fds), 0);
    check_transfer(fds);
}

static void
test_write_all_to_a_full_socket_writes_everything(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(mp__plat_socketpair(fds), 0);
    check_transfer(fds);
}

static void
test_write_all_to_nonblocking_descriptors_waits(void **state)
{
    (void)state;
    for (int socket = 0; socket < 2; socket++) {
        int fds[2];
        assert_int_equal(socket ? mp__plat_socketpair(fds) : mp__plat_pipe(fds), 0);
        assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
        assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
        check_transfer(fds);
    }
}

static void
test_write_all_to_a_file_and_of_nothing(void **state)
{
    (void)state;
    char got[8] = {0};
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(write_text(fileno(file), "hello"), 0);
    assert_int_equal(lseek(fileno(file), 0, SEEK_SET), 0);
    assert_int_equal(mp__plat_read_all(fileno(file), got, sizeof got), 5);
    assert_string_equal(got, "hello");
    fclose(file);
    struct iovec none = {NULL, 0};
    assert_int_equal(mp__plat_write_all(-1, &none, 1), 0);
    assert_int_equal(write_text(-1, "x"), -EBADF);
    assert_int_equal(mp__plat_read_all(-1, got, 1), -EBADF);
}

/* With SIGPIPE at its default: a signal would show in the exit status. */
static void
write_to_closed(void *arg)
{
    const int *fds = arg;
    sigset_t now;
    signal(SIGPIPE, SIG_DFL);
    close(fds[0]);
    mp_child_check(write_text(fds[1], "x") == -EPIPE);
    mp_child_check(pthread_sigmask(SIG_SETMASK, NULL, &now) == 0);
    mp_child_check(sigismember(&now, SIGPIPE) == 0);
}

static void
test_write_all_to_a_closed_pipe_fails_without_a_signal(void **state)
{
    (void)state;
    for (int socket = 0; socket < 2; socket++) {
        int fds[2];
        assert_int_equal(socket ? mp__plat_socketpair(fds) : mp__plat_pipe(fds), 0);
        close(fds[0]); /* here too: the child has a copy */
        assert_int_equal(run_child(write_to_closed, fds), 0);
        close(fds[1]);
    }
}

static void
write_with_pending_signal(void *arg)
{
    const int *fds = arg;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_BLOCK, &set, NULL);
    mp_child_check(write_text(fds[1], "x") == -EPIPE);
    sigpending(&set);
    mp_child_check(sigismember(&set, SIGPIPE) == 0); /* ours was taken back */
    raise(SIGPIPE);
    mp_child_check(write_text(fds[1], "x") == -EPIPE);
    sigpending(&set);
    mp_child_check(sigismember(&set, SIGPIPE) == 1); /* the caller's was left */
}

static void
test_write_all_keeps_a_signal_that_was_pending_before(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(mp__plat_pipe(fds), 0);
    close(fds[0]);
    assert_int_equal(run_child(write_with_pending_signal, fds), 0);
    close(fds[1]);
}

static void
test_read_all_at_the_end_of_the_file_is_short(void **state)
{
    (void)state;
    int fds[2];
    char got[8] = {0};
    assert_int_equal(mp__plat_pipe(fds), 0);
    assert_int_equal(write_text(fds[1], "abc"), 0);
    close(fds[1]);
    assert_int_equal(mp__plat_read_all(fds[0], got, sizeof got), 3);
    assert_string_equal(got, "abc");
    assert_int_equal(mp__plat_read_all(fds[0], got, sizeof got), 0);
    close(fds[0]);
}

static void
test_poll_in_tells_data_end_and_time(void **state)
{
    (void)state;
    int fds[2];
    char byte;
    assert_int_equal(mp__plat_pipe(fds), 0);
    assert_int_equal(mp__plat_poll_in(fds[0], MP__TRY), 0);
    int64_t until = mp__plat_now() + 3 * MP__MS;
    assert_int_equal(mp__plat_poll_in(fds[0], until), 0);
    assert_true(mp__plat_now() >= until);
    assert_int_equal(write_text(fds[1], "x"), 0);
    assert_int_equal(mp__plat_poll_in(fds[0], MP__TRY), 1);
    assert_int_equal(mp__plat_read_all(fds[0], &byte, 1), 1);
    close(fds[1]);
    assert_int_equal(mp__plat_poll_in(fds[0], MP__NEVER), 1);
    close(fds[0]);
    assert_int_equal(mp__plat_poll_in(fds[0], MP__NEVER), -EBADF);
}

/* ---- passing descriptors --------------------------------------------------------------------- */

static void
test_descriptor_passed_is_the_same_file(void **state)
{
    (void)state;
    int pair[2];
    int fds[2];
    int got[2];
    int n = 2;
    char text[8];
    assert_int_equal(mp__plat_socketpair(pair), 0);
    assert_int_equal(mp__plat_pipe(fds), 0);
    assert_int_equal(mp__plat_send_fds(pair[0], "hello", 6, fds, 2), 0);
    close_both(fds);
    assert_int_equal(mp__plat_recv_fds(pair[1], text, 6, got, &n), 0);
    assert_int_equal(n, 2);
    assert_string_equal(text, "hello");
    assert_true(fcntl(got[0], F_GETFD) & fcntl(got[1], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write_text(got[1], "way"), 0);
    assert_int_equal(mp__plat_read_all(got[0], text, 3), 3);
    assert_memory_equal(text, "way", 3);
    close_both(got);
    close_both(pair);
}

static void
test_descriptors_beyond_the_room_are_closed(void **state)
{
    (void)state;
    int pair[2];
    int fds[5];
    int got[2] = {-1, -1};
    int n = 2;
    char byte;
    assert_int_equal(mp__plat_socketpair(pair), 0);
    for (int i = 0; i < 5; i++) {
        fds[i] = fcntl(pair[0], F_DUPFD_CLOEXEC, 0);
    }
    assert_int_equal(mp__plat_send_fds(pair[0], "x", 1, fds, 5), 0);
    int before = count_open();
    assert_int_equal(mp__plat_recv_fds(pair[1], &byte, 1, got, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(count_open(), before + 2);
    close_both(got);
    /* None wanted at all. */
    assert_int_equal(mp__plat_send_fds(pair[0], "x", 1, fds, 5), 0);
    n = 0;
    assert_int_equal(mp__plat_recv_fds(pair[1], &byte, 1, NULL, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(count_open(), before);
    for (int i = 0; i < 5; i++) {
        close(fds[i]);
    }
    close_both(pair);
}

struct send {
    int sock;
    int passed;
    unsigned char *bytes;
    int status;
};

static void *
send_much(void *arg)
{
    struct send *s = arg;
    s->status = mp__plat_send_fds(s->sock, s->bytes, MUCH, &s->passed, 1);
    return NULL;
}

static void
test_descriptors_with_a_long_message_come_once(void **state)
{
    (void)state;
    int pair[2];
    int got[4];
    int n = 4;
    pthread_t thread;
    unsigned char *bytes = malloc(2 * MUCH);
    fill(bytes, MUCH);
    assert_int_equal(mp__plat_socketpair(pair), 0);
    /* So that the system takes a part only. */
    assert_int_equal(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
    struct send s = {.sock = pair[0], .passed = pair[0], .bytes = bytes, .status = 1};
    assert_int_equal(pthread_create(&thread, NULL, send_much, &s), 0);
    assert_int_equal(mp__plat_recv_fds(pair[1], bytes + MUCH, MUCH, got, &n), 0);
    pthread_join(thread, NULL);
    assert_int_equal(s.status, 0);
    assert_int_equal(n, 1);
    assert_memory_equal(bytes, bytes + MUCH, MUCH);
    close(got[0]);
    /* Without descriptors, and then with the other side gone in the middle of a message. */
    n = 4;
    assert_int_equal(mp__plat_send_fds(pair[0], "ab", 2, NULL, 0), 0);
    assert_int_equal(mp__plat_recv_fds(pair[1], bytes, 2, got, &n), 0);
    assert_int_equal(n, 0);
    n = 4;
    int before = count_open();
    assert_int_equal(mp__plat_send_fds(pair[0], "ab", 2, &pair[0], 1), 0);
    shutdown(pair[0], SHUT_WR);
    assert_int_equal(mp__plat_recv_fds(pair[1], bytes, 3, got, &n), -ENODATA);
    assert_int_equal(n, 0);
    assert_int_equal(count_open(), before);
    free(bytes);
    close_both(pair);
}

static void
test_descriptors_from_a_closed_socket_are_none(void **state)
{
    (void)state;
    int pair[2];
    int got[1];
    int n = 1;
    char byte;
    assert_int_equal(mp__plat_socketpair(pair), 0);
    assert_int_equal(mp__plat_send_fds(pair[0], "x", 0, NULL, 0), -EINVAL);
    assert_int_equal(mp__plat_send_fds(pair[0], "x", 1, pair, MP__PLAT_MOST_FDS + 1), -EINVAL);
    assert_int_equal(write_text(pair[1], "unread"), 0); /* the end may show as a reset */
    close(pair[0]);
    assert_int_equal(mp__plat_recv_fds(pair[1], &byte, 1, got, &n), -ENODATA);
    assert_int_equal(n, 0);
    assert_int_equal(mp__plat_send_fds(pair[1], "x", 1, pair + 1, 1), -EPIPE);
    close(pair[1]);
}

static void
receive_without_room(void *arg)
{
    const int *pair = arg;
    int got[3];
    int n = 3;
    char byte;
    int highest = fcntl(pair[1], F_DUPFD, 0);
    close(highest);
    struct rlimit limit;
    int before = count_open();
    mp_child_check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = (rlim_t)highest + 1;
    mp_child_check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    mp_child_check(mp__plat_recv_fds(pair[1], &byte, 1, got, &n) == -EMFILE);
    mp_child_check(n == 0 && byte == 'x');
    mp_child_check(count_open() == before);
}

static void
test_descriptors_that_find_no_room_in_the_table_are_an_error(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(mp__plat_socketpair(pair), 0);
    const int fds[3] = {pair[0], pair[0], pair[0]};
    assert_int_equal(mp__plat_send_fds(pair[0], "x", 1, fds, 3), 0);
    assert_int_equal(run_child(receive_without_room, pair), 0);
    close_both(pair);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_pipe_and_socketpair_close_on_exec),
    cmocka_unit_test(test_write_all_to_a_full_pipe_writes_everything),
    cmocka_unit_test(test_write_all_to_a_full_socket_writes_everything),
    cmocka_unit_test(test_write_all_to_nonblocking_descriptors_waits),
    cmocka_unit_test(test_write_all_to_a_file_and_of_nothing),
    cmocka_unit_test(test_write_all_to_a_closed_pipe_fails_without_a_signal),
    cmocka_unit_test(test_write_all_keeps_a_signal_that_was_pending_before),
    cmocka_unit_test(test_read_all_at_the_end_of_the_file_is_short),
    cmocka_unit_test(test_poll_in_tells_data_end_and_time),
    cmocka_unit_test(test_descriptor_passed_is_the_same_file),
    cmocka_unit_test(test_descriptors_beyond_the_room_are_closed),
    cmocka_unit_test(test_descriptors_with_a_long_message_come_once),
    cmocka_unit_test(test_descriptors_from_a_closed_socket_are_none),
    cmocka_unit_test(test_descriptors_that_find_no_room_in_the_table_are_an_error),
};

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, false);
}
