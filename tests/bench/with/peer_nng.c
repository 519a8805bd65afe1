/*
 * peer_nng.c: nng's pipeline sockets (PUSH, PULL) between two processes, over ipc.
 *
 * A program of its own, which answers as bench.h says of peers: nng ends a process that was forked
 * after its first use, and the contenders of a group are forked from one.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>

static const struct {
    const char *name;
    bool round_trip;
    size_t size;
} cases[] = {
    {"8 B", false, 8},        {"64 B", false, 64},       {"1 KiB", false, 1024},
    {"64 KiB", false, 65536}, {"1 MiB", false, 1 << 20}, {"8 B round trip", true, 8},
};
enum { CASES = sizeof cases / sizeof *cases };

/* Two children and the pipes to them. */
static struct pair {
    pid_t pids[2];
    int requests[2][2], answers[2];
} pairs[CASES];

static char data[1 << 20];

static void
check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "peer_nng: %s\n", what);
        exit(1);
    }
}

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void
send_one(nng_socket s, size_t size)
{
    check(nng_send(s, data, size, 0) == 0, "nng_send");
}

static void
receive_one(nng_socket s, size_t size)
{
    size_t got = size;
    check(nng_recv(s, data, &got, 0) == 0 && got == size, "nng_recv");
}

/* One of the two: its socket for each way, then rounds. */
static void
work(struct pair *p, int which, int me)
{
    nng_socket out, in;
    char url[2][64];
    size_t size = cases[which].size;
    for (int i = 0; i < 2; i++) {
        snprintf(url[i], sizeof url[i], "ipc:///tmp/mp-bench-nng-%d-%d-%d", (int)getppid(), which,
                 i);
    }
    check(nng_push0_open(&out) == 0 && nng_pull0_open(&in) == 0 &&
              nng_socket_set_int(out, NNG_OPT_SENDBUF, 128) == 0 &&
              nng_socket_set_size(in, NNG_OPT_RECVMAXSZ, 0) == 0 &&
              nng_listen(in, url[me], NULL, 0) == 0 &&
              nng_dial(out, url[1 - me], NULL, NNG_FLAG_NONBLOCK) == 0,
          "sockets");
    for (long ops; read(p->requests[me][0], &ops, sizeof ops) == sizeof ops && ops > 0;) {
        for (long i = 0; i < ops; i++) {
            if (me == 0) {
                send_one(out, size);
            } else {
                receive_one(in, size);
            }
            if (cases[which].round_trip && me == 0) {
                receive_one(in, size);
            } else if (cases[which].round_trip) {
                send_one(out, size);
            }
        }
        double done = now();
        check(write(p->answers[1], &done, sizeof done) == sizeof done, "write");
    }
    nng_close(out);
    nng_close(in);
    unlink(url[me] + sizeof "ipc://" - 1);
    _exit(0);
}

static void
open_pair(struct pair *p, int which)
{
    check(pipe(p->requests[0]) == 0 && pipe(p->requests[1]) == 0 && pipe(p->answers) == 0, "pipe");
    for (int me = 0; me < 2; me++) {
        p->pids[me] = fork();
        check(p->pids[me] >= 0, "fork");
        if (p->pids[me] == 0) {
            work(p, which, me);
        }
    }
}

static void
say(struct pair *p, long ops)
{
    for (int i = 0; i < 2; i++) {
        check(write(p->requests[i][1], &ops, sizeof ops) == sizeof ops, "write");
    }
}

static double
measure(struct pair *p, long ops)
{
    double began = now(), done[2];
    say(p, ops);
    for (int i = 0; i < 2; i++) {
        check(read(p->answers[0], &done[i], sizeof *done) == sizeof *done, "a side ended");
    }
    return ((done[0] > done[1] ? done[0] : done[1]) - began) / (double)ops;
}

static void
close_pair(struct pair *p)
{
    say(p, 0);
    for (int i = 0; i < 2; i++) {
        waitpid(p->pids[i], NULL, 0);
        close(p->requests[i][0]);
        close(p->requests[i][1]);
        close(p->answers[i]);
    }
}

int
main(void)
{
    char line[256];
    signal(SIGPIPE, SIG_IGN);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        char *verb = strtok(line, "\t"), *of = strtok(NULL, "\t");
        int which = 0;
        while (which < CASES && (!of || strcmp(cases[which].name, of) != 0)) {
            which++;
        }
        if (!verb || which == CASES) {
            puts("none");
        } else if (strcmp(verb, "round") == 0) {
            strtok(NULL, "\t");
            char *ops = strtok(NULL, "\t");
            printf("%.3f\n", measure(&pairs[which], ops ? atol(ops) : 1));
        } else {
            if (strcmp(verb, "open") == 0) {
                open_pair(&pairs[which], which);
            } else {
                close_pair(&pairs[which]);
            }
            puts("ok");
        }
        fflush(stdout);
    }
    return 0;
}
