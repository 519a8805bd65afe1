/*
 * wordcount.c: the whole of examples/wordcount on a text of 8 MiB, from its start to its end, beside
 * the same counting in a plain loop (wordcount_plain.c) and CPython's Pool.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mp/mp.h>

#include "bench.h"

#define TEXT_BYTES (8 << 20)

extern char **environ;
static char text_dir[] = "/tmp/mp-bench-XXXXXX";
static char text_path[sizeof text_dir + 16];

static void
remove_text(void)
{
    unlink(text_path);
    rmdir(text_dir);
}

/* Some 5000 words in lower case, few of them often and most of them rarely, as in a language. */
static void
write_text(void)
{
    bench_check(mkdtemp(text_dir) != NULL, "a directory in /tmp");
    snprintf(text_path, sizeof text_path, "%s/text", text_dir);
    FILE *f = fopen(text_path, "w");
    bench_check(f != NULL, text_path);
    uint64_t seed = 1;
    for (long written = 0; written < TEXT_BYTES;) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint64_t word = 5000 / (1 + (seed >> 33) % 5000) * 37 + (seed >> 50) % 40;
        char letters[16];
        int n = 0;
        do {
            letters[n++] = (char)('a' + word % 26);
            word /= 26;
        } while (word);
        letters[n++] = (seed >> 40) % 12 ? ' ' : '\n';
        written += (long)fwrite(letters, 1, (size_t)n, f);
    }
    bench_check(fclose(f) == 0, text_path);
}

static double
round_of_program(void *state, long ops)
{
    char **argv = state;
    posix_spawn_file_actions_t actions;
    bench_check(posix_spawn_file_actions_init(&actions) == 0 &&
                    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0) == 0,
                "file actions");
    int64_t began = bench_now();
    for (long i = 0; i < ops; i++) {
        pid_t pid;
        int status = -1;
        bench_check(posix_spawn(&pid, argv[0], &actions, NULL, argv, environ) == 0 &&
                        waitpid(pid, &status, 0) == pid && status == 0,
                    argv[0]);
    }
    int64_t took = bench_now() - began;
    posix_spawn_file_actions_destroy(&actions);
    return (double)took / (double)ops;
}

static char *one[] = {(char[]){MP_BENCH_WORDCOUNT}, (char[]){"-j"}, (char[]){"1"}, text_dir, NULL};
static char *two[] = {(char[]){MP_BENCH_WORDCOUNT}, (char[]){"-j"}, (char[]){"2"}, text_dir, NULL};
static char *plain[] = {(char[]){MP_BENCH_WORDCOUNT_PLAIN}, text_dir, NULL};

static const struct bench_contender programs[] = {
    {"8 MiB, 1 worker", BENCH_LIBMP, NULL, round_of_program, NULL, one},
    {"8 MiB, 1 worker", "plain loop", NULL, round_of_program, NULL, plain},
    {"8 MiB, 2 workers", BENCH_LIBMP, NULL, round_of_program, NULL, two},
    {"8 MiB, 2 workers", "plain loop", NULL, round_of_program, NULL, plain},
};
BENCH_CONTENDERS(programs)

static const struct bench_case cases[] = {
    {"8 MiB, 1 worker", "ms", 1},
    {"8 MiB, 2 workers", "ms", 1},
};

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    write_text();
    atexit(remove_text);
    bench_check(setenv("MP_BENCH_TEXT", text_path, 1) == 0, "setenv");
    bench_add_peer("CPython Pool", "python3", "peer_wordcount.py");
    return bench_main(argc, argv, "wordcount", cases, sizeof cases / sizeof *cases);
}
