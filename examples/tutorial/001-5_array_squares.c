/*
 * 001-5: an array that all processes see.
 *
 * Its data is a plain C pointer, valid in every process.  Each process writes an element of its
 * own, so no lock is needed; 004-4 shows one that is.
 *
 *     Python                              C
 *     Array('i', [2, 3, ...])             mp_array_new(MP_TYPE_INT, COUNT, init)
 *     args=(i, arr)                       mp_args(i, arr)
 *     value[index] = value[index]**2      value = mp_array_data(arr), then as in C
 *     print(list(arr))                    mp_print(mp_array_tolist(arr)), and free the list
 */
#include <stdio.h>

#include <mp/mp.h>

enum { COUNT = 7 };

static int
square(const mp_args *args)
{
    int index;
    mp_array *arr;
    mp_args_get(args, &index, &arr);

    int *value = mp_array_data(arr);
    value[index] = value[index] * value[index];
    return 0;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    const int init[COUNT] = {2, 3, 4, 5, 6, 7, 8};
    mp_array *arr = mp_array_new(MP_TYPE_INT, COUNT, init);
    if (arr == NULL) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }

    mp_process *process[COUNT];
    for (int i = 0; i < COUNT; i++) {
        process[i] = mp_process_new(square, mp_args(i, arr), NULL);
        if (mp_process_start(process[i]) != 0) {
            fprintf(stderr, "%s\n", mp_last_error_text());
            return 1;
        }
    }
    for (int i = 0; i < COUNT; i++) {
        mp_process_join(process[i], MP_FOREVER);
        mp_process_free(process[i]);
    }

    mp_obj list = mp_array_tolist(arr);
    mp_print(list);
    mp_obj_free(list);
    mp_array_free(arr);
    return 0;
}
