/*
 * pool/job.h: what a pool and its workers share.
 *
 * Layout    struct mp__team: one a pool, a row for each worker.  struct mp__job: one a map, with a
 *           word for each chunk of tasks; inputs and results lie in blocks of their own.
 * Writers   team.job: the pool's process.  A row: its worker; between two workers the pool's
 *           process.  A chunk's word: 0 until a worker claims it by CAS to its row's number plus 1;
 *           then that worker, to DONE; or, when it died, the pool's process, to DONE or back to 0.
 *           `next` is only a hint where to look for free chunks.
 * Commit    pool.map.publish: the store of team.job.  pool.chunk.claim: the CAS.  pool.chunk.done:
 *           the store of DONE, after the chunk's results
 * Waiting   workers on work_event, which every publisher changes; the pool's process on done_event;
 *           see sync/park.h
 * Death     of a worker: when its process has ended, the pool's process looks for the chunk that
 *           has its row.  The item it was running is lost; the rest of the chunk is free again, from
 *           `resume` on.  Only then the row gets a new worker.  Of the pool's process: workers look
 *           for it in every slice, and between chunks, and leave.
 * Fork      a worker's copy of the pool's private object is never used
 * Always    a job is freed only when no live row names it: a worker names a job in its row, looks
 *           again whether it is still the team's, and only then touches it
 */
#ifndef MP_POOL_JOB_H
#define MP_POOL_JOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mp/pool.h>

#include "heap/funcref.h"
#include "heap/heap.h"
#include "heap/member.h"
#include "sync/park.h"

enum mp__team_state { MP__TEAM_OPEN, MP__TEAM_CLOSED, MP__TEAM_TERMINATED };

enum mp__job_kind { MP__JOB_OBJECTS, MP__JOB_ARRAY };

#define MP__CHUNK_FREE UINT32_C(0)
#define MP__CHUNK_DONE UINT32_C(0xffffffff)

/* In row.item: no item of the claimed chunk was begun. */
#define MP__NO_ITEM SIZE_MAX

/* The result of one task on values: its pickle. */
struct mp__result {
    uint64_t len;
    unsigned char data[];
};

struct mp__job {
    enum mp__job_kind kind;
    mp__funcref task;
    size_t count, chunksize;
    uint32_t chunks;
    size_t in_size, out_size; /* of one element; MP__JOB_ARRAY */
    const unsigned char *in;  /* elements, or the pickles of the values one behind the other */
    const uint64_t *in_at; /* MP__JOB_OBJECTS: where each pickle begins, and the last one's end */
    unsigned char *out;
    _Atomic(void *) *results; /* MP__JOB_OBJECTS: struct mp__result, NULL until made */
    _Atomic(void *) resume;   /* size_t a chunk: where it goes on, 0 at its beginning; NULL until a
                                 worker died */
    bool deaths;              /* private to the pool's process: the counter may lag */
    size_t lost_item;         /* likewise: of the worker that died last, */
    char lost_text[96];       /* and how */
    _Alignas(64) _Atomic uint32_t next;
    _Alignas(64) _Atomic uint32_t finished; /* chunks DONE; less when a worker died just before it
                                               counted */
    _Atomic uint32_t failed;                /* 0; 1: being written; 2: what follows is there */
    int code;
    size_t failed_item;
    char text[256];
    _Alignas(64) _Atomic uint32_t chunk[];
};

struct mp__team_row {
    _Alignas(64) _Atomic(void *) job; /* the job this worker may be looking at */
    _Atomic size_t item;              /* that it runs; those of its chunk before it are done */
    _Atomic uint32_t ready;           /* its initializer succeeded */
};

struct mp__team {
    mp__head head;
    mp__ident owner;
    uint32_t size;
    mp__funcref initializer;
    _Alignas(64) _Atomic uint32_t state; /* enum mp__team_state */
    _Atomic(void *) job;
    _Alignas(64) _Atomic uint32_t work_waiters;
    _Atomic uint32_t work_event;
    _Alignas(64) _Atomic uint32_t done_waiters;
    _Atomic uint32_t done_event;
    struct mp__team_row row[];
};

/* worker.c: the target of a worker's process: (team, row, initializer's arguments). */
int mp__pool_worker(const mp_args *args);

/* Note the first failure of a job. */
void mp__job_fail(struct mp__job *job, int code, size_t item, const char *text);

/* After publishing a job, free chunks or the end: whoever looked just before looks again. */
static inline void
mp__team_announce(struct mp__team *team)
{
    atomic_fetch_add(&team->work_event, 1);
    mp__park_wake_all(&team->work_waiters, &team->work_event);
}

/* One past the last item of a chunk. */
static inline size_t
mp__chunk_end(const struct mp__job *job, uint32_t chunk)
{
    size_t end = ((size_t)chunk + 1) * job->chunksize;
    return end < job->count ? end : job->count;
}

/* map.c, for pool.c: the worker of a row died, as `how` says; what it held is settled. */
void mp__job_bury(struct mp__team *team, struct mp__job *job, uint32_t row, const char *how);

/* pool.c, for map.c: */
struct mp_pool;
struct mp__team *mp__pool_team(struct mp_pool *pool);

/*
 * Look after the workers, once a slice: bury and replace those that ended.  0 while any is alive;
 * else MP_EPROCESS when they end in their initializer again and again, or the error of a start
 * that failed.  For the thread that runs the map.
 */
int mp__pool_tend(struct mp_pool *pool);

/* One map at a time.  0, or MP_EVALUE: the pool takes no work. */
int mp__pool_begin(struct mp_pool *pool, const char *call);
void mp__pool_end(struct mp_pool *pool);

#endif
