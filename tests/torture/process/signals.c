/*
 * signals.c: a storm of signals changes no result.
 *
 *     signals [--rounds N] [--ignore-sigchld] [fork | spawn | forkserver]
 *
 * SIGUSR1 comes a thousand times a second, to a handler that returns and restarts no system call; and
 * this process, its children and its forkserver are stopped and continued at random.  Meanwhile it
 * starts, asks, joins and terminates processes, and uses queues, connections, locks and pools.  With
 * --ignore-sigchld the system takes the statuses of its children: then their exit codes are lost, as
 * is told, and nothing else.
 */
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

#include <mp/mp.h>

#define CHECK(cond) ((cond) ? (void)0 : fail(__LINE__))
#define OK(call)    CHECK((call) >= 0)

static const char *method = "fork";
static bool ignores;
static volatile sig_atomic_t handled;

static MP_NORETURN_ATTR void
fail(int line)
{
    fprintf(stderr, "signals: %s%s, pid %d, line %d failed: %s (errno %s)\n", method,
            ignores ? ", SIGCHLD ignored" : "", (int)getpid(), line, mp_last_error_text(),
            strerror(errno));
    _exit(71);
}

static void
on_signal(int signal_number)
{
    (void)signal_number;
    handled = handled + 1;
}

static void
nap_ns(long ns)
{
    struct timespec t = {.tv_nsec = ns};
    while (nanosleep(&t, &t) < 0 && errno == EINTR) {
    }
}

/* ---- the storm --------------------------------------------------------------------------------*/

/* A random child or grandchild of pid, or itself. */
static pid_t
one_of(pid_t pid, unsigned *random)
{
    pid_t found[64] = {pid};
    int count = 1;
    DIR *dir = opendir("/proc");
    for (struct dirent *e; dir && (e = readdir(dir)) && count < 64;) {
        char path[300], text[512];
        int parent = -1;
        snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
        FILE *f = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? fopen(path, "re") : NULL;
        size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
        text[n] = '\0';
        if (f) {
            fclose(f);
        }
        char *bracket = strrchr(text, ')');
        if (!bracket || sscanf(bracket + 1, " %*c %d", &parent) != 1 ||
            atoi(e->d_name) == getpid()) {
            continue;
        }
        for (int i = 0; i < count; i++) {
            if (parent == found[i]) { /* pids grow, so most grandchildren are found too */
                found[count++] = (pid_t)atoi(e->d_name);
                break;
            }
        }
    }
    if (dir) {
        closedir(dir);
    }
    return found[(*random >> 16) % (unsigned)count];
}

static MP_NORETURN_ATTR void
storm(pid_t target)
{
    unsigned random = (unsigned)getpid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned tick = 0; getppid() == target; tick++) {
        random = random * 1103515245 + 12345;
        kill(target, SIGUSR1);
        if (tick % 16 == 0) {
            pid_t pid = one_of(target, &random);
            kill(pid, SIGSTOP);
            nap_ns(1000000 + (long)(random >> 8) % 3000000);
            kill(pid, SIGCONT);
        }
        nap_ns(1000000);
    }
    _exit(0);
}

/* ---- the work ---------------------------------------------------------------------------------*/

struct shared {
    mp_queue *there, *back;
    mp_lock *lock;
    int count;
};

static int
add_one(const mp_args *args)
{
    struct shared *s = mp_as_handle(mp_args_item(args, 0), MP_HANDLE_POINTER);
    mp_connection *c = mp_as_handle(mp_args_item(args, 1), MP_HANDLE_CONNECTION);
    mp_obj item;
    for (int i = 0; i < 20; i++) {
        OK(mp_queue_get(s->there, &item, MP_FOREVER));
        OK(mp_queue_put(s->back, mp_from(mp_as_int(item) + 1), MP_FOREVER));
        OK(mp_lock_acquire(s->lock, MP_FOREVER));
        s->count++;
        OK(mp_lock_release(s->lock));
    }
    OK(mp_connection_recv(c, &item));
    OK(mp_connection_send(c, item));
    return 7;
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

static int
square(const void *in, void *out)
{
    *(int *)out = *(const int *)in * *(const int *)in;
    return 0;
}

static void
check_code(mp_process *p, int wanted)
{
    int code = 12345, status = mp_process_exitcode(p, &code);
    CHECK(mp_process_is_alive(p) == 0);
    CHECK((status == 0 && code == wanted) || (ignores && status == -ECHILD));
}

static void
work_with_a_child(struct shared *s)
{
    static char big[100000];
    mp_connection *mine, *its;
    mp_obj item;
    OK(mp_pipe(&mine, &its, true));
    mp_process *p = mp_process_new(add_one, mp_args((void *)s, its), NULL);
    CHECK(p);
    OK(mp_process_start(p));
    OK(mp_connection_free(its));
    int before = s->count, sum = 0;
    for (int i = 0; i < 20; i++) {
        OK(mp_queue_put(s->there, mp_from(i), MP_FOREVER));
    }
    for (int i = 0; i < 20; i++) {
        OK(mp_queue_get(s->back, &item, MP_FOREVER));
        sum += (int)mp_as_int(item);
    }
    CHECK(sum == 210);
    OK(mp_connection_send(mine, mp_bytes(big, sizeof big)));
    OK(mp_connection_recv(mine, &item));
    CHECK(mp_obj_len(item) == sizeof big);
    mp_obj_free(item);
    OK(mp_process_join(p, MP_FOREVER));
    check_code(p, 7);
    CHECK(s->count == before + 20);
    OK(mp_process_free(p));
    OK(mp_connection_free(mine));
}

static void
end_a_child(void)
{
    mp_process *p = mp_process_new(hang, NULL, NULL);
    CHECK(p);
    OK(mp_process_start(p));
    CHECK(mp_process_is_alive(p) == 1);
    CHECK(mp_process_join(p, 0.002) == MP_ETIMEOUT);
    OK(mp_process_terminate(p));
    OK(mp_process_join(p, MP_FOREVER));
    check_code(p, -SIGTERM);
    OK(mp_process_free(p));
}

static void
use_a_pool(void)
{
    static int in[2000], out[2000];
    mp_pool *pool = mp_pool_new(&(mp_pool_options){.processes = 2});
    CHECK(pool);
    for (int i = 0; i < 2000; i++) {
        in[i] = i;
    }
    OK(mp_pool_map_array(pool, square, in, sizeof *in, out, sizeof *out, 2000, NULL));
    for (int i = 0; i < 2000; i++) {
        CHECK(out[i] == i * i);
    }
    OK(mp_pool_free(pool));
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    int rounds = 100;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
            rounds = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--ignore-sigchld") == 0) {
            ignores = true;
        } else {
            method = argv[i];
        }
    }
    OK(mp_set_start_method(method, true));
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_signal}, NULL);
    if (ignores) {
        signal(SIGCHLD, SIG_IGN);
    }
    struct shared *s = mp_calloc(1, sizeof *s);
    CHECK(s && (s->there = mp_queue_new(0)) && (s->back = mp_queue_new(0)) &&
          (s->lock = mp_lock_new()));
    pid_t self = getpid(), stormer = fork();
    CHECK(stormer >= 0);
    if (stormer == 0) {
        storm(self);
    }
    for (int i = 0; i < rounds; i++) {
        work_with_a_child(s);
        end_a_child();
        if (i % 8 == 0) {
            use_a_pool();
        }
    }
    kill(stormer, SIGKILL);
    while (waitpid(stormer, NULL, 0) < 0 && errno == EINTR) {
    }
    CHECK(handled > 0);
    struct sigaction now;
    sigaction(SIGUSR1, NULL, &now);
    CHECK(now.sa_handler == on_signal);
    sigaction(SIGCHLD, NULL, &now);
    CHECK(now.sa_handler == (ignores ? SIG_IGN : SIG_DFL));
    printf("%s%s: %d rounds, %d signals\n", method, ignores ? ", SIGCHLD ignored" : "", rounds,
           (int)handled);
    return 0;
}
