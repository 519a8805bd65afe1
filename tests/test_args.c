/*
 * test_args.c: what a process is started with arrives in it: every kind of value and of shared
 * object, connections, big and many arguments; and every kind of function as its target.
 */
#include "mp_test.h"

#include <float.h>
#include <math.h>
#include <signal.h>

#include "helpers/process.h"
#include "helpers/targets.h"

/* ---- plain values -----------------------------------------------------------------------------*/

static int
check_numbers(const mp_args *args)
{
    int i;
    long long smallest;
    uint64_t largest;
    double d, inf, nan;
    bool yes, no;
    char c;
    unsigned char byte;
    mp_args_get(args, &i, &smallest, &largest, &d, &inf, &nan, &yes, &no, &c, &byte);
    mp_child_check(i == -7 && smallest == INT64_MIN && largest == INT64_MAX);
    mp_child_check(d == 0.1 && isinf(inf) && inf < 0 && isnan(nan));
    mp_child_check(yes && !no && c == 'x' && byte == 255);
    return 0;
}

static void
test_args_numbers_arrive(void **state)
{
    (void)state;
    mp_args *args = mp_args((int)-7, (long long)INT64_MIN, (uint64_t)INT64_MAX, 0.1, -INFINITY, NAN,
                            mp_bool(true), mp_bool(false), (char)'x', (unsigned char)255);
    assert_int_equal(finish(start(check_numbers, args)), 0);
}

static int
check_texts(const mp_args *args)
{
    const char *plain, *empty, *none;
    mp_obj bytes, nul, nothing;
    mp_args_get(args, &plain, &empty, &none, &bytes, &nul, &nothing);
    mp_child_check(strcmp(plain, "gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\x8d") == 0);
    mp_child_check(strcmp(empty, "") == 0 && none == NULL);
    size_t len;
    const void *data = mp_as_bytes(bytes, &len);
    mp_child_check(mp_obj_kind(bytes) == MP_KIND_BYTES && len == 4);
    mp_child_check(memcmp(data, "\0\xff\x80\n", 4) == 0);
    mp_child_check(mp_obj_kind(nul) == MP_KIND_STR && mp_obj_len(nul) == 3);
    mp_child_check(memcmp(mp_as_str(nul), "a\0b", 4) == 0);
    mp_child_check(mp_is_none(nothing));
    mp_obj_free(bytes);
    mp_obj_free(nul);
    return 0;
}

static void
test_args_texts_and_bytes_arrive(void **state)
{
    (void)state;
    mp_args *args = mp_args("gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\x8d", "", (const char *)NULL,
                            mp_bytes("\0\xff\x80\n", 4), mp_from_strn("a\0b", 3), mp_none());
    assert_int_equal(finish(start(check_texts, args)), 0);
}

#define NESTED                                                                                     \
    "[1, [2.5, None, ('x', b'y')], {'a': [True, {}], 3: {4}}, (), [], "                            \
    "ValueError('it is wrong')]"

static mp_obj
nested(void)
{
    return mp_list(1, mp_list(2.5, mp_none(), mp_tuple("x", mp_bytes("y", 1))),
                   mp_dict("a", mp_list(mp_bool(true), mp_dict()), 3, mp_set_of(4)), mp_tuple(),
                   mp_list(), mp_error_new(MP_EVALUE, NULL, "it is wrong"));
}

static int
check_nested(const mp_args *args)
{
    mp_obj o;
    void *note;
    mp_args_get(args, &o, &note);
    struct note *n = note;
    char *text = mp_obj_repr(o);
    mp_child_check(text != NULL);
    snprintf(n->text[0], sizeof n->text[0], "%s", text);
    free(text);
    mp_obj_free(o);
    return 0;
}

static void
test_args_nested_containers_arrive(void **state)
{
    (void)state;
    struct note *n = note_new();
    assert_int_equal(finish(start(check_nested, mp_args(nested(), (void *)n))), 0);
    assert_string_equal(n->text[0], NESTED);
    mp_free(n);
}

static int
count_args(const mp_args *args)
{
    for (size_t i = 0; i < mp_args_len(args); i++) {
        mp_child_check(mp_as_int(mp_args_item(args, i)) == (int64_t)i);
    }
    mp_child_check(mp_is_none(mp_args_item(args, mp_args_len(args))));
    return (int)(mp_args_len(args) % 251);
}

static void
test_args_none_and_many_arrive(void **state)
{
    (void)state;
    assert_int_equal(finish(start(count_args, NULL)), 0);
    assert_int_equal(finish(start(count_args, mp_args())), 0);
    enum { MANY = 10000 };
    mp_obj *items = calloc(MANY, sizeof *items);
    assert_non_null(items);
    for (int i = 0; i < MANY; i++) {
        items[i] = mp_from(i);
    }
    assert_int_equal(finish(start(count_args, mp_args_of(MANY, items))), MANY % 251);
    free(items);
}

#define BIG ((size_t)64 << 20)

static int
check_big(const mp_args *args)
{
    size_t len;
    mp_obj o;
    mp_args_get(args, &o);
    const unsigned char *data = mp_as_bytes(o, &len);
    mp_child_check(len == BIG);
    for (size_t i = 0; i < len; i += 4093) {
        mp_child_check(data[i] == (unsigned char)(i * 31 >> 8));
    }
    mp_obj_free(o);
    return 0;
}

static void
test_args_64_mib_arrive(void **state)
{
    (void)state;
    unsigned char *data = malloc(BIG);
    assert_non_null(data);
    for (size_t i = 0; i < BIG; i++) {
        data[i] = (unsigned char)(i * 31 >> 8);
    }
    mp_args *args = mp_args(mp_bytes(data, BIG));
    free(data);
    assert_non_null(args);
    assert_int_equal(finish(start(check_big, args)), 0);
}

/* ---- shared objects ---------------------------------------------------------------------------*/

static int
use_all(const mp_args *args)
{
    mp_queue *q;
    mp_lock *l;
    mp_rlock *r;
    mp_value *v;
    mp_array *a;
    void *note, *null;
    mp_queue *no_queue;
    mp_args_get(args, &q, &l, &r, &v, &a, &note, &null, &no_queue);
    struct note *n = note;
    mp_child_check(null == NULL && no_queue == NULL);
    mp_child_code(mp_lock_acquire(l, 0), MP_ETIMEOUT); /* the parent has it */
    mp_child_ok(mp_rlock_acquire(r, MP_FOREVER));
    mp_child_ok(mp_rlock_release(r));
    mp_child_ok(mp_value_set(v, 12));
    mp_child_ok(mp_array_set(a, -1, 2.5));
    mp_child_ok(mp_queue_put(q, "from the child", MP_FOREVER));
    mp_child_check(strcmp(n->text[0], "from the parent") == 0);
    strcpy(n->text[0], "from the child");
    return 0;
}

static void
test_args_shared_objects_are_the_same_ones(void **state)
{
    (void)state;
    mp_queue *q = mp_queue_new(0);
    mp_lock *l = mp_lock_new();
    mp_rlock *r = mp_rlock_new();
    mp_value *v = mp_value_new(MP_TYPE_INT, 3);
    mp_array *a = mp_array_new(MP_TYPE_DOUBLE, 5, NULL);
    struct note *n = note_new();
    strcpy(n->text[0], "from the parent");
    mp_assert_ok(mp_lock_acquire(l, 0));
    mp_args *args = mp_args(q, l, r, v, a, (void *)n, (void *)NULL, (mp_queue *)NULL);
    assert_int_equal(finish(start(use_all, args)), 0);
    mp_obj o;
    mp_assert_ok(mp_value_get(v, &o));
    assert_int_equal(mp_as_int(o), 12);
    mp_assert_ok(mp_array_get(a, 4, &o));
    assert_true(mp_as_double(o) == 2.5);
    mp_assert_ok(mp_queue_get(q, &o, 0));
    assert_string_equal(mp_as_str(o), "from the child");
    mp_obj_free(o);
    assert_string_equal(n->text[0], "from the child");
    mp_assert_ok(mp_lock_release(l));
    mp_queue_free(q);
    mp_lock_free(l);
    mp_rlock_free(r);
    mp_value_free(v);
    mp_array_free(a);
    mp_free(n);
}

static int
use_the_others(const mp_args *args)
{
    mp_semaphore *s;
    mp_condition *c;
    mp_event *e;
    mp_barrier *b;
    mp_obj nested;
    mp_args_get(args, &s, &c, &e, &b, &nested);
    mp_child_code(mp_semaphore_acquire(s, 0), MP_ETIMEOUT);
    mp_child_ok(mp_condition_acquire(c, MP_FOREVER));
    mp_child_ok(mp_condition_release(c));
    mp_child_ok(mp_event_set(e));
    mp_child_check(mp_barrier_parties(b) == 3);
    mp_child_check(mp_as_handle(mp_list_get(nested, 1), MP_HANDLE_EVENT) == e);
    mp_child_check(
        mp_as_handle(mp_dict_get(mp_list_get(nested, 0), mp_from("b")), MP_HANDLE_BARRIER) == b);
    mp_obj_free(nested);
    return 0;
}

static void
test_args_every_synchronizer_is_the_same_one_nested_too(void **state)
{
    (void)state;
    mp_semaphore *s = mp_semaphore_new(0);
    mp_condition *c = mp_condition_new(NULL);
    mp_event *e = mp_event_new();
    mp_barrier *b = mp_barrier_new(3, NULL);
    mp_args *args = mp_args(s, c, e, b, mp_list(mp_dict("b", b), e));
    assert_int_equal(finish(start(use_the_others, args)), 0);
    assert_int_equal(mp_event_is_set(e), 1);
    mp_semaphore_free(s);
    mp_condition_free(c);
    mp_event_free(e);
    mp_barrier_free(b);
}

/* ---- C data by their bytes --------------------------------------------------------------------*/

struct point {
    double x, y;
    char name[8];
    struct note *note;
};

static int
check_point(const mp_args *args)
{
    struct point p;
    int squares[5], after;
    mp_args_get(args, mp_struct(&p), mp_struct(&squares), &after);
    mp_child_check(p.x == 1.5 && p.y == -0.25 && strcmp(p.name, "here") == 0);
    mp_child_check(squares[4] == 16 && after == 7);
    atomic_store(&p.note->number[0], 42);
    return 0;
}

static void
test_args_structs_arrive_by_their_bytes(void **state)
{
    (void)state;
    struct note *n = note_new();
    const struct point p = {1.5, -0.25, "here", n};
    const int squares[5] = {0, 1, 4, 9, 16};
    assert_int_equal(finish(start(check_point, mp_args(mp_struct(&p), mp_struct(&squares), 7))), 0);
    assert_int_equal(n->number[0], 42);
    mp_free(n);
}

/* ---- what does not fit ------------------------------------------------------------------------*/

static int
wants_a_point(const mp_args *args)
{
    struct point p;
    mp_args_get(args, mp_struct(&p));
    return 0;
}

static int
wants_a_fd(const mp_args *args)
{
    mp_fd d;
    mp_args_get(args, &d);
    return 0;
}

static int
wants_an_event(const mp_args *args)
{
    mp_event *e;
    mp_args_get(args, &e);
    return 0;
}

static int
wants_a_byte(const mp_args *args)
{
    unsigned char byte;
    mp_args_get(args, &byte);
    return 0;
}

static void
test_args_mismatch_is_a_line_with_both_types(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "TypeError: argument 1 is bytes of length 4, expected a struct of 32",
        "TypeError: argument 1 is str, expected bytes (struct)",
        "TypeError: argument 1 is int, expected DupFd (mp_fd)",
        "TypeError: argument 1 is Lock, expected Event (mp_event *)",
        "TypeError: the target takes 1 argument but 2 were given",
        "OverflowError: argument 1 is int 256, which does not fit unsigned char",
    };
    enum { CASES = sizeof lines / sizeof *lines };
    static const mp_target targets[CASES] = {wants_a_point,  wants_a_point, wants_a_fd,
                                             wants_an_event, wants_a_byte,  wants_a_byte};
    mp_lock *l = mp_lock_new();
    int small = 1;
    mp_args *args[CASES] = {mp_args(mp_struct(&small)),
                            mp_args("text"),
                            mp_args(3),
                            mp_args(l),
                            mp_args(1, 2),
                            mp_args(256)};
    for (int i = 0; i < CASES; i++) {
        struct capture c;
        char text[600], expected[300];
        capture_begin(&c, 2);
        mp_process *p = mp_process_new(targets[i], args[i], &(mp_process_options){.name = "odd"});
        int status = p ? mp_process_start(p) : mp_last_error();
        int code = status == 0 ? finish(p) : -1;
        capture_end(&c, text, sizeof text);
        assert_int_equal(code, 1);
        snprintf(expected, sizeof expected, "Process odd:\n%s\n", lines[i]);
        assert_string_equal(text, expected);
    }
    mp_lock_free(l);
}

/* ---- descriptors ------------------------------------------------------------------------------*/

static int
use_descriptors(const mp_args *args)
{
    mp_fd in, none;
    mp_obj rest;
    mp_args_get(args, &in, &none, &rest);
    char byte = 0;
    mp_child_check(none.fd == -1);
    mp_child_check(read(in.fd, &byte, 1) == 1 && byte == 'x');
    mp_child_check(close(in.fd) == 0);
    int out = mp_dup_fd_detach(mp_dict_get(mp_list_get(rest, 0), mp_from("out")));
    int again = mp_dup_fd_detach(mp_list_get(rest, 1));
    mp_child_check(out > 2 && again > 2 && out != again); /* each is one of its own */
    mp_child_check(fcntl(out, F_GETFD) == FD_CLOEXEC);
    mp_child_check(write(out, "y", 1) == 1 && close(out) == 0);
    mp_child_check(write(again, "z", 1) == 1);
    mp_child_code(mp_dup_fd_detach(mp_none()), MP_ETYPE);
    mp_obj_free(rest);
    return 0;
}

static void
test_args_descriptors_are_the_childs_own(void **state)
{
    (void)state;
    int in[2], out[2];
    char two[2];
    assert_int_equal(pipe(in) | pipe(out), 0);
    mp_obj shared = mp_dict("out", mp_dup_fd(out[1]));
    mp_args *args = mp_args((mp_fd){in[0]}, mp_none(), mp_list(shared, mp_dup_fd(out[1])));
    assert_int_equal(write(in[1], "x", 1), 1);
    mp_process *p = start(use_descriptors, args);
    close(in[0]); /* the child has its own */
    close(out[1]);
    assert_int_equal(finish(p), 0);
    assert_int_equal(read(out[0], two, 2), 2);
    assert_memory_equal(two, "yz", 2);
    assert_int_equal(read(out[0], two, 2), 0); /* nobody has it any more */
    close(in[1]);
    close(out[0]);
}

static int
hand_on(const mp_args *args)
{
    mp_fd d;
    mp_args_get(args, &d);
    mp_child_check(run_in_child(use_descriptors,
                                mp_args(d, mp_none(),
                                        mp_list(mp_dict("out", mp_dup_fd(d.fd)), mp_dup_fd(d.fd))),
                                NULL) == 0);
    mp_child_check(fcntl(d.fd, F_GETFD) >= 0);
    return 0;
}

static void
test_args_descriptors_can_be_handed_on(void **state)
{
    (void)state;
    char path[4300];
    snprintf(path, sizeof path, "%s/file", mp_test_dir());
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "x", 1), 1);
    lseek(fd, 0, SEEK_SET);
    assert_int_equal(finish(start(hand_on, mp_args((mp_fd){fd}))), 0);
    char text[4] = "";
    assert_int_equal(pread(fd, text, 4, 0), 3);
    assert_memory_equal(text, "xyz", 3);
    close(fd);
}

static void
test_args_closed_descriptor_fails_the_start(void **state)
{
    (void)state;
    int fd = fcntl(0, F_DUPFD_CLOEXEC, 50);
    assert_true(fd >= 50);
    mp_process *p = mp_process_new(wants_a_fd, mp_args((mp_fd){fd}), NULL);
    assert_non_null(p);
    close(fd);
    mp_assert_code(mp_process_start(p), -EBADF);
    char number[32];
    snprintf(number, sizeof number, "descriptor %d", fd);
    assert_non_null(strstr(mp_last_error_text(), number));
    assert_int_equal(mp_process_pid(p), 0);
    size_t running;
    free(mp_active_children(&running));
    assert_int_equal(running, 0);
    assert_int_equal(fcntl(0, F_DUPFD_CLOEXEC, fd), fd);
    mp_assert_ok(mp_process_start(p)); /* as it was: not started */
    close(fd);
    assert_int_equal(finish(p), 0);
    assert_int_equal(mp_obj_kind(mp_dup_fd(-1)), MP_KIND_FAILED);
}

static void
test_descriptors_travel_only_as_arguments(void **state)
{
    (void)state;
    mp_queue *q = mp_queue_new(0);
    mp_assert_code(mp_queue_put(q, mp_dup_fd(0), 0), MP_ERUNTIME);
    assert_non_null(strstr(mp_last_error_text(), "argument of a new process"));
    void *data;
    size_t len;
    mp_assert_code(mp_obj_dump(mp_dup_fd(0), &data, &len), MP_ERUNTIME);
    mp_queue_free(q);
}

/* ---- connections ------------------------------------------------------------------------------*/

static int
echo_once(const mp_args *args)
{
    mp_connection *in, *out;
    mp_obj o;
    mp_args_get(args, &in, &out);
    mp_child_check(mp_connection_readable(in) && !mp_connection_writable(in));
    mp_child_check(!mp_connection_readable(out) && mp_connection_writable(out));
    mp_child_ok(mp_connection_recv(in, &o));
    mp_child_ok(mp_connection_send(out, mp_list(o, "too")));
    return 0;
}

static void
test_args_connections_keep_their_directions(void **state)
{
    (void)state;
    mp_connection *in_r, *in_w, *out_r, *out_w;
    mp_assert_ok(mp_pipe(&in_r, &in_w, false));
    mp_assert_ok(mp_pipe(&out_r, &out_w, false));
    mp_process *p = start(echo_once, mp_args(in_r, out_w));
    mp_assert_ok(mp_connection_free(in_r)); /* the child has its own */
    mp_assert_ok(mp_connection_free(out_w));
    mp_assert_ok(mp_connection_send(in_w, 42));
    mp_obj o;
    mp_assert_ok(mp_connection_recv(out_r, &o));
    char *text = mp_obj_repr(o);
    assert_string_equal(text, "[42, 'too']");
    free(text);
    mp_obj_free(o);
    assert_int_equal(finish(p), 0);
    mp_assert_code(mp_connection_recv(out_r, &o), MP_EEOF); /* it took its end along */
    mp_assert_ok(mp_connection_free(in_w));
    mp_assert_ok(mp_connection_free(out_r));
}

static int
send_from_many(const mp_args *args)
{
    for (size_t i = 0; i < mp_args_len(args); i++) {
        mp_connection *c = mp_as_handle(mp_args_item(args, i), MP_HANDLE_CONNECTION);
        mp_child_check(c != NULL);
        mp_child_ok(mp_connection_send(c, (int)i));
    }
    return 0;
}

static void
test_args_100_connections_arrive_in_order(void **state)
{
    (void)state;
    enum { MANY = 100 };
    mp_connection *mine[MANY], *theirs[MANY];
    mp_obj items[MANY];
    for (int i = 0; i < MANY; i++) {
        mp_assert_ok(mp_pipe(&mine[i], &theirs[i], true));
        items[i] = mp_from(theirs[i]);
    }
    mp_process *p = start(send_from_many, mp_args_of(MANY, items));
    for (int i = 0; i < MANY; i++) {
        mp_obj o;
        mp_assert_ok(mp_connection_recv(mine[i], &o));
        assert_int_equal(mp_as_int(o), i);
    }
    assert_int_equal(finish(p), 0);
    for (int i = 0; i < MANY; i++) {
        mp_connection_free(mine[i]);
        mp_connection_free(theirs[i]);
    }
}

static void
test_args_too_many_or_closed_connections_fail_in_the_parent(void **state)
{
    (void)state;
    if (method_is("fork")) {
        skip(); /* nothing is sent */
    }
    enum { TOO_MANY = 251 };
    mp_connection *a, *b;
    mp_obj items[TOO_MANY];
    mp_assert_ok(mp_pipe(&a, &b, true));
    for (int i = 0; i < TOO_MANY; i++) {
        items[i] = mp_from(a);
    }
    mp_process *p = mp_process_new(send_from_many, mp_args_of(TOO_MANY, items), NULL);
    mp_assert_code(mp_process_start(p), MP_EVALUE);
    mp_assert_code(mp_process_start(p), MP_EVALUE); /* as it was: not started */
    mp_assert_ok(mp_process_free(p));
    p = mp_process_new(send_from_many, mp_args(b), NULL);
    mp_assert_ok(mp_connection_close(b));
    mp_assert_code(mp_process_start(p), MP_ECLOSED);
    mp_assert_ok(mp_process_free(p));
    mp_connection_free(a);
    mp_connection_free(b);
}

/* ---- functions --------------------------------------------------------------------------------*/

static void
test_target_of_another_shared_object_runs(void **state)
{
    (void)state;
#ifdef MP_PLATFORM_POSIX
    if (!method_is("fork")) {
        skip(); /* POSIX cannot list what is loaded */
    }
#endif
    assert_int_equal(finish(start(mp_test_target_elsewhere, NULL)), 42);
}

static int
run_a_child_of_my_own(const mp_args *args)
{
    mp_obj o;
    void *note;
    mp_args_get(args, &o, &note);
    return run_in_child(check_nested, mp_args(o, note), NULL); /* handed on */
}

static void
test_args_can_be_handed_on_to_grandchildren(void **state)
{
    (void)state;
    struct note *n = note_new();
    assert_int_equal(finish(start(run_a_child_of_my_own, mp_args(nested(), (void *)n))), 0);
    assert_string_equal(n->text[0], NESTED);
    mp_free(n);
}

static void
test_target_that_is_no_function_is_refused(void **state)
{
    (void)state;
#ifdef MP_PLATFORM_POSIX
    skip(); /* POSIX cannot tell */
#endif
    if (method_is("fork")) {
        skip(); /* the address is the function */
    }
    union {
        void *data;
        mp_target target;
    } odd = {mp_malloc(64)};
    mp_process *p = mp_process_new(odd.target, NULL, NULL);
    mp_assert_code(mp_process_start(p), MP_ENOTSUP);
    assert_int_equal(mp_process_is_alive(p), 0);
    mp_assert_ok(mp_process_free(p));
    mp_free(odd.data);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_args_numbers_arrive),
    cmocka_unit_test(test_args_texts_and_bytes_arrive),
    cmocka_unit_test(test_args_nested_containers_arrive),
    cmocka_unit_test(test_args_none_and_many_arrive),
    cmocka_unit_test(test_args_64_mib_arrive),
    cmocka_unit_test(test_args_shared_objects_are_the_same_ones),
    cmocka_unit_test(test_args_every_synchronizer_is_the_same_one_nested_too),
    cmocka_unit_test(test_args_structs_arrive_by_their_bytes),
    cmocka_unit_test(test_args_mismatch_is_a_line_with_both_types),
    cmocka_unit_test(test_args_descriptors_are_the_childs_own),
    cmocka_unit_test(test_args_descriptors_can_be_handed_on),
    cmocka_unit_test(test_args_closed_descriptor_fails_the_start),
    cmocka_unit_test(test_descriptors_travel_only_as_arguments),
    cmocka_unit_test(test_args_connections_keep_their_directions),
    cmocka_unit_test(test_args_100_connections_arrive_in_order),
    cmocka_unit_test(test_args_too_many_or_closed_connections_fail_in_the_parent),
    cmocka_unit_test(test_target_of_another_shared_object_runs),
    cmocka_unit_test(test_args_can_be_handed_on_to_grandchildren),
    cmocka_unit_test(test_target_that_is_no_function_is_refused),
};

MP_TEST_MAIN(tests)
