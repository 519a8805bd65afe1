/* platform/children.c: what both sides share of seeing children end, and of ending with a parent. */
#include "platform/common.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

/* The watching thread's stack: it makes two calls. */
#define STACK_BYTES (64 * 1024)

int
mp__plat_wait_id(idtype_t type, id_t id, int options, int *ret_code)
{
    siginfo_t info;
    do {
        info.si_pid = 0;
        if (waitid(type, id, &info, options) == 0) {
            if (info.si_pid == 0) {
                return 0;
            }
            *ret_code = info.si_code == CLD_EXITED ? info.si_status & 0xff : -info.si_status;
            return 1;
        }
    } while (errno == EINTR);
    return -errno;
}

static void *
watch(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char byte;
    ssize_t n;
    do {
        n = read(fd, &byte, 1);
    } while (n > 0 || (n < 0 && errno == EINTR));
    if (n == 0) {
        kill(getpid(), SIGKILL);
    }
    return NULL; /* the descriptor was closed: nobody wants it any more */
}

int
mp__plat_watch(int fd)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, old;
    int status = pthread_attr_init(&attributes);
    if (status != 0) {
        return -status;
    }
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES); /* else it has the usual one */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for the program's threads */
    status = pthread_create(&thread, &attributes, watch, (void *)(intptr_t)fd);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    return -status;
}
