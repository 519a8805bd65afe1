/*
 * A real CPython at the other end of a connection: python3 of PATH and every version pyenv has, of
 * 3.8 or later.  Skipped where there is none.
 */
#include "helpers/pythons.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char script[512];

static void
find_script(void)
{
    const char *slash = strrchr(__FILE__, '/');
    snprintf(script, sizeof script, "%.*sinterop/connection_peer.py",
             slash ? (int)(slash - __FILE__) + 1 : 0, __FILE__);
}

/* ---- a peer ---------------------------------------------------------------------------------- */

struct peer {
    const char *python;
    pid_t pid;
    mp_connection *in, *out; /* the same when duplex */
};

static void
set_cloexec(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
}

static struct peer
start(const char *python, bool duplex)
{
    int down[2], up[2]; /* [0] is read */
    struct peer peer = {.python = python};
    if (duplex) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, down), 0);
        up[0] = down[1];
        up[1] = down[0];
    } else {
        assert_int_equal(pipe(down), 0);
        assert_int_equal(pipe(up), 0);
    }
    set_cloexec(down[1]);
    set_cloexec(up[0]);
    char r[16], w[16];
    snprintf(r, sizeof r, "%d", down[0]);
    snprintf(w, sizeof w, "%d", up[1]);
    peer.pid = fork();
    assert_true(peer.pid >= 0);
    if (peer.pid == 0) {
        execlp(python, python, script, r, w, (char *)NULL);
        _exit(127);
    }
    close(down[0]);
    if (duplex) {
        peer.in = peer.out = mp_connection_new(down[1], true, true);
    } else {
        close(up[1]);
        peer.in = mp_connection_new(up[0], true, false);
        peer.out = mp_connection_new(down[1], false, true);
    }
    assert_true(peer.in && peer.out);
    return peer;
}

static void
stop(struct peer *peer)
{
    int status;
    mp_connection_close(peer->out); /* the peer's end of file */
    assert_int_equal(waitpid(peer->pid, &status, 0), peer->pid);
    if (status != 0) {
        fail_msg("%s ended with status %d", peer->python, status);
    }
    if (peer->in != peer->out) {
        mp_connection_free(peer->in);
    }
    mp_connection_free(peer->out);
}

static void
command(struct peer *peer, const char *what)
{
    mp_assert_ok(mp_connection_send_bytes(peer->out, what, strlen(what)));
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void
echo_bytes(struct peer *peer)
{
    /* Python echoes after it has all, so a message may be larger than the kernel's buffers. */
    static const size_t sizes[] = {0, 1, 5, 16384, 16385, 65536, 65537, 1 << 20, (2 << 20) + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *sent = malloc(sizes[i] + 1);
        void *got;
        size_t len;
        assert_non_null(sent);
        for (size_t k = 0; k < sizes[i]; k++) {
            sent[k] = (char)(k * 31 + i);
        }
        command(peer, "bytes");
        mp_assert_ok(mp_connection_send_bytes(peer->out, sent, sizes[i]));
        mp_assert_ok(mp_connection_recv_bytes(peer->in, &got, &len, sizes[i]));
        assert_int_equal(len, sizes[i]);
        assert_memory_equal(got, sent, len);
        free(sent);
        free(got);
    }
}

/* ---- objects --------------------------------------------------------------------------------- */

static const char *const expressions[] = {
    "None",
    "True",
    "0",
    "255",
    "256",
    "-1",
    "-129",
    "65536",
    "2147483648",
    "-2147483649",
    "9223372036854775807",
    "-9223372036854775808",
    "0.1",
    "-0.0",
    "1e+300",
    "inf",
    "''",
    "'text'",
    "'h\u00e9llo \u20ac \U0001f600'",
    "b''",
    "b'\\x00\\xff'",
    "[]",
    "[1, [2.5, None], 'three']",
    "()",
    "(1,)",
    "(1, 2, 3, 4, (5, 6))",
    "{}",
    "{'a': [1, 2.5, None, True], 3: ('x', b'y')}",
    "{7}",
    "[[], [], {}, ()]",
};
#define EXPRESSIONS (sizeof expressions / sizeof *expressions)

static void
assert_repr(mp_obj o, const char *expected, const char *python)
{
    char *repr = mp_obj_repr(o);
    assert_non_null(repr);
    if (strcmp(repr, expected) != 0) {
        fail_msg("%s sent %s, read as %s", python, expected, repr);
    }
    free(repr);
}

/* What Python makes is read; sent back, Python sees what it made, and so do we once more. */
static void
exchange_objects(struct peer *peer)
{
    for (size_t i = 0; i < EXPRESSIONS; i++) {
        const char *text = expressions[i];
        mp_obj o, back, seen;
        command(peer, "eval");
        mp_assert_ok(mp_connection_send(peer->out, strcmp(text, "inf") ? text : "float('inf')"));
        mp_assert_ok(mp_connection_recv(peer->in, &o));
        assert_repr(o, text, peer->python);
        command(peer, "repr");
        mp_assert_ok(mp_connection_send(peer->out, mp_obj_ref(o)));
        mp_assert_ok(mp_connection_recv(peer->in, &seen));
        assert_string_equal(mp_as_str(seen), text);
        command(peer, "object");
        mp_assert_ok(mp_connection_send(peer->out, mp_obj_ref(o)));
        mp_assert_ok(mp_connection_recv(peer->in, &back));
        assert_true(mp_obj_equal(o, back));
        mp_obj_free(o);
        mp_obj_free(seen);
        mp_obj_free(back);
    }
}

static void
read_all_protocols(struct peer *peer)
{
    for (int protocol = 0; protocol <= 5; protocol++) {
        for (size_t i = 0; i < EXPRESSIONS; i++) {
            const char *text = expressions[i];
            mp_obj o;
            command(peer, "pickle");
            mp_assert_ok(mp_connection_send(
                peer->out, mp_tuple(protocol, strcmp(text, "inf") ? text : "float('inf')")));
            int rc = mp_connection_recv(peer->in, &o);
            if (rc) {
                fail_msg("%s, protocol %d, %s: %s", peer->python, protocol, text,
                         mp_last_error_text());
            }
            assert_repr(o, text, peer->python);
            mp_obj_free(o);
        }
    }
}

static void
echo_big_object(struct peer *peer)
{
    mp_obj big = mp_list(), back;
    for (int i = 0; i < 20000; i++) {
        mp_assert_ok(mp_list_append(big, mp_tuple(i, "some text", i * 0.5)));
    }
    command(peer, "object");
    mp_assert_ok(mp_connection_send(peer->out, mp_obj_ref(big)));
    mp_assert_ok(mp_connection_recv(peer->in, &back));
    assert_true(mp_obj_equal(big, back));
    mp_obj_free(big);
    mp_obj_free(back);
}

static void
send_unreadable(struct peer *peer)
{
    mp_obj o;
    command(peer, "eval");
    mp_assert_ok(mp_connection_send(peer->out, "__import__('os').system"));
    mp_assert_code(mp_connection_recv(peer->in, &o), MP_EUNPICKLING);
    command(peer, "eval");
    mp_assert_ok(mp_connection_send(peer->out, "[1, 2 ** 64]"));
    mp_assert_code(mp_connection_recv(peer->in, &o), MP_EOVERFLOW);
    command(peer, "eval");
    mp_assert_ok(mp_connection_send(peer->out, "'and on'"));
    mp_assert_ok(mp_connection_recv(peer->in, &o));
    assert_string_equal(mp_as_str(o), "and on");
    mp_obj_free(o);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void
see_the_end(struct peer *peer)
{
    mp_obj o;
    command(peer, "leave");
    mp_assert_code(mp_connection_recv(peer->in, &o), MP_EEOF);
    mp_assert_code(mp_connection_recv(peer->in, &o), MP_EEOF);
    /* Of two pipes the one may close before the other. */
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)peer->pid, &info, WEXITED | WNOWAIT), 0);
    mp_assert_code(mp_connection_send(peer->out, "anyone?"), -EPIPE);
}

/* ---- the tests ------------------------------------------------------------------------------- */

/* All of it with one peer of each interpreter: starting them is what takes the time. */
static void
meet_each_python(bool duplex)
{
    if (python_count == 0) {
        print_message("no python3 of version 3.8 or later: skipped\n");
        skip();
    }
    for (size_t i = 0; i < python_count; i++) {
        print_message("%s\n", pythons[i]); /* so that a failure says with which */
        struct peer peer = start(pythons[i], duplex);
        echo_bytes(&peer);
        exchange_objects(&peer);
        read_all_protocols(&peer);
        echo_big_object(&peer);
        send_unreadable(&peer);
        see_the_end(&peer);
        stop(&peer);
        peer = start(pythons[i], duplex);
        stop(&peer); /* by our end, which Python sees and leaves */
    }
}

static void
test_interop_python_over_a_socket_pair(void **state)
{
    (void)state;
    meet_each_python(true);
}

static void
test_interop_python_over_two_pipes(void **state)
{
    (void)state;
    meet_each_python(false);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_interop_python_over_a_socket_pair),
    cmocka_unit_test(test_interop_python_over_two_pipes),
};

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    find_pythons();
    find_script();
    if (access(script, R_OK) != 0) {
        fprintf(stderr, "%s: not found; run it where it was built\n", script);
        return 1;
    }
    int failed = mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
    forget_pythons();
    return failed;
}
