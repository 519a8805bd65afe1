/*
 * 002-4: choose the start method for one process, by a context.
 *
 * Queues are the same under every method, so a queue takes no context here.
 *
 *     Python                              C
 *     ctx = mp.get_context('spawn')       ctx = mp_get_context("spawn")
 *     ctx.Process(...)                    .context = ctx in the options
 *     ctx.Queue()                         mp_queue_new(0)
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

    const mp_context *ctx = mp_get_context("spawn");
    mp_queue *q = mp_queue_new(0);
    mp_process *p = mp_process_new(foo, mp_args(q), &(mp_process_options){.context = ctx});
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
