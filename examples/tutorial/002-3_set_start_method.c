/*
 * 002-3: choose the start method for the whole program.
 *
 *     Python                              C
 *     mp.set_start_method('spawn')        mp_set_start_method("spawn", false)
 *     print(q.get())                      mp_queue_get(q, &item, MP_FOREVER), mp_print(item)
 */
#include <stdio.h>

#include <mp/mp.h>

static int
foo(const mp_args *args)
{
    mp_queue *q;
    mp_args_get(args, &q);
    return mp_queue_put(q, "hello", MP_FOREVER);
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    if (mp_set_start_method("spawn", false) != 0) { /* false: only if none is chosen yet */
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    mp_queue *q = mp_queue_new(0);
    mp_process *p = mp_process_new(foo, mp_args(q), NULL);
    mp_obj item;
    if (q == NULL || mp_process_start(p) != 0 || mp_queue_get(q, &item, MP_FOREVER) != 0) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    mp_print(item);
    mp_obj_free(item);

    mp_process_join(p, MP_FOREVER);
    mp_process_free(p);
    mp_queue_free(q);
    return 0;
}
