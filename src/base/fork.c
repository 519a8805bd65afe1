/*
 * base/fork.c: the one pthread_atfork registration of the library.
 *
 * It is made when the program is loaded, and a room that registers twice counts once: a fork in one
 * thread may find another anywhere in its first call, and the child does that call's part again.
 *
 * Leaves come behind all rooms: a room of a higher floor may hold its mutex while it takes a leaf.
 */
#include "base/fork.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define MOST_ROOMS 16

static MP__FORK_DATA struct {
    void (*before)(void);
    void (*in_parent)(void);
    void (*in_child)(void);
} rooms[MOST_ROOMS];
static MP__FORK_DATA int room_count;
static MP__FORK_DATA struct mp__fork_leaf *leaves;
static MP__FORK_DATA pthread_mutex_t mutex =
    PTHREAD_MUTEX_INITIALIZER; /* over rooms and leaves; held across fork */

static void
before(void)
{
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < room_count; i++) {
        if (rooms[i].before) {
            rooms[i].before();
        }
    }
    for (struct mp__fork_leaf *l = leaves; l; l = l->next) {
        pthread_mutex_lock(l->mutex);
    }
}

static void
unlock_leaves(void)
{
    for (struct mp__fork_leaf *l = leaves; l; l = l->next) {
        pthread_mutex_unlock(l->mutex);
    }
}

static void
in_parent(void)
{
    unlock_leaves();
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
    unlock_leaves();
    for (int i = room_count - 1; i >= 0; i--) {
        if (rooms[i].in_child) {
            rooms[i].in_child();
        }
    }
    pthread_mutex_unlock(&mutex);
}

__attribute__((constructor)) static void
install(void)
{
    pthread_atfork(before, in_parent, in_child);
}

int
mp__fork_hooks(void (*before_fork)(void), void (*parent)(void), void (*child)(void))
{
    int status = 0;
    pthread_mutex_lock(&mutex);
    bool known = false;
    for (int i = 0; i < room_count; i++) {
        known |= rooms[i].before == before_fork && rooms[i].in_parent == parent &&
                 rooms[i].in_child == child;
    }
    if (known) {
        /* nothing to do */
    } else if (room_count == MOST_ROOMS) {
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

void
mp__fork_leaf(struct mp__fork_leaf *leaf)
{
    pthread_mutex_lock(&mutex);
    leaf->next = leaves;
    leaves = leaf;
    pthread_mutex_unlock(&mutex);
}
