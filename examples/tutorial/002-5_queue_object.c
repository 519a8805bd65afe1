/*
 * 002-5: a structured value through a queue.
 *
 *     Python                              C
 *     [42, None, 'hello']                 mp_list(42, mp_none(), "hello")
 *     print(q.get())                      mp_print writes what Python's print does
 */
#include <stdio.h>

#include <mp/mp.h>

static int
f(const mp_args *args)
{
    mp_queue *q;
    mp_args_get(args, &q);
    return mp_queue_put(q, mp_list(42, mp_none(), "hello"), MP_FOREVER);
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    mp_queue *q = mp_queue_new(0);
    mp_process *p = mp_process_new(f, mp_args(q), NULL);
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
