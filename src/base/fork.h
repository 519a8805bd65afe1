/*
 * base/fork.h: what happens to the library's private state around fork().
 *
 * One pthread_atfork registration runs the hooks of all rooms: before the fork in the order of
 * their registration, after it in reverse, so that private mutexes are taken and given back like
 * brackets and the child finds them free.
 */
#ifndef MP_BASE_FORK_H
#define MP_BASE_FORK_H

/*
 * Hooks of one room; any may be NULL.  Each room calls this once (pthread_once) before its private
 * state is first used.  0 or MP_ENOMEM (more rooms than slots: a defect of the library).
 */
int mp__fork_hooks(void (*before)(void), void (*in_parent)(void), void (*in_child)(void));

/*
 * The same for a mutex under which no other is ever taken: before a fork such ones come last, so
 * that they may be taken under any other.
 */
int mp__fork_leaf(void (*lock)(void), void (*unlock)(void));

/*
 * Of what is written around every fork (a mutex that is held across it, what a child sets first, the
 * heads of lists that a start changes): all of it side by side.  Each page that is written before and
 * after a fork is copied, and a start of a process costs little more than its pages.
 */
#if defined __ELF__ && defined __GNUC__
#define MP__FORK_DATA __attribute__((section("mp_fork_data")))
#else
#define MP__FORK_DATA
#endif

#endif
