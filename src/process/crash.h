/*
 * process/crash.h: what a child leaves when it ends, and how its parent finds it.
 *
 * In children that the library made a handler stands in for the default action of five signals,
 * where nobody else has one.  It writes a record and lets the default action happen.  A child of the
 * forkserver that ends in order tells its exit code, so that its parent need not wait for the server.
 */
#ifndef MP_PROCESS_CRASH_H
#define MP_PROCESS_CRASH_H

#include <stdatomic.h>
#include <stdint.h>

#include "platform/platform.h"
#include "process/process.h"

#define MP__CRASH_FRAMES 24
#define MP__CRASH_SLOTS  8
#define MP__CRASH_ENDS   256

struct mp__crash_record {
    int32_t signal, code;
    int32_t pid, sender; /* sender: of a signal that was sent, else 0 */
    uint64_t address;    /* of the access, or of the instruction */
    uint32_t has_address, frame_count;
    uint64_t frames[MP__CRASH_FRAMES];
    mp__plat_code code_of[MP__CRASH_FRAMES];
    mp__plat_modules modules;
};

/*
 * In the family's first pages, so nothing has to be allocated: not for a start, not in a handler.
 *
 * Layout    a counter of tickets, {ticket:56 | exit code:8} of those that ended in order, each at its
 *           ticket's place, then a few slots; many crashes that nobody looks for need no more
 * Writers   owner: the process that crashes, by CAS from 0, or of a slot that is done when none is
 *           free; 0: its parent, which found it.  The record: its owner.  An end: the process, when
 *           nothing but its _exit() is left to do
 * Commit    done, with the owner's ticket, after the record
 * Waiting   none
 * Death     of the owner, which is what it is for: what is not done is not believed.  Of the parent:
 *           the slot, if it is done, is taken by a later crash.  Of a process between its end's store
 *           and its _exit(), by a signal: it has ended with that code, for it had done all it was to do
 * Fork      a child of a plain fork() of a child has its handler, and leaves no record
 * Always    a ticket is one process's for ever.  An end is believed of one that is dead; if a later
 *           ticket's is at its place, the server's word is waited for, as for those that told none
 */
struct mp__crash_slot {
    _Atomic uint64_t owner, done;
    struct mp__crash_record record;
};
struct mp__crash_table {
    _Atomic uint64_t tickets;
    uint64_t reserved[7];
    _Atomic uint64_t ends[MP__CRASH_ENDS];
    struct mp__crash_slot slots[MP__CRASH_SLOTS];
};

/* What a parent found. */
struct mp__crash {
    struct mp__crash_record record;
    _Atomic(struct mp__crash_report *) report; /* crash_report.c; NULL: not asked for yet */
};

/* For a child that is about to be started; 0: it makes no report. */
uint64_t mp__crash_ticket(void);

/* In the child, whose own object that is by now: its crash will be told by its ticket.  prepared:
   mp__crash_prepare() was called in this process. */
void mp__crash_watch(mp_process *self, bool prepared);

/* In a child forked ahead: what mp__crash_watch() does, as far as it needs no ticket. */
void mp__crash_prepare(void);

/* In a child that is about to call _exit(code): tell it. */
void mp__crash_tell_end(const mp_process *self, int code);

/* Whether p, which is dead, told its exit code. */
bool mp__crash_told_end(const mp_process *p, int *ret_code);

/* Under the children's mutex, p has ended: find what it left. */
void mp__crash_collect(mp_process *p);

/* Log what was found since; without any lock. */
void mp__crash_log(void);

void mp__crash_free(struct mp__crash *c);

/* crash_report.c: in words.  Name and target are p's.  NULL: no memory. */
struct mp__crash_report *mp__crash_describe(const struct mp__crash_record *r, const char *name,
                                            mp_target target);
const mp_crash *mp__crash_public(const struct mp__crash_report *report);

#endif
