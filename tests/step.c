/* step.c: leading a process through an operation with ptrace(). */
#include "step.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined __linux__
#include <sys/user.h>
#endif

#include "mp_test.h"

#include "heap/member.h"

/* A sanitizer's own instructions are most of an operation, and it wants to trace at exit itself. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
static const bool sanitized = true;
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif
#else
static const bool sanitized = false;
#endif

#define LIKE_ROUNDS 8  /* of a loop: all positions in these */
#define LOOP_STRIDE 37 /* and then every so many */
#define NEAR        2  /* instructions before and after a change */
#define LED         64 /* instructions from one call of a frame's led() to the next */

static void
give_up(const char *what)
{
    fprintf(stderr, "step: %s: %s\n", what, strerror(errno));
    fflush(stderr);
    _exit(MP_CHILD_FAILED);
}

/* ---- one victim ------------------------------------------------------------------------------ */

static int
wait_stop(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            give_up("waitpid");
        }
    }
    if (!WIFSTOPPED(status)) {
        fprintf(stderr, "step: the victim ended by itself: status %#x\n", (unsigned)status);
        fflush(stderr);
        _exit(MP_CHILD_FAILED);
    }
    return WSTOPSIG(status);
}

void
step_begin(struct step *s, void (*before)(void *), void (*operation)(void *), void *arg)
{
    *s = (struct step){.pid = fork()};
    if (s->pid < 0) {
        give_up("fork");
    }
    if (s->pid == 0) {
        if (before) {
            before(arg);
        }
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0) {
            _exit(1);
        }
        raise(SIGSTOP);
        operation(arg);
        raise(SIGSTOP);
        _exit(0);
    }
    wait_stop(s->pid);
#if defined __linux__
    ptrace(PTRACE_SETOPTIONS, s->pid, NULL, (void *)PTRACE_O_EXITKILL);
#endif
}

void
step_seize(struct step *s, pid_t pid, bool (*done)(void *), void *arg)
{
#if defined __linux__
    *s = (struct step){.pid = pid, .done = done, .arg = arg};
    if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_EXITKILL) < 0 ||
        ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0) {
        give_up("ptrace: seize");
    }
    wait_stop(pid);
#else
    (void)s, (void)pid, (void)done, (void)arg;
    errno = ENOSYS;
    give_up("ptrace: seize");
#endif
}

/* Of one that was seized: false when it was to go on, and does not, and is done. */
static bool
moves(struct step *s)
{
#if defined __linux__
    for (int i = 0;; i++) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)s->pid, &info, WSTOPPED | WEXITED | WNOWAIT | WNOHANG) != 0 ||
            info.si_pid == s->pid) {
            return true;
        }
        if (i > 20 && s->done(s->arg)) {
            ptrace(PTRACE_INTERRUPT, s->pid, NULL, NULL);
            wait_stop(s->pid);
            return false;
        }
        if (i < 20) {
            sched_yield();
        } else {
            nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
        }
    }
#endif
    return true;
}

/* Let it go on until its next trap or its second stop. */
static void
resume(struct step *s, bool one_instruction)
{
    int signo;
    do { /* the end of a child that it started is no news to anybody */
        if (one_instruction ? ptrace(PTRACE_SINGLESTEP, s->pid, NULL, NULL) < 0
                            : ptrace(PTRACE_CONT, s->pid, NULL, NULL) < 0) {
            give_up("ptrace");
        }
        if (s->done && !moves(s)) {
            s->finished = true;
            return;
        }
        signo = wait_stop(s->pid);
    } while (signo == SIGCHLD);
    if (signo == SIGSTOP) {
        s->finished = true;
    } else if (signo != SIGTRAP) {
        fprintf(stderr, "step: the victim got signal %d (%s)\n", signo, strsignal(signo));
        fflush(stderr);
        _exit(MP_CHILD_FAILED);
    }
}

bool
step_on(struct step *s, long n)
{
    for (; n > 0 && !s->finished; n--) {
        resume(s, true);
    }
    return !s->finished;
}

void
step_kill(struct step *s)
{
    kill(s->pid, SIGKILL);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    if (!s->done) {
        mp__member_reaped(s->pid); /* as the library does it for children of its own */
    }
}

/* Where the victim is, 0: not known on this kind of processor. */
static unsigned long
where(const struct step *s)
{
#if defined __linux__ && defined __x86_64__
    return (unsigned long)ptrace(PTRACE_PEEKUSER, s->pid, (void *)offsetof(struct user, regs.rip),
                                 NULL);
#else
    (void)s;
    return 0;
#endif
}

/* Have the processor stop the victim whenever it comes to address; false: it cannot. */
static bool
watch(const struct step *s, unsigned long address)
{
#if defined __linux__ && defined __x86_64__
    return ptrace(PTRACE_POKEUSER, s->pid, (void *)offsetof(struct user, u_debugreg[0]),
                  (void *)address) == 0 &&
           ptrace(PTRACE_POKEUSER, s->pid, (void *)offsetof(struct user, u_debugreg[7]),
                  (void *)1) == 0;
#else
    (void)s, (void)address;
    return false;
#endif
}

static void
nothing(void *arg)
{
    (void)arg;
}

bool
step_possible(void)
{
    if (sanitized) {
        return false;
    }
    pid_t pid = fork();
    if (pid == 0) {
        struct step s;
        step_begin(&s, NULL, nothing, NULL);
        step_on(&s, 1);
        step_kill(&s);
        _exit(0);
    }
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- all victims ----------------------------------------------------------------------------- */

/* A place on the way through an operation, named twice. */
struct position {
    long n;                /* so many instructions into it */
    unsigned long address; /* and: the visit number `times` to this address; 0: not known */
    int times;
    bool changed; /* by the instruction before it, or by the one after it, a system call */
};

struct plan {
    struct position *at;
    long count, room;
};

/* How often the operation has been at an address: a table with open addressing. */
#define VISITED_BITS 14
#define VISITED      (1 << VISITED_BITS)
struct visits {
    unsigned long address[VISITED];
    int times[VISITED];
};

static int
visit(struct visits *v, unsigned long address)
{
    size_t i = address * UINT64_C(0x9E3779B97F4A7C15) >> (64 - VISITED_BITS);
    while (v->address[i] != 0 && v->address[i] != address) {
        i = (i + 1) % VISITED;
    }
    v->address[i] = address;
    return ++v->times[i];
}

static void
plan_add(struct plan *p, struct position at)
{
    if (p->count == p->room) {
        p->room = p->room ? 2 * p->room : 1024;
        p->at = realloc(p->at, (size_t)p->room * sizeof *p->at);
        if (!p->at) {
            give_up("realloc");
        }
    }
    p->at[p->count++] = at;
}

static int
stride_of(const struct step_case *c)
{
    return c->stride > 1 ? c->stride : 1;
}

/* Whether it stands before a system call. */
static bool
before_call(const struct step *s, unsigned long address)
{
#if defined __linux__ && defined __x86_64__
    errno = 0;
    long word = ptrace(PTRACE_PEEKTEXT, s->pid, (void *)address, NULL);
    return errno == 0 && (word & 0xffff) == 0x050f;
#else
    (void)s, (void)address;
    return true;
#endif
}

/* Leave of a plan those near a change, and every far-th of the others. */
static void
leave_near(struct plan *p, int far)
{
    long count = 0, others = 0;
    for (long i = 0, next = 0, last = -NEAR - 1; i < p->count; i++) {
        for (next = next > i ? next : i; next < p->count && !p->at[next].changed; next++) {
        }
        bool near = i - last <= NEAR || (next < p->count && next - i <= NEAR);
        last = p->at[i].changed ? i : last;
        if (near || others++ % far == 0) {
            p->at[count++] = p->at[i];
        }
    }
    p->count = count;
}

/* Lead a victim that has begun to its end and note the positions, from the first-th on. */
static void
make_plan(const struct step_case *c, struct step *s, int stride, int first, struct plan *p)
{
    uint64_t state = c->state ? c->state(c->arg) : 0;
    struct visits *v = calloc(1, sizeof *v);
    long wanted = 0;
    if (!v) {
        give_up("calloc");
    }
    p->count = 0;
    for (long n = 0; !s->finished; n++) {
        struct position at = {.n = n, .address = where(s)};
        if (c->state) {
            uint64_t was = state;
            state = c->state(c->arg);
            at.changed = state != was || before_call(s, at.address);
        }
        if (at.address != 0) {
            at.times = visit(v, at.address);
        }
        if (at.times <= LIKE_ROUNDS || n % LOOP_STRIDE == 0) {
            if (wanted++ % stride == first % stride) {
                plan_add(p, at);
            }
        }
        if (c->led && n % LED == LED - 1) {
            c->led(c->arg);
        }
        step_on(s, 1);
    }
    free(v);
    if (c->state) {
        leave_near(p, c->far);
    }
}

/*
 * Lead a victim that has begun to a position: with a breakpoint of the processor at its address if
 * there is one, which takes a stop for each visit, else with a stop for each instruction.
 */
static void
lead(struct step *s, const struct position *at)
{
    if (at->n == 0 || at->address == 0 || !watch(s, at->address)) {
        step_on(s, at->n);
        return;
    }
    for (int i = 0; i < at->times && !s->finished; i++) {
        resume(s, false);
    }
}

/* Leave so many of the plan, beginning with another one for each `which`; most 0: all. */
static void
thin(struct plan *p, long most, long which)
{
    if (most <= 0 || p->count <= most) {
        return;
    }
    for (long i = 0; i < most; i++) {
        long from = p->count * i / most, to = p->count * (i + 1) / most;
        p->at[i] = p->at[from + which % (to - from)];
    }
    p->count = most;
}

static const char *
tell(const struct step_case *c, struct step_result *r, const char *wrong, long at, long second)
{
    if (wrong) {
        r->wrong++;
        if (!c->go_on) {
            fprintf(stderr, "%s: killed after %ld instructions", c->name, at);
            if (second >= 0) {
                fprintf(stderr, ", then in the recovery after %ld", second);
            }
            fprintf(stderr, ": %s\n", wrong);
            fflush(stderr);
        }
    }
    return c->go_on ? NULL : wrong;
}

static void
announce(const struct step_case *c, long which, long first, long second)
{
    if (c->at) {
        c->at(c->arg, &(struct step_at){.which = which, .first = first, .second = second});
    }
}

static void
begin(const struct step_case *c, struct step *s)
{
    if (c->set_up) {
        c->set_up(c->arg);
    }
    if (c->seize) {
        step_seize(s, c->seize(c->arg), c->done, c->arg);
    } else {
        step_begin(s, c->before, c->operation, c->arg);
    }
    if (c->begun) {
        c->begun(c->arg, s->pid);
    }
    if (c->seize) {
        c->operation(c->arg);
    }
}

static void
begin_recovery(const struct step_case *c, struct step *s)
{
    step_begin(s, c->before_recovery ? c->before_recovery : c->before, c->recovery, c->arg);
}

static void
end(const struct step_case *c, struct step *s)
{
    step_kill(s);
    if (c->killed) {
        c->killed(c->arg);
    }
}

/* One victim killed at a position.  Whether its operation had come to its end. */
static bool
kill_at(const struct step_case *c, const struct position *at)
{
    struct step s;
    begin(c, &s);
    lead(&s, at);
    if (c->stands) {
        c->stands(c->arg, s.pid);
    }
    end(c, &s);
    return s.finished;
}

/*
 * The second victims: at every position of the recovery from a first one killed at `at`, the
 * which-th of these.  With a stride, each begins at another instruction, so none is left out.
 */
static const char *
kill_twice(const struct step_case *c, struct step_result *r, const struct position *at, int which,
           struct plan *second)
{
    struct step s;
    announce(c, -1, at->n, -1);
    bool finished = kill_at(c, at);
    begin_recovery(c, &s);
    make_plan(c, &s, stride_of(c), which, second);
    thin(second, c->most > 0 ? 1 + c->most / c->spread : 0, which);
    end(c, &s);
    const char *wrong = tell(c, r, c->check(c->arg, finished), at->n, -1);
    for (long i = 0; i < second->count && !wrong; i++) {
        if (r->positions++ < c->from) {
            continue;
        }
        announce(c, r->positions - 1, at->n, second->at[i].n);
        finished = kill_at(c, at);
        begin_recovery(c, &s);
        lead(&s, &second->at[i]);
        end(c, &s);
        wrong = tell(c, r, c->check(c->arg, finished), at->n, second->at[i].n);
    }
    return wrong;
}

struct step_result
step_all(const struct step_case *c)
{
    struct step_result r = {0, 0};
    struct plan p = {0}, second = {0};
    struct step s;
    double start = mp_test_now();
    announce(c, -1, -1, -1);
    begin(c, &s);
    make_plan(c, &s, c->recovery ? 1 : stride_of(c), 0, &p);
    end(c, &s);
    const char *wrong = c->check(c->arg, true);
    wrong = c->go_on ? NULL : tell(c, &r, wrong, -1, -1);
    if (c->recovery) {
        for (int i = 0; i < c->spread && !wrong; i++) {
            wrong = kill_twice(c, &r, &p.at[p.count * i / c->spread], i, &second);
        }
    } else {
        thin(&p, c->most, 0);
        for (long i = 0; i < p.count && !wrong; i++) {
            if (r.positions++ < c->from) {
                continue;
            }
            announce(c, i, p.at[i].n, -1);
            bool finished = kill_at(c, &p.at[i]);
            wrong = tell(c, &r, c->check(c->arg, finished), p.at[i].n, -1);
        }
    }
    free(p.at);
    free(second.at);
    if (getenv("MP_TEST_STEP_VERBOSE")) {
        fprintf(stderr, "%s: %ld positions, %ld wrong, %.1f s\n", c->name, r.positions, r.wrong,
                mp_test_now() - start);
    }
    return r;
}

/* ---- measuring ------------------------------------------------------------------------------- */

void
step_waited(struct step_waits *w, double seconds)
{
    w->count++;
    w->long_ones += seconds > w->bound;
    w->longest = seconds > w->longest ? seconds : w->longest;
}

const char *
step_waits_wrong(const struct step_waits *w)
{
    static char text[120];
    if (w->long_ones <= 2 + w->count / 1000) {
        return NULL;
    }
    snprintf(text, sizeof text, "%ld of %ld survivors waited above %.3f s, one of them %.3f s",
             w->long_ones, w->count, w->bound, w->longest);
    return text;
}

/* ---- a family of its own --------------------------------------------------------------------- */

/* The child's stderr comes through here: a file may be beyond a limit that the child set itself. */
static void
pass_on(int fd)
{
    char text[512];
    ssize_t n;
    while ((n = read(fd, text, sizeof text)) > 0 || (n < 0 && errno == EINTR)) {
        if (n > 0) {
            fwrite(text, 1, (size_t)n, stderr);
        }
    }
    fflush(stderr);
    close(fd);
}

int
step_family(void (*body)(void *), void *arg)
{
    int status = 0, fds[2];
    if (pipe(fds) != 0) {
        return -1;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        close(fds[1]);
        body(arg);
        fflush(NULL);
        _exit(0);
    }
    close(fds[1]);
    pass_on(fds[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return pid < 0 ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
