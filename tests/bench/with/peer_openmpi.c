/*
 * peer_openmpi.c: Open MPI's blocking send and receive between two processes of one machine, over
 * shared memory; a program of its own, which mpirun starts twice.  The first one answers as bench.h
 * says of peers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mpi.h>

enum { STREAM, ROUND_TRIP, STOP };

static const struct {
    const char *name;
    int way, size;
} cases[] = {
    {"8 B", STREAM, 8},        {"64 B", STREAM, 64},       {"1 KiB", STREAM, 1024},
    {"64 KiB", STREAM, 65536}, {"1 MiB", STREAM, 1 << 20}, {"8 B round trip", ROUND_TRIP, 8},
};
enum { CASES = sizeof cases / sizeof *cases };

static char data[1 << 20];

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* One side of a round; both know what is asked for. */
static void
side(int me, int way, int size, long ops)
{
    int other = 1 - me;
    for (long i = 0; i < ops; i++) {
        if (me == 0) {
            MPI_Send(data, size, MPI_BYTE, other, 0, MPI_COMM_WORLD);
        } else {
            MPI_Recv(data, size, MPI_BYTE, other, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        }
        if (way == ROUND_TRIP && me == 0) {
            MPI_Recv(data, size, MPI_BYTE, other, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        } else if (way == ROUND_TRIP) {
            MPI_Send(data, size, MPI_BYTE, other, 0, MPI_COMM_WORLD);
        }
    }
}

/* The second process sleeps while nobody asks it: its waits would spin. */
static void
serve(void)
{
    for (long ask[3];;) {
        int there = 0;
        while (!there) {
            MPI_Iprobe(0, 1, MPI_COMM_WORLD, &there, MPI_STATUS_IGNORE);
            if (!there) {
                nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
            }
        }
        MPI_Recv(ask, 3, MPI_LONG, 0, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (ask[0] == STOP) {
            return;
        }
        MPI_Barrier(MPI_COMM_WORLD);
        side(1, (int)ask[0], (int)ask[1], ask[2]);
        double done = now();
        MPI_Send(&done, 1, MPI_DOUBLE, 0, 2, MPI_COMM_WORLD);
    }
}

static double
measure(int which, long ops)
{
    long ask[3] = {cases[which].way, cases[which].size, ops};
    double theirs;
    MPI_Send(ask, 3, MPI_LONG, 1, 1, MPI_COMM_WORLD);
    MPI_Barrier(MPI_COMM_WORLD);
    double began = now();
    side(0, cases[which].way, cases[which].size, ops);
    double done = now();
    MPI_Recv(&theirs, 1, MPI_DOUBLE, 1, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    return ((done > theirs ? done : theirs) - began) / (double)ops;
}

static void
answer(void)
{
    char line[256];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        char *verb = strtok(line, "\t"), *of = strtok(NULL, "\t");
        int which = 0;
        while (which < CASES && (!of || strcmp(cases[which].name, of) != 0)) {
            which++;
        }
        if (verb && strcmp(verb, "round") == 0 && which < CASES) {
            strtok(NULL, "\t");
            char *ops = strtok(NULL, "\t");
            printf("%.3f\n", measure(which, ops ? atol(ops) : 1));
        } else {
            puts(which < CASES ? "ok" : "none");
        }
        fflush(stdout);
    }
    long ask[3] = {STOP, 0, 0};
    MPI_Send(ask, 3, MPI_LONG, 1, 1, MPI_COMM_WORLD);
}

int
main(int argc, char **argv)
{
    int me;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &me);
    if (me == 0) {
        answer();
    } else {
        serve();
    }
    MPI_Finalize();
    return 0;
}
