/*
 * heap/family.h: the first pages of the family's heap, for the files of this room.
 *
 * Layout    0        struct mp__family: who made it, the allocator's state, the table of members
 *                    and what crashed processes left (../process/crash.h)
 *           waits    who waits for what: a kilobyte for each member's slot (waits.h)
 *           data     blocks of the allocator, to the end of the mapping
 * Writers   magic .. key: the creator, before anyone else can attach.  alloc: the holder of its
 *           lock.  members: see member.c
 * Death     nothing here needs a process to live on: the file goes with the last mapping
 * Fork      a child of fork() inherits mapping and descriptor and takes a member's slot by itself
 */
#ifndef MP_HEAP_FAMILY_H
#define MP_HEAP_FAMILY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "heap/ilock.h"
#include "heap/journal.h"
#include "heap/member.h"

#define MP__FAMILY_MAGIC  UINT64_C(0x6c69626d70686561)
#define MP__FAMILY_LAYOUT 4

/*
 * Set in the environment of a child that spawn starts until it has joined: "PARENT'S PID:" and what
 * process/launch.h says.  A process that finds itself named there and makes a family of its own has
 * not come past mp_freeze_support().
 */
#define MP__CHILD_ENV "LIBMP_CHILD"

#define MP__CRASH_BYTES 28672

#define MP__BINS      320
#define MP__BIN_WORDS (MP__BINS / 64)

/* State of the allocator; see alloc.c. */
struct mp__alloc {
    mp__ilock lock;
    uint64_t used_bytes, used_blocks;
    uint64_t map[MP__BIN_WORDS]; /* bit set: the bin has a free block */
    uint64_t bin[MP__BINS];      /* offset of its first free block, 0 */
    struct mp__journal journal;
};

/* What all who watch queues sleep on; see queue/watch.c. */
struct mp__bell {
    _Atomic uint32_t rung;
    _Atomic uint32_t sleepers; /* 0: nobody sleeps */
    mp__ilock lock;            /* a watcher looks at a queue; or one is said to be live no more */
};

struct mp__family {
    uint64_t magic;
    uint32_t layout;
    uint32_t page;  /* bytes */
    uint64_t base;  /* address of the mapping, the same in every process */
    uint64_t size;  /* of the mapping, bytes */
    uint64_t waits; /* offset of the members' waits, a whole number of pages */
    uint64_t data;  /* offset of the first block */
    uint64_t key;   /* random, in the blocks' check bits */
    struct mp__alloc alloc;
    _Atomic uint64_t queues; /* ever made */
    struct mp__bell bell;
    _Atomic uint32_t members_high;                       /* slots ever used */
    _Atomic uint64_t members[MP__MEMBER_SLOTS];          /* see member.c */
    _Atomic uint64_t waits_ready[MP__MEMBER_SLOTS / 64]; /* bits: whose waits have pages */
    _Alignas(64) unsigned char crashes[MP__CRASH_BYTES]; /* of the process room: zero at first */
};

/* The family this process is a member of, NULL before mp__heap_join(). */
extern struct mp__family *mp__family;
extern int mp__family_fd; /* -1: anonymous memory, inherited by fork only */

/* Attach to the family in fd as a spawned child.  0 or an error with text; owns fd on success. */
int mp__heap_adopt(int fd, uint64_t base, uint64_t size);

/* The private mutex of this room, held across fork. */
void mp__family_lock(void);
void mp__family_unlock(void);

/* Build the allocator's first free block; the creator calls it.  0 or -errno. */
int mp__alloc_init(struct mp__family *f);

/* Fork hooks of the member table, in the child. */
void mp__member_forked(void);

#endif
