/*
 * What test_sharedctypes.c has not of Value: structs, lock options, raw objects, copies, wrappers,
 * alignment, text, deaths in the middle of a change.
 */
#include "helpers/killed.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wchar.h>

struct stats {
    long hits;
    double sum;
    char name[20];
};

static size_t
blocks(void)
{
    mp_heap_info info;
    mp_assert_ok(mp_heap_stats(&info));
    return info.blocks;
}

static void
assert_repr(mp_value *v, const char *expected)
{
    char text[120];
    assert_int_equal(mp_value_repr(v, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);
    assert_int_equal(mp_value_repr(v, NULL, 0), strlen(expected));
}

static void
assert_int(mp_value *v, int64_t expected)
{
    mp_obj o;
    mp_assert_ok(mp_value_get(v, &o));
    assert_int_equal(mp_as_int(o), expected);
}

static void
assert_ends_well(mp_process *p)
{
    int code = -1;
    assert_non_null(p);
    mp_assert_ok(mp_process_start(p));
    mp_assert_ok(mp_process_join(p, MP_FOREVER));
    mp_assert_ok(mp_process_exitcode(p, &code));
    assert_int_equal(code, 0);
    mp_assert_ok(mp_process_free(p));
}

/* ---- structs --------------------------------------------------------------------------------- */

static void
test_value_of_a_struct_is_read_and_written_whole(void **state)
{
    (void)state;
    const struct stats init = {3, 1.5, "first"};
    struct stats got = {0};
    mp_value *zero = mp_value_new_struct(sizeof(struct stats), NULL);
    mp_value *v = mp_value_new_struct(sizeof init, &init);
    assert_true(zero && v);
    mp_assert_ok(mp_value_read(zero, &got));
    assert_true(got.hits == 0 && got.sum == 0 && got.name[0] == 0);
    mp_assert_ok(mp_value_read(v, &got));
    assert_memory_equal(&got, &init, sizeof got);
    mp_assert_ok(mp_value_write(v, &(struct stats){4, 2.5, "second"}));
    mp_assert_ok(mp_value_read(v, &got));
    assert_true(got.hits == 4 && got.sum == 2.5);
    assert_string_equal(got.name, "second");
    assert_int_equal((uintptr_t)mp_value_data(v) % alignof(max_align_t), 0);
    mp_value_free(zero);
    mp_value_free(v);
}

static void
test_value_of_a_struct_by_its_type_code(void **state)
{
    (void)state;
    const struct stats init = {3, 1.5, "first"};
    mp_value *v = mp_value_new(MP_STRUCT(struct stats), mp_bytes(&init, sizeof init));
    mp_value *zero = mp_value_new(MP_STRUCT(char[3]), mp_none());
    assert_true(v && zero);
    assert_memory_equal(mp_value_data(v), &init, sizeof init);
    assert_memory_equal(mp_value_data(zero), "\0\0", 3);
    mp_value_free(v);
    mp_value_free(zero);
    assert_null(mp_value_new(MP_STRUCT(struct stats), mp_bytes(&init, sizeof init - 1)));
    assert_int_equal(mp_last_error(), MP_ETYPE);
    assert_null(mp_value_new(MP_STRUCT(struct stats), 5));
    assert_int_equal(mp_last_error(), MP_ETYPE);
}

static void
test_value_of_a_struct_of_another_size_is_refused(void **state)
{
    (void)state;
    struct stats got;
    short small = 1;
    int number = 0;
    mp_obj o;
    mp_value *v = mp_value_new_struct(sizeof(struct stats), NULL), *n = mp_value_new('i', -7);
    assert_true(v && n);
    mp_assert_code(mp_value_read(v, &small), MP_EVALUE);
    mp_assert_code(mp_value_write(v, &small), MP_EVALUE);
    mp_assert_code((mp_value_read)(v, &got, 0), MP_EVALUE);
    mp_assert_code((mp_value_read)(v, NULL, sizeof got), MP_EVALUE);
    mp_assert_code((mp_value_write)(v, NULL, sizeof got), MP_EVALUE);
    mp_assert_code(mp_value_get(v, &o), MP_EATTR); /* as Python: a structure has no .value */
    mp_assert_code(mp_value_set(v, 5), MP_EATTR);
    mp_assert_ok(mp_value_read(n, &number)); /* a number is C data, too */
    assert_int_equal(number, -7);
    number = 70000;
    mp_assert_ok(mp_value_write(n, &number));
    assert_int(n, 70000);
    mp_assert_code(mp_value_read(n, &small), MP_EVALUE);
    mp_value_free(v);
    mp_value_free(n);
}

static void
test_value_of_an_absurd_size_is_refused(void **state)
{
    (void)state;
    size_t before = blocks();
    assert_null(mp_value_new_struct(0, NULL));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    static const size_t sizes[] = {(size_t)1 << 29, SIZE_MAX, (size_t)INT_MAX + 1};
    for (int i = 0; i < 3; i++) {
        assert_null(mp_value_new_struct(sizes[i], NULL));
        assert_int_equal(mp_last_error(), MP_EOVERFLOW);
    }
    assert_int_equal(blocks(), before);
}

static int
count_in_struct(const mp_args *args)
{
    mp_value *v;
    mp_args_get(args, &v);
    struct stats *s = mp_value_data(v), copy;
    for (int i = 0; i < 500; i++) {
        MP_WITH(v) {
            s->hits++;
            s->sum += 0.5;
        }
        mp_child_ok(mp_value_read(v, &copy));
        mp_child_check(copy.sum == (double)copy.hits / 2); /* of one moment */
    }
    return 0;
}

static void
test_value_of_a_struct_is_counted_exactly_over_processes(void **state)
{
    (void)state;
    enum { COUNT = 3 };
    mp_process *p[COUNT];
    mp_value *v = mp_value_new_struct(sizeof(struct stats), NULL);
    assert_non_null(v);
    for (int i = 0; i < COUNT; i++) {
        p[i] = mp_process_new(count_in_struct, mp_args(v), NULL);
        assert_non_null(p[i]);
        mp_assert_ok(mp_process_start(p[i]));
    }
    for (int i = 0; i < COUNT; i++) {
        int code = -1;
        mp_assert_ok(mp_process_join(p[i], MP_FOREVER));
        mp_assert_ok(mp_process_exitcode(p[i], &code));
        assert_int_equal(code, 0);
        mp_process_free(p[i]);
    }
    assert_int_equal(((struct stats *)mp_value_data(v))->hits, COUNT * 500);
    mp_value_free(v);
}

/* ---- which lock ------------------------------------------------------------------------------ */

static void
test_value_takes_the_lock_it_is_given(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new();
    mp_rlock *rlock = mp_rlock_new();
    assert_true(lock && rlock);
    mp_value *a = mp_value_new_with('i', 1, &(mp_shared_options){.rlock = rlock});
    mp_value *b = mp_value_new_with('d', 2.5, &(mp_shared_options){.rlock = rlock});
    mp_value *c = mp_value_new_with('i', 3, &(mp_shared_options){.lock = lock});
    assert_true(a && b && c);
    assert_ptr_equal(mp_value_get_lock(a), rlock);
    assert_ptr_equal(mp_value_get_lock(b), rlock);
    assert_null(mp_value_get_lock(c)); /* it is no mp_rlock */
    assert_int_equal(mp_last_error(), MP_ETYPE);

    mp_assert_ok(mp_value_acquire(a, MP_FOREVER));
    assert_int_equal(mp_rlock_locked(rlock), 1);
    mp_assert_ok(mp_value_set(b, 3.5)); /* the same lock, recursive */
    mp_assert_ok(mp_value_release(a));
    assert_int_equal(mp_rlock_locked(rlock), 0);

    MP_WITH(c) {
        assert_int_equal(mp_lock_locked(lock), 1);
        mp_assert_code(mp_value_acquire(c, 0), MP_ETIMEOUT); /* not recursive */
        *(int *)mp_value_data(c) += 1;
    }
    assert_int_equal(mp_lock_locked(lock), 0);
    assert_int(c, 4);
    mp_value_free(a);
    mp_value_free(b);
    mp_value_free(c);
    mp_assert_ok(mp_lock_free(lock)); /* it was not theirs */
    mp_assert_ok(mp_rlock_free(rlock));
}

static void
test_value_without_a_lock_has_none_to_give(void **state)
{
    (void)state;
    int ran = 0;
    mp_value *v = mp_value_new_with('i', 5, &(mp_shared_options){.unlocked = true});
    assert_non_null(v);
    assert_null(mp_value_get_lock(v));
    assert_int_equal(mp_last_error(), MP_EATTR);
    mp_assert_code(mp_value_acquire(v, 0), MP_EATTR);
    mp_assert_code(mp_value_release(v), MP_EATTR);
    MP_WITH(v) {
        ran++;
    }
    assert_int_equal(ran, 0);
    assert_int_equal(mp_last_error(), MP_EATTR);
    mp_assert_ok(mp_value_set(v, 6));
    assert_int(v, 6);
    assert_repr(v, "c_int(6)");
    mp_assert_ok(mp_value_free(v));
}

static void
test_value_with_contradicting_options_is_refused(void **state)
{
    (void)state;
    size_t before;
    int local = 0;
    mp_lock *lock = mp_lock_new(), *dead = mp_lock_new();
    mp_rlock *rlock = mp_rlock_new();
    assert_true(lock && dead && rlock);
    mp_lock_free(dead);
    before = blocks();
    const mp_shared_options bad[] = {
        {.lock = lock, .rlock = rlock},     {.lock = lock, .unlocked = true},
        {.rlock = rlock, .unlocked = true}, {.lock = dead},
        {.lock = (mp_lock *)rlock},         {.rlock = (mp_rlock *)lock},
        {.lock = (mp_lock *)&local},        {.align = 3},
        {.align = (size_t)1 << 21},         {.reserved = {0, 1}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(mp_value_new_with('i', 5, &bad[i]));
        assert_int_equal(mp_last_error(), MP_EVALUE);
        assert_null(mp_array_new_with('i', 5, NULL, &bad[i]));
        assert_int_equal(mp_last_error(), MP_EVALUE);
    }
    assert_int_equal(blocks(), before);
    mp_lock_free(lock);
    mp_rlock_free(rlock);
}

static void
test_value_lock_is_not_freed_alone(void **state)
{
    (void)state;
    mp_value *v = mp_value_new('i', 1);
    mp_assert_code(mp_rlock_free(mp_value_get_lock(v)), MP_EVALUE);
    mp_assert_ok(mp_value_acquire(v, 0)); /* an error changes nothing */
    mp_assert_ok(mp_value_release(v));
    mp_assert_ok(mp_value_free(v));
}

static void
test_value_release_without_holding_is_refused(void **state)
{
    (void)state;
    mp_value *v = mp_value_new('i', 0);
    assert_non_null(v);
    mp_assert_code(mp_value_release(v), MP_ESTATE);
    mp_assert_ok(mp_value_acquire(v, 0));
    mp_assert_ok(mp_value_acquire(v, 0)); /* recursive */
    mp_assert_ok(mp_value_release(v));
    mp_assert_ok(mp_value_release(v));
    mp_assert_code(mp_value_release(v), MP_ESTATE);
    mp_assert_code(mp_value_acquire(v, (double)NAN), MP_EVALUE);
    mp_assert_ok(mp_value_free(v));
    mp_assert_code(mp_value_acquire(v, 0), MP_EVALUE);
    mp_assert_code(mp_value_release(NULL), MP_EVALUE);
}

static int
add_by_lock(const mp_args *args)
{
    mp_value *v;
    mp_args_get(args, &v);
    for (int i = 0; i < 300; i++) {
        MP_WITH(v) {
            *(int *)mp_value_data(v) += 1;
        }
        mp_child_ok(mp_value_acquire(v, MP_FOREVER));
        *(int *)mp_value_data(v) += 1;
        mp_child_ok(mp_value_release(v));
    }
    return 0;
}

static void
test_value_with_a_plain_lock_counts_exactly_over_processes(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new();
    mp_value *v = mp_value_new_with('i', 0, &(mp_shared_options){.lock = lock});
    assert_true(lock && v);
    mp_process *p = mp_process_new(add_by_lock, mp_args(v), NULL);
    assert_non_null(p);
    mp_assert_ok(mp_process_start(p));
    for (int i = 0; i < 300; i++) {
        MP_WITH(lock) {
            *(int *)mp_value_data(v) += 1;
        }
    }
    int code = -1;
    mp_assert_ok(mp_process_join(p, MP_FOREVER));
    mp_assert_ok(mp_process_exitcode(p, &code));
    assert_int_equal(code, 0);
    mp_process_free(p);
    assert_int(v, 900);
    mp_value_free(v);
    mp_lock_free(lock);
}

static void
test_value_of_a_context_is_as_any(void **state)
{
    (void)state;
    mp_value *a = mp_context_value(NULL, 'i', 7, NULL);
    mp_value *b =
        mp_context_value(mp_get_context("spawn"), 'd', 1, &(mp_shared_options){.unlocked = true});
    assert_true(a && b);
    assert_int(a, 7);
    assert_repr(b, "c_double(1.0)");
    mp_value_free(a);
    mp_value_free(b);
}

/* ---- alignment ------------------------------------------------------------------------------- */

static void
test_value_is_aligned_as_asked(void **state)
{
    (void)state;
    size_t before = blocks();
    for (size_t align = 1; align <= (size_t)1 << 20; align *= 4) {
        mp_value *v = mp_value_new_with('i', 7, &(mp_shared_options){.align = align});
        mp_value *s = mp_value_new_with(MP_STRUCT(char[300]), mp_none(),
                                        &(mp_shared_options){.align = align});
        assert_true(v && s);
        assert_int_equal((uintptr_t)mp_value_data(v) % align, 0);
        assert_int_equal((uintptr_t)mp_value_data(s) % align, 0);
        memset(mp_value_data(s), 'x', 300);
        assert_int(v, 7);
        mp_assert_ok(mp_value_set(v, 8));
        assert_int(v, 8);
        int *copy = mp_raw_value_copy(mp_value_get_obj(v));
        assert_non_null(copy);
        assert_int_equal(*copy, 8);
        mp_assert_ok(mp_free(copy));
        mp_assert_ok(mp_value_free(v));
        mp_assert_code(mp_value_free(v), MP_EVALUE);
        mp_assert_ok(mp_value_free(s));
    }
    assert_int_equal(blocks(), before);
}

/* ---- raw objects ----------------------------------------------------------------------------- */

static void
test_raw_value_is_its_data(void **state)
{
    (void)state;
    int *i = mp_raw_value_new('i', 7);
    double *zero = mp_raw_value_new('d', mp_none());
    struct stats *s = mp_raw_value_new(MP_STRUCT(struct stats), mp_none());
    assert_true(i && zero && s);
    assert_int_equal(*i, 7);
    assert_true(*zero == 0 && s->hits == 0);
    assert_int_equal(mp_raw_len(i), 1);
    assert_int_equal(mp_raw_typecode(i), 'i');
    assert_int_equal(mp_raw_typecode(s), MP_STRUCT(struct stats));
    assert_true(mp_heap_contains(i));
    mp_assert_ok(mp_free(i));
    mp_assert_ok(mp_free(zero));
    mp_assert_ok(mp_free(s));
    mp_assert_code(mp_free(i), MP_EVALUE);
    mp_assert_code((int)mp_raw_len(i), MP_EVALUE);
    assert_null(mp_raw_value_new('x', 7));
    assert_int_equal(mp_last_error(), MP_ETYPE);
    assert_null(mp_raw_value_new('i', 7.5));
    assert_int_equal(mp_last_error(), MP_ETYPE);
}

static void
test_raw_copy_has_type_and_bytes_but_is_another(void **state)
{
    (void)state;
    const struct stats init = {3, 1.5, "first"};
    mp_value *v = mp_value_new_struct(sizeof init, &init), *n = mp_value_new('h', -5);
    assert_true(v && n);
    struct stats *s = mp_raw_value_copy(mp_value_get_obj(v));
    short *h = mp_raw_value_copy(mp_value_get_obj(n));
    short *again = mp_raw_value_copy(h);
    assert_true(s && h && again && h != again);
    mp_value_free(v);
    mp_value_free(n);
    assert_memory_equal(s, &init, sizeof init);
    assert_true(*h == -5 && *again == -5);
    *h = 6;
    assert_int_equal(*again, -5);
    assert_int_equal(mp_raw_typecode(again), 'h');
    mp_free(s);
    mp_free(h);
    mp_free(again);
}

static void
test_raw_calls_refuse_what_is_no_raw_object(void **state)
{
    (void)state;
    mp_value *v = mp_value_new('i', 1);
    char *plain = mp_malloc(200), local = 0;
    assert_true(v && plain);
    memset(plain, 0, 200);
    const void *const bad[] = {
        NULL, plain, plain + 1, plain + 16, &local, v, (char *)mp_value_data(v) + 1};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(mp_raw_value_copy(bad[i]));
        assert_int_equal(mp_last_error(), MP_EVALUE);
        mp_assert_code((int)mp_raw_len(bad[i]), MP_EVALUE);
        mp_assert_code(mp_raw_typecode(bad[i]), MP_EVALUE);
    }
    mp_free(plain);
    mp_value_free(v);
}

static void
test_synchronized_value_wraps_a_raw_one(void **state)
{
    (void)state;
    int *raw = mp_raw_value_new('i', 7);
    mp_lock *lock = mp_lock_new();
    assert_true(raw && lock);
    mp_value *v = mp_synchronized(raw, NULL);
    mp_value *w = mp_synchronized(raw, &(mp_shared_options){.lock = lock});
    assert_true(v && w);
    assert_ptr_equal(mp_value_data(v), raw);
    assert_ptr_equal(mp_value_get_obj(w), raw);
    assert_non_null(mp_value_get_lock(v));
    mp_assert_ok(mp_value_set(v, 8));
    assert_int_equal(*raw, 8);
    *raw = 9;
    assert_int(w, 9);
    assert_repr(w, "<Synchronized wrapper for c_int(9)>");
    mp_assert_ok(mp_value_free(v));
    mp_assert_ok(mp_value_free(w));
    assert_int_equal(*raw, 9); /* it stays */
    mp_free(raw);
    mp_lock_free(lock);
}

static void
test_synchronized_twice_is_refused(void **state)
{
    (void)state;
    mp_value *v = mp_value_new('i', 7);
    mp_array *a = mp_array_new('i', 2, NULL);
    int *array = mp_raw_array_new('i', 2, NULL), *value = mp_raw_value_new('i', 0);
    assert_true(v && a && array && value);
    assert_null(mp_synchronized(v, NULL));
    assert_int_equal(mp_last_error(), MP_ESTATE);
    assert_null(mp_synchronized(a, NULL));
    assert_int_equal(mp_last_error(), MP_ESTATE);
    assert_null(mp_synchronized_array(a, NULL));
    assert_int_equal(mp_last_error(), MP_ESTATE);
    assert_null(mp_synchronized(array, NULL));
    assert_int_equal(mp_last_error(), MP_ETYPE);
    assert_null(mp_synchronized_array(value, NULL));
    assert_int_equal(mp_last_error(), MP_ETYPE);
    assert_null(mp_synchronized(value, &(mp_shared_options){.align = 64}));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    mp_value *bare = mp_synchronized(mp_value_get_obj(v), NULL); /* as in Python */
    assert_non_null(bare);
    assert_int(bare, 7);
    mp_value_free(bare);
    mp_free(array);
    mp_free(value);
    mp_value_free(v);
    mp_array_free(a);
}

static int
change_raw(const mp_args *args)
{
    void *raw;
    mp_value *v;
    mp_args_get(args, &raw, &v);
    mp_child_check(mp_raw_typecode(raw) == 'i' && mp_value_data(v) == raw);
    *(int *)raw += 1;
    mp_child_ok(mp_value_set(v, *(int *)raw * 10));
    return 0;
}

static void
test_raw_value_and_its_wrapper_are_the_child_s_too(void **state)
{
    (void)state;
    void *raw = mp_raw_value_new('i', 3);
    mp_value *v = mp_synchronized(raw, NULL);
    assert_true(raw && v);
    assert_ends_well(mp_process_new(change_raw, mp_args(raw, v), NULL));
    assert_int_equal(*(int *)raw, 40);
    mp_value_free(v);
    mp_free(raw);
}

/* ---- text ------------------------------------------------------------------------------------ */

/* As python3 prints them. */
static void
test_value_repr_is_python_s(void **state)
{
    (void)state;
    static const struct {
        char code;
        const char *repr;
    } numbers[] = {{'b', "c_byte(5)"},    {'B', "c_ubyte(5)"}, {'h', "c_short(5)"},
                   {'H', "c_ushort(5)"},  {'i', "c_int(5)"},   {'I', "c_uint(5)"},
                   {'l', "c_long(5)"},    {'L', "c_ulong(5)"}, {'f', "c_float(5.0)"},
                   {'d', "c_double(5.0)"}};
    char text[80];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        mp_value *v = mp_value_new(numbers[i].code, 5);
        assert_non_null(v);
        snprintf(text, sizeof text, "<Synchronized wrapper for %s>", numbers[i].repr);
        assert_repr(v, text);
        mp_value_free(v);
    }
    mp_value *c = mp_value_new('c', mp_bytes("x", 1)), *u = mp_value_new('u', "\u20ac");
    mp_value *q = mp_value_new('L', -1), *s = mp_value_new_struct(24, NULL);
    assert_true(c && u && q && s);
    assert_repr(c, "<Synchronized wrapper for c_char(b'x')>");
    assert_repr(u, "<Synchronized wrapper for c_wchar('\u20ac')>");
    snprintf(text, sizeof text, "<Synchronized wrapper for c_ulong(%lu)>", ULONG_MAX);
    assert_repr(q, text);
    snprintf(text, sizeof text, "<SynchronizedStruct wrapper for <struct of 24 bytes at %p>>",
             mp_value_data(s));
    assert_repr(s, text);
    *(wchar_t *)mp_value_data(u) = 0x110000;
    mp_assert_code(mp_value_repr(u, text, sizeof text), MP_EVALUE);
    mp_value_free(c);
    mp_value_free(u);
    mp_value_free(q);
    mp_value_free(s);
    mp_assert_code(mp_value_repr(NULL, text, sizeof text), MP_EVALUE);
}

/* ---- deaths ---------------------------------------------------------------------------------- */

static void
half_change(void *arg)
{
    struct stats *s = mp_value_data(arg);
    mp_child_ok(mp_value_acquire(arg, MP_FOREVER));
    s->hits++;
}

static void
test_value_of_a_killed_holder_tells_the_next_once(void **state)
{
    (void)state;
    struct stats got;
    mp_value *v = mp_value_new_struct(sizeof got, NULL);
    assert_non_null(v);
    killed_after(half_change, v);
    double start = mp_test_now();
    mp_assert_code(mp_value_read(v, &got), MP_OWNER_DIED);
    assert_true(mp_test_now() - start < 5);
    assert_true(got.hits == 1 && got.sum == 0);
    mp_assert_ok(mp_value_read(v, &got));
    killed_after(half_change, v);
    mp_assert_code(mp_value_write(v, &got), MP_OWNER_DIED);
    killed_after(half_change, v);
    mp_assert_code(mp_value_acquire(v, 10), MP_OWNER_DIED);
    mp_assert_ok(mp_value_release(v));
    killed_after(half_change, v);
    int news = -1;
    MP_WITH(v) {
        news = mp_with_news();
    }
    assert_int_equal(news, MP_OWNER_DIED);
    mp_assert_ok(mp_value_acquire(v, 0));
    mp_assert_ok(mp_value_release(v));
    mp_value_free(v);
}

static void
hold(void *arg)
{
    mp_child_ok(mp_value_acquire(arg, MP_FOREVER));
}

/* get and set go on, and do not swallow the news. */
static void
test_value_get_and_set_leave_the_news_to_the_next(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new();
    mp_value *own = mp_value_new('i', 1);
    mp_value *plain = mp_value_new_with('i', 1, &(mp_shared_options){.lock = lock});
    assert_true(lock && own && plain);
    mp_value *const both[] = {own, plain};
    for (int i = 0; i < 2; i++) {
        mp_value *v = both[i];
        killed_after(hold, v);
        mp_assert_ok(mp_value_set(v, 5));
        assert_int(v, 5);
        mp_assert_ok(mp_value_set(v, 6));
        assert_repr(v, "<Synchronized wrapper for c_int(6)>");
        mp_assert_code(mp_value_acquire(v, 0), MP_OWNER_DIED);
        mp_assert_ok(mp_value_set(own == v ? v : own, 6)); /* own: one level deeper */
        mp_assert_ok(mp_value_release(v));
        mp_assert_ok(mp_value_acquire(v, 0));
        mp_assert_ok(mp_value_release(v));
        assert_int(v, 6);
    }
    mp_value_free(own);
    mp_value_free(plain);
    mp_lock_free(lock);
}

static void *
wait_for_value(void *arg)
{
    int got = 0;
    return (void *)(intptr_t)(mp_value_read((mp_value *)arg, &got) < 0 ? -1 : got);
}

/* Who waits while news are left behind gets the lock all the same. */
static void
test_value_waiters_go_on_after_a_quiet_take_over(void **state)
{
    (void)state;
    pthread_t thread[3];
    mp_value *v = mp_value_new('i', 7);
    assert_non_null(v);
    killed_after(hold, v);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, wait_for_value, v), 0);
    }
    mp_assert_ok(mp_value_set(v, 7));
    for (int i = 0; i < 3; i++) {
        void *got;
        assert_int_equal(pthread_join(thread[i], &got), 0);
        assert_int_equal((intptr_t)got, 7);
    }
    mp_value_free(v);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_value_of_a_struct_is_read_and_written_whole),
    cmocka_unit_test(test_value_of_a_struct_by_its_type_code),
    cmocka_unit_test(test_value_of_a_struct_of_another_size_is_refused),
    cmocka_unit_test(test_value_of_an_absurd_size_is_refused),
    cmocka_unit_test(test_value_of_a_struct_is_counted_exactly_over_processes),
    cmocka_unit_test(test_value_takes_the_lock_it_is_given),
    cmocka_unit_test(test_value_without_a_lock_has_none_to_give),
    cmocka_unit_test(test_value_with_contradicting_options_is_refused),
    cmocka_unit_test(test_value_lock_is_not_freed_alone),
    cmocka_unit_test(test_value_release_without_holding_is_refused),
    cmocka_unit_test(test_value_with_a_plain_lock_counts_exactly_over_processes),
    cmocka_unit_test(test_value_of_a_context_is_as_any),
    cmocka_unit_test(test_value_is_aligned_as_asked),
    cmocka_unit_test(test_raw_value_is_its_data),
    cmocka_unit_test(test_raw_copy_has_type_and_bytes_but_is_another),
    cmocka_unit_test(test_raw_calls_refuse_what_is_no_raw_object),
    cmocka_unit_test(test_synchronized_value_wraps_a_raw_one),
    cmocka_unit_test(test_synchronized_twice_is_refused),
    cmocka_unit_test(test_raw_value_and_its_wrapper_are_the_child_s_too),
    cmocka_unit_test(test_value_repr_is_python_s),
    cmocka_unit_test(test_value_of_a_killed_holder_tells_the_next_once),
    cmocka_unit_test(test_value_get_and_set_leave_the_news_to_the_next),
    cmocka_unit_test(test_value_waiters_go_on_after_a_quiet_take_over),
};

MP_TEST_MAIN(tests)
