/*
 * process/finalize.h: what a process runs for its user at its end, and at its beginning.
 *
 * finalize.c     finalizers, by priority or with an object
 * exit.c         exit handlers, and the order of the end
 * after_fork.c   callbacks in a child; locks and thread-locals that a child finds fresh
 * temp_dir.c     the temporary directory
 * passfds.c      descriptors for other programs
 *
 * Threads   one mutex over the lists of all four, none while a callback runs
 * Fork      the mutex is held across it
 */
#ifndef MP_PROCESS_FINALIZE_H
#define MP_PROCESS_FINALIZE_H

#include <stdint.h>

#include <mp/util.h>

/* exit.c */
void mp__registry_lock(void);
void mp__registry_unlock(void);
int mp__registry_init(void); /* fork hooks; from mp__process_init() only */

/* In a child that the library started: its parent's handlers and finalizers are its parent's. */
void mp__exit_forget(void);

/* finalize.c: run those of at least this priority that are there now. */
void mp__finalizers_run(int least_priority);
/* Have the end of objects told to them. */
void mp__finalizers_watch(void);
/* All are gone, those without a priority too. */
void mp__finalizers_clear(void);

/* after_fork.c */
void mp__after_fork_run(void);
void mp__after_fork_object_ended(const void *obj);
void mp__fork_fresh(void); /* the mutex is held; in a child of any fork */

/* temp_dir.c: its name, "" for none; ret has MP__TEMP_DIR_BYTES. */
#define MP__TEMP_DIR_BYTES 4096
void mp__temp_dir_get(char *ret);
void mp__temp_dir_adopt(const char *name);

#endif
