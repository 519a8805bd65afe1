/*
 * 001-4: a queue with values of several types, and None as the sign to stop.
 *
 * The parent joins the producer before it puts None, so None is last.
 *
 *     Python                              C
 *     q.put(i), queue.put("Shiva")        mp_queue_put takes any C number or text
 *     queue.put(None)                     mp_queue_put(queue, mp_none(), MP_FOREVER)
 *     if item is None                     mp_is_none(item)
 *     print(f"consumed {item}")           mp_obj_str(item): the text of a value of any type
 */
#include <stdio.h>
#include <stdlib.h>

#include <mp/mp.h>

static int
producer(const mp_args *args)
{
    mp_queue *q;
    mp_args_get(args, &q);

    int status = 0;
    for (int i = 0; i < 10 && status == 0; i++) {
        status = mp_queue_put(q, i, MP_FOREVER);
    }
    return status;
}

static int
consumer(const mp_args *args)
{
    mp_queue *q;
    mp_args_get(args, &q);

    for (;;) {
        mp_obj item;
        int status = mp_queue_get(q, &item, MP_FOREVER);
        if (status != 0) {
            return status;
        }
        if (mp_is_none(item)) {
            return 0;
        }
        char *text = mp_obj_str(item);
        printf("consumed %s\n", text != NULL ? text : mp_last_error_text());
        free(text);
        mp_obj_free(item);
    }
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    mp_queue *queue = mp_queue_new(0);
    mp_process *m1 = mp_process_new(producer, mp_args(queue), NULL);
    mp_process *m2 = mp_process_new(consumer, mp_args(queue), NULL);
    if (queue == NULL || mp_process_start(m1) != 0 || mp_process_start(m2) != 0) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }

    int status = mp_queue_put(queue, "Shiva", MP_FOREVER);
    if (status == 0) {
        status = mp_queue_put(queue, "Yadav", MP_FOREVER);
    }
    mp_process_join(m1, MP_FOREVER);
    if (status == 0) {
        status = mp_queue_put(queue, mp_none(), MP_FOREVER);
    }
    if (status != 0) { /* the consumer would wait for ever */
        fprintf(stderr, "%s\n", mp_last_error_text());
        mp_process_terminate(m2);
    }
    mp_process_join(m2, MP_FOREVER);

    mp_process_free(m1);
    mp_process_free(m2);
    mp_queue_free(queue);
    return status != 0;
}
