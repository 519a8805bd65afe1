/*
 * orphans.c: a program with 50 children of every kind is killed with SIGKILL; 2 s later, and a
 * thousand turns of the watcher's own, none may be left, nor anything with a name.
 *
 *     orphans [--rounds N] [fork | spawn | forkserver | all]
 *
 * "all" takes the start methods in turn within one program.  Kinds: daemons of the main thread, of
 * threads that have ended, deaf to signals, busy, asleep in a queue, a lock, a pool; pools at work
 * and idle; forkserver and spares; starts that are under way; and children that are no daemons.
 * Those go on as in Python, so each waits for something that its parent's death gives it: the end
 * of a connection, a lock, the news that the parent has ended; one has a daemon of its own.
 *
 * The watcher makes itself the one that orphans fall to, so it misses none.  0: none was left.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <mp/mp.h>

#define CHILDREN 50
#define PATIENCE 2.0
#define TURNS    1000 /* and these, of a ms, for a machine that stands still or does much else */

static void
check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "orphans: pid %d: %s: %s\n", (int)getpid(), what, mp_last_error_text());
        _exit(70);
    }
}

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void
nap(double seconds)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)(seconds * 1e9)}, NULL);
}

/* ---- the children -----------------------------------------------------------------------------*/

/* In the family's heap. */
struct shared {
    _Atomic int up;
    mp_lock *lock; /* the victim has it */
    mp_queue *queue;
};

/* The victim's ends of connections: children of fork have copies to close. */
static mp_connection *victims_end[CHILDREN];
static int ends;

static struct shared *
begin(const mp_args *args)
{
    struct shared *s = mp_as_handle(mp_args_item(args, 0), MP_HANDLE_POINTER);
    for (int i = 0; i < ends; i++) {
        mp_connection_close(victims_end[i]);
    }
    atomic_fetch_add(&s->up, 1);
    return s;
}

static int
sleeper(const mp_args *args)
{
    begin(args);
    for (;;) {
        pause();
    }
    return 0;
}

static int
deaf(const mp_args *args)
{
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    return sleeper(args);
}

static int
busy(const mp_args *args)
{
    begin(args);
    for (volatile unsigned i = 0;; i++) {
        if (i % 1000 == 0) {
            nap(0.0005); /* a processor is not ours alone */
        }
    }
    return 0;
}

static int
hungry(const mp_args *args)
{
    struct shared *s = begin(args);
    mp_obj item;
    mp_queue_get(s->queue, &item, MP_FOREVER);
    return 0;
}

static int
locked_out(const mp_args *args)
{
    struct shared *s = begin(args);
    int status = mp_lock_acquire(s->lock, MP_FOREVER);
    check(status >= 0, "the lock of the dead"); /* the first of them hears of the death */
    mp_lock_release(s->lock);
    return 0;
}

static int
listener(const mp_args *args)
{
    mp_connection *c = mp_as_handle(mp_args_item(args, 1), MP_HANDLE_CONNECTION);
    begin(args);
    mp_obj item;
    int status = mp_connection_recv(c, &item);
    check(status == MP_EEOF || status == -ECONNRESET, "the connection of the dead");
    return 0;
}

static int
watcher_of_its_parent(const mp_args *args)
{
    begin(args);
    while (mp_process_is_alive(mp_parent_process()) == 1) {
        nap(0.02);
    }
    return 0;
}

/* No daemon, so it may have one. */
static int
parent_itself(const mp_args *args)
{
    struct shared *s = mp_as_handle(mp_args_item(args, 0), MP_HANDLE_POINTER);
    mp_process *p =
        mp_process_new(deaf, mp_args((void *)s), &(mp_process_options){.daemon = MP_DAEMON_YES});
    check(p && mp_process_start(p) == 0, "a daemon of a child");
    watcher_of_its_parent(args);
    mp_process_kill(p); /* deaf, and the end of this process would wait for it */
    mp_process_free(p);
    return 0;
}

static int
brief(const mp_args *args)
{
    (void)args;
    return 0;
}

static int
slow_task(const void *in, void *out)
{
    (void)in;
    (void)out;
    nap(0.01);
    return 0;
}

/* ---- the victim -------------------------------------------------------------------------------*/

static const char *const methods[] = {"fork", "spawn", "forkserver"};
static const char *method; /* NULL: all, in turn */
static struct shared *shared;

static const mp_context *
context(int i)
{
    return mp_get_context(method ? method : methods[i % 3]);
}

static void
start(int i, mp_target target, mp_args *args, bool daemon)
{
    mp_process *p =
        mp_process_new(target, args,
                       &(mp_process_options){.daemon = daemon ? MP_DAEMON_YES : MP_DAEMON_NO,
                                             .context = context(i)});
    check(p && mp_process_start(p) == 0, "start");
}

static void
start_listener(int i)
{
    mp_connection *mine, *its;
    check(mp_pipe(&mine, &its, true) == 0, "pipe");
    victims_end[ends++] = mine;
    start(i, listener, mp_args((void *)shared, its), false);
    mp_connection_close(its);
}

/* Child number i, of the kind that is its turn; the processes that it makes. */
static int
start_one(int i)
{
    static const mp_target daemons[] = {sleeper, deaf, busy, hungry, locked_out};
    switch (i % 9) {
    case 5:
        start_listener(i);
        return 1;
    case 6:
        start(i, locked_out, mp_args((void *)shared), false);
        return 1;
    case 7:
        start(i, watcher_of_its_parent, mp_args((void *)shared), false);
        return 1;
    case 8:
        start(i, parent_itself, mp_args((void *)shared), false);
        return 2;
    default:
        start(i, daemons[i % 9], mp_args((void *)shared), true);
        return 1;
    }
}

struct lot {
    int from, to, processes;
};

static void *
start_lot(void *arg)
{
    struct lot *l = arg;
    for (int i = l->from; i < l->to; i++) {
        l->processes += start_one(i);
    }
    return NULL;
}

/* Starts that are under way when the victim dies: one half of them are of daemons. */
static void *
start_for_ever(void *arg)
{
    (void)arg;
    for (int i = 0;; i++) {
        mp_process *p =
            mp_process_new(i % 2 ? sleeper : brief, mp_args((void *)shared),
                           &(mp_process_options){.daemon = i % 2 ? MP_DAEMON_YES : MP_DAEMON_NO,
                                                 .context = context(i)});
        check(p && mp_process_start(p) == 0, "start");
        if (i % 2) {
            mp_process_kill(p);
        }
        mp_process_join(p, MP_FOREVER);
        mp_process_free(p);
    }
    return NULL;
}

static void *
map_for_ever(void *arg)
{
    static int in[1000], out[1000];
    for (;;) {
        mp_pool_map_array(arg, slow_task, in, sizeof *in, out, sizeof *out, 1000, NULL);
    }
    return NULL;
}

static MP_NORETURN_ATTR void
be_victim(const char *which)
{
    method = strcmp(which, "all") == 0 ? NULL : which;
    shared = mp_calloc(1, sizeof *shared);
    check(shared && (shared->lock = mp_lock_new()) && (shared->queue = mp_queue_new(0)),
          "what is shared");
    check(mp_lock_acquire(shared->lock, 0) == 0, "the lock");
    struct lot lots[] = {{0, CHILDREN / 2, 0}, {CHILDREN / 2, CHILDREN, 0}};
    pthread_t thread;
    check(pthread_create(&thread, NULL, start_lot, &lots[1]) == 0, "a thread");
    pthread_join(thread, NULL); /* it has ended: its daemons live on */
    start_lot(&lots[0]);
    for (int i = 0; i < 2; i++) {
        mp_pool *pool = mp_pool_new(&(mp_pool_options){.processes = 2, .context = context(i)});
        check(pool != NULL, "a pool");
        if (i == 0) {
            check(pthread_create(&thread, NULL, map_for_ever, pool) == 0, "a thread");
        }
    }
    check(pthread_create(&thread, NULL, start_for_ever, NULL) == 0, "a thread");
    while (atomic_load(&shared->up) < lots[0].processes + lots[1].processes) {
        nap(0.001);
    }
    check(write(STDOUT_FILENO, "!", 1) == 1, "telling");
    for (;;) {
        pause();
    }
}

/* ---- the watcher ------------------------------------------------------------------------------*/

/* Names in a directory that begin so; not those of other tests that run beside us. */
static int
names(const char *directory, const char *begin_with)
{
    int count = 0;
    DIR *dir = opendir(directory);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] != '.' && strncmp(e->d_name, begin_with, strlen(begin_with)) == 0 &&
            strncmp(e->d_name, "mp-test-", 8) != 0) {
            count++;
        }
    }
    if (dir) {
        closedir(dir);
    }
    return count;
}

/* Whether they stay: a name of shared memory that another test makes just now lives an instant. */
static bool
names_stay(const char *directory, const char *begin_with)
{
    int turns = 0;
    while (names(directory, begin_with) > 0 && turns++ < TURNS) {
        nap(0.001);
    }
    return turns > TURNS;
}

/* Reap what falls to us until nothing is left; how many ended, or -1. */
static int
none_left(double until)
{
    for (int count = 0, turns = 0;;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0 && errno == ECHILD) {
            return count;
        }
        count += pid > 0;
        if (pid == 0) {
            if (now() > until && ++turns > TURNS) {
                return -1;
            }
            nap(0.001);
        }
    }
}

/* What stands in /proc of who is left. */
static void
tell_left(void)
{
    char command[120];
    snprintf(command, sizeof command, "ps -o pid,ppid,stat,wchan:20,args --ppid %d >&2",
             (int)getpid());
    if (system(command) != 0) {
        fprintf(stderr, "(no ps)\n");
    }
}

static int
watch_round(const char *self, const char *which, const char *temporary)
{
    int told[2];
    char byte;
    if (pipe(told) < 0) {
        return 2;
    }
    pid_t pid = fork();
    if (pid == 0) {
        dup2(told[1], STDOUT_FILENO);
        close(told[0]);
        close(told[1]);
        setenv("TMPDIR", temporary, 1);
        execl(self, self, "--victim", which, (char *)NULL);
        _exit(71);
    }
    close(told[1]);
    if (read(told[0], &byte, 1) != 1) {
        fprintf(stderr, "orphans: the victim died too early\n");
        kill(pid, SIGKILL);
        return 2;
    }
    nap((double)(rand() % 50) / 1000); /* anywhere in its work */
    kill(pid, SIGKILL);
    double killed = now();
    int count = none_left(killed + PATIENCE);
    close(told[0]);
    if (count < 0) {
        fprintf(stderr, "orphans: %s: after %.1f s there still are:\n", which, PATIENCE);
        tell_left();
        return 1;
    }
    if (names_stay(temporary, "") || names_stay("/dev/shm", "mp-")) {
        fprintf(stderr, "orphans: %s: names are left in %s or /dev/shm\n", which, temporary);
        return 1;
    }
    printf("%s: killed with %d children; none left after %.0f ms\n", which, count - 1,
           (now() - killed) * 1e3);
    return 0;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    if (argc == 3 && strcmp(argv[1], "--victim") == 0) {
        be_victim(argv[2]);
    }
    int rounds = 3, at = 1;
    if (argc > 2 && strcmp(argv[1], "--rounds") == 0) {
        rounds = atoi(argv[2]);
        at = 3;
    }
    const char *which = argc > at ? argv[at] : "all";
    char temporary[] = "/tmp/mp-orphans-XXXXXX";
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || !mkdtemp(temporary)) {
        perror("orphans");
        return 2;
    }
    srand((unsigned)getpid());
    int status = 0;
    for (int i = 0; i < rounds && status == 0; i++) {
        status = watch_round("/proc/self/exe", which, temporary);
    }
    rmdir(temporary);
    return status;
}
