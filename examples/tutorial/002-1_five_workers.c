/*
 * 002-1: five workers, each with a number; who prints first is up to the system.
 *
 *     Python                              C
 *     p = Process(target=worker,          mp_process_new(worker, mp_args(i), NULL)
 *                 args=(i,))
 *     processes.append(p)                 an array of mp_process *
 */
#include <stdio.h>

#include <mp/mp.h>

enum { COUNT = 5 };

static int
worker(const mp_args *args)
{
    int num;
    mp_args_get(args, &num);
    printf("Worker: %d\n", num);
    return 0;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    mp_process *processes[COUNT];
    for (int i = 0; i < COUNT; i++) {
        processes[i] = mp_process_new(worker, mp_args(i), NULL);
        if (mp_process_start(processes[i]) != 0) {
            fprintf(stderr, "%s\n", mp_last_error_text());
            return 1;
        }
    }
    for (int i = 0; i < COUNT; i++) {
        mp_process_join(processes[i], MP_FOREVER);
        mp_process_free(processes[i]);
    }
    return 0;
}
