/*
 * What test_sharedctypes.c has not of Array: structs, slices, strings, raw bytes, options, raw
 * arrays, text, iteration, deaths in the middle of a change.
 */
#include "helpers/killed.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct point {
    int x;
    double y;
    char z;
};

static mp_array *
zero_to(int n)
{
    mp_array *a = mp_array_new('i', (size_t)n, NULL);
    assert_non_null(a);
    for (int i = 0; i < n; i++) {
        ((int *)mp_array_data(a))[i] = i;
    }
    return a;
}

/* ---- structs --------------------------------------------------------------------------------- */

static void
test_array_of_structs_gives_and_takes_them_whole(void **state)
{
    (void)state;
    const struct point init[] = {{1, 1.5, 'a'}, {2, 2.5, 'b'}, {3, 3.5, 'c'}};
    struct point got = {0}, all[3];
    size_t count;
    mp_obj o;
    mp_array *a = mp_array_new(MP_STRUCT(struct point), 3, init);
    assert_non_null(a);
    assert_int_equal(mp_array_len(a), 3);
    mp_assert_ok(mp_array_read(a, -1, &got));
    assert_true(got.x == 3 && got.y == 3.5 && got.z == 'c');
    mp_assert_ok(mp_array_write(a, 0, &(struct point){7, 7.5, 'q'}));
    MP_WITH(a) {
        struct point *p = mp_array_data(a);
        p[1].x += 40;
    }
    mp_assert_ok(mp_array_get_slice(a, MP_SLICE_END, MP_SLICE_BEGIN, -1, all, 3, &count));
    assert_true(count == 3 && all[0].x == 3 && all[1].x == 42 && all[2].x == 7);
    mp_assert_ok(mp_array_set_slice(a, 1, 3, 1, all, 2));
    mp_assert_ok(mp_array_read(a, 1, &got));
    assert_int_equal(got.x, 3);
    mp_assert_code(mp_array_read(a, 3, &got), MP_EINDEX);
    mp_assert_code(mp_array_write(a, -4, &got), MP_EINDEX);
    mp_assert_code(mp_array_read(a, 0, &got.x), MP_EVALUE); /* of another size */
    mp_assert_code((mp_array_write)(a, 0, NULL, sizeof got), MP_EVALUE);
    mp_assert_code(mp_array_get(a, 0, &o), MP_ETYPE);
    mp_assert_code(mp_array_set(a, 0, 5), MP_ETYPE);
    assert_int_equal(mp_obj_kind(mp_array_tolist(a)), MP_KIND_FAILED);
    mp_array_free(a);
}

static void
test_array_element_is_read_and_written_as_c_data(void **state)
{
    (void)state;
    double d = 0;
    short s = 5;
    mp_array *a = mp_array_new('d', 2, (double[]){0.5, 1.5});
    assert_non_null(a);
    mp_assert_ok(mp_array_read(a, 1, &d));
    assert_true(d == 1.5);
    d = 2.5;
    mp_assert_ok(mp_array_write(a, -2, &d));
    assert_true(((double *)mp_array_data(a))[0] == 2.5);
    mp_assert_code(mp_array_write(a, 0, &s), MP_EVALUE);
    mp_array_free(a);
}

/* ---- slices ---------------------------------------------------------------------------------- */

#define B MP_SLICE_BEGIN
#define E MP_SLICE_END

/* Each as python3 gives it for a multiprocessing.Array('i', range(10)). */
static void
test_array_slice_is_python_s(void **state)
{
    (void)state;
    static const struct {
        ptrdiff_t start, stop, step;
        size_t count;
        int items[10];
    } cases[] = {
        {2, 5, 1, 3, {2, 3, 4}},
        {B, E, 1, 10, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {E, B, -1, 10, {9, 8, 7, 6, 5, 4, 3, 2, 1, 0}},
        {B, E, 3, 4, {0, 3, 6, 9}},
        {8, 2, -2, 3, {8, 6, 4}},
        {-100, 100, 1, 10, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {5, 2, 1, 0, {0}},
        {2, 5, -1, 0, {0}},
        {-3, E, 1, 3, {7, 8, 9}},
        {B, -7, 1, 3, {0, 1, 2}},
        {-1, -4, -1, 3, {9, 8, 7}},
        {10, E, 1, 0, {0}},
        {10, 0, -5, 2, {9, 4}},
        {0, 10, PTRDIFF_MAX, 1, {0}},
        {9, B, PTRDIFF_MIN, 1, {9}},
        {1, 8, 3, 3, {1, 4, 7}},
        {4, 4, 1, 0, {0}},
    };
    mp_array *a = zero_to(10);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int got[10];
        size_t count = 77;
        mp_assert_ok(
            mp_array_get_slice(a, cases[i].start, cases[i].stop, cases[i].step, got, 10, &count));
        assert_int_equal(count, cases[i].count);
        assert_memory_equal(got, cases[i].items, count * sizeof *got);
    }
    mp_array_free(a);
}

static void
test_array_slice_without_room_copies_nothing(void **state)
{
    (void)state;
    mp_array *a = zero_to(10);
    int got[3] = {-1, -1, -1};
    size_t count = 0;
    mp_assert_code(mp_array_get_slice(a, 2, 6, 1, got, 3, &count), MP_EBUFFERTOOSHORT);
    assert_int_equal(count, 4);
    assert_int_equal(got[0], -1);
    mp_assert_ok(mp_array_get_slice(a, 2, 5, 1, got, 3, NULL));
    assert_int_equal(got[2], 4);
    mp_assert_code(mp_array_get_slice(a, B, E, 0, got, 3, &count), MP_EVALUE);
    assert_int_equal(count, 0);
    mp_assert_code(mp_array_get_slice(a, 0, 1, 1, NULL, 3, NULL), MP_EVALUE);
    mp_assert_ok(mp_array_get_slice(a, 5, 5, 1, NULL, 0, &count)); /* nothing goes nowhere */
    mp_assert_code(mp_array_get_slice(NULL, 0, 1, 1, got, 3, &count), MP_EVALUE);
    mp_array_free(a);
}

static void
test_array_slice_is_assigned_in_its_length_only(void **state)
{
    (void)state;
    mp_array *a = zero_to(10);
    const int new[] = {70, 80, 90}, *data = mp_array_data(a);
    mp_assert_ok(mp_array_set_slice(a, 0, 3, 1, new, 3));
    assert_memory_equal(data, ((int[]){70, 80, 90, 3}), 4 * sizeof(int));
    mp_assert_ok(mp_array_set_slice(a, 3, 9, 2, new, 3));
    assert_memory_equal(data + 3, ((int[]){70, 4, 80, 6, 90, 8, 9}), 7 * sizeof(int));
    mp_assert_ok(mp_array_set_slice(a, E, 6, -1, new, 3));
    assert_memory_equal(data + 7, ((int[]){90, 80, 70}), 3 * sizeof(int));
    int before[10];
    memcpy(before, data, sizeof before);
    mp_assert_code(mp_array_set_slice(a, 0, 3, 1, new, 2), MP_EVALUE);
    mp_assert_code(mp_array_set_slice(a, 0, 2, 1, new, 3), MP_EVALUE);
    mp_assert_code(mp_array_set_slice(a, 5, 2, 1, new, 1), MP_EVALUE);
    mp_assert_code(mp_array_set_slice(a, 0, 3, 0, new, 3), MP_EVALUE);
    mp_assert_code(mp_array_set_slice(a, 0, 3, 1, NULL, 3), MP_EVALUE);
    mp_assert_ok(mp_array_set_slice(a, 5, 2, 1, NULL, 0));
    assert_memory_equal(data, before, sizeof before);
    mp_array_free(a);
    mp_assert_code(mp_array_set_slice(a, 0, 3, 1, new, 3), MP_EVALUE);
}

#undef B
#undef E

/* Elements of every width, from every offset on: what is stored by words is what was given. */
static void
test_array_slice_of_every_width_touches_its_elements_only(void **state)
{
    (void)state;
    static const struct {
        char code;
        size_t size;
    } types[] = {{'b', 1}, {'h', sizeof(short)}, {'i', sizeof(int)}, {'d', sizeof(double)}};
    enum { LENGTH = 40 };
    for (size_t t = 0; t < 4; t++) {
        size_t size = types[t].size;
        mp_array *a = mp_array_new(types[t].code, LENGTH, NULL);
        unsigned char from[LENGTH * 8 + 1], expected[LENGTH * 8];
        assert_non_null(a);
        for (size_t i = 0; i < sizeof from; i++) {
            from[i] = (unsigned char)(i * 7 + 1);
        }
        for (ptrdiff_t start = 0; start <= 9; start++) {
            for (size_t count = 0; count <= 20; count++) {
                memset(mp_array_data(a), 0xee, LENGTH * size);
                memset(expected, 0xee, sizeof expected);
                memcpy(expected + (size_t)start * size, from + 1, count * size); /* not aligned */
                mp_assert_ok(
                    mp_array_set_slice(a, start, start + (ptrdiff_t)count, 1, from + 1, count));
                assert_memory_equal(mp_array_data(a), expected, LENGTH * size);
            }
        }
        mp_array_free(a);
    }
}

/* ---- strings and raw bytes ------------------------------------------------------------------- */

/* The steps and results of python3 on a multiprocessing.Array('c', 10). */
static void
test_array_string_is_python_s_value(void **state)
{
    (void)state;
    char text[11], raw[10];
    mp_array *a = mp_array_new('c', 10, NULL);
    assert_non_null(a);
    mp_assert_ok(mp_array_get_string(a, text, sizeof text));
    assert_string_equal(text, "");
    mp_assert_ok(mp_array_set_string(a, "hello"));
    mp_assert_ok(mp_array_set_string(a, "ab"));
    mp_assert_ok(mp_array_get_string(a, text, sizeof text));
    assert_string_equal(text, "ab");
    mp_assert_ok(mp_array_get_raw(a, raw, sizeof raw));
    assert_memory_equal(raw, "ab\0lo\0\0\0\0", 10);
    mp_assert_ok(mp_array_set_string(a, "0123456789")); /* full: no NUL */
    mp_assert_ok(mp_array_get_string(a, text, sizeof text));
    assert_string_equal(text, "0123456789");
    mp_assert_code(mp_array_set_string(a, "0123456789a"), MP_EVALUE);
    mp_assert_ok(mp_array_set_raw(a, "xy", 2));
    mp_assert_ok(mp_array_get_string(a, text, sizeof text));
    assert_string_equal(text, "xy23456789");
    mp_assert_code(mp_array_set_raw(a, "0123456789a", 11), MP_EVALUE);
    mp_assert_ok(mp_array_set_string(a, ""));
    mp_assert_ok(mp_array_get_raw(a, raw, sizeof raw));
    assert_memory_equal(raw, "\0y23456789", 10);
    mp_array_free(a);
}

static void
test_array_string_wrongly_used_is_refused(void **state)
{
    (void)state;
    char text[5] = "....";
    mp_array *c = mp_array_new('c', 4, "abcd"), *b = mp_array_new('b', 4, "abcd");
    mp_array *none = mp_array_new('c', 0, NULL);
    assert_true(c && b && none);
    mp_assert_code(mp_array_get_string(c, text, 4), MP_EBUFFERTOOSHORT);
    mp_assert_code(mp_array_get_string(c, text, 0), MP_EBUFFERTOOSHORT);
    assert_string_equal(text, "....");
    mp_assert_ok(mp_array_get_string(c, text, 5));
    assert_string_equal(text, "abcd");
    mp_assert_code(mp_array_get_string(c, NULL, 5), MP_EVALUE);
    mp_assert_code(mp_array_set_string(c, NULL), MP_EVALUE);
    mp_assert_code(mp_array_get_string(b, text, 5), MP_EATTR);
    mp_assert_code(mp_array_set_string(b, "x"), MP_EATTR);
    mp_assert_ok(mp_array_set_string(none, ""));
    mp_assert_ok(mp_array_get_string(none, text, 1));
    assert_string_equal(text, "");
    mp_assert_code(mp_array_set_string(none, "a"), MP_EVALUE);
    mp_array_free(b);
    mp_array_free(none);
    mp_array_free(c);
    mp_assert_code(mp_array_get_string(c, text, 5), MP_EVALUE);
    mp_assert_code(mp_array_set_string(c, "x"), MP_EVALUE);
}

static void
test_array_raw_is_all_bytes(void **state)
{
    (void)state;
    int got[4] = {0};
    mp_array *a = mp_array_new('i', 3, (int[]){1, 2, 3});
    mp_array *none = mp_array_new('i', 0, NULL);
    assert_true(a && none);
    mp_assert_ok(mp_array_get_raw(a, got, sizeof got));
    assert_memory_equal(got, ((int[]){1, 2, 3, 0}), sizeof got);
    mp_assert_code(mp_array_get_raw(a, got, 11), MP_EBUFFERTOOSHORT);
    mp_assert_code(mp_array_get_raw(a, NULL, 12), MP_EVALUE);
    mp_assert_ok(mp_array_set_raw(a, (int[]){8, 9}, 2 * sizeof(int)));
    assert_memory_equal(mp_array_data(a), ((int[]){8, 9, 3}), 3 * sizeof(int));
    mp_assert_code(mp_array_set_raw(a, got, 5), MP_EVALUE); /* no part of an element */
    mp_assert_code(mp_array_set_raw(a, got, 4 * sizeof(int)), MP_EVALUE);
    mp_assert_code(mp_array_set_raw(a, NULL, 4), MP_EVALUE);
    mp_assert_ok(mp_array_set_raw(a, NULL, 0));
    mp_assert_ok(mp_array_get_raw(none, NULL, 0));
    mp_array_free(a);
    mp_array_free(none);
    mp_assert_code(mp_array_get_raw(a, got, sizeof got), MP_EVALUE);
}

/* ---- options --------------------------------------------------------------------------------- */

static void
test_array_takes_the_lock_it_is_given(void **state)
{
    (void)state;
    mp_lock *lock = mp_lock_new();
    mp_rlock *rlock = mp_rlock_new();
    int ran = 0;
    assert_true(lock && rlock);
    mp_array *a = mp_array_new_with('i', 2, NULL, &(mp_shared_options){.lock = lock});
    mp_array *b = mp_context_array(NULL, 'i', 2, NULL, &(mp_shared_options){.rlock = rlock});
    mp_array *c = mp_array_new_with('i', 2, NULL, &(mp_shared_options){.unlocked = true});
    assert_true(a && b && c);
    assert_null(mp_array_get_lock(a));
    assert_int_equal(mp_last_error(), MP_ETYPE);
    assert_ptr_equal(mp_array_get_lock(b), rlock);
    assert_null(mp_array_get_lock(c));
    assert_int_equal(mp_last_error(), MP_EATTR);
    mp_assert_ok(mp_array_acquire(a, 0));
    assert_int_equal(mp_lock_locked(lock), 1);
    mp_assert_code(mp_array_acquire(a, -1), MP_ETIMEOUT);
    mp_assert_ok(mp_array_release(a));
    mp_assert_code(mp_array_release(a), MP_EVALUE); /* as the lock itself */
    mp_assert_ok(mp_array_acquire(b, 0));
    mp_assert_ok(mp_array_set(b, 0, 5));
    mp_assert_ok(mp_array_release(b));
    mp_assert_code(mp_array_release(b), MP_ESTATE);
    mp_assert_code(mp_array_acquire(c, 0), MP_EATTR);
    mp_assert_code(mp_array_release(c), MP_EATTR);
    MP_WITH(c) {
        ran++;
    }
    assert_int_equal(ran, 0);
    assert_int_equal(mp_last_error(), MP_EATTR);
    mp_assert_ok(mp_array_set_raw(c, (int[]){1, 2}, 8));
    MP_WITH(a) {
        MP_WITH(b) {
            ran = mp_lock_locked(lock) + mp_rlock_locked(rlock);
        }
    }
    assert_int_equal(ran, 2);
    mp_array_free(a);
    mp_array_free(b);
    mp_array_free(c);
    mp_lock_free(lock);
    mp_rlock_free(rlock);
}

static void
test_array_on_pages_has_them_alone(void **state)
{
    (void)state;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    static const size_t lengths[] = {0, 1, 512, 513, 100000, 1000000};
    mp_heap_info before, after;
    mp_assert_ok(mp_heap_stats(&before));
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        mp_array *a =
            mp_array_new_with('d', lengths[i], NULL, &(mp_shared_options){.page_aligned = true});
        assert_non_null(a);
        double *data = mp_array_data(a);
        assert_int_equal((uintptr_t)data % page, 0);
        assert_int_equal(mp_array_len(a), lengths[i]);
        /* The rest of the last page is nobody else's: not this array's lock, not a block's. */
        size_t bytes = (lengths[i] * sizeof *data + page - 1) / page * page;
        for (size_t j = 0; j < lengths[i]; j += 100) {
            assert_true(data[j] == 0);
        }
        memset(data, 0x5a, bytes);
        mp_assert_ok(mp_array_acquire(a, 0));
        mp_assert_ok(mp_array_release(a));
        mp_assert_ok(mp_array_free(a));
        mp_assert_code(mp_array_free(a), MP_EVALUE);
    }
    mp_assert_ok(mp_heap_stats(&after));
    assert_int_equal(before.blocks, after.blocks);
}

static void
test_array_is_aligned_as_asked(void **state)
{
    (void)state;
    for (size_t align = 8; align <= (size_t)1 << 20; align *= 2) {
        mp_array *a = mp_array_new_with('h', 33, NULL, &(mp_shared_options){.align = align});
        assert_non_null(a);
        assert_int_equal((uintptr_t)mp_array_data(a) % align, 0);
        mp_assert_ok(mp_array_set(a, -1, -5));
        short *copy = mp_raw_value_copy(mp_array_get_obj(a));
        assert_non_null(copy);
        assert_int_equal(copy[32], -5);
        assert_int_equal(mp_raw_len(copy), 33);
        mp_free(copy);
        mp_assert_ok(mp_array_free(a));
    }
}

/* ---- raw arrays ------------------------------------------------------------------------------ */

static void
test_raw_array_is_its_data(void **state)
{
    (void)state;
    int *a = mp_raw_array_new('i', 3, (int[]){1, 2, 3});
    struct point *p = mp_raw_array_new(MP_STRUCT(struct point), 100, NULL);
    char *none = mp_raw_array_new('c', 0, NULL);
    assert_true(a && p && none);
    assert_true(a[0] == 1 && a[2] == 3 && p[99].y == 0);
    assert_int_equal(mp_raw_len(a), 3);
    assert_int_equal(mp_raw_len(p), 100);
    assert_int_equal(mp_raw_len(none), 0);
    assert_int_equal(mp_raw_typecode(a), 'i');
    int *copy = mp_raw_value_copy(a);
    char *no_copy = mp_raw_value_copy(none);
    assert_true(copy && no_copy);
    a[1] = 50;
    assert_int_equal(copy[1], 2);
    assert_int_equal(mp_raw_len(copy), 3);
    mp_array *w = mp_synchronized_array(a, NULL);
    assert_non_null(w);
    mp_assert_ok(mp_array_set(w, -1, 77));
    assert_int_equal(a[2], 77);
    assert_int_equal(mp_array_len(w), 3);
    mp_assert_ok(mp_array_free(w));
    mp_assert_ok(mp_free(a));
    mp_free(p);
    mp_free(none);
    mp_free(copy);
    mp_free(no_copy);
    static const size_t absurd[] = {SIZE_MAX, (size_t)-1 / 4, PTRDIFF_MAX / 4};
    for (int i = 0; i < 3; i++) {
        assert_null(mp_raw_array_new('i', absurd[i], NULL));
        assert_int_equal(mp_last_error(), MP_EOVERFLOW);
        assert_null(mp_array_new(MP_STRUCT(struct point), absurd[i], NULL));
        assert_int_equal(mp_last_error(), MP_EOVERFLOW);
    }
    assert_null(mp_raw_array_new('x', 1, NULL));
    assert_int_equal(mp_last_error(), MP_ETYPE);
}

/* ---- iteration and text ---------------------------------------------------------------------- */

static void
test_array_iterates_over_its_elements(void **state)
{
    (void)state;
    mp_array *a = mp_array_new('d', 3, (double[]){1, 2, 4});
    mp_array *none = mp_array_new('d', 0, NULL);
    double sum = 0;
    size_t pos = 0;
    mp_obj x;
    assert_true(a && none);
    while (mp_array_next(a, &pos, &x)) {
        sum += mp_as_double(x);
        mp_obj_free(x);
    }
    assert_true(sum == 7 && pos == 3);
    assert_true(mp_is_none(x));
    pos = 0;
    assert_false(mp_array_next(none, &pos, &x));
    assert_false(mp_array_next(NULL, &pos, &x));
    assert_false(mp_array_next(a, NULL, &x));
    assert_false(mp_array_next(a, &pos, NULL));
    mp_array_free(a);
    mp_array_free(none);
}

static void
test_array_repr_is_python_s(void **state)
{
    (void)state;
    char expected[200], text[200];
    mp_array *a = mp_array_new('i', 3, NULL), *c = mp_array_new('c', 5, NULL);
    mp_array *bare = mp_array_new_with('d', 2, NULL, &(mp_shared_options){.unlocked = true});
    assert_true(a && c && bare);
    snprintf(expected, sizeof expected,
             "<SynchronizedArray wrapper for <multiprocessing.sharedctypes.c_int_Array_3 object at "
             "%p>>",
             mp_array_data(a));
    assert_int_equal(mp_array_repr(a, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);
    snprintf(expected, sizeof expected,
             "<SynchronizedString wrapper for <multiprocessing.sharedctypes.c_char_Array_5 object "
             "at %p>>",
             mp_array_data(c));
    assert_int_equal(mp_array_repr(c, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);
    snprintf(expected, sizeof expected,
             "<multiprocessing.sharedctypes.c_double_Array_2 object at %p>", mp_array_data(bare));
    assert_int_equal(mp_array_repr(bare, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);
    mp_array_free(a);
    mp_array_free(c);
    mp_array_free(bare);
    mp_assert_code(mp_array_repr(a, text, sizeof text), MP_EVALUE);
}

/* ---- processes and deaths -------------------------------------------------------------------- */

/* Fills the array again and again; every element of one round is the same. */
static int
fill_rounds(const mp_args *args)
{
    mp_array *a, *s;
    int round[50];
    char text[50];
    mp_args_get(args, &a, &s);
    for (int i = 1; i <= 200; i++) {
        for (int j = 0; j < 50; j++) {
            round[j] = i;
        }
        memset(text, 'a' + i % 26, (size_t)(i % 49));
        text[i % 49] = 0;
        mp_child_ok(mp_array_set_slice(a, MP_SLICE_BEGIN, MP_SLICE_END, 1, round, 50));
        mp_child_ok(mp_array_set_string(s, text));
    }
    return 0;
}

static void
test_array_slices_and_strings_are_of_one_moment(void **state)
{
    (void)state;
    mp_array *a = mp_array_new('i', 50, NULL), *s = mp_array_new('c', 49, NULL);
    int got[50] = {0}, code = -1;
    char text[50];
    assert_true(a && s);
    mp_process *p = mp_process_new(fill_rounds, mp_args(a, s), NULL);
    assert_non_null(p);
    mp_assert_ok(mp_process_start(p));
    while (got[0] < 200) {
        mp_assert_ok(mp_array_get_slice(a, 0, 50, 1, got, 50, NULL));
        mp_assert_ok(mp_array_get_string(s, text, sizeof text));
        for (int j = 1; j < 50; j++) {
            assert_int_equal(got[j], got[0]);
        }
        for (size_t j = 1; text[0] && text[j]; j++) {
            assert_int_equal(text[j], text[0]);
        }
    }
    mp_assert_ok(mp_process_join(p, MP_FOREVER));
    mp_assert_ok(mp_process_exitcode(p, &code));
    assert_int_equal(code, 0);
    mp_process_free(p);
    mp_array_free(a);
    mp_array_free(s);
}

static void
half_change(void *arg)
{
    mp_child_ok(mp_array_acquire(arg, MP_FOREVER));
    ((char *)mp_array_data(arg))[0] = 'X';
}

static void
test_array_of_a_killed_holder_tells_the_next_once(void **state)
{
    (void)state;
    char got[8];
    mp_obj o;
    mp_array *a = mp_array_new('c', 7, "abcdefg");
    assert_non_null(a);
    for (int i = 0; i < 8; i++) {
        killed_after(half_change, a);
        mp_assert_ok(mp_array_get(a, 1, &o)); /* goes on, and leaves the news */
        mp_obj_free(o);
        mp_assert_ok(mp_array_set(a, 6, mp_bytes("G", 1)));
        mp_obj_free(mp_array_tolist(a));
        mp_assert_code(mp_array_get_string(a, got, 1), MP_EBUFFERTOOSHORT);
        int rc = i == 0   ? mp_array_get_slice(a, 0, 3, 1, got, 7, NULL)
                 : i == 1 ? mp_array_set_slice(a, 0, 6, 2, "abc", 3)
                 : i == 2 ? mp_array_get_string(a, got, sizeof got)
                 : i == 3 ? mp_array_set_string(a, "abc")
                 : i == 4 ? mp_array_get_raw(a, got, sizeof got)
                 : i == 5 ? mp_array_set_raw(a, "abcdefg", 7)
                 : i == 6 ? mp_array_read(a, 0, got)
                          : mp_array_write(a, 0, "abc");
        mp_assert_code(rc, MP_OWNER_DIED);
        mp_assert_ok(mp_array_acquire(a, 0));
        mp_assert_ok(mp_array_release(a));
        mp_assert_ok(mp_array_set_raw(a, "abcdefg", 7));
    }
    killed_after(half_change, a);
    int news = 0;
    MP_WITH(a) {
        news = mp_with_news();
    }
    assert_int_equal(news, MP_OWNER_DIED);
    mp_array_free(a);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_array_of_structs_gives_and_takes_them_whole),
    cmocka_unit_test(test_array_element_is_read_and_written_as_c_data),
    cmocka_unit_test(test_array_slice_is_python_s),
    cmocka_unit_test(test_array_slice_without_room_copies_nothing),
    cmocka_unit_test(test_array_slice_is_assigned_in_its_length_only),
    cmocka_unit_test(test_array_slice_of_every_width_touches_its_elements_only),
    cmocka_unit_test(test_array_string_is_python_s_value),
    cmocka_unit_test(test_array_string_wrongly_used_is_refused),
    cmocka_unit_test(test_array_raw_is_all_bytes),
    cmocka_unit_test(test_array_takes_the_lock_it_is_given),
    cmocka_unit_test(test_array_on_pages_has_them_alone),
    cmocka_unit_test(test_array_is_aligned_as_asked),
    cmocka_unit_test(test_raw_array_is_its_data),
    cmocka_unit_test(test_array_iterates_over_its_elements),
    cmocka_unit_test(test_array_repr_is_python_s),
    cmocka_unit_test(test_array_slices_and_strings_are_of_one_moment),
    cmocka_unit_test(test_array_of_a_killed_holder_tells_the_next_once),
};

MP_TEST_MAIN(tests)
