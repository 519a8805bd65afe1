/* bench.c: the contenders' turns, their medians, and what is printed of them. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <mp/mp.h>

enum {
    MOST_CONTENDERS = 256,
    MOST_IN_CASE = 24,
    MOST_PEERS = 8,
    LEAST_ROUNDS = 3,
    MOST_ROUNDS = 999
};

/* Short rounds: the system's scheduler rarely comes into one, and many make a good median. */
#define ROUND_NS 2e6

static const struct bench_contender *contenders[MOST_CONTENDERS];
static size_t contenders_count;

static struct {
    const char *name, *command, *script;
} peers[MOST_PEERS];
static size_t peers_count;

/* Contenders that are not here. */
struct absent {
    const char *name, *why;
};
static struct absent missing[MOST_PEERS]; /* from every case */
static size_t missing_count;

/* A contender in the case that is being measured. */
struct entry {
    const struct bench_contender *own; /* NULL: a peer */
    const char *name, *script;
    void *state;
    long ops; /* in a round */
    double ns[MOST_ROUNDS], quotient[MOST_ROUNDS];
};

void
bench_add(const struct bench_contender *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bench_check(contenders_count < MOST_CONTENDERS, "too many contenders");
        contenders[contenders_count++] = &table[i];
    }
}

void
bench_add_peer(const char *name, const char *command, const char *script)
{
    bench_check(peers_count < MOST_PEERS, "too many peers");
    peers[peers_count].name = name;
    peers[peers_count].command = command;
    peers[peers_count++].script = script;
}

void
bench_add_missing(const char *name, const char *why)
{
    bench_check(missing_count < MOST_PEERS, "too many missing contenders");
    missing[missing_count].name = name;
    missing[missing_count++].why = why;
}

/* ---- for contenders ---------------------------------------------------------------------------*/

int64_t
bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void
bench_check(bool ok, const char *what)
{
    if (!ok) {
        fflush(stdout);
        fprintf(stderr, "bench: %s (libmp's last error: %s)\n", what, mp_last_error_text());
        exit(1);
    }
}

void *
bench_shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bench_check(memory != MAP_FAILED, "mmap");
    return memory;
}

void
bench_shared_free(void *memory, size_t size)
{
    munmap(memory, size);
}

/* ---- one case ---------------------------------------------------------------------------------*/

static double
round_of(struct entry *e, const char *of)
{
    double ns =
        e->own ? e->own->round(e->state, e->ops) : bench_peer_round(e->script, of, e->name, e->ops);
    return ns > 0.01 ? ns : 0.01;
}

/* How many operations make a round of ROUND_NS; its rounds warm the caches too. */
static void
calibrate(struct entry *e, const struct bench_case *c)
{
    e->ops = 1;
    for (;;) {
        /* The best of some: one that was interrupted would make all rounds too short. */
        double took = round_of(e, c->name) * (double)e->ops;
        for (int i = 0; i < 3 && took < ROUND_NS * 8; i++) {
            double again = round_of(e, c->name) * (double)e->ops;
            took = again < took ? again : took;
        }
        if (took >= ROUND_NS * 2 && e->ops > 1) {
            e->ops = (long)((double)e->ops * ROUND_NS / took) + 1;
        }
        if (took >= ROUND_NS * 0.7 || e->ops == c->most) {
            return;
        }
        e->ops *= took < ROUND_NS / 8 ? 4 : 2;
        if (c->most && e->ops > c->most) {
            e->ops = c->most;
        }
    }
}

static struct absent absent[2 * MOST_PEERS]; /* from the case that is being measured */
static size_t absent_count;

/* The contenders that can run, libmp the first. */
static size_t
open_case(const struct bench_case *c, struct entry *entries)
{
    size_t count = 0;
    absent_count = 0;
    for (size_t i = 0; i < contenders_count; i++) {
        const struct bench_contender *own = contenders[i];
        if (strcmp(own->of, c->name) == 0) {
            bench_check(count < MOST_IN_CASE, "too many contenders in a case");
            size_t at = count++;
            if (strcmp(own->name, BENCH_LIBMP) == 0 && at > 0) {
                entries[at] = entries[0];
                at = 0;
            }
            entries[at] = (struct entry){.own = own, .name = own->name};
        }
    }
    for (size_t i = 0; i < count; i++) {
        const struct bench_contender *own = entries[i].own;
        entries[i].state = own->open ? own->open(own->with) : (void *)(uintptr_t)own->with;
    }
    for (size_t i = 0; i < peers_count; i++) {
        const char *why = NULL;
        if (bench_peer_open(peers[i].command, peers[i].script, c->name, peers[i].name, &why)) {
            bench_check(count < MOST_IN_CASE, "too many contenders in a case");
            entries[count++] = (struct entry){.name = peers[i].name, .script = peers[i].script};
        } else if (why) {
            absent[absent_count++] = (struct absent){peers[i].name, why};
        }
    }
    for (size_t i = 0; i < missing_count; i++) {
        absent[absent_count++] = missing[i];
    }
    return count;
}

static void
close_case(const struct bench_case *c, struct entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!entries[i].own) {
            bench_peer_close(entries[i].script, c->name, entries[i].name);
        } else if (entries[i].own->close) {
            entries[i].own->close(entries[i].state);
        }
    }
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double
median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static void
print_case(const char *group, const struct bench_case *c, struct entry *entries, size_t count,
           size_t rounds)
{
    double unit = strcmp(c->unit, "ms") == 0 ? 1e6 : strcmp(c->unit, "us") == 0 ? 1e3 : 1;
    bool have_libmp = count > 0 && strcmp(entries[0].name, BENCH_LIBMP) == 0;
    for (size_t i = 0; i < count; i++) {
        double value = median(entries[i].ns, rounds) / unit;
        printf("%s\t%s\t%s\t%.*f\t%s\t", group, c->name, entries[i].name,
               value < 10    ? 2
               : value < 100 ? 1
                             : 0,
               value, c->unit);
        if (have_libmp) {
            printf("%.2f\n", median(entries[i].quotient, rounds));
        } else {
            printf("-\n");
        }
    }
    for (size_t i = 0; i < absent_count; i++) {
        printf("%s\t%s\t%s\tmissing\t%s\t-\n", group, c->name, absent[i].name, absent[i].why);
    }
    fflush(stdout);
}

/*
 * The contenders in another order each round: in one that only turns, each would always follow the
 * same one, and find the caches as that leaves them.
 */
static void
shuffle(size_t *order, size_t count)
{
    static uint64_t seed = 88172645463325252;
    for (size_t i = count; i > 1; i--) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        size_t other = (size_t)(seed % i), at = order[i - 1];
        order[i - 1] = order[other];
        order[other] = at;
    }
}

static void
measure(const char *group, const struct bench_case *c, int64_t until)
{
    static struct entry entries[MOST_IN_CASE];
    size_t count = open_case(c, entries);
    for (size_t i = 0; i < count; i++) {
        calibrate(&entries[i], c);
    }
    size_t rounds = 0, order[MOST_IN_CASE];
    for (size_t i = 0; i < count; i++) {
        order[i] = i;
    }
    while (count > 0 && (rounds < LEAST_ROUNDS || (rounds < MOST_ROUNDS && bench_now() < until))) {
        shuffle(order, count);
        for (size_t i = 0; i < count; i++) {
            entries[order[i]].ns[rounds] = round_of(&entries[order[i]], c->name);
        }
        for (size_t i = 0; i < count; i++) {
            entries[i].quotient[rounds] = entries[i].ns[rounds] / entries[0].ns[rounds];
        }
        rounds++;
    }
    print_case(group, c, entries, count, rounds);
    close_case(c, entries, count);
}

int
bench_main(int argc, char **argv, const char *group, const struct bench_case *cases, size_t count)
{
    double seconds = 60;
    const char *part = "";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
            seconds = atof(argv[++i]);
        } else if (strcmp(argv[i], "--case") == 0 && i + 1 < argc) {
            part = argv[++i];
        } else {
            fprintf(stderr, "usage: %s [--seconds S] [--case PART_OF_A_NAME]\n", argv[0]);
            return 2;
        }
    }
    size_t chosen = 0;
    for (size_t i = 0; i < count; i++) {
        chosen += strstr(cases[i].name, part) != NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (strstr(cases[i].name, part)) {
            /* What one case saved or wasted, the ones that follow have more or less of. */
            int64_t began = bench_now();
            double share = seconds / (double)chosen;
            measure(group, &cases[i], began + (int64_t)(share * 1e9));
            seconds -= (double)(bench_now() - began) / 1e9;
            seconds = seconds > 0 ? seconds : 0;
            chosen--;
        }
    }
    return 0;
}
