/*
 * 003-3: start all, then join all: between the two loops all four run at the same time.
 *
 *     Python                              C
 *     for number in numbers: start        the first loop
 *     for process in processes: join      the second loop
 */
#include <stdio.h>

#include <mp/mp.h>

enum { COUNT = 4 };

static int
print_number(const mp_args *args)
{
    int number;
    mp_args_get(args, &number);
    printf("Number: %d\n", number);
    return 0;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    const int numbers[COUNT] = {1, 2, 3, 4};
    mp_process *processes[COUNT];
    for (int i = 0; i < COUNT; i++) {
        processes[i] = mp_process_new(print_number, mp_args(numbers[i]), NULL);
        if (mp_process_start(processes[i]) != 0) {
            fprintf(stderr, "%s\n", mp_last_error_text());
            return 1;
        }
    }
    for (int i = 0; i < COUNT; i++) {
        mp_process_join(processes[i], MP_FOREVER);
        mp_process_free(processes[i]);
    }
    printf("All processes completed.\n");
    return 0;
}
