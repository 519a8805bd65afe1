/*
 * test_queue_loan.c: messages made and read where they lie: reserve, commit, cancel; peek, release,
 * give back; many at once, slow ones, and those of the dead.
 */
#include "helpers/queue.h"

#include <pthread.h>
#include <sched.h>

#define MIB ((size_t)1 << 20)

static void
fill(void *to, size_t len, uint64_t number)
{
    unsigned char *data = to;
    for (size_t i = 0; i < len; i++) {
        data[i] = (unsigned char)(number * 31 + i * 7 + (i >> 8));
    }
}

static bool
is_filled(const void *from, size_t len, uint64_t number)
{
    const unsigned char *data = from;
    for (size_t i = 0; i < len; i++) {
        if (data[i] != (unsigned char)(number * 31 + i * 7 + (i >> 8))) {
            return false;
        }
    }
    return true;
}

static void *
reserved(mp_queue *q, size_t len)
{
    void *data = mp_queue_reserve(q, len);
    if (!data) {
        fail_msg("mp_queue_reserve: %s", mp_last_error_text());
    }
    assert_int_equal((uintptr_t)data % 64, 0);
    return data;
}

static const void *
peeked(mp_queue *q, size_t expected)
{
    const void *data = NULL;
    size_t len = 0;
    mp_assert_ok(mp_queue_peek_bytes(q, &data, &len, 10));
    assert_int_equal(len, expected);
    assert_int_equal((uintptr_t)data % 64, 0);
    return data;
}

static void
assert_bytes(mp_queue *q, const char *expected)
{
    char buf[64];
    size_t len = 0;
    mp_assert_ok(mp_queue_get_bytes(q, buf, sizeof buf, &len, 5));
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(buf, expected, len);
}

/* ---- making ---------------------------------------------------------------------------------- */

static void
test_queue_reserve_then_commit_is_a_put_of_all_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 8, 63, 64, 1000, 4096, 5000, 65536, 3 * MIB + 1};
    mp_queue *q = made(mp_queue_new(0));
    unsigned char *buf = malloc(4 * MIB);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t len = sizes[i], got;
        void *data = reserved(q, len);
        fill(data, len, i);
        assert_int_equal(mp_queue_qsize(q), 0);
        mp_assert_ok(mp_queue_commit(q, data, len, 0));
        assert_int_equal(mp_queue_qsize(q), 1);
        mp_assert_ok(mp_queue_get_bytes(q, buf, 4 * MIB, &got, 0));
        assert_int_equal(got, len);
        assert_true(is_filled(buf, len, i));
        data = reserved(q, len + 100); /* more than is needed in the end */
        fill(data, len, i);
        mp_assert_ok(mp_queue_commit(q, data, len, 0));
        mp_obj o;
        mp_assert_ok(mp_queue_get(q, &o, 0));
        assert_int_equal(mp_obj_len(o), len);
        assert_true(is_filled(mp_as_bytes(o, NULL), len, i));
        mp_obj_free(o);
    }
    free(buf);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_order_is_that_of_the_commits(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    char *a = reserved(q, 10), *b = reserved(q, 10), *c = reserved(q, 10);
    memcpy(a, "a", 1);
    memcpy(b, "b", 1);
    mp_assert_ok(mp_queue_put_bytes(q, "put", 3, 0)); /* an open loan stops nobody */
    mp_assert_ok(mp_queue_commit(q, b, 1, 0));
    mp_assert_ok(mp_queue_cancel(q, c));
    mp_assert_ok(mp_queue_put_bytes(q, "again", 5, 0));
    mp_assert_ok(mp_queue_commit(q, a, 1, 0));
    assert_int_equal(mp_queue_qsize(q), 4);
    assert_bytes(q, "put");
    assert_bytes(q, "b");
    assert_bytes(q, "again");
    assert_bytes(q, "a");
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_commit_without_room_leaves_the_loan_open(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(1));
    void *data = reserved(q, 3);
    memcpy(data, "two", 3);
    mp_assert_ok(mp_queue_put_bytes(q, "one", 3, 0));
    mp_assert_code(mp_queue_commit(q, data, 3, 0), MP_EFULL);
    double t = mp_test_now();
    mp_assert_code(mp_queue_commit(q, data, 3, 0.05), MP_EFULL);
    took(t, 0.05, 0.05 + STALL);
    mp_assert_code(mp_queue_commit(q, data, 4, 0), MP_EVALUE); /* more than was reserved */
    assert_bytes(q, "one");
    mp_assert_ok(mp_queue_commit(q, data, 3, 0));
    assert_bytes(q, "two");
    mp_assert_ok(mp_queue_free(q));
}

/* ---- reading --------------------------------------------------------------------------------- */

static void
test_queue_peeked_message_is_out_until_it_is_given_back(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    mp_assert_ok(mp_queue_put_bytes(q, "one", 3, 0));
    mp_assert_ok(mp_queue_put_bytes(q, "two", 3, 0));
    mp_assert_ok(mp_queue_put_bytes(q, "three", 5, 0));
    const void *one = peeked(q, 3), *two = peeked(q, 3);
    assert_memory_equal(one, "one", 3);
    assert_memory_equal(two, "two", 3);
    assert_int_equal(mp_queue_qsize(q), 1);
    mp_assert_ok(mp_queue_give_back(q, two));
    assert_int_equal(mp_queue_qsize(q), 2);
    mp_assert_ok(mp_queue_give_back(q, one)); /* the older one is the first, all the same */
    assert_int_equal(mp_queue_qsize(q), 3);
    assert_bytes(q, "one");
    two = peeked(q, 3);
    mp_assert_ok(mp_queue_release(q, two));
    assert_bytes(q, "three");
    assert_int_equal(mp_queue_empty(q), 1);
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_peeked_object_is_the_object(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    mp_obj o;
    const void *loan;
    size_t len;
    mp_assert_ok(mp_queue_put(q, mp_list(1, "two", q), 0));
    mp_assert_ok(mp_queue_put_bytes(q, "bytes", 5, 0));
    mp_assert_code(mp_queue_peek_bytes(q, &loan, &len, 0), MP_ETYPE);
    assert_null(loan);
    for (int i = 0; i < 2; i++) {
        mp_assert_ok(mp_queue_peek(q, &o, &loan, 0));
        assert_int_equal(mp_obj_len(o), 3);
        assert_ptr_equal(mp_as_handle(mp_list_get(o, 2), MP_HANDLE_QUEUE), q);
        mp_obj_free(o);
        mp_assert_ok(i == 0 ? mp_queue_give_back(q, loan) : mp_queue_release(q, loan));
    }
    mp_assert_ok(mp_queue_peek(q, &o, &loan, 0));
    assert_int_equal(mp_obj_kind(o), MP_KIND_BYTES);
    mp_obj_free(o);
    mp_assert_ok(mp_queue_release(q, loan));
    mp_assert_code(mp_queue_peek(q, &o, &loan, 0), MP_EEMPTY);
    assert_null(loan);
    assert_true(mp_is_none(o));
    mp_assert_ok(mp_queue_free(q));
}

/* Each is served by itself, in any order. */
static void
test_queue_many_loans_are_open_at_once(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    mp_queue *q = made(mp_queue_new(0));
    void *mine[COUNT];
    const void *theirs[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        mine[i] = reserved(q, i * 97 % 7000 + 1);
        fill(mine[i], i * 97 % 7000 + 1, i);
    }
    for (size_t i = 0; i < COUNT; i++) {
        mp_assert_ok(mp_queue_commit(q, mine[i], i * 97 % 7000 + 1, 0));
    }
    for (size_t i = 0; i < COUNT; i++) {
        theirs[i] = peeked(q, i * 97 % 7000 + 1);
    }
    assert_int_equal(mp_queue_empty(q), 1);
    for (size_t i = 0; i < COUNT; i++) {
        size_t k = i * 7 % COUNT;
        assert_true(is_filled(theirs[k], k * 97 % 7000 + 1, k));
        mp_assert_ok(k % 2 ? mp_queue_release(q, theirs[k]) : mp_queue_give_back(q, theirs[k]));
    }
    assert_int_equal(mp_queue_qsize(q), COUNT / 2);
    for (size_t i = 0; i < COUNT; i += 2) {
        const void *data = peeked(q, i * 97 % 7000 + 1); /* in their old order */
        assert_true(is_filled(data, i * 97 % 7000 + 1, i));
        mp_assert_ok(mp_queue_release(q, data));
    }
    mp_assert_ok(mp_queue_free(q));
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void
test_queue_what_is_no_loan_is_refused(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0)), *other = made(mp_queue_new(0));
    void *block = mp_malloc(100);
    char on_stack[100];
    const void *data;
    size_t len;
    void *mine = reserved(q, 10);
    mp_assert_ok(mp_queue_put_bytes(q, "lent", 4, 0));
    const void *lent = peeked(q, 4);
    void *wrong[] = {NULL, block, on_stack, (char *)mine + 1, (char *)mine + 64, q};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        mp_assert_code(mp_queue_commit(q, wrong[i], 1, 0), MP_EVALUE);
        mp_assert_code(mp_queue_cancel(q, wrong[i]), MP_EVALUE);
        mp_assert_code(mp_queue_release(q, wrong[i]), MP_EVALUE);
        mp_assert_code(mp_queue_give_back(q, wrong[i]), MP_EVALUE);
    }
    assert_text("mp_queue_give_back");
    mp_assert_code(mp_queue_release(q, mine), MP_EVALUE); /* each by its own calls */
    mp_assert_code(mp_queue_cancel(q, (void *)(uintptr_t)lent), MP_EVALUE);
    mp_assert_code(mp_queue_commit(other, mine, 10, 0), MP_EVALUE); /* to its own queue */
    mp_assert_ok(mp_queue_cancel(q, mine));
    mp_assert_code(mp_queue_cancel(q, mine), MP_EVALUE);
    mp_assert_ok(mp_queue_release(q, lent));
    mp_assert_code(mp_queue_release(q, lent), MP_EVALUE);
    assert_null(mp_queue_reserve(q, SIZE_MAX));
    assert_int_equal(mp_last_error(), MP_ENOMEM);
    assert_null(mp_queue_reserve(NULL, 1));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    mp_assert_code(mp_queue_peek_bytes(q, NULL, &len, 0), MP_EVALUE);
    mp_assert_code(mp_queue_peek_bytes(q, &data, NULL, 0), MP_EVALUE);
    mp_assert_code(mp_queue_peek(q, NULL, &data, 0), MP_EVALUE);
    mp_free(block);
    mp_assert_ok(mp_queue_free(other));
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_free_takes_open_loans_with_it(void **state)
{
    (void)state;
    mp_heap_info before, after;
    mp_assert_ok(mp_heap_stats(&before));
    mp_queue *q = made(mp_queue_new(0));
    for (int i = 0; i < 10; i++) {
        mp_assert_ok(mp_queue_put_bytes(q, "message", 7, 0));
    }
    for (int i = 0; i < 5; i++) {
        (void)reserved(q, 100000);
        (void)peeked(q, 7);
    }
    mp_assert_ok(mp_queue_free(q));
    mp_assert_ok(mp_heap_stats(&after));
    assert_int_equal(after.blocks, before.blocks);
}

static void
test_queue_closed_one_takes_loans_back(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(0));
    mp_assert_ok(mp_queue_put_bytes(q, "message", 7, 0));
    void *mine = reserved(q, 5);
    const void *lent = peeked(q, 7);
    mp_assert_ok(mp_queue_close(q));
    mp_assert_code(mp_queue_commit(q, mine, 5, 0), MP_EVALUE);
    assert_text("closed");
    mp_assert_ok(mp_queue_cancel(q, mine));
    mp_assert_ok(mp_queue_give_back(q, lent));
    assert_int_equal(mp_queue_qsize(q), 1);
    mp_assert_ok(mp_queue_free(q));
}

/* ---- other processes ------------------------------------------------------------------------- */

static int
peek_and_hang(const mp_args *args)
{
    mp_queue *q;
    void *note;
    mp_args_get(args, &q, &note);
    struct note *n = note;
    const void *data;
    size_t len;
    for (int i = 0; i < 3; i++) {
        mp_child_ok(mp_queue_peek_bytes(q, &data, &len, 10));
    }
    mp_child_ok(mp_queue_release(q, data)); /* the third is used up */
    mp_child_check(mp_queue_reserve(q, 500000) != NULL);
    atomic_fetch_add(&n->ready, 1);
    pause_for_ever();
    return 0;
}

static void
test_queue_what_a_dead_peeker_had_goes_to_the_next_in_order(void **state)
{
    (void)state;
    mp_heap_info before, after;
    mp_assert_ok(mp_heap_stats(&before));
    struct note *n = note_new();
    mp_queue *q = made(mp_queue_new(0));
    static const char *const texts[] = {"one", "two", "three", "four"};
    for (int i = 0; i < 4; i++) {
        mp_assert_ok(mp_queue_put_bytes(q, texts[i], strlen(texts[i]), 0));
    }
    mp_process *p = start(peek_and_hang, mp_args(q, (void *)n));
    wait_for(&n->ready, 1);
    assert_int_equal(mp_queue_qsize(q), 1);
    kill_and_free(p);
    double t = mp_test_now();
    while (mp_queue_qsize(q) < 3) {
        nap(); /* its death is seen within a slice */
    }
    took(t, 0, STALL);
    assert_bytes(q, "one");
    assert_bytes(q, "two");
    assert_bytes(q, "four");
    char buf[8];
    size_t len;
    mp_assert_code(mp_queue_get_bytes(q, buf, sizeof buf, &len, 0.12), MP_EEMPTY);
    mp_assert_ok(mp_queue_free(q)); /* and what it had reserved is given back */
    mp_free(n);
    mp_assert_ok(mp_heap_stats(&after));
    assert_int_equal(after.blocks, before.blocks);
}

/* Somebody sleeps in get while the peeker dies. */
static int
get_the_first(const mp_args *args)
{
    mp_queue *q;
    void *note;
    mp_args_get(args, &q, &note);
    struct note *n = note;
    char buf[8];
    size_t len;
    atomic_fetch_add(&n->ready, 1);
    mp_child_ok(mp_queue_get_bytes(q, buf, sizeof buf, &len, 30));
    mp_child_check(len == 3 && memcmp(buf, "one", 3) == 0);
    return 0;
}

static void
test_queue_sleeping_getter_inherits_from_a_dead_peeker(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp_queue *q = made(mp_queue_new(0));
    mp_assert_ok(mp_queue_put_bytes(q, "one", 3, 0));
    mp_assert_ok(mp_queue_put_bytes(q, "two", 3, 0));
    mp_assert_ok(mp_queue_put_bytes(q, "three", 5, 0));
    mp_process *peeker = start(peek_and_hang, mp_args(q, (void *)n));
    wait_for(&n->ready, 1);
    mp_process *getter = start(get_the_first, mp_args(q, (void *)n));
    wait_for(&n->ready, 2);
    wait_for_sleepers(q, 1);
    kill_and_free(peeker);
    double t = mp_test_now();
    assert_int_equal(finish(getter), 0);
    took(t, 0, STALL);
    mp_assert_ok(mp_queue_free(q));
    mp_free(n);
}

/* ---- two at once ------------------------------------------------------------------------------ */

struct two {
    mp_queue *q;
    int (*end)(mp_queue *, const void *);
    const void *_Atomic loan; /* NULL: that was all */
    _Atomic int round, ready, good, done;
};

static void
until(_Atomic int *value, int wanted)
{
    for (int looks = 1; atomic_load(value) < wanted; looks++) {
        if (looks % 1000 == 0) {
            sched_yield();
        }
    }
}

static void
end_together(struct two *t, int round, int late)
{
    atomic_fetch_add(&t->ready, 1);
    until(&t->ready, 2 * round);
    for (volatile int i = 0; i < late; i++) {
    }
    if (t->end(t->q, atomic_load(&t->loan)) == 0) {
        atomic_fetch_add(&t->good, 1);
    }
    atomic_fetch_add(&t->done, 1);
    until(&t->done, 2 * round);
}

static void *
end_too(void *arg)
{
    struct two *t = arg;
    for (int round = 1;; round++) {
        until(&t->round, round);
        if (!atomic_load(&t->loan)) {
            return NULL;
        }
        end_together(t, round, 40);
    }
}

/* Many rounds; fewer where the two seldom run at the same time. */
static void
two_end_one_loan(int (*end)(mp_queue *, const void *))
{
    enum { ROUNDS = 20000, LEAST = 200 };
    const double limit = mp_test_now() + 10;
    struct two t = {.q = made(mp_queue_new(0)), .end = end};
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, end_too, &t), 0);
    for (int round = 1; round <= LEAST || (round <= ROUNDS && mp_test_now() < limit); round++) {
        const void *data;
        char buf[4];
        size_t len;
        mp_assert_ok(mp_queue_put_bytes(t.q, "x", 1, 0));
        mp_assert_ok(mp_queue_peek_bytes(t.q, &data, &len, 0));
        atomic_store(&t.loan, data);
        atomic_store(&t.round, round);
        end_together(&t, round, round % 80);
        assert_int_equal(atomic_load(&t.good), round);
        if (end == mp_queue_give_back) {
            mp_assert_ok(mp_queue_get_bytes(t.q, buf, sizeof buf, &len, 0));
        }
        assert_int_equal(mp_queue_qsize(t.q), 0);
    }
    atomic_store(&t.loan, NULL);
    atomic_fetch_add(&t.round, 1);
    pthread_join(other, NULL);
    mp_assert_ok(mp_queue_free(t.q));
}

/* A mistake; but the slot may be another process's already, which must not suffer by it. */
static void
test_queue_loan_ended_by_two_threads_at_once_ends_once(void **state)
{
    (void)state;
    two_end_one_loan(mp_queue_release);
    two_end_one_loan(mp_queue_give_back);
}

static int
try_to_put(const mp_args *args)
{
    mp_queue *q;
    void *note;
    mp_args_get(args, &q, &note);
    struct note *n = note;
    atomic_fetch_add(&n->ready, 1);
    while (atomic_load(&n->go) == 0) {
        mp_child_code(mp_queue_put(q, 2, 0), MP_EFULL);
    }
    return 0;
}

/* The object that it does not want was never out: nobody finds room, or nothing, meanwhile. */
static void
test_queue_peek_bytes_at_an_object_leaves_the_queue_full(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp_queue *q = made(mp_queue_new(1));
    mp_assert_ok(mp_queue_put(q, 1, 0));
    mp_process *p = start(try_to_put, mp_args(q, (void *)n));
    wait_for(&n->ready, 1);
    for (int i = 0; i < 100000; i++) {
        const void *data;
        size_t len;
        mp_assert_code(mp_queue_peek_bytes(q, &data, &len, 0), MP_ETYPE);
    }
    atomic_store(&n->go, 1);
    assert_int_equal(finish(p), 0);
    assert_int_equal(mp_queue_qsize(q), 1);
    assert_next(q, 1);
    mp_assert_ok(mp_queue_free(q));
    mp_free(n);
}

/* A slow loan on either side stops nobody. */
static void
test_queue_slow_loans_stop_nobody(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp_queue *q = made(mp_queue_new(0));
    for (int i = 0; i < 3; i++) {
        mp_assert_ok(mp_queue_put_bytes(q, "lent", 4, 0));
    }
    mp_process *p = start(peek_and_hang, mp_args(q, (void *)n));
    wait_for(&n->ready, 1);
    double t = mp_test_now();
    for (int i = 0; i < 20000; i++) {
        mp_assert_ok(mp_queue_put_bytes(q, "flows", 5, 0));
        assert_bytes(q, "flows");
    }
    took(t, 0, STALL);
    kill_and_free(p);
    mp_assert_ok(mp_queue_free(q));
    mp_free(n);
}

enum { EACH = 3000 };

static int
lend_out(const mp_args *args)
{
    mp_queue *q;
    mp_args_get(args, &q);
    for (uint64_t i = 0; i < EACH; i++) {
        size_t len = 8 + i * 211 % 9000;
        unsigned char *data = mp_queue_reserve(q, len);
        mp_child_check(data != NULL);
        memcpy(data, &i, sizeof i);
        fill(data + 8, len - 8, i);
        mp_child_ok(mp_queue_commit(q, data, len, 30));
    }
    return 0;
}

static int
borrow(const mp_args *args)
{
    mp_queue *q;
    void *seen;
    mp_args_get(args, &q, &seen);
    for (uint64_t turn = 0;; turn++) {
        const void *data;
        size_t len;
        int status = mp_queue_peek_bytes(q, &data, &len, 30);
        if (status == MP_ESHUTDOWN) {
            return 0;
        }
        mp_child_ok(status);
        uint64_t i;
        memcpy(&i, data, sizeof i);
        mp_child_check(len == 8 + i * 211 % 9000);
        mp_child_check(is_filled((const unsigned char *)data + 8, len - 8, i));
        if (turn % 5 == 4) {
            mp_child_ok(mp_queue_give_back(q, data));
        } else {
            __atomic_fetch_add((unsigned char *)seen + i, 1, __ATOMIC_RELAXED);
            mp_child_ok(mp_queue_release(q, data));
        }
    }
}

static void
test_queue_loans_between_processes_arrive_once_and_whole(void **state)
{
    (void)state;
    mp_queue *q = made(mp_queue_new(200));
    unsigned char *seen = mp_calloc(1, EACH);
    mp_process *put[2], *get[2];
    for (int i = 0; i < 2; i++) {
        get[i] = start(borrow, mp_args(q, (void *)seen));
        put[i] = start(lend_out, mp_args(q));
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(finish(put[i]), 0);
    }
    while (mp_queue_empty(q) == 0) {
        nap();
    }
    mp_assert_ok(mp_queue_shutdown(q, false));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(finish(get[i]), 0);
    }
    /* One may have given back after the other had found it empty. */
    const void *data;
    size_t len;
    while (mp_queue_peek_bytes(q, &data, &len, 0) == 0) {
        uint64_t i;
        memcpy(&i, data, sizeof i);
        seen[i]++;
        mp_assert_ok(mp_queue_release(q, data));
    }
    for (int i = 0; i < EACH; i++) {
        assert_int_equal(seen[i], 2);
    }
    mp_free(seen);
    mp_assert_ok(mp_queue_free(q));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_queue_reserve_then_commit_is_a_put_of_all_sizes),
    cmocka_unit_test(test_queue_order_is_that_of_the_commits),
    cmocka_unit_test(test_queue_commit_without_room_leaves_the_loan_open),
    cmocka_unit_test(test_queue_peeked_message_is_out_until_it_is_given_back),
    cmocka_unit_test(test_queue_peeked_object_is_the_object),
    cmocka_unit_test(test_queue_many_loans_are_open_at_once),
    cmocka_unit_test(test_queue_what_is_no_loan_is_refused),
    cmocka_unit_test(test_queue_free_takes_open_loans_with_it),
    cmocka_unit_test(test_queue_closed_one_takes_loans_back),
    cmocka_unit_test(test_queue_what_a_dead_peeker_had_goes_to_the_next_in_order),
    cmocka_unit_test(test_queue_sleeping_getter_inherits_from_a_dead_peeker),
    cmocka_unit_test(test_queue_loan_ended_by_two_threads_at_once_ends_once),
    cmocka_unit_test(test_queue_peek_bytes_at_an_object_leaves_the_queue_full),
    cmocka_unit_test(test_queue_slow_loans_stop_nobody),
    cmocka_unit_test(test_queue_loans_between_processes_arrive_once_and_whole),
};
MP_TEST_MAIN(tests)
