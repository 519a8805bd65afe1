/*
 * base/fork.h: what happens to the library's private state around fork().
 *
 * One pthread_atfork registration runs the hooks of all rooms: before the fork in the order of
 * their registration, after it in reverse, so that private mutexes are taken and given back like
 * brackets and the child finds them free.
 */
#ifndef MP_BASE_FORK_H
#define MP_BASE_FORK_H

#include <pthread.h>
#include <stddef.h>

/*
 * Hooks of one room; any may be NULL.  Each room calls this once (pthread_once) before its private
 * state is first used.  0 or MP_ENOMEM (more rooms than slots: a defect of the library).
 */
int mp__fork_hooks(void (*before)(void), void (*in_parent)(void), void (*in_child)(void));

/*
 * Of what is written around every fork (a mutex that is held across it, what a child sets first, the
 * heads of lists that a start changes), and by a spawned child: all of it side by side.  Each page
 * that is written before and after a fork is copied, and a start of a process costs little more than
 * its pages.
 */
#if defined __ELF__ && defined __GNUC__
#define MP__FORK_DATA __attribute__((section("mp_fork_data")))
#else
#define MP__FORK_DATA
#endif

/*
 * A leaf: a mutex of a file's under which no other is ever taken.  It is held across every fork, from
 * the moment on that the program is loaded; before a fork leaves come last, so that they may be
 * taken under any other.
 *
 *     MP__FORK_LEAF(mutex);
 */
struct mp__fork_leaf {
    pthread_mutex_t *mutex;
    struct mp__fork_leaf *next;
};
void mp__fork_leaf(struct mp__fork_leaf *leaf);

#define MP__FORK_LEAF(name)                                                                        \
    static MP__FORK_DATA pthread_mutex_t name = PTHREAD_MUTEX_INITIALIZER;                         \
    static struct mp__fork_leaf name##_leaf = {&name, NULL};                                       \
    __attribute__((constructor)) static void name##_is_a_leaf(void)                                \
    {                                                                                              \
        mp__fork_leaf(&name##_leaf);                                                               \
    }                                                                                              \
    struct mp__fork_leaf

#endif
