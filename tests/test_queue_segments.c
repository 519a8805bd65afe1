/*
 * test_queue_segments.c: the chain of rings at the borders of its segments, from inside.
 *
 * A ring is filled, drained in part and filled again, with the border between two segments, or the
 * place where one is gone round, met at every distance; then its invariants are looked at.
 */
#include "mp_test.h"

#include <stdatomic.h>
#include <string.h>

#include "heap/alloc.h"
#include "heap/heap.h"
#include "queue/inner.h"

#define KIB 1024

struct world {
    struct mp__ring *ring;
    uint32_t first, next;
};

static unsigned char buffer[MP__INLINE_MOST];

static struct world
new_world(uint32_t maxsize, uint64_t maxbytes)
{
    struct world w = {.first = 1, .next = 1};
    mp_assert_ok(mp_free(mp_malloc(1))); /* the family begins */
    w.ring = mp__heap_alloc(sizeof *w.ring, 64);
    assert_non_null(w.ring);
    memset(w.ring, 0, sizeof *w.ring);
    mp_assert_ok(mp__ring_init(w.ring, maxsize, maxbytes));
    return w;
}

static void
end(struct world *w)
{
    mp__ring_done(w->ring);
    mp_free(w->ring);
    const char *wrong = mp__alloc_check();
    if (wrong) {
        fail_msg("%s", wrong);
    }
}

static void
check(struct world *w)
{
    const char *wrong = mp__ring_check(w->ring);
    if (wrong) {
        fail_msg("after message %u: %s", w->next, wrong);
    }
    assert_int_equal(mp__ring_count(w->ring), w->next - w->first);
}

static void
put(struct world *w, size_t size)
{
    memset(buffer, (int)w->next, size);
    memcpy(buffer, &w->next, size < 4 ? size : 4);
    mp_assert_ok(mp__ring_put(w->ring, MP__RING_BYTES, buffer, size, MP__TRY));
    w->next++;
}

static void *
into_buffer(void *ctx, enum mp__ring_type type, size_t len, int *ret_status)
{
    (void)type, (void)ret_status;
    *(size_t *)ctx = len;
    return buffer;
}

static void
get(struct world *w)
{
    size_t len;
    uint32_t number;
    mp_assert_ok(mp__ring_get(w->ring, into_buffer, &len, MP__TRY));
    memcpy(&number, buffer, 4);
    assert_int_equal(number, w->first);
    for (size_t i = 4; i < len; i++) {
        assert_int_equal(buffer[i], (unsigned char)w->first);
    }
    w->first++;
}

static struct mp__segment *
newest(struct world *w)
{
    return atomic_load(&w->ring->tail_seg);
}

/* Units behind the tail in the newest segment. */
static uint64_t
units_left(struct world *w)
{
    return newest(w)->end - mp__place_unit(atomic_load(&w->ring->tail));
}

/* Small messages until so many units are left; the segment stays. */
static void
fill_to(struct world *w, uint64_t left)
{
    struct mp__segment *s = newest(w);
    while (units_left(w) > left + 64) {
        put(w, 1000); /* 63 units */
    }
    while (units_left(w) > left) {
        put(w, 8);
    }
    assert_ptr_equal(newest(w), s);
}

/* Bring the ring into a segment of so many bytes, which is empty but for one message. */
static void
grow_to(struct world *w, uint64_t bytes)
{
    while (mp__segment_bytes(newest(w)) < bytes) {
        put(w, 4000);
    }
    assert_int_equal(mp__segment_bytes(newest(w)), bytes);
    while (w->next - w->first > 1) {
        get(w);
    }
}

static void
at_border(uint64_t bytes, uint64_t left, size_t size, bool drains)
{
    struct world w = new_world(MP__RING_MOST, 0);
    grow_to(&w, bytes);
    fill_to(&w, left);
    check(&w);
    for (uint32_t i = (w.next - w.first) / 3; drains && i > 0; i--) {
        get(&w); /* now there is room at the base */
    }
    for (int i = 0; i < 5; i++) {
        put(&w, size);
    }
    check(&w);
    while (w.next - w.first > 3) {
        get(&w);
    }
    for (int i = 0; i < 40; i++) {
        put(&w, size);
    }
    check(&w);
    while (w.next != w.first) {
        get(&w);
    }
    check(&w);
    size_t len;
    mp_assert_code(mp__ring_get(w.ring, into_buffer, &len, MP__TRY), MP_EEMPTY);
    check(&w);
    assert_true(mp__segment_bytes(newest(&w)) < KIB * KIB); /* it gave the pages back */
    end(&w);
}

static void
test_ring_filled_drained_refilled_at_each_border_keeps_all(void **state)
{
    static const size_t sizes[] = {8, 24, 1000, 4096};
    (void)state;
    for (uint64_t bytes = 16 * KIB; bytes <= 16 * KIB * KIB; bytes *= 4) {
        uint64_t most = bytes <= 64 * KIB ? 70 : bytes <= KIB * KIB ? 4 : 2;
        for (uint64_t left = 1; left <= most; left++) {
            for (int i = 0; i < 4; i++) {
                at_border(bytes, left, sizes[i], i % 2 == (int)left % 2);
                if (bytes <= 256 * KIB) {
                    at_border(bytes, left, sizes[i], i % 2 != (int)left % 2);
                }
            }
        }
    }
}

static void
test_ring_bytes_are_counted_exactly_at_the_limit(void **state)
{
    (void)state;
    struct world w = new_world(MP__RING_MOST, 10000);
    void *data;
    size_t len;
    enum mp__ring_type type;
    for (int i = 0; i < 10; i++) {
        put(&w, 1000);
    }
    assert_int_equal(mp__ring_held(w.ring), 10000);
    mp_assert_code(mp__ring_put(w.ring, MP__RING_BYTES, buffer, 1, MP__TRY), MP_EFULL);
    mp_assert_ok(mp__ring_put(w.ring, MP__RING_BYTES, buffer, 0, MP__TRY));
    mp_assert_code(mp__ring_put(w.ring, MP__RING_BYTES, buffer, 10001, MP__TRY), MP_EVALUE);
    mp_assert_ok(mp__ring_peek(w.ring, &data, &len, &type, MP__TRY));
    assert_int_equal(mp__ring_held(w.ring), 9000);
    mp_assert_ok(mp__ring_put(w.ring, MP__RING_BYTES, buffer, 500, MP__TRY));
    mp_assert_ok(mp__ring_give_back(w.ring, data));
    assert_int_equal(mp__ring_held(w.ring), 10500); /* what comes back is let in */
    mp_assert_code(mp__ring_put(w.ring, MP__RING_BYTES, buffer, 1, MP__TRY), MP_EFULL);
    for (int i = 0; i < 12; i++) {
        mp_assert_ok(mp__ring_get(w.ring, into_buffer, &len, MP__TRY));
    }
    assert_int_equal(mp__ring_held(w.ring), 0);
    end(&w);
}

/* ---- the count of what is kept ---------------------------------------------------------------- */

static void *
to_big(void *ctx, enum mp__ring_type type, size_t len, int *ret_status)
{
    (void)type;
    *ret_status = MP_EOVERFLOW;
    return len <= 4 * MP__INLINE_MOST ? ctx : NULL;
}

static uint32_t
kept_blocks(struct mp__ring *r)
{
    uint32_t count = 0;
    MP__EACH_SLOT(r, s)
    {
        count += mp__slot_state(atomic_load(&s->word)) == MP__SLOT_KEPT;
    }
    return count;
}

/* Too high, as who is killed leaves it; too low, as who keeps while another trims. */
static void
test_ring_kept_blocks_go_back_however_wrong_their_count_is(void **state)
{
    (void)state;
    static unsigned char big[4 * MP__INLINE_MOST], got[4 * MP__INLINE_MOST];
    static const int32_t off[] = {0, 100000, -8, -40, -100000};
    struct world w = new_world(100, 0);
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        atomic_fetch_add(&w.ring->kept_in, (uint32_t)off[i]);
        for (int k = 0; k < 40; k++) {
            mp_assert_ok(mp__ring_put(w.ring, MP__RING_BYTES, big, sizeof big, MP__TRY));
            mp_assert_ok(mp__ring_put(w.ring, MP__RING_BYTES, big, sizeof big, MP__TRY));
            mp_assert_ok(mp__ring_get(w.ring, to_big, got, MP__TRY));
            mp_assert_ok(mp__ring_get(w.ring, to_big, got, MP__TRY));
        }
        mp_assert_code(mp__ring_get(w.ring, to_big, got, MP__TRY), MP_EEMPTY);
        assert_int_equal(kept_blocks(w.ring), 0);
    }
    end(&w);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_ring_filled_drained_refilled_at_each_border_keeps_all),
    cmocka_unit_test(test_ring_bytes_are_counted_exactly_at_the_limit),
    cmocka_unit_test(test_ring_kept_blocks_go_back_however_wrong_their_count_is),
};

MP_TEST_MAIN_NO_FAMILY(tests)
