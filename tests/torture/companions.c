/* companions.c: one case of the torture: its victims, and the processes that wait beside them. */
#if defined __linux__ && !defined _GNU_SOURCE
#define _GNU_SOURCE /* SEEK_DATA */
#endif
#include "torture/frame.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/recovery.h"
#include "heap/family.h"
#include "heap/member.h"

#define MOST_HEAP    (UINT64_C(2) << 30) /* bytes: a victim loses at most what it was freeing */
#define MARKS        64
#define QUICK_MOST   40   /* positions of a case in a quick run */
#define FAR          13   /* with --near: every so many of those that change nothing */
#define MET_IN       0.01 /* seconds that who arrives has for his first sleep */
#define TO_SLEEP     10.0 /* and who waits, on a machine that is busy */
#define GIVE_UP      10.0 /* who is not back by then never will be */
#define GIVE_UP_SOON 0.3  /* the same when recovery is switched off */
#define LEADS        150 /* seconds that a victim may be led on, slowly, on a machine that is busy */

enum { NONE, STARTED, BACK };

/* Shared between the survivor and the processes of one victim. */
struct companion {
    _Atomic int state, result;
    _Atomic double back_at;
};
struct scene {
    struct companion companion[TORTURE_COMPANIONS];
    _Atomic pid_t victim;
    _Atomic bool over; /* the victim is dead, or past its operation */
};

/* The case that this family runs. */
static struct {
    const struct torture_case *c;
    struct scene *scene;
    pid_t pid[TORTURE_COMPANIONS]; /* 0: not started, or reaped */
    double mark[MARKS];            /* the death, and torture_mark() */
    int marks;
    bool planned; /* the first victim, which shows the way, has been led */
    double leads_until;
} now;

static void
moved(void)
{
    torture_report->moved = mp_test_now();
}

static double
bound_of(const struct torture_case *c)
{
    return c->bound > 0 ? c->bound : TORTURE_BOUND;
}

/* ---- companions ------------------------------------------------------------------------------ */

static void
start(int which, bool arrives)
{
    struct companion *p = &now.scene->companion[which];
    atomic_store(&p->state, NONE);
    pid_t pid = torture_fork();
    if (pid == 0) {
        atomic_store(&p->state, STARTED);
        p->result = arrives ? now.c->arrive(now.c->arg) : now.c->park(now.c->arg, which);
        p->back_at = mp_test_now();
        atomic_store(&p->state, BACK);
        _exit(0);
    }
    now.pid[which] = pid;
}

/* Until it sleeps or is back; false: it does neither. */
static bool
settled(int which, double seconds)
{
    struct companion *p = &now.scene->companion[which];
    double until = mp_test_now() + seconds;
    struct torture_patience patience = torture_patience(seconds);
    for (int asleep = 0; asleep < 2;) {
        int state = atomic_load(&p->state);
        if (state == BACK) {
            return true;
        }
        asleep = state == STARTED && torture_asleep(now.pid[which]) ? asleep + 1 : 0;
        if (asleep == 0) {
            if (mp_test_now() > until && !torture_waits_on(&patience)) {
                return false;
            }
            sched_yield();
        }
    }
    return true;
}

static void
start_parked(void)
{
    for (int i = 0; i < now.c->parked; i++) {
        start(i, false);
    }
    for (int i = 0; i < now.c->parked; i++) {
        if (!settled(i, TO_SLEEP)) {
            mp_child_fail(now.c->name, i, "a companion neither sleeps nor returns");
        }
    }
}

static int
count(void)
{
    return now.c->parked + (now.c->arrive != NULL);
}

static int
reap(int which)
{
    int status = 0;
    while (waitpid(now.pid[which], &status, 0) < 0 && errno == EINTR) {
    }
    mp__member_reaped(now.pid[which]);
    now.pid[which] = 0;
    return status;
}

void
torture_kill(int which)
{
    if (now.pid[which] != 0) {
        kill(now.pid[which], SIGKILL);
        reap(which);
    }
}

bool
torture_is_back(int which)
{
    return atomic_load(&now.scene->companion[which].state) == BACK;
}

int
torture_result(int which)
{
    return now.scene->companion[which].result;
}

int
torture_back(int n, double seconds)
{
    struct torture_patience patience = torture_patience(seconds);
    for (;;) {
        int back = 0;
        for (int i = 0; i < count(); i++) {
            back += torture_is_back(i);
        }
        if (back >= n || !torture_waits_on(&patience)) {
            return back;
        }
    }
}

int
torture_settled(double seconds)
{
    for (int i = 0; i < count(); i++) {
        if (now.pid[i] != 0) {
            settled(i, seconds);
        }
    }
    return torture_back(0, 0);
}

void
torture_mark(void)
{
    if (now.marks == MARKS) {
        mp_child_fail(now.c->name, 0, "too many calls of torture_mark()");
    }
    now.mark[now.marks++] = mp_test_now();
}

static void
waited(double from, double to)
{
    moved();
    if (now.planned) {
        step_waited(&torture_report->waits, torture_seconds(from, to));
    }
}

void
torture_waited(double seconds)
{
    double to = mp_test_now();
    waited(to - seconds, to);
}

bool
torture_victim_sleeps(void)
{
    struct scene *s = now.scene;
    while (!s->over) {
        pid_t victim = s->victim;
        if (victim != 0 && torture_asleep(victim)) {
            return true;
        }
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
    return false;
}

/* By itself; it is not reaped yet. */
static bool
has_ended(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG) == 0 && info.si_pid == pid;
}

/* From the last mark before it came back. */
static void
measure(int which)
{
    double back = now.scene->companion[which].back_at, from = now.mark[0];
    for (int i = 1; i < now.marks && now.mark[i] <= back; i++) {
        from = now.mark[i];
    }
    if (back > from) {
        waited(from, back);
    }
}

/* All companions are to come back; NULL, or what is wrong. */
static const char *
collect(bool in_order)
{
    static char text[100];
    const char *wrong = NULL;
    struct torture_patience patience =
        torture_patience(torture_options.control ? GIVE_UP_SOON : GIVE_UP);
    for (int i = 0; i < count(); i++) {
        while (now.pid[i] != 0 && in_order && !torture_is_back(i) && !has_ended(now.pid[i]) &&
               torture_waits_on(&patience)) {
        }
    }
    for (int i = 0; i < count(); i++) {
        if (now.pid[i] == 0) {
            continue;
        }
        if (torture_is_back(i)) {
            measure(i);
            reap(i);
            continue;
        }
        if (!wrong) {
            snprintf(text, sizeof text, "companion %d %s", i,
                     has_ended(now.pid[i]) ? "has failed" : "still waits and is given up");
            wrong = text;
        }
        torture_kill(i);
    }
    return in_order ? wrong : NULL;
}

/* ---- around the steps ------------------------------------------------------------------------- */

static void
set_up(void *arg)
{
    now.scene->victim = 0;
    now.scene->over = false;
    now.marks = 0;
    memset(now.pid, 0, sizeof now.pid);
    for (int i = 0; i < TORTURE_COMPANIONS; i++) {
        now.scene->companion[i].state = NONE;
    }
    if (now.c->set_up) {
        now.c->set_up(arg);
    }
    if (!now.c->late) {
        start_parked();
    }
}

static void
become_member(void *arg)
{
    (void)arg;
    mp_free(mp_malloc(1));
}

static void
begun(void *arg, pid_t victim)
{
    (void)arg;
    if (now.c->late) {
        start_parked();
    }
    now.scene->victim = victim;
}

static void
stands(void *arg, pid_t victim)
{
    (void)arg, (void)victim;
    if (now.c->arrive) {
        start(now.c->parked, true);
        settled(now.c->parked, MET_IN);
    }
}

static void
killed(void *arg)
{
    (void)arg;
    now.scene->over = true;
    now.mark[0] = mp_test_now();
    now.marks = 1;
    torture_report->kills++;
}

static void
at(void *arg, const struct step_at *where)
{
    struct torture_report *r = torture_report;
    (void)arg;
    r->which = where->which;
    r->first = where->first;
    r->second = where->second;
    r->points += where->which >= 0;
    r->twice += where->which >= 0 && where->second >= 0;
    mp_heap_info info = {0};
    mp_heap_stats(&info);
    if (info.committed > MOST_HEAP) {
        mp_child_fail(now.c->name, 0, "the heap grows and grows");
    }
    moved();
    now.leads_until = mp_test_now() + (torture_options.control ? 0 : LEADS);
}

/* Instructions are moves, but not for ever: one that hangs may do some in each of its sleeps. */
static void
led(void *arg)
{
    (void)arg;
    if (mp_test_now() < now.leads_until) {
        moved();
    }
}

static const char *
check(void *arg, bool finished)
{
    if (now.c->arrive && now.pid[now.c->parked] == 0 && !torture_is_back(now.c->parked)) {
        start(now.c->parked, true); /* nobody stood: it arrives after the victim that was led */
    }
    const char *wrong = now.c->check(arg, finished);
    const char *left = collect(!wrong);
    wrong = wrong ? wrong : left;
    if (now.c->tear_down && !wrong) {
        now.c->tear_down(arg);
    }
    if (wrong) {
        torture_wrong(wrong);
    }
    now.planned = true;
    return wrong;
}

/* What others see: the bytes of the family's heap, and where there are any. */
static uint64_t
state(void *arg)
{
    uint64_t sum[4] = {1, 2, 3, 4};
    (void)arg;
#if defined SEEK_DATA
    for (off_t from = 0, to; (from = lseek(mp__family_fd, from, SEEK_DATA)) >= 0; from = to) {
        to = lseek(mp__family_fd, from, SEEK_HOLE);
        if (to < from) {
            break;
        }
        const uint64_t *word = (const uint64_t *)(uintptr_t)(mp__family->base + (uint64_t)from);
        for (size_t i = 0, n = (size_t)(to - from) / 8; i + 4 <= n; i += 4) {
            for (size_t k = 0; k < 4; k++) {
                sum[k] = (sum[k] ^ word[i + k]) * UINT64_C(0x9E3779B97F4A7C15);
            }
        }
        sum[0] ^= (uint64_t)from * 31 + (uint64_t)to;
    }
#endif
    return sum[0] ^ sum[1] * 3 ^ sum[2] * 5 ^ sum[3] * 7;
}

/* Whether that is worth asking for: what must be found may be at one position, and another's child
   goes on by itself. */
static bool
only_near(const struct torture_case *c)
{
#if defined SEEK_DATA
    return torture_options.near && !torture_options.quick && !torture_options.control &&
           !c->must_fail && !c->seize && mp__family_fd >= 0;
#else
    (void)c;
    return false;
#endif
}

static int
stride_of(const struct torture_case *c)
{
    int full = c->stride > 1 ? c->stride : 1;
    if (torture_options.control) {
        return full * 5;
    }
    if (!torture_options.quick || c->must_fail) { /* what must be found may be at one position */
        return full;
    }
    return c->quick ? c->quick : full * (c->recovery ? 10 : 6);
}

static int
spread_of(const struct torture_case *c)
{
    int full = c->spread ? c->spread : 12;
    return !torture_options.quick && !torture_options.control ? full : full < 5 ? full : 5;
}

void
torture_run_case(const struct torture_case *c, long from)
{
    mp__no_recovery = torture_options.control;
    now.c = c;
    now.scene = torture_shared(sizeof *now.scene);
    torture_report->waits.bound = bound_of(c);
    if (count() > TORTURE_COMPANIONS) {
        mp_child_fail(c->name, 0, "too many companions");
    }
    mp_child_ok(mp_free(mp_malloc(1))); /* the family begins */
    if (c->open) {
        c->open(c->arg);
    }
    step_all(&(struct step_case){.name = c->name,
                                 .set_up = set_up,
                                 .before = c->before ? c->before : become_member,
                                 .operation = c->operation,
                                 .seize = c->seize,
                                 .done = c->done,
                                 .check = check,
                                 .recovery = c->recovery,
                                 .before_recovery =
                                     c->before_recovery ? c->before_recovery : become_member,
                                 .spread = spread_of(c),
                                 .stride = stride_of(c),
                                 .state = only_near(c) ? state : NULL,
                                 .far = FAR,
                                 .go_on = torture_options.control || c->must_fail,
                                 .most = torture_options.quick && !c->must_fail ? QUICK_MOST : 0,
                                 .arg = c->arg,
                                 .begun = begun,
                                 .stands = stands,
                                 .killed = killed,
                                 .at = at,
                                 .led = led,
                                 .from = from});
}
