/* test_barrier.c: mp_barrier between processes and threads, under the environment's start method. */
#include "helpers/process.h"

#include <math.h>
#include <pthread.h>

#include "sync/barrier.h"

#define PARTIES 4
#define ROUNDS  200
#define LONG    30.0

static mp_barrier *
barrier_new(int parties, mp_barrier_action action, void *arg)
{
    mp_barrier *b = mp_barrier_new(parties, &(mp_barrier_options){.action = action, .arg = arg});
    assert_non_null(b);
    return b;
}

static void
wait_waiting(mp_barrier *b, int n)
{
    while (mp_barrier_n_waiting(b) != n) {
        nap();
    }
}

/* ---- children ----------------------------------------------------------------------------------*/

/* Come once; the exit code tells the place, or 100 for a broken barrier. */
static int
comes(const mp_args *args)
{
    mp_barrier *b;
    double timeout;
    mp_args_get(args, &b, &timeout);
    int place = mp_barrier_wait(b, timeout);
    if (place == MP_EBROKENBARRIER) {
        return 100;
    }
    mp_child_check(place >= 0 && place < mp_barrier_parties(b));
    return place;
}

static mp_process *
party(mp_barrier *b, double timeout)
{
    return start(comes, mp_args(b, timeout));
}

#define BROKEN 100

/* What all rounds of a test share. */
struct rounds {
    _Atomic int acted;           /* rounds whose action has run */
    _Atomic int places[PARTIES]; /* how often each place was given */
    _Atomic int early;           /* parties that went on before the action */
    mp_barrier *barrier;
};

static int
count_round(void *arg)
{
    struct rounds *r = arg;
    r->acted++;
    return 0;
}

static bool
come_again_and_again(struct rounds *r)
{
    for (int i = 0; i < ROUNDS; i++) {
        int place = mp_barrier_wait(r->barrier, LONG);
        if (place < 0 || place >= PARTIES) {
            return false;
        }
        r->places[place]++;
        r->early += r->acted < i + 1;
    }
    return true;
}

static int
comes_again_and_again(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    mp_child_check(come_again_and_again(p));
    return 0;
}

static void *
thread_comes_again_and_again(void *arg)
{
    return come_again_and_again(arg) ? arg : NULL;
}

static struct rounds *
rounds_new(void)
{
    struct rounds *r = mp_calloc(1, sizeof *r);
    assert_non_null(r);
    r->barrier = barrier_new(PARTIES, count_round, r);
    return r;
}

static void
assert_rounds_and_free(struct rounds *r)
{
    assert_int_equal(r->acted, ROUNDS);
    assert_int_equal(r->early, 0);
    for (int i = 0; i < PARTIES; i++) {
        assert_int_equal(r->places[i], ROUNDS); /* each place once a round */
    }
    assert_int_equal(mp_barrier_n_waiting(r->barrier), 0);
    mp_assert_ok(mp_barrier_free(r->barrier));
    mp_free(r);
}

/* ---- rounds ------------------------------------------------------------------------------------*/

static void
test_barrier_of_one_opens_at_once(void **state)
{
    (void)state;
    mp_barrier *b = mp_barrier_new(1, NULL);
    assert_non_null(b);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(mp_barrier_wait(b, i % 2 ? 0 : MP_FOREVER), 0);
    }
    assert_int_equal(mp_barrier_parties(b), 1);
    mp_assert_ok(mp_barrier_free(b));
    mp_assert_ok(mp_barrier_free(NULL));
}

static void
test_barrier_opens_round_after_round(void **state)
{
    (void)state;
    struct rounds *r = rounds_new();
    mp_process *p[PARTIES];
    for (int i = 0; i < PARTIES; i++) {
        p[i] = start(comes_again_and_again, mp_args((void *)r));
    }
    for (int i = 0; i < PARTIES; i++) {
        assert_int_equal(finish(p[i]), 0);
    }
    assert_rounds_and_free(r);
}

static void
test_barrier_opens_for_threads(void **state)
{
    (void)state;
    struct rounds *r = rounds_new();
    pthread_t thread[PARTIES];
    for (int i = 0; i < PARTIES; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, thread_comes_again_and_again, r), 0);
    }
    for (int i = 0; i < PARTIES; i++) {
        void *result;
        pthread_join(thread[i], &result);
        assert_ptr_equal(result, r);
    }
    assert_rounds_and_free(r);
}

static void *
thread_comes(void *arg)
{
    return (void *)(intptr_t)mp_barrier_wait(arg, LONG);
}

static void
test_barrier_has_room_for_many(void **state)
{
    (void)state;
    enum { MANY = 150 };
    static pthread_t thread[MANY];
    static int seen[MANY];
    mp_barrier *b = mp_barrier_new(MANY, NULL);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, thread_comes, b), 0);
    }
    for (int i = 0; i < MANY; i++) {
        void *place;
        pthread_join(thread[i], &place);
        assert_in_range((intptr_t)place, 0, MANY - 1);
        seen[(intptr_t)place]++;
    }
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(seen[i], 1);
    }
    mp_assert_ok(mp_barrier_free(b));
}

static void
test_barrier_numbers_parties_as_they_come(void **state)
{
    (void)state;
    mp_barrier *b = mp_barrier_new(3, NULL);
    assert_int_equal(mp_barrier_n_waiting(b), 0);
    mp_process *first = party(b, MP_FOREVER);
    wait_waiting(b, 1);
    mp_process *second = party(b, LONG);
    wait_waiting(b, 2);
    assert_int_equal(mp_barrier_broken(b), 0);
    assert_int_equal(mp_barrier_wait(b, 0), 2); /* the last one has nothing to wait for */
    assert_int_equal(mp_barrier_n_waiting(b), 0);
    assert_int_equal(finish(first), 0);
    assert_int_equal(finish(second), 1);
    mp_assert_ok(mp_barrier_free(b));
}

/* ---- time-outs ---------------------------------------------------------------------------------*/

static void
test_barrier_time_out_breaks_it_for_all(void **state)
{
    (void)state;
    mp_barrier *b = mp_barrier_new(4, NULL);
    mp_process *p[2] = {party(b, LONG), party(b, LONG)};
    wait_waiting(b, 2);
    double begin = mp_test_now();
    mp_assert_code(mp_barrier_wait(b, 0.06), MP_EBROKENBARRIER);
    assert_true(mp_test_now() - begin >= 0.06);
    assert_non_null(strstr(mp_last_error_text(), "3 parties of 4 came"));
    assert_int_equal(finish(p[0]), BROKEN);
    assert_int_equal(finish(p[1]), BROKEN);
    assert_int_equal(mp_barrier_broken(b), 1);
    assert_int_equal(mp_barrier_n_waiting(b), 0);
    /* Whoever comes too late, too. */
    mp_assert_code(mp_barrier_wait(b, MP_FOREVER), MP_EBROKENBARRIER);
    mp_assert_code(mp_barrier_wait(b, 0), MP_EBROKENBARRIER);
    mp_assert_ok(mp_barrier_free(b));
}

static void
test_barrier_own_time_out_is_for_waits_without(void **state)
{
    (void)state;
    mp_barrier *b = mp_barrier_new(2, &(mp_barrier_options){.timeout = 0.05});
    double begin = mp_test_now();
    mp_assert_code(mp_barrier_wait(b, MP_FOREVER), MP_EBROKENBARRIER);
    assert_true(mp_test_now() - begin >= 0.05);
    mp_assert_ok(mp_barrier_reset(b));
    begin = mp_test_now();
    mp_assert_code(mp_barrier_wait(b, 0.12), MP_EBROKENBARRIER);
    assert_true(mp_test_now() - begin >= 0.12);
    mp_assert_ok(mp_barrier_free(b));

    b = mp_barrier_new(2, &(mp_barrier_options){.timeout = -1});
    mp_assert_code(mp_barrier_wait(b, MP_FOREVER), MP_EBROKENBARRIER);
    mp_assert_ok(mp_barrier_free(b));
}

static void
test_barrier_try_of_one_that_is_not_the_last_breaks_it(void **state)
{
    (void)state;
    mp_barrier *b = mp_barrier_new(2, NULL);
    for (int i = 0; i < 3; i++) {
        mp_assert_code(mp_barrier_wait(b, -i), MP_EBROKENBARRIER);
        assert_int_equal(mp_barrier_broken(b), 1);
        mp_assert_ok(mp_barrier_reset(b));
    }
    mp_assert_ok(mp_barrier_free(b));
}

/* ---- abort and reset ---------------------------------------------------------------------------*/

static void
test_barrier_abort_breaks_it_until_reset(void **state)
{
    (void)state;
    mp_barrier *b = mp_barrier_new(3, NULL);
    mp_process *p[2] = {party(b, MP_FOREVER), party(b, LONG)};
    wait_waiting(b, 2);
    mp_assert_ok(mp_barrier_abort(b));
    assert_int_equal(finish(p[0]), BROKEN);
    assert_int_equal(finish(p[1]), BROKEN);
    mp_assert_ok(mp_barrier_abort(b));
    assert_int_equal(mp_barrier_broken(b), 1);
    mp_assert_code(mp_barrier_wait(b, LONG), MP_EBROKENBARRIER);

    mp_assert_ok(mp_barrier_reset(b));
    assert_int_equal(mp_barrier_broken(b), 0);
    p[0] = party(b, LONG);
    p[1] = party(b, LONG);
    assert_in_range(mp_barrier_wait(b, LONG), 0, 2);
    assert_in_range(finish(p[0]), 0, 2);
    assert_in_range(finish(p[1]), 0, 2);
    mp_assert_ok(mp_barrier_free(b));
}

static void
test_barrier_reset_sends_away_who_waits(void **state)
{
    (void)state;
    mp_barrier *b = mp_barrier_new(3, NULL);
    mp_assert_ok(mp_barrier_reset(b)); /* nobody there */
    mp_process *p[2] = {party(b, MP_FOREVER), party(b, LONG)};
    wait_waiting(b, 2);
    mp_assert_ok(mp_barrier_reset(b));
    assert_int_equal(mp_barrier_n_waiting(b), 0);
    assert_int_equal(mp_barrier_broken(b), 0);
    assert_int_equal(finish(p[0]), BROKEN);
    assert_int_equal(finish(p[1]), BROKEN);

    p[0] = party(b, LONG);
    wait_waiting(b, 1);
    p[1] = party(b, LONG);
    wait_waiting(b, 2);
    assert_int_equal(mp_barrier_wait(b, LONG), 2);
    assert_int_equal(finish(p[0]), 0);
    assert_int_equal(finish(p[1]), 1);
    mp_assert_ok(mp_barrier_free(b));
}

/*
 * A party that is held up on its way out tells how its own round ended, whatever came after it.
 * After very many breaks it may be told of a break, but never that a broken round opened.
 */
static void
late_leaver(bool opened, int resets, int expected)
{
    mp_barrier *b = mp_barrier_new(2, NULL);
    mp_process *p = party(b, MP_FOREVER);
    wait_waiting(b, 1);
    kill(mp_process_pid(p), SIGSTOP);
    while (state_of(mp_process_pid(p)) != 'T') {
        nap();
    }
    if (opened) {
        assert_int_equal(mp_barrier_wait(b, LONG), 1);
    }
    for (int i = 0; i < resets; i++) {
        mp_assert_ok(mp_barrier_abort(b));
        mp_assert_ok(mp_barrier_reset(b));
        mp_process *q = party(b, LONG);
        assert_in_range(mp_barrier_wait(b, LONG), 0, 1);
        assert_in_range(finish(q), 0, 1);
    }
    kill(mp_process_pid(p), SIGCONT);
    assert_int_equal(finish(p), expected);
    mp_assert_ok(mp_barrier_free(b));
}

static void
test_barrier_late_leaver_knows_its_own_round(void **state)
{
    (void)state;
    late_leaver(true, 0, 0);
    late_leaver(true, 3, 0);
    late_leaver(true, MP__BARRIER_ERAS, 0);
    late_leaver(true, MP__BARRIER_ERAS + 1, BROKEN);
    late_leaver(false, 1, BROKEN);
    late_leaver(false, 3, BROKEN);
    late_leaver(false, MP__BARRIER_ERAS + 1, BROKEN);
}

/* ---- the action --------------------------------------------------------------------------------*/

static int
note_runner(void *arg)
{
    struct note *n = arg;
    n->ready++;
    n->number[0] = getpid();
    return 0;
}

/* A static function, which a spawned process has at another address. */
static void
test_barrier_action_is_run_by_the_last_wherever_it_is(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp_barrier *b = barrier_new(2, note_runner, n);
    pthread_t thread;
    void *place;
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(pthread_create(&thread, NULL, thread_comes, b), 0);
        wait_waiting(b, 1);
        assert_int_equal(n->ready, i - 1); /* nobody runs it before all came */
        mp_process *p = party(b, LONG);
        pid_t pid = mp_process_pid(p);
        assert_int_equal(finish(p), 1);
        pthread_join(thread, &place);
        assert_int_equal((intptr_t)place, 0);
        assert_int_equal(n->ready, i);
        assert_int_equal(n->number[0], pid);
    }
    mp_assert_ok(mp_barrier_free(b));
    mp_free(n);
}

static int
fail_as_told(void *arg)
{
    struct note *n = arg;
    return (int)n->number[0];
}

static void
test_barrier_action_that_fails_breaks_it(void **state)
{
    (void)state;
    static const int gives[][2] = {
        {MP_EINDEX, MP_EINDEX}, {-EIO, -EIO}, {EIO, -EIO}, {1, -1}, {0, 1}};
    struct note *n = note_new();
    mp_barrier *b = barrier_new(2, fail_as_told, n);
    for (size_t i = 0; i < sizeof gives / sizeof *gives; i++) {
        n->number[0] = gives[i][0];
        mp_process *p = party(b, LONG);
        wait_waiting(b, 1);
        assert_int_equal(mp_barrier_wait(b, LONG), gives[i][1]);
        assert_int_equal(finish(p), gives[i][0] ? BROKEN : 0);
        assert_int_equal(mp_barrier_broken(b), gives[i][0] != 0);
        if (gives[i][0]) {
            assert_int_equal(mp_last_error(), gives[i][1]);
            mp_assert_code(mp_barrier_wait(b, LONG), MP_EBROKENBARRIER);
        }
        mp_assert_ok(mp_barrier_reset(b));
    }
    mp_assert_ok(mp_barrier_free(b));
    mp_free(n);
}

/* Begun, then for as long as the test wants. */
static int
take_long(void *arg)
{
    struct note *n = arg;
    n->ready++;
    wait_for(&n->go, 1);
    return 0;
}

static void
test_barrier_time_outs_do_not_count_while_the_action_runs(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp_barrier *b = barrier_new(2, take_long, n);
    pthread_t thread;
    void *place;
    mp_process *p;
    double timeout = 0.5;
    do { /* until it is not too slow for its time-out: the thread comes before it is over */
        timeout *= 2;
        mp_assert_ok(mp_barrier_reset(b));
        p = party(b, timeout);
        while (mp_barrier_n_waiting(b) != 1 && mp_barrier_broken(b) == 0) {
            nap();
        }
        assert_int_equal(pthread_create(&thread, NULL, thread_comes, b), 0);
        while (n->ready == 0 && mp_barrier_broken(b) == 0) {
            nap();
        }
        if (n->ready == 0) {
            pthread_join(thread, NULL);
            assert_int_equal(finish(p), BROKEN);
        }
    } while (n->ready == 0);
    assert_int_equal(mp_barrier_n_waiting(b), 2);
    /* One too many: it can wait for the next round, or not. */
    mp_assert_code(mp_barrier_wait(b, 0), MP_ETIMEOUT);
    mp_assert_code(mp_barrier_wait(b, timeout + 0.2), MP_ETIMEOUT);
    assert_int_equal(mp_barrier_broken(b), 0);
    n->go = 1;
    assert_int_equal(finish(p), 0);
    pthread_join(thread, &place);
    assert_int_equal((intptr_t)place, 1);

    p = party(b, LONG);
    assert_in_range(mp_barrier_wait(b, LONG), 0, 1);
    assert_in_range(finish(p), 0, 1);
    mp_assert_ok(mp_barrier_free(b));
    mp_free(n);
}

static void
test_barrier_party_too_many_comes_to_the_next_round(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp_barrier *b = barrier_new(1, take_long, n);
    mp_process *p[3];
    for (int i = 0; i < 3; i++) {
        p[i] = party(b, LONG);
    }
    wait_for(&n->ready, 1);
    n->go = 1;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(finish(p[i]), 0);
    }
    assert_int_equal(n->ready, 3);
    mp_assert_ok(mp_barrier_free(b));
    mp_free(n);
}

static void
end_during_action(int (*end)(mp_barrier *), int broken)
{
    struct note *n = note_new();
    mp_barrier *b = barrier_new(2, take_long, n);
    pthread_t thread;
    void *place;
    mp_process *p = party(b, LONG);
    wait_waiting(b, 1);
    assert_int_equal(pthread_create(&thread, NULL, thread_comes, b), 0);
    wait_for(&n->ready, 1);
    mp_assert_ok(end(b));
    assert_int_equal(finish(p), BROKEN); /* it need not wait for the action */
    assert_int_equal(mp_barrier_broken(b), broken);
    n->go = 1;
    pthread_join(thread, &place);
    assert_int_equal((intptr_t)place, MP_EBROKENBARRIER);
    assert_int_equal(mp_barrier_broken(b), broken);
    mp_assert_ok(mp_barrier_free(b));
    mp_free(n);
}

static void
test_barrier_abort_and_reset_do_not_wait_for_the_action(void **state)
{
    (void)state;
    end_during_action(mp_barrier_abort, 1);
    end_during_action(mp_barrier_reset, 0);
}

/* ---- what is refused, and texts ----------------------------------------------------------------*/

static void
test_barrier_new_refuses_nonsense(void **state)
{
    (void)state;
    for (int parties = -1; parties < 1; parties++) {
        assert_null(mp_barrier_new(parties, NULL));
        assert_int_equal(mp_last_error(), MP_EVALUE);
    }
    assert_non_null(strstr(mp_last_error_text(), "at least 1"));
    assert_null(mp_barrier_new(2, &(mp_barrier_options){.timeout = NAN}));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    assert_null(mp_barrier_new(2, &(mp_barrier_options){.reserved = {0, 0, 0, 1}}));
    assert_int_equal(mp_last_error(), MP_EVALUE);
}

static void
test_barrier_that_is_none_is_refused(void **state)
{
    (void)state;
    mp_barrier *b = mp_barrier_new(2, NULL);
    mp_event *event = mp_event_new();
    mp_assert_code(mp_barrier_wait(b, NAN), MP_EVALUE);
    assert_int_equal(mp_barrier_broken(b), 0);
    mp_assert_ok(mp_barrier_free(b));
    mp_barrier *const wrong[] = {NULL, b, (mp_barrier *)(void *)event,
                                 (mp_barrier *)(void *)&event};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        mp_assert_code(mp_barrier_wait(wrong[i], 0), MP_EVALUE);
        mp_assert_code(mp_barrier_reset(wrong[i]), MP_EVALUE);
        mp_assert_code(mp_barrier_abort(wrong[i]), MP_EVALUE);
        mp_assert_code(mp_barrier_parties(wrong[i]), MP_EVALUE);
        mp_assert_code(mp_barrier_n_waiting(wrong[i]), MP_EVALUE);
        mp_assert_code(mp_barrier_broken(wrong[i]), MP_EVALUE);
        mp_assert_code(mp_barrier_repr(wrong[i], NULL, 0), MP_EVALUE);
        if (wrong[i]) {
            mp_assert_code(mp_barrier_free(wrong[i]), MP_EVALUE);
        }
    }
    mp_assert_ok(mp_event_free(event));
}

static void
test_barrier_prints_as_in_python(void **state)
{
    (void)state;
    char text[120], expected[120];
    mp_barrier *b = mp_barrier_new(3, NULL);
    mp_process *p = party(b, LONG);
    wait_waiting(b, 1);
    snprintf(expected, sizeof expected, "<multiprocessing.synchronize.Barrier at %p: waiters=1/3>",
             (void *)b);
    assert_int_equal(mp_barrier_repr(b, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);
    mp_assert_ok(mp_barrier_abort(b));
    assert_int_equal(finish(p), BROKEN);
    snprintf(expected, sizeof expected, "<multiprocessing.synchronize.Barrier at %p: broken>",
             (void *)b);
    assert_int_equal(mp_barrier_repr(b, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);
    mp_assert_ok(mp_barrier_free(b));
}

static int
comes_to_what_comes_by_queue(const mp_args *args)
{
    mp_queue *q;
    mp_obj o;
    mp_args_get(args, &q);
    mp_child_ok(mp_queue_get(q, &o, LONG));
    mp_barrier *b = mp_as_handle(o, MP_HANDLE_BARRIER);
    mp_child_check(b && strcmp(mp_obj_type_name(o), "Barrier") == 0);
    mp_child_check(mp_barrier_wait(b, LONG) >= 0);
    mp_obj_free(o);
    return 0;
}

static void
test_barrier_travels_through_a_queue(void **state)
{
    (void)state;
    mp_barrier *b = mp_barrier_new(2, NULL);
    mp_queue *q = mp_queue_new(0);
    mp_process *p = start(comes_to_what_comes_by_queue, mp_args(q));
    mp_assert_ok(mp_queue_put(q, mp_from(b), MP_FOREVER));
    assert_in_range(mp_barrier_wait(b, LONG), 0, 1);
    assert_int_equal(finish(p), 0);
    mp_assert_ok(mp_queue_free(q));
    mp_assert_ok(mp_barrier_free(b));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_barrier_of_one_opens_at_once),
    cmocka_unit_test(test_barrier_opens_round_after_round),
    cmocka_unit_test(test_barrier_opens_for_threads),
    cmocka_unit_test(test_barrier_has_room_for_many),
    cmocka_unit_test(test_barrier_numbers_parties_as_they_come),
    cmocka_unit_test(test_barrier_time_out_breaks_it_for_all),
    cmocka_unit_test(test_barrier_own_time_out_is_for_waits_without),
    cmocka_unit_test(test_barrier_try_of_one_that_is_not_the_last_breaks_it),
    cmocka_unit_test(test_barrier_abort_breaks_it_until_reset),
    cmocka_unit_test(test_barrier_reset_sends_away_who_waits),
    cmocka_unit_test(test_barrier_late_leaver_knows_its_own_round),
    cmocka_unit_test(test_barrier_action_is_run_by_the_last_wherever_it_is),
    cmocka_unit_test(test_barrier_action_that_fails_breaks_it),
    cmocka_unit_test(test_barrier_time_outs_do_not_count_while_the_action_runs),
    cmocka_unit_test(test_barrier_party_too_many_comes_to_the_next_round),
    cmocka_unit_test(test_barrier_abort_and_reset_do_not_wait_for_the_action),
    cmocka_unit_test(test_barrier_new_refuses_nonsense),
    cmocka_unit_test(test_barrier_that_is_none_is_refused),
    cmocka_unit_test(test_barrier_prints_as_in_python),
    cmocka_unit_test(test_barrier_travels_through_a_queue),
};

MP_TEST_MAIN(tests)
