/* peer.c: contenders in other programs, asked for one round at a time over pipes. */
#include "bench.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 8, LINE = 256 };

static struct program {
    const char *script;
    FILE *to, *from; /* NULL: it could not be started */
    char why[LINE];  /* it is missing */
} programs[MOST];
static size_t programs_count;

static void
run(struct program *p, const char *command)
{
    int down[2], up[2];
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", MP_BENCH_DIR, p->script);
    bench_check(pipe(down) == 0 && pipe(up) == 0, "pipe");
    fflush(stdout);
    pid_t pid = fork();
    bench_check(pid >= 0, "fork");
    if (pid == 0) {
        dup2(down[0], 0);
        dup2(up[1], 1);
        close(down[0]);
        close(down[1]);
        close(up[0]);
        close(up[1]);
        setenv("PYTHONDONTWRITEBYTECODE", "1", 1); /* nothing is left beside the scripts */
        execlp(command, command, path, (char *)NULL);
        printf("missing\tcannot run %s\n", command);
        fflush(stdout);
        _exit(127);
    }
    close(down[0]);
    close(up[1]);
    /* So that no process forked later keeps it from seeing the end. */
    fcntl(down[1], F_SETFD, FD_CLOEXEC);
    fcntl(up[0], F_SETFD, FD_CLOEXEC);
    p->to = fdopen(down[1], "w");
    p->from = fdopen(up[0], "r");
    bench_check(p->to && p->from, "fdopen");
}

static struct program *
program_of(const char *script, const char *command)
{
    for (size_t i = 0; i < programs_count; i++) {
        if (strcmp(programs[i].script, script) == 0) {
            return &programs[i];
        }
    }
    bench_check(programs_count < MOST, "too many peers");
    struct program *p = &programs[programs_count++];
    p->script = script;
    signal(SIGPIPE, SIG_IGN);
    run(p, command);
    return p;
}

/* Ask; the answer without its end of line. */
static void
ask(struct program *p, const char *request, char answer[LINE])
{
    fputs(request, p->to);
    fflush(p->to);
    if (!fgets(answer, LINE, p->from)) {
        snprintf(answer, LINE, "missing\t%.200s", p->why[0] ? p->why : "it ended");
    }
    answer[strcspn(answer, "\n")] = '\0';
}

bool
bench_peer_open(const char *command, const char *script, const char *of, const char *name,
                const char **ret_missing)
{
    struct program *p = program_of(script, command);
    char request[LINE], answer[LINE];
    snprintf(request, sizeof request, "open\t%s\t%s\n", of, name);
    ask(p, request, answer);
    if (strncmp(answer, "missing\t", 8) == 0) {
        snprintf(p->why, sizeof p->why, "%.200s", answer + 8);
        *ret_missing = p->why;
        return false;
    }
    bench_check(strcmp(answer, "ok") == 0 || strcmp(answer, "none") == 0, answer);
    return strcmp(answer, "ok") == 0;
}

double
bench_peer_round(const char *script, const char *of, const char *name, long ops)
{
    char request[LINE], answer[LINE], *end;
    snprintf(request, sizeof request, "round\t%s\t%s\t%ld\n", of, name, ops);
    ask(program_of(script, NULL), request, answer);
    double ns = strtod(answer, &end);
    bench_check(end != answer && *end == '\0', answer);
    return ns;
}

void
bench_peer_close(const char *script, const char *of, const char *name)
{
    char request[LINE], answer[LINE];
    snprintf(request, sizeof request, "close\t%s\t%s\n", of, name);
    ask(program_of(script, NULL), request, answer);
    bench_check(strcmp(answer, "ok") == 0, answer);
}
