/*
 * platform/platform.h: everything the operating system gives, as one contract.
 *
 * Two sides fill it in: linux/ and posix/, chosen by CMake's MP_PLATFORM.  posix/ uses nothing but
 * POSIX.1-2008 (and mmap's anonymous memory); both pass the same tests.  Files directly in
 * platform/ are shared by both sides.  A call that fails returns -errno and leaves no text: the
 * room that asked knows what it was for.  All descriptors are close-on-exec.
 */
#ifndef MP_PLATFORM_H
#define MP_PLATFORM_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/deadline.h"
#include "base/hot_tls.h"

/* ---- time, randomness, processors ------------------------------------------------------------ */

/* Monotonic nanoseconds, the same clock in every process. */
int64_t mp__plat_now(void);

/* Fill buf with unpredictable bytes.  0 or -errno. */
int mp__plat_random(void *buf, size_t len);

/* Processors in the system and those this process may run on; at least 1. */
int mp__plat_cpus(void);
int mp__plat_usable_cpus(void);

/*
 * Let this thread, and what it makes, run on these processors only, by their numbers.  0; -EINVAL:
 * one of them is none that it may use, and nothing has changed; -ENOTSUP (posix/ has no such call).
 */
int mp__plat_set_cpus(const int32_t *cpus, size_t count);

/* The threads of this process; 0 when the system does not tell. */
int mp__plat_threads(void);

/* One spin of a waiting loop. */
static inline void
mp__plat_pause(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("isb");
#endif
}

/*
 * A round of a waiting loop that spins for something another one is about to store: each look takes
 * its cache line away from there, so rounds grow.  Begin with 1; the pauses of the next round.
 */
static inline int
mp__plat_back_off(int pauses)
{
    for (int i = 0; i < pauses; i++) {
        mp__plat_pause();
    }
    return pauses < 16 ? pauses * 2 : pauses;
}

/* ---- waiting on a word in shared memory ------------------------------------------------------ */

/*
 * Sleep while *word is `expected`, for at most ns nanoseconds; spurious returns are normal.
 * 0 when woken or the word differs, -ETIMEDOUT.  posix/ has no such call across processes that
 * survives a death, so it naps for growing times and looks again; wakers cost nothing there.
 */
int mp__plat_wait(_Atomic uint32_t *word, uint32_t expected, int64_t ns);

/* Wake up to n sleepers of word; how many were woken (posix/: 0, they look by themselves). */
int mp__plat_wake(_Atomic uint32_t *word, int n);

/*
 * Tell the kernel, by one store and no call, that this thread is about to take or release the lock
 * word: if the thread dies while the tid in the low half of *word is its own, the kernel puts
 * MP__PLAT_DIED in the place of the tid (MP__PLAT_WAITERS stays) and wakes one sleeper; if the low
 * half is 0 then, it only wakes one.  NULL when done.  One word at a time per thread.  Only a hint
 * that shortens recovery: posix/ and systems without it tell nobody.
 */
extern MP__HOT_TLS struct mp__plat_hint {
    volatile uintptr_t *tell; /* NULL: not found yet */
    uintptr_t offset;         /* of what the kernel wants to hear from the word */
} mp__plat_hint;
void mp__plat_find_hint(void);

static inline void
mp__plat_dying_hint(_Atomic uint64_t *word)
{
    if (__builtin_expect(mp__plat_hint.tell == NULL, 0)) {
        mp__plat_find_hint();
    }
    /* Only this thread dies by it, so the order within the thread is all that matters. */
    atomic_signal_fence(memory_order_seq_cst);
    *mp__plat_hint.tell = word ? (uintptr_t)word + mp__plat_hint.offset : 0;
    atomic_signal_fence(memory_order_seq_cst);
}
#define MP__PLAT_DIED    UINT32_C(0x40000000)
#define MP__PLAT_WAITERS UINT32_C(0x80000000)
#define MP__PLAT_TID     UINT32_C(0x3fffffff)

/* Drop what is cached of this thread (its number, its hint); the child of a fork must call it. */
void mp__plat_forget_thread(void);

/* ---- identity and liveness ------------------------------------------------------------------- */

/* The thread's number, unique in the system (linux/) or in the process (posix/); not 0. */
uint32_t mp__plat_tid(void);

/* Whether this is the process's first thread; in the child of a fork, the one that forked. */
bool mp__plat_first_thread(void);

/* Whether the thread of that number, of whatever process, is stopped; true also if nobody can tell. */
bool mp__plat_thread_stopped(uint32_t number);

/* When the process started, in units of the system, cut to 32 bits; 0 when that cannot be told. */
uint32_t mp__plat_start_time(pid_t pid);

/*
 * Whether the process pid, which started at start (0: unknown), has ended.  A zombie has ended.
 * lock_fd and lock_byte name the record lock it holds since mp__plat_hold(); linux/ does not use
 * them, it asks /proc; posix/ asks for the lock, which the kernel drops with the process, so a
 * process that has not called mp__plat_hold() yet has ended there.  lock_fd < 0: kill() has to do.
 */
bool mp__plat_process_ended(pid_t pid, uint32_t start, int lock_fd, off_t lock_byte);

/*
 * Hold, as this process, the record lock on one byte of fd until the process ends. 0 or -errno
 * (-EAGAIN: another process holds it).  A forked child does not inherit it.  posix/: the system
 * drops the locks of a process as soon as it closes any descriptor of that file, so a member keeps
 * all of its descriptors of it open.  linux/, and lock_fd < 0: nothing to do.
 */
int mp__plat_hold(int lock_fd, off_t lock_byte);

/* Drop it again. */
void mp__plat_drop(int lock_fd, off_t lock_byte);

/* ---- shared memory --------------------------------------------------------------------------- */

/*
 * An anonymous shared file of size bytes, sparse, sealed against changes of its size where the
 * system can.  The descriptor, or -errno (-EFBIG, -ENOMEM: try smaller).
 */
int mp__plat_shm_create(size_t size);

/*
 * Have the system back pages [offset, offset + len) now.  0, or -errno (-ENOSPC, -ENOMEM); some of
 * the pages may be backed then.  What the pages hold is kept.
 */
int mp__plat_shm_reserve(int fd, void *base, size_t offset, size_t len);

/* Give whole pages [offset, offset + len) back; they read as zero.  0, -ENOTSUP, -errno. */
int mp__plat_shm_discard(int fd, void *base, size_t offset, size_t len);

/* Bytes the system holds for the file; 0 when unknown. */
size_t mp__plat_shm_committed(int fd);

/*
 * Map the file at exactly `at`, or anywhere with at NULL; never over another mapping.  fd -1: an
 * anonymous shared mapping, inherited by fork only.  MAP_FAILED with errno: EEXIST when the place
 * is taken.  linux/ keeps the mapping out of core dumps: dumping a sparse file fills its holes.
 */
void *mp__plat_map(int fd, void *at, size_t size);

/* ---- descriptors ----------------------------------------------------------------------------- */

int mp__plat_pipe(int ret_fds[2]);
int mp__plat_socketpair(int ret_fds[2]); /* AF_UNIX stream */

/*
 * Descriptors of ours stay off the standard ones' numbers, which are free in a program that runs
 * without them: what it prints would go to the heap or to the other side.  fd, moved if it must
 * be; or -errno, and fd is closed.
 */
int mp__plat_lift(int fd);
int mp__plat_lift_pair(int fds[2]); /* 0, or -errno and both are closed */

/*
 * Write all of the vector, whatever the descriptor is; EINTR is retried, SIGPIPE never shows, a
 * non-blocking descriptor is waited for.  The vector is changed.  0 or -errno.
 */
int mp__plat_write_all(int fd, struct iovec *iov, int count);

/*
 * Read exactly len bytes unless the file ends; EINTR is retried.  The number of bytes read,
 * less than len only at the end of the file, or -errno.
 */
ssize_t mp__plat_read_all(int fd, void *buf, size_t len);

/* Wait until fd is readable or at its end.  1, 0 when the deadline passed, -errno. */
int mp__plat_poll_in(int fd, mp__deadline until);

/*
 * One message of len bytes (at least 1) with n descriptors, at most MP__PLAT_MOST_FDS, over a
 * stream socket.  0 or -errno.
 */
#define MP__PLAT_MOST_FDS 253
int mp__plat_send_fds(int sock, const void *data, size_t len, const int *fds, int n);

/*
 * Receive len bytes and the descriptors that came with them, at most *n; *n becomes their number;
 * more than that are closed.  0; -ENODATA when the other side is closed; -errno (-EMFILE: no room
 * for all of them here; the bytes are read).  After an error no descriptor is left, *n is 0.
 */
int mp__plat_recv_fds(int sock, void *data, size_t len, int *fds, int *n);

/* Whether the stream stdin may hold bytes that it has read and nobody took yet. */
bool mp__plat_stdin_has_unread(void);

/* Whether descriptor 0 is open for reading on /dev/null already; false where that cannot be told. */
bool mp__plat_stdin_is_null(void);

/* fflush() stdout and stderr, if they may hold anything. */
void mp__plat_flush_output(void);

/* ---- processes ------------------------------------------------------------------------------- */

/*
 * A descriptor that is readable once the child pid, not yet reaped, has ended; or -ENOTSUP, and
 * the caller uses a pipe that the child holds.
 */
int mp__plat_pidfd(pid_t pid);

/*
 * Run the program at path with its standard descriptors, the `count` of keep as 3, 4 and so on, and no
 * other; default signals, empty mask.  A standard descriptor that is closed here is closed there.  At
 * most MP__PLAT_MOST_KEPT of them.  0 and *ret_pid, or -errno; EMFILE: a number above the limit.
 */
#define MP__PLAT_MOST_KEPT 256
int mp__plat_spawn(const char *path, char *const argv[], char *const envp[], const int *keep,
                   int count, pid_t *ret_pid);

/*
 * Where this program's image can be run from again; buf is filled.  0 or -errno.  argv0 may be
 * NULL on linux/.  posix/ also notes the file's identity, for the build in function references.
 */
int mp__plat_executable(const char *argv0, char *buf, size_t size);

/*
 * Have this process ended by SIGKILL when fd, the reading end of a pipe, comes to the end of the
 * file; at once when it is there already.  No other process may have this very end: one that did
 * would be killed in our place.  fd stays open.  0 or -errno.  linux/ has the kernel do it; posix/
 * needs a thread that sleeps on the pipe.
 */
int mp__plat_die_with(int fd);

/*
 * Have this process ended by SIGKILL when the thread that forked it ends, or no more.  0; -ENOTSUP on
 * posix/; -errno.  A parent that ended before is the caller's to look for.
 */
int mp__plat_die_with_forker(bool on);

/*
 * Whether the child pid has ended.  1 and *ret_code, 0 to 255 or minus the signal; 0 it has not;
 * -ECHILD: somebody else has its status.  It stays a zombie, and its pid its own, until
 * mp__plat_reap().  pidfd is -1 or the child's: with it no other child that got the same pid later
 * is taken for it.
 */
int mp__plat_child_ended(pid_t pid, int pidfd, int *ret_code);
int mp__plat_child_await(pid_t pid, int pidfd, int *ret_code); /* the same, and waits: not 0 */
void mp__plat_reap(pid_t pid, int pidfd);                      /* waits for it */

/* Signal the child pid, or with its pidfd exactly that one.  0 or -errno. */
int mp__plat_signal(pid_t pid, int pidfd, int signal_number);

/* ---- crashes --------------------------------------------------------------------------------- */

/*
 * Have the handler called for a fault's signal, on the alternate stack and with all signals blocked.
 * Where the program has an action of its own, that stays: it is away for a moment, in which the handler
 * may be called for it.
 */
typedef void (*mp__plat_fault)(int signal_number, siginfo_t *info, void *context);
void mp__plat_on_fault(int signal_number, mp__plat_fault handler);

/* This thread's alternate stack, if it has none. */
void mp__plat_fault_stack(void *stack, size_t size);

/*
 * In a signal handler: where the thread was, by its context (the handler's third argument), and the
 * return addresses up its stack, as far as frame pointers lead.  How many, at most `most`; posix/: 0.
 * Reads no memory that may not be there.
 */
size_t mp__plat_crash_frames(const void *context, uint64_t *ret_frames, size_t most);

#define MP__PLAT_CRASH_MODULES 12
#define MP__PLAT_CRASH_PATH    192

/* Where code comes from: module `module` at `offset` in its file; module < 0: unknown. */
typedef struct mp__plat_code {
    int32_t module;
    uint32_t reserved;
    uint64_t offset;
} mp__plat_code;
typedef struct mp__plat_modules {
    uint32_t count;
    char path[MP__PLAT_CRASH_MODULES][MP__PLAT_CRASH_PATH]; /* the first: the program's own */
} mp__plat_modules;

/*
 * In a signal handler: which modules the n addresses are in; those that are no code are unknown.
 * posix/: all unknown.
 */
void mp__plat_crash_modules(const uint64_t *addresses, size_t n, mp__plat_code *ret_code,
                            mp__plat_modules *ret_modules);

/*
 * The function at an offset of a module's file, or with by_address of its memory image: its name
 * into buf, *ret_within how far inside.  Reads the file's symbols; not for a handler.  path "": the
 * program's own file.  0, -ENOENT, -errno; posix/: -ENOTSUP.
 */
int mp__plat_symbol(const char *path, uint64_t offset, bool by_address, char *buf, size_t size,
                    uint64_t *ret_within);

/*
 * In a signal handler: send the signal with its info once more to this thread, so that its default
 * action sees what the handler saw.  posix/: without the info.
 */
void mp__plat_raise_again(int signal_number, void *info);

/* ---- functions across images ----------------------------------------------------------------- */

#define MP__PLAT_MODULE_BYTES 256
#define MP__PLAT_BUILD_BYTES  32

/* A function as a place in a module, the same in every run of one build. */
typedef struct mp__plat_funcref {
    uint64_t offset;    /* from the module's load base */
    uint32_t build_len; /* 0: the build could not be told, so is not checked */
    unsigned char build[MP__PLAT_BUILD_BYTES];
    char module[MP__PLAT_MODULE_BYTES]; /* "" for the program itself, else a path */
} mp__plat_funcref;

/*
 * An address in the program itself, the same code in every run (mp_freeze_support's caller): posix/
 * cannot ask for load bases and counts offsets from it.  The first call counts; linux/ ignores it.
 */
void mp__plat_func_anchor(uintptr_t address_in_main_program);

/*
 * Where the code at address is.  0; -ENOENT: in no module that is loaded (posix/: no anchor yet);
 * -EFAULT: not code; -ENAMETOOLONG.  posix/ takes every address for one of the program's functions
 * and cannot check that it is code.
 */
int mp__plat_func_to_ref(uintptr_t address, mp__plat_funcref *ret);

/*
 * The address of the place.  0; -ENOENT (module not loaded, not to be loaded); -ESTALE (another
 * build, as far as both sides could tell theirs); -EFAULT (the place is not code; posix/ cannot
 * tell).
 */
int mp__plat_func_from_ref(const mp__plat_funcref *ref, uintptr_t *ret_address);

#endif
