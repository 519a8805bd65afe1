/*
 * Connections: whole messages in order, both ways or one, polled, refused when used wrongly; and
 * what they carry between processes.
 */
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>

/* ---- messages -------------------------------------------------------------------------------- */

static void
test_pipe_duplex_carries_both_ways(void **state)
{
    (void)state;
    mp_connection *a, *b;
    mp_obj o;
    mp_assert_ok(mp_pipe(&a, &b, true));
    assert_true(mp_connection_readable(a) && mp_connection_writable(a));
    assert_true(mp_connection_readable(b) && mp_connection_writable(b));
    assert_int_equal(mp_connection_send(a, mp_list(1, 2.5, "three", mp_none())), 0);
    mp_assert_ok(mp_connection_send(b, "back"));
    mp_assert_ok(mp_connection_recv(b, &o));
    mp_obj expected = mp_list(1, 2.5, "three", mp_none());
    assert_true(mp_obj_equal(o, expected));
    mp_obj_free(expected);
    mp_obj_free(o);
    mp_assert_ok(mp_connection_recv(a, &o));
    assert_string_equal(mp_as_str(o), "back");
    mp_obj_free(o);
    mp_connection_free(a);
    mp_connection_free(b);
}

static void
test_pipe_simplex_has_a_direction(void **state)
{
    (void)state;
    mp_connection *r, *w;
    mp_obj o;
    void *data;
    size_t len;
    char buf[4];
    mp_assert_ok(mp_pipe(&r, &w, false));
    assert_true(mp_connection_readable(r) && !mp_connection_writable(r));
    assert_true(!mp_connection_readable(w) && mp_connection_writable(w));
    mp_assert_code(mp_connection_send(r, mp_list(1, 2)), MP_EDIRECTION);
    mp_assert_code(mp_connection_send_bytes(r, "x", 1), MP_EDIRECTION);
    mp_assert_code(mp_connection_recv(w, &o), MP_EDIRECTION);
    assert_true(mp_is_none(o));
    mp_assert_code(mp_connection_recv_bytes(w, &data, &len, 1), MP_EDIRECTION);
    mp_assert_code(mp_connection_recv_bytes_into(w, buf, 4, &len), MP_EDIRECTION);
    mp_assert_code(mp_connection_poll(w, 0), MP_EDIRECTION);
    assert_string_equal(mp_err_name(MP_EDIRECTION), "OSError");
    mp_assert_ok(mp_connection_send_bytes(w, "on", 2));
    assert_receives(r, "on", 2);
    mp_connection_free(r);
    mp_connection_free(w);
}

static void
test_connection_sizes_around_every_limit_arrive_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,     1,     2047,  2048,   2049,   16383,   16384,   16385,
                                   65535, 65536, 65537, 131072, 131073, 1 << 20, 2 << 20, 3000001};
    for (int duplex = 0; duplex < 2; duplex++) {
        mp_connection *r, *w;
        mp_assert_ok(mp_pipe(&r, &w, duplex));
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            unsigned char *data = pattern(sizes[i], (unsigned)i);
            assert_non_null(data);
            struct sending s = {w, data, sizes[i], 1};
            pthread_t thread;
            assert_int_equal(pthread_create(&thread, NULL, send_in_thread, &s), 0);
            assert_receives(r, data, sizes[i]);
            pthread_join(thread, NULL);
            assert_int_equal(s.rc, 0);
            free(data);
        }
        mp_connection_free(r);
        mp_connection_free(w);
    }
}

static void
test_connection_big_object_arrives_whole(void **state)
{
    (void)state;
    mp_connection *r, *w;
    mp_obj big = mp_list(), got;
    for (int i = 0; i < 500;
         i++) { /* small enough for the socket's buffer, no stack frame though */
        assert_int_equal(mp_list_append(big, mp_tuple(i, "some text to make it longer")), 0);
    }
    mp_assert_ok(mp_pipe(&r, &w, true));
    mp_assert_ok(mp_connection_send(w, mp_obj_ref(big)));
    mp_assert_ok(mp_connection_recv(r, &got));
    assert_true(mp_obj_equal(big, got));
    mp_obj_free(big);
    mp_obj_free(got);
    mp_connection_free(r);
    mp_connection_free(w);
}

/* Python: an empty message is a message (test_empty_string). */
static void
test_connection_empty_message_is_a_message(void **state)
{
    (void)state;
    mp_connection *a, *b;
    char byte = 'x';
    mp_assert_ok(mp_pipe(&a, &b, true));
    assert_int_equal(mp_connection_poll(b, 0), 0);
    mp_assert_ok(mp_connection_send_bytes(a, NULL, 0));
    mp_assert_ok(mp_connection_send_bytes(a, &byte + 1, 0));
    mp_assert_code(mp_connection_send_bytes(a, NULL, 1), MP_EVALUE);
    assert_int_equal(mp_connection_poll(b, 0), 1);
    assert_int_equal(mp_connection_poll(b, 0), 1);
    assert_receives(b, "", 0);
    assert_receives(b, "", 0);
    assert_int_equal(mp_connection_poll(b, 0), 0);
    mp_connection_free(a);
    mp_connection_free(b);
}

/* Python: test_dont_merge, test_boundaries. */
static void
test_connection_merged_in_the_kernel_stays_apart(void **state)
{
    (void)state;
    for (int duplex = 0; duplex < 2; duplex++) {
        mp_connection *r, *w;
        mp_assert_ok(mp_pipe(&r, &w, duplex));
        mp_assert_ok(mp_connection_send_bytes(w, "a", 1));
        mp_assert_ok(mp_connection_send_bytes(w, "", 0));
        mp_assert_ok(mp_connection_send_bytes(w, "bcd", 3));
        mp_connection_close(w);
        assert_receives(r, "a", 1);
        assert_receives(r, "", 0);
        assert_receives(r, "bcd", 3);
        mp_assert_code(recv_code(r), MP_EEOF);
        mp_connection_free(r);
        mp_connection_free(w);
    }
}

static void
test_connection_buffer_too_short_stays_in_sync(void **state)
{
    (void)state;
    mp_connection *a, *b;
    char buf[8] = "-------";
    size_t len = 0;
    unsigned char *big = pattern(100000, 1);
    assert_non_null(big);
    mp_assert_ok(mp_pipe(&a, &b, true));
    mp_assert_ok(mp_connection_send_bytes(a, "too long", 8));
    mp_assert_ok(mp_connection_send_bytes(a, big, 100000));
    mp_assert_ok(mp_connection_send_bytes(a, "fits", 4));
    mp_assert_ok(mp_connection_send_bytes(a, "just", 4));
    mp_assert_ok(mp_connection_send_bytes(a, "", 0));
    mp_assert_code(mp_connection_recv_bytes_into(b, buf, 7, &len), MP_EBUFFERTOOSHORT);
    assert_int_equal(len, 8);
    assert_memory_equal(buf, "-------", 8);
    mp_assert_code(mp_connection_recv_bytes_into(b, NULL, 0, &len), MP_EBUFFERTOOSHORT);
    assert_int_equal(len, 100000);
    mp_assert_ok(mp_connection_recv_bytes_into(b, buf, 7, &len));
    assert_int_equal(len, 4);
    assert_memory_equal(buf, "fits---", 8);
    mp_assert_ok(mp_connection_recv_bytes_into(b, buf, 4, &len));
    assert_memory_equal(buf, "just---", 8);
    mp_assert_ok(mp_connection_recv_bytes_into(b, NULL, 0, &len));
    assert_int_equal(len, 0);
    free(big);
    mp_connection_free(a);
    mp_connection_free(b);
}

static void
test_connection_too_long_for_max_len_cannot_receive_again(void **state)
{
    (void)state;
    mp_connection *a, *b, *r, *w;
    void *data;
    size_t len;
    mp_assert_ok(mp_pipe(&a, &b, true));
    mp_assert_ok(mp_connection_send_bytes(a, "four", 4));
    mp_assert_ok(mp_connection_send_bytes(a, "five!", 5));
    mp_assert_ok(mp_connection_recv_bytes(b, &data, &len, 4)); /* exactly is fine */
    free(data);
    mp_assert_code(mp_connection_recv_bytes(b, &data, &len, 4), MP_EBADMSG);
    assert_null(data);
    assert_false(mp_connection_closed(b));
    assert_false(mp_connection_readable(b));
    mp_assert_code(recv_code(b), MP_EDIRECTION);
    mp_assert_ok(mp_connection_send_bytes(b, "still", 5));
    assert_receives(a, "still", 5);
    mp_connection_free(a);
    mp_connection_free(b);

    mp_assert_ok(mp_pipe(&r, &w, false));
    mp_assert_ok(mp_connection_send_bytes(w, "five!", 5));
    mp_assert_code(mp_connection_recv_bytes(r, &data, &len, 4), MP_EBADMSG);
    assert_true(mp_connection_closed(r));
    mp_assert_code(recv_code(r), MP_ECLOSED);
    mp_assert_code(mp_connection_send_bytes(w, "x", 1), -EPIPE);
    mp_connection_free(r);
    mp_connection_free(w);
}

static void *
echo_in_thread(void *arg)
{
    mp_connection *c = arg;
    mp_obj o;
    while (mp_connection_recv(c, &o) == 0) {
        if (mp_connection_send(c, o)) {
            break;
        }
    }
    return NULL;
}

static void
test_connection_echoes_between_threads(void **state)
{
    (void)state;
    mp_connection *a, *b;
    pthread_t thread;
    mp_assert_ok(mp_pipe(&a, &b, true));
    assert_int_equal(pthread_create(&thread, NULL, echo_in_thread, b), 0);
    for (int i = 0; i < 1000; i++) {
        mp_obj o;
        mp_assert_ok(mp_connection_send(a, i));
        mp_assert_ok(mp_connection_recv(a, &o));
        assert_int_equal(mp_as_int(o), i);
        mp_obj_free(o);
    }
    mp_connection_close(a);
    pthread_join(thread, NULL);
    mp_connection_free(a);
    mp_connection_free(b);
}

/* ---- poll ------------------------------------------------------------------------------------ */

static void
test_connection_poll_waits_as_long_as_told(void **state)
{
    (void)state;
    mp_connection *a, *b;
    mp_assert_ok(mp_pipe(&a, &b, true));
    double start = mp_test_now();
    assert_int_equal(mp_connection_poll(b, -1), 0);
    assert_int_equal(mp_connection_poll(b, -INFINITY), 0);
    assert_int_equal(mp_connection_poll(b, 0), 0);
    assert_true(mp_test_now() - start < 5); /* the machine may stand still */
    mp_assert_code(mp_connection_poll(b, NAN), MP_EVALUE);
    start = mp_test_now();
    assert_int_equal(mp_connection_poll(b, 0.05), 0);
    assert_true(mp_test_now() - start >= 0.05);
    mp_assert_ok(mp_connection_send_bytes(a, "x", 1));
    assert_int_equal(mp_connection_poll(b, MP_FOREVER), 1);
    assert_int_equal(mp_connection_poll(b, -1), 1);
    assert_receives(b, "x", 1);
    mp_connection_close(a);
    assert_int_equal(mp_connection_poll(b, MP_FOREVER), 1); /* end of file */
    mp_assert_code(recv_code(b), MP_EEOF);
    mp_connection_free(a);
    mp_connection_free(b);
}

/* ---- wrong use ------------------------------------------------------------------------------- */

static void
test_connection_new_checks_its_arguments(void **state)
{
    (void)state;
    assert_null(mp_connection_new(-1, true, true));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    assert_null(mp_connection_new(0, false, false));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    assert_true(fcntl(0, F_GETFD) >= 0); /* still ours */
    mp_connection *a = (mp_connection *)&a, *b = (mp_connection *)&b;
    mp_assert_code(mp_pipe(NULL, &b, true), MP_EVALUE);
    assert_null(b);
    mp_assert_code(mp_pipe(&a, NULL, true), MP_EVALUE);
    assert_null(a);
}

static void
test_connection_closed_refuses_everything(void **state)
{
    (void)state;
    mp_connection *a, *b;
    mp_obj o;
    size_t len;
    char buf[1];
    mp_assert_ok(mp_pipe(&a, &b, true));
    assert_false(mp_connection_closed(a));
    int fd = mp_connection_fileno(a);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    mp_assert_ok(mp_connection_close(a));
    mp_assert_ok(mp_connection_close(a));
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_true(mp_connection_closed(a));
    assert_true(mp_connection_readable(a) && mp_connection_writable(a)); /* as in Python */
    mp_assert_code(mp_connection_fileno(a), MP_ECLOSED);
    mp_assert_code(mp_connection_poll(a, 0), MP_ECLOSED);
    mp_assert_code(mp_connection_send(a, mp_list("freed by send")), MP_ECLOSED);
    mp_assert_code(mp_connection_send_bytes(a, "", 0), MP_ECLOSED);
    mp_assert_code(mp_connection_recv(a, &o), MP_ECLOSED);
    mp_assert_code(recv_code(a), MP_ECLOSED);
    mp_assert_code(mp_connection_recv_bytes_into(a, buf, 1, &len), MP_ECLOSED);
    mp_assert_ok(mp_connection_free(a));
    mp_assert_ok(mp_connection_free(b));
}

static void
test_connection_dead_handle_is_an_error(void **state)
{
    (void)state;
    mp_connection *freed, *b;
    mp_obj o;
    size_t len;
    char buf[1];
    mp_assert_ok(mp_pipe(&freed, &b, true));
    mp_assert_ok(mp_connection_free(freed));
    mp_assert_ok(mp_connection_free(NULL));
    mp_connection *const dead[] = {freed, NULL, (mp_connection *)&o};
    for (size_t i = 0; i < 3; i++) {
        mp_assert_code(mp_connection_send(dead[i], mp_list("x")), MP_EVALUE);
        mp_assert_code(mp_connection_send_bytes(dead[i], "", 0), MP_EVALUE);
        mp_assert_code(mp_connection_recv(dead[i], &o), MP_EVALUE);
        mp_assert_code(recv_code(dead[i]), MP_EVALUE);
        mp_assert_code(mp_connection_recv_bytes_into(dead[i], buf, 1, &len), MP_EVALUE);
        mp_assert_code(mp_connection_poll(dead[i], 0), MP_EVALUE);
        mp_assert_code(mp_connection_fileno(dead[i]), MP_EVALUE);
        mp_assert_code(mp_connection_close(dead[i]), MP_EVALUE);
        assert_true(mp_connection_closed(dead[i]));
        assert_false(mp_connection_readable(dead[i]));
        assert_false(mp_connection_writable(dead[i]));
        if (dead[i]) {
            mp_assert_code(mp_connection_free(dead[i]), MP_EVALUE);
        }
    }
    mp_assert_code(mp_connection_recv(b, NULL), MP_EVALUE);
    mp_assert_code(mp_connection_recv_bytes(b, NULL, &len, 1), MP_EVALUE);
    mp_assert_code(mp_connection_recv_bytes_into(b, NULL, 1, &len), MP_EVALUE);
    mp_connection_free(b);
}

/* ---- what objects may hold ------------------------------------------------------------------- */

static void
test_connection_carries_handles_of_shared_objects(void **state)
{
    (void)state;
    mp_connection *a, *b;
    mp_obj o;
    mp_assert_ok(mp_pipe(&a, &b, true));
    mp_value *v = mp_value_new('i', 7);
    mp_lock *lock = mp_lock_new();
    int *memory = mp_malloc(sizeof *memory);
    assert_true(v && lock && memory);
    assert_int_equal(mp_connection_send(a, mp_tuple(v, lock, (void *)memory)), 0);
    mp_assert_ok(mp_connection_recv(b, &o));
    assert_ptr_equal(mp_as_handle(mp_list_get(o, 0), MP_HANDLE_VALUE), v);
    assert_ptr_equal(mp_as_handle(mp_list_get(o, 1), MP_HANDLE_LOCK), lock);
    assert_ptr_equal(mp_as_handle(mp_list_get(o, 2), MP_HANDLE_POINTER), memory);
    mp_obj_free(o);
    /* One that died on the way is noticed by the receiver, which goes on. */
    mp_assert_ok(mp_connection_send(a, v));
    mp_assert_ok(mp_connection_send(a, 1));
    mp_value_free(v);
    assert_true(mp_connection_recv(b, &o) < 0);
    assert_true(mp_is_none(o));
    mp_assert_ok(mp_connection_recv(b, &o));
    assert_int_equal(mp_as_int(o), 1);
    mp_lock_free(lock);
    mp_free(memory);
    mp_connection_free(a);
    mp_connection_free(b);
}

static void
test_connection_refuses_what_cannot_travel(void **state)
{
    (void)state;
    mp_connection *a, *b;
    mp_assert_ok(mp_pipe(&a, &b, true));
    mp_assert_code(mp_connection_send(a, mp_list(1, b)), MP_ERUNTIME);
    mp_assert_code(mp_connection_send(a, mp_from_uint(UINT64_MAX)), MP_EOVERFLOW);
    assert_int_equal(mp_connection_poll(b, 0), 0); /* nothing of them was sent */
    mp_connection_free(a);
    mp_connection_free(b);
}

/* ---- between processes ----------------------------------------------------------------------- */

static void
start_and_keep(mp_process **ret, mp_target target, mp_args *args)
{
    *ret = mp_process_new(target, args, NULL);
    assert_non_null(*ret);
    mp_assert_ok(mp_process_start(*ret));
}

static void
assert_ends_well(mp_process *p)
{
    int code = -1;
    mp_assert_ok(mp_process_join(p, MP_FOREVER));
    mp_assert_ok(mp_process_exitcode(p, &code));
    assert_int_equal(code, 0);
    mp_assert_ok(mp_process_free(p));
}

/* Gives back what comes until the other side closes. */
static int
echo(const mp_args *args)
{
    mp_connection *theirs, *mine;
    mp_obj o;
    int rc;
    mp_args_get(args, &theirs, &mine);
    mp_child_ok(mp_connection_close(theirs)); /* else the end of file never comes */
    while ((rc = mp_connection_recv(mine, &o)) == 0) {
        mp_child_ok(mp_connection_send(mine, o));
    }
    mp_child_check(rc == MP_EEOF);
    return 0;
}

static void
test_connection_given_to_a_child_echoes_until_the_end(void **state)
{
    (void)state;
    mp_connection *a, *b;
    mp_process *p;
    mp_assert_ok(mp_pipe(&a, &b, true));
    start_and_keep(&p, echo, mp_args(a, b));
    mp_connection_free(b);
    for (int i = 0; i < 100; i++) {
        mp_obj sent = mp_tuple(i, "text", mp_dict("k", mp_list(i, 0.5))), got;
        mp_assert_ok(mp_connection_send(a, mp_obj_ref(sent)));
        mp_assert_ok(mp_connection_recv(a, &got));
        assert_true(mp_obj_equal(sent, got));
        mp_obj_free(sent);
        mp_obj_free(got);
    }
    mp_connection_free(a);
    assert_ends_well(p);
}

static int
send_one_and_end(const mp_args *args)
{
    mp_connection *w;
    mp_args_get(args, &w);
    mp_child_check(mp_connection_writable(w) && !mp_connection_readable(w));
    mp_child_ok(mp_connection_send(w, "the last words"));
    return 0;
}

static void
test_connection_of_a_child_that_ended_is_at_its_end(void **state)
{
    (void)state;
    mp_connection *r, *w;
    mp_process *p;
    mp_obj o;
    mp_assert_ok(mp_pipe(&r, &w, false));
    start_and_keep(&p, send_one_and_end, mp_args(w));
    mp_connection_free(w);
    mp_assert_ok(mp_connection_recv(r, &o));
    assert_string_equal(mp_as_str(o), "the last words");
    mp_obj_free(o);
    mp_assert_code(mp_connection_recv(r, &o), MP_EEOF);
    assert_ends_well(p);
    mp_connection_free(r);
}

static int
receive_polled(const mp_args *args)
{
    mp_connection *r;
    mp_obj o;
    mp_args_get(args, &r);
    mp_child_check(mp_connection_readable(r) && !mp_connection_writable(r));
    mp_child_check(mp_connection_poll(r, 0) == 1);
    mp_child_ok(mp_connection_recv(r, &o));
    mp_child_check(mp_as_int(mp_list_get(o, 1)) == 2);
    mp_obj_free(o);
    return 0;
}

/* Python: poll consumes nothing (test_boundaries). */
static void
test_connection_polled_here_is_whole_for_another_process(void **state)
{
    (void)state;
    mp_connection *r, *w;
    mp_process *p;
    mp_assert_ok(mp_pipe(&r, &w, false));
    mp_assert_ok(mp_connection_send(w, mp_list(1, 2, 3)));
    mp_assert_ok(mp_connection_send(w, "second"));
    assert_int_equal(mp_connection_poll(r, MP_FOREVER), 1);
    start_and_keep(&p, receive_polled, mp_args(r));
    assert_ends_well(p);
    mp_obj o;
    mp_assert_ok(mp_connection_recv(r, &o));
    assert_string_equal(mp_as_str(o), "second");
    mp_obj_free(o);
    assert_int_equal(mp_connection_poll(r, 0), 0);
    mp_connection_free(r);
    mp_connection_free(w);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_pipe_duplex_carries_both_ways),
    cmocka_unit_test(test_pipe_simplex_has_a_direction),
    cmocka_unit_test(test_connection_sizes_around_every_limit_arrive_whole),
    cmocka_unit_test(test_connection_big_object_arrives_whole),
    cmocka_unit_test(test_connection_empty_message_is_a_message),
    cmocka_unit_test(test_connection_merged_in_the_kernel_stays_apart),
    cmocka_unit_test(test_connection_buffer_too_short_stays_in_sync),
    cmocka_unit_test(test_connection_too_long_for_max_len_cannot_receive_again),
    cmocka_unit_test(test_connection_echoes_between_threads),
    cmocka_unit_test(test_connection_poll_waits_as_long_as_told),
    cmocka_unit_test(test_connection_new_checks_its_arguments),
    cmocka_unit_test(test_connection_closed_refuses_everything),
    cmocka_unit_test(test_connection_dead_handle_is_an_error),
    cmocka_unit_test(test_connection_carries_handles_of_shared_objects),
    cmocka_unit_test(test_connection_refuses_what_cannot_travel),
    cmocka_unit_test(test_connection_given_to_a_child_echoes_until_the_end),
    cmocka_unit_test(test_connection_of_a_child_that_ended_is_at_its_end),
    cmocka_unit_test(test_connection_polled_here_is_whole_for_another_process),
};

MP_TEST_MAIN(tests)
