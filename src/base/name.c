/* base/name.c: one text under a mutex. */
#include "base/name.h"

#include <pthread.h>
#include <string.h>

#include "base/fork.h"

static MP__FORK_DATA char name[MP__NAME_BYTES] = "MainProcess";
MP__FORK_LEAF(mutex);

void
mp__name_set(const char *text)
{
    pthread_mutex_lock(&mutex);
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
    pthread_mutex_unlock(&mutex);
}

void
mp__name_get(char buf[MP__NAME_BYTES])
{
    pthread_mutex_lock(&mutex);
    memcpy(buf, name, sizeof name);
    pthread_mutex_unlock(&mutex);
}
