/* sync_lock.c: Lock, RLock and Semaphore beside process-shared pthread mutexes and sem_t. */
#include "sync.h"

static void
must(int error)
{
    bench_check(error == 0, "a mutex or condition of the system cannot be made");
}

void
init_mutex(pthread_mutex_t *mutex, int type, int robust)
{
    pthread_mutexattr_t kind;
    must(pthread_mutexattr_init(&kind));
    must(pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED));
    must(pthread_mutexattr_settype(&kind, type));
    must(pthread_mutexattr_setrobust(&kind, robust));
    must(pthread_mutex_init(mutex, &kind));
    pthread_mutexattr_destroy(&kind);
}

void
init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t kind;
    must(pthread_condattr_init(&kind));
    must(pthread_condattr_setpshared(&kind, PTHREAD_PROCESS_SHARED));
    must(pthread_cond_init(condition, &kind));
    pthread_condattr_destroy(&kind);
}

/* ---- libmp ------------------------------------------------------------------------------------*/

static void *
open_lock(const void *with)
{
    struct contest *c = contest_new();
    (void)with;
    c->on.handle = mp_lock_new();
    bench_check(c->on.handle != NULL, "mp_lock_new");
    return c;
}

static void
close_lock(void *state)
{
    struct contest *c = state;
    bench_check(mp_lock_free(c->on.handle) == 0, "mp_lock_free");
    contest_free(c);
}

ACQUIRED_AND_RELEASED(mp_lock, mp_lock_acquire(c->on.handle, MP_FOREVER),
                      mp_lock_release(c->on.handle))

static void *
open_rlock(const void *with)
{
    struct contest *c = contest_new();
    (void)with;
    c->on.handle = mp_rlock_new();
    bench_check(c->on.handle != NULL, "mp_rlock_new");
    return c;
}

static void
close_rlock(void *state)
{
    struct contest *c = state;
    bench_check(mp_rlock_free(c->on.handle) == 0, "mp_rlock_free");
    contest_free(c);
}

ACQUIRED_AND_RELEASED(mp_rlock, mp_rlock_acquire(c->on.handle, MP_FOREVER),
                      mp_rlock_release(c->on.handle))

static void *
open_semaphore(const void *with)
{
    struct contest *c = contest_new();
    (void)with;
    c->on.handle = mp_semaphore_new(1);
    bench_check(c->on.handle != NULL, "mp_semaphore_new");
    return c;
}

static void
close_semaphore(void *state)
{
    struct contest *c = state;
    bench_check(mp_semaphore_free(c->on.handle) == 0, "mp_semaphore_free");
    contest_free(c);
}

ACQUIRED_AND_RELEASED(mp_semaphore, mp_semaphore_acquire(c->on.handle, MP_FOREVER),
                      mp_semaphore_release(c->on.handle))

/* ---- the system -------------------------------------------------------------------------------*/

static const struct mutex_kind {
    int type, robust;
} plain = {PTHREAD_MUTEX_DEFAULT, PTHREAD_MUTEX_STALLED},
  robust = {PTHREAD_MUTEX_DEFAULT, PTHREAD_MUTEX_ROBUST},
  recursive = {PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED},
  robust_recursive = {PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ROBUST};

static void *
open_mutex(const void *with)
{
    struct contest *c = contest_new();
    const struct mutex_kind *kind = with;
    init_mutex(&c->on.mutex, kind->type, kind->robust);
    return c;
}

static void
close_mutex(void *state)
{
    contest_free(state);
}

ACQUIRED_AND_RELEASED(mutex, pthread_mutex_lock(&c->on.mutex), pthread_mutex_unlock(&c->on.mutex))

static void *
open_sem(const void *with)
{
    struct contest *c = contest_new();
    (void)with;
    bench_check(sem_init(&c->on.sems[0], 1, 1) == 0, "sem_init");
    return c;
}

ACQUIRED_AND_RELEASED(sem, sem_wait(&c->on.sems[0]), sem_post(&c->on.sems[0]))

static const struct bench_contender locks[] = {
    {"Lock free", BENCH_LIBMP, open_lock, mp_lock_alone, close_lock, NULL},
    {"Lock free", "pthread mutex", open_mutex, mutex_alone, close_mutex, &plain},
    {"Lock free", "pthread robust mutex", open_mutex, mutex_alone, close_mutex, &robust},
    {"Lock free", "sem_t", open_sem, sem_alone, close_mutex, NULL},
    {"Lock contended", BENCH_LIBMP, open_lock, mp_lock_pair, close_lock, NULL},
    {"Lock contended", "pthread mutex", open_mutex, mutex_pair, close_mutex, &plain},
    {"Lock contended", "pthread robust mutex", open_mutex, mutex_pair, close_mutex, &robust},
    {"Lock contended", "sem_t", open_sem, sem_pair, close_mutex, NULL},
    {"RLock free", BENCH_LIBMP, open_rlock, mp_rlock_alone, close_rlock, NULL},
    {"RLock free", "pthread mutex", open_mutex, mutex_alone, close_mutex, &recursive},
    {"RLock free", "pthread robust mutex", open_mutex, mutex_alone, close_mutex, &robust_recursive},
    {"RLock contended", BENCH_LIBMP, open_rlock, mp_rlock_pair, close_rlock, NULL},
    {"RLock contended", "pthread mutex", open_mutex, mutex_pair, close_mutex, &recursive},
    {"RLock contended", "pthread robust mutex", open_mutex, mutex_pair, close_mutex,
     &robust_recursive},
    {"Semaphore free", BENCH_LIBMP, open_semaphore, mp_semaphore_alone, close_semaphore, NULL},
    {"Semaphore free", "sem_t", open_sem, sem_alone, close_mutex, NULL},
    {"Semaphore contended", BENCH_LIBMP, open_semaphore, mp_semaphore_pair, close_semaphore, NULL},
    {"Semaphore contended", "sem_t", open_sem, sem_pair, close_mutex, NULL},
};
BENCH_CONTENDERS(locks)
