/*
 * mp/pool.h: a team of worker processes.
 *
 *     static mp_obj square(mp_obj n) { return mp_from(mp_as_int(n) * mp_as_int(n)); }
 *     ...
 *     mp_pool *pool = mp_pool_new(&(mp_pool_options){.processes = 4});
 *     mp_obj out;
 *     if (mp_pool_map(pool, square, mp_list(1, 2, 3), &out) == 0)
 *         mp_print(out);                              // [1, 4, 9]
 *     mp_obj_free(out);
 *     mp_pool_close(pool);
 *     mp_pool_join(pool);
 *     mp_pool_free(pool);
 *
 * Mirrors   multiprocessing.Pool
 * Sharing   a pool belongs to the process that made it
 * Threads   every call from any thread, except mp_pool_free(); one map runs at a time
 * Death     a worker that dies fails what it was running with MP_EWORKERLOST, nothing else, and is
 *           replaced.  Workers end when their parent has died, at the latest after the task they
 *           are at.
 */
#ifndef MP_POOL_H
#define MP_POOL_H

#include <mp/context.h>
#include <mp/error.h>
#include <mp/object.h>

typedef struct mp_pool mp_pool;

/*
 * A task on values.  item is the library's, freed after the call.  The result is taken over.
 * mp_error_new() as result fails the task with that code and message.
 */
typedef mp_obj (*mp_task)(mp_obj item);

/*
 * A task on C data: reads one input element, writes one output element.  A result other than 0
 * fails the task: a negative one is the error code, any other is MP_ETASK.
 */
typedef int (*mp_array_task)(const void *in, void *out);

/* Run once in each worker before its first task; a negative result ends the worker. */
typedef int (*mp_initializer)(const mp_args *args);

/* Zero what you do not set; NULL in place of the struct means all defaults. */
typedef struct mp_pool_options {
    int processes;              /* workers; 0: mp_usable_cpu_count(); negative: MP_EVALUE      */
    mp_initializer initializer; /* NULL: none                                                  */
    mp_args *initargs;          /* its arguments, consumed by mp_pool_new(); NULL: none        */
    const mp_context *context;  /* start method; NULL: the global one                          */
    uint64_t reserved[4];       /* must be 0, else MP_EVALUE                                   */
} mp_pool_options;

/* Of one map.  Zero what you do not set. */
typedef struct mp_map_options {
    size_t chunksize; /* tasks that a worker takes at a time; 0: a quarter of a worker's share */
    uint64_t reserved[4]; /* must be 0, else MP_EVALUE */
} mp_map_options;

MP_BEGIN_DECLS

/*
 * Start the workers.  NULL with mp_last_error(): MP_EVALUE (negative processes, or more than the
 * 4,094 that a family has room for; reserved fields), MP_ENOMEM, or why a worker could not be
 * started; those already started are ended first.
 */
MP_API mp_pool *mp_pool_new(const mp_pool_options *options);

/*
 * [f(item) for item in items], in order, in the workers.  items is a list or tuple, consumed.
 * *ret_results is a list, yours to free; None on error.
 *   0
 *   the code of the first error a task returned, or MP_EWORKERLOST; the text tells which item.
 *     All other tasks have been run by then.
 *   MP_EVALUE   the pool is closed or terminated; no live pool; NULL
 *   MP_ETYPE    items is no list or tuple
 *   MP_ENOMEM, MP_ENOTSUP (f cannot be reached from a spawned worker)
 *   MP_EPROCESS workers die in their initializer again and again
 * The options may be left out: mp_pool_map(pool, f, items, &out).
 */
MP_API int mp_pool_map(mp_pool *pool, mp_task f, mp_obj items, mp_obj *ret_results,
                       const mp_map_options *options MP__OPTIONAL);

/*
 * f on each of count elements of in, written to the same place of out; no encoding.  Element sizes
 * in bytes.  in and out in memory of mp_malloc() are used in place, others are copied to the
 * family's heap and back.  out_size may be 0 with out NULL.  Errors as mp_pool_map(); elements of
 * failed tasks are unspecified.
 */
MP_API int mp_pool_map_array(mp_pool *pool, mp_array_task f, const void *in, size_t in_size,
                             void *out, size_t out_size, size_t count,
                             const mp_map_options *options);

/* No new work; the workers end when they have done what they have.  Idempotent. */
MP_API int mp_pool_close(mp_pool *pool);

/* End the workers now, with SIGTERM; a map that is running fails with MP_ESTATE.  Idempotent. */
MP_API int mp_pool_terminate(mp_pool *pool);

/* Wait until all workers have ended.  MP_EVALUE while the pool is open. */
MP_API int mp_pool_join(mp_pool *pool);

/* Terminate and join what still runs, and free.  NULL is fine. */
MP_API int mp_pool_free(mp_pool *pool);

/* Number of workers. */
MP_API int mp_pool_processes(mp_pool *pool);

MP_END_DECLS

#ifndef __cplusplus
#define mp_pool_map(pool, f, ...)                                                                  \
    MP__CAT(MP__POOL_MAP_, MP__COUNT_1UP(__VA_ARGS__))(pool, f, __VA_ARGS__)
#define MP__POOL_MAP_2(pool, f, items, ret) (mp_pool_map)((pool), (f), (items), (ret), NULL)
#define MP__POOL_MAP_3(pool, f, items, ret, options)                                               \
    (mp_pool_map)((pool), (f), (items), (ret), (options))
#endif

#endif
