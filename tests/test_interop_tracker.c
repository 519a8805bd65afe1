/*
 * A real CPython as client of our resource tracker, and we as client of its: python3 of PATH and
 * every version pyenv has, of 3.8 or later.  Skipped where there is none.
 */
#include "helpers/pythons.h"
#include "helpers/names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char self_path[4096];

static int
exit_code_of(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

/* Run python with a script and two arguments; fd stays open there. */
static pid_t
run_python(const char *python, const char *script, const char *a, const char *b, int fd)
{
    char *const argv[] = {
        (char *)(uintptr_t) "env",
        (char *)(uintptr_t)python,
        (char *)(uintptr_t) "-c",
        (char *)(uintptr_t)script,
        (char *)(uintptr_t)a,
        (char *)(uintptr_t)b,
        NULL,
    };
    return mp_spawnv_passfds("/usr/bin/env", argv, &fd, fd >= 0);
}

static void
need_python(void)
{
    if (python_count == 0) {
        print_message("no CPython 3.8 or later here\n");
        skip();
    }
}

/* ---- Python is our tracker's client ---------------------------------------------------------- */

static const char client_script[] =
    "import sys, os\n"
    "from multiprocessing import resource_tracker as rt, shared_memory as sm\n"
    "fd = int(sys.argv[1])\n"
    "rt._resource_tracker._fd = fd\n"
    "m = sm.SharedMemory(create=True, size=100, name=sys.argv[2][1:])\n"
    "m.close()\n" /* not unlinked: its tracker's, ours */
    "two = sm.SharedMemory(create=True, size=100)\n"
    "two.close()\n"
    "two.unlink()\n"
    "rt.register('/x', 'semaphore')\n"
    "rt.unregister('/x', 'semaphore')\n"
    "rt._resource_tracker.ensure_running()\n"
    "sys.exit(0 if rt.getfd() == fd and rt._resource_tracker._pid is None else 7)\n";

/* Versions that write the newer form write it for such a name; older ones would be misread. */
static const char colon_script[] = "import sys\n"
                                   "from multiprocessing import resource_tracker as rt\n"
                                   "rt._resource_tracker._fd = int(sys.argv[1])\n"
                                   "if not hasattr(rt, '_decode_message'):\n"
                                   "    sys.exit(0)\n"
                                   "for simple in (True, False):\n"
                                   "    rt._resource_tracker._use_simple_format = simple\n"
                                   "    for name in ('a:b', 'a\\nb', 'plain', ':'):\n"
                                   "        rt.register(name, 'semaphore')\n"
                                   "        rt.unregister(name, 'semaphore')\n";

static void
test_interop_python_uses_our_tracker(void **state)
{
    (void)state;
    need_python();
    for (size_t i = 0; i < python_count; i++) {
        char name[NAME_BYTES], number[32];
        int code = -1, fd = mp_resource_tracker_getfd();
        new_name(name);
        snprintf(number, sizeof number, "%d", fd);
        assert_int_equal(exit_code_of(run_python(pythons[i], colon_script, number, "", fd)), 0);
        mp_assert_ok(mp_resource_tracker_stop(20, &code));
        assert_int_equal(code, MP_TRACKER_CLEAN);

        fd = mp_resource_tracker_getfd();
        snprintf(number, sizeof number, "%d", fd);
        assert_int_equal(exit_code_of(run_python(pythons[i], client_script, number, name, fd)), 0);
        assert_true(shm_exists(name)); /* Python's end is not the last client's */
        mp_assert_ok(mp_resource_tracker_stop(20, &code));
        assert_int_equal(code, MP_TRACKER_LEAKED);
        assert_false(shm_exists(name));
    }
}

/* ---- we are Python's tracker's client -------------------------------------------------------- */

static const char parent_script[] =
    "import sys, os, subprocess\n"
    "from multiprocessing import resource_tracker as rt\n"
    "fd = rt.getfd()\n"
    "client = subprocess.run([sys.argv[1], 'client %d %s' % (fd, sys.argv[2])], pass_fds=[fd])\n"
    "there = os.path.exists('/dev/shm' + sys.argv[2]) or not os.path.isdir('/dev/shm')\n"
    "sys.exit(client.returncode or (0 if there else 9))\n";

static int
client_main(const char *argument)
{
    int fd = -1, status = 0;
    char name[NAME_BYTES];
    if (sscanf(argument, "client %d %63s", &fd, name) != 2) {
        return 21;
    }
    int shm = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
    status = shm < 0 ? 22 : 0;
    status = status == 0 && mp_resource_tracker_setfd(fd) != 0 ? 23 : status;
    status = status == 0 && mp_resource_tracker_register(name, "shared_memory") != 0 ? 24 : status;
    status = status == 0 && mp_resource_tracker_register("/y", "semaphore") != 0 ? 25 : status;
    status = status == 0 && mp_resource_tracker_unregister("/y", "semaphore") != 0 ? 26 : status;
    status = status == 0 && mp_resource_tracker_getfd() != fd ? 27 : status;
    return status == 0 && mp_resource_tracker_stop(0, NULL) != MP_NOT_YET ? 28 : status;
}

static void
test_interop_we_use_pythons_tracker(void **state)
{
    (void)state;
    need_python();
    for (size_t i = 0; i < python_count; i++) {
        char name[NAME_BYTES], path[4200], said[8000] = "";
        new_name(name);
        snprintf(path, sizeof path, "%s/stderr", mp_test_dir());
        fflush(NULL);
        int saved = fcntl(2, F_DUPFD_CLOEXEC, 100);
        int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
        dup2(file, 2);
        int code = exit_code_of(run_python(pythons[i], parent_script, self_path, name, -1));
        dup2(saved, 2);
        close(saved);
        assert_int_equal(code, 0);
        wait_until_gone(name);
        for (ssize_t n = 0; n <= 0 || !strstr(said, "shutdown");) { /* its warning came before */
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
            n = pread(file, said, sizeof said - 1, 0);
        }
        close(file);
        assert_non_null(strstr(said, "There appear to be 1 leaked shared_memory objects"));
        assert_true(!strchr(said, '{') || strstr(said, name)); /* newer ones tell names */
        assert_null(strstr(said, "Traceback"));
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_interop_python_uses_our_tracker),
    cmocka_unit_test(test_interop_we_use_pythons_tracker),
};

int
main(int argc, char **argv)
{
    if (argc == 2 && strncmp(argv[1], "client ", 7) == 0) {
        return client_main(argv[1]);
    }
    mp_freeze_support(argc, argv);
    char *path = mp_get_executable();
    snprintf(self_path, sizeof self_path, "%s", path ? path : argv[0]);
    free(path);
    ssize_t n = readlink("/proc/self/exe", self_path, sizeof self_path - 1); /* where it has it */
    if (n > 0) {
        self_path[n] = '\0';
    }
    find_pythons();
    int failed = mp_test_main(argc, argv, tests, sizeof tests / sizeof *tests, true);
    forget_pythons();
    return failed;
}
