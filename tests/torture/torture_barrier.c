/*
 * torture_barrier.c: Barrier, killed after each instruction of its calls.
 *
 * After a death the round may have opened, then all who wait go on, each with a place of its own.
 * Or it broke, then all are told.  Or the dead one had not come, or not done what it was about to
 * do: then the others go on waiting, and the round opens when the survivor and threads of it fill
 * it.  Nobody waits for a dead one, in no case, and after a reset the barrier is as good as new.
 */
#include "torture/torture.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "heap/member.h"
#include "sync/barrier.h"

#define PARTIES    3
#define LONG       20.0 /* who has not come back by then never will */
#define TO_PARKED  5.0
#define SHORT_TIME 0.003

#define TOO_EARLY 1000 /* result of a party that went on before the action was run */

/* What all see, in the heap. */
struct shared {
    _Atomic int acted; /* in the round under test */
    _Atomic int fails; /* the action is to fail */
    _Atomic int place; /* what the victim's wait gave */
};

static struct world {
    mp_barrier *barrier;
    struct shared *shared;
    bool acts;
} world;

static int
act(void *arg)
{
    struct shared *s = arg;
    s->acted++;
    return s->fails ? MP_EINDEX : 0;
}

static void
make(struct world *w, bool acts)
{
    w->shared = mp_calloc(1, sizeof *w->shared);
    w->acts = acts;
    w->barrier = mp_barrier_new(
        PARTIES, &(mp_barrier_options){.action = acts ? act : NULL, .arg = w->shared});
    mp_child_check(w->shared && w->barrier);
    w->shared->place = TOO_EARLY;
}

static void
new_barrier(void *arg)
{
    make(arg, false);
}

static void
new_acting(void *arg)
{
    make(arg, true);
}

static void
new_failing(void *arg)
{
    struct world *w = arg;
    make(w, true);
    w->shared->fails = 1;
}

static void
new_broken(void *arg)
{
    struct world *w = arg;
    make(w, false);
    mp_child_ok(mp_barrier_abort(w->barrier));
}

/* Dead ones came and wait; long ago, as far as the others can tell. */
static void
with_dead(struct world *w, int n)
{
    make(w, false);
    for (int i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            mp_barrier_wait(w->barrier, MP_FOREVER);
            _exit(1);
        }
        mp_child_check(pid > 0);
        while (mp_barrier_n_waiting(w->barrier) != i + 1) {
            nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
        }
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
        mp__member_reaped(pid);
    }
    w->barrier->began = 0;
}

static void
new_with_one_dead(void *arg)
{
    with_dead(arg, 1);
}

static void
new_with_two_dead(void *arg)
{
    with_dead(arg, 2);
}

static void
free_barrier(void *arg)
{
    struct world *w = arg;
    mp_child_ok(mp_barrier_free(w->barrier));
    mp_child_ok(mp_free(w->shared));
}

/* ---- operations ------------------------------------------------------------------------------- */

static void
come(void *arg)
{
    struct world *w = arg;
    w->shared->place = mp_barrier_wait(w->barrier, MP_FOREVER);
}

static void
come_for_a_while(void *arg)
{
    struct world *w = arg;
    w->shared->place = mp_barrier_wait(w->barrier, SHORT_TIME);
}

/* After another victim: a round that opened is not the one that this breaks. */
static void
come_after(void *arg)
{
    struct world *w = arg;
    mp_barrier_wait(w->barrier, SHORT_TIME);
}

static void
break_it(void *arg)
{
    struct world *w = arg;
    mp_barrier_abort(w->barrier);
}

static void
reset(void *arg)
{
    struct world *w = arg;
    mp_barrier_reset(w->barrier);
}

static int
park(void *arg, int which)
{
    struct world *w = arg;
    (void)which;
    int place = mp_barrier_wait(w->barrier, LONG);
    return place >= 0 && w->acts && w->shared->acted == 0 ? TOO_EARLY : place;
}

/* They come when the victim sleeps, or is gone: it was the first. */
static int
park_later(void *arg, int which)
{
    torture_victim_sleeps();
    return park(arg, which);
}

/* One is there before the victim, one comes after it. */
static int
park_around(void *arg, int which)
{
    return which == 0 ? park(arg, which) : park_later(arg, which);
}

static int
come_too(void *arg)
{
    return park(arg, 0);
}

/* ---- what is left ----------------------------------------------------------------------------- */

/* Who waits in the current round. */
static void
count(mp_barrier *b, int *ret_live, int *ret_dead)
{
    uint32_t round = (uint32_t)atomic_load(&b->state);
    *ret_live = *ret_dead = 0;
    for (int i = 0; i < PARTIES; i++) {
        uint64_t slot = atomic_load(&b->slot[i]);
        if ((uint32_t)slot == round) {
            ++*(mp__member_dead((mp__ident)(slot >> 32)) ? ret_dead : ret_live);
        }
    }
}

static void *
thread_comes(void *arg)
{
    struct world *w = arg;
    return (void *)(intptr_t)mp_barrier_wait(w->barrier, LONG);
}

/* The survivor and threads of it come, n in all; their places. */
static void
fill(struct world *w, int n, int *places)
{
    pthread_t thread[PARTIES];
    for (int i = 1; i < n; i++) {
        mp_child_check(pthread_create(&thread[i], NULL, thread_comes, w) == 0);
    }
    places[0] = mp_barrier_wait(w->barrier, LONG);
    for (int i = 1; i < n; i++) {
        void *place;
        pthread_join(thread[i], &place);
        places[i] = (int)(intptr_t)place;
    }
}

/* Places of one round: all are good and differ, or all are a broken barrier's. */
static const char *
judge(const int *places, int n, bool *ret_opened)
{
    int opened = 0, seen = 0;
    for (int i = 0; i < n; i++) {
        if (places[i] >= 0 && places[i] < PARTIES) {
            opened++;
            if (seen & 1 << places[i]) {
                return "two parties have one place";
            }
            seen |= 1 << places[i];
        } else if (places[i] != MP_EBROKENBARRIER) {
            return places[i] == TOO_EARLY ? "a party went on before the action had run"
                                          : "a wait gives an error that it should not";
        }
    }
    *ret_opened = opened > 0;
    return opened == 0 || opened == n ? NULL : "the round opened for some and broke for others";
}

static const char *
usable(struct world *w)
{
    int places[PARTIES];
    bool opened = false;
    w->shared->fails = 0;
    w->shared->acted = 0;
    if (mp_barrier_reset(w->barrier) != 0 || mp_barrier_broken(w->barrier) != 0 ||
        mp_barrier_n_waiting(w->barrier) != 0) {
        return "the barrier is not whole after a reset";
    }
    fill(w, PARTIES, places);
    const char *wrong = judge(places, PARTIES, &opened);
    if (wrong || !opened) {
        return wrong ? wrong : "the round after a reset does not open";
    }
    return w->shared->acted == w->acts ? NULL : "the action was not run once";
}

/*
 * n companions wait, or did.  They come back by themselves; if only they wait, for the dead one
 * never came or did nothing, the round is filled.  *ret_opened tells how the round ended.
 */
static const char *
companions_come_back(struct world *w, int n, bool *ret_opened)
{
    int places[PARTIES + 1], filled = 0, live, dead;
    for (double until = mp_test_now() + TO_PARKED;;) {
        if (torture_back(n, 0) == n) {
            break;
        }
        count(w->barrier, &live, &dead);
        if (live == n && dead == 0 && !mp_barrier_broken(w->barrier)) {
            w->shared->fails = 0;
            torture_mark();
            filled = PARTIES - n;
            fill(w, filled, places);
            break;
        }
        if (mp_test_now() > until) {
            return "who waits is not told, and not able to go on";
        }
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
    if (torture_back(n, TO_PARKED) != n) {
        return "a party does not come back";
    }
    for (int i = 0; i < n; i++) {
        places[filled + i] = torture_result(i);
    }
    const char *wrong = judge(places, filled + n, ret_opened);
    return !wrong && filled && !*ret_opened ? "a round that filled does not open" : wrong;
}

/* The victim came, or not yet; its wait had come back when it finished. */
static const char *
check_party(struct world *w, bool finished, int n)
{
    bool opened;
    const char *wrong = companions_come_back(w, n, &opened);
    if (wrong) {
        return wrong;
    }
    if (finished && opened != (w->shared->place >= 0)) {
        return "the round ended otherwise for the victim";
    }
    for (int i = 0; i < n && finished && opened; i++) {
        if (torture_result(i) == w->shared->place) {
            return "the victim's place was another's, too";
        }
    }
    return usable(w);
}

static const char *
check_with_one(void *arg, bool finished)
{
    return check_party(arg, finished, 1);
}

static const char *
check_with_two(void *arg, bool finished)
{
    return check_party(arg, finished, 2);
}

/* All came, if the victim did: what opened is not broken any more. */
static const char *
check_all(void *arg, bool finished)
{
    struct world *w = arg;
    bool opened;
    const char *wrong = companions_come_back(w, 2, &opened);
    if (!wrong && opened == mp_barrier_broken(w->barrier)) {
        wrong = opened ? "the round opened, and the barrier is broken"
                       : "parties are told of a break, and the barrier is whole";
    }
    return wrong ? wrong : check_party(w, finished, 2);
}

/* The victim was to be the last, whose action fails. */
static const char *
check_failed(void *arg, bool finished)
{
    struct world *w = arg;
    bool opened;
    const char *wrong = companions_come_back(w, 2, &opened);
    if (!wrong && finished &&
        (opened || w->shared->place != MP_EINDEX || !mp_barrier_broken(w->barrier))) {
        wrong = "an action failed, and the barrier did not break";
    }
    return wrong ? wrong : usable(w);
}

static const char *
check_aborted(void *arg, bool finished)
{
    struct world *w = arg;
    bool opened;
    const char *wrong = companions_come_back(w, 2, &opened);
    if (!wrong && (finished ? opened : opened == mp_barrier_broken(w->barrier))) {
        wrong = "an abort did not break the barrier for all";
    }
    return wrong ? wrong : usable(w);
}

static const char *
check_reset(void *arg, bool finished)
{
    struct world *w = arg;
    bool opened;
    const char *wrong = companions_come_back(w, 2, &opened);
    if (!wrong && (mp_barrier_broken(w->barrier) || (finished && opened))) {
        wrong = "a reset did not send away who waited, or broke the barrier";
    }
    return wrong ? wrong : usable(w);
}

static const char *
check_alone(void *arg, bool finished)
{
    struct world *w = arg;
    if (finished && mp_barrier_broken(w->barrier)) {
        return "it was reset, and is broken";
    }
    return usable(w);
}

static const char *
check_aborted_alone(void *arg, bool finished)
{
    struct world *w = arg;
    if (finished && !mp_barrier_broken(w->barrier)) {
        return "it was aborted, and is not broken";
    }
    return usable(w);
}

/* Others are dead that came before: whoever comes now is told, soon. */
static const char *
check_dead(void *arg, bool finished)
{
    struct world *w = arg;
    if (finished && w->shared->place != MP_EBROKENBARRIER) {
        return "a party was let through with the dead";
    }
    double begin = mp_test_now();
    int place = mp_barrier_wait(w->barrier, TO_PARKED);
    double took = mp_test_now() - begin;
    torture_waited(took);
    if (place != MP_EBROKENBARRIER || took > TO_PARKED / 2) {
        return "who comes to the dead is not told";
    }
    return usable(w);
}

#define OF_A_BARRIER .tear_down = free_barrier, .arg = &world
#define WAITS        "heap.waits.begin heap.waits.end"
#define PARTY        "sync.barrier.arrive sync.barrier.open sync.barrier.break " WAITS

/* Judging the dead is most of it: reading /proc. */
#define JUDGE_STRIDE 5

static const struct torture_case cases[] = {
    {.name = "sync.barrier.arrive+first",
     .commits = PARTY,
     .set_up = new_barrier,
     .parked = 2,
     .park = park_later,
     .late = true,
     .operation = come,
     .check = check_all,
     .quick = 40,
     OF_A_BARRIER},
    {.name = "sync.barrier.arrive+middle",
     .commits = PARTY,
     .set_up = new_barrier,
     .parked = 2,
     .park = park_around,
     .late = true,
     .operation = come,
     .check = check_all,
     .quick = 40,
     OF_A_BARRIER},
    {.name = "sync.barrier.arrive+arriving",
     .commits = PARTY,
     .set_up = new_barrier,
     .parked = 1,
     .park = park,
     .operation = come_for_a_while,
     .arrive = come_too,
     .check = check_with_two,
     .quick = 40,
     OF_A_BARRIER},
    {.name = "sync.barrier.arrive+timeout",
     .commits = PARTY,
     .set_up = new_barrier,
     .parked = 1,
     .park = park,
     .operation = come_for_a_while,
     .check = check_with_one,
     .quick = 40,
     OF_A_BARRIER},
    {.name = "sync.barrier.arrive+twice",
     .commits = PARTY,
     .set_up = new_barrier,
     .parked = 1,
     .park = park,
     .operation = come_for_a_while,
     .recovery = come_after,
     .check = check_with_one,
     .stride = 7,
     .quick = 60,
     OF_A_BARRIER},
    {.name = "sync.barrier.open",
     .commits = PARTY,
     .set_up = new_barrier,
     .parked = 2,
     .park = park,
     .operation = come,
     .check = check_all,
     OF_A_BARRIER},
    {.name = "sync.barrier.open+twice",
     .commits = PARTY,
     .set_up = new_barrier,
     .parked = 2,
     .park = park,
     .operation = come,
     .recovery = come_after,
     .check = check_with_two,
     .stride = 7,
     .quick = 60,
     OF_A_BARRIER},
    {.name = "sync.barrier.action",
     .commits = PARTY,
     .set_up = new_acting,
     .parked = 2,
     .park = park,
     .operation = come,
     .check = check_all,
     .stride = 3,
     .quick = 40,
     OF_A_BARRIER},
    {.name = "sync.barrier.action+failing",
     .commits = PARTY,
     .set_up = new_failing,
     .parked = 2,
     .park = park,
     .operation = come,
     .check = check_failed,
     .stride = 3,
     .quick = 40,
     OF_A_BARRIER},
    {.name = "sync.barrier.break+abort",
     .set_up = new_barrier,
     .parked = 2,
     .park = park,
     .operation = break_it,
     .check = check_aborted,
     OF_A_BARRIER},
    {.name = "sync.barrier.break+abort, twice",
     .set_up = new_barrier,
     .parked = 2,
     .park = park,
     .operation = break_it,
     .recovery = break_it,
     .check = check_aborted,
     OF_A_BARRIER},
    {.name = "sync.barrier.break+abort, empty",
     .set_up = new_barrier,
     .operation = break_it,
     .check = check_aborted_alone,
     OF_A_BARRIER},
    {.name = "sync.barrier.break+reset",
     .set_up = new_barrier,
     .parked = 2,
     .park = park,
     .operation = reset,
     .check = check_reset,
     OF_A_BARRIER},
    {.name = "sync.barrier.break+reset, twice",
     .set_up = new_barrier,
     .parked = 2,
     .park = park,
     .operation = reset,
     .recovery = reset,
     .check = check_reset,
     OF_A_BARRIER},
    {.name = "sync.barrier.break+dead",
     .commits = PARTY,
     .set_up = new_with_one_dead,
     .operation = come,
     .check = check_dead,
     .stride = JUDGE_STRIDE,
     .quick = 200,
     OF_A_BARRIER},
    {.name = "sync.barrier.break+dead, last",
     .commits = PARTY,
     .set_up = new_with_two_dead,
     .operation = come,
     .check = check_dead,
     .stride = JUDGE_STRIDE,
     .quick = 200,
     OF_A_BARRIER},
    {.name = "sync.barrier.mend",
     .set_up = new_broken,
     .operation = reset,
     .check = check_alone,
     OF_A_BARRIER},
    {.name = "sync.barrier.mend+twice",
     .set_up = new_broken,
     .operation = reset,
     .recovery = reset,
     .check = check_alone,
     OF_A_BARRIER},
};

TORTURE_CASES(sync, cases)
