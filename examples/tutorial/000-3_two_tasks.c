/*
 * 000-3: arguments, and two processes that run at the same time.
 *
 *     Python                              C
 *     args=("A",)                         mp_args("A")
 *     def task(name)                      mp_args_get(args, &name)
 *     process1.join()                     mp_process_join(process1, MP_FOREVER)
 */
#include <stdio.h>
#include <unistd.h>

#include <mp/mp.h>

static int
task(const mp_args *args)
{
    const char *name;
    mp_args_get(args, &name); /* the variable's type says what must be there */
    printf("Task %s running in process %ld\n", name, (long)getpid());
    return 0;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    mp_process *process1 = mp_process_new(task, mp_args("A"), NULL);
    mp_process *process2 = mp_process_new(task, mp_args("B"), NULL);
    if (mp_process_start(process1) != 0 || mp_process_start(process2) != 0) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    printf("Processes started\n");
    fflush(stdout); /* now, not at the end */

    mp_process_join(process1, MP_FOREVER);
    mp_process_join(process2, MP_FOREVER);
    mp_process_free(process1);
    mp_process_free(process2);
    return 0;
}
