/*
 * test_exit.c: who a process is to its relatives, and how families end: names, daemons,
 * grandchildren, the end of a parent, and what is printed on the way.  The ends of parents are
 * looked at from outside: this program runs itself with CASE:METHOD.
 */
#include "mp_test.h"

#include <signal.h>
#include <sys/wait.h>

#include "helpers/process.h"

/* ---- names and relatives ----------------------------------------------------------------------*/

static void
write_who(char text[256], const char *before)
{
    mp_process *parent = mp_parent_process();
    mp_child_check(parent != NULL);
    snprintf(text, 256, "%s%s of %s", before, mp_process_name(mp_current_process()),
             mp_process_name(parent));
}

static int
tell_who_and_have_children(const mp_args *args)
{
    void *p;
    int depth;
    mp_args_get(args, &p, &depth);
    struct note *n = p;
    write_who(n->text[depth], "");
    atomic_store(&n->number[depth], getpid());
    mp_process *me = mp_current_process(), *parent = mp_parent_process();
    mp_child_check(mp_process_pid(me) == getpid());
    mp_child_check(mp_process_pid(parent) == (pid_t)n->number[depth ? depth - 1 : 7]);
    mp_child_check(mp_process_is_alive(me) == 1);
    mp_child_check(mp_process_is_alive(parent) == 1);
    mp_child_code(mp_process_terminate(parent), MP_ESTATE);
    mp_child_code(mp_process_join(me, 0), MP_ESTATE);
    mp_child_code(mp_process_free(parent), MP_EVALUE);
    mp_child_code(mp_process_free(me), MP_EVALUE);
    size_t count = 9;
    free(mp_active_children(&count));
    mp_child_check(count == 0);
    mp_child_check(strcmp(mp_get_start_method(true), (const char *)n->text[3]) == 0);
    if (depth < 2) {
        mp_process_free(mp_process_new(NULL, NULL, NULL)); /* takes the number 1 */
        mp_child_check(run_in_child(tell_who_and_have_children, mp_args(p, depth + 1), NULL) == 0);
    }
    return 0;
}

static void
test_process_names_follow_the_family(void **state)
{
    (void)state;
    struct note *n = note_new();
    char expected[256];
    atomic_store(&n->number[7], getpid());
    snprintf(n->text[3], sizeof n->text[3], "%s", method_name());
    mp_process *p = mp_process_new(tell_who_and_have_children, mp_args((void *)n, 0), NULL);
    char name[64];
    snprintf(name, sizeof name, "%s", mp_process_name(p));
    unsigned index = 0;
    assert_int_equal(sscanf(name, "Process-%u", &index), 1);
    mp_process *next = mp_process_new(NULL, NULL, &(mp_process_options){.name = ""});
    snprintf(expected, sizeof expected, "Process-%u", index + 1);
    assert_string_equal(mp_process_name(next), expected);
    mp_process_free(next);

    mp_assert_ok(mp_process_start(p));
    assert_int_equal(finish(p), 0);
    snprintf(expected, sizeof expected, "%s of MainProcess", name);
    assert_string_equal(n->text[0], expected);
    snprintf(expected, sizeof expected, "%s:2 of %s", name, name);
    assert_string_equal(n->text[1], expected);
    snprintf(expected, sizeof expected, "%s:2:2 of %s:2", name, name);
    assert_string_equal(n->text[2], expected);
    mp_free(n);
}

static int
tell_own_name(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    struct note *n = p;
    snprintf(n->text[0], sizeof n->text[0], "%s", mp_process_name(mp_current_process()));
    mp_child_ok(mp_process_set_name(mp_current_process(), "other"));
    mp_child_check(strcmp(mp_process_name(mp_current_process()), "other") == 0);
    return 0;
}

static void
test_process_name_can_be_given_and_changed(void **state)
{
    (void)state;
    struct note *n = note_new();
    static const char *const names[] = {"Zo\xc3\xab 'x'\n\ty", "a name with %s and %n"};
    for (int i = 0; i < 2; i++) {
        mp_process *p =
            start_with(tell_own_name, mp_args((void *)n), &(mp_process_options){.name = names[i]});
        mp_assert_ok(mp_process_set_name(p, "mine alone"));
        assert_string_equal(mp_process_name(p), "mine alone");
        assert_int_equal(finish(p), 0);
        assert_string_equal(n->text[0], names[i]);
    }
    mp_free(n);
}

static void
test_process_default_name_tells_its_context(void **state)
{
    (void)state;
    static const char *const methods[] = {"fork", "spawn", "forkserver"};
    static const char *const prefixes[] = {"ForkProcess-", "SpawnProcess-", "ForkServerProcess-"};
    for (int i = 0; i < 3; i++) {
        mp_process *p = mp_process_new(
            NULL, NULL, &(mp_process_options){.context = mp_get_context(methods[i])});
        assert_int_equal(strncmp(mp_process_name(p), prefixes[i], strlen(prefixes[i])), 0);
        mp_assert_ok(mp_process_free(p));
    }
}

static int
watch_parent(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    struct note *n = p;
    mp_child_check(mp_process_is_alive(mp_parent_process()) == 1);
    atomic_fetch_add(&n->ready, 1);
    while (mp_process_is_alive(mp_parent_process()) != 0) {
        nap();
    }
    atomic_store(&n->go, 1);
    return 0;
}

static int
start_watcher(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    mp_process *w = mp_process_new(watch_parent, mp_args(p), NULL);
    mp_child_ok(mp_process_start(w));
    struct note *n = p;
    pid_t sibling = fork(); /* has copies of all that we have, and stays */
    if (sibling == 0) {
        wait_for(&n->go, 1);
        _exit(0);
    }
    mp_child_check(sibling > 0);
    atomic_store(&n->number[0], sibling);
    atomic_fetch_add(&n->ready, 1); /* killed inside the start it would leave memory */
    pause_for_ever();
    return 0;
}

static void
test_parent_process_is_not_alive_after_its_end(void **state)
{
    (void)state;
    struct note *n = note_new();
    mp_process *p = start(start_watcher, mp_args((void *)n));
    wait_for(&n->ready, 2);
    mp_assert_ok(mp_process_terminate(p));
    assert_int_equal(finish(p), -SIGTERM);
    wait_for(&n->go, 1);
    while (is_running((pid_t)n->number[0])) {
        nap();
    }
    mp_free(n);
}

/* ---- daemons ----------------------------------------------------------------------------------*/

static int
try_to_have_children(const mp_args *args)
{
    bool daemon;
    mp_args_get(args, &daemon);
    mp_child_check(mp_process_daemon(mp_current_process()) == daemon);
    mp_process *p = mp_process_new(NULL, NULL, NULL);
    mp_child_check(mp_process_daemon(p) == daemon);
    mp_child_code(mp_process_start(p), daemon ? MP_ESTATE : 0);
    if (!daemon) {
        mp_child_ok(mp_process_join(p, MP_FOREVER));
    }
    mp_child_ok(mp_process_free(p));
    p = mp_process_new(NULL, NULL, &(mp_process_options){.daemon = MP_DAEMON_NO});
    mp_child_check(mp_process_daemon(p) == 0);
    mp_child_code(mp_process_start(p), daemon ? MP_ESTATE : 0); /* still a daemon's child */
    if (!daemon) {
        mp_child_ok(mp_process_join(p, MP_FOREVER));
    }
    mp_child_ok(mp_process_free(p));
    return 0;
}

static void
test_daemon_hands_it_on_and_has_no_children(void **state)
{
    (void)state;
    for (int daemon = 0; daemon < 2; daemon++) {
        mp_process *p =
            mp_process_new(try_to_have_children, mp_args(daemon),
                           &(mp_process_options){.daemon = daemon ? MP_DAEMON_YES : MP_DAEMON_NO});
        assert_int_equal(mp_process_daemon(p), daemon);
        mp_assert_ok(mp_process_start(p));
        mp_assert_code(mp_process_set_daemon(p, true), MP_ESTATE);
        assert_int_equal(finish(p), 0);
    }
    mp_process *p = mp_process_new(try_to_have_children, mp_args(1), NULL);
    assert_int_equal(mp_process_daemon(p), 0);
    mp_assert_ok(mp_process_set_daemon(p, true));
    assert_int_equal(mp_process_daemon(p), 1);
    mp_assert_ok(mp_process_start(p));
    assert_int_equal(finish(p), 0);
}

static int
leave_a_daemon(const mp_args *args)
{
    void *p;
    int how;
    mp_args_get(args, &p, &how);
    struct note *n = p;
    mp_process *d =
        mp_process_new(hang, mp_args(p), &(mp_process_options){.daemon = MP_DAEMON_YES});
    mp_child_ok(mp_process_start(d));
    atomic_store(&n->number[0], mp_process_pid(d));
    wait_for(&n->ready, 1);
    if (how == 1) {
        exit(4);
    } else if (how == 2) {
        mp_exit(4);
    }
    return 4;
}

static void
test_daemon_ends_with_its_parent_in_order(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct note *n = note_new();
        assert_int_equal(finish(start(leave_a_daemon, mp_args((void *)n, how))), 4);
        assert_false(is_running((pid_t)n->number[0]));
        mp_free(n);
    }
}

static int
nap_then_tell(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    struct note *n = p;
    for (int i = 0; i < 30; i++) {
        nap();
    }
    atomic_fetch_add(&n->ready, 1);
    return 0;
}

static int
leave_children(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    mp_process *kept = mp_process_new(nap_then_tell, mp_args(p), NULL);
    mp_process *let_go = mp_process_new(nap_then_tell, mp_args(p), NULL);
    mp_child_ok(mp_process_start(kept));
    mp_child_ok(mp_process_start(let_go));
    mp_child_ok(mp_process_free(let_go));
    return 0;
}

static void
test_process_end_joins_its_children(void **state)
{
    (void)state;
    struct note *n = note_new();
    assert_int_equal(finish(start(leave_children, mp_args((void *)n))), 0);
    assert_int_equal(n->ready, 2);
    mp_free(n);
}

/* ---- programs that end ------------------------------------------------------------------------*/

static const char *
self_case(const char *name)
{
    static char argument[64];
    snprintf(argument, sizeof argument, "%s:%s", name, method_name());
    return argument;
}

static int
print_done(const mp_args *args)
{
    void *p;
    mp_args_get(args, &p);
    wait_for(&((struct note *)p)->go, 1);
    for (int i = 0; i < 30; i++) {
        nap();
    }
    printf("child done|"); /* flushed by the end of the child */
    return 0;
}

/* An exit handler: children are still to be joined. */
static void
let_go(void *n)
{
    atomic_store(&((struct note *)n)->go, 1);
}

/* A finalizer of the last step: they have been. */
static void
print_end(void *unused)
{
    (void)unused;
    printf("main's end|");
    fflush(stdout);
}

static int
case_joins_at_exit(void)
{
    static mp_process *kept; /* not lost at the end, in the eyes of a leak checker */
    struct note *n = mp_calloc(1, sizeof *n);
    kept = mp_process_new(print_done, mp_args((void *)n), NULL);
    mp_process *given_up = mp_process_new(print_done, mp_args((void *)n), NULL);
    if (mp_process_start(kept) || mp_process_start(given_up) || mp_process_free(given_up) ||
        mp_atexit(let_go, n) || mp_finalize_new(NULL, print_end, NULL, -1) == 0) {
        return 1;
    }
    printf("main done|");
    fflush(stdout);
    return 6;
}

static void
test_program_end_joins_its_children(void **state)
{
    (void)state;
    char out[500];
    int status = mp_test_run_self(self_case("joins-at-exit"), out, sizeof out);
    assert_string_equal(out, "main done|child done|child done|main's end|");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 6);
}

static int
case_daemon(bool killed)
{
    struct note *n = mp_calloc(1, sizeof *n);
    mp_process *d =
        mp_process_new(hang, mp_args((void *)n), &(mp_process_options){.daemon = MP_DAEMON_YES});
    if (!n || mp_process_start(d)) {
        return 1;
    }
    wait_for(&n->ready, 1);
    printf("%d", (int)mp_process_pid(d));
    fflush(stdout);
    if (killed) {
        raise(SIGKILL);
    }
    return 0;
}

static void
test_program_end_ends_its_daemons(void **state)
{
    (void)state;
    char out[500];
    int status = mp_test_run_self(self_case("daemon"), out, sizeof out);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(atol(out) > 0);
    assert_false(is_running((pid_t)atol(out)));
}

static void
test_program_killed_takes_its_daemons_along(void **state)
{
    (void)state;
#ifdef MP_PLATFORM_POSIX
    if (!method_is("forkserver")) {
        skip(); /* nothing in POSIX tells a child of the end of its parent */
    }
#endif
    char out[500]; /* reading it to its end waits for the daemon: it has the same stdout */
    int status = mp_test_run_self(self_case("daemon-killed"), out, sizeof out);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    while (is_running((pid_t)atol(out))) {
        nap();
    }
}

static int
print_and_end(const mp_args *args)
{
    int how;
    mp_args_get(args, &how);
    printf("child %d|", how);
    if (how == 1) {
        mp_exit(0);
    } else if (how == 2) {
        exit(0);
    }
    return 0;
}

static int
case_prints(void)
{
    int failed = 0;
    printf("begin|"); /* in the buffer when children are made: theirs must not print it again */
    fprintf(stderr, "error|");
    for (int how = 0; how < 3; how++) {
        mp_process *p = mp_process_new(print_and_end, mp_args(how), NULL);
        failed |= mp_process_start(p) | mp_process_join(p, MP_FOREVER) | mp_process_free(p);
        printf("main %d|", how);
    }
    return failed != 0;
}

static void
test_program_output_is_neither_lost_nor_doubled(void **state)
{
    (void)state;
    char out[1000];
    int status = mp_test_run_self(self_case("prints"), out, sizeof out);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    const char *text = strstr(out, "error|");
    assert_non_null(text);
    char rest[1000];
    snprintf(rest, sizeof rest, "%.*s%s", (int)(text - out), out, text + 6);
    assert_string_equal(rest, "begin|child 0|main 0|child 1|main 1|child 2|main 2|");
}

static int
find_stdin_empty(const mp_args *args)
{
    (void)args;
    char line[100];
    mp_child_check(fgets(line, sizeof line, stdin) == NULL);
    mp_child_check(read(0, line, sizeof line) == 0);
    return 0;
}

/* The exit code of a child that looks at its standard input. */
static int
look_at_stdin(void)
{
    int code = -1;
    mp_process *p = mp_process_new(find_stdin_empty, NULL, NULL);
    if (mp_process_start(p) || mp_process_join(p, MP_FOREVER) || mp_process_exitcode(p, &code)) {
        return 3;
    }
    mp_process_free(p);
    return code;
}

/* What the parent read ahead is in its buffer, which a copy of it must not read again; nor when the
   descriptor is /dev/null since, for reading, or for writing only as nohup has it. */
static int
case_stdin(void)
{
    char line[100];
    int fds[2];
    if (pipe(fds) != 0 || write(fds[1], "one\ntwo\nthree\n", 14) != 14) {
        return 1;
    }
    dup2(fds[0], 0);
    if (!fgets(line, sizeof line, stdin) || strcmp(line, "one\n") != 0) {
        return 2;
    }
    int code = look_at_stdin();
    const int modes[] = {O_RDONLY, O_WRONLY};
    for (int i = 0; i < 2 && code == 0; i++) {
        int null = open("/dev/null", modes[i]);
        dup2(null, 0);
        close(null);
        code = look_at_stdin();
    }
    return code ? code : fgets(line, sizeof line, stdin) && strcmp(line, "two\n") == 0 ? 0 : 4;
}

static void
test_child_stdin_is_empty_and_the_parents_untouched(void **state)
{
    (void)state;
    char out[1000];
    int status = mp_test_run_self(self_case("stdin"), out, sizeof out);
    assert_string_equal(out, "");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int
count_standard_descriptors(const mp_args *args)
{
    int parents;
    mp_args_get(args, &parents);
    for (int fd = 1; fd < 3; fd++) {
        bool open = fcntl(fd, F_GETFD) >= 0;
        if (open != ((parents >> fd) & 1)) {
            return 10 + fd;
        }
    }
    return fcntl(0, F_GETFD) >= 0 ? 0 : 9;
}

/* A program without some of its standard descriptors: whatever we open gets their numbers. */
static int
case_closed(const char *which)
{
    int open = 7;
    for (; *which; which++) {
        open &= ~(1 << (*which - '0'));
    }
    void *first = mp_malloc(1); /* the heap's descriptor is made before: it stays where it is */
    for (int fd = 0; fd < 3; fd++) {
        if (!((open >> fd) & 1)) {
            close(fd);
        }
    }
    for (int i = 0; i < 2; i++) {
        int code = -1;
        mp_process *p = mp_process_new(count_standard_descriptors, mp_args(open), NULL);
        int status = mp_process_start(p);
        if (status) {
            return 20;
        }
        if (mp_process_join(p, MP_FOREVER) || mp_process_exitcode(p, &code) || mp_process_free(p)) {
            return 21;
        }
        if (code) {
            return code;
        }
    }
    mp_free(first);
    return 0;
}

static void
test_program_without_standard_descriptors_has_children(void **state)
{
    (void)state;
    static const char *const which[] = {"closed-0", "closed-1", "closed-2", "closed-12",
                                        "closed-012"};
    for (size_t i = 0; i < sizeof which / sizeof *which; i++) {
        char out[1000];
        int status = mp_test_run_self(self_case(which[i]), out, sizeof out);
        if (!WIFEXITED(status) || WEXITSTATUS(status)) {
            print_error("%s: %#x: %s\n", which[i], (unsigned)status, out);
        }
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static int
run_case(char *name)
{
    char *method = strchr(name, ':');
    *method++ = '\0';
    if (mp_set_start_method(method, false) != 0) {
        return 90;
    }
    if (strcmp(name, "joins-at-exit") == 0) {
        return case_joins_at_exit();
    }
    if (strncmp(name, "daemon", 6) == 0) {
        return case_daemon(name[6] != '\0');
    }
    if (strcmp(name, "prints") == 0) {
        return case_prints();
    }
    if (strcmp(name, "stdin") == 0) {
        return case_stdin();
    }
    if (strncmp(name, "closed-", 7) == 0) {
        return case_closed(name + 7);
    }
    return 91;
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_process_names_follow_the_family),
    cmocka_unit_test(test_process_name_can_be_given_and_changed),
    cmocka_unit_test(test_process_default_name_tells_its_context),
    cmocka_unit_test(test_parent_process_is_not_alive_after_its_end),
    cmocka_unit_test(test_daemon_hands_it_on_and_has_no_children),
    cmocka_unit_test(test_daemon_ends_with_its_parent_in_order),
    cmocka_unit_test(test_process_end_joins_its_children),
    cmocka_unit_test(test_program_end_joins_its_children),
    cmocka_unit_test(test_program_end_ends_its_daemons),
    cmocka_unit_test(test_program_killed_takes_its_daemons_along),
    cmocka_unit_test(test_program_output_is_neither_lost_nor_doubled),
    cmocka_unit_test(test_child_stdin_is_empty_and_the_parents_untouched),
    cmocka_unit_test(test_program_without_standard_descriptors_has_children),
};

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);
    if (argc > 1 && strchr(argv[1], ':')) {
        return run_case(argv[1]);
    }
    return mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
}
