/*
 * heap/member.h: the process table of the family: who is a member, and whether it still lives.
 *
 * An identity is 32 bits, {generation:20 | slot:12}, never 0.  A slot that is used again has a new
 * generation, so an identity never comes to mean another process.
 */
#ifndef MP_HEAP_MEMBER_H
#define MP_HEAP_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MP__MEMBER_SLOTS 4096

typedef uint32_t mp__ident;

/* This process's identity; it must have joined (mp__heap_join). */
mp__ident mp__self(void);

/* Whether the member's process has ended.  A system call or a few: only for slow paths. */
bool mp__member_dead(mp__ident who);

/* Whether the identity is one of its own: a process that found the table full has a common one. */
bool mp__member_is_known(mp__ident who);

/* Who is in slot number i of the table and lives; 0: nobody. */
mp__ident mp__member_in(uint32_t i);

/* The member's pid, 0 when its slot has been freed. */
pid_t mp__member_pid(mp__ident who);

/*
 * Leave in order, at the end of the process: it is not counted any more.  Its locks stay its own
 * until it has really ended, and the slot too: other threads of it may be inside one until then.
 */
void mp__member_leave(void);

/* Members that have not left; one that was killed counts until its slot is freed. */
size_t mp__member_count(void);

/* A child of ours was reaped: free the slot it may have left behind. */
void mp__member_reaped(pid_t pid);

#endif
