/*
 * queue.c: messages from one process to another, from four to four, and by one thread to itself.
 *
 * The contenders are in queue_*.c, with/queue_*.c and peer_queue.py.  A stream is timed from the
 * first message put to the last one got; a round trip is a message there and one back.  Asleep: both
 * sides work for a while before each message, so the other has gone to sleep; that work is taken off.
 * Longest wait: of a burst of messages from four to four, the one that was longest on its way, from
 * the call of put to the return of get.
 *
 *     bench_queue --big     a message of 2 GiB, and a backlog of ten million (queue_big.c)
 */
#include "queue.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined __linux__
#include <sys/prctl.h>
#endif

#include <mp/mp.h>

enum way { STREAM, ROUND_TRIP, ASLEEP, ALONE, CROWD, LONGEST };

static const struct {
    enum way way;
    size_t size;
} shapes[] = {
    {STREAM, 8},     {STREAM, 64}, {STREAM, 1024}, {STREAM, 64 << 10}, {STREAM, 1 << 20},
    {ROUND_TRIP, 8}, {ASLEEP, 8},  {ALONE, 8},     {CROWD, 64},        {LONGEST, 64},
};
/* The last two are in queue_object.c. */
static const struct bench_case cases[] = {
    {"8 B", "ns", 0},
    {"64 B", "ns", 0},
    {"1 KiB", "ns", 0},
    {"64 KiB", "us", 0},
    {"1 MiB", "us", 64},
    {"8 B round trip", "ns", 0},
    {"8 B round trip, asleep", "us", 0},
    {"8 B put and got by one", "ns", 0},
    {"64 B, four to four", "ns", 0},
    {"64 B, four to four, longest wait", "us", 1},
    {"[42, None, 'hello']", "ns", 0},
    {"[42, None, 'hello'] put and got by one", "ns", 0},
};
enum { CASES = sizeof shapes / sizeof *shapes, MOST_KINDS = 16, CROWD_SIDE = 4 };

#define BURST 20000 /* messages of each of the four, in which the longest wait is looked for */

#define ASLEEP_NS 200000 /* of work: all spinning is over by then */

/* A kind in a case. */
struct stand {
    const struct queue_kind *kind;
    size_t which;
};

struct crowd;

struct run {
    struct stand stand;
    void *channel;
    struct bench_pair *pair;
    struct crowd *crowd;
    char *data[2]; /* of the two processes */
};

/* ---- two ------------------------------------------------------------------------------------- */

static void
work(void)
{
    for (int64_t until = bench_now() + ASLEEP_NS; bench_now() < until;) {
    }
}

static void
side(void *state, int which, long ops)
{
    struct run *r = state;
    const struct queue_kind *kind = r->stand.kind;
    size_t size = shapes[r->stand.which].size;
    enum way way = shapes[r->stand.which].way;
    char *data = r->data[which];
    for (long i = 0; i < ops; i++) {
        if (way == ASLEEP && which == 0) {
            work();
        }
        if (which == 0) {
            memcpy(data, &i, sizeof i);
            kind->put(r->channel, 0, data, size);
            if (way != STREAM) {
                kind->get(r->channel, 1, data, size);
            }
        } else {
            kind->get(r->channel, 0, data, size);
            long got;
            memcpy(&got, data, sizeof got);
            bench_check(got == i, kind->name);
            if (way == ASLEEP) {
                work();
            }
            if (way != STREAM) {
                kind->put(r->channel, 1, data, size);
            }
        }
    }
}

/* ---- four to four ---------------------------------------------------------------------------- */

struct crowd {
    pid_t pids[2 * CROWD_SIDE];
    int requests[2 * CROWD_SIDE][2], answers[2];
    _Atomic int64_t *longest; /* ns, of this round */
};

/* A message says when it was put. */
static void
crowd_put(struct run *r, char *data, size_t size)
{
    int64_t now = bench_now();
    memcpy(data, &now, sizeof now);
    r->stand.kind->put(r->channel, 0, data, size);
}

static void
crowd_get(struct run *r, struct crowd *c, char *data, size_t size)
{
    int64_t put;
    r->stand.kind->get(r->channel, 0, data, size);
    memcpy(&put, data, sizeof put);
    int64_t waited = bench_now() - put, most = atomic_load(c->longest);
    while (waited > most && !atomic_compare_exchange_weak(c->longest, &most, waited)) {
    }
}

static void
crowd_member(struct run *r, struct crowd *c, int me)
{
    const struct queue_kind *kind = r->stand.kind;
    bool timed = shapes[r->stand.which].way == LONGEST;
    char data[64] = {0};
    long ops;
#if defined __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    while (read(c->requests[me][0], &ops, sizeof ops) == sizeof ops && ops > 0) {
        for (long i = 0; i < ops; i++) {
            if (timed && me < CROWD_SIDE) {
                crowd_put(r, data, sizeof data);
            } else if (timed) {
                crowd_get(r, c, data, sizeof data);
            } else if (me < CROWD_SIDE) {
                kind->put(r->channel, 0, data, sizeof data);
            } else {
                kind->get(r->channel, 0, data, sizeof data);
            }
        }
        bench_check(write(c->answers[1], "", 1) == 1, "write");
    }
}

static struct crowd *
crowd_open(struct run *r)
{
    struct crowd *c = calloc(1, sizeof *c);
    bench_check(c && pipe(c->answers) == 0, "crowd");
    c->longest = bench_shared(sizeof *c->longest);
    for (int i = 0; i < 2 * CROWD_SIDE; i++) {
        bench_check(pipe(c->requests[i]) == 0, "pipe");
    }
    for (int i = 0; i < 2 * CROWD_SIDE; i++) {
        c->pids[i] = fork();
        bench_check(c->pids[i] >= 0, "fork");
        if (c->pids[i] == 0) {
            crowd_member(r, c, i);
            _exit(0);
        }
    }
    return c;
}

static void
crowd_say(struct crowd *c, long ops)
{
    for (int i = 0; i < 2 * CROWD_SIDE; i++) {
        bench_check(write(c->requests[i][1], &ops, sizeof ops) == sizeof ops, "write");
    }
}

/* Nanoseconds of a message, of CROWD_SIDE * each. */
static double
crowd_round(struct crowd *c, long each)
{
    int64_t began = bench_now();
    crowd_say(c, each);
    for (int i = 0; i < 2 * CROWD_SIDE;) {
        char said[2 * CROWD_SIDE];
        ssize_t n = read(c->answers[0], said, sizeof said);
        bench_check(n > 0, "one of the crowd ended");
        i += (int)n;
    }
    return (double)(bench_now() - began) / (double)(each * CROWD_SIDE);
}

static void
crowd_close(struct crowd *c)
{
    crowd_say(c, 0);
    for (int i = 0; i < 2 * CROWD_SIDE; i++) {
        waitpid(c->pids[i], NULL, 0);
        close(c->requests[i][0]);
        close(c->requests[i][1]);
    }
    close(c->answers[0]);
    close(c->answers[1]);
    bench_shared_free((void *)(uintptr_t)c->longest, sizeof *c->longest);
    free(c);
}

static bool
is_crowd(size_t which)
{
    return shapes[which].way == CROWD || shapes[which].way == LONGEST;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void *
open_run(const void *with)
{
    struct run *r = calloc(1, sizeof *r);
    bench_check(r && (r->data[0] = calloc(1, QUEUE_LARGEST)) &&
                    (r->data[1] = calloc(1, QUEUE_LARGEST)),
                "no memory");
    r->stand = *(const struct stand *)with;
    r->channel = r->stand.kind->open(shapes[r->stand.which].size);
    bench_check(r->channel != NULL, r->stand.kind->name);
    if (is_crowd(r->stand.which)) {
        r->crowd = crowd_open(r);
    } else if (shapes[r->stand.which].way != ALONE) {
        r->pair = bench_pair_open(side, r);
    }
    return r;
}

static double
round_run(void *state, long ops)
{
    struct run *r = state;
    if (r->crowd) {
        atomic_store(r->crowd->longest, 0);
        bool longest = shapes[r->stand.which].way == LONGEST;
        double ns = crowd_round(r->crowd, longest ? ops * BURST : ops);
        return longest ? (double)atomic_load(r->crowd->longest) : ns;
    }
    if (r->pair) {
        double ns = (double)bench_pair_round(r->pair, ops) / (double)ops;
        return shapes[r->stand.which].way == ASLEEP ? ns - 2 * ASLEEP_NS : ns;
    }
    const struct queue_kind *kind = r->stand.kind;
    size_t size = shapes[r->stand.which].size;
    int64_t began = bench_now();
    for (long i = 0; i < ops; i++) {
        kind->put(r->channel, 0, r->data[0], size);
        kind->get(r->channel, 0, r->data[0], size);
    }
    return (double)(bench_now() - began) / (double)ops;
}

static void
close_run(void *state)
{
    struct run *r = state;
    if (r->crowd) {
        crowd_close(r->crowd);
    }
    if (r->pair) {
        bench_pair_close(r->pair);
    }
    r->stand.kind->close(r->channel);
    free(r->data[0]);
    free(r->data[1]);
    free(r);
}

static bool
stands_in(const struct queue_kind *kind, size_t which)
{
    enum way way = shapes[which].way;
    size_t size = shapes[which].size;
    unsigned no = kind->not_for;
    return !((no & QUEUE_PAIRS && is_crowd(which)) || (no & QUEUE_STREAMS && way != STREAM) ||
             (no & QUEUE_FLOOR && way != ROUND_TRIP) || (no & QUEUE_BIG && size < 64 << 10) ||
             (kind->most && size > kind->most));
}

void
queue_add(const struct queue_kind *kind)
{
    static struct stand stands[MOST_KINDS][CASES];
    static struct bench_contender added[MOST_KINDS][CASES];
    static size_t kinds;
    size_t n = 0;
    bench_check(kinds < MOST_KINDS, "too many kinds of queue");
    for (size_t i = 0; i < CASES; i++) {
        if (stands_in(kind, i)) {
            stands[kinds][n] = (struct stand){kind, i};
            added[kinds][n] = (struct bench_contender){
                cases[i].name, kind->name, open_run, round_run, close_run, &stands[kinds][n]};
            n++;
        }
    }
    bench_add(added[kinds++], n);
}

int queue_big(void);

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    if (argc == 2 && strcmp(argv[1], "--big") == 0) {
        return queue_big();
    }
    bench_add_peer("CPython Queue", "python3", "peer_queue.py");
    bench_add_peer("CPython SimpleQueue", "python3", "peer_queue.py");
    bench_add_peer("CPython Pipe", "python3", "peer_queue.py");
#if defined MP_BENCH_NNG
    bench_add_peer("nng ipc", MP_BENCH_NNG, "with/peer_nng.c");
#endif
    bench_add_peer("Open MPI", "sh", "with/peer_openmpi.sh");
    return bench_main(argc, argv, "queue", cases, sizeof cases / sizeof *cases);
}
