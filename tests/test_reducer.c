/*
 * What a program can replace of the encoding: types of its own, by name, wherever values travel; and
 * the reducer of a context.
 */
#include "helpers/process.h"
#include "helpers/reload.h"

/* ---- a type ---------------------------------------------------------------------------------- */

struct point {
    int x, y;
};

static atomic_int released;

static void
release(void *data)
{
    atomic_fetch_add(&released, 1);
    free(data);
}

static int
reduce(const void *data, mp_obj *ret)
{
    const struct point *p = data;
    *ret = mp_tuple(p->x, p->y);
    return 0;
}

static int
rebuild(mp_obj args, void **ret)
{
    if (mp_obj_len(args) != 2 || mp_obj_kind(mp_list_get(args, 0)) != MP_KIND_INT ||
        mp_obj_kind(mp_list_get(args, 1)) != MP_KIND_INT) {
        return MP_ETYPE;
    }
    struct point *p = malloc(sizeof *p);
    if (!p) {
        return MP_ENOMEM;
    }
    p->x = (int)mp_as_int(mp_list_get(args, 0));
    p->y = (int)mp_as_int(mp_list_get(args, 1));
    *ret = p;
    return 0;
}

/* Twice as large on arrival: which function ran can be told. */
static int
rebuild_doubled(mp_obj args, void **ret)
{
    int status = rebuild(args, ret);
    if (status == 0) {
        ((struct point *)*ret)->x *= 2;
    }
    return status;
}

static const char name[] = "geometry.plane.Point";
static const mp_type point_type = {name, reduce, rebuild, release};

static mp_obj
new_point(int x, int y)
{
    struct point *p = malloc(sizeof *p);
    *p = (struct point){x, y};
    return mp_from_typed(name, p);
}

static int
refuse(const void *data, mp_obj *ret)
{
    (void)data, (void)ret;
    return MP_EOVERFLOW;
}

static int
give_no_tuple(const void *data, mp_obj *ret)
{
    (void)data;
    *ret = mp_list(1);
    return 0;
}

/* Arguments that hold one new list twice, and nothing else does. */
static int
reduce_shared(const void *data, mp_obj *ret)
{
    mp_obj list = mp_list(*(const int *)data);
    *ret = mp_tuple(mp_obj_ref(list), mp_obj_ref(list));
    mp_obj_free(list);
    return 0;
}

static int
rebuild_shared(mp_obj args, void **ret)
{
    int *i = malloc(sizeof *i);
    mp_obj a = mp_list_get(args, 0), b = mp_list_get(args, 1);
    if (!i || mp_obj_len(a) != 1 || !mp_obj_equal(a, b)) {
        free(i);
        return MP_EVALUE;
    }
    *i = (int)mp_as_int(mp_list_get(a, 0));
    *ret = i;
    return 0;
}

/* A value that holds a handle: only for children. */
static int
reduce_queue(const void *data, mp_obj *ret)
{
    mp_queue *const *q = data;
    *ret = mp_tuple(*q, mp_bool(mp_is_spawning()));
    return 0;
}

static int
rebuild_queue(mp_obj args, void **ret)
{
    mp_queue **q = malloc(sizeof(mp_queue *));
    if (!q) {
        return MP_ENOMEM;
    }
    *q = mp_as_handle(mp_list_get(args, 0), MP_HANDLE_QUEUE);
    *ret = q;
    return mp_is_spawning() ? MP_ERUNTIME : 0; /* not here */
}

static void
register_types(void)
{
    mp_register_type(&point_type);
    mp_register_type(&(mp_type){"t.Refused", refuse, rebuild, NULL});
    mp_register_type(&(mp_type){"t.NoTuple", give_no_tuple, rebuild, NULL});
    mp_register_type(&(mp_type){"t.Shared", reduce_shared, rebuild_shared, free});
    mp_register_type(&(mp_type){"t.Queue", reduce_queue, rebuild_queue, free});
}

static void
test_type_value_is_known_by_its_name(void **state)
{
    (void)state;
    int before = released;
    mp_obj o = new_point(3, 4);
    assert_int_equal(mp_obj_kind(o), MP_KIND_TYPED);
    assert_string_equal(mp_obj_type_name(o), "Point");
    assert_true(mp_as_bool(o));
    struct point *p = mp_as_typed(o, name);
    assert_int_equal(p->y, 4);
    assert_null(mp_as_typed(o, "geometry.Point"));
    assert_int_equal(mp_last_error(), MP_ETYPE);
    assert_null(mp_as_typed(mp_from(1), name));
    assert_null(mp_as_typed(o, NULL));
    char *text = mp_obj_repr(o);
    assert_non_null(strstr(text, "<geometry.plane.Point object at 0x"));
    free(text);
    mp_obj other = new_point(3, 4), list = mp_list(mp_obj_ref(o), mp_obj_ref(o), 1);
    assert_true(mp_obj_equal(o, mp_list_get(list, 1)));
    assert_false(mp_obj_equal(o, other));
    mp_obj dict = mp_dict(mp_obj_ref(o), 1, mp_obj_ref(other), 2);
    assert_int_equal(mp_obj_len(dict), 2);
    assert_int_equal(mp_as_int(mp_dict_get(dict, other)), 2);
    mp_obj_free(dict);
    mp_obj_free(o);
    assert_int_equal(released, before);
    mp_obj_free(list);
    assert_int_equal(released, before + 1);
    mp_obj_free(other);
    assert_int_equal(released, before + 2);
    struct point mine;
    assert_int_equal(mp_obj_kind(mp_from_typed("t.Unknown", &mine)), MP_KIND_FAILED);
    assert_int_equal(mp_last_error(), MP_EVALUE);
}

static void
test_type_registration(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Point",        ".Point", "app.", "", "builtins.set", "builtins.ValueError",
        "libmp.handle", "a\xff.b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mp_assert_code(mp_register_type(&(mp_type){bad[i], reduce, rebuild, NULL}), MP_EVALUE);
    }
    mp_assert_code(mp_register_type(NULL), MP_EVALUE);
    mp_assert_code(mp_register_type(&(mp_type){NULL, reduce, rebuild, NULL}), MP_EVALUE);
    mp_assert_code(mp_register_type(&(mp_type){name, NULL, rebuild, NULL}), MP_EVALUE);
    mp_assert_code(mp_register_type(&(mp_type){name, reduce, NULL, NULL}), MP_EVALUE);
    mp_assert_ok(mp_register_type(&point_type));
}

static void
test_type_travels_in_pickles(void **state)
{
    (void)state;
    mp_obj o = new_point(-5, 70000);
    mp_obj back = reload(mp_list(mp_obj_ref(o), mp_dict("p", mp_obj_ref(o)), 1));
    mp_obj_free(o);
    mp_obj first = mp_list_get(back, 0);
    struct point *p = mp_as_typed(first, name);
    assert_non_null(p);
    assert_true(p->x == -5 && p->y == 70000);
    mp_obj key = mp_from("p");
    assert_ptr_equal(mp_as_typed(mp_dict_get(mp_list_get(back, 1), key), name), p); /* one still */
    mp_obj_free(key);
    mp_obj_free(back);
    /* What is made for a pickle only stays apart in it. */
    mp_obj many = mp_list_of(0, NULL);
    for (int i = 0; i < 50; i++) {
        int *n = malloc(sizeof *n);
        *n = i;
        mp_assert_ok(mp_list_append(many, mp_from_typed("t.Shared", n)));
    }
    many = reload(many);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(*(int *)mp_as_typed(mp_list_get(many, i), "t.Shared"), i);
    }
    mp_obj_free(many);
}

static void
test_type_errors_of_its_functions(void **state)
{
    (void)state;
    int n = 0;
    void *data;
    size_t len;
    mp_obj o = mp_list(mp_from_typed("t.Refused", &n)), back;
    mp_assert_code(mp_obj_dump(o, &data, &len), MP_EOVERFLOW);
    assert_non_null(strstr(mp_last_error_text(), "t.Refused"));
    mp_obj_free(o);
    o = mp_from_typed("t.NoTuple", &n);
    mp_assert_code(mp_obj_dump(o, &data, &len), MP_ETYPE);
    mp_obj_free(o);
    static const char text[] = "cgeometry.plane\nPoint\n(S'a'\nI1\ntR.";
    mp_assert_code(mp_obj_load(text, strlen(text), &back), MP_ETYPE);
    static const char unknown[] = "cgeometry.plane\nLine\n(I1\nI1\ntR.";
    mp_assert_code(mp_obj_load(unknown, strlen(unknown), &back), MP_EUNPICKLING);
    static const char no_call[] = "cgeometry.plane\nPoint\n.";
    mp_assert_code(mp_obj_load(no_call, strlen(no_call), &back), MP_EUNPICKLING);
    static const char state_for_it[] = "cgeometry.plane\nPoint\n(I1\nI1\ntR}b.";
    mp_assert_code(mp_obj_load(state_for_it, strlen(state_for_it), &back), MP_EUNPICKLING);
}

static void
test_type_registered_anew_counts_from_then_on(void **state)
{
    (void)state;
    static const char again[] = "t.Again", text[] = "ct\nAgain\n(I1\nI2\ntR.";
    mp_obj o;
    mp_assert_ok(mp_register_type(&(mp_type){again, reduce, rebuild, free}));
    mp_assert_ok(mp_obj_load(text, strlen(text), &o));
    mp_assert_ok(mp_register_type(&(mp_type){again, reduce, rebuild_doubled, free}));
    assert_int_equal(((struct point *)mp_as_typed(o, again))->x, 1);
    mp_obj_free(o);
    mp_assert_ok(mp_obj_load(text, strlen(text), &o));
    assert_int_equal(((struct point *)mp_as_typed(o, again))->x, 2);
    mp_obj_free(o);
}

static int
send_back(const mp_args *args)
{
    mp_queue *q;
    mp_obj o;
    mp_args_get(args, &q, &o);
    struct point *p = mp_as_typed(o, name);
    mp_child_check(p && p->x == 7);
    mp_obj_free(o);
    mp_child_ok(mp_queue_put(q, new_point(p->x + 1, 2), MP_FOREVER));
    return 0;
}

static void
test_type_travels_to_a_child_and_back(void **state)
{
    (void)state;
    mp_queue *q = mp_queue_new(0);
    mp_process *p = start(send_back, mp_args(q, new_point(7, 1)));
    mp_obj o;
    mp_assert_ok(mp_queue_get(q, &o, MP_FOREVER));
    assert_int_equal(((struct point *)mp_as_typed(o, name))->x, 8);
    mp_obj_free(o);
    assert_int_equal(finish(p), 0);
    mp_assert_ok(mp_queue_free(q));
}

static int
put_in_held_queue(const mp_args *args)
{
    mp_obj o;
    mp_args_get(args, &o);
    mp_queue *const *q = mp_as_typed(o, "t.Queue");
    mp_child_check(q && *q);
    mp_child_ok(mp_queue_put(*q, mp_from(5), MP_FOREVER));
    mp_obj_free(o);
    return 0;
}

static void
test_type_may_hold_handles_while_a_child_is_launched(void **state)
{
    (void)state;
    mp_queue *q = mp_queue_new(0), **held = malloc(sizeof(mp_queue *));
    *held = q;
    mp_obj o = mp_from_typed("t.Queue", held), got;
    void *data;
    size_t len;
    mp_assert_code(mp_obj_dump(o, &data, &len), MP_ERUNTIME);
    assert_false(mp_is_spawning());
    assert_int_equal(finish(start(put_in_held_queue, mp_args(o))), 0);
    mp_assert_ok(mp_queue_get(q, &got, MP_FOREVER));
    assert_int_equal(mp_as_int(got), 5);
    assert_false(mp_is_spawning());
    mp_assert_ok(mp_queue_free(q));
}

/* ---- reducers -------------------------------------------------------------------------------- */

static atomic_int dumps;
static bool was_spawning;

/* The library's pickle, turned about. */
static int
dump_reversed(mp_obj o, void **ret_data, size_t *ret_len)
{
    atomic_fetch_add(&dumps, 1);
    was_spawning = mp_is_spawning();
    int status = mp_obj_dump(o, ret_data, ret_len);
    char *s = *ret_data;
    for (size_t i = 0; status == 0 && i < *ret_len / 2; i++) {
        char c = s[i];
        s[i] = s[*ret_len - 1 - i];
        s[*ret_len - 1 - i] = c;
    }
    return status;
}

static int
load_reversed(const void *data, size_t len, mp_obj *ret)
{
    char *copy = malloc(len);
    for (size_t i = 0; copy && i < len; i++) {
        copy[i] = ((const char *)data)[len - 1 - i];
    }
    int status = copy ? mp_obj_load(copy, len, ret) : MP_ENOMEM;
    free(copy);
    return status;
}

static int
dump_nothing(mp_obj o, void **ret_data, size_t *ret_len)
{
    (void)o;
    *ret_data = NULL;
    *ret_len = 0;
    return 0;
}

static int
load_forty_two(const void *data, size_t len, mp_obj *ret)
{
    (void)data;
    *ret = mp_tuple(42, (int)len);
    return 0;
}

static int
dump_fails(mp_obj o, void **ret_data, size_t *ret_len)
{
    (void)o, (void)ret_data, (void)ret_len;
    return MP_EENCODING;
}

static int
load_fails(const void *data, size_t len, mp_obj *ret)
{
    (void)data, (void)len, (void)ret;
    return MP_EUNPICKLING;
}

static int
load_no_tuple(const void *data, size_t len, mp_obj *ret)
{
    (void)data, (void)len;
    *ret = mp_from(1);
    return 0;
}

static const mp_reducer reversed = {dump_reversed, load_reversed};

static int
use_all(const mp_args *args)
{
    int a;
    const char *text;
    mp_queue *q;
    mp_connection *c;
    mp_obj point;
    mp_args_get(args, &a, &text, &q, &c, &point);
    mp_child_check(a == 5 && strcmp(text, "five") == 0 && mp_as_typed(point, name));
    mp_child_check(mp_as_int(mp_process_userdata(mp_current_process())) == 77);
    mp_child_ok(mp_queue_put(q, mp_from(6), MP_FOREVER));
    mp_child_ok(mp_connection_send(c, mp_from(7)));
    mp_connection_free(c);
    mp_obj_free(point);
    return 0;
}

static void
use_reducer(const mp_context *ctx, int expected_dumps)
{
    mp_queue *q = mp_queue_new(0);
    mp_connection *a, *b;
    mp_obj item;
    mp_assert_ok(mp_pipe(&a, &b, true));
    dumps = 0;
    was_spawning = false;
    mp_process *p =
        mp_context_process(ctx, use_all, mp_args(5, "five", q, b, new_point(1, 1)), NULL);
    assert_non_null(p);
    mp_assert_ok(mp_process_set_userdata(p, mp_from(77)));
    mp_assert_ok(mp_process_start(p));
    assert_int_equal(dumps, expected_dumps);
    assert_int_equal(was_spawning, expected_dumps > 0);
    mp_assert_ok(mp_queue_get(q, &item, MP_FOREVER));
    mp_assert_ok(mp_connection_recv(a, &item));
    assert_int_equal(mp_as_int(item), 7);
    assert_int_equal(finish(p), 0);
    mp_connection_free(a);
    mp_connection_free(b);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_reducer_encodes_what_children_are_given(void **state)
{
    (void)state;
    const mp_context *mine = mp_get_context(method_name());
    const mp_context *other = method_is("spawn") ? mp_context_forkserver() : mp_context_spawn();
    int once = !method_is("fork");
    mp_reducer got;
    mp_assert_code(mp_context_get_reducer(mine, &got), MP_NOT_YET);
    assert_null(got.dump);
    use_reducer(mine, 0);
    mp_assert_ok(mp_context_set_reducer(mine, &reversed));
    mp_assert_ok(mp_context_get_reducer(mine, &got));
    assert_true(got.dump == dump_reversed && got.load == load_reversed);
    use_reducer(mine, once);
    use_reducer(other, 0); /* only that context */
    mp_assert_ok(mp_context_set_reducer(NULL, &reversed));
    use_reducer(other, 1);
    mp_assert_ok(mp_context_set_reducer(NULL, NULL));
    use_reducer(mine, 0);
    use_reducer(other, 0);
    mp_assert_code(mp_context_set_reducer(mine, &(mp_reducer){dump_fails, NULL}), MP_EVALUE);
    mp_assert_code(mp_context_get_reducer(mine, NULL), MP_EVALUE);
}

static int
expect_42(const mp_args *args)
{
    int value = 0, len = -1;
    mp_args_get(args, &value, &len);
    return value + len;
}

static void
test_reducer_of_no_bytes_and_failures(void **state)
{
    (void)state;
    static const struct {
        mp_reducer reducer;
        int code;
    } bad[] = {
        {{dump_fails, load_reversed}, MP_EENCODING},
        {{dump_nothing, load_fails}, MP_EUNPICKLING},
        {{dump_nothing, load_no_tuple}, MP_ETYPE},
    };
    const mp_context *ctx = method_is("fork") ? mp_context_spawn() : mp_get_context(method_name());
    const mp_process_options options = {.context = ctx};
    mp_assert_ok(mp_context_set_reducer(ctx, &(mp_reducer){dump_nothing, load_forty_two}));
    assert_int_equal(finish(start_with(expect_42, mp_args("x"), &options)), 42);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mp_assert_ok(mp_context_set_reducer(ctx, &bad[i].reducer));
        mp_process *p = mp_process_new(expect_42, mp_args(42, 0), &options);
        mp_assert_code(mp_process_start(p), bad[i].code);
        mp_assert_ok(mp_context_set_reducer(ctx, NULL));
        mp_assert_ok(mp_process_start(p)); /* it can be started again */
        assert_int_equal(finish(p), 42);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_type_value_is_known_by_its_name),
    cmocka_unit_test(test_type_registration),
    cmocka_unit_test(test_type_travels_in_pickles),
    cmocka_unit_test(test_type_errors_of_its_functions),
    cmocka_unit_test(test_type_registered_anew_counts_from_then_on),
    cmocka_unit_test(test_type_travels_to_a_child_and_back),
    cmocka_unit_test(test_type_may_hold_handles_while_a_child_is_launched),
    cmocka_unit_test(test_reducer_encodes_what_children_are_given),
    cmocka_unit_test(test_reducer_of_no_bytes_and_failures),
};

int
main(int argc, char **argv)
{
    register_types(); /* may stand before it, and must, for arguments */
    mp_freeze_support(argc, argv);
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
}
