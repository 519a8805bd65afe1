/*
 * torture_queue_loan.c: big messages, batches, loans and the end of a ring, killed after each
 * instruction.
 *
 * Messages are numbered, and the survivor knows which are in the ring.  A victim adds some at the
 * end, or takes some from the front, or neither.  Then there must be the messages of before with
 * the first few of the victim's, or without the first few that it took: whole, in order, counted
 * exactly; and when the ring is freed not a block of the heap is missing.
 */
#include "torture/torture.h"

#include <stdatomic.h>
#include <string.h>

#include "heap/alloc.h"
#include "heap/heap.h"
#include "queue/inner.h"

#define BIG  6000 /* lies in a block of its own */
#define MOST 20000
#define ROOM 400 /* messages */

static struct world {
    struct mp__ring *ring;
    uint32_t first, next; /* in the ring: [first, next) */
    uint32_t adds, takes; /* what the victim does when it comes to its end */
    size_t size[ROOM];    /* of each message, also of those to be added */
    void *lent[4];
    size_t blocks; /* of the heap, before there was a ring */
} world;

static unsigned char buffer[MOST];

static void
must(bool ok, const char *what)
{
    if (!ok) {
        mp_child_fail(__FILE__, __LINE__, what);
    }
}

/* ---- numbered messages ----------------------------------------------------------------------- */

static void
write_number(void *data, uint32_t number, size_t size)
{
    for (size_t i = 0; i + 4 <= size; i += 4) {
        memcpy((char *)data + i, &number, 4);
    }
}

/* NULL, or what is wrong. */
static const char *
read_number(const struct world *w, const void *data, size_t len, uint32_t number)
{
    uint32_t word = 0;
    if (len != w->size[number % ROOM]) {
        return "a message has another length";
    }
    for (size_t i = 0; i + 4 <= len; i += 4) {
        memcpy(&word, (const char *)data + i, 4);
        if (word != number) {
            return i ? "a message is torn" : "another message is there";
        }
    }
    return NULL;
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

static int
put(struct world *w, size_t size)
{
    w->size[w->next % ROOM] = size;
    write_number(buffer, w->next, size);
    int status = mp__ring_put(w->ring, MP__RING_BYTES, buffer, size, MP__TRY);
    w->next += status == 0;
    return status;
}

static const char *
get(struct world *w)
{
    size_t len = 0;
    if (mp__ring_get(w->ring, into_buffer, &len, MP__TRY) != 0) {
        return "a message is missing";
    }
    w->first++;
    return read_number(w, buffer, len, w->first - 1);
}

static const char *
peek(struct world *w, void **ret_data)
{
    size_t len = 0;
    enum mp__ring_type type;
    if (mp__ring_peek(w->ring, ret_data, &len, &type, MP__TRY) != 0) {
        return "a message cannot be peeked at";
    }
    w->first++;
    return read_number(w, *ret_data, len, w->first - 1);
}

/* ---- after a death --------------------------------------------------------------------------- */

static uint64_t
bytes(const struct world *w)
{
    uint64_t sum = 0;
    for (uint32_t i = w->first; i < w->next; i++) {
        sum += w->size[i % ROOM];
    }
    return sum;
}

static const char *
check_counts(struct world *w)
{
    if (mp__ring_count(w->ring) != w->next - w->first) {
        return "the number of messages is off";
    }
    return mp__ring_held(w->ring) != bytes(w) ? "the number of bytes is off" : NULL;
}

/* All kinds of use once more. */
static const char *
goes_on(struct world *w)
{
    static const size_t sizes[] = {40, BIG, 4000, MOST, 8};
    const char *wrong = NULL;
    void *data;
    for (int round = 0; round < 12 && !wrong; round++) {
        for (int i = 0; i < 5; i++) {
            must(put(w, sizes[i]) == 0, "the ring cannot be filled");
        }
        must(mp__ring_reserve(w->ring, BIG, &data) == 0, "nothing can be reserved");
        write_number(data, w->next, BIG);
        w->size[w->next++ % ROOM] = BIG;
        must(mp__ring_commit(w->ring, MP__RING_BYTES, data, BIG, MP__TRY) == 0, "nor committed");
        for (int i = 0; i < 3 && !wrong; i++) {
            wrong = peek(w, &data);
            if (!wrong && i == 1) {
                must(mp__ring_give_back(w->ring, data) == 0, "nothing can be given back");
                w->first--;
            } else if (!wrong) {
                must(mp__ring_release(w->ring, data) == 0, "nothing can be released");
            }
        }
        wrong = wrong ? wrong : check_counts(w);
        wrong = wrong ? wrong : mp__ring_check(w->ring);
        while (!wrong && w->next - w->first > 1) {
            wrong = get(w);
        }
    }
    return wrong;
}

/* Free it; NULL, or what is left. */
static const char *
end(struct world *w)
{
    mp__ring_done(w->ring);
    mp_free(w->ring);
    return torture_blocks() != w->blocks ? "a block of the heap is lost" : mp__alloc_check();
}

/* How far the victim came; it came to its end if it is said to have. */
static const char *
contents(struct world *w, bool finished)
{
    double start = mp_test_now();
    uint32_t now = mp__ring_count(w->ring), before = w->next - w->first;
    torture_waited(mp_test_now() - start);
    if (now > before + w->adds || now + w->takes < before) {
        return "the number of messages is off";
    }
    if (finished && now != before + w->adds - w->takes) {
        return "what was done is not there";
    }
    if (w->takes) {
        w->first += before - now;
    } else {
        w->next += now - before;
    }
    const char *wrong = check_counts(w);
    wrong = wrong ? wrong : mp__ring_check(w->ring);
    if (!wrong && put(w, 40) != 0) {
        wrong = "the survivor cannot put";
    }
    start = mp_test_now();
    while (!wrong && w->first < w->next) {
        wrong = get(w);
    }
    torture_waited(mp_test_now() - start);
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
    return wrong ? wrong : end(w);
}

/* The survivor's first act is to free the ring. */
static const char *
check_freed_at_once(void *arg, bool finished)
{
    (void)finished;
    return end(arg);
}

/* After two victims: the second may have put one more, or taken two. */
static const char *
check_again(void *arg, bool finished)
{
    struct world *w = arg;
    (void)finished;
    size_t len;
    double start = mp_test_now();
    mp__ring_count(w->ring);
    torture_waited(mp_test_now() - start);
    const char *wrong = mp__ring_check(w->ring);
    uint32_t last = 0;
    while (!wrong && mp__ring_get(w->ring, into_buffer, &len, MP__TRY) == 0) {
        uint32_t number;
        memcpy(&number, buffer, 4);
        wrong = read_number(w, buffer, len, number);
        if (!wrong && number <= last) {
            wrong = "a message comes twice, or out of order";
        }
        if (!wrong && last != 0 && number != last + 1) {
            wrong = "a message is missing in the middle";
        }
        if (!wrong && last == 0 && number > w->first + w->takes + 1) {
            wrong = "the first message is missing";
        }
        last = number;
    }
    if (!wrong && last + 1 < w->next) {
        wrong = "the last message is missing";
    }
    w->first = w->next = last + 1;
    wrong = wrong ? wrong : goes_on(w);
    return wrong ? wrong : end(w);
}

/* ---- rings before the victim ------------------------------------------------------------------ */

static void
new_ring(struct world *w, uint32_t adds, uint32_t takes)
{
    w->first = w->next = 1;
    w->adds = adds;
    w->takes = takes;
    w->blocks = torture_blocks();
    w->ring = mp__heap_alloc(sizeof *w->ring, 64);
    must(w->ring != NULL, "a ring");
    memset(w->ring, 0, sizeof *w->ring);
    must(mp__ring_init(w->ring, 100000, UINT64_C(1) << 30) == 0, "the ring's first segment");
}

static void
fill(struct world *w, int count, size_t size)
{
    for (int i = 0; i < count; i++) {
        must(put(w, size) == 0, "a message");
    }
}

static void
drain(struct world *w, int count)
{
    for (int i = 0; i < count; i++) {
        const char *wrong = get(w);
        must(!wrong, wrong);
    }
}

/* The next ones are to be of this size. */
static void
to_add(struct world *w, uint32_t count, size_t size)
{
    for (uint32_t i = 0; i < count; i++) {
        w->size[(w->next + i) % ROOM] = size;
    }
}

/* Small messages until a record of one unit does not fit behind them. */
static void
fill_segment(struct world *w)
{
    struct mp__segment *s = atomic_load(&w->ring->tail_seg);
    while (s->end - mp__place_unit(atomic_load(&w->ring->tail)) > 62) {
        fill(w, 1, 900);
    }
    while (s->end - mp__place_unit(atomic_load(&w->ring->tail)) > 1) {
        fill(w, 1, 8);
    }
}

static void
put_big(void *arg)
{
    new_ring(arg, 1, 0);
    fill(arg, 2, 40);
    to_add(arg, 1, BIG);
}

static void
put_big_kept(void *arg)
{
    new_ring(arg, 1, 0);
    fill(arg, 2, BIG);
    drain(arg, 1);
    to_add(arg, 1, BIG);
}

static void
put_big_linked(void *arg)
{
    struct world *w = arg;
    new_ring(w, 1, 0);
    fill_segment(w);
    to_add(w, 1, BIG);
}

static void
put_big_wrapped(void *arg)
{
    put_big_linked(arg);
    drain(arg, 5);
}

static void
get_big(void *arg)
{
    new_ring(arg, 0, 1);
    fill(arg, 3, BIG);
}

/* The big message is the first of a new segment. */
static void
get_big_linked(void *arg)
{
    struct world *w = arg;
    new_ring(w, 0, 1);
    fill_segment(w);
    fill(w, 2, BIG);
    drain(w, (int)(w->next - w->first) - 2);
}

static void
put_batch(void *arg)
{
    struct world *w = arg;
    new_ring(w, 7, 0);
    fill(w, 2, 40);
    to_add(w, 7, 100);
    w->size[(w->next + 3) % ROOM] = BIG;
}

static void
get_batch(void *arg)
{
    new_ring(arg, 0, 7);
    fill(arg, 3, 100);
    fill(arg, 1, BIG);
    fill(arg, 4, 100);
}

/* What came back goes first. */
static void
get_returned(void *arg)
{
    struct world *w = arg;
    new_ring(w, 0, 1);
    fill(w, 1, 100);
    fill(w, 3, BIG);
    for (int i = 0; i < 3; i++) {
        const char *wrong = peek(w, &w->lent[i]);
        must(!wrong, wrong);
    }
    for (int i = 0; i < 3; i++) {
        must(mp__ring_give_back(w->ring, w->lent[i]) == 0, "a message given back");
    }
    w->first -= 3;
}

static void
peek_small(void *arg)
{
    new_ring(arg, 0, 0);
    fill(arg, 3, 100);
}

static void
peek_big(void *arg)
{
    get_big(arg);
    ((struct world *)arg)->takes = 0;
}

static void
peek_returned(void *arg)
{
    get_returned(arg);
    ((struct world *)arg)->takes = 0;
}

static void
reserve_one(void *arg)
{
    new_ring(arg, 0, 0);
    fill(arg, 2, BIG);
}

static void
commit_small_one(void *arg)
{
    put_big(arg);
    to_add(arg, 1, 100);
}

/* All kinds of messages, for the end. */
static void
mixture(void *arg)
{
    struct world *w = arg;
    get_returned(w);
    fill(w, 3, 200);
    fill(w, 2, BIG);
    w->takes = 0;
}

/* ---- operations ------------------------------------------------------------------------------ */

static void
do_put(void *arg)
{
    struct world *w = arg;
    size_t size = w->size[w->next % ROOM];
    write_number(buffer, w->next, size);
    mp__ring_put(w->ring, MP__RING_BYTES, buffer, size, MP__TRY);
}

static void
do_get(void *arg)
{
    struct world *w = arg;
    size_t len;
    mp__ring_get(w->ring, into_buffer, &len, MP__TRY);
}

static void
do_put_many(void *arg)
{
    struct world *w = arg;
    static unsigned char data[8][BIG];
    struct mp__ring_part parts[8];
    size_t done;
    for (uint32_t i = 0; i < w->adds; i++) {
        size_t size = w->size[(w->next + i) % ROOM];
        write_number(data[i], w->next + i, size);
        parts[i] = (struct mp__ring_part){data[i], size};
    }
    mp__ring_put_many(w->ring, MP__RING_BYTES, parts, w->adds, &done, MP__TRY);
    must(done == w->adds, "all parts");
}

static void
do_get_many(void *arg)
{
    struct world *w = arg;
    size_t len, done;
    mp__ring_get_many(w->ring, into_buffer, &len, w->takes, &done, MP__TRY);
    must(done == w->takes, "all messages");
}

static void
do_reserve(void *arg)
{
    struct world *w = arg;
    mp__ring_reserve(w->ring, BIG, &w->lent[0]);
}

static void
before_commit(void *arg)
{
    struct world *w = arg;
    must(mp__ring_reserve(w->ring, BIG, &w->lent[0]) == 0, "reserved bytes");
    write_number(w->lent[0], w->next, w->size[w->next % ROOM]);
}

static void
do_commit(void *arg)
{
    struct world *w = arg;
    mp__ring_commit(w->ring, MP__RING_BYTES, w->lent[0], w->size[w->next % ROOM], MP__TRY);
}

static void
do_peek(void *arg)
{
    struct world *w = arg;
    size_t len;
    enum mp__ring_type type;
    mp__ring_peek(w->ring, &w->lent[0], &len, &type, MP__TRY);
}

/* What is done with a loan. */
#define WITH_LOAN(what)                                                                            \
    static void do_##what(void *arg)                                                               \
    {                                                                                              \
        struct world *w = arg;                                                                     \
        mp__ring_##what(w->ring, w->lent[0]);                                                      \
    }
WITH_LOAN(cancel)
WITH_LOAN(release)
WITH_LOAN(give_back)

/* ---- shutting down --------------------------------------------------------------------------- */

static void
do_shutdown(void *arg)
{
    mp__ring_shutdown(((struct world *)arg)->ring, false);
}

static void
do_shutdown_now(void *arg)
{
    mp__ring_shutdown(((struct world *)arg)->ring, true);
}

/* It is shut down or not; all messages come, and then it is done. */
static const char *
check_shut(void *arg, bool finished)
{
    struct world *w = arg;
    const char *wrong = check_counts(w);
    double start = mp_test_now();
    int status = put(w, 40);
    torture_waited(mp_test_now() - start);
    if (status != 0 && status != MP_ESHUTDOWN) {
        return "a put is refused otherwise";
    }
    if (status == 0 && finished) {
        return "it was shut down, and a message went in";
    }
    while (!wrong && w->first < w->next) {
        wrong = get(w);
    }
    size_t len;
    if (!wrong && mp__ring_get(w->ring, into_buffer, &len, MP__TRY) !=
                      (status == 0 ? MP_EEMPTY : MP_ESHUTDOWN)) {
        wrong = "an end is told that is none";
    }
    wrong = wrong ? wrong : mp__ring_check(w->ring);
    return wrong ? wrong : end(w);
}

/* All messages are there, or none is, and then those gone are not counted as put. */
static const char *
check_dropped(void *arg, bool finished)
{
    struct world *w = arg;
    uint32_t left = w->next - w->first, puts = w->next - 1;
    double start = mp_test_now();
    uint32_t now = mp__ring_count(w->ring);
    torture_waited(mp_test_now() - start);
    if (now == left && !finished && !mp__ring_is_shutdown(w->ring)) {
        if (mp__ring_puts(w->ring) != puts) {
            return "the number of puts is off";
        }
        return check(w, false);
    }
    size_t len;
    if (now != 0 || mp__ring_held(w->ring) != 0 ||
        mp__ring_get(w->ring, into_buffer, &len, MP__TRY) != MP_ESHUTDOWN) {
        return "a message is there still";
    }
    if (mp__ring_puts(w->ring) != puts - left || mp__ring_puts_seen(w->ring) != puts - left) {
        return "the number of puts is off";
    }
    const char *wrong = mp__ring_check(w->ring);
    return wrong ? wrong : end(w);
}

/* A message is out when all is dropped; then its holder dies while giving it back. */
static const char *
check_dropped_late(void *arg, bool finished)
{
    struct world *w = arg;
    (void)finished;
    mp__ring_count(w->ring);
    if (mp__ring_puts(w->ring) != 0 || mp__ring_count(w->ring) != 0) {
        return "the number of puts is off";
    }
    const char *wrong = mp__ring_check(w->ring);
    return wrong ? wrong : end(w);
}

static void
peek_and_drop(void *arg)
{
    do_peek(arg);
    do_shutdown_now(arg);
}

/* ---- twice ------------------------------------------------------------------------------------ */

/* What a survivor does first: bring all in order, take one. */
static void
recover(void *arg)
{
    struct world *w = arg;
    mp__ring_count(w->ring);
    do_get(w);
}

/* ---- the cases -------------------------------------------------------------------------------- */

#define COMMITS                                                                                    \
    "queue.put.commit queue.get.consume queue.slot.claim queue.peek.release "                      \
    "heap.journal.commit heap.ilock.acquire heap.ilock.release"

#define CASE(title, before_it, op, test)                                                           \
    .name = title, .commits = COMMITS, .set_up = before_it, .operation = op, .check = test,        \
    .arg = &world

#define AGAIN .recovery = recover, .stride = 29, .quick = 300

static const struct torture_case cases[] = {
    {CASE("queue.put.commit+big", put_big, do_put, check)},
    {CASE("queue.put.commit+big, kept block", put_big_kept, do_put, check)},
    {CASE("queue.put.commit+big, linked", put_big_linked, do_put, check)},
    {CASE("queue.put.commit+big, wrapped", put_big_wrapped, do_put, check)},
    {CASE("queue.put.commit+big, then freed", put_big_linked, do_put, check_freed_at_once)},
    {CASE("queue.put.commit+big, again", put_big, do_put, check_again), AGAIN},
    {CASE("queue.put.commit+big linked, again", put_big_linked, do_put, check_again), AGAIN},
    {CASE("queue.put.commit+batch", put_batch, do_put_many, check)},
    {CASE("queue.get.consume+big", get_big, do_get, check)},
    {CASE("queue.get.consume+big, linked", get_big_linked, do_get, check)},
    {CASE("queue.get.consume+big, then freed", get_big, do_get, check_freed_at_once)},
    {CASE("queue.get.consume+big, again", get_big, do_get, check_again), AGAIN},
    {CASE("queue.get.consume+batch", get_batch, do_get_many, check)},
    {CASE("queue.slot.claim+reserve", reserve_one, do_reserve, check)},
    {CASE("queue.slot.claim+reserve, again", reserve_one, do_reserve, check_again), AGAIN},
    {CASE("queue.put.commit+loan", put_big, do_commit, check), .before = before_commit},
    {CASE("queue.put.commit+small loan", commit_small_one, do_commit, check),
     .before = before_commit},
    {CASE("queue.put.commit+loan, again", put_big, do_commit, check_again), .before = before_commit,
     AGAIN},
    {CASE("queue.peek.release+cancel", reserve_one, do_cancel, check), .before = before_commit},
    {CASE("queue.get.consume+peek small", peek_small, do_peek, check)},
    {CASE("queue.get.consume+peek big", peek_big, do_peek, check)},
    {CASE("queue.get.consume+peek, again", peek_small, do_peek, check_again), AGAIN},
    {CASE("queue.peek.again", peek_returned, do_peek, check)},
    {CASE("queue.peek.again+got", get_returned, do_get, check)},
    {CASE("queue.peek.again+twice", get_returned, do_get, check_again), AGAIN},
    {CASE("queue.peek.release", get_big, do_release, check), .before = do_peek},
    {CASE("queue.peek.release+again", get_big, do_release, check_again), .before = do_peek, AGAIN},
    {CASE("queue.peek.give_back", peek_big, do_give_back, check), .before = do_peek},
    {CASE("queue.peek.give_back+again", peek_big, do_give_back, check_again), .before = do_peek,
     AGAIN},
    {CASE("queue.shutdown.commit", mixture, do_shutdown, check_shut)},
    {CASE("queue.shutdown.commit+immediate", mixture, do_shutdown_now, check_dropped)},
    {CASE("queue.shutdown.commit+immediate, then freed", mixture, do_shutdown_now,
          check_freed_at_once)},
    {CASE("queue.shutdown.commit+immediate, given back", peek_big, do_give_back,
          check_dropped_late),
     .before = peek_and_drop},
};
TORTURE_CASES(queue, cases)
