/*
 * test_process.c: the life of a process from outside: start, join, exit codes, what may be asked
 * when, and of whom.  Names, daemons and grandchildren are in test_exit.c, lists of children in
 * test_active_children.c.
 */
#include "mp_test.h"

#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "helpers/process.h"

/* ---- the states of an object ------------------------------------------------------------------*/

static int
wait_for_go(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    struct note *n = p;
    atomic_store(&n->number[0], getpid());
    atomic_fetch_add(&n->ready, 1);
    wait_for(&n->go, 1);
    return 7;
}

static void
test_process_not_started_has_no_state(void **state)
{
    (void)state;
    int code = 1;
    mp_process *p = mp_process_new(hang, mp_args(mp_none()), NULL);
    assert_non_null(p);
    assert_int_equal(mp_process_pid(p), 0);
    assert_int_equal(mp_process_is_alive(p), 0);
    assert_int_equal(mp_process_exitcode(p, &code), MP_NOT_YET);
    assert_int_equal(code, 1);
    mp_assert_code(mp_process_sentinel(p), MP_EVALUE);
    mp_assert_code(mp_process_join(p, MP_FOREVER), MP_ESTATE);
    mp_assert_code(mp_process_join(p, 0), MP_ESTATE);
    mp_assert_code(mp_process_terminate(p), MP_ESTATE);
    mp_assert_code(mp_process_kill(p), MP_ESTATE);
    mp_assert_code(mp_process_interrupt(p), MP_ESTATE);
    mp_assert_ok(mp_process_free(p));
}

static void
test_process_running_then_ended_tells_each(void **state)
{
    (void)state;
    struct note *n = note_new();
    int code = -1;
    mp_process *p = start(wait_for_go, mp_args((void *)n));
    wait_for(&n->ready, 1);
    assert_int_equal(mp_process_pid(p), (pid_t)n->number[0]);
    assert_true(mp_process_pid(p) > 0);
    assert_int_equal(mp_process_is_alive(p), 1);
    assert_int_equal(mp_process_exitcode(p, &code), MP_NOT_YET);
    int sentinel = mp_process_sentinel(p);
    assert_true(sentinel >= 0);
    struct pollfd fd = {.fd = sentinel, .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 0), 0);
    mp_assert_code(mp_process_join(p, 0), MP_ETIMEOUT);
    mp_assert_code(mp_process_join(p, -1), MP_ETIMEOUT);
    mp_assert_code(mp_process_join(p, -INFINITY), MP_ETIMEOUT);
    mp_assert_code(mp_process_join(p, NAN), MP_EVALUE);
    double began = mp_test_now();
    mp_assert_code(mp_process_join(p, 0.05), MP_ETIMEOUT);
    assert_true(mp_test_now() - began >= 0.05);
    mp_assert_code(mp_process_close(p), MP_ESTATE);
    assert_int_equal(mp_process_is_alive(p), 1);

    atomic_store(&n->go, 1);
    assert_int_equal(poll(&fd, 1, 20000), 1);
    mp_assert_ok(mp_process_join(p, 10));
    mp_assert_ok(mp_process_join(p, 0));
    mp_assert_ok(mp_process_exitcode(p, &code));
    assert_int_equal(code, 7);
    assert_int_equal(mp_process_is_alive(p), 0);
    assert_int_equal(mp_process_pid(p), (pid_t)n->number[0]);
    fd.revents = 0;
    assert_int_equal(poll(&fd, 1, 0), 1);  /* it stays readable */
    mp_assert_ok(mp_process_terminate(p)); /* of an ended one: nothing */
    mp_assert_ok(mp_process_free(p));
    mp_free(n);
}

static void
test_process_without_target_ends_with_0(void **state)
{
    (void)state;
    assert_int_equal(finish(start(NULL, NULL)), 0);
}

static void
test_process_started_twice_is_refused(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp_process *p = start(hang, mp_args((void *)n));
    mp_assert_code(mp_process_start(p), MP_ESTATE);
    mp_assert_ok(mp_process_kill(p));
    mp_assert_ok(mp_process_join(p, MP_FOREVER));
    mp_assert_code(mp_process_start(p), MP_ESTATE);
    mp_assert_ok(mp_process_free(p));
    mp_free(n);
}

static void
test_process_closed_keeps_only_its_name(void **state)
{
    (void)state;
    int code;
    for (int started = 0; started < 2; started++) {
        mp_process *p = mp_process_new(NULL, mp_args(1), &(mp_process_options){.name = "closed"});
        if (started) {
            mp_assert_ok(mp_process_start(p));
            mp_assert_ok(mp_process_join(p, MP_FOREVER));
        }
        mp_assert_ok(mp_process_close(p));
        mp_assert_ok(mp_process_close(p));
        mp_assert_code(mp_process_start(p), MP_EVALUE);
        mp_assert_code(mp_process_join(p, 0), MP_EVALUE);
        mp_assert_code(mp_process_is_alive(p), MP_EVALUE);
        mp_assert_code(mp_process_exitcode(p, &code), MP_EVALUE);
        mp_assert_code(mp_process_terminate(p), MP_EVALUE);
        mp_assert_code(mp_process_kill(p), MP_EVALUE);
        mp_assert_code(mp_process_interrupt(p), MP_EVALUE);
        mp_assert_code(mp_process_pid(p), MP_EVALUE);
        mp_assert_code(mp_process_sentinel(p), MP_EVALUE);
        assert_string_equal(mp_process_name(p), "closed");
        assert_int_equal(mp_process_daemon(p), 0);
        mp_assert_ok(mp_process_free(p));
    }
}

static void
test_process_bad_handles_are_refused(void **state)
{
    (void)state;
    int code;
    char other[64] = {0};
    mp_queue *q = mp_queue_new(0);
    mp_process *freed = mp_process_new(NULL, NULL, NULL);
    mp_assert_ok(mp_process_free(freed));
    mp_process *bad[] = {NULL, (mp_process *)(void *)other, (mp_process *)(void *)q, freed};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mp_assert_code(mp_process_start(bad[i]), MP_EVALUE);
        mp_assert_code(mp_process_join(bad[i], 0), MP_EVALUE);
        mp_assert_code(mp_process_is_alive(bad[i]), MP_EVALUE);
        mp_assert_code(mp_process_exitcode(bad[i], &code), MP_EVALUE);
        mp_assert_code(mp_process_terminate(bad[i]), MP_EVALUE);
        mp_assert_code(mp_process_close(bad[i]), MP_EVALUE);
        mp_assert_code(mp_process_pid(bad[i]), MP_EVALUE);
        mp_assert_code(mp_process_sentinel(bad[i]), MP_EVALUE);
        mp_assert_code(mp_process_daemon(bad[i]), MP_EVALUE);
        mp_assert_code(mp_process_set_daemon(bad[i], true), MP_EVALUE);
        mp_assert_code(mp_process_set_name(bad[i], "x"), MP_EVALUE);
        assert_null(mp_process_name(bad[i]));
        assert_int_equal(mp_last_error(), MP_EVALUE);
        if (bad[i]) {
            mp_assert_code(mp_process_free(bad[i]), MP_EVALUE);
        }
    }
    mp_assert_ok(mp_process_free(NULL));
    mp_process *p = mp_process_new(NULL, NULL, NULL);
    mp_assert_code(mp_process_exitcode(p, NULL), MP_EVALUE);
    mp_assert_code(mp_process_set_name(p, NULL), MP_EVALUE);
    mp_assert_ok(mp_process_free(p));
    mp_assert_ok(mp_queue_free(q));
}

static void
test_process_bad_options_are_refused(void **state)
{
    (void)state;
    mp_process_options o = {.reserved = {0, 0, 0, 1}};
    assert_null(mp_process_new(NULL, mp_args(1, 2), &o));
    assert_int_equal(mp_last_error(), MP_EVALUE);
    o = (mp_process_options){.daemon = 2};
    assert_null(mp_process_new(NULL, mp_args(1, 2), &o));
    assert_int_equal(mp_last_error(), MP_EVALUE);
}

/* ---- exit codes -------------------------------------------------------------------------------*/

enum way { RETURN, MP_EXIT, EXIT, RAW_EXIT, SIGNAL, ABORT };

static int
end_by(const mp_args *args)
{
    int way, value;
    mp_args_get(args, &way, &value);
    switch ((enum way)way) {
    case RETURN:
        return value;
    case MP_EXIT:
        mp_exit(value);
    case EXIT:
        exit(value);
    case RAW_EXIT:
        _exit(value);
    case SIGNAL:
        signal(value, SIG_DFL); /* under fork a sanitizer's handlers come along */
        raise(value);
        break;
    case ABORT:
        signal(SIGABRT, SIG_DFL);
        abort();
    }
    return 111;
}

static void
test_process_exit_codes_wrap_and_signals_are_negative(void **state)
{
    (void)state;
    static const struct {
        int way, value, expected;
    } cases[] = {
        {RETURN, 0, 0},
        {RETURN, 1, 1},
        {RETURN, 255, 255},
        {RETURN, 256, 0},
        {RETURN, 300, 44},
        {RETURN, -1, 255},
        {RETURN, -2, 254},
        {RETURN, 1 << 20, 0},
        {MP_EXIT, 0, 0},
        {MP_EXIT, 8, 8},
        {MP_EXIT, 256, 0},
        {MP_EXIT, 300, 44},
        {MP_EXIT, -1, 255},
        {EXIT, 0, 0},
        {EXIT, 8, 8},
        {EXIT, -1, 255},
        {RAW_EXIT, 5, 5},
        {RAW_EXIT, 300, 44},
        {SIGNAL, SIGTERM, -SIGTERM},
        {SIGNAL, SIGKILL, -SIGKILL},
        {SIGNAL, SIGINT, -SIGINT},
        {SIGNAL, SIGSEGV, -SIGSEGV},
        {SIGNAL, SIGUSR1, -SIGUSR1},
        {ABORT, 0, -SIGABRT},
    };
    enum { N = sizeof cases / sizeof *cases };
    mp_process *p[N];
    for (int i = 0; i < N; i++) {
        p[i] = start(end_by, mp_args(cases[i].way, cases[i].value));
    }
    for (int i = 0; i < N; i++) {
        int code = finish(p[i]);
        if (code != cases[i].expected) {
            print_error("way %d, value %d\n", cases[i].way, cases[i].value);
        }
        assert_int_equal(code, cases[i].expected);
    }
}

static int
fail_with(const mp_args *args)
{
    int how;
    mp_args_get(args, &how);
    mp_queue *q = mp_queue_new(1);
    switch (how) {
    case 0: { /* the last error's own text */
        mp_obj item;
        int status = mp_queue_get_nowait(q, &item);
        mp_queue_free(q);
        return status;
    }
    case 1: /* a code that is not the last error's */
        mp_queue_free(q);
        return MP_EKEY;
    case 2:
        mp_queue_free(q);
        mp_fail("ValueError: %d is %s", 42, "wrong");
    default:
        mp_queue_free(q);
        return -20999; /* no code of ours */
    }
}

static void
test_process_uncaught_error_is_printed_and_gives_1(void **state)
{
    (void)state;
    struct capture c;
    char text[4][2000];
    int codes[4];
    for (int how = 0; how < 4; how++) {
        capture_begin(&c, 2);
        mp_process *p = start_with(fail_with, mp_args(how), &(mp_process_options){.name = "Eve"});
        mp_process_join(p, MP_FOREVER);
        mp_process_exitcode(p, &codes[how]);
        mp_process_free(p);
        capture_end(&c, text[how], sizeof text[how]);
    }
    assert_int_equal(codes[0], 1);
    assert_int_equal(strncmp(text[0], "Process Eve:\nqueue.Empty: ", 26), 0);
    assert_int_equal(text[0][strlen(text[0]) - 1], '\n');
    assert_int_equal(codes[1], 1);
    assert_string_equal(text[1], "Process Eve:\nKeyError: no such key\n");
    assert_int_equal(codes[2], 1);
    assert_string_equal(text[2], "Process Eve:\nValueError: 42 is wrong\n");
    assert_int_equal(codes[3], -20999 & 0xff);
    assert_string_equal(text[3], "");
}

static int
wants_a_queue(const mp_args *args)
{
    mp_queue *q;
    mp_args_get(args, &q);
    return 55;
}

static void
test_process_wrong_argument_is_a_type_error(void **state)
{
    (void)state;
    struct capture c;
    char text[2][2000];
    int codes[2] = {0};
    for (int i = 0; i < 2; i++) {
        capture_begin(&c, 2);
        mp_process *p = start_with(wants_a_queue, i ? mp_args(1, 2) : mp_args(2.5),
                                   &(mp_process_options){.name = "Bob"});
        mp_process_join(p, MP_FOREVER);
        mp_process_exitcode(p, &codes[i]);
        mp_process_free(p);
        capture_end(&c, text[i], sizeof text[i]);
    }
    assert_int_equal(codes[0], 1);
    assert_int_equal(strncmp(text[0], "Process Bob:\nTypeError: ", 24), 0);
    assert_non_null(strstr(text[0], "float"));
    assert_non_null(strstr(text[0], "Queue"));
    assert_int_equal(codes[1], 1);
    assert_int_equal(strncmp(text[1], "Process Bob:\nTypeError: ", 24), 0);
    assert_non_null(strstr(text[1], "2 were given"));
}

static int
wants_a_queue_and_cleans_up(const mp_args *args)
{
    mp_queue *q;
    return mp_args_unpack(args, 1, (const mp_slot[]){{MP_SLOT_QUEUE, &q, 0}}) == MP_ETYPE ? 0 : 1;
}

static void
test_process_unpack_without_exit_returns_the_error(void **state)
{
    (void)state;
    assert_int_equal(finish(start(wants_a_queue_and_cleans_up, mp_args("no queue"))), 0);
}

/* ---- signals ----------------------------------------------------------------------------------*/

static void
test_process_terminate_kill_interrupt_give_their_signal(void **state)
{
    (void)state;
    static int (*const calls[])(mp_process *) = {mp_process_terminate, mp_process_kill,
                                                 mp_process_interrupt};
    static const int signals[] = {SIGTERM, SIGKILL, SIGINT};
    struct note *n = note_new();
    for (int i = 0; i < 3; i++) {
        mp_process *p = start(hang, mp_args((void *)n));
        wait_for(&n->ready, i + 1);
        assert_int_equal(mp_process_is_alive(p), 1);
        mp_assert_ok(calls[i](p));
        assert_int_equal(finish(p), -signals[i]);
    }
    mp_free(n);
}

static void
test_process_stopped_is_alive(void **state)
{
    (void)state;
    struct note *n = note_new();
    int code;
    mp_process *p = start(wait_for_go, mp_args((void *)n));
    wait_for(&n->ready, 1);
    pid_t pid = mp_process_pid(p);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    while (state_of(pid) != 'T') {
        nap();
    }
    assert_int_equal(mp_process_is_alive(p), 1);
    mp_assert_code(mp_process_join(p, 0.02), MP_ETIMEOUT);
    assert_int_equal(mp_process_exitcode(p, &code), MP_NOT_YET);
    assert_int_equal(kill(pid, SIGCONT), 0);
    assert_int_equal(mp_process_is_alive(p), 1);
    atomic_store(&n->go, 1);
    assert_int_equal(finish(p), 7);
    mp_free(n);
}

static volatile sig_atomic_t signals_seen;

static void
count_signal(int signo)
{
    (void)signo;
    signals_seen++;
}

static int
disturb_parent(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    struct note *n = p;
    for (int i = 0; i < 20; i++) {
        kill((pid_t)n->number[0], SIGUSR1);
        nap();
    }
    return 3;
}

static void
test_process_join_goes_on_after_signals(void **state)
{
    (void)state;
    struct note *n = note_new();
    atomic_store(&n->number[0], getpid());
    struct sigaction before;
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = count_signal}, &before);
    mp_process *p = start(disturb_parent, mp_args((void *)n));
    int code = finish(p);
    sigaction(SIGUSR1, &before, NULL);
    assert_int_equal(code, 3);
    assert_true(signals_seen > 0);
    mp_free(n);
}

/* ---- many -------------------------------------------------------------------------------------*/

#define MANY 100

static int
do_nothing(const mp_args *args)
{
    (void)args;
    return 0;
}

static void
test_process_100_at_once_all_end_with_0(void **state)
{
    (void)state;
    mp_process *p[MANY];
    for (int i = 0; i < MANY; i++) {
        p[i] = start(do_nothing, NULL);
    }
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(finish(p[i]), 0);
    }
}

static void
test_process_100_terminated_all_end_by_sigterm(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp_process *p[MANY];
    for (int i = 0; i < MANY; i++) {
        p[i] = start(hang, mp_args((void *)n));
    }
    for (int i = 0; i < MANY; i++) {
        mp_assert_ok(mp_process_terminate(p[i])); /* some before their target's first statement */
    }
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(finish(p[i]), -SIGTERM);
    }
    mp_free(n);
}

/* ---- threads ----------------------------------------------------------------------------------*/

#define THREADS 6

static void *
join_it(void *p)
{
    int code = 0;
    int status = mp_process_join(p, MP_FOREVER);
    if (status == 0) {
        status = mp_process_exitcode(p, &code);
    }
    return (void *)(intptr_t)(status ? status : code);
}

static void
test_process_joined_by_several_threads_tells_each(void **state)
{
    (void)state;
    struct note *n = note_new();
    pthread_t threads[THREADS];
    for (int round = 0; round < 10; round++) {
        atomic_store(&n->go, 0);
        mp_process *p = start(wait_for_go, mp_args((void *)n));
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, join_it, p), 0);
        }
        atomic_store(&n->go, 1);
        for (int i = 0; i < THREADS; i++) {
            void *result;
            pthread_join(threads[i], &result);
            assert_int_equal((intptr_t)result, 7);
        }
        mp_assert_ok(mp_process_free(p));
    }
    mp_free(n);
}

static void *
start_it(void *p)
{
    return (void *)(intptr_t)mp_process_start(p);
}

static void
test_process_started_by_several_threads_starts_once(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (int round = 0; round < 20; round++) {
        int started = 0;
        mp_process *p = mp_process_new(do_nothing, mp_args(1, "two"), NULL);
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, start_it, p), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            void *result;
            pthread_join(threads[i], &result);
            started += result == NULL;
            assert_true(result == NULL || (intptr_t)result == MP_ESTATE);
        }
        assert_int_equal(started, 1);
        assert_int_equal(finish(p), 0);
    }
}

static _Atomic bool asking;

static void *
ask_it(void *p)
{
    int code;
    while (atomic_load(&asking)) {
        mp_process_is_alive(p);
        mp_process_exitcode(p, &code);
    }
    return NULL;
}

/* An end that another thread sees before the start has returned must not confuse the lists. */
static void
test_process_asked_while_it_starts_stays_in_order(void **state)
{
    (void)state;
    for (int round = 0; round < 60; round++) {
        pthread_t thread;
        mp_process *p = mp_process_new(do_nothing, NULL, NULL);
        atomic_store(&asking, true);
        assert_int_equal(pthread_create(&thread, NULL, ask_it, p), 0);
        mp_assert_ok(mp_process_start(p));
        mp_assert_ok(mp_process_join(p, MP_FOREVER));
        atomic_store(&asking, false);
        pthread_join(thread, NULL);
        assert_int_equal(finish(p), 0);
        size_t count = 99;
        free(mp_active_children(&count));
        assert_int_equal(count, 0);
    }
}

static void *
start_and_join_some(void *failures)
{
    for (int i = 0; i < 15; i++) {
        int code = -1;
        mp_process *p = mp_process_new(end_by, mp_args((int)RETURN, i), NULL);
        if (mp_process_start(p) != 0 || mp_process_join(p, MP_FOREVER) != 0 ||
            mp_process_exitcode(p, &code) != 0 || code != i) {
            fprintf(stderr, "%d: %d: %s\n", i, code, mp_last_error_text());
            atomic_fetch_add((_Atomic int *)failures, 1);
        }
        mp_process_free(p);
    }
    return NULL;
}

static _Atomic bool storming;

static void *
storm(void *forks)
{
    while (atomic_load(&storming)) {
        void *a = mp_malloc(100), *b = malloc(1000);
        pid_t pid = fork();
        if (pid == 0) {
            void *c = mp_malloc(50);
            free(b);
            mp_free(a);
            _exit(c && mp_free(c) == 0 ? 0 : 1);
        }
        int status = -1;
        if (pid > 0 && waitpid(pid, &status, 0) == pid && status != 0) {
            fprintf(stderr, "a raw child ended with %d\n", status);
            _exit(1);
        }
        atomic_fetch_add((_Atomic int *)forks, 1);
        free(b);
    }
    return NULL;
}

static void
test_process_started_from_threads_amid_forks_and_mallocs(void **state)
{
    (void)state;
    pthread_t threads[THREADS], stormer;
    _Atomic int failures = 0, forks = 0;
    atomic_store(&storming, true);
    assert_int_equal(pthread_create(&stormer, NULL, storm, (void *)&forks), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, start_and_join_some, (void *)&failures);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    wait_for(&forks, 1); /* it may have had no turn yet */
    atomic_store(&storming, false);
    pthread_join(stormer, NULL);
    assert_int_equal(failures, 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_process_not_started_has_no_state),
    cmocka_unit_test(test_process_running_then_ended_tells_each),
    cmocka_unit_test(test_process_without_target_ends_with_0),
    cmocka_unit_test(test_process_started_twice_is_refused),
    cmocka_unit_test(test_process_closed_keeps_only_its_name),
    cmocka_unit_test(test_process_bad_handles_are_refused),
    cmocka_unit_test(test_process_bad_options_are_refused),
    cmocka_unit_test(test_process_exit_codes_wrap_and_signals_are_negative),
    cmocka_unit_test(test_process_uncaught_error_is_printed_and_gives_1),
    cmocka_unit_test(test_process_wrong_argument_is_a_type_error),
    cmocka_unit_test(test_process_unpack_without_exit_returns_the_error),
    cmocka_unit_test(test_process_terminate_kill_interrupt_give_their_signal),
    cmocka_unit_test(test_process_stopped_is_alive),
    cmocka_unit_test(test_process_join_goes_on_after_signals),
    cmocka_unit_test(test_process_100_at_once_all_end_with_0),
    cmocka_unit_test(test_process_100_terminated_all_end_by_sigterm),
    cmocka_unit_test(test_process_joined_by_several_threads_tells_each),
    cmocka_unit_test(test_process_started_by_several_threads_starts_once),
    cmocka_unit_test(test_process_asked_while_it_starts_stays_in_order),
    cmocka_unit_test(test_process_started_from_threads_amid_forks_and_mallocs),
};

MP_TEST_MAIN(tests)
