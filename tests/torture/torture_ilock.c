/*
 * torture_ilock.c: the lock inside the library, killed after each instruction.
 *
 * It guards two words that are equal whenever nobody is inside.  Who gets it from a dead owner is
 * told so, and makes them equal again.
 */
#include "torture/torture.h"

#include "heap/heap.h"
#include "heap/ilock.h"
#include "heap/member.h"

#define TO_PARKED 5.0

static struct world {
    struct guarded {
        mp__ilock lock, inner;
        uint64_t a, b;
    } * g;
} world;

static void
new_guarded(void *arg)
{
    struct world *w = arg;
    w->g = mp_calloc(1, sizeof *w->g);
    mp_child_check(w->g);
}

static void
free_guarded(void *arg)
{
    struct world *w = arg;
    mp_child_ok(mp_free(w->g));
}

/* Get it, and put right what a dead owner left.  What acquire returned. */
static int
enter(struct guarded *g)
{
    int status = mp__ilock_acquire(&g->lock, MP__NEVER);
    if (status == MP_OWNER_DIED) {
        g->b = g->a;
    }
    return status;
}

static void
change(void *arg)
{
    struct world *w = arg;
    volatile uint64_t *a = &w->g->a, *b = &w->g->b;
    enter(w->g);
    *a += 1;
    *b += 1;
    mp__ilock_release(&w->g->lock);
}

/* A queue's lock is held while the heap's is taken. */
static void
change_nested(void *arg)
{
    struct world *w = arg;
    volatile uint64_t *a = &w->g->a, *b = &w->g->b;
    enter(w->g);
    *a += 1;
    if (mp__ilock_acquire(&w->g->inner, MP__NEVER) >= 0) {
        mp__ilock_release(&w->g->inner);
    }
    *b += 1;
    mp__ilock_release(&w->g->lock);
}

static void
hold(void *arg)
{
    struct world *w = arg;
    mp_child_check(enter(w->g) == 0);
    w->g->a++;
}

static void
finish_and_release(void *arg)
{
    struct world *w = arg;
    w->g->b++;
    mp__ilock_release(&w->g->lock);
}

static void
try_dead_or_alive(void *arg)
{
    struct world *w = arg;
    if (mp__ilock_acquire(&w->g->lock, MP__TRY) >= 0) {
        w->g->b = w->g->a;
        mp__ilock_release(&w->g->lock);
    }
}

/* 0; 1: told of a death; -1: it is out of order inside. */
static int
visit(void *arg, int which)
{
    struct world *w = arg;
    (void)which;
    int status = enter(w->g);
    bool equal = w->g->a == w->g->b;
    w->g->a++;
    w->g->b++;
    mp__ilock_release(&w->g->lock);
    return status < 0 || !equal ? -1 : status == MP_OWNER_DIED;
}

static int
arrive(void *arg)
{
    return visit(arg, 0);
}

static const char *
survive(struct world *w, int *ret_news)
{
    double begin = mp_test_now();
    *ret_news = visit(w, 0);
    torture_waited(mp_test_now() - begin);
    if (*ret_news < 0) {
        return "the words are not equal, and nobody was told";
    }
    int status = mp__ilock_acquire(&w->g->inner, MP__NEVER);
    if (status >= 0) {
        mp__ilock_release(&w->g->inner);
    }
    return status < 0 ? "the inner lock is stuck" : visit(w, 0) != 0 ? "it is news twice" : NULL;
}

static const char *
check(void *arg, bool finished)
{
    int news;
    const char *wrong = survive(arg, &news);
    return wrong ? wrong : finished && news != 0 ? "a death is told of one who had released" : NULL;
}

static const char *
check_again(void *arg, bool finished)
{
    int news;
    (void)finished;
    return survive(arg, &news);
}

static const char *
check_visitors(void *arg, int n, bool finished)
{
    int told = 0;
    if (torture_back(n, TO_PARKED) != n) {
        return "the waiters do not get the lock";
    }
    for (int i = 0; i < n; i++) {
        if (torture_result(i) < 0) {
            return "the words are not equal, and no waiter was told";
        }
        told += torture_result(i);
    }
    if (told > !finished) {
        return "a death is told too often";
    }
    return check(arg, finished);
}

static const char *
check_parked(void *arg, bool finished)
{
    return check_visitors(arg, 3, finished);
}

static const char *
check_arrived(void *arg, bool finished)
{
    return check_visitors(arg, 1, finished);
}

#define COMMITS "heap.owned.acquire heap.owned.release heap.ilock.release"
#define OF_ONE  .set_up = new_guarded, .tear_down = free_guarded, .arg = &world

static const struct torture_case cases[] = {
    {.name = "heap.ilock.acquire", .commits = COMMITS, .operation = change, .check = check, OF_ONE},
    {.name = "heap.ilock.acquire+nested",
     .commits = COMMITS,
     .operation = change_nested,
     .check = check,
     OF_ONE},
    {.name = "heap.ilock.acquire+try",
     .commits = COMMITS,
     .operation = try_dead_or_alive,
     .check = check,
     OF_ONE},
    {.name = "heap.ilock.acquire+arriving",
     .commits = COMMITS,
     .operation = change,
     .arrive = arrive,
     .check = check_arrived,
     OF_ONE},
    {.name = "heap.ilock.release+parked",
     .commits = COMMITS,
     .parked = 3,
     .park = visit,
     .late = true,
     .before = hold,
     .operation = finish_and_release,
     .check = check_parked,
     OF_ONE},
    {.name = "heap.ilock.acquire+again",
     .commits = COMMITS,
     .operation = change,
     .check = check_again,
     .recovery = change,
     .spread = 40,
     .stride = 13,
     .quick = 150,
     OF_ONE},
    {.name = "heap.ilock.acquire+nested, again",
     .commits = COMMITS,
     .operation = change_nested,
     .check = check_again,
     .recovery = change_nested,
     .spread = 40,
     .stride = 13,
     .quick = 150,
     OF_ONE},
};
TORTURE_CASES(sync, cases)
