/* pool/map.c: a map, from the side of the pool's process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "object/object.h"
#include "pool/job.h"
#include "sync/handles.h"
#include "sync/park.h"

#define TEXT_BYTES 512 /* of an error that is kept while others may happen */

/* ---- making and freeing jobs ----------------------------------------------------------------- */

/* Python's default: every worker gets about four chunks. */
static size_t
chunksize_for(const mp_map_options *options, size_t count, uint32_t workers)
{
    size_t share = (size_t)workers * 4;
    size_t n = options && options->chunksize ? options->chunksize : (count + share - 1) / share;
    size_t least = count / (UINT32_MAX / 2) + 1; /* chunks are counted in 32 bits */
    return n < least ? least : n > count ? count : n;
}

static int
check_options(const mp_map_options *options, const char *call)
{
    for (size_t i = 0; options && i < sizeof options->reserved / sizeof *options->reserved; i++) {
        if (options->reserved[i]) {
            return mp__error(MP_EVALUE, "%s: a reserved option is not 0", call);
        }
    }
    return 0;
}

/* A job without data.  NULL with the error noted. */
static struct mp__job *
new_job(struct mp__team *team, enum mp__job_kind kind, mp__func task, size_t count,
        const mp_map_options *options)
{
    size_t chunksize = chunksize_for(options, count, team->size);
    uint32_t chunks = (uint32_t)((count + chunksize - 1) / chunksize);
    size_t size = sizeof(struct mp__job) + chunks * sizeof(_Atomic uint32_t);
    struct mp__job *job = mp_aligned_alloc(64, size);
    if (!job) {
        return NULL;
    }
    memset(job, 0, size);
    job->kind = kind;
    job->count = count;
    job->chunksize = chunksize;
    job->chunks = chunks;
    if (mp__funcref_make(task, &job->task) < 0) {
        mp_free(job);
        return NULL;
    }
    return job;
}

static void
free_results(struct mp__job *job)
{
    for (size_t i = 0; job->results && i < job->count; i++) {
        void *result = atomic_load(&job->results[i]);
        if (result) {
            mp__heap_free_from(&job->results[i], result, NULL); /* a dead worker's may be undone */
        }
    }
    mp_free((void *)job->results);
}

/* ---- running --------------------------------------------------------------------------------- */

/* What becomes of a chunk whose worker was at `item`: its word's new value. */
static uint32_t
bury_chunk(struct mp__job *job, uint32_t chunk, size_t item, const char *how)
{
    size_t end = mp__chunk_end(job, chunk);
    if (item == MP__NO_ITEM) {
        return MP__CHUNK_FREE; /* claimed, but nothing begun: nothing is lost */
    }
    if (item >= end) {
        return MP__CHUNK_DONE; /* all run, but not yet told */
    }
    job->lost_item = item;
    snprintf(job->lost_text, sizeof job->lost_text, "%s", how);
    mp__job_fail(job, MP_EWORKERLOST, item, how);
    size_t *resume = atomic_load(&job->resume);
    if (item + 1 < end && !resume) {
        resume = mp_calloc(job->chunks, sizeof *resume);
        atomic_store(&job->resume, resume);
    }
    if (item + 1 == end || !resume) { /* without memory the rest of this chunk is lost too */
        return MP__CHUNK_DONE;
    }
    resume[chunk] = item + 1;
    return MP__CHUNK_FREE;
}

void
mp__job_bury(struct mp__team *team, struct mp__job *job, uint32_t row, const char *how)
{
    job->deaths = true;
    for (uint32_t c = 0; c < job->chunks; c++) {
        if (atomic_load(&job->chunk[c]) == row + 1) {
            uint32_t word = bury_chunk(job, c, atomic_load(&team->row[row].item), how);
            atomic_store(&job->chunk[c], word);
            mp__team_announce(team); /* the others may have found nothing more to do */
            return;
        }
    }
}

static bool
all_finished(const struct mp__job *job)
{
    if (!job->deaths) {
        return atomic_load(&job->finished) == job->chunks;
    }
    uint32_t over = 0;
    for (uint32_t c = 0; c < job->chunks; c++) {
        over += atomic_load(&job->chunk[c]) == MP__CHUNK_DONE;
    }
    return over == job->chunks;
}

/* Sleep until workers report, at most a slice. */
static void
wait_a_while(struct mp__team *team, struct mp__job *job)
{
    uint32_t seen = atomic_load(&team->done_event);
    mp__park_register(&team->done_waiters);
    if (!all_finished(job)) {
        mp__park(&team->done_event, seen, MP__NEVER);
    }
    if (atomic_load(&team->done_event) == seen) {
        mp__park_leave(&team->done_waiters, &team->done_event, seen);
    }
}

/* Until every chunk is done or lost.  0, or why the pool cannot go on. */
static int
wait_for_chunks(mp_pool *pool, struct mp__team *team, struct mp__job *job)
{
    for (int i = 0; i < MP__SPINS * 2 && atomic_load(&job->finished) < job->chunks; i++) {
        mp__plat_pause();
    }
    int64_t tended = mp__plat_now();
    while (!all_finished(job)) {
        wait_a_while(team, job);
        if (atomic_load(&team->state) == MP__TEAM_TERMINATED) {
            return mp__error(MP_ESTATE, "mp_pool_map: the pool was terminated meanwhile");
        }
        if (mp__plat_now() - tended >= MP__SLICE / 2) {
            int status = mp__pool_tend(pool);
            if (status < 0 && !all_finished(job)) {
                return status;
            }
            tended = mp__plat_now();
        }
    }
    return 0;
}

/* Nobody looks at the job any more: withdrawn, and no row of a live worker names it. */
static void
wait_for_rows(mp_pool *pool, struct mp__team *team, struct mp__job *job)
{
    atomic_store(&team->job, NULL);
    for (uint32_t i = 0; i < team->size; i++) {
        while (atomic_load(&team->row[i].job) == job) {
            uint32_t seen = atomic_load(&team->done_event);
            mp__park_register(&team->done_waiters);
            if (atomic_load(&team->row[i].job) == job) {
                mp__park(&team->done_event, seen, MP__NEVER);
            }
            if (atomic_load(&team->done_event) == seen) {
                mp__park_leave(&team->done_waiters, &team->done_event, seen);
                mp__pool_tend(pool); /* clears the row of a worker that died */
            }
        }
    }
}

/* Publish, wait, withdraw.  0 or the first error, with text. */
static int
run_job(mp_pool *pool, struct mp__job *job, const char *call)
{
    struct mp__team *team = mp__pool_team(pool);
    atomic_store(&team->job, job); /* pool.map.publish */
    mp__team_announce(team);
    int status = wait_for_chunks(pool, team, job);
    char why[TEXT_BYTES];
    snprintf(why, sizeof why, "%s", status < 0 ? mp_last_error_text() : "");
    wait_for_rows(pool, team, job);
    mp_free(atomic_load(&job->resume));
    uint32_t failed = atomic_load_explicit(&job->failed, memory_order_acquire);
    if (status < 0) {
        return mp__error_text(status, why);
    }
    if (failed == 1) { /* a worker died while it wrote a failure down: that one is in hand */
        return mp__error(MP_EWORKERLOST, "%s: item %zu: %s", call, job->lost_item, job->lost_text);
    }
    return failed == 0
               ? 0
               : mp__error(job->code, "%s: item %zu: %s", call, job->failed_item, job->text);
}

/* ---- values ---------------------------------------------------------------------------------- */

/* The pickles of all items in one block of the heap, with their places.  0 or an error. */
static int
pack_items(struct mp__job *job, mp_obj items)
{
    size_t used = 0, room = 0;
    unsigned char *all = NULL;
    uint64_t *at = mp_malloc((job->count + 1) * sizeof *at);
    int status = at ? 0 : MP_ENOMEM;
    for (size_t i = 0; status == 0 && i < job->count; i++) {
        void *one = NULL;
        size_t len = 0;
        status = mp__obj_dump(mp_list_get(items, (ptrdiff_t)i), &mp__family_handles, &one, &len);
        if (status == 0 && used + len > room) {
            size_t wanted = (used + len) * 2;
            unsigned char *more = realloc(all, wanted);
            room = more ? wanted : room;
            all = more ? more : all;
            status = more ? 0 : mp__error(MP_ENOMEM, "mp_pool_map: no memory for the items");
        }
        if (status == 0) {
            memcpy(all + used, one, len);
            at[i] = used;
            used += len;
        }
        free(one);
    }
    unsigned char *in = status == 0 ? mp_malloc(used) : NULL;
    if (in) {
        memcpy(in, all, used);
        at[job->count] = used;
    } else if (status == 0) {
        status = MP_ENOMEM;
    }
    free(all);
    job->in = in;
    job->in_at = at;
    return status;
}

/* The list of all results.  0 or an error; *ret is untouched then. */
static int
unpack_results(struct mp__job *job, mp_obj *ret)
{
    mp_obj list = mp_list_of(0, NULL);
    int status = mp_obj_kind(list) == MP_KIND_FAILED ? MP_ENOMEM : 0;
    for (size_t i = 0; status == 0 && i < job->count; i++) {
        struct mp__result *r = atomic_load(&job->results[i]);
        mp_obj one;
        status = mp__obj_load(r->data, r->len, &mp__family_handles, &one);
        if (status == 0) {
            status = mp_list_append(list, one);
        }
    }
    if (status < 0) {
        mp_obj_free(list);
        return status;
    }
    *ret = list;
    return 0;
}

static int
map_objects(mp_pool *pool, mp_task f, mp_obj items, mp_obj *ret, const mp_map_options *options)
{
    int64_t count = mp_obj_len(items);
    if (count == 0) {
        *ret = mp_list_of(0, NULL);
        return mp_obj_kind(*ret) == MP_KIND_FAILED ? MP_ENOMEM : 0;
    }
    struct mp__job *job =
        new_job(mp__pool_team(pool), MP__JOB_OBJECTS, (mp__func)f, (size_t)count, options);
    if (!job) {
        return mp_last_error();
    }
    int status = pack_items(job, items);
    if (status == 0) {
        job->results = mp_calloc(job->count, sizeof *job->results);
        status = job->results ? run_job(pool, job, "mp_pool_map") : MP_ENOMEM;
    }
    if (status == 0) {
        status = unpack_results(job, ret);
    }
    free_results(job);
    mp_free((void *)(uintptr_t)job->in);
    mp_free((void *)(uintptr_t)job->in_at);
    mp_free(job);
    return status;
}

int(mp_pool_map)(mp_pool *pool, mp_task f, mp_obj items, mp_obj *ret_results,
                 const mp_map_options *options)
{
    int status = 0;
    enum mp_kind kind = mp_obj_kind(items);
    if (ret_results) {
        *ret_results = mp_none();
    }
    if (kind == MP_KIND_FAILED) {
        status = mp__obj_failure(items);
    } else if (!f || !ret_results) {
        status = mp__error(MP_EVALUE, "mp_pool_map: NULL for the %s", f ? "results" : "task");
    } else if (kind != MP_KIND_LIST && kind != MP_KIND_TUPLE) {
        status = mp__error(MP_ETYPE, "mp_pool_map: the items are %s, not a list or tuple",
                           mp_obj_type_name(items));
    } else {
        status = check_options(options, "mp_pool_map");
    }
    if (status == 0 && (status = mp__pool_begin(pool, "mp_pool_map")) == 0) {
        status = map_objects(pool, f, items, ret_results, options);
        mp__pool_end(pool);
    }
    mp_obj_free(items);
    return status;
}

/* ---- arrays ---------------------------------------------------------------------------------- */

/* data itself when every worker sees it, else a copy in the heap.  NULL with MP_ENOMEM. */
static void *
in_heap(const void *data, size_t bytes, bool copy)
{
    if (mp_heap_contains(data)) {
        return (void *)(uintptr_t)data;
    }
    void *there = mp_malloc(bytes);
    if (there && copy && bytes) {
        memcpy(there, data, bytes);
    }
    return there;
}

static int
map_array(mp_pool *pool, mp_array_task f, const void *in, size_t in_size, void *out,
          size_t out_size, size_t count, const mp_map_options *options)
{
    struct mp__job *job = new_job(mp__pool_team(pool), MP__JOB_ARRAY, (mp__func)f, count, options);
    if (!job) {
        return mp_last_error();
    }
    unsigned char *from = in_heap(in, in_size * count, true);
    unsigned char *to = from ? in_heap(out, out_size * count, true) : NULL;
    int status = to ? 0 : MP_ENOMEM;
    if (status == 0) {
        job->in = from;
        job->in_size = in_size;
        job->out = to;
        job->out_size = out_size;
        status = run_job(pool, job, "mp_pool_map_array");
        if (to != out && out_size) {
            memcpy(out, to, out_size * count);
        }
    }
    if (to != out) {
        mp_free(to);
    }
    if (from != in) {
        mp_free(from);
    }
    mp_free(job);
    return status;
}

int
mp_pool_map_array(mp_pool *pool, mp_array_task f, const void *in, size_t in_size, void *out,
                  size_t out_size, size_t count, const mp_map_options *options)
{
    static const char call[] = "mp_pool_map_array";
    size_t bytes;
    if (!f || (!in && in_size && count) || (!out && out_size && count)) {
        return mp__error(MP_EVALUE, "%s: NULL for the %s", call,
                         !f     ? "task"
                         : !out ? "output, whose element size is not 0"
                                : "input");
    }
    if (__builtin_mul_overflow(in_size, count, &bytes) ||
        __builtin_mul_overflow(out_size, count, &bytes) || count > SIZE_MAX / 8) {
        return mp__error(MP_EOVERFLOW, "%s: %zu elements of this size do not fit memory", call,
                         count);
    }
    int status = check_options(options, call);
    if (status == 0 && (status = mp__pool_begin(pool, call)) == 0) {
        if (count > 0) {
            status = map_array(pool, f, in, in_size, out, out_size, count, options);
        }
        mp__pool_end(pool);
    }
    return status;
}
