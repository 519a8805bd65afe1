/*
 * 002-8: a lock lets one process at a time do its second of work.
 *
 * Had a holder died, the next one would get the lock with the news MP_OWNER_DIED, and not hang.
 *
 *     Python                              C
 *     with lock:                          MP_WITH(lock) { ... }
 *     current_process().name              mp_process_name(mp_current_process())
 *     while not q.empty()                 while (mp_queue_empty(q) == 0)
 *     results.append(q.get())             mp_list_append(results, item)
 */
#include <stdio.h>
#include <unistd.h>

#include <mp/mp.h>

enum { COUNT = 5 };

static int
worker(const mp_args *args)
{
    mp_queue *q;
    mp_lock *lock;
    int num;
    mp_args_get(args, &q, &lock, &num);

    int status = MP_ESTATE; /* stays when the lock cannot be had */
    MP_WITH(lock) {
        printf("%s working on %d\n", mp_process_name(mp_current_process()), num);
        sleep(1);
        status = mp_queue_put(q, num * 2, MP_FOREVER);
    }
    return status;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    mp_queue *q = mp_queue_new(0);
    mp_lock *lock = mp_lock_new();
    const int numbers[COUNT] = {1, 2, 3, 4, 5};
    mp_process *processes[COUNT];
    for (int i = 0; i < COUNT; i++) {
        processes[i] = mp_process_new(worker, mp_args(q, lock, numbers[i]), NULL);
    }
    for (int i = 0; i < COUNT; i++) {
        if (q == NULL || lock == NULL || mp_process_start(processes[i]) != 0) {
            fprintf(stderr, "%s\n", mp_last_error_text());
            return 1;
        }
    }
    for (int i = 0; i < COUNT; i++) {
        mp_process_join(processes[i], MP_FOREVER);
        mp_process_free(processes[i]);
    }

    mp_obj results = mp_list();
    mp_obj item;
    while (mp_queue_empty(q) == 0 && mp_queue_get(q, &item, MP_FOREVER) == 0) {
        mp_list_append(results, item);
    }
    mp_print(results);
    mp_obj_free(results);
    mp_lock_free(lock);
    mp_queue_free(q);
    return 0;
}
