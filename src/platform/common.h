/* platform/common.h: what linux/ and posix/ share among themselves; nobody else includes it. */
#ifndef MP_PLATFORM_COMMON_H
#define MP_PLATFORM_COMMON_H

#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "platform/platform.h"

/* Random bytes from the system's device.  0 or -errno. */
int mp__plat_urandom(void *buf, size_t len);

/* Make fd close-on-exec.  0 or -errno. */
int mp__plat_cloexec(int fd);

/* A shared file without a name, by way of a name that nobody can guess.  Empty; fd or -errno. */
int mp__plat_shm_nameless(void);

/* Set the size; -EFBIG, and no SIGXFSZ, when a limit forbids it.  0 or -errno. */
int mp__plat_shm_resize(int fd, size_t size);

/*
 * Find the program that argv0 names, as the shell does: a path, or a name to look for in PATH.
 * buf gets the absolute path.  0 or -errno.
 */
int mp__plat_find_program(const char *argv0, char *buf, size_t size);

/* The identity of a file as build bytes, for modules that carry no build id. */
void mp__plat_file_build(const struct stat *file, mp__plat_funcref *ret);

/* Whether the two sides tell different builds; a build that is not known differs from none. */
bool mp__plat_build_differs(const mp__plat_funcref *one, const mp__plat_funcref *other);

/* mp__plat_die_with() by a thread that sleeps on the pipe.  0 or -errno. */
int mp__plat_watch(int fd);

/* waitid() for one process, without waiting when it has WNOHANG.  As mp__plat_child_ended(). */
int mp__plat_wait_id(idtype_t type, id_t id, int options, int *ret_code);

/* mp__plat_on_fault() and mp__plat_fault_stack() by the libc's calls. */
void mp__plat_on_fault_by_libc(int signal_number, mp__plat_fault handler);
void mp__plat_fault_stack_by_libc(void *stack, size_t size);

/* Each side's own part of mp__plat_spawn: close every descriptor from `first` up.  0 or an errno. */
int mp__plat_spawn_closes(posix_spawn_file_actions_t *actions, int first);

/* For it: one descriptor, if it is none below and exec would leave it open; and all below a bound.  0 or
   an errno. */
int mp__plat_spawn_close_one(posix_spawn_file_actions_t *actions, int first, int fd);
int mp__plat_spawn_close_below_bound(posix_spawn_file_actions_t *actions, int first);

#endif
