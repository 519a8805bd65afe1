/*
 * queue_quick.c - small messages from one process to another: mp_queue beside pipe and socketpair
 *
 * One producer, one consumer, messages of 8 and of 64 bytes, and a round trip of 8; the contenders
 * take turns, and of all rounds the median counts.  Also one thread that puts and gets by itself.
 *
 *     queue_quick [rounds]
 *
 * Prints lines of: queue TAB case TAB contender TAB ns a message TAB ns against mp_queue's
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <mp/mp.h>

enum contender { QUEUE, PIPE, SOCKETPAIR, CONTENDERS };
static const char *const contender_names[] = {"mp_queue", "pipe", "socketpair"};

enum way { STREAM, ROUND_TRIP, ALONE };
static const struct {
    const char *name;
    enum way way;
    size_t size;
    unsigned messages;
} cases[] = {
    {"8 B", STREAM, 8, 400000},
    {"64 B", STREAM, 64, 400000},
    {"8 B round trip", ROUND_TRIP, 8, 20000},
    {"8 B, put and get by one thread", ALONE, 8, 400000},
};
enum { CASES = sizeof cases / sizeof *cases, MOST_ROUNDS = 101 };

/* Two directions; the second only for round trips. */
struct channel {
    enum contender kind;
    mp_queue *queue[2];
    int fds[2][2];
};

static void
check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "queue_quick: %s: %s\n", what, mp_last_error_text());
        exit(1);
    }
}

static int64_t
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void
open_channel(struct channel *c, enum contender kind)
{
    c->kind = kind;
    for (int i = 0; i < 2; i++) {
        if (kind == QUEUE) {
            c->queue[i] = mp_queue_new(0);
            check(c->queue[i] != NULL, "mp_queue_new");
        } else if (kind == PIPE) {
            check(pipe(c->fds[i]) == 0, "pipe");
        } else {
            /* Messages keep their borders, as in a queue. */
            check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, c->fds[i]) == 0, "socketpair");
        }
    }
}

static void
close_channel(struct channel *c)
{
    for (int i = 0; i < 2; i++) {
        if (c->kind == QUEUE) {
            mp_queue_free(c->queue[i]);
        } else {
            close(c->fds[i][0]);
            close(c->fds[i][1]);
        }
    }
}

static void
send_one(struct channel *c, int direction, const void *data, size_t len)
{
    if (c->kind == QUEUE) {
        check(mp_queue_put_bytes(c->queue[direction], data, len, MP_FOREVER) == 0, "put");
    } else {
        check(write(c->fds[direction][1], data, len) == (ssize_t)len, "write");
    }
}

static void
receive_one(struct channel *c, int direction, void *data, size_t len)
{
    size_t got = 0;
    if (c->kind == QUEUE) {
        check(mp_queue_get_bytes(c->queue[direction], data, len, &got, MP_FOREVER) == 0, "get");
    }
    while (c->kind != QUEUE && got < len) { /* a pipe may give a part */
        ssize_t n = read(c->fds[direction][0], (char *)data + got, len - got);
        check(n > 0, "read");
        got += (size_t)n;
    }
    check(got == len, "length");
}

static void
consume(struct channel *c, enum way way, size_t size, unsigned messages)
{
    char data[64];
    for (unsigned i = 0; i < messages; i++) {
        receive_one(c, 0, data, size);
        if (way == ROUND_TRIP) {
            send_one(c, 1, data, size);
        }
    }
    if (way == STREAM) {
        send_one(c, 1, data, size); /* all is here */
    }
}

static void
produce(struct channel *c, enum way way, size_t size, unsigned messages)
{
    char data[64] = "";
    for (unsigned i = 0; i < messages; i++) {
        memcpy(data, &i, sizeof i);
        send_one(c, 0, data, size);
        if (way == ROUND_TRIP || way == ALONE) {
            receive_one(c, way == ROUND_TRIP, data, size);
        }
    }
}

/* Nanoseconds a message. */
static double
run_once(enum contender kind, size_t which)
{
    enum way way = cases[which].way;
    struct channel c;
    open_channel(&c, kind);
    pid_t pid = way == ALONE ? 0 : fork();
    check(pid >= 0, "fork");
    if (pid == 0 && way != ALONE) {
        consume(&c, way, cases[which].size, cases[which].messages);
        _exit(0);
    }
    produce(&c, way, cases[which].size, 100); /* pages and caches are warm, the child runs */
    int64_t start = now_ns();
    produce(&c, way, cases[which].size, cases[which].messages - 100);
    if (way == STREAM) {
        char data[64];
        receive_one(&c, 1, data, cases[which].size); /* the consumer has the last one */
    }
    int64_t ns = now_ns() - start;
    if (pid > 0) {
        int status = -1;
        check(waitpid(pid, &status, 0) == pid && status == 0, "consumer");
    }
    close_channel(&c);
    return (double)ns / (cases[which].messages - 100);
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    int rounds = argc > 1 ? atoi(argv[1]) : 9;
    if (rounds < 1 || rounds > MOST_ROUNDS) {
        fprintf(stderr, "queue_quick: 1 to %d rounds\n", MOST_ROUNDS);
        return 2;
    }
    static double ns[CASES][CONTENDERS][MOST_ROUNDS];
    for (int r = 0; r < rounds; r++) {
        for (size_t i = 0; i < CASES; i++) {
            for (int k = 0; k < CONTENDERS; k++) {
                int turn = (k + r) % CONTENDERS;
                ns[i][turn][r] = run_once((enum contender)turn, i);
            }
        }
    }
    for (size_t i = 0; i < CASES; i++) {
        double median[CONTENDERS];
        for (int k = 0; k < CONTENDERS; k++) {
            qsort(ns[i][k], (size_t)rounds, sizeof(double), compare);
            median[k] = ns[i][k][rounds / 2];
        }
        for (int k = 0; k < CONTENDERS; k++) {
            printf("queue\t%s\t%s\t%.1f\t%.2f\n", cases[i].name, contender_names[k], median[k],
                   median[k] / median[QUEUE]);
        }
    }
    return 0;
}
