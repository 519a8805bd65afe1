/*
 * platform/linux/crash.c: in the handler of a crash, where a thread was and what code that is.
 *
 * Everything here is safe in a signal handler of a process whose memory cannot be trusted: system
 * calls only, no lock, no allocation, and memory is read by process_vm_readv(), which fails where a
 * plain read would crash again.  So no unwinder, which takes locks and allocates: frame pointers are
 * followed.  Code that keeps none (gcc's default with -O) ends the walk or is left out of it; the
 * first frame is always right.  Modules come from /proc/self/maps, not from the loader's list, whose
 * lock the thread may hold.
 */
#include "platform/linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

/* A frame larger than this is none. */
#define MOST_FRAME_BYTES (UINT64_C(16) << 20)

/* Read n words at address.  Whether they are there. */
static bool
read_words(uint64_t address, uint64_t *ret, size_t n)
{
    struct iovec to = {ret, n * sizeof *ret};
    struct iovec from = {(void *)(uintptr_t)address, n * sizeof *ret};
    if (address == 0 || address % sizeof *ret != 0) {
        return false;
    }
    return syscall(SYS_process_vm_readv, (long)getpid(), &to, 1L, &from, 1L, 0L) ==
           (long)to.iov_len;
}

/* Whether there is a byte at address. */
static bool
is_mapped(uint64_t address)
{
    uint64_t word;
    return read_words(address & ~UINT64_C(7), &word, 1);
}

struct registers {
    uint64_t pc, sp, fp;
    uint64_t caller; /* of a function that has not made its frame yet, when that can be told */
};

static bool
take_registers(const ucontext_t *c, struct registers *r)
{
#if defined __x86_64__
    r->pc = (uint64_t)c->uc_mcontext.gregs[REG_RIP];
    r->sp = (uint64_t)c->uc_mcontext.gregs[REG_RSP];
    r->fp = (uint64_t)c->uc_mcontext.gregs[REG_RBP];
    r->caller = 0;
    if (!is_mapped(r->pc)) {
        read_words(r->sp, &r->caller, 1); /* a call to nowhere just pushed it */
    }
    return true;
#elif defined __aarch64__
    r->pc = c->uc_mcontext.pc;
    r->sp = c->uc_mcontext.sp;
    r->fp = c->uc_mcontext.regs[29];
    r->caller = is_mapped(r->pc) ? 0 : c->uc_mcontext.regs[30];
    return true;
#elif defined __riscv && __riscv_xlen == 64
    r->pc = c->uc_mcontext.__gregs[REG_PC];
    r->sp = c->uc_mcontext.__gregs[REG_SP];
    r->fp = 0; /* saved elsewhere in the frame: only the place of the crash */
    r->caller = is_mapped(r->pc) ? 0 : c->uc_mcontext.__gregs[REG_RA];
    return true;
#else
    (void)c;
    (void)r;
    return false;
#endif
}

size_t
mp__plat_crash_frames(const void *context, uint64_t *ret_frames, size_t most)
{
    struct registers r;
    size_t n = 0;
    if (most < 2 || !take_registers(context, &r)) {
        return 0;
    }
    ret_frames[n++] = r.pc;
    if (r.caller != 0) {
        ret_frames[n++] = r.caller;
    }
    uint64_t below = r.sp, link[2]; /* the caller's frame pointer, the return address */
    for (uint64_t fp = r.fp; n < most; fp = link[0]) {
        if (fp < below || fp - below > MOST_FRAME_BYTES || !read_words(fp, link, 2) ||
            link[1] == 0) {
            break;
        }
        ret_frames[n++] = link[1];
        below = fp + sizeof link;
    }
    return n;
}

/* ---- modules --------------------------------------------------------------------------------- */

/* A line of the maps: "start-end perms offset dev inode   path". */
struct line {
    uint64_t start, end, offset;
    bool is_code;
    const char *path; /* "": none */
};

/* A hexadecimal number; *at moves behind it. */
static uint64_t
hex(const char **at)
{
    uint64_t n = 0;
    for (;; (*at)++) {
        char c = **at;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;
        if (digit == 16) {
            return n;
        }
        n = n << 4 | digit;
    }
}

static void
skip_field(const char **at)
{
    while (**at != '\0' && **at != ' ') {
        (*at)++;
    }
    while (**at == ' ') {
        (*at)++;
    }
}

static void
take_line(const char *at, struct line *ret)
{
    ret->start = hex(&at);
    at += *at == '-';
    ret->end = hex(&at);
    at += *at == ' ';
    ret->is_code = at[0] != '\0' && at[1] != '\0' && at[2] == 'x';
    skip_field(&at);
    ret->offset = hex(&at);
    skip_field(&at);
    skip_field(&at); /* device */
    skip_field(&at); /* inode */
    ret->path = at;
}

/* The number of the module with this path, which is noted if it is new; -1: no room. */
static int32_t
module_of(mp__plat_modules *modules, const char *path)
{
    size_t len = strlen(path);
    if (len >= MP__PLAT_CRASH_PATH) {
        return -1;
    }
    uint32_t i = 0;
    while (i < modules->count && strcmp(modules->path[i], path) != 0) {
        i++;
    }
    if (i == modules->count) {
        if (i == MP__PLAT_CRASH_MODULES) {
            return -1;
        }
        memcpy(modules->path[i], path, len + 1);
        modules->count++;
    }
    return (int32_t)i;
}

static void
use_line(const char *text, const uint64_t *addresses, size_t n, mp__plat_code *ret_code,
         mp__plat_modules *modules)
{
    struct line l;
    take_line(text, &l);
    for (size_t i = 0; i < n && l.is_code; i++) {
        /* A return address may be the first behind its code: what counts is the call before it. */
        uint64_t address = addresses[i] - (i > 0);
        if (address >= l.start && address < l.end) {
            ret_code[i].module = module_of(modules, l.path[0] == '/' ? l.path : "[no file]");
            ret_code[i].offset = addresses[i] - l.start + l.offset;
        }
    }
}

static ssize_t
read_some(int fd, char *buf, size_t len)
{
    ssize_t n;
    do {
        n = read(fd, buf, len);
    } while (n < 0 && errno == EINTR);
    return n;
}

void
mp__plat_crash_modules(const uint64_t *addresses, size_t n, mp__plat_code *ret_code,
                       mp__plat_modules *ret_modules)
{
    static char buf[4096 + 512]; /* of one crash: the handler lets one thread in */
    for (size_t i = 0; i < n; i++) {
        ret_code[i].module = -1;
        ret_code[i].offset = 0;
    }
    ret_modules->count = 1;
    ssize_t own = readlink("/proc/self/exe", ret_modules->path[0], MP__PLAT_CRASH_PATH - 1);
    ret_modules->path[0][own > 0 ? own : 0] = '\0';
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    size_t have = 0;
    ssize_t got;
    while ((got = read_some(fd, buf + have, sizeof buf - 1 - have)) > 0) {
        have += (size_t)got;
        buf[have] = '\0';
        char *at = buf, *end;
        while ((end = strchr(at, '\n')) != NULL) {
            *end = '\0';
            use_line(at, addresses, n, ret_code, ret_modules);
            at = end + 1;
        }
        have = (size_t)(buf + have - at);
        if (have == sizeof buf - 1) {
            have = 0; /* a line longer than any */
        }
        memmove(buf, at, have);
    }
    close(fd);
}

void
mp__plat_raise_again(int signal_number, void *info)
{
    if (syscall(SYS_rt_tgsigqueueinfo, (long)getpid(), syscall(SYS_gettid), (long)signal_number,
                info) < 0) {
        raise(signal_number);
    }
}
