/*
 * 004-1: two processes, one function, two arguments.
 *
 *     Python                              C
 *     Process(target=task, args=(1,))     mp_process_new(task, mp_args(1), NULL)
 *     p1.join(), p2.join()                mp_process_join(p1, MP_FOREVER), then p2
 */
#include <stdio.h>

#include <mp/mp.h>

static int
task(const mp_args *args)
{
    int num;
    mp_args_get(args, &num);
    printf("Processing %d\n", num);
    return 0;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    mp_process *p1 = mp_process_new(task, mp_args(1), NULL);
    mp_process *p2 = mp_process_new(task, mp_args(2), NULL);
    if (mp_process_start(p1) != 0 || mp_process_start(p2) != 0) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    mp_process_join(p1, MP_FOREVER);
    mp_process_join(p2, MP_FOREVER);
    mp_process_free(p1);
    mp_process_free(p2);
    printf("Done\n");
    return 0;
}
