/* base/name.c: one text under a mutex. */
#include "base/name.h"

#include <pthread.h>
#include <string.h>

#include "base/fork.h"

static MP__FORK_DATA char name[MP__NAME_BYTES] = "MainProcess";
static MP__FORK_DATA pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* held across fork */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
lock(void)
{
    pthread_mutex_lock(&mutex);
}

static void
unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

static void
install(void)
{
    mp__fork_leaf(lock, unlock);
}

void
mp__name_set(const char *text)
{
    pthread_once(&once, install);
    lock();
    size_t len = 0;
    while (len < sizeof name && text[len]) { /* no call: it is a page of libc to a forked child */
        name[len] = text[len];
        len++;
    }
    if (len == sizeof name) {
        len--;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80) {
            len--; /* not within a character of UTF-8 */
        }
    }
    name[len] = '\0';
    unlock();
}

void
mp__name_get(char buf[MP__NAME_BYTES])
{
    pthread_once(&once, install);
    lock();
    memcpy(buf, name, sizeof name);
    unlock();
}
