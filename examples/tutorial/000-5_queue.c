/*
 * 000-5: a queue carries a message from one process to another.
 *
 * The queue lives in memory that all processes of the program share, so the pointer itself is the
 * argument, under every start method.
 *
 *     Python                              C
 *     Queue()                             mp_queue_new(0)
 *     args=(queue,)                       mp_args(queue)
 *     queue.put("Hello ...")              mp_queue_put(queue, "Hello ...", MP_FOREVER)
 *     message = queue.get()               mp_queue_get(queue, &message, MP_FOREVER)
 */
#include <stdio.h>

#include <mp/mp.h>

static int
producer(const mp_args *args)
{
    mp_queue *queue;
    mp_args_get(args, &queue);
    return mp_queue_put(queue, "Hello from Producer", MP_FOREVER); /* an error ends as in Python */
}

static int
consumer(const mp_args *args)
{
    mp_queue *queue;
    mp_args_get(args, &queue);

    mp_obj message;
    int status = mp_queue_get(queue, &message, MP_FOREVER);
    if (status != 0) {
        return status;
    }
    printf("Received: %s\n", mp_as_str(message));
    mp_obj_free(message);
    return 0;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    mp_queue *queue = mp_queue_new(0); /* 0: any number of messages */
    mp_process *p1 = mp_process_new(producer, mp_args(queue), NULL);
    mp_process *p2 = mp_process_new(consumer, mp_args(queue), NULL);
    if (queue == NULL || mp_process_start(p1) != 0 || mp_process_start(p2) != 0) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    mp_process_join(p1, MP_FOREVER);
    mp_process_join(p2, MP_FOREVER);

    mp_process_free(p1);
    mp_process_free(p2);
    mp_queue_free(queue);
    return 0;
}
