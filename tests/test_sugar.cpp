// test_sugar.cpp: the C++17 face (mp/sugar.hpp): overloads in place of C's macros.
#include <climits>
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <type_traits>
#include <utility>

extern "C" {
#include <cmocka.h>
}

#include <mp/mp.h>

namespace {

// The value is consumed.
void
check_repr(mp_obj o, const char *expected)
{
    char *text = mp_obj_repr(o);
    assert_non_null(text);
    assert_string_equal(text, expected);
    std::free(text);
    mp_obj_free(o);
}

template <class T, class = void> struct can_be_value : std::false_type {
};
template <class T>
struct can_be_value<T, std::void_t<decltype(mp_from(std::declval<T>()))>> : std::true_type {
};

static_assert(can_be_value<int>::value && can_be_value<const char *>::value, "plain values");
static_assert(can_be_value<void *>::value && can_be_value<mp_queue *>::value, "handles");
static_assert(!can_be_value<int *>::value, "other pointers are no values, as in C");
static_assert(!can_be_value<const void *>::value, "nor memory that may not be written to");
static_assert(!can_be_value<mp_pool *>::value, "nor objects that do not travel");

void
test_from_takes_every_type(void **)
{
    char text[] = "array";
    const std::string string = "std\0string";
    check_repr(mp_from(true), "True");
    check_repr(mp_list(1, 2L, 3LL, short{4}, 5U, 6UL, 7ULL, static_cast<signed char>(-8)),
               "[1, 2, 3, 4, 5, 6, 7, -8]");
    check_repr(mp_list(1.5F, 2.5, 3.5L, 'a'), "[1.5, 2.5, 3.5, 97]");
    check_repr(mp_list("literal", text, string, std::string_view("view")),
               "['literal', 'array', 'std', 'view']");
    check_repr(mp_list(std::string("a\0b", 3)), "['a\\x00b']");
    check_repr(mp_list(nullptr, mp_none(), static_cast<mp_queue *>(nullptr)), "[None, None, None]");
    mp_obj big = mp_from(UINT64_MAX);
    assert_int_equal(mp_obj_kind(big), MP_KIND_FAILED);
}

void
test_containers_take_any_number_of_any_type(void **)
{
    check_repr(mp_list(), "[]");
    check_repr(mp_tuple(), "()");
    check_repr(mp_set_of(), "set()");
    check_repr(mp_dict(), "{}");
    check_repr(mp_list(42, mp_none(), "hello"), "[42, None, 'hello']");
    check_repr(mp_tuple(mp_list(mp_tuple(1)), mp_set_of(2)), "([(1,)], {2})");
    check_repr(mp_dict("a", 1, 2, mp_dict("b", 3.0)), "{'a': 1, 2: {'b': 3.0}}");
    mp_obj many = mp_list(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4,
                          5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    assert_int_equal(mp_obj_len(many), 40); // C's macro ends at 32
    mp_obj_free(many);
}

void
test_args_go_into_variables(void **)
{
    int place = 0;
    void *pointer = &place, *pointer2 = nullptr;
    mp_args *args = mp_args(true, -5, 6U, 1.5, "text", pointer, mp_list(1), SCHAR_MIN);
    bool b = false;
    int i = 0;
    unsigned u = 0;
    double d = 0;
    const char *text = nullptr;
    signed char c = 0;
    mp_obj o;
    assert_int_equal(mp_args_get(args, &b, &i, &u, &d, &text, &pointer2, &o, &c), 0);
    assert_true(b && i == -5 && u == 6 && d > 1.4 && d < 1.6 && pointer2 == pointer);
    assert_int_equal(c, SCHAR_MIN);
    assert_string_equal(text, "text");
    check_repr(o, "[1]");
    assert_int_equal(mp_args_get(args, &b), MP_ETYPE);
    mp_args_free(args);
    args = mp_args();
    assert_int_equal(mp_args_get(args), 0);
    mp_args_free(args);
}

struct point {
    double x, y;
};
MP_QUEUE_OF(points, point);

void
test_queue_of_structs(void **)
{
    points *q = points_new(10);
    assert_non_null(q);
    const point in{1.5, -2};
    point out{};
    assert_int_equal(points_put(q, &in, MP_FOREVER), 0);
    assert_int_equal(points_get(q, &out, MP_FOREVER), 0);
    assert_true(out.x == in.x && out.y == in.y);
    assert_int_equal(mp_queue_put(points_queue(q), 42, 0), MP_ETYPE);
    assert_int_equal(points_free(q), 0);
}

void
test_queue_kinds_take_any_value(void **)
{
    mp_queue *simple = mp_simple_queue_new(), *joinable = mp_joinable_queue_new(0);
    assert_int_equal(mp_simple_queue_put(simple, std::string("string")), 0);
    assert_int_equal(mp_joinable_queue_put(joinable, 1.5, 0), 0);
    assert_int_equal(mp_joinable_queue_task_done(joinable), 0);
    assert_int_equal(mp_joinable_queue_join(joinable, 0), 0);
    mp_queue_free(simple);
    mp_queue_free(joinable);
}

void
test_queue_put_takes_any_value(void **)
{
    mp_queue *q = mp_queue_new(0);
    assert_non_null(q);
    assert_int_equal(mp_queue_put(q, 42, MP_FOREVER), 0);
    assert_int_equal(mp_queue_put(q, "text", 1), 0);
    assert_int_equal(mp_queue_put_nowait(q, std::string("string")), 0);
    assert_int_equal(mp_queue_put_nowait(q, mp_list(1, q)), 0);
    static const char *const expected[] = {"42", "'text'", "'string'"};
    mp_obj o;
    for (const char *repr : expected) {
        assert_int_equal(mp_queue_get(q, &o, MP_FOREVER), 0);
        check_repr(o, repr);
    }
    assert_int_equal(mp_queue_get(q, &o, MP_FOREVER), 0);
    assert_ptr_equal(mp_as_handle(mp_list_get(o, 1), MP_HANDLE_QUEUE), q);
    mp_obj_free(o);
    mp_queue_free(q);
}

void
test_connection_send_takes_any_value(void **)
{
    mp_connection *a, *b;
    mp_obj o;
    assert_int_equal(mp_pipe(&a, &b, true), 0);
    assert_int_equal(mp_connection_send(a, 1.5), 0);
    assert_int_equal(mp_connection_send(a, mp_tuple("x")), 0);
    assert_int_equal(mp_connection_recv(b, &o), 0);
    check_repr(o, "1.5");
    assert_int_equal(mp_connection_recv(b, &o), 0);
    check_repr(o, "('x',)");
    mp_connection_free(a);
    mp_connection_free(b);
}

void
test_values_and_arrays_take_any_value(void **)
{
    mp_value *v = mp_value_new('i', 7);
    mp_array *a = mp_array_new('d', 3, nullptr);
    assert_true(v && a);
    mp_obj o;
    assert_int_equal(mp_value_get(v, &o), 0);
    check_repr(o, "7");
    assert_int_equal(mp_value_set(v, 8L), 0);
    assert_int_equal(mp_value_set(v, mp_from(9)), 0);
    assert_int_equal(mp_value_get(v, &o), 0);
    check_repr(o, "9");
    assert_int_equal(mp_array_set(a, -1, 2.5), 0);
    assert_int_equal(mp_array_get(a, 2, &o), 0);
    check_repr(o, "2.5");
    mp_value_free(v);
    mp_array_free(a);
}

void
test_shared_data_of_a_type_are_copied(void **)
{
    struct stats {
        long hits;
        double sum;
    };
    const stats first = {1, 1.5};
    stats got = {0, 0};
    mp_rlock *lock = mp_rlock_new();
    mp_shared_options options = {};
    options.rlock = lock;
    mp_value *v = mp_value_new_with(MP_STRUCT(stats), mp_bytes(&first, sizeof first), &options);
    mp_value *n = mp_context_value(nullptr, 'i', 7, &options);
    mp_array *a = mp_array_new(MP_STRUCT(stats), 2, nullptr);
    int *raw = static_cast<int *>(mp_raw_value_new('i', 5));
    assert_true(lock && v && n && a && raw);
    assert_ptr_equal(mp_value_get_lock(v), lock);
    assert_int_equal(*raw, 5);
    MP_WITH(v) {
        static_cast<stats *>(mp_value_data(v))->hits++;
    }
    assert_int_equal(mp_value_read(v, &got), 0);
    assert_true(got.hits == 2 && got.sum > 1.4 && got.sum < 1.6);
    got.hits = 9;
    assert_int_equal(mp_value_write(v, &got), 0);
    assert_int_equal(static_cast<stats *>(mp_value_data(v))->hits, 9);
    MP_WITH(a) {
        assert_int_equal(mp_array_write(a, -1, &first), 0);
    }
    assert_int_equal(mp_array_read(a, 1, &got), 0);
    assert_int_equal(got.hits, 1);
    short small = 0;
    assert_int_equal(mp_value_read(n, &small), MP_EVALUE);
    mp_free(raw);
    mp_array_free(a);
    mp_value_free(n);
    mp_value_free(v);
    mp_rlock_free(lock);
}

} // namespace

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_from_takes_every_type),
        cmocka_unit_test(test_containers_take_any_number_of_any_type),
        cmocka_unit_test(test_args_go_into_variables),
        cmocka_unit_test(test_queue_put_takes_any_value),
        cmocka_unit_test(test_queue_of_structs),
        cmocka_unit_test(test_queue_kinds_take_any_value),
        cmocka_unit_test(test_connection_send_takes_any_value),
        cmocka_unit_test(test_values_and_arrays_take_any_value),
        cmocka_unit_test(test_shared_data_of_a_type_are_copied),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
