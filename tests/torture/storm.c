/* storm.c: many processes at work on one object, and one after the other of them killed. */
#include "torture/frame.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/recovery.h"
#include "heap/member.h"

#define MOST_WORKERS 64
#define MOST_AT_ONCE 3
#define LAST_ROUND   10.0 /* seconds for the end of all rounds, when no more are killed */
#define PACE         0.002
#define SLACK        0.1

/* Shared by all processes of a storm. */
struct weather {
    _Atomic bool stop;
    _Atomic double round_at; /* when the last round ended, of whomever */
    _Atomic double longest;  /* time between two ends */
    _Atomic long long_ones, rounds;
};

static struct {
    const struct torture_storm *s;
    struct weather *w;
    pid_t pid[MOST_WORKERS];
    double bound;
} now;

static void
round_ended(void)
{
    struct weather *w = now.w;
    double t = mp_test_now(), gap = t - atomic_exchange(&w->round_at, t);
    w->rounds++;
    if (gap > now.bound) {
        gap = torture_seconds(t - gap, t);
    }
    w->long_ones += gap > now.bound;
    double longest = w->longest;
    while (gap > longest && !atomic_compare_exchange_weak(&w->longest, &longest, gap)) {
    }
}

static void
start(int which)
{
    pid_t pid = torture_fork();
    if (pid == 0) {
        while (!now.w->stop) {
            now.s->work(now.s->arg, which);
            round_ended();
        }
        _exit(0);
    }
    now.pid[which] = pid;
}

static int
wait_for(pid_t pid, int options)
{
    int status = 0;
    pid_t got;
    while ((got = waitpid(pid, &status, options)) < 0 && errno == EINTR) {
    }
    return got == pid ? status : -1;
}

/* False: it had ended by itself. */
static bool
stop(int which)
{
    pid_t pid = now.pid[which];
    kill(pid, SIGSTOP);
    if (!WIFSTOPPED(wait_for(pid, WUNTRACED))) {
        return false;
    }
    now.s->doomed(now.s->arg, which, pid);
    return true;
}

static bool
bury(int which)
{
    const struct torture_storm *s = now.s;
    pid_t pid = now.pid[which];
    if (!WIFSIGNALED(wait_for(pid, 0))) {
        return false;
    }
    if (s->died) {
        s->died(s->arg, which, pid);
    }
    mp__member_reaped(pid);
    torture_report->kills++;
    return true;
}

/* Kill one, or up to MOST_AT_ONCE, and put others in their places. */
static bool
strike(void)
{
    unsigned workers = (unsigned)now.s->workers, first = torture_random(workers);
    unsigned n = now.s->doomed ? 1 : 1 + torture_random(workers < MOST_AT_ONCE ? 1 : MOST_AT_ONCE);
    for (unsigned i = 0; i < n; i++) {
        int which = (int)((first + i) % workers);
        if (now.s->doomed && !stop(which)) {
            return false;
        }
        kill(now.pid[which], SIGKILL);
    }
    for (unsigned i = 0; i < n; i++) {
        int which = (int)((first + i) % workers);
        if (!bury(which)) {
            return false;
        }
        start(which);
    }
    return true;
}

static void
pause_for(double seconds)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)(seconds * 1e9)}, NULL);
}

/* All end their rounds; NULL, or who does not. */
static const char *
calm(void)
{
    static char text[80];
    const char *wrong = NULL;
    struct torture_patience patience = torture_patience(LAST_ROUND);
    now.w->stop = true;
    for (int i = 0; i < now.s->workers; i++) {
        int status = -1;
        while ((status = wait_for(now.pid[i], WNOHANG)) == -1 && torture_waits_on(&patience)) {
            torture_report->moved = mp_test_now();
        }
        if (status == -1) {
            kill(now.pid[i], SIGKILL);
            wait_for(now.pid[i], 0);
        }
        mp__member_reaped(now.pid[i]);
        if (status != 0 && !wrong) {
            snprintf(text, sizeof text, "worker %d %s", i,
                     status == -1 ? "does not come to the end of its round" : "has failed");
            wrong = text;
        }
    }
    return wrong;
}

static const char *
rage(long kills, double pace)
{
    const struct torture_storm *s = now.s;
    for (int i = 0; i < s->workers; i++) {
        start(i);
    }
    while (torture_report->kills < kills) {
        pause_for(2 * pace * torture_random(1000) / 1000);
        if (!strike()) {
            return "a worker ended by itself";
        }
        double last = now.w->round_at;
        if (last > torture_report->moved) {
            torture_report->moved = last;
        }
    }
    return NULL;
}

void
torture_run_storm(const struct torture_storm *s)
{
    struct torture_report *r = torture_report;
    if (s->workers > MOST_WORKERS) {
        mp_child_fail(s->name, 0, "too many workers");
    }
    mp__no_recovery = torture_options.control;
    now.s = s;
    now.w = torture_shared(sizeof *now.w);
    now.bound = s->silence > 0 ? s->silence : TORTURE_BOUND + SLACK;
    now.w->round_at = mp_test_now();
    mp_child_ok(mp_free(mp_malloc(1))); /* the family begins */
    if (s->open) {
        s->open(s->arg);
    }
    long kills = torture_options.quick || torture_options.control ? s->quick_kills : s->kills;
    const char *wrong = rage(kills, s->pace > 0 ? s->pace : PACE);
    const char *end = calm();
    wrong = wrong ? wrong : end;
    wrong = wrong ? wrong : s->check(s->arg, r->kills);
    r->waits.bound = now.bound;
    r->waits.count = r->kills;
    r->waits.longest = now.w->longest;
    r->waits.long_ones = now.w->long_ones;
    if (getenv("MP_TEST_STEP_VERBOSE")) {
        fprintf(stderr, "%s: %ld rounds, %ld silences\n", s->name, (long)now.w->rounds,
                (long)now.w->long_ones);
    }
    if (wrong) {
        torture_wrong(wrong);
    }
}
