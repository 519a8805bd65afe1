/* platform/posix/fault.c: taking the signals of faults by the libc's calls. */
#include "platform/common.h"

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
