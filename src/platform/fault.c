/* platform/fault.c: taking the signals of faults where the program does not, the same on both sides. */
#include "platform/common.h"

#include <signal.h>
#include <string.h>

void
mp__plat_on_fault_by_libc(int signal_number, mp__plat_fault handler)
{
    struct sigaction ours, before;
    memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = handler;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigfillset(&ours.sa_mask);
    if (sigaction(signal_number, &ours, &before) == 0 &&
        ((before.sa_flags & SA_SIGINFO) ? before.sa_sigaction != handler
                                        : before.sa_handler != SIG_DFL)) {
        sigaction(signal_number, &before, NULL);
    }
}

void
mp__plat_fault_stack_by_libc(void *stack, size_t size)
{
    stack_t mine, theirs;
    memset(&mine, 0, sizeof mine);
    mine.ss_sp = stack;
    mine.ss_size = size;
    if (sigaltstack(&mine, &theirs) == 0 && !(theirs.ss_flags & SS_DISABLE)) {
        sigaltstack(&theirs, NULL);
    }
}
