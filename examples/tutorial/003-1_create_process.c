/*
 * 003-1: create a process, start it, wait for it.
 *
 *     Python                              C
 *     Process(target=process_function)    mp_process_new(process_function, NULL, NULL)
 *     process.start()                     mp_process_start(process)
 *     process.join()                      mp_process_join(process, MP_FOREVER)
 */
#include <stdio.h>

#include <mp/mp.h>

static int
process_function(const mp_args *args)
{
    (void)args;
    printf("This is a separate process.\n");
    return 0;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    mp_process *process = mp_process_new(process_function, NULL, NULL);
    if (mp_process_start(process) != 0) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    mp_process_join(process, MP_FOREVER);
    mp_process_free(process);
    printf("Main process completed.\n");
    return 0;
}
