/* mp_test.c: the runner around cmocka's: what a process holds, before and after each test. */
#include "mp_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process/process.h"

#define LINE_BYTES 320

/* ---- what the process holds -------------------------------------------------------------------*/

/* One line for each thing, so that a report is the difference of two lists. */
struct holdings {
    char (*lines)[LINE_BYTES];
    size_t count, capacity;
    long threads; /* -1: cannot be told */
    mp_heap_info heap;
};

static void add(struct holdings *h, const char *format, ...) MP_PRINTF(2, 3);

static void
add(struct holdings *h, const char *format, ...)
{
    if (h->count == h->capacity) {
        h->capacity = h->capacity ? 2 * h->capacity : 32;
        h->lines = realloc(h->lines, h->capacity * sizeof *h->lines);
        if (!h->lines) {
            perror("mp_test: out of memory");
            abort();
        }
    }
    va_list ap;
    va_start(ap, format);
    vsnprintf(h->lines[h->count++], LINE_BYTES, format, ap);
    va_end(ap);
}

static void
clear(struct holdings *h)
{
    free(h->lines);
    memset(h, 0, sizeof *h);
}

static bool
contains(const struct holdings *h, const char *line)
{
    for (size_t i = 0; i < h->count; i++) {
        if (strcmp(h->lines[i], line) == 0) {
            return true;
        }
    }
    return false;
}

static void
add_descriptors(struct holdings *h)
{
    DIR *dir = opendir("/proc/self/fd");
    if (!dir) {
        for (int fd = 0; fd < 1024; fd++) {
            if (fcntl(fd, F_GETFD) >= 0) {
                add(h, "descriptor %d", fd);
            }
        }
        return;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        int fd = atoi(e->d_name);
        if (e->d_name[0] == '.' || fd == dirfd(dir)) {
            continue;
        }
        char target[200];
        ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        add(h, "descriptor %d -> %s", fd, target);
    }
    closedir(dir);
}

/* The parent of a process by /proc/PID/stat, -1 when it cannot be told; its name into name. */
static long
parent_of(const char *pid, char name[32])
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    /* "12 (name) S 1 ...": the name may hold anything, also brackets. */
    char *open_bracket = strchr(text, '('), *close_bracket = strrchr(text, ')');
    long parent = -1;
    if (!open_bracket || !close_bracket || sscanf(close_bracket + 1, " %*c %ld", &parent) != 1) {
        return -1;
    }
    *close_bracket = '\0';
    snprintf(name, 32, "%.31s", open_bracket + 1);
    return parent;
}

/* Call visit for the pid of each child that is not reaped; false when /proc does not tell. */
static bool
each_child(void (*visit)(pid_t pid, const char *name, void *arg), void *arg)
{
    DIR *dir = opendir("/proc");
    bool told = false;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char name[32];
        if (e->d_name[0] < '0' || e->d_name[0] > '9') {
            continue;
        }
        told = true;
        if (parent_of(e->d_name, name) == (long)getpid()) {
            visit((pid_t)atol(e->d_name), name, arg);
        }
    }
    if (dir) {
        closedir(dir);
    }
    return told;
}

static void
add_child(pid_t pid, const char *name, void *holdings)
{
    (void)name; /* it changes with exec */
    add(holdings, "child %ld", (long)pid);
}

static void
add_children(struct holdings *h)
{
    if (!each_child(add_child, h)) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0) {
            add(h, "children, running or not reaped");
        }
    }
}

/* Whether it is the name of a test that runs beside this one, "mp-test-PID-...". */
static bool
is_anothers(const char *name)
{
    long owner;
    name += strncmp(name, "sem.", 4) == 0 ? 4 : 0;
    return sscanf(name, "mp-test-%ld-", &owner) == 1 && owner != (long)getpid();
}

static void
add_shared_names(struct holdings *h)
{
    DIR *dir = opendir("/dev/shm");
    for (struct dirent *e; dir && (e = readdir(dir));) {
        struct stat st;
        if (e->d_name[0] != '.' && !is_anothers(e->d_name) &&
            fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_uid == geteuid()) {
            add(h, "name /dev/shm/%.250s", e->d_name);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

static long
count_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    long n = dir ? 0 : -1;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        n += e->d_name[0] != '.';
    }
    if (dir) {
        closedir(dir);
    }
    return n;
}

static void
take_stock(struct holdings *h)
{
    clear(h);
    h->threads = count_threads();
    add_descriptors(h);
    add_children(h);
    add_shared_names(h);
    mp_heap_stats(&h->heap);
}

/*
 * The number of differences, each printed if print.  A test that made the family's heap, which
 * stays, is not asked for the heap and its descriptors.
 */
static int
compare(const struct holdings *before, const struct holdings *after, bool print)
{
    int differences = 0;
    bool made_heap = before->heap.capacity == 0 && after->heap.capacity != 0;
    const struct holdings *sides[] = {before, after};
    for (int s = 0; s < 2; s++) {
        for (size_t i = 0; i < sides[s]->count; i++) {
            const char *line = sides[s]->lines[i];
            bool of_heap = made_heap && strncmp(line, "descriptor", 10) == 0;
            /* Another program's, taken away by itself: a name lives an instant in most of them. */
            bool of_another = s == 0 && strncmp(line, "name ", 5) == 0;
            if (!of_heap && !of_another && !contains(sides[!s], line)) {
                differences++;
                if (print) {
                    print_error("%s: %s\n", s ? "left behind" : "taken away", line);
                }
            }
        }
    }
    if (before->threads != after->threads) {
        differences++;
        if (print) {
            print_error("left behind: threads: %ld before the test, %ld after it\n",
                        before->threads, after->threads);
        }
    }
    if (!made_heap &&
        (before->heap.blocks != after->heap.blocks || before->heap.used != after->heap.used)) {
        differences++;
        if (print) {
            print_error("left behind: heap: %zu blocks of %zu bytes before the test, %zu of %zu "
                        "after it\n",
                        before->heap.blocks, before->heap.used, after->heap.blocks,
                        after->heap.used);
        }
    }
    return differences;
}

/* ---- one test ---------------------------------------------------------------------------------*/

struct record {
    const struct CMUnitTest *test;
    void *state; /* the test's own */
    struct holdings before;
    bool finished; /* the test came to its end: no assertion failed, it was not skipped */
};

static pid_t runner;           /* the process that runs the tests */
static char program[4096];     /* this program, to run it again */
static char temp_dir[4096];    /* of the running test, or "" */
static char running_test[160]; /* its name, for the watchdog */
static struct sigaction crash_actions[5];
static const int crash_signals[5] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS};

/* A child that comes here jumped out of its work with an assertion; the tests are not its own. */
static void
stop_strays(void)
{
    if (getpid() != runner) {
        fprintf(stderr,
                "%s: a child came back into the runner: it failed a cmocka assertion or "
                "returned from the test; use mp_child_check()\n",
                running_test);
        fflush(stderr);
        _exit(MP_CHILD_STRAYED);
    }
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void
remove_temp_dir(void)
{
    if (temp_dir[0]) {
        if (nftw(temp_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0) {
            print_error("mp_test: %s was not removed\n", temp_dir);
        }
        temp_dir[0] = '\0';
    }
}

static void
kill_child(pid_t pid, const char *name, void *before)
{
    char line[64];
    snprintf(line, sizeof line, "child %ld", (long)pid);
    if (!contains(before, line)) {
        print_error("left behind: killed child %ld (%s)\n", (long)pid, name);
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
}

/* Milliseconds that what is just ending gets to be gone: a joined thread, a child that was killed. */
static long
grace_ms(void)
{
    const char *text = getenv("MP_TEST_GRACE_MS");
    return text ? atol(text) : 10000;
}

/* Whether all is as it was before; says what is not. */
static bool
nothing_left(const struct holdings *before)
{
    struct holdings after = {0};
    double until = mp_test_now() + (double)grace_ms() / 1000;
    take_stock(&after);
    while (compare(before, &after, false) > 0 && mp_test_now() < until) {
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        take_stock(&after);
    }
    bool clean = compare(before, &after, true) == 0;
    clear(&after);
    return clean;
}

static int
set_up(void **state)
{
    struct record *r = *state;
    snprintf(running_test, sizeof running_test, "%s", r->test->name);
    mp_test_bounded(MP_TEST_BOUND);
    take_stock(&r->before);
    r->state = r->test->initial_state;
    return r->test->setup_func ? r->test->setup_func(&r->state) : 0;
}

static void
run(void **state)
{
    struct record *r = *state;
    /* cmocka catches crashes by jumping back to its runner, which forked children must not. */
    for (int i = 0; i < 5; i++) {
        sigaction(crash_signals[i], &crash_actions[i], NULL);
    }
    r->test->test_func(&r->state);
    stop_strays();
    r->finished = true;
}

static int
tear_down(void **state)
{
    stop_strays();
    struct record *r = *state;
    int status = r->test->teardown_func ? r->test->teardown_func(&r->state) : 0;
    remove_temp_dir();
    mp__process_settle();
    if (r->finished && !nothing_left(&r->before)) {
        status = -1;
    }
    each_child(kill_child, &r->before);
    clear(&r->before);
    alarm(0);
    return status;
}

static void
hung(int signo)
{
    static const char text[] = ": the test hangs; it is ended with all that it started\n";
    (void)signo;
    if (getpid() == runner) {
        (void)!write(STDERR_FILENO, running_test, strlen(running_test));
        (void)!write(STDERR_FILENO, text, sizeof text - 1);
        kill(0, SIGKILL);
    }
    _exit(MP_CHILD_FAILED);
}

void
mp_test_bounded(unsigned seconds)
{
    alarm(seconds);
}

int
mp_test_main(int argc, char **argv, const struct CMUnitTest *tests, size_t count, bool family)
{
    runner = getpid();
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n < 0) {
        snprintf(program, sizeof program, "%s", argv[0]);
    }
    setpgid(0, 0); /* so that a test that hangs is ended with its children; not ours: no matter */
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = hung}, NULL);
    for (int i = 0; i < 5; i++) {
        sigaction(crash_signals[i], NULL, &crash_actions[i]);
    }
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    if (family) {
        void *block = mp_malloc(1);
        if (!block) {
            fprintf(stderr, "%s: no family: %s\n", argv[0], mp_last_error_text());
            return 1;
        }
        mp_free(block);
    }

    struct CMUnitTest *wrapped = calloc(count, sizeof *wrapped);
    struct record *records = calloc(count, sizeof *records);
    if (!wrapped || !records) {
        perror("mp_test");
        return 1;
    }
    for (size_t i = 0; i < count; i++) {
        records[i].test = &tests[i];
        wrapped[i] = (struct CMUnitTest){.name = tests[i].name,
                                         .test_func = run,
                                         .setup_func = set_up,
                                         .teardown_func = tear_down,
                                         .initial_state = &records[i]};
    }
    int failed = _cmocka_run_group_tests(argv[0], wrapped, count, NULL, NULL);
    free(wrapped);
    free(records);
    return failed;
}

/* ---- for tests and children -------------------------------------------------------------------*/

void
mp_child_fail(const char *file, int line, const char *text)
{
    fprintf(stderr, "%s:%d: in process %ld: not true: %s\n", file, line, (long)getpid(), text);
    fflush(stderr);
    _exit(MP_CHILD_FAILED);
}

/* What a call returned and should have, with libmp's own words, into buf. */
static const char *
explain(char *buf, size_t size, int status, int expected, const char *text)
{
    snprintf(buf, size, "%s is %d (%s), not %d (%s)%s%s", text, status, mp_strerror(status),
             expected, mp_strerror(expected), status < 0 ? ": " : "",
             status < 0 ? mp_last_error_text() : "");
    return buf;
}

void
mp_child_status(int status, int expected, const char *file, int line, const char *text)
{
    char buf[1024];
    if (status != expected) {
        mp_child_fail(file, line, explain(buf, sizeof buf, status, expected, text));
    }
}

void
mp_test_status(int status, int expected, const char *file, int line, const char *text)
{
    char buf[1024];
    if (status != expected) {
        print_error("%s\n", explain(buf, sizeof buf, status, expected, text));
        _fail(file, line);
    }
}

const char *
mp_test_dir(void)
{
    if (!temp_dir[0]) {
        const char *tmp = getenv("TMPDIR");
        snprintf(temp_dir, sizeof temp_dir, "%s/mp-test.XXXXXX", tmp && *tmp ? tmp : "/tmp");
        if (!mkdtemp(temp_dir)) {
            temp_dir[0] = '\0';
            fail_msg("no temporary directory: %s", strerror(errno));
        }
    }
    return temp_dir;
}

int
mp_test_run_self(const char *argument, char *out, size_t cap)
{
    int fds[2], status = -1;
    size_t len = 0;
    if (pipe(fds) != 0) {
        fail_msg("pipe: %s", strerror(errno));
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(fds[1], STDOUT_FILENO);
        dup2(fds[1], STDERR_FILENO);
        dup2(null, STDIN_FILENO);
        close(null);
        close(fds[0]);
        close(fds[1]);
        unsetenv("MP_START_METHOD");
        execl(program, program, argument, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    while (pid > 0) {
        char more[512];
        ssize_t n = read(fds[0], more, sizeof more);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            break;
        }
        size_t room = cap - 1 - len, some = n < 0 ? 0 : (size_t)n < room ? (size_t)n : room;
        memcpy(out + len, more, some);
        len += some;
    }
    out[len] = '\0';
    close(fds[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

double
mp_test_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
