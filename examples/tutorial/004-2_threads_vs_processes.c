/*
 * 004-2: the same loop in two threads, then in two processes.
 *
 * Python's threads take turns at the interpreter's lock and its processes do not; C's threads and
 * processes both run side by side.  Processes still keep each other's memory, and crashes, apart.
 *
 *     Python                              C
 *     threading.Thread                    pthread_create, pthread_join
 *     multiprocessing.Process             mp_process_new, start, join
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <mp/mp.h>

static void
count(void)
{
    volatile long total = 0; /* volatile: the compiler is not to skip the work */
    for (long i = 0; i < 10000000; i++) {
        total = total + 1;
    }
    printf("counted %ld\n", total);
}

static void *
count_in_thread(void *unused)
{
    (void)unused;
    count();
    return NULL;
}

static int
count_in_process(const mp_args *args)
{
    (void)args;
    count();
    return 0;
}

static int
run_threads(void)
{
    pthread_t a, b;
    int status = pthread_create(&a, NULL, count_in_thread, NULL);
    if (status != 0) {
        return status;
    }
    status = pthread_create(&b, NULL, count_in_thread, NULL);
    if (status == 0) {
        pthread_join(b, NULL);
    }
    pthread_join(a, NULL);
    return status;
}

static int
run_processes(void)
{
    mp_process *a = mp_process_new(count_in_process, NULL, NULL);
    mp_process *b = mp_process_new(count_in_process, NULL, NULL);
    int status = mp_process_start(a);
    if (status == 0) {
        status = mp_process_start(b);
    }
    if (status == 0) {
        mp_process_join(a, MP_FOREVER);
        mp_process_join(b, MP_FOREVER);
    }
    mp_process_free(a);
    mp_process_free(b);
    return status;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    int status = run_threads();
    if (status != 0) {
        fprintf(stderr, "%s\n", strerror(status));
        return 1;
    }
    if (run_processes() != 0) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    return 0;
}
