/* test_pool.c: mp_pool from outside: maps of values and of C data, errors, and the pool's life. */
#include "helpers/pool.h"
#include "helpers/process.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- help ------------------------------------------------------------------------------------ */

static mp_obj
numbers(int64_t n)
{
    mp_obj list = mp_list();
    for (int64_t i = 0; i < n; i++) {
        mp_assert_ok(mp_list_append(list, mp_from_int(i)));
    }
    return list;
}

static void
assert_repr(mp_obj o, const char *want)
{
    char *text = mp_obj_repr(o);
    assert_string_equal(text, want);
    free(text);
    mp_obj_free(o);
}

static int
copy_int(const void *in, void *out)
{
    *(int *)out = *(const int *)in;
    return 0;
}

/* ---- maps of values -------------------------------------------------------------------------- */

static mp_obj
repr_of(mp_obj item)
{
    char *text = mp_obj_repr(item);
    mp_obj o = mp_from_str(text);
    free(text);
    return o;
}

static mp_obj
same(mp_obj item)
{
    return mp_list(mp_obj_ref(item), mp_dict("again", mp_obj_ref(item)));
}

static void
test_map_ints_strings_and_nested_values(void **state)
{
    (void)state;
    mp_pool *pool = new_pool(3);
    mp_obj out;
    assert_works(pool);
    mp_assert_ok(mp_pool_map(pool, repr_of, mp_list("a", 2.5, mp_none(), mp_bytes("x", 1)), &out));
    assert_repr(out, "[\"'a'\", '2.5', 'None', \"b'x'\"]");
    mp_assert_ok(mp_pool_map(pool, same, mp_list(mp_tuple(1, mp_list()), mp_bool(true)), &out));
    assert_repr(out, "[[(1, []), {'again': (1, [])}], [True, {'again': True}]]");
    mp_assert_ok(mp_pool_map(pool, square, mp_tuple(4, 5), &out));
    assert_repr(out, "[16, 25]");
    mp_assert_ok(mp_pool_map(pool, square, mp_list(), &out));
    assert_repr(out, "[]");
    mp_assert_ok(mp_pool_map(pool, square, mp_tuple(), &out));
    assert_repr(out, "[]");
    end_pool(pool);
}

static void
test_map_any_chunksize_keeps_the_order(void **state)
{
    (void)state;
    mp_pool *pool = new_pool(4);
    static const size_t sizes[] = {0, 1, 2, 3, 7, 999, 1000, 1001, SIZE_MAX / 2, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        mp_obj out;
        mp_map_options options = {.chunksize = sizes[i]};
        mp_assert_ok(mp_pool_map(pool, square, numbers(1000), &out, &options));
        assert_int_equal(mp_obj_len(out), 1000);
        for (int k = 0; k < 1000; k++) {
            assert_int_equal(mp_as_int(mp_list_get(out, k)), (int64_t)k * k);
        }
        mp_obj_free(out);
    }
    end_pool(pool);
}

static mp_obj
long_text(mp_obj n)
{
    size_t len = (size_t)mp_as_int(n) * 50000;
    char *text = malloc(len + 1);
    memset(text, 'x', len);
    mp_obj o = mp_from_strn(text, len);
    free(text);
    return o;
}

static void
test_map_big_results_and_items_arrive_whole(void **state)
{
    (void)state;
    mp_pool *pool = new_pool(2);
    mp_obj texts, back;
    mp_assert_ok(mp_pool_map(pool, long_text, numbers(40), &texts));
    mp_assert_ok(mp_pool_map(pool, same, texts, &back, &(mp_map_options){.chunksize = 1}));
    for (int i = 0; i < 40; i++) {
        assert_int_equal(mp_obj_len(mp_list_get(mp_list_get(back, i), 0)), i * 50000);
    }
    mp_obj_free(back);
    end_pool(pool);
}

/* ---- errors ---------------------------------------------------------------------------------- */

/* [number, counter]: counts, then fails for 7 and 11. */
static mp_obj
counts_and_fails(mp_obj pair)
{
    int *counter = mp_as_handle(mp_list_get(pair, 1), MP_HANDLE_POINTER);
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
    int64_t n = mp_as_int(mp_list_get(pair, 0));
    if (n == 7) {
        return mp_error_new(MP_EKEY, NULL, "no seven");
    }
    return mp_from(n);
}

static void
test_map_failing_task_gives_its_code_and_item_and_others_run(void **state)
{
    (void)state;
    mp_pool *pool = new_pool(2);
    int *counter = mp_calloc(1, sizeof *counter);
    static const size_t sizes[] = {0, 1, 5, 100};
    for (size_t s = 0; s < 4; s++) {
        mp_obj items = mp_list(), out = mp_from_int(1);
        *counter = 0;
        for (int i = 0; i < 40; i++) {
            mp_list_append(items, mp_list(i, (void *)counter));
        }
        mp_map_options options = {.chunksize = sizes[s]};
        mp_assert_code(mp_pool_map(pool, counts_and_fails, items, &out, &options), MP_EKEY);
        assert_true(mp_is_none(out));
        assert_int_equal(mp_last_error(), MP_EKEY);
        assert_non_null(strstr(mp_last_error_text(), "item 7"));
        assert_non_null(strstr(mp_last_error_text(), "no seven"));
        assert_int_equal(*counter, 40);
        assert_works(pool);
    }
    mp_free(counter);
    end_pool(pool);
}

static mp_obj
fails_with(mp_obj code)
{
    return mp_error_new((int)mp_as_int(code), "Strange", "strange code");
}

static void
test_map_error_with_no_error_code_is_still_an_error(void **state)
{
    (void)state;
    mp_pool *pool = new_pool(1);
    static const int codes[] = {0, 1, 2, 77, MP_ETASK, -EIO};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        mp_obj out;
        int status = mp_pool_map(pool, fails_with, mp_list(codes[i]), &out);
        assert_true(status < 0);
        if (codes[i] < 0) {
            assert_int_equal(status, codes[i]);
        }
        assert_true(mp_is_none(out));
        assert_non_null(strstr(mp_last_error_text(), "item 0"));
        assert_works(pool);
    }
    end_pool(pool);
}

static mp_obj
failed_value(mp_obj item)
{
    (void)item;
    return mp_from_uint(UINT64_MAX);
}

/* A connection does not travel. */
static mp_obj
gives_connection(mp_obj item)
{
    (void)item;
    mp_connection *a = NULL, *b = NULL;
    mp_pipe(&a, &b, true);
    return mp_from(a);
}

static void
test_map_results_that_cannot_travel_fail_their_task(void **state)
{
    (void)state;
    mp_pool *pool = new_pool(2);
    mp_obj out;
    mp_assert_code(mp_pool_map(pool, failed_value, mp_list(1, 2), &out), MP_EOVERFLOW);
    assert_non_null(strstr(mp_last_error_text(), "item "));
    mp_assert_code(mp_pool_map(pool, gives_connection, mp_list(1), &out), MP_ERUNTIME);
    assert_non_null(strstr(mp_last_error_text(), "item 0"));
    assert_works(pool);
    end_pool(pool);
}

static void
test_map_bad_arguments_are_refused(void **state)
{
    (void)state;
    mp_pool *pool = new_pool(1);
    mp_obj out = mp_from_int(1);
    mp_connection *a, *b;
    mp_assert_ok(mp_pipe(&a, &b, true));
    mp_assert_code(mp_pool_map(pool, square, mp_from("text"), &out), MP_ETYPE);
    assert_true(mp_is_none(out));
    mp_assert_code(mp_pool_map(pool, square, mp_dict(1, 2), &out), MP_ETYPE);
    mp_assert_code(mp_pool_map(pool, square, mp_none(), &out), MP_ETYPE);
    mp_assert_code(mp_pool_map(pool, NULL, mp_list(1), &out), MP_EVALUE);
    mp_assert_code(mp_pool_map(pool, square, mp_list(1), NULL), MP_EVALUE);
    mp_assert_code(mp_pool_map(NULL, square, mp_list(1), &out), MP_EVALUE);
    mp_assert_code(mp_pool_map((mp_pool *)(void *)&out, square, mp_list("x"), &out), MP_EVALUE);
    mp_assert_code(mp_pool_map(pool, square, mp_list(mp_from_uint(UINT64_MAX)), &out),
                   MP_EOVERFLOW);
    mp_assert_code(mp_pool_map(pool, square, mp_list(1, a), &out), MP_ERUNTIME);
    mp_map_options options = {.reserved = {0, 0, 1, 0}};
    mp_assert_code(mp_pool_map(pool, square, mp_list(1), &out, &options), MP_EVALUE);
    assert_works(pool);
    mp_assert_ok(mp_connection_free(a));
    mp_assert_ok(mp_connection_free(b));
    end_pool(pool);
}

/* ---- many maps ------------------------------------------------------------------------------- */

/*
 * What the machine itself is slow at: a child that sends each byte back.  Of what takes so long
 * without the library, too, it is not to blame.
 */
struct echo {
    pid_t pid;
    int there[2], back[2];
};

static void
echo_begin(struct echo *e)
{
    char byte;
    assert_int_equal(pipe(e->there), 0);
    assert_int_equal(pipe(e->back), 0);
    fflush(NULL);
    e->pid = fork();
    assert_true(e->pid >= 0);
    if (e->pid == 0) {
        close(e->there[1]);
        while (read(e->there[0], &byte, 1) == 1 && write(e->back[1], &byte, 1) == 1) {
        }
        _exit(0);
    }
    close(e->there[0]);
    close(e->back[1]);
}

static void
echo_once(struct echo *e)
{
    char byte = 'x';
    assert_int_equal(write(e->there[1], &byte, 1), 1);
    assert_int_equal(read(e->back[0], &byte, 1), 1);
}

static void
echo_end(struct echo *e)
{
    close(e->there[1]);
    close(e->back[0]);
    assert_int_equal(waitpid(e->pid, NULL, 0), e->pid);
}

/* Many maps; fewer where the machine has little time for them. */
static void
test_map_small_ones_in_a_row_are_fast_and_leave_nothing(void **state)
{
    (void)state;
    enum { MOST = 2000, LEAST = 100 };
    mp_pool *pool = new_pool(2);
    mp_heap_info before, after;
    struct echo echo;
    echo_begin(&echo);
    assert_works(pool);
    mp_assert_ok(mp_heap_stats(&before));
    int maps = 0, slow = 0, machine_slow = 0;
    for (double limit = mp_test_now() + 10; maps < LEAST || (maps < MOST && mp_test_now() < limit);
         maps++) {
        double t = mp_test_now();
        assert_works(pool);
        slow += mp_test_now() - t > 0.02;
        t = mp_test_now();
        echo_once(&echo);
        machine_slow += mp_test_now() - t > 0.02;
    }
    echo_end(&echo);
    /* A lost wake-up costs a slice of 50 ms, or the rest of the other worker's, by turns. */
    if (slow > maps / 4 + 2 * machine_slow) {
        fail_msg("%d of %d small maps were slow, and %d round trips", slow, maps, machine_slow);
    }
    mp_assert_ok(mp_heap_stats(&after));
    assert_int_equal(after.blocks, before.blocks);
    assert_int_equal(after.used, before.used);
    end_pool(pool);
}

struct mapper {
    mp_pool *pool;
    int bad;
};

static void *
map_often(void *arg)
{
    struct mapper *m = arg;
    for (int i = 0; i < 200; i++) {
        mp_obj out;
        if (mp_pool_map(m->pool, square, numbers(20), &out) < 0 || mp_obj_len(out) != 20 ||
            mp_as_int(mp_list_get(out, 19)) != 361) {
            m->bad++;
        }
        mp_obj_free(out);
    }
    return NULL;
}

static void
test_map_from_several_threads_all_are_right(void **state)
{
    (void)state;
    mp_pool *pool = new_pool(2);
    struct mapper m[3] = {{pool, 0}, {pool, 0}, {pool, 0}};
    pthread_t t[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, map_often, &m[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(t[i], NULL);
        assert_int_equal(m[i].bad, 0);
    }
    end_pool(pool);
}

static mp_obj
put_into(mp_obj pair)
{
    mp_queue *q = mp_as_handle(mp_list_get(pair, 0), MP_HANDLE_QUEUE);
    int status = mp_queue_put(q, mp_obj_ref(mp_list_get(pair, 1)), 30);
    return status < 0 ? mp_error_new(status, NULL, mp_last_error_text()) : mp_from(q);
}

static void
test_map_handles_in_items_and_results(void **state)
{
    (void)state;
    mp_queue *q = mp_queue_new(0);
    mp_pool *pool = new_pool(3);
    mp_obj items = mp_list(), out;
    for (int i = 0; i < 100; i++) {
        mp_assert_ok(mp_list_append(items, mp_list(q, i)));
    }
    mp_assert_ok(mp_pool_map(pool, put_into, items, &out));
    int64_t sum = 0;
    for (int i = 0; i < 100; i++) {
        mp_obj o;
        assert_ptr_equal(mp_as_handle(mp_list_get(out, i), MP_HANDLE_QUEUE), q);
        mp_assert_ok(mp_queue_get(q, &o, 0));
        sum += mp_as_int(o);
    }
    assert_int_equal(sum, 4950);
    mp_obj_free(out);
    end_pool(pool);
    mp_assert_ok(mp_queue_free(q));
}

/* ---- the pool's life ------------------------------------------------------------------------- */

static void
test_pool_ends_in_any_order_and_twice(void **state)
{
    (void)state;
    static const char *const orders[] = {"cj",   "tj",     "",     "c",    "t",  "ccjj",
                                         "ctjj", "tctcjj", "cjtj", "tjct", "ct", "tc"};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        mp_pool *pool = new_pool(2);
        if (i & 1) {
            assert_works(pool);
        }
        for (const char *o = orders[i]; *o; o++) {
            mp_assert_ok(*o == 'c'   ? mp_pool_close(pool)
                         : *o == 't' ? mp_pool_terminate(pool)
                                     : mp_pool_join(pool));
        }
        mp_assert_ok(mp_pool_free(pool));
        mp_assert_code(mp_pool_free(pool), MP_EVALUE);
    }
    mp_assert_ok(mp_pool_free(NULL));
}

static void
test_pool_closed_or_freed_takes_no_work(void **state)
{
    (void)state;
    for (int how = 0; how < 2; how++) {
        mp_pool *pool = new_pool(1);
        mp_obj out;
        int x = 1;
        mp_assert_code(mp_pool_join(pool), MP_EVALUE);
        assert_works(pool);
        mp_assert_ok(how ? mp_pool_terminate(pool) : mp_pool_close(pool));
        mp_assert_code(mp_pool_map(pool, square, mp_list(1), &out), MP_EVALUE);
        mp_assert_code(mp_pool_map(pool, square, mp_list(), &out), MP_EVALUE);
        mp_assert_code(mp_pool_map_array(pool, copy_int, &x, 4, &x, 4, 1, NULL), MP_EVALUE);
        mp_assert_ok(mp_pool_join(pool));
        assert_int_equal(mp_pool_processes(pool), 1);
        mp_assert_ok(mp_pool_free(pool));
        mp_assert_code(mp_pool_map(pool, square, mp_list("x"), &out), MP_EVALUE);
        mp_assert_code(mp_pool_close(pool), MP_EVALUE);
        mp_assert_code(mp_pool_terminate(pool), MP_EVALUE);
        mp_assert_code(mp_pool_join(pool), MP_EVALUE);
        mp_assert_code(mp_pool_processes(pool), MP_EVALUE);
    }
}

static int
tell_pid(const void *in, void *out)
{
    (void)in;
    *(pid_t *)out = getpid();
    return 0;
}

static void
test_pool_close_is_not_kept_waiting(void **state)
{
    (void)state;
    enum { POOLS = 20 };
    int slow = 0, machine_slow = 0;
    for (int i = 0; i < POOLS; i++) {
        mp_pool *pool = new_pool(1);
        struct echo echo;
        int x = 0;
        pid_t worker;
        mp_assert_ok(
            mp_pool_map_array(pool, tell_pid, &x, sizeof x, &worker, sizeof worker, 1, NULL));
        wait_until_asleep(worker, 2);
        double start = mp_test_now();
        end_pool(pool);
        slow += mp_test_now() - start > 0.04; /* as when it sleeps for its slice */
        echo_begin(&echo);
        start = mp_test_now();
        echo_end(&echo);
        machine_slow += mp_test_now() - start > 0.04;
    }
    if (slow > POOLS / 2 + 2 * machine_slow) {
        fail_msg("%d of %d pools were kept waiting, and %d children", slow, POOLS, machine_slow);
    }
}

static void
test_pool_two_at_once_and_one_of_fifty(void **state)
{
    (void)state;
    mp_pool *a = new_pool(2), *b = new_pool(50);
    assert_int_equal(mp_pool_processes(a), 2);
    assert_int_equal(mp_pool_processes(b), 50);
    for (int i = 0; i < 20; i++) {
        assert_works(a);
        assert_works(b);
    }
    end_pool(a);
    assert_works(b);
    end_pool(b);
}

static void
test_pool_options_out_of_range_are_refused(void **state)
{
    (void)state;
    static const int counts[] = {-1, INT32_MIN, 100000, INT32_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        mp_args *args = mp_args("consumed", i);
        mp_pool_options o = {.processes = counts[i], .initargs = args};
        double start = mp_test_now();
        assert_null(mp_pool_new(&o));
        assert_int_equal(mp_last_error(), MP_EVALUE);
        assert_true(strlen(mp_last_error_text()) > 20);
        assert_true(mp_test_now() - start < 5); /* 100000 workers would take longer */
    }
    mp_pool_options o = {.processes = 1, .reserved = {0, 0, 0, 1}};
    assert_null(mp_pool_new(&o));
    assert_int_equal(mp_last_error(), MP_EVALUE);
}

static void
test_pool_default_options_use_the_usable_cpus(void **state)
{
    (void)state;
    mp_pool *pool = mp_pool_new(NULL);
    assert_non_null(pool);
    assert_int_equal(mp_pool_processes(pool), mp_usable_cpu_count());
    assert_works(pool);
    end_pool(pool);
}

/* ---- workers --------------------------------------------------------------------------------- */

static mp_obj
who_am_i(mp_obj item)
{
    (void)item;
    mp_process *me = mp_current_process();
    return mp_list(mp_process_name(me), mp_process_daemon(me), (int)getpid(),
                   mp_get_start_method(true));
}

static void
test_workers_are_daemons_named_after_their_method(void **state)
{
    (void)state;
    static const char *const methods[][2] = {{"fork", "ForkPoolWorker-"},
                                             {"spawn", "SpawnPoolWorker-"},
                                             {"forkserver", "ForkServerPoolWorker-"}};
    for (int m = 0; m < 3; m++) {
        mp_pool_options o = {.processes = 2, .context = mp_get_context(methods[m][0])};
        mp_pool *pool = mp_pool_new(&o);
        assert_non_null(pool);
        mp_obj out;
        mp_assert_ok(mp_pool_map(pool, who_am_i, mp_list(1, 2, 3, 4), &out));
        for (int i = 0; i < 4; i++) {
            mp_obj one = mp_list_get(out, i);
            const char *name = mp_as_str(mp_list_get(one, 0));
            size_t len = strlen(methods[m][1]);
            if (strncmp(name, methods[m][1], len) != 0 || atoi(name + len) < 1) {
                fail_msg("a worker's name is %s", name);
            }
            assert_int_equal(mp_as_int(mp_list_get(one, 1)), 1);
            assert_int_not_equal(mp_as_int(mp_list_get(one, 2)), getpid());
            assert_string_equal(mp_as_str(mp_list_get(one, 3)), methods[m][0]);
        }
        mp_obj_free(out);
        end_pool(pool);
    }
}

static int64_t initialized;

static int
initializer(const mp_args *args)
{
    int a;
    const char *b;
    mp_args_get(args, &a, &b);
    initialized = a + (int64_t)strlen(b);
    return 3; /* only negative ones fail */
}

static mp_obj
what_was_initialized(mp_obj item)
{
    return mp_from(initialized + mp_as_int(item));
}

static void
test_initializer_runs_before_the_first_task_of_each_worker(void **state)
{
    (void)state;
    mp_pool_options o = {.processes = 3, .initializer = initializer, .initargs = mp_args(40, "ab")};
    mp_pool *pool = mp_pool_new(&o);
    assert_non_null(pool);
    mp_obj out;
    mp_map_options options = {.chunksize = 1};
    mp_assert_ok(mp_pool_map(pool, what_was_initialized, mp_list(0, 1, 2, 3), &out, &options));
    assert_repr(out, "[42, 43, 44, 45]");
    assert_int_equal(initialized, 0);
    end_pool(pool);
}

static int
failing_initializer(const mp_args *args)
{
    void *counter;
    mp_args_get(args, &counter);
    __atomic_fetch_add((int *)counter, 1, __ATOMIC_RELAXED);
    return MP_ERUNTIME;
}

static int
exiting_initializer(const mp_args *args)
{
    (void)failing_initializer(args);
    _exit(5);
}

static void
test_initializer_that_fails_ends_the_map(void **state)
{
    (void)state;
    for (int how = 0; how < 2; how++) {
        int *counter = mp_calloc(1, sizeof *counter);
        mp_pool_options o = {.processes = 2,
                             .initializer = how ? exiting_initializer : failing_initializer,
                             .initargs = mp_args((void *)counter)};
        mp_pool *pool = mp_pool_new(&o);
        assert_non_null(pool);
        mp_obj out;
        mp_assert_code(mp_pool_map(pool, square, mp_list(1, 2), &out), MP_EPROCESS);
        mp_assert_code(mp_pool_map(pool, square, mp_list(1, 2), &out), MP_EPROCESS);
        int runs = __atomic_load_n(counter, __ATOMIC_RELAXED);
        assert_true(runs >= 2 && runs <= 20);
        end_pool(pool);
        assert_int_equal(__atomic_load_n(counter, __ATOMIC_RELAXED), runs);
        mp_free(counter);
    }
}

static mp_obj
makes_a_pool(mp_obj item)
{
    (void)item;
    mp_pool *pool = mp_pool_new(&(mp_pool_options){.processes = 1});
    int status = pool ? 0 : mp_last_error();
    mp_pool_free(pool);
    return mp_from(status);
}

static void
test_pool_in_a_daemon_is_refused(void **state)
{
    (void)state;
    mp_pool *pool = new_pool(1);
    mp_obj out;
    mp_assert_ok(mp_pool_map(pool, makes_a_pool, mp_list(1), &out));
    assert_int_equal(mp_as_int(mp_list_get(out, 0)), MP_ESTATE);
    mp_obj_free(out);
    end_pool(pool);
}

static void
use_foreign_pool(mp_pool *pool)
{
    mp_obj out;
    int x = 2;
    mp_child_code(mp_pool_map(pool, square, mp_list(1), &out), MP_EVALUE);
    mp_child_code(mp_pool_map_array(pool, copy_int, &x, 4, &x, 4, 1, NULL), MP_EVALUE);
    mp_child_code(mp_pool_close(pool), MP_EVALUE);
    mp_child_code(mp_pool_terminate(pool), MP_EVALUE);
    mp_child_code(mp_pool_join(pool), MP_EVALUE);
    mp_child_code(mp_pool_free(pool), MP_EVALUE);
    _exit(0);
}

static void
test_pool_of_the_parent_is_refused_to_a_forked_child(void **state)
{
    (void)state;
    mp_pool *pool = new_pool(2);
    assert_works(pool);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        use_foreign_pool(pool);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_works(pool);
    end_pool(pool);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_map_ints_strings_and_nested_values),
    cmocka_unit_test(test_map_any_chunksize_keeps_the_order),
    cmocka_unit_test(test_map_big_results_and_items_arrive_whole),
    cmocka_unit_test(test_map_failing_task_gives_its_code_and_item_and_others_run),
    cmocka_unit_test(test_map_error_with_no_error_code_is_still_an_error),
    cmocka_unit_test(test_map_results_that_cannot_travel_fail_their_task),
    cmocka_unit_test(test_map_bad_arguments_are_refused),
    cmocka_unit_test(test_map_small_ones_in_a_row_are_fast_and_leave_nothing),
    cmocka_unit_test(test_map_from_several_threads_all_are_right),
    cmocka_unit_test(test_map_handles_in_items_and_results),
    cmocka_unit_test(test_pool_ends_in_any_order_and_twice),
    cmocka_unit_test(test_pool_closed_or_freed_takes_no_work),
    cmocka_unit_test(test_pool_close_is_not_kept_waiting),
    cmocka_unit_test(test_pool_two_at_once_and_one_of_fifty),
    cmocka_unit_test(test_pool_options_out_of_range_are_refused),
    cmocka_unit_test(test_pool_default_options_use_the_usable_cpus),
    cmocka_unit_test(test_workers_are_daemons_named_after_their_method),
    cmocka_unit_test(test_initializer_runs_before_the_first_task_of_each_worker),
    cmocka_unit_test(test_initializer_that_fails_ends_the_map),
    cmocka_unit_test(test_pool_in_a_daemon_is_refused),
    cmocka_unit_test(test_pool_of_the_parent_is_refused_to_a_forked_child),
};
MP_TEST_MAIN(tests)
