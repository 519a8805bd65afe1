/* queue/queue.c: mp_queue: making one, and objects and bytes over its ring. */
#include "queue/queue.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "heap/family.h"
#include "heap/waits.h"
#include "object/object.h"
#include "sync/handles.h"

#undef mp_queue_put
#undef mp_queue_put_nowait

/* So long those who wait in calls of a queue that is freed may take to leave them. */
#define LEAVING (2 * MP__S)

/* ---- making ---------------------------------------------------------------------------------- */

static int
check_options(int64_t maxsize, const mp_queue_options *o, const char *call)
{
    if (maxsize > (int64_t)MP__RING_MOST) {
        return mp__error(MP_EVALUE, "%s: maxsize %lld is above %u", call, (long long)maxsize,
                         MP__RING_MOST);
    }
    for (size_t i = 0; o && i < sizeof o->reserved / sizeof *o->reserved; i++) {
        if (o->reserved[i] != 0) {
            return mp__error(MP_EVALUE, "%s: a reserved option is not 0", call);
        }
    }
    if (o && o->max_bytes != 0 && o->element_size > o->max_bytes) {
        return mp__error(MP_EVALUE, "%s: an element of %zu bytes is above max_bytes %llu", call,
                         o->element_size, (unsigned long long)o->max_bytes);
    }
    return 0;
}

mp_queue *
mp__queue_new(enum mp__queue_kind kind, int64_t maxsize, const mp_queue_options *options,
              const char *call)
{
    if (check_options(maxsize, options, call) < 0) {
        return NULL;
    }
    mp_queue *q = mp__shared_new(sizeof *q, MP__TAG_QUEUE);
    if (!q) {
        return NULL;
    }
    q->serial = atomic_fetch_add_explicit(&mp__family->queues, 1, memory_order_relaxed) + 1;
    q->kind = options && options->joinable ? MP__QUEUE_JOINABLE : kind;
    q->element = options ? options->element_size : 0;
    atomic_init(&q->block, q);
    if (mp__ring_init(&q->ring, maxsize <= 0 ? MP__RING_MOST : (uint32_t)maxsize,
                      options ? options->max_bytes : 0) < 0) {
        mp__shared_free(q, MP__TAG_QUEUE, call);
        return NULL;
    }
    q->ring.object = q;
    atomic_init(&q->ring.serial, q->serial);
    return q;
}

mp_queue *
mp_queue_new(int64_t maxsize)
{
    return mp__queue_new(MP__QUEUE_PLAIN, maxsize, NULL, "mp_queue_new");
}

mp_queue *
mp_queue_new_with(int64_t maxsize, const mp_queue_options *options)
{
    return mp__queue_new(MP__QUEUE_PLAIN, maxsize, options, "mp_queue_new_with");
}

mp_queue *
mp_context_queue(const mp_context *ctx, int64_t maxsize)
{
    (void)ctx; /* what is in the heap is good for all start methods */
    return mp__queue_new(MP__QUEUE_PLAIN, maxsize, NULL, "mp_context_queue");
}

/*
 * Who waited in one of its calls when queue.free.begin came leaves without a look at what is freed
 * after this.  False: one does not, for it is stopped between two sleeps.
 */
static bool
all_have_left(mp_queue *q)
{
    const struct timespec nap = {.tv_nsec = MP__MS / 10};
    mp__deadline until = mp__plat_now() + LEAVING;
    mp__ring_wake(&q->ring);
    mp__joinable_freed(q);
    while (mp__waits_for(q)) {
        if (mp__deadline_passed(until)) {
            return false;
        }
        nanosleep(&nap, NULL); /* no event: what they could signal by is what goes */
    }
    return true;
}

int
mp_queue_free(mp_queue *q)
{
    if (!q) {
        return 0;
    }
    int status = mp__watch_claim(q, "mp_queue_free");
    if (status < 0) {
        return status;
    }
    mp__watch_forget(q);
    if (atomic_load(&q->ring.watched)) {
        mp__ring_watched(&q->ring); /* in other processes, too */
    }
    mp__queue_forget_closed(q);
    bool left = all_have_left(q);
    if (atomic_load(&q->ring.first)) { /* else one that died in here had come so far */
        mp__ring_done(&q->ring);
    }
    if (!left) {
        return 0; /* its own block stays, for who is stopped and will write in it when he goes on */
    }
    return mp__heap_free_from(&q->block, q, NULL) /* queue.free.commit */
               ? 0
               : mp__error(MP_EVALUE, "mp_queue_free: freed by another meanwhile");
}

mp_queue *
mp_queue_check_element(mp_queue *q, size_t element_size)
{
    int status = mp__shared_check(q, MP__TAG_QUEUE, "mp_queue_check_element");
    if (status == 0 && (q->element != element_size || element_size == 0)) {
        status = mp__error(MP_ETYPE,
                           q->element ? "mp_queue_check_element: the queue's elements have %zu "
                                        "bytes, not %zu"
                                      : "mp_queue_check_element: not a queue of elements of one "
                                        "size",
                           q->element, element_size);
    }
    return status < 0 ? NULL : q;
}

/* ---- what is said ---------------------------------------------------------------------------- */

int
mp__queue_said(const mp_queue *q, int status, const char *call)
{
    switch (status) {
    case MP_EFULL:
        return q->ring.maxbytes == 0
                   ? mp__error(MP_EFULL, "%s: no room in time, the queue holds at most %u messages",
                               call, q->ring.maxsize)
                   : mp__error(MP_EFULL,
                               "%s: no room in time, the queue holds at most %u messages and %llu "
                               "bytes",
                               call, q->ring.maxsize, (unsigned long long)q->ring.maxbytes);
    case MP_EEMPTY:
        return mp__error(MP_EEMPTY, "%s: nothing came in time", call);
    case MP_ESHUTDOWN:
        return mp__error(MP_ESHUTDOWN, "%s: the queue was shut down", call);
    case MP_EVALUE:
    case MP_ENOMEM:
        return mp__error(status, "%s: %s", call, mp_last_error_text());
    }
    return status;
}

int
mp__queue_check_size(const mp_queue *q, size_t len, const char *call)
{
    if (__builtin_expect(q->element != 0 && q->element != len, 0)) {
        return mp__error(MP_ETYPE, "%s: the queue's elements have %zu bytes, not %zu", call,
                         q->element, len);
    }
    return 0;
}

/* ---- putting --------------------------------------------------------------------------------- */

static int
put(mp_queue *q, enum mp__ring_type type, const void *data, size_t len, mp__deadline until,
    const char *call)
{
    if (__builtin_expect(q->kind == MP__QUEUE_JOINABLE, 0)) {
        int status = mp__joinable_check_room(q, call);
        if (status < 0) {
            return status;
        }
    }
    int status = mp__ring_put(&q->ring, type, data, len, until);
    if (__builtin_expect(status < 0, 0)) {
        return mp__queue_said(q, status, call);
    }
    mp__watch_changed(q);
    return status;
}

static int
put_object(mp_queue *q, mp_obj item, double timeout, const char *call)
{
    mp__deadline until;
    int status = mp__queue_begin(q, timeout, call, &until);
    if (status == 0 && q->element) {
        status = mp__error(MP_ETYPE, "%s: the queue is for elements of %zu bytes, not for objects",
                           call, q->element);
    }
    if (status == 0) {
        unsigned char small[MP__QUEUE_SMALL];
        void *spill = NULL;
        size_t len;
        /* Encode before the lock: nobody waits for it. */
        status = mp__obj_dump_into(item, &mp__family_handles, small, sizeof small, &len, &spill);
        if (status == 0) {
            status = put(q, MP__RING_OBJECT, spill ? spill : small, len, until, call);
            free(spill);
        } else {
            mp__queue_not_encoded(q, item, status);
        }
    }
    mp_obj_free(item);
    return status;
}

int
mp_queue_put(mp_queue *q, mp_obj item, double timeout)
{
    return put_object(q, item, timeout, "mp_queue_put");
}

int
mp_queue_put_nowait(mp_queue *q, mp_obj item)
{
    return put_object(q, item, 0, "mp_queue_put_nowait");
}

int
mp_queue_put_bytes(mp_queue *q, const void *data, size_t len, double timeout)
{
    mp__deadline until;
    int status = mp__queue_begin(q, timeout, "mp_queue_put_bytes", &until);
    if (status < 0 || (status = mp__queue_check_size(q, len, "mp_queue_put_bytes")) < 0) {
        return status;
    }
    if (!data && len) {
        return mp__error(MP_EVALUE, "mp_queue_put_bytes: NULL for %zu bytes", len);
    }
    return put(q, MP__RING_BYTES, data, len, until, "mp_queue_put_bytes");
}

/* ---- getting objects ------------------------------------------------------------------------- */

/* A big object is decoded where it lies: it is to be lent. */
#define LEND 1

/* What a getter learns about its message, and where it has it copied. */
struct taken {
    enum mp__ring_type type;
    size_t len;
    mp_obj bytes; /* a message that is bytes goes straight into its object */
    const char *call;
    unsigned char small[MP__QUEUE_SMALL];
};

static void *
new_bytes(size_t len, mp_obj *ret, const char *call, int *ret_status)
{
    *ret = mp__text_new(MP_KIND_BYTES, NULL, len);
    if (mp_obj_kind(*ret) == MP_KIND_FAILED) {
        *ret = mp_none();
        *ret_status = mp__error(MP_ENOMEM, "%s: no memory for %zu bytes", call, len);
        return NULL;
    }
    return (void *)(uintptr_t)mp_as_bytes(*ret, NULL);
}

static void *
place_any(void *ctx, enum mp__ring_type type, size_t len, int *ret_status)
{
    struct taken *t = ctx;
    t->type = type;
    t->len = len;
    if (type == MP__RING_BYTES) {
        mp_obj_free(t->bytes); /* of an attempt before */
        return new_bytes(len, &t->bytes, t->call, ret_status);
    }
    if (len > sizeof t->small) {
        *ret_status = LEND;
        return NULL;
    }
    return t->small;
}

/*
 * The oldest message, if it is big: decode it in place, and only then it is used up.  LEND: it is a
 * small one now, another was faster.  That one is not lent, since it would be late if we died.
 */
static int
get_lent(mp_queue *q, mp_obj *ret_item, mp__deadline until, const char *call)
{
    void *data;
    size_t len;
    enum mp__ring_type type;
    int status = mp__ring_peek_big(&q->ring, &data, &len, &type, until);
    if (status < 0) {
        return status == MP_ETYPE ? LEND : status;
    }
    if (type == MP__RING_OBJECT) {
        status = mp__obj_load(data, len, &mp__family_handles, ret_item);
    } else {
        void *to = new_bytes(len, ret_item, call, &status);
        if (to && len) {
            memcpy(to, data, len);
        }
    }
    if (status == MP_ENOMEM) {
        (void)mp__ring_give_back(&q->ring, data);
    } else {
        (void)mp__ring_release(&q->ring, data);
    }
    return status;
}

/* Decode what is taken; without memory for it it goes back to the front. */
static int
decode(mp_queue *q, const struct taken *t, mp_obj *ret_item)
{
    int status = mp__obj_load(t->small, t->len, &mp__family_handles, ret_item);
    if (status == MP_ENOMEM && mp__ring_put_back(&q->ring, t->type, t->small, t->len) < 0) {
        mp__error(MP_ENOMEM,
                  "%s: no memory to decode the message of %zu bytes, which is used up now", t->call,
                  t->len);
    }
    return status;
}

int
mp__queue_get_one(mp_queue *q, mp_obj *ret_item, mp__deadline until, const char *call)
{
    struct taken t;
    int status;
    t.call = call;
    do {
        t.bytes = mp_none();
        status = mp__ring_get(&q->ring, place_any, &t, until);
        if (status == 0 && t.type == MP__RING_BYTES) {
            *ret_item = t.bytes;
            return 0;
        }
        mp_obj_free(t.bytes);
        if (status == 0) {
            status = decode(q, &t, ret_item);
        } else if (status == LEND) {
            status = get_lent(q, ret_item, until, call);
        }
    } while (status == LEND);
    return status;
}

static int
get_object(mp_queue *q, mp_obj *ret_item, double timeout, const char *call)
{
    mp__deadline until;
    if (!ret_item) {
        return mp__error(MP_EVALUE, "%s: NULL for the item", call);
    }
    *ret_item = mp_none();
    int status = mp__queue_begin(q, timeout, call, &until);
    if (status < 0) {
        return status;
    }
    status = mp__queue_get_one(q, ret_item, until, call);
    if (__builtin_expect(status < 0, 0) && (status == MP_EEMPTY || status == MP_ESHUTDOWN)) {
        mp__queue_said(q, status, call);
    }
    mp__watch_got(q, status == MP_EEMPTY);
    return status;
}

int
mp_queue_get(mp_queue *q, mp_obj *ret_item, double timeout)
{
    return get_object(q, ret_item, timeout, "mp_queue_get");
}

int
mp_queue_get_nowait(mp_queue *q, mp_obj *ret_item)
{
    return get_object(q, ret_item, 0, "mp_queue_get_nowait");
}

/* ---- getting bytes --------------------------------------------------------------------------- */

/* The caller's buffer. */
struct buffer {
    void *data;
    size_t cap;
    size_t len;
};

static void *
place_buffer(void *ctx, enum mp__ring_type type, size_t len, int *ret_status)
{
    struct buffer *b = ctx;
    if (type != MP__RING_BYTES) {
        *ret_status = mp__error(MP_ETYPE, "mp_queue_get_bytes: the next message is an object; "
                                          "take it with mp_queue_get()");
        return NULL;
    }
    b->len = len;
    if (len > b->cap) {
        *ret_status =
            mp__error(MP_EBUFFERTOOSHORT,
                      "mp_queue_get_bytes: the message has %zu bytes, the buffer %zu", len, b->cap);
        return NULL;
    }
    return b->data ? b->data : b; /* an empty message needs no buffer */
}

int
mp_queue_get_bytes(mp_queue *q, void *buf, size_t cap, size_t *ret_len, double timeout)
{
    mp__deadline until;
    int status = mp__queue_begin(q, timeout, "mp_queue_get_bytes", &until);
    if (status < 0) {
        return status;
    }
    if (!ret_len || (!buf && cap)) {
        return mp__error(MP_EVALUE, "mp_queue_get_bytes: NULL for the %s",
                         ret_len ? "buffer" : "length");
    }
    struct buffer b = {buf, cap, 0};
    status = mp__ring_get(&q->ring, place_buffer, &b, until);
    *ret_len = b.len;
    if (__builtin_expect(status < 0, 0) && (status == MP_EEMPTY || status == MP_ESHUTDOWN)) {
        mp__queue_said(q, status, "mp_queue_get_bytes");
    }
    mp__watch_got(q, status == MP_EEMPTY);
    return status;
}

/* ---- looking, and the end -------------------------------------------------------------------- */

int64_t
mp_queue_qsize(mp_queue *q)
{
    int status = mp__shared_check(q, MP__TAG_QUEUE, "mp_queue_qsize");
    return status < 0 ? status : (int64_t)mp__ring_count(&q->ring);
}

int
mp_queue_empty(mp_queue *q)
{
    int status = mp__shared_check(q, MP__TAG_QUEUE, "mp_queue_empty");
    if (status == 0 && mp__queue_is_closed(q) &&
        (q->kind == MP__QUEUE_SIMPLE || mp__ring_puts(&q->ring) != 0)) {
        status = mp__error(MP_ECLOSED, "mp_queue_empty: the queue is closed in this process");
    }
    return status < 0 ? status : mp__ring_count(&q->ring) == 0;
}

int
mp_queue_full(mp_queue *q)
{
    int status = mp__shared_check(q, MP__TAG_QUEUE, "mp_queue_full");
    if (status < 0) {
        return status;
    }
    return mp__ring_count(&q->ring) >= q->ring.maxsize ||
           (q->ring.maxbytes != 0 && mp__ring_held(&q->ring) >= q->ring.maxbytes);
}

int
mp_queue_shutdown(mp_queue *q, bool immediate)
{
    int status = mp__shared_check(q, MP__TAG_QUEUE, "mp_queue_shutdown");
    if (status == 0) {
        status = mp__ring_shutdown(&q->ring, immediate);
        if (immediate && q->kind == MP__QUEUE_JOINABLE) {
            mp__joinable_dropped(q);
        }
        mp__watch_changed(q);
    }
    return status;
}
