/*
 * process/tracker.h: the resource tracker: its clients' side, its requests, and itself.
 *
 * resource_tracker.c  the clients' side
 * tracker_line.c      requests as lines of CPython's wire
 * tracker_main.c      the helper process
 *
 * The last two call nothing but what a child of fork() among threads may call: no malloc, no stdio.
 */
#ifndef MP_PROCESS_TRACKER_H
#define MP_PROCESS_TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <mp/config.h>

/* Of a line, its line feed included: so much a pipe takes whole, everywhere. */
#define MP__TRACKER_LINE 512

/* ---- tracker_line.c -------------------------------------------------------------------------- */

struct mp__tracker_request {
    size_t name_len;
    char command[MP__TRACKER_LINE], type[MP__TRACKER_LINE], name[MP__TRACKER_LINE]; /* with NULs */
};

/* command is "REGISTER", "UNREGISTER" or "PROBE".  The line's length, or MP_EVALUE with text. */
int mp__tracker_format(char line[MP__TRACKER_LINE], const char *command, const char *name,
                       const char *type);

/* A line without its line feed.  Whether it is a request, of whatever command and type. */
bool mp__tracker_parse(const char *line, size_t len, struct mp__tracker_request *ret);

/* ---- tracker_main.c -------------------------------------------------------------------------- */

/* Be deaf to the signals that end programs, have none of the program's handlers. */
void mp__tracker_deaf(void);

/* Serve the clients behind the reading end fd, and end with them. */
void mp__tracker_main(int fd) MP_NORETURN_ATTR;

/* ---- resource_tracker.c ---------------------------------------------------------------------- */

/* Whether the fork that this thread makes is of a child that keeps the tracker. */
extern _Thread_local bool mp__tracker_keep;

/* Whether there may be a tracker to keep. */
bool mp__tracker_runs(void);

/* A descriptor of the tracker's for a child that is to be started, the caller's to close; -1: there
   is no tracker; below that -errno. */
int mp__tracker_share(void);

/* In a child: fd, which is the library's now, is our tracker's. */
void mp__tracker_adopt(int fd);

/* At the end of the process: let go, and wait a little. */
void mp__tracker_end(void);

/* ---- popen_spawn.c --------------------------------------------------------------------------- */

/* Run the image as tracker behind the reading end fd.  0 or an error with text. */
int mp__spawn_tracker(int fd, pid_t *ret_pid);

/* ---- passfds.c ------------------------------------------------------------------------------- */

/* The highest descriptor there may be; close all up to it but the sorted `keep`, calling nothing that
   takes a lock. */
int mp__fds_highest(void);
void mp__fds_close_others(const int *keep, size_t count, int last);

#endif
