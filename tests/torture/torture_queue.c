/*
 * torture_queue.c: the ring's put and get, killed after each instruction.
 *
 * Messages are numbered.  After each death the survivor finds exactly what was committed, in order,
 * the victim's message whole or not at all, and afterwards not a block of the heap is missing.
 */
#include "torture/torture.h"

#include <stdatomic.h>
#include <string.h>

#include "heap/alloc.h"
#include "heap/heap.h"
#include "queue/ring.h"
#include "queue/segment.h"

#define KIB  1024
#define MOST (300 * KIB) /* bytes of a message */

static struct world {
    struct mp__ring *ring;
    uint32_t first, next; /* the messages that are in the ring: [first, next) */
    size_t size;          /* of the victim's message, number `next` */
    bool puts;            /* whether the victim puts; else it gets */
    size_t blocks;        /* of the heap, before there was a ring */
} world;

static unsigned char buffer[MOST];

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
    torture_waited(mp_test_now() - start);
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
    if (wrong) {
        return wrong;
    }
    mp__ring_done(w->ring);
    mp_free(w->ring);
    if (torture_blocks() != w->blocks) {
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
    return torture_blocks() != w->blocks ? "a block of the heap is lost" : mp__alloc_check();
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
    w->blocks = torture_blocks();
    w->ring = mp__heap_alloc(sizeof *w->ring, 64);
    must(w->ring != NULL, "a ring");
    memset(w->ring, 0, sizeof *w->ring);
    must(mp__ring_init(w->ring, 100000, 0) == 0, "the ring's first segment");
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

/* Messages that lie in segments of 16 KiB, 64 KiB, 256 KiB and then one of 1 MiB. */
#define UP_TO_BIG 100
static void
fill_big_segment(struct world *w)
{
    must(fill(w, UP_TO_BIG, 4000) == 0, "messages");
    struct mp__segment *s = atomic_load(&w->ring->tail_seg);
    must(mp__segment_bytes(s) == KIB * KIB, "a segment of 1 MiB");
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
    fill_big_segment(w);
    must(fill(w, 256 - UP_TO_BIG, 40) == 0, "messages");
    must(!drain(w, 250), "messages");
    leave_old_bytes(16 * KIB);
}

/* As if so much had gone round so fast that messages are said to flow: they get a large segment. */
static void
put_flowing(void *arg)
{
    struct world *w = arg;
    put_wrapped(w);
    w->ring->flowed = UINT64_C(1) << 40;
    w->ring->flowed_at = INT64_MAX / 2; /* however long the victim takes */
    leave_old_bytes(4 * KIB * KIB);
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

/* A getter that leaves a big segment empty moves the ring to a small one. */
static void
get_from_big(void *arg)
{
    struct world *w = arg;
    new_ring(w, false, 0);
    fill_big_segment(w);
    must(!drain(w, UP_TO_BIG - 1), "messages");
    leave_old_bytes(16 * KIB);
}

/* Nobody waits for what flowed: who finds nothing there moves the ring to a small segment. */
static void
get_flowed(void *arg)
{
    struct world *w = arg;
    new_ring(w, false, 0);
    fill_big_segment(w);
    atomic_store(&w->ring->flowing, true);
    must(!drain(w, UP_TO_BIG), "messages");
    must(mp__segment_bytes(atomic_load(&w->ring->tail_seg)) == KIB * KIB,
         "it stays while they flow");
    leave_old_bytes(16 * KIB);
}

/* ---- others ----------------------------------------------------------------------------------- */

/* A second death, in what the survivor would have done first: recover both sides. */
static void
recover(void *arg)
{
    struct world *w = arg;
    mp__ring_count(w->ring);
    size_t len;
    mp__ring_get(w->ring, into_buffer, &len, MP__TRY);
}

/* What the first and the second victim may have done: a message put; messages taken. */
static const char *
check_again(void *arg, bool finished)
{
    struct world *w = arg;
    (void)finished;
    double start = mp_test_now();
    uint32_t now = mp__ring_count(w->ring);
    torture_waited(mp_test_now() - start);
    const char *wrong = mp__ring_check(w->ring);
    uint32_t most = w->next - w->first + w->puts, least = most - w->puts - (w->puts ? 1 : 2);
    if (!wrong && (now > most || now < least)) {
        wrong = "the number of messages is off";
    }
    if (!wrong && fill(w, 1, 40) != 0) { /* its number is the victim's own, or beyond */
        wrong = "the survivor cannot put";
    }
    size_t len;
    for (uint32_t i = 0; i <= now && !wrong; i++) {
        if (mp__ring_get(w->ring, into_buffer, &len, MP__TRY) != 0) {
            wrong = "a message is missing";
        }
    }
    if (!wrong && mp__ring_get(w->ring, into_buffer, &len, MP__TRY) != MP_EEMPTY) {
        wrong = "there is a message too many";
    }
    w->first = w->next;
    wrong = wrong ? wrong : goes_on(w);
    if (wrong) {
        return wrong;
    }
    mp__ring_done(w->ring);
    mp_free(w->ring);
    return torture_blocks() != w->blocks ? "a block of the heap is lost" : mp__alloc_check();
}

/* The next message, with patience: what its number is, 0 is none. */
static int
wait_for_message(void *arg, int which)
{
    struct world *w = arg;
    size_t len;
    uint32_t word = 0;
    (void)which;
    if (mp__ring_get(w->ring, into_buffer, &len, MP__NEVER) == 0) {
        memcpy(&word, buffer, 4);
    }
    return (int)word;
}

static void
put_to_sleeper(void *arg)
{
    new_ring(arg, true, 40);
}

/* The sleeper gets the victim's message, or the survivor's, which comes next. */
static const char *
check_sleeper(void *arg, bool finished)
{
    struct world *w = arg;
    bool there = mp__ring_count(w->ring) > 0; /* it must come without our help */
    if (!finished && !there && torture_back(1, 0.002) == 0) {
        torture_mark();
        if (put(w->ring, w->next, 40) != 0) {
            return "the survivor cannot put";
        }
    }
    if (torture_back(1, 5) != 1 || torture_result(0) != (int)w->next) {
        return "who waits for a message does not get it";
    }
    w->next++;
    w->first++;
    mp__ring_done(w->ring);
    mp_free(w->ring);
    return torture_blocks() != w->blocks ? "a block of the heap is lost" : mp__alloc_check();
}

/* A control: the dead one's lock opened by hand, and nothing recovered. */
static const char *
check_unrecovered(void *arg, bool finished)
{
    struct world *w = arg;
    uint64_t word = atomic_exchange(&w->ring->put_lock.word, 0);
    const char *wrong = mp__ring_check(w->ring);
    atomic_store(&w->ring->put_lock.word, word);
    mp_child_check(!check(w, finished));
    return wrong;
}

/* ---- the cases -------------------------------------------------------------------------------- */

#define COMMITS                                                                                    \
    "queue.put.commit queue.get.consume heap.journal.commit heap.ilock.acquire heap.ilock.release"

static const struct torture_case cases[] = {
    {.name = "queue.put.commit",
     .commits = COMMITS,
     .set_up = put_plain,
     .operation = do_put,
     .check = check,
     .arg = &world},
    {.name = "queue.put.commit+wrapped",
     .commits = COMMITS,
     .set_up = put_wrapped,
     .operation = do_put,
     .check = check,
     .arg = &world},
    {.name = "queue.put.commit+linked",
     .commits = COMMITS,
     .set_up = put_linked,
     .operation = do_put,
     .check = check,
     .arg = &world},
    {.name = "queue.put.commit+small segment",
     .commits = COMMITS,
     .set_up = put_too_big,
     .operation = do_put,
     .check = check,
     .arg = &world},
    {.name = "queue.put.commit+flowing",
     .commits = COMMITS,
     .set_up = put_flowing,
     .operation = do_put,
     .check = check,
     .arg = &world},
    {.name = "queue.put.commit+linked, then freed",
     .commits = COMMITS,
     .set_up = put_linked,
     .operation = do_put,
     .check = check_freed_at_once,
     .arg = &world},
    {.name = "queue.put.commit+sleeper",
     .commits = COMMITS,
     .set_up = put_to_sleeper,
     .parked = 1,
     .park = wait_for_message,
     .operation = do_put,
     .check = check_sleeper,
     .arg = &world},
    {.name = "queue.put.commit+linked, again",
     .commits = COMMITS,
     .set_up = put_linked,
     .operation = do_put,
     .check = check_again,
     .recovery = recover,
     .stride = 23,
     .quick = 200,
     .arg = &world},
    {.name = "queue.get.consume",
     .commits = COMMITS,
     .set_up = get_plain,
     .operation = do_get,
     .check = check,
     .arg = &world},
    {.name = "queue.get.consume+wrapped",
     .commits = COMMITS,
     .set_up = get_wrapped,
     .operation = do_get,
     .check = check,
     .arg = &world},
    {.name = "queue.get.consume+linked",
     .commits = COMMITS,
     .set_up = get_linked,
     .operation = do_get,
     .check = check,
     .arg = &world},
    {.name = "queue.get.consume+pages back",
     .commits = COMMITS,
     .set_up = get_from_big,
     .operation = do_get,
     .check = check,
     .arg = &world},
    {.name = "queue.get.consume+flowed",
     .commits = COMMITS,
     .set_up = get_flowed,
     .operation = do_get,
     .check = check,
     .arg = &world},
    {.name = "queue.get.consume+linked, then freed",
     .commits = COMMITS,
     .set_up = get_linked,
     .operation = do_get,
     .check = check_freed_at_once,
     .arg = &world},
    {.name = "queue.get.consume+linked, again",
     .commits = COMMITS,
     .set_up = get_linked,
     .operation = do_get,
     .check = check_again,
     .recovery = recover,
     .stride = 23,
     .quick = 200,
     .arg = &world},
    {.name = "queue.put.commit+linked, control",
     .set_up = put_linked,
     .operation = do_put,
     .check = check_unrecovered,
     .must_fail = true,
     .arg = &world},
};
TORTURE_CASES(queue, cases)
