/*
 * test_queue_step_fault.c: a process killed after each instruction inside the ring's put and get.
 *
 * Messages are numbered.  After each death the survivor finds exactly what was committed, in order,
 * the victim's message whole or not at all, and afterwards not a block of the heap is missing.
 */
#include "mp_test.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "step.h"

#include "heap/alloc.h"
#include "heap/family.h"
#include "heap/heap.h"
#include "queue/ring.h"
#include "queue/segment.h"

#define KIB  1024
#define MOST (300 * KIB) /* bytes of a message; its segment has 1 MiB */

#if defined MP_PLATFORM_POSIX
#define BOUND 0.2 /* no kernel's hint there: a waiter finds out by itself */
#else
#define BOUND 0.1
#endif

static struct world {
    struct mp__ring *ring;
    uint32_t first, next; /* the messages that are in the ring: [first, next) */
    size_t size;          /* of the victim's message, number `next` */
    bool puts;            /* whether the victim puts; else it gets */
    size_t blocks;        /* of the heap, before there was a ring */
    struct step_waits waits;
} world = {.waits = {.bound = BOUND}};

static unsigned char buffer[MOST];

static size_t
blocks(void)
{
    mp_heap_info info = {0};
    mp_heap_stats(&info);
    return info.blocks;
}

/* ---- numbered messages ----------------------------------------------------------------------- */

static int
put(struct mp__ring *r, uint32_t number, size_t size)
{
    for (size_t i = 0; i < size; i += 4) {
        memcpy(buffer + i, &number, 4);
    }
    return mp__ring_put(r, MP__RING_BYTES, buffer, size, MP__TRY);
}

static void *
into_buffer(void *ctx, enum mp__ring_type type, size_t len, int *ret_status)
{
    size_t *ret_len = ctx;
    *ret_len = len;
    if (type != MP__RING_BYTES || len > sizeof buffer) {
        *ret_status = MP_ETYPE;
        return NULL;
    }
    return buffer;
}

/* The next message is this one, whole: NULL, else what is wrong. */
static const char *
get(struct mp__ring *r, uint32_t number)
{
    size_t len = 0;
    uint32_t word;
    int status = mp__ring_get(r, into_buffer, &len, MP__TRY);
    if (status != 0) {
        return status == MP_EEMPTY ? "a message is missing" : "a message cannot be taken";
    }
    for (size_t i = 0; i < len; i += 4) {
        memcpy(&word, buffer + i, 4);
        if (word != number) {
            return i ? "a message is torn" : "another message is there";
        }
    }
    return len == 0 ? "a message is empty" : NULL;
}

static int
fill(struct world *w, uint32_t count, size_t size)
{
    int status = 0;
    for (uint32_t i = 0; i < count && status == 0; i++) {
        status = put(w->ring, w->next, size);
        w->next += status == 0;
    }
    return status;
}

static const char *
drain(struct world *w, uint32_t count)
{
    const char *wrong = NULL;
    for (uint32_t i = 0; i < count && !wrong; i++) {
        wrong = get(w->ring, w->first);
        w->first++;
    }
    return wrong;
}

/* ---- after a death --------------------------------------------------------------------------- */

/* Fill, part-drain, refill: the records cross the ends of segments old and new. */
static const char *
goes_on(struct world *w)
{
    static const size_t sizes[] = {1000, 8, 4000};
    for (int i = 0; i < 3; i++) {
        if (fill(w, 40, sizes[i]) != 0) {
            return "the ring cannot be filled";
        }
        const char *wrong = drain(w, 30);
        if (!wrong && fill(w, 30, sizes[i]) != 0) {
            wrong = "the ring cannot be filled again";
        }
        wrong = wrong ? wrong : mp__ring_check(w->ring);
        wrong = wrong ? wrong : drain(w, 40);
        if (wrong) {
            return wrong;
        }
    }
    return NULL;
}

/* The ring's contents after a death: with the victim's operation or without it. */
static const char *
contents(struct world *w, bool finished)
{
    uint32_t before = w->next - w->first;
    double start = mp_test_now();
    uint32_t now = mp__ring_count(w->ring); /* recovers the producers' side */
    step_waited(&w->waits, mp_test_now() - start);
    uint32_t with = w->puts ? before + 1 : before > 0 ? before - 1 : 0;
    if (now != with && (now != before || finished)) {
        return "the number of messages is off";
    }
    const char *wrong = mp__ring_check(w->ring);
    if (w->puts) {
        w->next += now != before;
    } else {
        w->first += now != before;
    }
    /* One more at the end, then all in order and nothing else. */
    if (!wrong && fill(w, 1, 40) != 0) {
        wrong = "the survivor cannot put";
    }
    start = mp_test_now();
    wrong = wrong ? wrong : drain(w, w->next - w->first); /* recovers the consumers' side */
    step_waited(&w->waits, mp_test_now() - start);
    size_t len;
    if (!wrong && mp__ring_get(w->ring, into_buffer, &len, MP__TRY) != MP_EEMPTY) {
        wrong = "there is a message too many";
    }
    return wrong ? wrong : mp__ring_check(w->ring);
}

static const char *
check(void *arg, bool finished)
{
    struct world *w = arg;
    const char *wrong = contents(w, finished);
    wrong = wrong ? wrong : goes_on(w);
    if (wrong) {
        return wrong;
    }
    mp__ring_done(w->ring);
    mp_free(w->ring);
    if (blocks() != w->blocks) {
        return "a block of the heap is lost";
    }
    return mp__alloc_check();
}

/*
 * The survivor's first act is to free the ring: what the victim's half-done step shows in the
 * ring's words, and the heap has not taken back yet, must not be believed.
 */
static const char *
check_freed_at_once(void *arg, bool finished)
{
    struct world *w = arg;
    (void)finished;
    mp__ring_done(w->ring);
    mp_free(w->ring);
    return blocks() != w->blocks ? "a block of the heap is lost" : mp__alloc_check();
}

/* ---- rings before the victim ----------------------------------------------------------------- */

static void
must(bool ok, const char *what)
{
    if (!ok) {
        mp_child_fail(__FILE__, __LINE__, what);
    }
}

static void
new_ring(struct world *w, bool puts, size_t size)
{
    w->first = w->next = 1;
    w->puts = puts;
    w->size = size;
    w->blocks = blocks();
    w->ring = mp__heap_alloc(sizeof *w->ring, 64);
    must(w->ring != NULL, "a ring");
    memset(w->ring, 0, sizeof *w->ring);
    must(mp__ring_init(w->ring, 100000) == 0, "the ring's first segment");
}

/*
 * Leave bytes where the next segment will be that look like a segment which holds all of the heap,
 * as the bytes of a segment of the past may: a new one is not to be believed before it is written.
 */
static void
leave_old_bytes(size_t bytes)
{
    struct mp__segment *s = mp__heap_alloc(sizeof *s + bytes, 64);
    must(s != NULL, "a block");
    for (int i = 0; i < 2; i++) {
        s[i].base = 0;
        s[i].end = MP__UNIT_MASK;
    }
    must(mp_free(s) == 0, "a block");
}

static void
put_plain(void *arg)
{
    new_ring(arg, true, 40);
    must(fill(arg, 3, 100) == 0, "messages");
}

/* The first segment has 1024 units, the header's message has 64. */
static void
put_wrapped(void *arg)
{
    new_ring(arg, true, 1500);
    must(fill(arg, 15, 1000) == 0, "messages");
    must(!drain(arg, 8), "messages");
}

static void
put_linked(void *arg)
{
    new_ring(arg, true, 1500);
    must(fill(arg, 15, 1000) == 0, "messages");
    leave_old_bytes(64 * KIB);
}

/*
 * A segment of 1 MiB that holds little is left for a small one: at every 256th message, of which
 * the victim's is one.
 */
static void
put_too_big(void *arg)
{
    struct world *w = arg;
    new_ring(w, true, 40);
    must(fill(w, 1, MOST) == 0, "a big message");
    must(!drain(w, 1), "a big message");
    must(fill(w, 255, 40) == 0, "messages");
    must(!drain(w, 250), "messages");
    leave_old_bytes(16 * KIB);
}

static void
do_put(void *arg)
{
    struct world *w = arg;
    put(w->ring, w->next, w->size);
}

static void
get_plain(void *arg)
{
    new_ring(arg, false, 0);
    must(fill(arg, 3, 100) == 0, "messages");
}

static void
get_wrapped(void *arg)
{
    put_wrapped(arg);
    struct world *w = arg;
    must(fill(w, 1, 1500) == 0, "a message");
    must(!drain(w, 7), "messages");
    w->puts = false;
}

/* All of the first segment is read; the next message is in the second one. */
static void
get_linked(void *arg)
{
    new_ring(arg, false, 0);
    must(fill(arg, 20, 1000) == 0, "messages");
    must(!drain(arg, 16), "messages");
}

static void
do_get(void *arg)
{
    struct world *w = arg;
    size_t len;
    mp__ring_get(w->ring, into_buffer, &len, MP__TRY);
}

/* An empty ring in a big segment: a getter that goes to sleep moves it to a small one. */
static void
get_from_big(void *arg)
{
    struct world *w = arg;
    new_ring(w, false, 0);
    must(fill(w, 1, MOST) == 0, "a big message");
    must(!drain(w, 1), "a big message");
    leave_old_bytes(16 * KIB);
}

static void
do_get_patiently(void *arg)
{
    struct world *w = arg;
    size_t len;
    mp__ring_get(w->ring, into_buffer, &len, 1); /* a deadline long past: it sleeps for no time */
}

/* ---- cases ----------------------------------------------------------------------------------- */

static void
warm_up(void *arg)
{
    (void)arg;
    mp_free(mp_malloc(1));
}

/* The control: the dead one's lock opened by hand, and nothing recovered. */
static const char *
check_unrecovered(void *arg, bool finished)
{
    struct world *w = arg;
    uint64_t word = atomic_exchange(&w->ring->put_lock.word, 0);
    const char *wrong = mp__ring_check(w->ring);
    atomic_store(&w->ring->put_lock.word, word);
    const char *recovered = check(w, finished);
    must(!recovered, recovered);
    return wrong;
}

static void
run_control(void *arg)
{
    struct step_result r = step_all(arg);
    mp_child_check(r.wrong > 0);
    mp_child_check(r.wrong < r.positions);
}

static void
test_control_without_recovery_finds_damage(void **state)
{
    (void)state;
    if (!step_possible()) {
        skip();
    }
    struct step_case c = {.name = "control: put, linked",
                          .set_up = put_linked,
                          .before = warm_up,
                          .operation = do_put,
                          .check = check_unrecovered,
                          .go_on = true,
                          .arg = &world};
    assert_int_equal(step_family(run_control, &c), 0);
}

static void
run_case(void *arg)
{
    const struct step_case *c = arg;
    struct world *w = c->arg;
    struct step_result r = step_all(c);
    mp_child_check(r.wrong == 0);
    mp_child_check(r.positions > 30); /* else the victims were not led at all */
    const char *late = step_waits_wrong(&w->waits);
    if (late) {
        mp_child_fail(c->name, 0, late);
    }
}

static void
expect_case(const char *name, void (*set_up)(void *), void (*operation)(void *),
            const char *(*check_after)(void *, bool))
{
    if (!step_possible()) {
        print_message("no process may lead another one here\n");
        skip();
    }
    struct step_case c = {.name = name,
                          .set_up = set_up,
                          .before = warm_up,
                          .operation = operation,
                          .check = check_after,
                          .arg = &world};
    assert_int_equal(step_family(run_case, &c), 0);
}

static void
test_put_killed_anywhere_is_done_or_not(void **state)
{
    (void)state;
    expect_case("put", put_plain, do_put, check);
}

static void
test_put_killed_while_it_wraps_is_done_or_not(void **state)
{
    (void)state;
    expect_case("put, wrapped", put_wrapped, do_put, check);
}

static void
test_put_killed_while_it_links_a_segment_is_done_or_not(void **state)
{
    (void)state;
    expect_case("put, linked", put_linked, do_put, check);
}

static void
test_put_killed_while_it_leaves_a_big_segment_is_done_or_not(void **state)
{
    (void)state;
    expect_case("put, small segment", put_too_big, do_put, check);
}

static void
test_get_killed_anywhere_has_taken_or_not(void **state)
{
    (void)state;
    expect_case("get", get_plain, do_get, check);
}

static void
test_get_killed_behind_a_wrap_has_taken_or_not(void **state)
{
    (void)state;
    expect_case("get, wrapped", get_wrapped, do_get, check);
}

static void
test_get_killed_while_it_frees_a_segment_has_taken_or_not(void **state)
{
    (void)state;
    expect_case("get, linked", get_linked, do_get, check);
}

static void
test_get_killed_while_it_gives_pages_back_loses_nothing(void **state)
{
    (void)state;
    expect_case("get, pages back", get_from_big, do_get_patiently, check);
}

static void
test_put_killed_while_it_links_a_segment_ring_is_freed(void **state)
{
    (void)state;
    expect_case("put, linked, then freed", put_linked, do_put, check_freed_at_once);
}

static void
test_get_killed_while_it_frees_a_segment_ring_is_freed(void **state)
{
    (void)state;
    expect_case("get, linked, then freed", get_linked, do_get, check_freed_at_once);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_put_killed_anywhere_is_done_or_not),
    cmocka_unit_test(test_put_killed_while_it_wraps_is_done_or_not),
    cmocka_unit_test(test_put_killed_while_it_links_a_segment_is_done_or_not),
    cmocka_unit_test(test_put_killed_while_it_leaves_a_big_segment_is_done_or_not),
    cmocka_unit_test(test_get_killed_anywhere_has_taken_or_not),
    cmocka_unit_test(test_get_killed_behind_a_wrap_has_taken_or_not),
    cmocka_unit_test(test_get_killed_while_it_frees_a_segment_has_taken_or_not),
    cmocka_unit_test(test_get_killed_while_it_gives_pages_back_loses_nothing),
    cmocka_unit_test(test_put_killed_while_it_links_a_segment_ring_is_freed),
    cmocka_unit_test(test_get_killed_while_it_frees_a_segment_ring_is_freed),
    cmocka_unit_test(test_control_without_recovery_finds_damage),
};

MP_TEST_MAIN_NO_FAMILY(tests)
