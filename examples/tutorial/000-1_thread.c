/*
 * 000-1: a thread, to compare with the process of 000-2.
 *
 * Threads share one process and C has them already, so nothing here is libmp's.
 *
 *     Python                              C
 *     Thread(target=worker), start()      pthread_create
 *     the wait at the program's end       pthread_join
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <mp/mp.h>

static void *
worker(void *unused)
{
    (void)unused;
    printf("Worker thread\n");
    return NULL;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    pthread_t thread;
    int status = pthread_create(&thread, NULL, worker, NULL);
    if (status != 0) {
        fprintf(stderr, "%s\n", strerror(status));
        return 1;
    }
    pthread_join(thread, NULL); /* the end of main() would take the thread with it */
    return 0;
}
