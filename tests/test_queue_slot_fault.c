/*
 * test_queue_slot_fault.c: slots of a queue (queue/slot.h) whose owner dies at one chosen instruction,
 * while another uses the same slot.
 */
#include "helpers/queue.h"

#include "queue/inner.h"
#include "queue/queue.h"
#include "step.h"

#define BIG  6000
#define HUGE ((size_t)5 << 20) /* its block is not kept */

/* Private to each process. */
static unsigned char bytes[BIG];
static void *lent;

/* ---- what victims do ------------------------------------------------------------------------- */

static void
become_member(void *queue)
{
    (void)queue;
    mp_free(mp_malloc(1));
}

static void
put_a(void *queue)
{
    memset(bytes, 'a', BIG);
    (void)mp_queue_put_bytes(queue, bytes, BIG, 5);
}

static void
put_b(void *queue)
{
    memset(bytes, 'b', BIG);
    (void)mp_queue_put_bytes(queue, bytes, BIG, 5);
}

static void
reserve(void *queue)
{
    lent = mp_queue_reserve(queue, HUGE);
}

static void
cancel(void *queue)
{
    (void)mp_queue_cancel(queue, lent);
}

static void
ask_size(void *queue)
{
    (void)mp_queue_qsize(queue);
}

/* ---- helpers --------------------------------------------------------------------------------- */

static void
must_step(struct step *s)
{
    if (!step_on(s, 1)) {
        fail_msg("it came to its end");
    }
}

static void
to_the_end(struct step *s)
{
    while (step_on(s, 1000)) {
    }
    step_kill(s);
}

static void
assert_next_bytes(mp_queue *q, char expected)
{
    size_t len = 0;
    mp_assert_ok(mp_queue_get_bytes(q, bytes, BIG, &len, 0));
    assert_int_equal(len, BIG);
    assert_int_equal(bytes[0], expected);
    assert_int_equal(bytes[BIG - 1], expected);
}

static void
assert_sound(mp_queue *q)
{
    const char *wrong = mp__ring_check(&q->ring);
    if (wrong) {
        fail_msg("%s", wrong);
    }
}

/*
 * A queue in which a producer of 'a' died as its slot had just become free for others: the first moment
 * at which a slot of that number can be claimed.  Its message is in the ring, nobody has recovered.
 */
static mp_queue *
producer_died_as_its_slot_became_free(struct mp__slot **ret_slot)
{
    mp_queue *q = made(mp_queue_new(0));
    struct step s;
    put_a(q); /* so that there is a shelf */
    assert_next_bytes(q, 'a');
    mp__slot_trim(&q->ring);
    step_begin(&s, become_member, put_a, q);
    struct mp__slot *slot = NULL;
    while (!slot || atomic_load(&slot->word) != 0) {
        struct mp__slot *giving = atomic_load(&q->ring.giving);
        slot = giving ? giving : slot;
        must_step(&s);
    }
    step_kill(&s);
    *ret_slot = slot;
    return q;
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void
test_queue_slot_of_a_dead_producer_kept_by_a_getter_stays_its_own(void **state)
{
    (void)state;
    if (!step_possible()) {
        skip();
    }
    struct mp__slot *slot;
    mp_queue *q = producer_died_as_its_slot_became_free(&slot);
    assert_next_bytes(q, 'a'); /* the block is kept, in the first free slot */
    assert_int_equal(mp__slot_state(atomic_load(&slot->word)), MP__SLOT_KEPT);
    assert_int_equal(mp_queue_qsize(q), 0); /* that recovers */
    assert_int_equal(mp__slot_state(atomic_load(&slot->word)), MP__SLOT_KEPT);
    assert_sound(q);
    mp_assert_ok(mp_queue_free(q)); /* and the harness counts the heap's blocks */
}

static void
test_queue_slot_of_a_dead_producer_claimed_by_another_stays_its_own(void **state)
{
    (void)state;
    if (!step_possible()) {
        skip();
    }
    struct mp__slot *slot;
    struct step other;
    mp_queue *q = producer_died_as_its_slot_became_free(&slot);
    step_begin(&other, become_member, put_b, q);
    while (!mp__slot_parcel(slot) || mp__slot_parcel(slot)->bytes[BIG - 1] != 'b') {
        must_step(&other);
    }
    uint64_t word = atomic_load(&slot->word);
    assert_int_equal(mp__slot_state(word), MP__SLOT_FILLING);
    assert_int_equal(mp_queue_qsize(q), 1); /* that recovers */
    assert_true(atomic_load(&slot->word) == word);
    to_the_end(&other);
    assert_next_bytes(q, 'a');
    assert_next_bytes(q, 'b');
    assert_sound(q);
    mp_assert_ok(mp_queue_free(q));
}

/*
 * Somebody frees what the dead had.  Another's owner dies then, in the allocator: its block is out of the
 * slot, and comes back there with the next call of the heap.
 */
static void
test_queue_slot_whose_owner_dies_amid_a_reaping_is_freed(void **state)
{
    (void)state;
    if (!step_possible()) {
        skip();
    }
    mp_queue *q = made(mp_queue_new(0));
    struct step dies, dead, reaper;
    step_begin(&dies, reserve, cancel, q);
    struct mp__slot *slot = mp__shelf_in(&q->ring.shelves)->slot;
    step_begin(&dead, reserve, ask_size, q);
    void *own = mp_queue_reserve(q, HUGE);
    assert_non_null(own);
    step_kill(&dead);
    step_begin(&reaper, become_member, ask_size, q);
    while (atomic_load(&q->ring.put_lock.word) == 0) {
        must_step(&reaper);
    }
    while (mp__slot_parcel(slot)) {
        must_step(&dies);
    }
    step_kill(&dies);
    to_the_end(&reaper);
    mp_free(mp_malloc(1)); /* a call of the heap */
    assert_sound(q);
    mp_assert_ok(mp_queue_cancel(q, own));
    mp_assert_ok(mp_queue_free(q));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_queue_slot_of_a_dead_producer_kept_by_a_getter_stays_its_own),
    cmocka_unit_test(test_queue_slot_of_a_dead_producer_claimed_by_another_stays_its_own),
    cmocka_unit_test(test_queue_slot_whose_owner_dies_amid_a_reaping_is_freed),
};
MP_TEST_MAIN(tests)
