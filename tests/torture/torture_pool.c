/*
 * torture_pool.c: a pool's worker killed after each instruction of its part in a map, and the pool's
 * process after each of its own.
 *
 * A companion has the pool and maps; the victim is its worker, which is seized while it waits for
 * work.  Whenever that dies, the map has the right results, or says MP_EWORKERLOST of one item, and
 * has all others; no item is run twice, and the pool goes on with another worker.
 */
#include "torture/frame.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "heap/alloc.h"

#define ITEMS 5
#define LONG  20.0 /* who has not come back by then never will */

/* How a map went, for the survivor: in the heap, as all of this. */
static struct shared {
    _Atomic pid_t worker;
    _Atomic bool mapped;
    _Atomic double mapped_at;
    _Atomic int runs[2 * ITEMS], by_victim;
    mp_event *go, *dead;
} * shared;

struct world {
    int workers;
    bool objects;
    size_t chunksize;
};

static void
nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
}

static void
begin(void *arg)
{
    (void)arg;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    shared = mp_calloc(1, sizeof *shared);
    mp_child_check(shared);
    shared->go = mp_event_new();
    shared->dead = mp_event_new();
    mp_child_check(shared->go && shared->dead);
}

static void
set_up(void *arg)
{
    (void)arg;
    shared->worker = 0;
    shared->mapped = false;
    shared->by_victim = 0;
    for (int i = 0; i < 2 * ITEMS; i++) {
        shared->runs[i] = 0;
    }
    mp_child_ok(mp_event_clear(shared->go));
    mp_child_ok(mp_event_clear(shared->dead));
}

/* ---- tasks ------------------------------------------------------------------------------------ */

static int
result_of(int number)
{
    return 3 * number + 1;
}

/* Another worker leaves some to the victim, which is led slowly. */
static void
note_run(int number)
{
    pid_t victim = shared->worker;
    shared->runs[number]++;
    shared->by_victim += getpid() == victim;
    while (getpid() != victim && shared->by_victim < 2 && kill(victim, 0) == 0) {
        nap();
    }
}

static int
run_number(const void *in, void *out)
{
    int number;
    memcpy(&number, in, sizeof number);
    note_run(number);
    number = result_of(number);
    memcpy(out, &number, sizeof number);
    return 0;
}

static mp_obj
run_object(mp_obj item)
{
    int number = (int)mp_as_int(item);
    note_run(number);
    return mp_from_int(result_of(number));
}

static int
tell_pid(const void *in, void *out)
{
    (void)in, (void)out;
    shared->worker = getpid();
    return 0;
}

/* ---- the companion that has the pool ---------------------------------------------------------- */

enum verdict { RIGHT, NO_POOL, WRONG_CODE, WRONG_RESULT, TWICE, LOST, NOT_AGAIN, BLOCKS, NO_END };

static const char *const words[] = {
    [NO_POOL] = "there is no pool",           [WRONG_CODE] = "the map gives another error",
    [WRONG_RESULT] = "a result is wrong",     [TWICE] = "an item was run twice",
    [LOST] = "more than one item is lost",    [NOT_AGAIN] = "the pool does not go on",
    [BLOCKS] = "a block of the heap is lost", [NO_END] = "the pool does not end"};

/* One map of ITEMS numbers from `first` on; results -1: none. */
static int
map(mp_pool *pool, const struct world *w, int first, int *results)
{
    const mp_map_options options = {.chunksize = w->chunksize};
    int numbers[ITEMS];
    mp_obj list = mp_list_of(0, NULL), out;
    for (int i = 0; i < ITEMS; i++) {
        numbers[i] = first + i;
        results[i] = -1;
        mp_child_ok(mp_list_append(list, mp_from_int(first + i)));
    }
    if (!w->objects) {
        mp_obj_free(list);
        return mp_pool_map_array(pool, run_number, numbers, sizeof *numbers, results,
                                 sizeof *results, ITEMS, &options);
    }
    int status = (mp_pool_map)(pool, run_object, list, &out, &options);
    for (int i = 0; i < ITEMS && status == 0; i++) {
        results[i] = (int)mp_as_int(mp_list_get(out, i));
    }
    mp_obj_free(out);
    return status;
}

static enum verdict
judge(const struct world *w, int first, int status, const int *results)
{
    int lost = 0;
    if (status != 0 && status != MP_EWORKERLOST) {
        return WRONG_CODE;
    }
    for (int i = 0; i < ITEMS; i++) {
        int runs = shared->runs[first + i];
        bool there = results[i] == result_of(first + i);
        if (runs > 1) {
            return TWICE;
        }
        if ((results[i] != -1 && !there) || (there && runs == 0)) {
            return WRONG_RESULT;
        }
        lost += w->objects && status != 0 ? runs == 0 : there ? 0 : 1;
    }
    return lost > (status != 0) ? LOST : RIGHT;
}

static enum verdict
use(mp_pool *pool, const struct world *w)
{
    int results[ITEMS], one = 0, none;
    mp_child_ok(mp_pool_map_array(pool, tell_pid, &one, sizeof one, &none, sizeof none, 1, NULL));
    mp_child_ok(mp_event_wait(shared->go, MP_FOREVER)); /* the victim is led slowly */
    int status = map(pool, w, 0, results);
    shared->mapped_at = mp_test_now();
    shared->mapped = true;
    mp_child_ok(mp_event_wait(shared->dead, MP_FOREVER));
    enum verdict v = judge(w, 0, status, results);
    if (v == RIGHT) {
        status = map(pool, w, ITEMS, results);
        v = status != 0 ? NOT_AGAIN : judge(w, ITEMS, status, results);
    }
    return v;
}

static int
have_pool(void *arg, int which)
{
    (void)which;
    size_t before = torture_blocks();
    mp_pool *pool = mp_pool_new(&(mp_pool_options){.processes = ((struct world *)arg)->workers,
                                                   .context = mp_get_context("fork")});
    if (!pool) {
        return NO_POOL;
    }
    enum verdict v = use(pool, arg);
    if (mp_pool_close(pool) != 0 || mp_pool_join(pool) != 0 || mp_pool_free(pool) != 0) {
        v = v == RIGHT ? NO_END : v;
    }
    if (v == RIGHT && torture_blocks() != before) {
        v = BLOCKS;
    }
    return (int)v;
}

/* ---- the survivor ----------------------------------------------------------------------------- */

static pid_t
worker(void *arg)
{
    (void)arg;
    double start = mp_test_now();
    while (shared->worker == 0 || !torture_asleep(shared->worker)) {
        mp_child_check(mp_test_now() - start < LONG);
        nap();
    }
    return shared->worker;
}

static void
let_go(void *arg)
{
    (void)arg;
    mp_child_ok(mp_event_set(shared->go));
}

static bool
mapped(void *arg)
{
    (void)arg;
    return shared->mapped && torture_asleep(shared->worker);
}

static const char *
check(void *arg, bool finished)
{
    double start = mp_test_now();
    (void)arg, (void)finished;
    while (!shared->mapped && !torture_is_back(0)) {
        if (mp_test_now() - start > LONG) {
            return "the map does not end";
        }
        nap();
    }
    torture_waited(shared->mapped_at > start ? shared->mapped_at - start : 0);
    torture_mark();
    mp_child_ok(mp_event_set(shared->dead));
    if (torture_back(1, LONG) != 1) {
        return "the pool hangs";
    }
    int v = torture_result(0);
    return v > RIGHT && v <= NO_END ? words[v]
           : v == RIGHT             ? mp__alloc_check()
                                    : "the pool's process failed";
}

/* ---- a pool's process that dies --------------------------------------------------------------- */

static mp_pool *the_pool;

static void
new_pool(void *arg)
{
    struct world *w = arg;
    int one = 0, none;
    the_pool =
        mp_pool_new(&(mp_pool_options){.processes = w->workers, .context = mp_get_context("fork")});
    mp_child_check(the_pool);
    mp_child_ok(
        mp_pool_map_array(the_pool, tell_pid, &one, sizeof one, &none, sizeof none, 1, NULL));
}

static void
do_map(void *arg)
{
    int results[ITEMS];
    mp_child_ok(map(the_pool, arg, 0, results));
}

/* Its workers are ours now, and leave; nothing is run twice, and the heap is whole. */
static const char *
check_orphans(void *arg, bool finished)
{
    double start = mp_test_now();
    pid_t pid;
    (void)arg, (void)finished;
    while ((pid = waitpid(-1, NULL, WNOHANG)) >= 0 || errno == EINTR) {
        if (mp_test_now() - start > LONG) {
            return "a worker is left";
        }
        nap();
    }
    torture_waited(mp_test_now() - start);
    for (int i = 0; i < ITEMS; i++) {
        if (shared->runs[i] > 1) {
            return words[TWICE];
        }
    }
    mp_child_ok(mp_free(mp_malloc(1))); /* what the dead one left half done is taken back */
    return mp__alloc_check();
}

/* ---- the cases -------------------------------------------------------------------------------- */

static struct world alone = {.workers = 1, .chunksize = 2},
                    one_chunk = {.workers = 1, .chunksize = ITEMS},
                    objects = {.workers = 1, .objects = true, .chunksize = 2},
                    two = {.workers = 2, .chunksize = 1},
                    two_objects = {.workers = 2, .objects = true, .chunksize = 1};

#define WORKER(title, its_world)                                                                   \
    .name = title, .commits = "pool.chunk.claim pool.chunk.done", .open = begin, .set_up = set_up, \
    .parked = 1, .park = have_pool, .seize = worker, .done = mapped, .operation = let_go,          \
    .check = check, .bound = 0.25, .arg = &its_world

#define OWNER(title, its_world)                                                                    \
    .name = title, .open = begin, .set_up = set_up, .before = new_pool, .operation = do_map,       \
    .check = check_orphans, .arg = &its_world

static const struct torture_case cases[] = {
    {WORKER("pool.chunk.claim", alone), .stride = 3},
    {WORKER("pool.chunk.done+one chunk", one_chunk)},
    {WORKER("pool.chunk.done+objects", objects), .stride = 9},
    {WORKER("pool.chunk.claim+another", two), .stride = 2},
    {WORKER("pool.chunk.claim+another, objects", two_objects), .stride = 9},
    {OWNER("pool.map.publish", alone), .stride = 2},
    {OWNER("pool.map.publish+objects", two_objects), .stride = 9},
};
TORTURE_CASES(pool, cases)
