/*
 * process/launch.h: what a spawned or served child is sent, and what it answers.
 *
 * The launch block lies in the family's heap: everything about the child but descriptors.  To a
 * spawned process, its mark in the environment says where heap and block are, and it inherits the
 * descriptors.  To one that is forked ahead, the hello, a small fixed message over a socket, says
 * where the block is and carries them.  The answer tells whether the child has joined the family and
 * found its target, so that mp_process_start() returns the real reason when it has not.
 */
#ifndef MP_PROCESS_LAUNCH_H
#define MP_PROCESS_LAUNCH_H

#include <stdint.h>

#include "heap/funcref.h"
#include "process/process.h"

/* Descriptors of arguments that a child is sent at most, and all of a hello: also the resource
   tracker's, and the lifeline of a daemon, which is the last.  The kernel takes 253. */
#define MP__LAUNCH_FDS 250
#define MP__HELLO_FDS  (MP__LAUNCH_FDS + 2)

/*
 * The mark of a spawned process: "PARENT'S PID:INODE:KIND:COUNT:BASE:SIZE:BLOCK", decimal.  It has COUNT
 * descriptors from MP__CHILD_FD up: where it answers, a pipe, of a server a socket, which has that
 * inode; the heap's, which is BASE and SIZE, but not a tracker; and those of the block.
 */
#define MP__CHILD_FD  3
#define MP__CHILD_FDS (MP__LAUNCH_FDS + 4)

enum mp__hello_kind {
    MP__HELLO_CHILD = 1,   /* be this child */
    MP__HELLO_SERVER = 2,  /* be the forkserver */
    MP__HELLO_TRACKER = 5, /* be the resource tracker, of the pipe that comes with it */
    /* to the forkserver, and from it */
    MP__HELLO_NEXT = 3, /* I took your spare `number`: offer another */
    MP__HELLO_OFFER = 4 /* here is spare `number` with its socket; pid < 0: -errno, there is none */
};

/* So many children wait, forked ahead: starts that come close together find one each, and their
   successors are forked meanwhile. */
#define MP__SPARES 4

#define MP__HELLO_MAGIC UINT32_C(0x6c6d7031)

struct mp__hello {
    uint32_t magic;
    uint16_t kind;
    uint16_t reserved;
    uint64_t block; /* address of the launch block */
    uint64_t number;
    int32_t pid, unused;
};

struct mp__answer {
    int32_t status; /* 0 or why not */
    int32_t pid;
    char text[248];
};

/* What the forkserver writes to a child's socket when it has ended. */
struct mp__end {
    int32_t exitcode; /* 0 to 255, or minus the signal's number */
    int32_t unread;   /* is left there, and so the sentinel stays readable */
};

/* A launch block and the descriptors that belong to it. */
struct mp__launch {
    void *block;
    int fds[MP__LAUNCH_FDS + 2]; /* borrowed */
    int fd_count;
    int lifeline; /* the last of them, ours to close; -1: no daemon */
    int tracker;  /* the one before, likewise; below 0: there is no resource tracker */
};

/* Describe p for a child of `method`.  0 or an error with text. */
int mp__launch_make(mp_process *p, const char *method, struct mp__launch *ret);
void mp__launch_sent(struct mp__launch *l); /* the child has the descriptors */
void mp__launch_done(struct mp__launch *l);

/*
 * In the child: be what the block describes.  Answers on answer_fd, a pipe if the parent is the
 * system's parent too, closes it, and runs; or answers what is wrong and exits.  fds are the block's,
 * owned by the child from now on.
 */
void mp__launch_run(const void *block, const int *fds, int fd_count, int answer_fd,
                    bool parent_is_os_parent) MP_NORETURN_ATTR;

/* As mp__plat_recv_fds() of a hello; the descriptors are lifted.  -EPROTO: it is no hello. */
int mp__launch_receive(int sock, struct mp__hello *ret, int *fds, int *count);

/*
 * For a child that is forked ahead.  mp__launch_target() copies the block's target, which
 * mp__launch_prepare() looks up in the process that forks, so that the next child finds it known;
 * mp__launch_warm() touches, in the child, what it will touch again when it is launched.
 */
void mp__launch_target(const void *block, mp__funcref *ret);
void mp__launch_prepare(const mp__funcref *target);
void mp__launch_warm(void);

/* Read the child's answer: its status with its text as last error.  -EPIPE when it ended first. */
int mp__launch_await(int fd, mp__deadline until, struct mp__answer *ret);
int mp__launch_read(int fd, struct mp__answer *ret); /* the same when something has come */

/* Send an answer of this process with this status and the last error's text.  0, or -errno: nobody
   listens. */
int mp__launch_answer(int fd, int status);

/* How long a child may take from exec to mp_freeze_support(). */
#if defined MP_TESTING
extern int64_t mp__launch_patience; /* for tests that cannot wait for so long */
#define MP__LAUNCH_PATIENCE mp__launch_patience
#else
#define MP__LAUNCH_PATIENCE (60 * MP__S)
#endif

/* popen_spawn.c: whether it can work at all: 0 or an error with text. */
int mp__spawn_possible(void);

/*
 * popen_spawn.c: run this program's image anew, to be of that kind, with the heap and the block and
 * descriptors of l.  0 with the pid, its pidfd or a negative number, and the end on which it has
 * answered "good"; or an error with text.
 */
int mp__spawn_image(enum mp__hello_kind kind, const struct mp__launch *l, pid_t *ret_pid,
                    int *ret_pidfd, int *ret_end);

/*
 * popen_spawn.c: wait for what a process of ours is to write to fd, as long as a start may take.  One
 * that somebody stopped is told to go on: it is no child of the user's yet, and nobody else would.
 * 0; MP_ETIMEOUT; -errno.
 */
int mp__spawn_await_word(int fd, pid_t pid, int pidfd);

/* popen_spawn.c: wait for the end of such a process, likewise, and reap it.  0; MP_ETIMEOUT; -ECHILD:
   somebody else reaped it. */
int mp__spawn_await_end(pid_t pid, int pidfd, mp__deadline until, int *ret_code);

/*
 * preload.c: what the server is to run first.  In the client: the list as a block of the heap, for
 * the hello; NULL when there is none, or with *ret_status < 0 and text.  In the server: run them;
 * 0 or an error with text: it is to end.
 */
void *mp__preload_describe(int *ret_status);
int mp__preload_run(const void *block);
void mp__preload_lock(void); /* held across fork */
void mp__preload_unlock(void);

/* forkserver.c: serve requests that come in on sock until it is closed.  lifeline is not for our
   children; -1: there is none. */
void mp__forkserver_main(int sock, int lifeline) MP_NORETURN_ATTR;

#endif
