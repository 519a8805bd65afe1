/*
 * 004-3: join the producer first, read its message afterwards.
 *
 * Python may hang here when the message is large: its put hands over to a thread that needs a
 * reader before the process can end.  Here put is done when it returns, so any order is fine.
 *
 *     Python                              C
 *     p.join(), then q.get()              mp_process_join, then mp_queue_get
 */
#include <stdio.h>

#include <mp/mp.h>

static int
worker(const mp_args *args)
{
    mp_queue *q;
    mp_args_get(args, &q);
    return mp_queue_put(q, "Hello from process", MP_FOREVER);
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    mp_queue *q = mp_queue_new(0);
    mp_process *p = mp_process_new(worker, mp_args(q), NULL);
    if (q == NULL || mp_process_start(p) != 0) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    mp_process_join(p, MP_FOREVER);

    mp_obj item;
    if (mp_queue_get(q, &item, 0) != 0) { /* 0: the message is there already, or never comes */
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    mp_print(item);
    mp_obj_free(item);
    mp_process_free(p);
    mp_queue_free(q);
    return 0;
}
