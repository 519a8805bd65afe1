/* queue/queue.c: mp_queue: objects and bytes over the ring. */
#include <mp/queue.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "heap/heap.h"
#include "object/object.h"
#include "queue/ring.h"
#include "sync/handles.h"

struct mp_queue {
    mp__head head;
    struct mp__ring ring; /* the shared state and its protocol */
};

/* Messages up to this size need no allocation on the way. */
#define SMALL 2048

mp_queue *
mp_queue_new(int64_t maxsize)
{
    if (maxsize > (int64_t)MP__RING_MOST) {
        mp__error(MP_EVALUE, "mp_queue_new: maxsize %lld is above %u", (long long)maxsize,
                  MP__RING_MOST);
        return NULL;
    }
    mp_queue *q = mp__shared_new(sizeof *q, MP__TAG_QUEUE);
    if (q && mp__ring_init(&q->ring, maxsize <= 0 ? MP__RING_MOST : (uint32_t)maxsize) < 0) {
        mp__shared_free(q, MP__TAG_QUEUE, "mp_queue_new");
        q = NULL;
    }
    return q;
}

int
mp_queue_free(mp_queue *q)
{
    if (!q) {
        return 0;
    }
    int status = mp__shared_claim(q, MP__TAG_QUEUE, "mp_queue_free");
    if (status < 0) {
        return status;
    }
    mp__ring_done(&q->ring);
    return mp_free(q);
}

static int
begin(mp_queue *q, double timeout, const char *call, mp__deadline *ret_until)
{
    int status = mp__shared_check(q, MP__TAG_QUEUE, call);
    return status < 0 ? status : mp__deadline_from(timeout, call, ret_until);
}

static int
put_bytes(mp_queue *q, enum mp__ring_type type, const void *data, size_t len, mp__deadline until,
          const char *call)
{
    int status = mp__ring_put(&q->ring, type, data, len, until);
    if (status == MP_EFULL) {
        mp__error(MP_EFULL, "%s: the queue holds its %u messages", call, q->ring.maxsize);
    }
    return status;
}

int(mp_queue_put)(mp_queue *q, mp_obj item, double timeout)
{
    mp__deadline until;
    int status = begin(q, timeout, "mp_queue_put", &until);
    if (status == 0) {
        unsigned char small[SMALL];
        void *spill = NULL;
        size_t len;
        /* Encode before the lock: nobody waits for it. */
        status = mp__obj_dump_into(item, &mp__family_handles, small, sizeof small, &len, &spill);
        if (status == 0) {
            status =
                put_bytes(q, MP__RING_OBJECT, spill ? spill : small, len, until, "mp_queue_put");
            free(spill);
        }
    }
    mp_obj_free(item);
    return status;
}

int(mp_queue_put_nowait)(mp_queue *q, mp_obj item)
{
    return (mp_queue_put)(q, item, 0);
}

int
mp_queue_put_bytes(mp_queue *q, const void *data, size_t len, double timeout)
{
    mp__deadline until;
    int status = begin(q, timeout, "mp_queue_put_bytes", &until);
    if (status < 0) {
        return status;
    }
    if (!data && len) {
        return mp__error(MP_EVALUE, "mp_queue_put_bytes: NULL for %zu bytes", len);
    }
    return put_bytes(q, MP__RING_BYTES, data, len, until, "mp_queue_put_bytes");
}

/* What a getter learns about its message, and where it has it copied. */
struct taken {
    enum mp__ring_type type;
    size_t len;
    mp_obj bytes; /* a message that is bytes goes straight into its object */
    void *data;   /* of an object: small, or memory of malloc() */
    unsigned char small[SMALL];
};

static void *
place_any(void *ctx, enum mp__ring_type type, size_t len, int *ret_status)
{
    struct taken *t = ctx;
    t->type = type;
    t->len = len;
    if (type == MP__RING_BYTES) {
        t->bytes = mp__text_new(MP_KIND_BYTES, NULL, len);
        if (mp_obj_kind(t->bytes) == MP_KIND_FAILED) {
            *ret_status = mp__error(MP_ENOMEM, "mp_queue_get: no memory for %zu bytes", len);
            return NULL;
        }
        return (void *)(uintptr_t)mp_as_bytes(t->bytes, NULL);
    }
    if (len > sizeof t->small) {
        void *data = malloc(len);
        if (!data) {
            *ret_status = mp__error(MP_ENOMEM, "mp_queue_get: no memory for %zu bytes", len);
            return NULL;
        }
        t->data = data;
    }
    return t->data;
}

int
mp_queue_get(mp_queue *q, mp_obj *ret_item, double timeout)
{
    mp__deadline until;
    if (!ret_item) {
        return mp__error(MP_EVALUE, "mp_queue_get: NULL for the item");
    }
    *ret_item = mp_none();
    int status = begin(q, timeout, "mp_queue_get", &until);
    if (status < 0) {
        return status;
    }
    struct taken t;
    t.data = t.small;
    status = mp__ring_get(&q->ring, place_any, &t, until);
    if (status == MP_EEMPTY) {
        return mp__error(MP_EEMPTY, "mp_queue_get: nothing came in time");
    }
    if (status == 0) {
        if (t.type == MP__RING_OBJECT) {
            status = mp__obj_load(t.data, t.len, &mp__family_handles, ret_item);
            if (status == MP_ENOMEM) {
                mp__error(MP_ENOMEM,
                          "mp_queue_get: no memory to decode the message of %zu bytes, which is "
                          "used up now",
                          t.len);
            }
        } else {
            *ret_item = t.bytes;
        }
    }
    if (t.data != t.small) {
        free(t.data);
    }
    return status;
}

int
mp_queue_get_nowait(mp_queue *q, mp_obj *ret_item)
{
    return mp_queue_get(q, ret_item, 0);
}

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
    int status = begin(q, timeout, "mp_queue_get_bytes", &until);
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
    return status == MP_EEMPTY ? mp__error(MP_EEMPTY, "mp_queue_get_bytes: nothing came in time")
                               : status;
}

int64_t
mp_queue_qsize(mp_queue *q)
{
    int status = mp__shared_check(q, MP__TAG_QUEUE, "mp_queue_qsize");
    return status < 0 ? status : (int64_t)mp__ring_count(&q->ring);
}

int
mp_queue_empty(mp_queue *q)
{
    int64_t n = mp_queue_qsize(q);
    return n < 0 ? (int)n : n == 0;
}

int
mp_queue_full(mp_queue *q)
{
    int64_t n = mp_queue_qsize(q);
    return n < 0 ? (int)n : n >= q->ring.maxsize;
}
