/* The frame of CPython on the wire, with all its odd cases, against bytes written by hand. */
#include "wire.h"

#include <sched.h>
#include <sys/wait.h>

/* Everything that is in the wire must be these bytes. */
static void
assert_on_wire(int wire, const void *expected, size_t len)
{
    unsigned char got[256];
    assert_true(len < sizeof got);
    ssize_t n = recv(wire, got, sizeof got, MSG_DONTWAIT);
    assert_int_equal(n, len);
    assert_memory_equal(got, expected, len);
}

/* ---- the frame on the wire ------------------------------------------------------------------- */

static void
test_frame_written_as_python_writes_it(void **state)
{
    (void)state;
    int wire;
    mp_connection *c = connection_and_wire(&wire);
    mp_assert_ok(mp_connection_send_bytes(c, "", 0));
    assert_on_wire(wire, "\0\0\0\0", 4);
    mp_assert_ok(mp_connection_send_bytes(c, "cde", 3));
    assert_on_wire(wire, "\0\0\0\3cde", 7);
    /* {'a': [1, 2.5, None, True]} */
    mp_obj o = mp_dict("a", mp_list(1, 2.5, mp_none(), mp_bool(true)));
    mp_assert_ok(mp_connection_send(c, o));
    static const unsigned char expected[] = {
        0x00, 0x00, 0x00, 0x24, 0x80, 0x04, 0x95, 0x19, 0,    0,    0,    0,    0,    0,
        0,    0x7d, 0x94, 0x8c, 0x01, 0x61, 0x94, 0x5d, 0x94, 0x28, 0x4b, 0x01, 0x47, 0x40,
        0x04, 0,    0,    0,    0,    0,    0,    0x4e, 0x88, 0x65, 0x73, 0x2e};
    assert_on_wire(wire, expected, sizeof expected);
    close(wire);
    mp_connection_free(c);
}

static void
test_frame_with_the_long_head_is_read(void **state)
{
    (void)state;
    int wire;
    mp_connection *c = connection_and_wire(&wire);
    PUT(wire, "\xff\xff\xff\xff\0\0\0\0\0\0\0\5hello");
    assert_receives(c, "hello", 5);
    PUT(wire, "\xff\xff\xff\xff\0\0\0\0\0\0\0\0");
    assert_receives(c, "", 0);
    close(wire);
    mp_connection_free(c);
}

static void
test_frame_with_an_impossible_length_ends_receiving(void **state)
{
    (void)state;
    static const char *const heads[] = {"\xff\xff\xff\xfe", "\x80\0\0\0",
                                        "\xff\xff\xff\xff\x80\0\0\0\0\0\0\0",
                                        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"};
    static const size_t lengths[] = {4, 4, 12, 12};
    for (size_t i = 0; i < 4; i++) {
        int wire;
        mp_connection *c = connection_and_wire(&wire);
        mp_obj o;
        put(wire, heads[i], lengths[i]);
        PUT(wire, "\0\0\0\1x");
        mp_assert_code(mp_connection_recv(c, &o), MP_EBADMSG);
        assert_true(mp_is_none(o));
        assert_false(mp_connection_readable(c));
        mp_assert_ok(mp_connection_send_bytes(c, "", 0));
        close(wire);
        mp_connection_free(c);
    }
}

/* What CPython does: cut inside a piece OSError, before a piece EOFError. */
static void
test_frame_cut_off_is_told_from_the_end(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        int code;
    } cases[] = {
        {"", 0, MP_EEOF},
        {"\0", 1, MP_EBADMSG},
        {"\0\0\0", 3, MP_EBADMSG},
        {"\0\0\0\5", 4, MP_EEOF},
        {"\0\0\0\5h", 5, MP_EBADMSG},
        {"\0\0\0\5hell", 8, MP_EBADMSG},
        {"\xff\xff\xff\xff", 4, MP_EEOF},
        {"\xff\xff\xff\xff\0\0\0\0", 8, MP_EBADMSG},
        {"\xff\xff\xff\xff\0\0\0\0\0\0\0\5", 12, MP_EEOF},
        {"\xff\xff\xff\xff\0\0\0\0\0\0\0\5h", 13, MP_EBADMSG},
        /* Lengths of 2 GiB and 2^62: no memory is taken for what does not come. */
        {"\x7f\xff\xff\xff....", 8, MP_EBADMSG},
        {"\xff\xff\xff\xff\x40\0\0\0\0\0\0\0....", 16, MP_EBADMSG},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int wire;
        char buf[4];
        size_t len;
        mp_obj o;
        for (int way = 0; way < 4; way++) {
            mp_connection *c = connection_and_wire(&wire);
            put(wire, cases[i].bytes, cases[i].len);
            close(wire);
            int rc = way == 0   ? recv_code(c)
                     : way == 1 ? mp_connection_recv(c, &o)
                     : way == 2 ? mp_connection_recv_bytes_into(c, buf, sizeof buf, &len)
                                : mp_connection_recv_bytes_into(c, NULL, 0, &len);
            if (rc != cases[i].code) {
                fail_msg("case %zu, way %d: %d, %s", i, way, rc, mp_last_error_text());
            }
            mp_assert_code(recv_code(c), MP_EEOF); /* and so for ever */
            mp_assert_code(recv_code(c), MP_EEOF);
            mp_connection_free(c);
        }
    }
}

/* A long body is read in steps; the end of one of them is not the end of a message. */
static void
test_frame_cut_off_between_steps_is_no_end(void **state)
{
    (void)state;
    static const size_t arrived[] = {4096, 8192, 65536, 131072};
    for (size_t i = 0; i < 4; i++) {
        for (int way = 0; way < 3; way++) {
            int wire;
            size_t len;
            mp_obj o;
            mp_connection *c = connection_and_wire(&wire);
            unsigned char *body = pattern(arrived[i], 1);
            assert_non_null(body);
            PUT(wire, "\0\x10\0\0"); /* 1 MiB */
            put(wire, body, arrived[i]);
            close(wire);
            int rc = way == 0   ? recv_code(c)
                     : way == 1 ? mp_connection_recv(c, &o)
                                : mp_connection_recv_bytes_into(c, NULL, 0, &len);
            mp_assert_code(rc, MP_EBADMSG);
            free(body);
            mp_connection_free(c);
        }
    }
}

static void
test_frame_that_is_no_pickle_is_used_up(void **state)
{
    (void)state;
    int wire;
    mp_connection *c = connection_and_wire(&wire);
    mp_obj o;
    PUT(wire, "\0\0\0\0");                                /* empty */
    PUT(wire, "\0\0\0\3xyz");                             /* no opcode */
    PUT(wire, "\0\0\0\2\x80\x04");                        /* no STOP */
    PUT(wire, "\0\0\0\x11\x80\x02\x8a\x0c............."); /* 96 bits: whatever it is, refused */
    PUT(wire, "\0\0\0\5\x80\x04\x4b\x05.");               /* 5 */
    for (int i = 0; i < 4; i++) {
        assert_true(mp_connection_recv(c, &o) < 0);
        assert_true(mp_is_none(o));
        assert_true(mp_connection_readable(c));
    }
    mp_assert_ok(mp_connection_recv(c, &o));
    assert_int_equal(mp_as_int(o), 5);
    close(wire);
    mp_connection_free(c);
}

static void
test_frame_leaves_what_follows_in_the_kernel(void **state)
{
    (void)state;
    int wire;
    mp_connection *c = connection_and_wire(&wire);
    char rest[8];
    PUT(wire, "\0\0\0\3one+");
    assert_receives(c, "one", 3);
    assert_int_equal(recv(mp_connection_fileno(c), rest, sizeof rest, MSG_DONTWAIT), 1);
    assert_int_equal(rest[0], '+');
    close(wire);
    mp_connection_free(c);
}

static void
test_frame_in_single_bytes_is_put_together(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    mp_connection *c = mp_connection_new(fds[0], true, false);
    assert_non_null(c);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        static const char frame[] = "\0\0\0\5hello";
        int bad = 0;
        for (size_t i = 0; i < 9; i++) {
            bad |= write(fds[1], frame + i, 1) != 1;
            sched_yield();
        }
        _exit(bad);
    }
    close(fds[1]);
    assert_receives(c, "hello", 5);
    mp_assert_code(recv_code(c), MP_EEOF);
    waitpid(child, NULL, 0);
    mp_connection_free(c);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_frame_written_as_python_writes_it),
    cmocka_unit_test(test_frame_with_the_long_head_is_read),
    cmocka_unit_test(test_frame_with_an_impossible_length_ends_receiving),
    cmocka_unit_test(test_frame_cut_off_is_told_from_the_end),
    cmocka_unit_test(test_frame_cut_off_between_steps_is_no_end),
    cmocka_unit_test(test_frame_that_is_no_pickle_is_used_up),
    cmocka_unit_test(test_frame_leaves_what_follows_in_the_kernel),
    cmocka_unit_test(test_frame_in_single_bytes_is_put_together),
};

MP_TEST_MAIN(tests)
