/*
 * process/factories.c: what Python's contexts make.
 *
 * Only a process depends on its start method: what lies in the family's heap is the same for all,
 * so a lock of the fork context is good in a spawned child too.
 */
#include <mp/connection.h>
#include <mp/context.h>
#include <mp/process.h>
#include <mp/synchronize.h>

#undef mp_condition_new

mp_process *
mp_context_process(const mp_context *ctx, mp_target target, mp_args *args,
                   const mp_process_options *options)
{
    mp_process_options with = {0};
    if (options) {
        with = *options;
    }
    if (ctx) {
        with.context = ctx;
    }
    return mp_process_new(target, args, &with);
}

mp_lock *
mp_context_lock(const mp_context *ctx)
{
    (void)ctx;
    return mp_lock_new();
}

mp_rlock *
mp_context_rlock(const mp_context *ctx)
{
    (void)ctx;
    return mp_rlock_new();
}

mp_semaphore *
mp_context_semaphore(const mp_context *ctx, int64_t value)
{
    (void)ctx;
    return mp_semaphore_new(value);
}

mp_semaphore *
mp_context_bounded_semaphore(const mp_context *ctx, int64_t value)
{
    (void)ctx;
    return mp_bounded_semaphore_new(value);
}

mp_condition *
mp_context_condition(const mp_context *ctx, mp_rlock *lock)
{
    (void)ctx;
    return mp_condition_new(lock);
}

mp_event *
mp_context_event(const mp_context *ctx)
{
    (void)ctx;
    return mp_event_new();
}

mp_barrier *
mp_context_barrier(const mp_context *ctx, int parties, const mp_barrier_options *options)
{
    (void)ctx;
    return mp_barrier_new(parties, options);
}

int
mp_context_pipe(const mp_context *ctx, mp_connection **ret_a, mp_connection **ret_b, bool duplex)
{
    (void)ctx;
    return mp_pipe(ret_a, ret_b, duplex);
}

void
mp_allow_connection_pickling(void)
{
}
