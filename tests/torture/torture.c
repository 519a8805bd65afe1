/*
 * torture.c: runs the cases and storms of a group, each in a family of its own, and tells.
 *
 *     mp_torture [--quick] [--near] [--control] [--steps] [--storms] [--list] [--seed N] [--jobs N]
 *                [GROUP [PATTERN]]
 *
 * One line on stdout for each, with tabs: kind, name, points, kills, double kills, wrong, worst
 * recovery in ms, seconds.  --near: all positions at which what others see changes, and those beside
 * them, and of the others, which leave the same behind, some.  --list: names and commit points only.  Exit status 1: something was
 * wrong; with --control, which switches the library's recovery off: nothing was.
 */
#include "torture/frame.h"

#include <errno.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_GIVEN     40
#define MOST_JOBS      1000
#define HANGS          20.0 /* seconds without a move: the survivor never comes back */
#define HANGS_CONTROL  0.5
#define LOOK_MS        2
#define STALL          0.03  /* seconds that a look of LOOK_MS takes at most */
#define LOST           0.004 /* and beyond its LOOK_MS, without a machine that does other things */
#define LONG_WAIT      0.05
#define LOOKED         5.0 /* the runner looks that often, whatever the machine does */
#define TURNS          20
#define CONTROL_ENOUGH 2 /* failures that a control finds before it goes to the next case */

struct torture_options torture_options = {.steps = true, .storms = true, .seed = 1};
struct torture_report *torture_report;

static struct given {
    const char *group;
    const struct torture_case *cases;
    const struct torture_storm *storms;
    size_t count;
} given[MOST_GIVEN];
static int given_count;

static void
give(struct given g)
{
    if (given_count == MOST_GIVEN) {
        fprintf(stderr, "torture: more arrays than MOST_GIVEN\n");
        exit(2);
    }
    given[given_count++] = g;
}

void
torture_add_cases(const char *group, const struct torture_case *cases, size_t count)
{
    give((struct given){.group = group, .cases = cases, .count = count});
}

void
torture_add_storms(const char *group, const struct torture_storm *storms, size_t count)
{
    give((struct given){.group = group, .storms = storms, .count = count});
}

/* ---- helps ----------------------------------------------------------------------------------- */

void *
torture_shared(size_t size)
{
    FILE *f = tmpfile();
    void *p = MAP_FAILED;
    if (f && ftruncate(fileno(f), (off_t)size) == 0) {
        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0);
    }
    if (p == MAP_FAILED) {
        perror("torture: shared memory");
        exit(2);
    }
    fclose(f);
    return p;
}

size_t
torture_blocks(void)
{
    mp_heap_info info = {0};
    mp_heap_stats(&info);
    return info.blocks;
}

struct torture_patience
torture_patience(double seconds)
{
    return (struct torture_patience){.until = mp_test_now() + seconds};
}

bool
torture_waits_on(struct torture_patience *p)
{
    if (mp_test_now() >= p->until && p->turns >= TURNS) {
        return false;
    }
    nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    p->turns++;
    return true;
}

double
torture_seconds(double from, double to)
{
    struct torture_report *r = torture_report;
    double seconds = to - from;
    if (seconds < LONG_WAIT) {
        return seconds;
    }
    struct torture_patience patience = torture_patience(LOOKED);
    while (r->looked < to && torture_waits_on(&patience)) { /* the runner notes what it saw */
    }
    for (unsigned i = 0; i < r->stalls && i < TORTURE_STALLS; i++) {
        double begin = r->stall[i].from, end = r->stall[i].to;
        begin = begin < from ? from : begin;
        end = end > to ? to : end;
        seconds -= end > begin ? end - begin : 0;
    }
    return seconds;
}

static unsigned random_state;

unsigned
torture_random(unsigned below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (unsigned)((uint64_t)random_state * below >> 32);
}

pid_t
torture_fork(void)
{
    unsigned next = random_state * 69069u + 1u;
    pid_t pid = fork();
    if (pid < 0) {
        mp_child_fail(__FILE__, __LINE__, "fork()");
    }
    random_state = pid == 0 ? next ^ (unsigned)getpid() * 2654435761u : next;
    return pid;
}

bool
torture_asleep(pid_t pid)
{
    char text[200];
    snprintf(text, sizeof text, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(text, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f) {
        fclose(f);
    }
    text[n] = '\0';
    const char *end = strrchr(text, ')');
    return end && end[1] == ' ' && end[2] == 'S';
}

void
torture_wrong(const char *what)
{
    struct torture_report *r = torture_report;
    if (r->wrong++ > 0) {
        return;
    }
    int n = 0;
    if (r->first >= 0) {
        n = snprintf(r->text, sizeof r->text, "killed after %ld instructions", r->first);
    }
    if (r->second >= 0) {
        n += snprintf(r->text + n, sizeof r->text - (size_t)n, " and %ld of the recovery",
                      r->second);
    }
    snprintf(r->text + n, sizeof r->text - (size_t)n, "%s%s", n > 0 ? ": " : "", what);
}

/* ---- one case or storm ------------------------------------------------------------------------ */

static void
note_stall(double from, double to)
{
    struct torture_report *r = torture_report;
    unsigned i = r->stalls % TORTURE_STALLS;
    r->stall[i].from = from;
    r->stall[i].to = to;
    r->stalls++;
}

/* Run body in a child with a process group of its own.  NULL, or how it failed. */
static const char *
family(void (*body)(const void *what, long from), const void *what, long from)
{
    static char text[100];
    int status;
    double hangs = torture_options.control ? HANGS_CONTROL : HANGS;
    torture_report->moved = mp_test_now();
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        return "fork() fails";
    }
    if (pid == 0) {
        setpgid(0, 0);
        body(what, from);
        fflush(NULL);
        _exit(0);
    }
    setpgid(pid, pid);
    bool hung = false;
    siginfo_t ended = {0};
    double looks = 0, last = mp_test_now(), moved = 0;
    while (!hung && ended.si_pid == 0) {
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000}, NULL);
        double time = mp_test_now();
        looks = torture_report->moved > moved ? 0 : looks + (time - last < STALL ? time - last : 0);
        moved = torture_report->moved;
        if (time - last > LOOK_MS * 1e-3 + LOST) {
            note_stall(last + LOOK_MS * 1e-3, time);
        }
        torture_report->looked = last = time;
        hung = looks > hangs;
        waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOWAIT | WNOHANG);
    }
    kill(-pid, SIGKILL); /* whoever is left, while the group's number is still its own */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (hung) {
        return "the survivor hangs";
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return NULL;
    }
    snprintf(text, sizeof text, "the survivor ended with %s %d",
             WIFEXITED(status) ? "exit code" : "signal",
             WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return text;
}

static void
case_body(const void *what, long from)
{
    torture_run_case(what, from);
}

static void
storm_body(const void *what, long from)
{
    (void)from;
    torture_run_storm(what);
}

enum verdict { GOOD, BAD, LATE };

/*
 * LATE: all is in order, but too many waited too long, and may_be_late: on a machine that does much
 * else it is tried again alone.
 */
static enum verdict
one(const char *kind, const char *name, void (*body)(const void *, long), const void *what,
    bool may_be_late)
{
    struct torture_report *r = torture_report;
    double start = mp_test_now();
    memset(r, 0, sizeof *r);
    r->which = r->first = r->second = -1;
    random_state = torture_options.seed;
    for (long from = 0;;) {
        long wrong = r->wrong;
        const char *failed = family(body, what, from);
        if (failed && r->wrong == wrong) {
            torture_wrong(failed);
        }
        if (!failed || !torture_options.control || r->wrong >= CONTROL_ENOUGH || r->which < from) {
            break;
        }
        from = r->which + 1;
    }
    if (body == case_body && !torture_options.control &&
        ((const struct torture_case *)what)->must_fail) {
        bool found = r->wrong > 0 && r->wrong < r->points;
        r->wrong = !found;
        snprintf(r->text, sizeof r->text, "a control found nothing, or nothing else");
    }
    const char *late = step_waits_wrong(&r->waits);
    may_be_late = may_be_late && late && r->wrong == 0 && !torture_options.control;
    if (late && r->wrong++ == 0) {
        snprintf(r->text, sizeof r->text, "%s", late);
    }
    if (body == case_body && r->wrong == 0 && r->points < 3) {
        r->wrong = 1;
        snprintf(r->text, sizeof r->text, "no victim was led");
    }
    if (may_be_late) {
        fprintf(stderr, "late, will be tried again: %s: %s\n", name, r->text);
        return LATE;
    }
    printf("%s\t%s\t%ld\t%ld\t%ld\t%ld\t%.1f\t%.1f\n", kind, name, r->points, r->kills, r->twice,
           r->wrong, r->waits.longest * 1e3, mp_test_now() - start);
    fflush(stdout);
    if (r->wrong > 0) {
        fprintf(stderr, "%s %s: %s\n", torture_options.control ? "as it should" : "WRONG", name,
                r->text);
    }
    return r->wrong == 0 ? GOOD : BAD;
}

/* ---- the program ------------------------------------------------------------------------------ */

static bool list;
static int runners = 4; /* most of their time they sleep */
static const char *group, *pattern;

static bool
wanted(const char *name)
{
    return !pattern || fnmatch(pattern, name, 0) == 0;
}

/* What is to be done: cases by as many runners as are wanted, storms by one alone. */
static struct job {
    const struct torture_case *c;
    const struct torture_storm *s;
} jobs[MOST_JOBS];
static int job_count;

static struct progress {
    _Atomic int next;
    _Atomic long good, bad;
    bool late[MOST_JOBS];
} * progress;

static void
add_jobs(const struct given *g, bool cases)
{
    for (size_t i = 0; i < g->count && cases == (g->cases != NULL); i++) {
        const char *name = cases ? g->cases[i].name : g->storms[i].name;
        const char *commits = cases ? g->cases[i].commits : g->storms[i].commits;
        if (!wanted(name)) {
            continue;
        }
        if (list) {
            printf("%s\t%s\t%s\n", g->group, name, commits ? commits : "");
        } else if (job_count == MOST_JOBS) {
            fprintf(stderr, "torture: more cases than MOST_JOBS\n");
            exit(2);
        } else if (cases ? torture_options.steps : torture_options.storms) {
            jobs[job_count++] =
                (struct job){cases ? &g->cases[i] : NULL, cases ? NULL : &g->storms[i]};
        }
    }
}

static void
run_job(int i, bool may_be_late)
{
    const struct job *j = &jobs[i];
    enum verdict v = j->c ? one("steps", j->c->name, case_body, j->c, may_be_late)
                          : one("storm", j->s->name, storm_body, j->s, may_be_late);
    progress->late[i] = v == LATE;
    progress->good += v == GOOD;
    progress->bad += v == BAD;
}

/* One of several runners: cases, while there are any. */
static void
run_cases(void)
{
    torture_report = torture_shared(sizeof *torture_report);
    for (int i; (i = progress->next++) < job_count && jobs[i].c;) {
        run_job(i, true);
    }
}

static void
run_all(void)
{
    progress = torture_shared(sizeof *progress);
    for (int i = 0; i < runners; i++) {
        if (fork() == 0) {
            run_cases();
            exit(0);
        }
    }
    for (int status; wait(&status) > 0 || errno == EINTR;) {
        if (status != 0) {
            fprintf(stderr, "torture: a runner ended with status %#x\n", (unsigned)status);
            progress->bad++;
        }
    }
    torture_report = torture_shared(sizeof *torture_report);
    for (int i = 0; i < job_count; i++) {
        if (jobs[i].s) {
            run_job(i, true);
        }
    }
    for (int i = 0; i < job_count; i++) {
        if (progress->late[i]) {
            run_job(i, false);
        }
    }
}

static int
options(int argc, char **argv)
{
    bool steps = false, storms = false;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (strcmp(a, "--quick") == 0) {
            torture_options.quick = true;
        } else if (strcmp(a, "--near") == 0) {
            torture_options.near = true;
        } else if (strcmp(a, "--control") == 0) {
            torture_options.control = true;
        } else if (strcmp(a, "--steps") == 0) {
            steps = true;
        } else if (strcmp(a, "--storms") == 0) {
            storms = true;
        } else if (strcmp(a, "--list") == 0) {
            list = true;
        } else if (strcmp(a, "--seed") == 0 && i + 1 < argc) {
            torture_options.seed = (unsigned)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(a, "--jobs") == 0 && i + 1 < argc) {
            runners = atoi(argv[++i]);
        } else if (a[0] != '-' && !group) {
            group = a;
        } else if (a[0] != '-' && !pattern) {
            pattern = a;
        } else {
            fprintf(stderr, "mp_torture: %s: not understood\n", a);
            return -1;
        }
    }
    if (steps || storms) {
        torture_options.steps = steps;
        torture_options.storms = storms;
    }
    return 0;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    if (options(argc, argv) < 0) {
        return 2;
    }
    if (!list && torture_options.steps && !step_possible()) {
        fprintf(stderr, "mp_torture: no process may lead another one here: storms only\n");
        torture_options.steps = false;
    }
    for (int i = 0; i < 2 * given_count; i++) {
        const struct given *g = &given[i % given_count];
        if (!group || strcmp(g->group, group) == 0) {
            add_jobs(g, i < given_count);
        }
    }
    if (list) {
        return 0;
    }
    run_all();
    return torture_options.control ? progress->bad == 0 : progress->bad > 0;
}
