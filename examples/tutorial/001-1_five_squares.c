/*
 * 001-1: five processes side by side: five seconds of work are done in one.
 *
 *     Python                              C
 *     processes.append(process)           an array of mp_process *
 *     args=(num,)                         mp_args(numbers[i])
 *     for process in processes: join      the second loop
 */
#include <stdio.h>
#include <unistd.h>

#include <mp/mp.h>

enum { COUNT = 5 };

static int
square_number(const mp_args *args)
{
    int number;
    mp_args_get(args, &number);

    printf("Processing %d...\n", number);
    sleep(1);
    int result = number * number;
    printf("Result for %d: %d\n", number, result);
    return 0;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    const int numbers[COUNT] = {1, 2, 3, 4, 5};
    mp_process *processes[COUNT];
    for (int i = 0; i < COUNT; i++) {
        processes[i] = mp_process_new(square_number, mp_args(numbers[i]), NULL);
        if (mp_process_start(processes[i]) != 0) {
            fprintf(stderr, "%s\n", mp_last_error_text());
            return 1;
        }
    }
    for (int i = 0; i < COUNT; i++) {
        mp_process_join(processes[i], MP_FOREVER);
        mp_process_free(processes[i]);
    }
    printf("All processes finished.\n");
    return 0;
}
