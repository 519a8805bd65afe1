/*
 * sync.c: locks, semaphores, conditions, events, barriers and shared numbers, beside pthread's,
 * sem_t, C11 atomics, and CPython's multiprocessing.
 *
 * "free": one process takes and gives it, nobody else wants it.
 * "contended": two processes take it, add one to a number, and give it, as fast as they can.
 */
#include "sync.h"

static const struct bench_case cases[] = {
    {"Lock free", "ns", 0},
    {"Lock contended", "ns", 0},
    {"RLock free", "ns", 0},
    {"RLock contended", "ns", 0},
    {"Semaphore free", "ns", 0},
    {"Semaphore contended", "ns", 0},
    {"Condition ping-pong", "ns", 0},
    {"Event ping-pong", "ns", 0},
    {"Barrier of 2", "ns", 0},
    {"Value += 1 free", "ns", 0},
    {"Value += 1 contended", "ns", 0},
};

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    bench_add_peer("CPython", "python3", "peer_sync.py");
    return bench_main(argc, argv, "sync", cases, sizeof cases / sizeof *cases);
}
