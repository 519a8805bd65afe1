/*
 * helpers/freeze.c: programs that call mp_freeze_support() never, too late, or not in time.
 *
 *     freeze MODE METHOD LOG
 *
 * Each run of main() appends a line to LOG, so that a fork bomb can be counted.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mp/mp.h>

static int
do_nothing(const mp_args *args)
{
    (void)args;
    return 0;
}

static void
count_run(const char *log)
{
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, "run\n", 4) != 4) {
        exit(99);
    }
    close(fd);
}

int
main(int argc, char **argv)
{
    if (argc != 4) {
        return 98;
    }
    const char *mode = argv[1];
    mp_queue *q = NULL;
    count_run(argv[3]);
    if (strcmp(mode, "late") == 0) {
        q = mp_queue_new(0);
    }
    if (strcmp(mode, "start-first") == 0) { /* a child of a child of a child ... */
        mp_set_start_method(argv[2], false);
        mp_process *first = mp_process_new(do_nothing, NULL, NULL);
        printf("first: %s\n", mp_err_name(mp_process_start(first)));
        fflush(stdout);
        mp_process_free(first);
    }
    if (strcmp(mode, "asleep") == 0 && getenv("LIBMP_CHILD")) {
        printf("asleep\n");
        fflush(stdout);
        for (;;) {
            pause();
        }
    }
    if (strcmp(mode, "crash") == 0 && getenv("LIBMP_CHILD")) {
        raise(SIGKILL);
    }
    if (strcmp(mode, "end") == 0 && getenv("LIBMP_CHILD")) {
        return 33;
    }
    if (strcmp(mode, "never") != 0) {
        mp_freeze_support(argc, argv);
    }
    mp_set_start_method(argv[2], true);
    mp_process *p = mp_process_new(do_nothing, NULL, NULL);
    int status = mp_process_start(p);
    printf("%s\n%s\n", mp_err_name(status), status ? mp_last_error_text() : "started");
    int code = -1;
    if (status == 0) {
        mp_process_join(p, MP_FOREVER);
        mp_process_exitcode(p, &code);
        printf("exit code %d\n", code);
    }
    mp_process_free(p);
    mp_queue_free(q);
    return status ? 7 : code;
}
