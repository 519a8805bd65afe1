/*
 * 000-2: run a function in a process of its own.
 *
 * Every program that uses libmp has the same first statement: a child that is started anew (spawn,
 * forkserver) enters main() too, and leaves it there to run its function.
 *
 *     Python                              C
 *     Process(target=worker)              mp_process_new(worker, NULL, NULL)
 *     process.start()                     mp_process_start(process)
 *     no join: the exit waits             the same: exit() joins children that still run
 */
#include <stdio.h>

#include <mp/mp.h>

static int
worker(const mp_args *args)
{
    (void)args;
    printf("Worker process\n");
    return 0; /* the exit code */
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    mp_process *process = mp_process_new(worker, NULL, NULL);
    if (mp_process_start(process) != 0) { /* says so too when process is NULL */
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    mp_process_free(process); /* lets go of the object; the process goes on */
    return 0;
}
