/* base/fork.c: the one pthread_atfork registration of the library. */
#include "base/fork.h"

#include <pthread.h>
#include <stddef.h>

#include "base/error.h"

#define MOST_ROOMS 16

static struct {
    void (*before)(void);
    void (*in_parent)(void);
    void (*in_child)(void);
} rooms[MOST_ROOMS];
static int room_count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* over rooms; held across fork */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
before(void)
{
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < room_count; i++) {
        if (rooms[i].before) {
            rooms[i].before();
        }
    }
}

static void
in_parent(void)
{
    for (int i = room_count - 1; i >= 0; i--) {
        if (rooms[i].in_parent) {
            rooms[i].in_parent();
        }
    }
    pthread_mutex_unlock(&mutex);
}

static void
in_child(void)
{
    for (int i = room_count - 1; i >= 0; i--) {
        if (rooms[i].in_child) {
            rooms[i].in_child();
        }
    }
    pthread_mutex_unlock(&mutex);
}

static void
install(void)
{
    pthread_atfork(before, in_parent, in_child);
}

int
mp__fork_hooks(void (*before_fork)(void), void (*parent)(void), void (*child)(void))
{
    int status = 0;
    pthread_once(&once, install);
    pthread_mutex_lock(&mutex);
    if (room_count == MOST_ROOMS) {
        status = mp__error(MP_ENOMEM, "libmp: too many fork hooks (a defect of the library)");
    } else {
        rooms[room_count].before = before_fork;
        rooms[room_count].in_parent = parent;
        rooms[room_count].in_child = child;
        room_count++;
    }
    pthread_mutex_unlock(&mutex);
    return status;
}
