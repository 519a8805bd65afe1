/*
 * torture_queue_storm.c: producers and consumers of one ring that are killed at random.
 *
 * Each message has a number of its own, a length and a checksum.  A table in memory that all share
 * tells how far each came: to be put, put, got.  Before a worker begins something it notes what
 * will be in its hands; when it is dead, the parent notes that for each of these.  In the end every
 * message that was put was got exactly once, or was in the hands of one who died; none that was not
 * to be put was got, and none twice: a message that its holder only peeked at comes again.
 */
#include "torture/frame.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "heap/alloc.h"
#include "heap/heap.h"
#include "platform/platform.h"
#include "queue/ring.h"

#define WORKERS 8
#define HANDS   24         /* messages that a worker handles at once */
#define MOST    (40 << 10) /* bytes of one */
#define NUMBERS (UINT64_C(1) << 28)

/* What the table tells of a message, and how often it was got: GOT is added. */
enum { BEGUN = 1, PUT = 2, IN_HAND = 4, GOT = 8 };

struct head {
    uint64_t number, sum;
    uint32_t len, zero;
};

struct shared {
    _Atomic uint64_t next;
    _Atomic bool full;        /* the table */
    _Atomic long torn, twice; /* found by consumers */
    struct mp__ring *ring;
    struct {
        _Atomic uint64_t hand[HANDS]; /* numbers, 0: none */
        unsigned char buffer[HANDS][MOST];
        _Alignas(8) unsigned char part[HANDS][4096];
    } worker[WORKERS];
};

struct world {
    struct shared *s;
    _Atomic uint8_t *table;
    uint32_t maxsize;
    uint64_t maxbytes;
    unsigned bigs; /* of 100 messages */
    size_t blocks;
};

/* ---- messages --------------------------------------------------------------------------------- */

static uint64_t
sum_of(const struct head *h)
{
    const unsigned char *data = (const unsigned char *)(h + 1);
    uint64_t sum = h->number * UINT64_C(0x9E3779B97F4A7C15) + h->len, word;
    for (size_t i = sizeof *h; i + 8 <= h->len; i += 8) {
        memcpy(&word, data + i - sizeof *h, 8);
        sum = (sum ^ word) * UINT64_C(0x100000001B3);
    }
    return sum;
}

static size_t
some_len(const struct world *w, size_t most)
{
    unsigned dice = torture_random(100);
    size_t len = dice < w->bigs ? 4097 + torture_random(MOST - 4097)
                 : dice < 90    ? sizeof(struct head) + torture_random(200)
                                : sizeof(struct head) + torture_random(4000);
    return len < most ? len : most;
}

/* A new message; its number, 0 when there are none left. */
static uint64_t
write_message(struct world *w, void *at, size_t len)
{
    uint64_t number = atomic_fetch_add(&w->s->next, 1);
    struct head *h = at;
    if (number >= NUMBERS) {
        w->s->full = true;
        return 0;
    }
    unsigned char *data = (unsigned char *)(h + 1);
    *h = (struct head){.number = number, .len = (uint32_t)len};
    for (size_t i = 0; i + 8 <= len - sizeof *h; i += 8) {
        uint64_t word = number + i;
        memcpy(data + i, &word, 8);
    }
    h->sum = sum_of(h);
    atomic_fetch_or(&w->table[number], BEGUN);
    return number;
}

/* A message in the hands of a consumer: its number, 0: it is torn. */
static uint64_t
read_message(struct world *w, const void *at, size_t len)
{
    const struct head *h = at;
    if (len < sizeof *h || h->len != len || h->number == 0 || h->number >= NUMBERS ||
        sum_of(h) != h->sum || !(w->table[h->number] & BEGUN)) {
        w->s->torn++;
        return 0;
    }
    return h->number;
}

static void
got(struct world *w, uint64_t number)
{
    if (number != 0 && atomic_fetch_add(&w->table[number], GOT) >= GOT) {
        w->s->twice++;
    }
}

/* None of them is for ever: in the end all leave, one after the other. */
static mp__deadline
some_deadline(void)
{
    return torture_random(2) ? MP__TRY : mp__plat_now() + 5 * MP__MS;
}

/* ---- producers --------------------------------------------------------------------------------- */

static void
put_one(struct world *w, int which)
{
    unsigned char *data = w->s->worker[which].buffer[0];
    size_t len = some_len(w, MOST);
    uint64_t number = write_message(w, data, len);
    int status = mp__ring_put(w->s->ring, MP__RING_BYTES, data, len, some_deadline());
    mp_child_check(status == 0 || status == MP_EFULL);
    if (status == 0) {
        atomic_fetch_or(&w->table[number], PUT);
    }
}

static void
put_several(struct world *w, int which)
{
    struct mp__ring_part parts[HANDS];
    uint64_t number[HANDS];
    size_t n = 1 + torture_random(HANDS), done = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char *data = i == 3 ? w->s->worker[which].buffer[i] : w->s->worker[which].part[i];
        parts[i] = (struct mp__ring_part){data, some_len(w, i == 3 ? MOST : 4096)};
        number[i] = write_message(w, data, parts[i].len);
    }
    int status = mp__ring_put_many(w->s->ring, MP__RING_BYTES, parts, n, &done, some_deadline());
    mp_child_check(status == 0 ? done == n : status == MP_EFULL && done < n);
    for (size_t i = 0; i < done; i++) {
        atomic_fetch_or(&w->table[number[i]], PUT);
    }
}

static void
put_loan(struct world *w)
{
    void *data[2];
    size_t len[2];
    uint64_t number[2];
    for (int i = 0; i < 2; i++) {
        len[i] = some_len(w, MOST);
        mp_child_ok(mp__ring_reserve(w->s->ring, len[i], &data[i]));
        number[i] = write_message(w, data[i], len[i]);
    }
    for (int i = 1; i >= 0; i--) {
        int status = torture_random(8) == 0 ? MP_EFULL
                                            : mp__ring_commit(w->s->ring, MP__RING_BYTES, data[i],
                                                              len[i], some_deadline());
        if (status == 0) {
            atomic_fetch_or(&w->table[number[i]], PUT);
        } else {
            mp_child_check(status == MP_EFULL);
            mp_child_ok(mp__ring_cancel(w->s->ring, data[i]));
        }
    }
}

static void
produce(struct world *w, int which)
{
    if (w->maxsize >= 100000 && mp__ring_count(w->s->ring) > 5000) {
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
        return;
    }
    switch (torture_random(4)) {
    case 0:
        put_several(w, which);
        break;
    case 1:
        put_loan(w);
        break;
    default:
        put_one(w, which);
    }
}

/* ---- consumers --------------------------------------------------------------------------------- */

/* Where a consumer's messages go; it has them in its hands from then on. */
struct taking {
    struct world *w;
    int which;
    int n;
    size_t len[HANDS];
};

static void *
into_hands(void *ctx, enum mp__ring_type type, size_t len, int *ret_status)
{
    struct taking *t = ctx;
    (void)type;
    if (t->n == HANDS || len > MOST) {
        *ret_status = MP_EVALUE;
        return NULL;
    }
    t->len[t->n] = len;
    return t->w->s->worker[t->which].buffer[t->n++];
}

static void
take(struct world *w, int which, size_t most)
{
    struct taking t = {.w = w, .which = which};
    size_t done = 0;
    for (size_t i = 0; i < most; i++) {
        ((struct head *)w->s->worker[which].buffer[i])->number = 0;
    }
    /* Until it has noted what it got, what lies in its buffers is in its hands. */
    atomic_store(&w->s->worker[which].hand[0], UINT64_MAX);
    int status = most == 1
                     ? mp__ring_get(w->s->ring, into_hands, &t, some_deadline())
                     : mp__ring_get_many(w->s->ring, into_hands, &t, most, &done, some_deadline());
    mp_child_check(status == 0 || status == MP_EEMPTY);
    done = status == 0 && most == 1 ? 1 : done;
    for (size_t i = 0; i < done; i++) {
        got(w, read_message(w, w->s->worker[which].buffer[i], t.len[i]));
    }
    atomic_store(&w->s->worker[which].hand[0], 0);
}

/* The message is in its hands from the moment before it releases it. */
static void
let_go(struct world *w, int which, void *data, size_t len)
{
    uint64_t number = read_message(w, data, len);
    if (torture_random(4) == 0) {
        mp_child_ok(mp__ring_give_back(w->s->ring, data));
        return;
    }
    atomic_store(&w->s->worker[which].hand[1], number);
    mp_child_ok(mp__ring_release(w->s->ring, data));
    got(w, number);
    atomic_store(&w->s->worker[which].hand[1], 0);
}

static void
look(struct world *w, int which)
{
    void *data[3];
    size_t len[3];
    enum mp__ring_type type;
    int n = 0, most = 1 + (int)torture_random(3);
    while (n < most && mp__ring_peek(w->s->ring, &data[n], &len[n], &type, some_deadline()) == 0) {
        n++;
    }
    for (int i = 0; i < n; i++) {
        let_go(w, which, data[i], len[i]);
    }
}

static void
consume(struct world *w, int which)
{
    switch (torture_random(4)) {
    case 0:
        take(w, which, HANDS);
        break;
    case 1:
        look(w, which);
        break;
    default:
        take(w, which, 1);
    }
}

/* ---- the storm --------------------------------------------------------------------------------- */

static void
work(void *arg, int which)
{
    struct world *w = arg;
    if (which % 2) {
        consume(w, which);
    } else {
        produce(w, which);
    }
}

static void
open_ring(void *arg)
{
    struct world *w = arg;
    w->table = torture_shared(NUMBERS);
    w->s = mp_calloc(1, sizeof *w->s);
    mp_child_check(w->s);
    w->s->next = 1;
    w->blocks = torture_blocks();
    w->s->ring = mp__heap_alloc(sizeof *w->s->ring, 64);
    mp_child_check(w->s->ring);
    memset(w->s->ring, 0, sizeof *w->s->ring);
    mp_child_ok(mp__ring_init(w->s->ring, w->maxsize, w->maxbytes));
}

/* What was in the hands of the dead. */
static void
died(void *arg, int which, pid_t pid)
{
    struct world *w = arg;
    (void)pid;
    if (w->s->worker[which].hand[0] != 0) {
        for (int i = 0; i < HANDS; i++) {
            struct head h;
            memcpy(&h, w->s->worker[which].buffer[i], sizeof h);
            if (h.number != 0 && h.number < NUMBERS) {
                atomic_fetch_or(&w->table[h.number], IN_HAND);
            }
        }
        w->s->worker[which].hand[0] = 0;
    }
    uint64_t number = w->s->worker[which].hand[1];
    if (number != 0) {
        atomic_fetch_or(&w->table[number], IN_HAND);
        w->s->worker[which].hand[1] = 0;
    }
}

static const char *
drain(struct world *w)
{
    struct taking t = {.w = w, .which = 1};
    int status;
    while ((status = mp__ring_get(w->s->ring, into_hands, &t, MP__TRY)) == 0) {
        got(w, read_message(w, w->s->worker[1].buffer[0], t.len[0]));
        t.n = 0;
    }
    return status == MP_EEMPTY ? NULL : "the ring cannot be drained";
}

static const char *
count_all(struct world *w)
{
    static char text[200];
    long lost = 0, ghosts = 0, in_hand = 0, all = 0, twice = 0;
    uint64_t end = w->s->next < NUMBERS ? w->s->next : NUMBERS;
    for (uint64_t i = 1; i < end; i++) {
        uint8_t is = w->table[i];
        bool was_got = is >= GOT;
        all += was_got;
        lost += (is & PUT) && !was_got && !(is & IN_HAND);
        in_hand += (is & PUT) && !was_got && (is & IN_HAND);
        ghosts += was_got && !(is & BEGUN);
        twice += is >= 2 * GOT;
    }
    if (getenv("MP_TEST_STEP_VERBOSE")) {
        fprintf(stderr, "%ld messages got, %ld in the hands of the dead\n", all, in_hand);
    }
    if (lost || ghosts || twice || w->s->torn || w->s->twice || all == 0) {
        snprintf(text, sizeof text, "of %ld messages %ld lost, %ld torn, %ld twice, %ld never put",
                 all, lost, (long)w->s->torn, twice, ghosts);
        return text;
    }
    return w->s->full ? "the table was too small" : NULL;
}

static const char *
check(void *arg, long kills)
{
    struct world *w = arg;
    (void)kills;
    mp__ring_count(w->s->ring); /* brings all in order */
    const char *wrong = mp__ring_check(w->s->ring);
    wrong = wrong ? wrong : drain(w);
    wrong = wrong ? wrong : count_all(w);
    if (!wrong && (mp__ring_count(w->s->ring) != 0 || mp__ring_held(w->s->ring) != 0)) {
        wrong = "what is empty is not counted as empty";
    }
    wrong = wrong ? wrong : mp__ring_check(w->s->ring);
    mp__ring_done(w->s->ring);
    mp_free(w->s->ring);
    if (!wrong && torture_blocks() != w->blocks) {
        wrong = "a block of the heap is lost";
    }
    return wrong ? wrong : mp__alloc_check();
}

static struct world tight = {.maxsize = 16, .bigs = 5}, wide = {.maxsize = 1000000, .bigs = 5},
                    bytes = {.maxsize = 1000000, .maxbytes = 300000, .bigs = 20};

#define COMMITS                                                                                    \
    "queue.put.commit queue.get.consume queue.slot.claim queue.peek.release queue.peek.give_back " \
    "queue.peek.again heap.journal.commit heap.ilock.acquire heap.ilock.release"

#define STORM(title, world_)                                                                       \
    .name = title, .commits = COMMITS, .workers = WORKERS, .kills = 7000, .quick_kills = 300,      \
    .open = open_ring, .work = work, .died = died, .check = check, .arg = &(world_)

static const struct torture_storm storms[] = {
    {STORM("queue.put.storm+few messages", tight)},
    {STORM("queue.put.storm+many messages", wide)},
    {STORM("queue.put.storm+few bytes", bytes)},
};
TORTURE_STORMS(queue, storms)
