/*
 * The resource tracker: who is its client, what it unlinks and says, what its exit code is, and that
 * neither signals nor deaths nor hostile lines confuse it.
 */
#include "helpers/process.h"
#include "helpers/names.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* The process that reads from this pipe; -1 when none is seen. */
static pid_t
find_reader(const struct stat *pipe_st)
{
    DIR *proc = opendir("/proc");
    pid_t found = -1;
    for (struct dirent *e; proc && found < 0 && (e = readdir(proc));) {
        char path[300];
        snprintf(path, sizeof path, "/proc/%s/fd", e->d_name);
        DIR *dir = e->d_name[0] > '0' && e->d_name[0] <= '9' && atol(e->d_name) != (long)getpid()
                       ? opendir(path)
                       : NULL;
        bool reads = false;
        for (struct dirent *d; dir && (d = readdir(dir));) {
            struct stat st, link;
            reads |= fstatat(dirfd(dir), d->d_name, &st, 0) == 0 && S_ISFIFO(st.st_mode) &&
                     st.st_ino == pipe_st->st_ino &&
                     fstatat(dirfd(dir), d->d_name, &link, AT_SYMLINK_NOFOLLOW) == 0 &&
                     (link.st_mode & S_IRUSR) && !(link.st_mode & S_IWUSR);
        }
        found = reads ? (pid_t)atol(e->d_name) : found;
        if (dir) {
            closedir(dir);
        }
    }
    if (proc) {
        closedir(proc);
    }
    return found;
}

/* The tracker of this process.  While it is just being made its descriptors move under our look. */
static pid_t
find_tracker(void)
{
    struct stat pipe_st;
    pid_t found;
    assert_int_equal(fstat(mp_resource_tracker_getfd(), &pipe_st), 0);
    while ((found = find_reader(&pipe_st)) < 0) {
        nap();
    }
    return found;
}

/* What the tracker said; begin before it is started. */
static struct capture captured;
static char said[600000];

static int
stop_and_hear(void)
{
    int code = stop();
    capture_end(&captured, said, sizeof said);
    return code;
}

static int
times_said(const char *text)
{
    int n = 0;
    for (const char *at = said; (at = strstr(at, text)); at++) {
        n++;
    }
    return n;
}

/* ---- its life -------------------------------------------------------------------------------- */

static void
test_tracker_runs_on_demand_and_is_one(void **state)
{
    (void)state;
    mp_assert_code(mp_resource_tracker_stop(0, NULL), MP_NOT_YET);
    mp_assert_ok(mp_resource_tracker_ensure_running());
    int fd = mp_resource_tracker_getfd();
    assert_true(fd > 2);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    pid_t tracker = find_tracker();
    mp_assert_ok(mp_resource_tracker_ensure_running());
    assert_int_equal(mp_resource_tracker_getfd(), fd);
    assert_int_equal(find_tracker(), tracker);
    assert_int_equal(stop(), MP_TRACKER_CLEAN);
    assert_true(fcntl(fd, F_GETFD) < 0);
    assert_int_equal(state_of(tracker), 0);
    mp_assert_code(mp_resource_tracker_stop(0, NULL), MP_NOT_YET);
}

static int
descriptors_of(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/fd", (long)pid);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    int count = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        count += e->d_name[0] != '.';
    }
    closedir(dir);
    return count;
}

static void
test_tracker_holds_nothing_of_the_programs(void **state)
{
    (void)state;
    int mine = open("/dev/null", O_RDONLY);
    assert_true(mine >= 0); /* not close-on-exec */
    mp_assert_ok(mp_resource_tracker_ensure_running());
    pid_t tracker = find_tracker();
    while (descriptors_of(tracker) != 4) { /* the three, and its pipe; it may be closing yet */
        nap();
    }
    close(mine);
    assert_int_equal(stop(), MP_TRACKER_CLEAN);
}

static void
test_tracker_ended_by_the_end_in_order(void **state)
{
    (void)state;
    mp_assert_ok(mp_resource_tracker_ensure_running());
    pid_t tracker = find_tracker();
    mp__process_settle();
    assert_int_equal(state_of(tracker), 0);
}

static void
test_tracker_stop_waits_for_other_clients(void **state)
{
    (void)state;
    int code = -1;
    int other = fcntl(mp_resource_tracker_getfd(), F_DUPFD_CLOEXEC, 3);
    assert_true(other > 2);
    mp_assert_ok(mp_resource_tracker_register("a", "dummy"));
    mp_assert_code(mp_resource_tracker_stop(0.02, &code), MP_ETIMEOUT);
    mp_assert_code(mp_resource_tracker_stop(0, NULL), MP_ETIMEOUT);
    assert_int_equal(code, -1);
    close(other);
    nap(); /* it may have ended before it is asked for: told all the same, and once */
    mp_assert_ok(mp_resource_tracker_stop(20, &code));
    assert_int_equal(code, MP_TRACKER_LEAKED);
    mp_assert_code(mp_resource_tracker_stop(20, &code), MP_NOT_YET);
    mp_assert_code(mp_resource_tracker_stop((double)NAN, NULL), MP_EVALUE);
}

static void
test_tracker_new_one_while_the_old_leaves(void **state)
{
    (void)state;
    int other = fcntl(mp_resource_tracker_getfd(), F_DUPFD_CLOEXEC, 3);
    pid_t old = find_tracker();
    mp_assert_code(mp_resource_tracker_stop(0, NULL), MP_ETIMEOUT);
    mp_assert_ok(mp_resource_tracker_ensure_running());
    assert_int_not_equal(find_tracker(), old);
    assert_true(is_running(old));
    close(other);
    assert_int_equal(stop(), MP_TRACKER_CLEAN);
    while (state_of(old) && state_of(old) != 'Z') {
        nap();
    }
    mp__process_settle();
    assert_int_equal(state_of(old), 0);
}

/* ---- what it unlinks ------------------------------------------------------------------------- */

static void
test_tracker_unlinks_what_is_left_and_says_so_once_a_type(void **state)
{
    (void)state;
    char a[NAME_BYTES], b[NAME_BYTES], c[NAME_BYTES], kept[NAME_BYTES], expected[400];
    new_name(a), new_name(b), new_name(c), new_name(kept);
    capture_begin(&captured, 2);
    const char *const shm[] = {a, b, kept};
    for (int i = 0; i < 3; i++) {
        make_shm(shm[i]);
        mp_assert_ok(mp_resource_tracker_register(shm[i], "shared_memory"));
        mp_assert_ok(mp_resource_tracker_register(shm[i], "shared_memory")); /* a set */
    }
    sem_t *s = sem_open(c, O_CREAT | O_EXCL, 0600, 1);
    assert_true(s != SEM_FAILED);
    sem_close(s);
    mp_assert_ok(mp_resource_tracker_register(c, "semaphore"));
    mp_assert_ok(mp_resource_tracker_unregister(kept, "shared_memory"));
    int code = stop_and_hear();
    bool kept_it = shm_exists(kept);
    shm_unlink(kept);
    assert_int_equal(code, MP_TRACKER_LEAKED);
    assert_true(kept_it);
    assert_false(shm_exists(a));
    assert_false(shm_exists(b));
    assert_true(sem_open(c, 0) == SEM_FAILED);
    snprintf(
        expected, sizeof expected,
        ": UserWarning: resource_tracker: There appear to be 2 leaked shared_memory objects to "
        "clean up at shutdown: {'%s', '%s'}\n",
        a, b);
    assert_int_equal(times_said(expected), 1);
    snprintf(expected, sizeof expected,
             ": UserWarning: resource_tracker: There appear to be 1 leaked semaphore objects to "
             "clean up at shutdown: {'%s'}\n",
             c);
    assert_int_equal(times_said(expected), 1);
    assert_int_equal(times_said("\n"), 2);
}

static void
test_tracker_nothing_left_says_nothing(void **state)
{
    (void)state;
    capture_begin(&captured, 2);
    for (int i = 0; i < 3000; i++) { /* names of all sizes, which are used again */
        char name[300];
        memset(name, 'x', sizeof name);
        snprintf(name + i % 280, 20, "%d", i);
        mp_assert_ok(mp_resource_tracker_register(name, i % 2 ? "semaphore" : "shared_memory"));
        mp_assert_ok(mp_resource_tracker_unregister(name, i % 2 ? "semaphore" : "shared_memory"));
    }
    assert_int_equal(stop_and_hear(), MP_TRACKER_CLEAN);
    assert_string_equal(said, "");
}

static void
test_tracker_exit_codes(void **state)
{
    (void)state;
    char name[NAME_BYTES], expected[400];
    capture_begin(&captured, 2);
    mp_assert_ok(mp_resource_tracker_register("x", "dummy"));
    assert_int_equal(stop_and_hear(), MP_TRACKER_LEAKED);
    assert_string_equal(said, ""); /* as Python's: no warning for it */

    new_name(name);
    capture_begin(&captured, 2);
    mp_assert_ok(mp_resource_tracker_register(name, "shared_memory")); /* gone already */
    mp_assert_ok(mp_resource_tracker_register(name, "semaphore"));
    assert_int_equal(stop_and_hear(), MP_TRACKER_FAILED);
    snprintf(expected, sizeof expected,
             "UserWarning: resource_tracker: '%s': [Errno %d] No such file or directory", name,
             ENOENT);
    assert_int_equal(times_said(expected), 2);

    capture_begin(&captured, 2);
    mp_assert_ok(mp_resource_tracker_unregister("/never-there", "semaphore"));
    assert_int_equal(stop_and_hear(), MP_TRACKER_MALFORMED);
    assert_string_equal(said, "KeyError: '/never-there'\n");

    capture_begin(&captured, 2);
    mp_assert_ok(mp_resource_tracker_register("/x", "folder"));
    assert_int_equal(stop_and_hear(), MP_TRACKER_MALFORMED);
    assert_string_equal(said, "ValueError: Cannot register /x for automatic cleanup: unknown "
                              "resource type folder\n");

    capture_begin(&captured, 2);
    mp_assert_ok(mp_resource_tracker_register("x", "noop"));
    assert_int_equal(stop_and_hear(), MP_TRACKER_FAILED);
    assert_int_equal(times_said("'x': noop should never be registered or cleaned up\n"), 1);
}

static void
test_tracker_names_of_any_characters(void **state)
{
    (void)state;
    static const char *const names[] = {
        "a:b",        "a\nb", ":",   "\n:",  "it's \\ \"it\"\t",
        "ae\xcc\x88", "",     " x ", "a:b:", "REGISTER:x:dummy\nREGISTER:y:dummy"};
    char longest[256];
    memset(longest, ':', 255);
    longest[255] = '\0';
    capture_begin(&captured, 2);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        mp_assert_ok(mp_resource_tracker_register(names[i], "dummy"));
        mp_assert_ok(mp_resource_tracker_register(names[i], "semaphore"));
        mp_assert_ok(mp_resource_tracker_unregister(names[i], "dummy"));
        mp_assert_ok(mp_resource_tracker_unregister(names[i], "semaphore"));
    }
    mp_assert_ok(mp_resource_tracker_register(longest, "shared_memory"));
    mp_assert_ok(mp_resource_tracker_unregister(longest, "shared_memory"));
    int code = stop_and_hear();
    assert_string_equal(said, "");
    assert_int_equal(code, MP_TRACKER_CLEAN);
}

static void
test_tracker_names_that_are_too_long(void **state)
{
    (void)state;
    char name[600];
    memset(name, 'x', sizeof name);
    name[512] = '\0';
    mp_assert_code(mp_resource_tracker_register(name, "dummy"), MP_EVALUE);
    assert_non_null(strstr(mp_last_error_text(), "too long"));
    size_t most = 512 - strlen("UNREGISTER::dummy\n");
    name[most + 1] = '\0';
    mp_assert_code(mp_resource_tracker_unregister(name, "dummy"), MP_EVALUE);
    name[most] = '\0';
    mp_assert_ok(mp_resource_tracker_register(name, "dummy"));
    mp_assert_ok(mp_resource_tracker_unregister(name, "dummy"));
    memset(name, 'x', sizeof name);
    name[0] = ':';
    name[256] = '\0';
    mp_assert_code(mp_resource_tracker_register(name, "dummy"), MP_EVALUE);
    mp_assert_code(mp_resource_tracker_register(NULL, "dummy"), MP_EVALUE);
    mp_assert_code(mp_resource_tracker_register("x", NULL), MP_EVALUE);
    mp_assert_code(mp_resource_tracker_register("x", "du:mmy"), MP_EVALUE);
    mp_assert_code(mp_resource_tracker_register("x", "dummy\nREGISTER:y:dummy"), MP_EVALUE);
    mp_assert_code(mp_resource_tracker_register("x", "\""), MP_EVALUE);
    assert_int_equal(stop(), MP_TRACKER_CLEAN);
}

/* ---- hostile clients ------------------------------------------------------------------------- */

static void
test_tracker_survives_hostile_lines(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "\n",
        ":\n",
        "::\n",
        "REGISTER\n",
        "REGISTER:x\n",
        "REGISTER:x:\n",
        "register:x:dummy\n",
        "REGISTER:x:dummy:\n",
        "DELETE:x:dummy\n",
        "REGISTER:\xff:dummy\n",
        "{\n",
        "{}\n",
        "{]\n",
        "{\"cmd\":\"REGISTER\"}\n",
        "{\"rtype\":\"dummy\"}\n",
        "{\"cmd\":1,\"rtype\":\"dummy\"}\n",
        "{\"cmd\":\"REGISTER\",\"rtype\":\"dummy\",\"base64_name\":\"a\"}\n",
        "{\"cmd\":\"REGISTER\",\"rtype\":\"dummy\",\"base64_name\":\"!!!!\"}\n",
        "{\"cmd\":\"REGISTER\",\"rtype\":\"dummy\",\"base64_name\":\"AAAA\"}\n",
        "{\"cmd\":\"REGISTER\",\"rtype\":\"dummy\",\"base64_name\":\"eA==\"\n",
        "{\"cmd\":\"REGISTER\",\"rtype\":\"dummy\",\"base64_name\":\"eA==\"} x\n",
        "{\"cmd\":\"REGISTER\",\"rtype\":\"dummy\",\"base64_name\":\"e===\"}\n",
        "{\"cmd\":\"REGISTER\",\"rtype\":\"dummy\\\n",
        "{\"cmd\":\"\\u\"}\n",
        "{\"cmd\":\"\\ud800\"}\n",
        "{\"cmd\":\"REGISTER\",}\n",
        "{\"cmd\"\n",
        "{\"\n",
        "{\"cmd\":\"\\q\",\"rtype\":\"dummy\"}\n",
    };
    enum { COUNT = sizeof lines / sizeof *lines };
    char name[NAME_BYTES], line[9000];
    capture_begin(&captured, 2);
    int fd = mp_resource_tracker_getfd();
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(write(fd, lines[i], strlen(lines[i])), (int)strlen(lines[i]));
    }
    assert_int_equal(write(fd, "REG\0STER:x:dummy\n", 17), 17);
    for (size_t len = 513; len <= 8800; len += len < 600 ? 1 : 700) {
        memset(line, 'x', len);
        memcpy(line, "REGISTER:", 9);
        memcpy(line + len - 7, ":dummy\n", 7);
        assert_int_equal(write(fd, line, len), (int)len);
    }
    int too_long = 600 - 513 + (8800 - 600) / 700 + 1;
    new_name(name);
    make_shm(name);
    mp_assert_ok(mp_resource_tracker_register(name, "shared_memory"));
    mp_assert_ok(mp_resource_tracker_unregister(name, "shared_memory"));
    shm_unlink(name);
    int code = stop_and_hear();
    assert_int_equal(code, MP_TRACKER_MALFORMED);
    /* Each is complained of, and none was taken for another. */
    assert_int_equal(times_said("Error: "), COUNT + 1 + too_long);
}

static void
test_tracker_reads_the_last_line_without_its_end(void **state)
{
    (void)state;
    int fd = mp_resource_tracker_getfd();
    static const char spaced[] =
        " REGISTER:x:dummy \n"
        "{ \"rtype\" : \"d\\u0075mmy\", \"z\":\"\\n\", \"cmd\":\"UNREGISTER\","
        "\"base64_name\":\"eA==\" }\n"
        "REGISTER:y:dummy";
    assert_int_equal(write(fd, spaced, strlen(spaced)), (int)strlen(spaced));
    assert_int_equal(stop(), MP_TRACKER_LEAKED);
    fd = mp_resource_tracker_getfd();
    assert_int_equal(write(fd, spaced, strlen(spaced) - 16), (int)strlen(spaced) - 16);
    assert_int_equal(stop(), MP_TRACKER_CLEAN);
}

/* ---- signals and deaths ---------------------------------------------------------------------- */

static void
test_tracker_is_deaf(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
    mp_assert_ok(mp_resource_tracker_register("x", "dummy"));
    pid_t tracker = find_tracker();
    for (int i = 0; i < 5; i++) {
        assert_int_equal(kill(tracker, signals[i]), 0);
    }
    mp_assert_ok(mp_resource_tracker_ensure_running());
    assert_int_equal(find_tracker(), tracker);
    assert_int_equal(stop(), MP_TRACKER_LEAKED);
}

static int warnings;

static void
count_warning(const mp_log_record *record, void *ctx)
{
    (void)ctx;
    warnings += record->level == MP_LOG_WARNING &&
                strstr(record->message, "process died unexpectedly, relaunching") != NULL;
}

static void
test_tracker_killed_is_started_anew_with_one_warning(void **state)
{
    (void)state;
    mp_logger *log = mp_get_logger();
    warnings = 0;
    mp_assert_ok(mp_logger_set_handler(log, count_warning, NULL));
    mp_assert_ok(mp_resource_tracker_ensure_running());
    pid_t tracker = find_tracker();
    assert_int_equal(warnings, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kill(tracker, SIGKILL), 0);
        while (is_running(tracker)) {
            nap();
        }
        mp_assert_ok(mp_resource_tracker_register("x", "dummy"));
        assert_int_equal(warnings, i + 1);
        pid_t next = find_tracker();
        assert_int_not_equal(next, tracker);
        assert_int_equal(state_of(tracker), 0); /* reaped */
        tracker = next;
    }
    mp_assert_ok(mp_resource_tracker_unregister("x", "dummy"));
    assert_int_equal(warnings, 2);
    mp_assert_ok(mp_logger_set_handler(log, NULL, NULL));
    assert_int_equal(stop(), MP_TRACKER_CLEAN);
}

static void
test_tracker_leaves_the_signal_mask(void **state)
{
    (void)state;
    sigset_t set, before, after;
    for (int blocked = 0; blocked < 2; blocked++) {
        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGUSR1);
        pthread_sigmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
        sigemptyset(&before), sigemptyset(&after);
        pthread_sigmask(SIG_SETMASK, NULL, &before);
        mp_assert_ok(mp_resource_tracker_ensure_running());
        mp_assert_ok(mp_resource_tracker_register("x", "dummy"));
        mp_assert_ok(mp_resource_tracker_unregister("x", "dummy"));
        mp_assert_code(mp_resource_tracker_register("x", "\n"), MP_EVALUE);
        pid_t tracker = find_tracker();
        kill(tracker, SIGTERM); /* blocked or not here, it is ignored there */
        assert_int_equal(stop(), MP_TRACKER_CLEAN);
        pthread_sigmask(SIG_SETMASK, NULL, &after);
        for (int s = 1; s < 32; s++) {
            assert_int_equal(sigismember(&before, s), sigismember(&after, s));
        }
    }
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static volatile sig_atomic_t handled, failed_calls;

static void
register_in_handler(int signo)
{
    (void)signo;
    failed_calls |= mp_resource_tracker_register("handler", "dummy") != 0;
    failed_calls |= mp_resource_tracker_unregister("handler", "dummy") != 0;
    handled++;
}

static void
test_tracker_calls_from_signal_handlers_do_not_deadlock(void **state)
{
    (void)state;
    struct sigaction sa = {.sa_handler = register_in_handler}, old;
    handled = failed_calls = 0;
    mp_assert_ok(mp_resource_tracker_ensure_running());
    sigaction(SIGUSR1, &sa, &old);
    pid_t me = getpid(), pest = fork();
    if (pest == 0) {
        while (getppid() == me) {
            kill(me, SIGUSR1);
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        }
        _exit(0);
    }
    while (handled < 300) {
        mp_assert_ok(mp_resource_tracker_register("main", "dummy"));
        mp_assert_ok(mp_resource_tracker_unregister("main", "dummy"));
    }
    kill(pest, SIGKILL);
    while (waitpid(pest, NULL, 0) < 0 && errno == EINTR) { /* by its last signal */
    }
    sigaction(SIGUSR1, &old, NULL);
    assert_int_equal(failed_calls, 0);
    assert_int_equal(stop(), MP_TRACKER_CLEAN);
}

static void
test_tracker_descriptor_that_the_program_closed(void **state)
{
    (void)state;
    int fd = mp_resource_tracker_getfd();
    char path[4300];
    snprintf(path, sizeof path, "%s/victim", mp_test_dir());
    close(fd);
    int file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(dup2(file, fd), fd); /* another file has its number now */
    mp_assert_ok(mp_resource_tracker_register("x", "dummy"));
    assert_int_not_equal(mp_resource_tracker_getfd(), fd);
    assert_int_equal(stop(), MP_TRACKER_LEAKED);
    assert_int_equal(lseek(fd, 0, SEEK_END), 0);
    close(fd);
    if (file != fd) {
        close(file);
    }
}

static void
test_tracker_setfd_wants_a_pipe_to_write_to(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    mp_assert_code(mp_resource_tracker_setfd(-1), MP_EVALUE);
    mp_assert_code(mp_resource_tracker_setfd(9999), MP_EVALUE);
    mp_assert_code(mp_resource_tracker_setfd(ends[0]), MP_EVALUE);
    mp_assert_ok(mp_resource_tracker_setfd(ends[1]));
    assert_true(fcntl(ends[1], F_GETFD) & FD_CLOEXEC);
    mp_assert_ok(mp_resource_tracker_register("/a", "shared_memory"));
    mp_assert_ok(mp_resource_tracker_unregister("a:b", "semaphore"));
    static const char expected[] = "REGISTER:/a:shared_memory\n{\"cmd\":\"UNREGISTER\",\"rtype\":"
                                   "\"semaphore\",\"base64_name\":\"YTpi\"}\n";
    char got[200] = "";
    assert_int_equal(read(ends[0], got, sizeof got - 1), (int)strlen(expected));
    assert_string_equal(got, expected);
    mp_assert_code(mp_resource_tracker_stop(0, NULL), MP_NOT_YET); /* not ours to wait for */
    assert_int_equal(read(ends[0], got, sizeof got), 0);           /* but let go */
    close(ends[0]);
}

/* ---- children -------------------------------------------------------------------------------- */

static int
make_and_register(const mp_args *args)
{
    const char *name = NULL;
    mp_args_get(args, &name);
    make_shm(name);
    mp_child_ok(mp_resource_tracker_register(name, "shared_memory"));
    mp_child_code(mp_resource_tracker_stop(0, NULL), MP_NOT_YET); /* it is the parent's */
    return 0;
}

static int
let_child_register(const mp_args *args)
{
    const char *name = NULL;
    mp_args_get(args, &name);
    return run_in_child(make_and_register, mp_args(name), NULL);
}

static void
test_tracker_is_the_childrens_too(void **state)
{
    (void)state;
    static const mp_target targets[] = {make_and_register, let_child_register};
    for (int i = 0; i < 4; i++) {
        char name[NAME_BYTES];
        new_name(name);
        mp_assert_ok(mp_resource_tracker_ensure_running());
        const mp_process_options options = {.daemon = i == 2 ? MP_DAEMON_YES : MP_DAEMON_NO};
        mp_process *p = start_with(targets[i == 1], mp_args(name), &options);
        assert_int_equal(finish(p), 0);
        assert_true(shm_exists(name)); /* what the child registered outlives it, for us */
        assert_int_equal(stop(), MP_TRACKER_LEAKED);
        assert_false(shm_exists(name));
    }
}

static int
register_alone(const mp_args *args)
{
    const char *name = NULL;
    int how = 0;
    mp_args_get(args, &name, &how);
    make_shm(name);
    mp_child_ok(mp_resource_tracker_register(name, "shared_memory"));
    if (how < 0) {
        raise(-how);
    }
    return 0;
}

static void
test_tracker_of_a_child_ends_with_it(void **state)
{
    (void)state;
    static const int ways[] = {0, -SIGTERM, -SIGKILL, -SIGABRT};
    capture_begin(&captured, 2); /* the warnings */
    for (int i = 0; i < 4; i++) {
        char name[NAME_BYTES];
        new_name(name);
        mp_process *p = start(register_alone, mp_args(name, ways[i]));
        assert_int_equal(finish(p), ways[i]);
        wait_until_gone(name);
    }
    capture_end(&captured, said, sizeof said);
    assert_true(times_said("There appear to be 1 leaked shared_memory objects") > 0);
}

static void
test_tracker_raw_fork_child_holds_up_nobody(void **state)
{
    (void)state;
    int ends[2];
    char byte;
    mp_assert_ok(mp_resource_tracker_register("x", "dummy"));
    int fd = mp_resource_tracker_getfd();
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        mp_child_check(fcntl(fd, F_GETFD) < 0);
        mp_child_check(write(ends[1], "x", 1) == 1);
        pause_for_ever();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    assert_int_equal(stop(), MP_TRACKER_LEAKED); /* while the child lives */
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);

    /* One that wants a tracker has its own, and ends it. */
    mp_assert_ok(mp_resource_tracker_ensure_running());
    pid = fork();
    if (pid == 0) {
        int code = -1;
        mp_child_ok(mp_resource_tracker_unregister("x", "dummy")); /* unknown there */
        mp_child_ok(mp_resource_tracker_stop(20, &code));
        _exit(code);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), MP_TRACKER_MALFORMED);
    assert_int_equal(stop(), MP_TRACKER_CLEAN);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_tracker_runs_on_demand_and_is_one),
    cmocka_unit_test(test_tracker_holds_nothing_of_the_programs),
    cmocka_unit_test(test_tracker_ended_by_the_end_in_order),
    cmocka_unit_test(test_tracker_stop_waits_for_other_clients),
    cmocka_unit_test(test_tracker_new_one_while_the_old_leaves),
    cmocka_unit_test(test_tracker_unlinks_what_is_left_and_says_so_once_a_type),
    cmocka_unit_test(test_tracker_nothing_left_says_nothing),
    cmocka_unit_test(test_tracker_exit_codes),
    cmocka_unit_test(test_tracker_names_of_any_characters),
    cmocka_unit_test(test_tracker_names_that_are_too_long),
    cmocka_unit_test(test_tracker_survives_hostile_lines),
    cmocka_unit_test(test_tracker_reads_the_last_line_without_its_end),
    cmocka_unit_test(test_tracker_is_deaf),
    cmocka_unit_test(test_tracker_killed_is_started_anew_with_one_warning),
    cmocka_unit_test(test_tracker_leaves_the_signal_mask),
    cmocka_unit_test(test_tracker_calls_from_signal_handlers_do_not_deadlock),
    cmocka_unit_test(test_tracker_descriptor_that_the_program_closed),
    cmocka_unit_test(test_tracker_setfd_wants_a_pipe_to_write_to),
    cmocka_unit_test(test_tracker_is_the_childrens_too),
    cmocka_unit_test(test_tracker_of_a_child_ends_with_it),
    cmocka_unit_test(test_tracker_raw_fork_child_holds_up_nobody),
};

MP_TEST_MAIN(tests)
