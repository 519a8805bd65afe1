/*
 * queue_big.c: tests/bench/run queue --big: a message of 2 GiB, by copies and by loan, and a backlog
 * of ten million messages; each with the memory given back afterwards.  It needs 5 GiB of memory and
 * half a minute, so it is no test; it fails when anything is not as it should be.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mp/mp.h>

#include "bench.h"

int queue_big(void);

#define GIB ((size_t)1 << 30)
#define MIB ((size_t)1 << 20)

static size_t
committed(void)
{
    mp_heap_info info;
    bench_check(mp_heap_stats(&info) == 0, "mp_heap_stats");
    return info.committed;
}

static void
say(const char *what, int64_t began, size_t count)
{
    double ns = (double)(bench_now() - began);
    printf("%-44s %8.2f s", what, ns / 1e9);
    if (count) {
        printf(" %8.1f ns a message", ns / (double)count);
    }
    printf(", the heap holds %zu MiB\n", committed() / MIB);
    fflush(stdout);
}

static uint64_t
word(size_t i)
{
    return (uint64_t)i * UINT64_C(0x9E3779B97F4A7C15);
}

static void
fill(void *to, size_t len)
{
    uint64_t *words = to;
    for (size_t i = 0; i < len / 8; i++) {
        words[i] = word(i);
    }
}

static bool
is_filled(const void *from, size_t len)
{
    const uint64_t *words = from;
    for (size_t i = 0; i < len / 8; i++) {
        if (words[i] != word(i)) {
            return false;
        }
    }
    return true;
}

/* Run what in a child, and look at its end. */
static void
in_child(void (*what)(mp_queue *q), mp_queue *q)
{
    fflush(stdout);
    pid_t pid = fork();
    bench_check(pid >= 0, "fork");
    if (pid == 0) {
        what(q);
        _exit(0);
    }
    int status = 0;
    bench_check(waitpid(pid, &status, 0) == pid && status == 0, "a child failed");
}

/* ---- 2 GiB ----------------------------------------------------------------------------------- */

static void
put_big(mp_queue *q)
{
    void *data = malloc(2 * GIB);
    bench_check(data != NULL, "no memory for 2 GiB");
    fill(data, 2 * GIB);
    int64_t began = bench_now();
    bench_check(mp_queue_put_bytes(q, data, 2 * GIB, 0) == 0, "mp_queue_put_bytes");
    say("2 GiB put, by copy", began, 0);
    free(data);
}

static void
get_big(mp_queue *q)
{
    size_t len = 0;
    void *data = malloc(2 * GIB);
    bench_check(data != NULL, "no memory for 2 GiB");
    memset(data, 1, 2 * GIB);
    int64_t began = bench_now();
    bench_check(mp_queue_get_bytes(q, data, 2 * GIB, &len, 0) == 0 && len == 2 * GIB,
                "mp_queue_get_bytes");
    say("2 GiB got, by copy", began, 0);
    bench_check(is_filled(data, len), "2 GiB came changed");
    free(data);
}

static void
lend_big(mp_queue *q)
{
    int64_t began = bench_now();
    void *data = mp_queue_reserve(q, 2 * GIB);
    bench_check(data != NULL, "mp_queue_reserve");
    fill(data, 2 * GIB);
    bench_check(mp_queue_commit(q, data, 2 * GIB, 0) == 0, "mp_queue_commit");
    say("2 GiB made in place", began, 0);
}

static void
borrow_big(mp_queue *q)
{
    const void *data;
    size_t len;
    int64_t began = bench_now();
    bench_check(mp_queue_peek_bytes(q, &data, &len, 0) == 0 && len == 2 * GIB &&
                    is_filled(data, len),
                "mp_queue_peek_bytes");
    bench_check(mp_queue_release(q, data) == 0, "mp_queue_release");
    say("2 GiB read in place", began, 0);
}

/* ---- ten million ----------------------------------------------------------------------------- */

enum { BACKLOG = 10000000 };

static void
put_many(mp_queue *q)
{
    int64_t began = bench_now();
    for (uint64_t i = 0; i < BACKLOG; i++) {
        uint64_t message[4] = {i, word(i), 0, 0};
        bench_check(mp_queue_put_bytes(q, message, sizeof message, 0) == 0, "mp_queue_put_bytes");
    }
    say("10,000,000 messages of 32 B put", began, BACKLOG);
}

static void
get_many(mp_queue *q)
{
    int64_t began = bench_now();
    for (uint64_t i = 0; i < BACKLOG; i++) {
        uint64_t message[4] = {0};
        size_t len;
        bench_check(mp_queue_get_bytes(q, message, sizeof message, &len, 0) == 0 &&
                        len == sizeof message && message[0] == i && message[1] == word(i),
                    "mp_queue_get_bytes");
    }
    say("10,000,000 messages got", began, BACKLOG);
}

/* A get that waits finds nothing, and has the queue give back what it kept. */
static void
check_given_back(mp_queue *q, size_t before)
{
    char byte;
    size_t len;
    bench_check(mp_queue_get_bytes(q, &byte, 1, &len, 0.02) == MP_EEMPTY, "it is not empty");
    size_t now = committed();
    printf("%-44s %zu MiB held, %zu before\n", "given back", now / MIB, before / MIB);
    bench_check(now == 0 || now <= before + 16 * MIB, "the memory was not given back");
}

int
queue_big(void)
{
    mp_queue *q = mp_queue_new(0);
    bench_check(q != NULL, "mp_queue_new");
    size_t before = committed();
    in_child(put_big, q);
    in_child(get_big, q);
    check_given_back(q, before);
    in_child(lend_big, q);
    in_child(borrow_big, q);
    check_given_back(q, before);
    in_child(put_many, q);
    bench_check(mp_queue_qsize(q) == BACKLOG, "mp_queue_qsize");
    in_child(get_many, q);
    check_given_back(q, before);
    bench_check(mp_queue_free(q) == 0, "mp_queue_free");
    return 0;
}
