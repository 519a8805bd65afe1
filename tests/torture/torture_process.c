/*
 * torture_process.c: parents killed after each instruction of a start, and storms in which parents,
 * children, forkservers and spares are killed at random.
 *
 * The survivor is the one to whom orphans fall, so it sees all that a death leaves: after each death
 * nothing may be left of the dead one's daemons, helpers and half-started children, and the family
 * must work.
 */
#include "torture/torture.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process/process.h"

#define WORKERS  6
#define PATIENCE 2.0
#define CODE     7

struct world {
    const char *method;
    bool daemon;
    mp_process *p; /* the victim's */
};

static void
nap(long ns)
{
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* ---- children ---------------------------------------------------------------------------------*/

static int
brief(const mp_args *args)
{
    const char *text;
    mp_args_get(args, &text);
    return strcmp(text, "some text") == 0 ? CODE : 1;
}

static int
hang(const mp_args *args)
{
    (void)args;
    for (;;) {
        pause();
    }
    return 0;
}

static mp_process *
make(const char *method, bool hangs, bool daemon)
{
    mp_process *p =
        mp_process_new(hangs ? hang : brief, mp_args("some text"),
                       &(mp_process_options){.daemon = daemon ? MP_DAEMON_YES : MP_DAEMON_NO,
                                             .context = mp_get_context(method)});
    mp_child_check(p);
    return p;
}

static const char *
run_brief(const char *method)
{
    int code = -1;
    mp_process *p = make(method, false, false);
    const char *wrong = NULL;
    if (mp_process_start(p) < 0 || mp_process_join(p, 10) < 0) {
        wrong = "the family starts no process any more";
    } else if (mp_process_exitcode(p, &code) < 0 || code != CODE) {
        wrong = "a process of the survivor gives another exit code";
    }
    mp_process_free(p);
    return wrong;
}

/* ---- what is left -----------------------------------------------------------------------------*/

static void
be_reaper(void *arg)
{
    (void)arg;
    mp_child_check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
}

static bool
nobody_left(void)
{
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0 || (pid < 0 && errno == EINTR)) {
    }
    return pid < 0;
}

/* Orphans have a while to end: NULL, or that one does not. */
static const char *
check_orphans(void)
{
    double began = mp_test_now();
    int turns = 0;
    while (!nobody_left()) {
        nap(200000);
        if (mp_test_now() - began > PATIENCE && ++turns > 1000) {
            return "an orphan is left";
        }
    }
    torture_waited(mp_test_now() - began);
    return NULL;
}

static const char *
check_family(const char *method)
{
    void *block = mp_malloc(5000);
    if (!block || mp_free(block) < 0) {
        return "the heap is out of order";
    }
    return run_brief(method);
}

/* ---- one victim, each instruction -------------------------------------------------------------*/

static void
make_ready(void *arg)
{
    struct world *w = arg;
    if (strcmp(w->method, "forkserver") == 0) {
        mp_child_check(!run_brief(w->method)); /* its forkserver */
    }
    w->p = make(w->method, w->daemon, w->daemon);
}

static void
do_start(void *arg)
{
    struct world *w = arg;
    mp_child_ok(mp_process_start(w->p));
}

static void
do_start_and_join(void *arg)
{
    int code = -1;
    struct world *w = arg;
    mp_child_ok(mp_process_start(w->p));
    mp_child_ok(mp_process_join(w->p, MP_FOREVER));
    mp_child_ok(mp_process_exitcode(w->p, &code));
    mp_child_check(code == CODE);
    mp_child_ok(mp_process_free(w->p));
}

static const char *
check_after(void *arg, bool finished)
{
    (void)arg;
    (void)finished;
    const char *wrong = check_orphans();
    return wrong ? wrong : check_family("fork");
}

static struct world fork_world = {.method = "fork"},
                    fork_daemon = {.method = "fork", .daemon = true},
                    spawn_daemon = {.method = "spawn", .daemon = true},
                    server_world = {.method = "forkserver"},
                    server_daemon = {.method = "forkserver", .daemon = true};

static const struct torture_case cases[] = {
    {.name = "process.start.fork",
     .open = be_reaper,
     .before = make_ready,
     .operation = do_start_and_join,
     .check = check_after,
     .stride = 3,
     .quick = 60,
     .bound = PATIENCE,
     .arg = &fork_world},
    {.name = "process.start.fork+daemon",
     .open = be_reaper,
     .before = make_ready,
     .operation = do_start,
     .check = check_after,
     .stride = 3,
     .quick = 60,
     .bound = PATIENCE,
     .arg = &fork_daemon},
    {.name = "process.start.spawn+daemon",
     .open = be_reaper,
     .before = make_ready,
     .operation = do_start,
     .check = check_after,
     .stride = 31,
     .quick = 400,
     .bound = PATIENCE,
     .arg = &spawn_daemon},
    {.name = "process.start.forkserver",
     .open = be_reaper,
     .before = make_ready,
     .operation = do_start_and_join,
     .check = check_after,
     .stride = 31,
     .quick = 400,
     .bound = PATIENCE,
     .arg = &server_world},
    {.name = "process.start.forkserver+daemon",
     .open = be_reaper,
     .before = make_ready,
     .operation = do_start,
     .check = check_after,
     .stride = 31,
     .quick = 400,
     .bound = PATIENCE,
     .arg = &server_daemon},
};
TORTURE_CASES(process, cases)

/* ---- storms -----------------------------------------------------------------------------------*/

/* The children of pid that /proc tells of; one of them at random, 0: none. */
static pid_t
a_child_of(pid_t pid)
{
    char path[64], text[600];
    pid_t found[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = '\0';
    if (f) {
        fclose(f);
    }
    char *at = text, *end;
    for (long value; count < 64 && (value = strtol(at, &end, 10)) > 0; at = end) {
        found[count++] = (pid_t)value;
    }
    return count ? found[torture_random(count)] : 0;
}

/* A worker's own descendant, of whatever kind. */
static void
kill_somebody(void)
{
    pid_t pid = a_child_of(getpid());
    if (pid > 0 && torture_random(2)) {
        pid_t below = a_child_of(pid); /* of the forkserver: a child, or a spare */
        pid = below > 0 ? below : pid;
    }
    if (pid > 0) {
        kill(pid, SIGKILL);
    }
}

static void
a_life(const char *method, bool amid_kills)
{
    bool hangs = torture_random(2), daemon = torture_random(2);
    int code = 12345;
    mp_process *p = make(method, hangs, daemon || hangs); /* what hangs ends with its parent */
    int status = mp_process_start(p);
    if (amid_kills && status == MP_ERUNTIME) {
        mp_child_ok(mp_process_free(p)); /* it died as it started: told, and no hang */
        return;
    }
    mp_child_ok(status);
    if (amid_kills && torture_random(3) == 0) {
        kill_somebody();
    }
    if (hangs) {
        nap((long)torture_random(300000));
        mp_child_ok(torture_random(2) ? mp_process_terminate(p) : mp_process_kill(p));
    }
    mp_child_ok(mp_process_join(p, MP_FOREVER));
    mp_child_ok(mp_process_exitcode(p, &code));
    if (hangs) {
        mp_child_check(code == -SIGTERM || code == -SIGKILL || (amid_kills && code == 255));
    } else {
        mp_child_check(code == CODE || (amid_kills && (code == -SIGKILL || code == 255)));
    }
    mp_child_ok(mp_process_free(p));
}

static void
live(void *arg, int which)
{
    (void)which;
    a_life(arg, false);
}

/* Half of the workers kill below themselves too. */
static void
live_and_kill(void *arg, int which)
{
    a_life(arg, which % 2);
}

static const char *
check_storm(void *arg, long kills)
{
    (void)kills;
    const char *wrong = check_orphans();
    wrong = wrong ? wrong : check_family(arg);
    mp__process_settle();
    return wrong ? wrong : check_orphans();
}

static char fork_name[] = "fork", spawn_name[] = "spawn", server_name[] = "forkserver";

static const struct torture_storm storms[] = {
    {.name = "process.start.storm+fork",
     .workers = WORKERS,
     .kills = 3000,
     .quick_kills = 200,
     .silence = PATIENCE,
     .open = be_reaper,
     .work = live,
     .check = check_storm,
     .arg = fork_name},
    {.name = "process.start.storm+fork, kills below",
     .workers = WORKERS,
     .kills = 2000,
     .quick_kills = 100,
     .silence = PATIENCE,
     .open = be_reaper,
     .work = live_and_kill,
     .check = check_storm,
     .arg = fork_name},
    {.name = "process.start.storm+spawn, kills below",
     .workers = WORKERS,
     .kills = 500,
     .quick_kills = 40,
     .pace = 0.02,
     .silence = PATIENCE,
     .open = be_reaper,
     .work = live_and_kill,
     .check = check_storm,
     .arg = spawn_name},
    {.name = "process.start.storm+forkserver",
     .workers = WORKERS,
     .kills = 1000,
     .quick_kills = 60,
     .pace = 0.01,
     .silence = PATIENCE,
     .open = be_reaper,
     .work = live,
     .check = check_storm,
     .arg = server_name},
    {.name = "process.start.storm+forkserver, kills below",
     .workers = WORKERS,
     .kills = 1000,
     .quick_kills = 60,
     .pace = 0.01,
     .silence = PATIENCE,
     .open = be_reaper,
     .work = live_and_kill,
     .check = check_storm,
     .arg = server_name},
};
TORTURE_STORMS(process, storms)
