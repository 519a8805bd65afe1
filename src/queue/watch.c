/*
 * queue/watch.c: a descriptor for each queue that this process wants to poll.
 *
 * Layout    private: the list of watched queues, each with a pipe that holds one byte while the
 *           queue is readable, and one thread that looks after them.  Shared: a word in each ring,
 *           `watched`, 1 when somebody wants to be told of the next message; and the family's bell,
 *           a word that all watchers sleep on, and a lock
 * Writers   the list, the pipes: the holder of the mutex.  watched: a watcher stores 1, who put
 *           takes it.  bell.rung: who took a 1.  bell.lock is held while a watcher looks at a queue,
 *           which another process may be freeing, and while that one changes the queue's tag
 * Waiting   The watcher reads the bell, stores 1 in each queue that is not readable, looks at it
 *           once more, and sleeps until the bell changes, at most a slice.  So a burst of messages
 *           rings once, and queues that nobody watches cost one load
 * Death     Who put and died before he rang: seen at the slice's end, as is a message that a dead
 *           consumer had in loan, and that another process took the last message.  A watcher that
 *           died leaves a 1 behind, which rings once for nothing
 * Fork      the mutex is held; the child closes its copies of the pipes and has no thread
 */
#include "queue/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/recovery.h"
#include "heap/family.h"
#include "platform/platform.h"
#include "sync/park.h"

struct watch {
    mp_queue *queue;
    uint64_t serial; /* another queue at the same address is another */
    int uses;        /* mp__watch_begin() less mp__watch_end() */
    bool user;       /* one of them is the user's */
    bool told;       /* the byte is in the pipe */
    int pipe[2];     /* [1] is -1 when the queue was freed: then [0] is at its end */
};

_Atomic uint32_t mp__watching;

static MP__FORK_DATA pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int init_status;
static struct watch *list; /* mp__watching of them */
static size_t room;
static bool has_thread;
static uint64_t generation; /* of the thread; an older one ends */
static pthread_t thread;

/* ---- the bell -------------------------------------------------------------------------------- */

static void
ring_the_bell(void)
{
    struct mp__bell *b = &mp__family->bell;
    atomic_fetch_add_explicit(&b->rung, 1, memory_order_seq_cst);
    if (atomic_exchange_explicit(&b->sleepers, 0, memory_order_seq_cst) != 0) {
        mp__plat_wake(&b->rung, INT_MAX);
    }
}

void
mp__ring_watched(struct mp__ring *r)
{
    if (atomic_exchange_explicit(&r->watched, 0, memory_order_seq_cst) != 0) {
        ring_the_bell();
    }
}

static void
sleep_until_it_rings(uint32_t seen)
{
    struct mp__bell *b = &mp__family->bell;
    atomic_store_explicit(&b->sleepers, 1, memory_order_seq_cst);
    mp__plat_wait(&b->rung, seen, mp__slice_of(INT64_MAX, MP__SLICE));
}

/* ---- one queue ------------------------------------------------------------------------------- */

/* Under the bell's lock.  Of several that free it one has it; the others, when that one has died. */
static bool
claim(mp_queue *q)
{
    const enum mp__tag going = (enum mp__tag) ~(uint32_t)MP__TAG_QUEUE;
    if (mp__shared_live(q, MP__TAG_QUEUE)) {
        if (mp__heap_block_size(q) == 0) {
            return false;
        }
        q->freer = mp__self();
        mp__ring_freed(&q->ring); /* queue.free.begin */
        atomic_store(&q->head.tag, (uint32_t)going);
        return true;
    }
    mp__heap_settle(); /* the dead one may have been freeing its block */
    if (mp__shared_live(q, going) && atomic_load(&q->block) == q && mp__member_dead(q->freer)) {
        q->freer = mp__self();
        return true;
    }
    return false;
}

int
mp__watch_claim(mp_queue *q, const char *call)
{
    bool ours = false;
    if (mp_heap_contains(q)) {
        mp__ilock *lock = &mp__family->bell.lock; /* no dead owner leaves a trace under it */
        (void)mp__ilock_acquire(lock, MP__NEVER);
        ours = claim(q);
        mp__ilock_release(lock);
    }
    return ours ? 0 : mp__shared_not_live(q, MP__TAG_QUEUE, call);
}

static bool
is_there(const struct watch *w)
{
    return mp__shared_live(w->queue, MP__TAG_QUEUE) && w->queue->serial == w->serial;
}

enum state { GONE, QUIET, READABLE, UNKNOWN };

/*
 * What the queue is now; if it is quiet, the next message rings the bell.  UNKNOWN: another watcher
 * was stopped while it looked at one.
 */
static enum state
look_at(const struct watch *w)
{
    mp__ilock *lock = &mp__family->bell.lock;
    enum state now = GONE;
    if (mp__ilock_acquire_until(lock, MP__TRY, NULL) < 0) {
        return UNKNOWN;
    }
    if (is_there(w)) {
        struct mp__ring *r = &w->queue->ring;
        now = mp__ring_readable(r) ? READABLE : QUIET;
        if (now == QUIET) {
            atomic_store_explicit(&r->watched, 1, memory_order_seq_cst);
            now = mp__ring_readable(r) ? READABLE : QUIET;
        }
    }
    mp__ilock_release(lock);
    return now;
}

static void
tell(struct watch *w, bool readable)
{
    char byte = 0;
    if (readable != w->told) {
        ssize_t n = readable ? write(w->pipe[1], &byte, 1) : read(w->pipe[0], &byte, 1);
        w->told = n == 1 || errno == EAGAIN ? readable : w->told;
    }
}

/* The pipe says what is true now. */
static void
update(struct watch *w)
{
    if (w->pipe[1] < 0) {
        return;
    }
    enum state now = look_at(w);
    if (now == GONE) {
        close(w->pipe[1]);
        w->pipe[1] = -1;
    } else if (now != UNKNOWN) {
        tell(w, now == READABLE);
    }
}

static struct watch *
find(const mp_queue *q)
{
    for (uint32_t i = 0; i < mp__watching; i++) {
        if (list[i].queue == q && list[i].serial == q->serial) {
            return &list[i];
        }
    }
    return NULL;
}

/* A queue that was at q, and that another process freed. */
static struct watch *
find_gone(const mp_queue *q)
{
    for (uint32_t i = 0; i < mp__watching; i++) {
        if (list[i].queue == q && !is_there(&list[i])) {
            return &list[i];
        }
    }
    return NULL;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void *
look_after(void *arg)
{
    uint64_t mine = (uint64_t)(uintptr_t)arg;
    pthread_mutex_lock(&mutex);
    while (mine == generation) {
        uint32_t seen = atomic_load_explicit(&mp__family->bell.rung, memory_order_seq_cst);
        for (uint32_t i = 0; i < mp__watching; i++) {
            update(&list[i]);
        }
        pthread_mutex_unlock(&mutex);
        sleep_until_it_rings(seen);
        pthread_mutex_lock(&mutex);
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

/* Under the mutex.  0 or -errno. */
static int
start_thread(void)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* the program's signals are not for this thread */
    generation++;
    int error = pthread_create(&thread, NULL, look_after, (void *)(uintptr_t)generation);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    has_thread = error == 0;
    return -error;
}

/* ---- fork ------------------------------------------------------------------------------------ */

static void
before_fork(void)
{
    pthread_mutex_lock(&mutex);
}

static void
in_parent(void)
{
    pthread_mutex_unlock(&mutex);
}

static void
in_child(void)
{
    for (uint32_t i = 0; i < mp__watching; i++) {
        close(list[i].pipe[0]);
        if (list[i].pipe[1] >= 0) {
            close(list[i].pipe[1]);
        }
    }
    mp__watching = 0;
    has_thread = false;
    generation++;
    pthread_mutex_unlock(&mutex);
}

static void
init(void)
{
    init_status = mp__fork_hooks(before_fork, in_parent, in_child);
}

/* ---- beginning and ending -------------------------------------------------------------------- */

static int
open_pipe(int fds[2])
{
    int status = mp__plat_pipe(fds);
    for (int i = 0; i < 2 && status == 0; i++) {
        if (fcntl(fds[i], F_SETFL, O_NONBLOCK) < 0) {
            status = -errno;
            close(fds[0]);
            close(fds[1]);
        }
    }
    return status;
}

/* Under the mutex: the new entry, or NULL with *ret_status. */
static struct watch *
add(mp_queue *q, int *ret_status)
{
    if (mp__watching == room) {
        struct watch *grown = realloc(list, (room * 2 + 4) * sizeof *list);
        if (!grown) {
            *ret_status = -ENOMEM;
            return NULL;
        }
        list = grown;
        room = room * 2 + 4;
    }
    struct watch w = {.queue = q, .serial = q->serial};
    *ret_status = open_pipe(w.pipe);
    if (*ret_status == 0 && !has_thread && (*ret_status = start_thread()) < 0) {
        close(w.pipe[0]);
        close(w.pipe[1]);
    }
    if (*ret_status < 0) {
        return NULL;
    }
    list[mp__watching] = w;
    atomic_fetch_add(&mp__watching, 1);
    return &list[mp__watching - 1];
}

/* Under the mutex, and lets it go: remove the entry, and end the thread with the last one. */
static void
take_out(struct watch *w)
{
    struct watch gone = *w;
    uint32_t left = atomic_fetch_sub(&mp__watching, 1) - 1;
    *w = list[left];
    bool last = left == 0 && has_thread;
    pthread_t old = thread;
    if (last) {
        has_thread = false;
        generation++;
    }
    if (left == 0) {
        free(list);
        list = NULL;
        room = 0;
    }
    close(gone.pipe[0]);
    if (gone.pipe[1] >= 0) {
        close(gone.pipe[1]);
    }
    pthread_mutex_unlock(&mutex);
    if (last) {
        ring_the_bell();
        pthread_join(old, NULL);
    }
}

/* One use more; user: the user's, if he does not have it yet. */
static int
begin(mp_queue *q, bool user)
{
    int status = 0;
    pthread_once(&once, init);
    if (init_status < 0) {
        return -ENOMEM;
    }
    pthread_mutex_lock(&mutex);
    struct watch *w = find(q);
    if (!w) {
        w = add(q, &status);
    }
    if (w) {
        w->uses += !(user && w->user);
        w->user = w->user || user;
        update(w);
        status = w->pipe[0];
    }
    pthread_mutex_unlock(&mutex);
    return status;
}

static void
end(mp_queue *q, bool user)
{
    pthread_mutex_lock(&mutex);
    struct watch *w = find(q);
    if (w && (!user || w->user)) {
        w->uses--;
        w->user = w->user && !user;
        if (w->uses == 0) {
            take_out(w);
            return;
        }
    }
    pthread_mutex_unlock(&mutex);
}

int
mp__watch_begin(mp_queue *q)
{
    return begin(q, false);
}

void
mp__watch_end(mp_queue *q)
{
    end(q, false);
}

int
mp__watch_user(mp_queue *q, bool on)
{
    if (on) {
        return begin(q, true);
    }
    end(q, true);
    return 0;
}

void
mp__watch_forget(mp_queue *q)
{
    if (atomic_load_explicit(&mp__watching, memory_order_relaxed) == 0) {
        return;
    }
    pthread_mutex_lock(&mutex);
    struct watch *w = find(q);
    if (w) {
        take_out(w);
    } else {
        pthread_mutex_unlock(&mutex);
    }
}

void
mp__watch_look(mp_queue *q, bool was_empty)
{
    pthread_mutex_lock(&mutex);
    struct watch *w = find(q);
    if (w) {
        if (was_empty && w->pipe[1] >= 0) {
            tell(w, false); /* what came since is told anew: who waits for edges needs one */
        }
        update(w);
    }
    pthread_mutex_unlock(&mutex);
}

/* ---- the public calls ------------------------------------------------------------------------ */

int
mp_queue_fileno(mp_queue *q)
{
    int status = mp__queue_check(q, "mp_queue_fileno");
    if (status == 0 && (status = mp__watch_user(q, true)) < 0) {
        status = mp__error_os(-status, "mp_queue_fileno: watching the queue");
    }
    return status;
}

int
mp_queue_unwatch(mp_queue *q)
{
    if (q && atomic_load_explicit(&mp__watching, memory_order_relaxed) != 0) {
        pthread_mutex_lock(&mutex);
        struct watch *w = mp__shared_live(q, MP__TAG_QUEUE) && find(q) ? NULL : find_gone(q);
        if (w) {
            take_out(w);
            return 0;
        }
        pthread_mutex_unlock(&mutex);
    }
    int status = mp__shared_check(q, MP__TAG_QUEUE, "mp_queue_unwatch");
    return status < 0 ? status : mp__watch_user(q, false);
}
