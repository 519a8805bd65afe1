/*
 * 004-4: a shared number with its lock: controlled sharing.
 *
 * += reads and writes, so it needs the lock around both; without it additions would be lost.
 *
 *     Python                              C
 *     Value('i', 0)                       mp_value_new(MP_TYPE_INT, 0)
 *     with x.get_lock(): x.value += 1     MP_WITH(mp_value_get_lock(x)) { *value += 1; }
 *     print(x.value)                      mp_value_get(x, &total)
 */
#include <stdio.h>

#include <mp/mp.h>

enum { COUNT = 2 };

static int
add(const mp_args *args)
{
    mp_value *x;
    mp_args_get(args, &x);

    int *value = mp_value_data(x);
    for (int i = 0; i < 1000; i++) {
        MP_WITH(mp_value_get_lock(x)) {
            *value += 1;
        }
    }
    return 0;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    mp_value *x = mp_value_new(MP_TYPE_INT, 0);
    mp_process *ps[COUNT];
    for (int i = 0; i < COUNT; i++) {
        ps[i] = mp_process_new(add, mp_args(x), NULL);
    }
    for (int i = 0; i < COUNT; i++) {
        if (x == NULL || mp_process_start(ps[i]) != 0) {
            fprintf(stderr, "%s\n", mp_last_error_text());
            return 1;
        }
    }
    for (int i = 0; i < COUNT; i++) {
        mp_process_join(ps[i], MP_FOREVER);
        mp_process_free(ps[i]);
    }

    mp_obj total;
    if (mp_value_get(x, &total) != 0) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    mp_print(total);
    mp_obj_free(total);
    mp_value_free(x);
    return 0;
}
