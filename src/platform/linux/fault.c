/*
 * platform/linux/fault.c: taking the signals of faults by the system's own calls.
 *
 * Each child of fork() does this first.  The libc's wrappers lie where such a child needs nothing else,
 * and to have their pages mapped, and unmapped at its end, takes longer than the calls: 3 us of 150.
 * Where the way to make a call is not written down here, or a sanitizer has to know of handlers, the
 * wrappers do.
 */
#include "platform/linux/linux.h"

#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define BY_LIBC 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define BY_LIBC 1
#endif
#endif

#if defined __x86_64__ && defined __LP64__ && !defined BY_LIBC

/* The kernel's struct, not the libc's. */
struct action {
    mp__plat_fault handler; /* NULL: the default */
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};
#define HAS_RESTORER 0x04000000UL

/* Where a handler returns to: to these two instructions debuggers know such a frame by. */
void mp__plat_restorer(void);
__asm__(".pushsection .text\n"
        ".balign 16\n"
        ".hidden mp__plat_restorer\n"
        ".globl mp__plat_restorer\n"
        ".type mp__plat_restorer, @function\n"
        "mp__plat_restorer:\n"
        "    mov $15, %rax\n" /* rt_sigreturn */
        "    syscall\n"
        ".size mp__plat_restorer, . - mp__plat_restorer\n"
        ".popsection\n");

/* 0 or -errno; errno stays. */
static long
call(long number, long a, long b, long c, long d)
{
    register long fourth __asm__("r10") = d;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
                     : "rcx", "r11", "memory");
    return result;
}

static long
set_action(int signal_number, const struct action *next, struct action *before)
{
    return call(SYS_rt_sigaction, signal_number, (long)(uintptr_t)next, (long)(uintptr_t)before,
                sizeof next->mask);
}

void
mp__plat_on_fault(int signal_number, mp__plat_fault handler)
{
    const struct action ours = {handler, SA_SIGINFO | SA_ONSTACK | HAS_RESTORER, mp__plat_restorer,
                                ~UINT64_C(0)};
    struct action before;
    if (set_action(signal_number, &ours, &before) == 0 && before.handler &&
        before.handler != handler) {
        set_action(signal_number, &before, NULL);
    }
}

void
mp__plat_fault_stack(void *stack, size_t size)
{
    const stack_t mine = {.ss_sp = stack, .ss_size = size};
    stack_t theirs;
    if (call(SYS_sigaltstack, (long)(uintptr_t)&mine, (long)(uintptr_t)&theirs, 0, 0) == 0 &&
        !(theirs.ss_flags & SS_DISABLE)) {
        call(SYS_sigaltstack, (long)(uintptr_t)&theirs, 0, 0, 0);
    }
}

#else

void
mp__plat_on_fault(int signal_number, mp__plat_fault handler)
{
    mp__plat_on_fault_by_libc(signal_number, handler);
}

void
mp__plat_fault_stack(void *stack, size_t size)
{
    mp__plat_fault_stack_by_libc(stack, size);
}

#endif
