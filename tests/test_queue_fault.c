/*
 * test_queue_fault.c: producers and consumers are killed at random moments, and nobody else notices:
 * nothing torn, nothing twice, nothing lost but what a dead consumer had in its hands.
 */
#include "mp_test.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "helpers/sleepers.h"
#include "queue/queue.h"
#include "step.h"

enum {
    SIDE = 3,            /* producers, and as many consumers */
    MOST_LIVES = 1200,   /* processes of one storm */
    MOST_EACH = 1 << 19, /* messages of one producer */
    BACKLOG = 20000,     /* where producers of an unbounded queue pause */
    LONGEST = 30000,     /* bytes after the header of a message */
    LATE_ABOVE = 4000    /* a longer one comes late when who was just getting it died */
};

static const double silence = 5.0; /* seconds without any message: it hangs */

/* In the family's heap, written by all. */
struct storm {
    mp_queue *queue;
    _Atomic uint64_t arrived;
    _Atomic uint32_t stop;       /* producers go when they see it */
    _Atomic uint32_t violations; /* the first one's words are in text */
    char text[200];
    _Atomic uint32_t sent[MOST_LIVES]; /* puts that have returned, of each producer */
    _Atomic uint64_t seen[MOST_LIVES][MOST_EACH / 64]; /* bits: this message arrived */
};

struct message {
    uint32_t producer, number, len, kind;
    uint64_t check;
    unsigned char rest[LONGEST];
};
#define HEADER offsetof(struct message, rest)

static uint64_t
next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static uint64_t
new_seed(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_nsec * 2654435761u ^ (uint64_t)getpid() << 40 ^ 88172645463325252u;
}

static void
nap(uint64_t us)
{
    const struct timespec t = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    nanosleep(&t, NULL);
}

static uint64_t
check_of(const struct message *m)
{
    uint64_t h = ((uint64_t)m->producer << 32 | m->number) * 1099511628211u + m->len;
    for (uint32_t i = 0; i < m->len; i += 1 + m->len / 64) {
        h = (h ^ m->rest[i]) * 1099511628211u;
    }
    return m->len ? h ^ m->rest[m->len - 1] : h;
}

static void
violation(struct storm *s, const char *what, uint64_t a, uint64_t b)
{
    if (atomic_fetch_add(&s->violations, 1) == 0) {
        snprintf(s->text, sizeof s->text, "%s (%llu, %llu)", what, (unsigned long long)a,
                 (unsigned long long)b);
    }
}

/* Put messages until told to stop, or killed.  Every third as an object. */
static int
producer(const mp_args *args)
{
    void *arg;
    unsigned me;
    mp_args_get(args, &arg, &me);
    struct storm *s = arg;
    struct message *m = malloc(sizeof *m);
    uint64_t seed = new_seed();
    for (uint32_t i = 0; i < MOST_EACH && !atomic_load(&s->stop); i++) {
        uint64_t r = next_random(&seed);
        m->producer = me;
        m->number = i;
        m->kind = r % 3 == 0;
        m->len = r % 128 == 5 ? (uint32_t)(r >> 20) % LONGEST : (uint32_t)(r >> 20) % 200;
        memset(m->rest, (int)(i + me), m->len);
        m->check = check_of(m);
        if (m->kind) {
            mp_child_ok(mp_queue_put(s->queue, mp_bytes(m, HEADER + m->len), MP_FOREVER));
        } else {
            mp_child_ok(mp_queue_put_bytes(s->queue, m, HEADER + m->len, MP_FOREVER));
        }
        atomic_store(&s->sent[me], i + 1);
        while (i % 64 == 0 && mp_queue_qsize(s->queue) > BACKLOG && !atomic_load(&s->stop)) {
            nap(500);
        }
    }
    free(m);
    return 0;
}

/* One message, by one of the two calls.  0, or the queue's code. */
static int
take(struct storm *s, struct message *m, size_t *ret_len, bool as_object, double timeout)
{
    if (!as_object) {
        int status = mp_queue_get_bytes(s->queue, m, sizeof *m, ret_len, timeout);
        if (status != MP_ETYPE) {
            return status;
        }
    }
    mp_obj o;
    int status = mp_queue_get(s->queue, &o, timeout);
    if (status == 0) {
        const void *data = mp_as_bytes(o, ret_len);
        if (data && *ret_len <= sizeof *m) {
            memcpy(m, data, *ret_len);
        } else {
            violation(s, "an object that nobody put", (uint64_t)mp_obj_kind(o), *ret_len);
        }
        mp_obj_free(o);
    }
    return status;
}

/* Whether all is well with a message that arrived here; last has each producer's latest number. */
static void
note(struct storm *s, const struct message *m, size_t len, int32_t *last)
{
    if (len < HEADER || m->len > LONGEST || len != HEADER + m->len || m->producer >= MOST_LIVES ||
        m->number >= MOST_EACH || m->check != check_of(m)) {
        violation(s, "torn", len, m->len);
        return;
    }
    uint64_t bit = UINT64_C(1) << (m->number % 64);
    if (atomic_fetch_or(&s->seen[m->producer][m->number / 64], bit) & bit) {
        violation(s, "twice", m->producer, m->number);
    }
    if ((int32_t)m->number > last[m->producer]) {
        last[m->producer] = (int32_t)m->number;
    } else if (len <= LATE_ABOVE) {
        violation(s, "out of order", m->number, (uint64_t)last[m->producer]);
    }
    atomic_fetch_add(&s->arrived, 1);
}

static int32_t *
new_last(void)
{
    int32_t *last = malloc(MOST_LIVES * sizeof *last);
    for (int i = 0; i < MOST_LIVES; i++) {
        last[i] = -1;
    }
    return last;
}

static int
consumer(const mp_args *args)
{
    void *arg;
    mp_args_get(args, &arg);
    struct storm *s = arg;
    struct message *m = malloc(sizeof *m);
    int32_t *last = new_last();
    uint64_t seed = new_seed();
    while (!atomic_load(&s->stop)) {
        size_t len = 0;
        uint64_t r = next_random(&seed);
        /* With one consumer at a time the next message may have changed between two calls. */
        int status = take(s, m, &len, r & 1, r & 2 ? 0.2 : 0);
        if (status == 0) {
            note(s, m, len, last);
        } else if (status != MP_EEMPTY) {
            violation(s, mp_last_error_text(), (uint64_t)-status, 0);
        }
    }
    free(last);
    free(m);
    return 0;
}

/* ---- the storm ------------------------------------------------------------------------------- */

struct crew {
    struct storm *s;
    mp_process *member[2 * SIDE]; /* producers, then consumers */
    unsigned producers;           /* that there ever were */
    unsigned killed_producers, killed_consumers;
};

static void
start_member(struct crew *c, int i)
{
    mp_args *args = i < SIDE ? mp_args((void *)c->s, c->producers) : mp_args((void *)c->s);
    const mp_process_options options = {.context = mp_get_context("fork")};
    c->producers += i < SIDE;
    assert_true(c->producers <= MOST_LIVES);
    c->member[i] = mp_process_new(i < SIDE ? producer : consumer, args, &options);
    assert_non_null(c->member[i]);
    mp_assert_ok(mp_process_start(c->member[i]));
}

static void
kill_member(struct crew *c, int i)
{
    int code = 0;
    mp_assert_ok(mp_process_kill(c->member[i]));
    mp_assert_ok(mp_process_join(c->member[i], 30));
    mp_assert_ok(mp_process_exitcode(c->member[i], &code));
    if (code == -9) {
        c->killed_producers += i < SIDE;
        c->killed_consumers += i >= SIDE;
    } else if (code != 0) {
        fail_msg("a member ended with %d", code);
    }
    mp_assert_ok(mp_process_free(c->member[i]));
}

/* Take what is left; the parent is a consumer like the others, in a life of its own. */
static void
drain(struct storm *s)
{
    struct message *m = malloc(sizeof *m);
    int32_t *last = new_last();
    size_t len = 0;
    int status;
    while ((status = take(s, m, &len, false, 0)) == 0) {
        note(s, m, len, last);
    }
    free(m);
    free(last);
    mp_assert_code(status, MP_EEMPTY);
    assert_int_equal(mp_queue_qsize(s->queue), 0);
}

/* Every message that was sent arrived, but at most one for each killed consumer. */
static void
account(const struct crew *c)
{
    uint64_t lost = 0, sent = 0;
    if (atomic_load(&c->s->violations)) {
        fail_msg("%u violations, the first: %s", atomic_load(&c->s->violations), c->s->text);
    }
    for (unsigned p = 0; p < c->producers; p++) {
        uint32_t n = atomic_load(&c->s->sent[p]);
        sent += n;
        for (uint32_t i = 0; i < MOST_EACH; i++) {
            bool here = atomic_load(&c->s->seen[p][i / 64]) >> (i % 64) & 1;
            lost += i < n && !here;
            if (i > n && here) { /* the n-th may be there: killed between commit and return */
                fail_msg("producer %u sent %u, but number %u arrived", p, n, i);
            }
        }
    }
    if (lost > c->killed_consumers) {
        fail_msg("%llu messages lost, %u consumers killed", (unsigned long long)lost,
                 c->killed_consumers);
    }
    print_message("%llu messages, %u producers and %u consumers killed, %llu lost in hands\n",
                  (unsigned long long)sent, c->killed_producers, c->killed_consumers,
                  (unsigned long long)lost);
}

static void
storm(int64_t maxsize, unsigned kills, double seconds)
{
    struct crew c = {.s = mp_calloc(1, sizeof *c.s)};
    assert_non_null(c.s);
    c.s->queue = mp_queue_new(maxsize);
    assert_non_null(c.s->queue);
    for (int i = 0; i < 2 * SIDE; i++) {
        start_member(&c, i);
    }
    uint64_t seed = new_seed(), arrived = 0;
    double start = mp_test_now(), looked = start, quiet = 0, longest = 0;
    uint64_t pause = (uint64_t)(seconds * 1e6 / kills);
    for (unsigned k = 0; k < kills && mp_test_now() < start + 2 * seconds; k++) {
        double wake = start + (double)k * seconds / kills;
        do { /* a few short naps: silence is looked at between them */
            nap(next_random(&seed) % pause / 4);
            uint64_t now_arrived = atomic_load(&c.s->arrived);
            double now = mp_test_now(), since = now - looked;
            /* Who looks late stood still, and so may have all others. */
            quiet = now_arrived != arrived ? 0 : quiet + (since < 0.1 ? since : 0.1);
            longest = quiet > longest ? quiet : longest;
            arrived = now_arrived;
            looked = now;
            if (quiet > silence) {
                fail_msg("nothing arrived for %.2f s, after %u kills", quiet, k);
            }
        } while (mp_test_now() < wake);
        int victim = (int)(next_random(&seed) % (2 * SIDE));
        kill_member(&c, victim);
        start_member(&c, victim);
    }
    print_message("longest silence %.3f s\n", longest);
    for (int i = 0; i < 2 * SIDE; i++) {
        kill_member(&c, i);
    }
    drain(c.s);
    account(&c);
    mp_assert_ok(mp_queue_put(c.s->queue, "usable", 0));
    mp_assert_ok(mp_queue_free(c.s->queue));
    mp_free(c.s);
}

/* The storms need processes that start fast; under the other methods a few must do. */
static unsigned
kills(unsigned with_fork)
{
    const char *method = getenv("MP_START_METHOD");
    return method && strcmp(method, "fork") != 0 ? with_fork / 5 : with_fork;
}

static void
test_queue_unbounded_members_killed_at_random_loses_nothing(void **state)
{
    (void)state;
    storm(0, kills(300), kills(300) * 0.035);
}

static void
test_queue_bounded_members_killed_at_random_loses_nothing(void **state)
{
    (void)state;
    storm(16, kills(300), kills(300) * 0.035);
}

/* ---- a big one, and then a small one ----------------------------------------------------------- */

static void
get_one(void *queue)
{
    mp_obj o;
    (void)mp_queue_get(queue, &o, 0);
    mp_obj_free(o);
}

/* What a process does once only is not led through. */
static void
become_member(void *queue)
{
    (void)queue;
    mp_free(mp_malloc(1));
}

/*
 * A getter has seen that the next message is a big object, and let the lock go to come back for it.
 * Another takes that, then two small ones come, and the getter is killed so many instructions later.
 * False: it had come to its end before.
 */
static bool
killed_when_a_small_one_came(mp_queue *q, long later)
{
    static unsigned char big[6000];
    struct step s;
    mp_obj o;
    mp_assert_ok(mp_queue_put(q, mp_bytes(big, sizeof big), 0));
    step_begin(&s, become_member, get_one, q);
    for (int has_it = 1; has_it >= 0; has_it--) {
        while ((atomic_load(&q->ring.get_lock.word) != 0) != has_it) {
            assert_true(step_on(&s, 1));
        }
    }
    assert_int_equal(mp_queue_qsize(q), 1);
    mp_assert_ok(mp_queue_get(q, &o, 0));
    mp_obj_free(o);
    mp_assert_ok(mp_queue_put(q, 1, 0));
    mp_assert_ok(mp_queue_put(q, 2, 0));
    bool goes_on = step_on(&s, later);
    step_kill(&s);
    return goes_on;
}

static void
test_queue_getter_killed_as_a_small_one_took_the_place_of_a_big_one_keeps_the_order(void **state)
{
    (void)state;
    if (!step_possible()) {
        skip();
    }
    mp_queue *q = mp_queue_new(0);
    assert_non_null(q);
    bool goes_on = true;
    long had = 0, later = 0;
    for (; goes_on; later += 7) {
        mp_obj o;
        goes_on = killed_when_a_small_one_came(q, later);
        mp_assert_ok(mp_queue_get(q, &o, 0));
        if (mp_as_int(o) == 1) {
            mp_assert_ok(mp_queue_get(q, &o, 0));
        } else {
            had++; /* the dead one */
        }
        assert_int_equal(mp_as_int(o), 2);
        mp_assert_code(mp_queue_get(q, &o, 0), MP_EEMPTY);
        if (mp_queue_qsize(q) != 0) {
            fail_msg("a message of few bytes came late, %ld instructions on", later);
        }
    }
    assert_true(had > 0 && had < later / 7); /* both were seen */
    mp_assert_ok(mp_queue_free(q));
}

/* ---- all at once ----------------------------------------------------------------------------- */

static void
test_queue_all_members_killed_counts_and_frees_right(void **state)
{
    (void)state;
    uint64_t seed = new_seed();
    struct storm *s = mp_calloc(1, sizeof *s);
    assert_non_null(s);
    for (unsigned round = 0; round < kills(120); round++) {
        mp_heap_info before, after;
        mp_assert_ok(mp_heap_stats(&before));
        memset((void *)s->sent, 0, sizeof s->sent);
        memset((void *)s->seen, 0, sizeof *s->seen * 2 * SIDE * (round + 1));
        s->queue = mp_queue_new(round % 3 == 2 ? 16 : 0);
        struct crew c = {.s = s};
        for (int i = 0; i < 2 * SIDE; i++) {
            if (i < SIDE || round % 4 == 0) {
                start_member(&c, i);
            }
        }
        nap(next_random(&seed) % 4000);
        for (int i = 0; i < 2 * SIDE; i++) {
            if (i < SIDE || round % 4 == 0) {
                mp_assert_ok(mp_process_kill(c.member[i]));
            }
        }
        for (int i = 0; i < 2 * SIDE; i++) {
            if (i < SIDE || round % 4 == 0) {
                kill_member(&c, i);
            }
        }
        if (round % 2) {
            uint64_t size = (uint64_t)mp_queue_qsize(s->queue), arrived = atomic_load(&s->arrived);
            drain(s);
            assert_int_equal(atomic_load(&s->arrived) - arrived, size);
        }
        mp_assert_ok(mp_queue_free(s->queue));
        mp_assert_ok(mp_heap_stats(&after));
        assert_int_equal(after.blocks, before.blocks);
        if (atomic_load(&s->violations)) {
            fail_msg("%s", s->text);
        }
    }
    mp_free(s);
}

/* ---- asleep ---------------------------------------------------------------------------------- */

static int
sleeper(const mp_args *args)
{
    mp_queue *q;
    bool putting;
    mp_args_get(args, &q, &putting);
    mp_obj o;
    return putting ? mp_queue_put(q, -1, MP_FOREVER) : mp_queue_get(q, &o, MP_FOREVER);
}

/* Many die in their sleep; the one that lives is woken all the same. */
static void
deaths_in_sleep(bool putting)
{
    mp_queue *q = mp_queue_new(1);
    mp_process *p[7];
    if (putting) {
        mp_assert_ok(mp_queue_put(q, 0, 0));
    }
    for (int i = 0; i < 7; i++) {
        p[i] = mp_process_new(sleeper, mp_args(q, mp_bool(putting)), NULL);
        mp_assert_ok(mp_process_start(p[i]));
    }
    wait_for_sleepers(q, 7);
    for (int i = 0; i < 6; i++) {
        mp_assert_ok(mp_process_kill(p[i]));
        mp_assert_ok(mp_process_join(p[i], 30));
    }
    mp_obj o;
    double start = mp_test_now();
    if (putting) {
        mp_assert_ok(mp_queue_get(q, &o, 0));
        mp_assert_ok(mp_queue_get(q, &o, 30));
    } else {
        mp_assert_ok(mp_queue_put(q, 1, 0));
    }
    mp_assert_ok(mp_process_join(p[6], 30));
    assert_true(mp_test_now() - start < silence);
    assert_int_equal(mp_queue_qsize(q), 0);
    for (int i = 0; i < 7; i++) {
        mp_assert_ok(mp_process_free(p[i]));
    }
    mp_assert_ok(mp_queue_free(q));
}

static void
test_queue_getters_killed_asleep_another_is_woken(void **state)
{
    (void)state;
    deaths_in_sleep(false);
}

static void
test_queue_putters_killed_asleep_another_is_woken(void **state)
{
    (void)state;
    deaths_in_sleep(true);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_queue_unbounded_members_killed_at_random_loses_nothing),
    cmocka_unit_test(test_queue_bounded_members_killed_at_random_loses_nothing),
    cmocka_unit_test(
        test_queue_getter_killed_as_a_small_one_took_the_place_of_a_big_one_keeps_the_order),
    cmocka_unit_test(test_queue_all_members_killed_counts_and_frees_right),
    cmocka_unit_test(test_queue_getters_killed_asleep_another_is_woken),
    cmocka_unit_test(test_queue_putters_killed_asleep_another_is_woken),
};
MP_TEST_MAIN(tests)
