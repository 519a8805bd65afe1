/*
 * heap/member.h: the process table of the family: who is a member, and whether it still lives.
 *
 * An identity is 32 bits, {generation:20 | slot:12}, never 0.  A slot that is used again has a new
 * generation, so an identity never comes to mean another process.
 */
#ifndef MP_HEAP_MEMBER_H
#define MP_HEAP_MEMBER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MP__MEMBER_SLOTS 4096

typedef uint32_t mp__ident;

/* This process's identity; it must have joined (mp__heap_join). */
mp__ident mp__self(void);

/* Whether the member has ended (killed, or left).  A system call or a few: only for slow paths. */
bool mp__member_dead(mp__ident who);

/* The member's pid, 0 when it has left. */
pid_t mp__member_pid(mp__ident who);

/* Leave the table in order, at the end of the process. */
void mp__member_leave(void);

/* A child of ours was reaped: free the slot it may have left behind. */
void mp__member_reaped(pid_t pid);

#endif
