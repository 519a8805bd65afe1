/*
 * torture_queue_joinable.c: JoinableQueue's count, killed after each instruction of what changes it.
 *
 * A task is done or not, and the count itself tells which.  When the last one is, joiners come back
 * by themselves; if not, when somebody else has said it.
 */
#include "torture/torture.h"

#define LONG 20.0 /* who has not come back by then never will */

static struct world {
    mp_queue *queue;
    int unfinished; /* before the victim */
} world;

/* `put` messages in it, of which `got` were taken. */
static void
new_queue(struct world *w, int put, int got)
{
    w->queue = mp_joinable_queue_new(0);
    w->unfinished = put;
    mp_child_check(w->queue);
    for (int i = 0; i < put; i++) {
        mp_child_ok(mp_queue_put(w->queue, i, 0));
    }
    for (int i = 0; i < got; i++) {
        mp_obj o;
        mp_child_ok(mp_queue_get(w->queue, &o, 0));
    }
}

static void
one_task(void *arg)
{
    new_queue(arg, 1, 1);
}

static void
two_tasks(void *arg)
{
    new_queue(arg, 2, 2);
}

static void
four_tasks_one_got(void *arg)
{
    new_queue(arg, 4, 1);
}

static void
free_queue(void *arg)
{
    struct world *w = arg;
    mp_child_ok(mp_queue_free(w->queue));
}

/* ---- operations ------------------------------------------------------------------------------- */

static void
task_done(void *arg)
{
    struct world *w = arg;
    mp_joinable_queue_task_done(w->queue);
}

static int
task_done_too(void *arg)
{
    struct world *w = arg;
    return mp_joinable_queue_task_done(w->queue);
}

static void
put(void *arg)
{
    struct world *w = arg;
    (mp_joinable_queue_put)(w->queue, mp_from_int(7), 0);
}

static void
shut_down(void *arg)
{
    struct world *w = arg;
    mp_queue_shutdown(w->queue, true);
}

static int
join_it(void *arg, int which)
{
    struct world *w = arg;
    (void)which;
    return mp_joinable_queue_join(w->queue, LONG);
}

/* ---- what is left ----------------------------------------------------------------------------- */

/* Say it until it is said too often: how many were unfinished. */
static int
finish_all(struct world *w)
{
    int n = 0;
    while (mp_joinable_queue_task_done(w->queue) == 0) {
        n++;
    }
    return n;
}

static const char *
check_task_done(void *arg, bool finished)
{
    struct world *w = arg;
    torture_mark();
    int left = finish_all(w);
    if (left > w->unfinished || left < w->unfinished - 1) {
        return "tasks were lost, or made";
    }
    if (finished && left == w->unfinished) {
        return "what was done is not";
    }
    return mp_joinable_queue_join(w->queue, 0) == 0 ? NULL : "none is unfinished, and join waits";
}

/* The one that arrived says it as well. */
static const char *
check_two(void *arg, bool finished)
{
    struct world *w = arg;
    if (torture_back(1, LONG) != 1 || torture_result(0) != 0) {
        return "the other's task_done failed";
    }
    int left = finish_all(w);
    if (left > 1 || (finished && left != 0)) {
        return "tasks were lost, or made";
    }
    return mp_joinable_queue_join(w->queue, 0) == 0 ? NULL : "none is unfinished, and join waits";
}

static const char *
check_put(void *arg, bool finished)
{
    struct world *w = arg;
    int64_t n = mp_queue_qsize(w->queue);
    torture_mark();
    if (n > 1 || (finished && n != 1)) {
        return "the message is not there";
    }
    return finish_all(w) == w->unfinished + n ? NULL : "put and count differ";
}

/* All is dropped and done, or nothing. */
static const char *
check_shutdown(void *arg, bool finished)
{
    struct world *w = arg;
    int64_t n = mp_queue_qsize(w->queue);
    bool shut = mp_queue_put_bytes(w->queue, "x", 1, 0) == MP_ESHUTDOWN;
    if (n != (shut ? 0 : w->unfinished - 1) || (finished && !shut)) {
        return "a part was dropped";
    }
    mp_child_ok(mp_queue_shutdown(w->queue, true));
    torture_mark();
    return finish_all(w) == 1 && mp_joinable_queue_join(w->queue, 0) == 0
               ? NULL
               : "what is dropped is not counted as done";
}

static const struct torture_case cases[] = {
    {.name = "queue.joinable.task_done+parked",
     .set_up = one_task,
     .parked = 2,
     .park = join_it,
     .operation = task_done,
     .check = check_task_done,
     .tear_down = free_queue,
     .arg = &world},
    {.name = "queue.joinable.task_done+another",
     .set_up = two_tasks,
     .operation = task_done,
     .arrive = task_done_too,
     .check = check_two,
     .tear_down = free_queue,
     .arg = &world},
    {.name = "queue.put.commit+joinable",
     .commits = "heap.owned.acquire heap.owned.release",
     .set_up = one_task,
     .parked = 1,
     .park = join_it,
     .operation = put,
     .check = check_put,
     .tear_down = free_queue,
     .arg = &world},
    {.name = "queue.shutdown.commit+joinable",
     .commits = "heap.owned.acquire heap.owned.release",
     .set_up = four_tasks_one_got,
     .parked = 1,
     .park = join_it,
     .operation = shut_down,
     .check = check_shutdown,
     .recovery = shut_down,
     .tear_down = free_queue,
     .arg = &world},
};
TORTURE_CASES(queue, cases)
