/* queue/lending.c: messages that are made and read where they lie; loans are the ring's. */
#include "base/error.h"
#include "heap/heap.h"
#include "object/object.h"
#include "queue/queue.h"
#include "sync/handles.h"

/* ---- making one ------------------------------------------------------------------------------ */

void *
mp_queue_reserve(mp_queue *q, size_t len)
{
    void *data = NULL;
    int status = mp__queue_check(q, "mp_queue_reserve");
    if (status == 0) {
        status = mp__queue_check_size(q, len, "mp_queue_reserve");
    }
    if (status == 0 && (status = mp__ring_reserve(&q->ring, len, &data)) < 0) {
        mp__queue_said(q, status, "mp_queue_reserve");
    }
    return status < 0 ? NULL : data;
}

int
mp_queue_commit(mp_queue *q, void *data, size_t len, double timeout)
{
    mp__deadline until;
    int status = mp__queue_begin(q, timeout, "mp_queue_commit", &until);
    if (status < 0 || (status = mp__queue_check_size(q, len, "mp_queue_commit")) < 0) {
        return status;
    }
    if (q->kind == MP__QUEUE_JOINABLE &&
        (status = mp__joinable_check_room(q, "mp_queue_commit")) < 0) {
        return status;
    }
    status = mp__ring_commit(&q->ring, MP__RING_BYTES, data, len, until);
    if (status < 0) {
        return mp__queue_said(q, status, "mp_queue_commit");
    }
    mp__watch_changed(q);
    return status;
}

/* What is lent can be returned when the queue is closed in this process, too. */
static int
end(mp_queue *q, void *data, int (*how)(struct mp__ring *, void *), const char *call)
{
    int status = mp__shared_check(q, MP__TAG_QUEUE, call);
    if (status == 0 && (status = how(&q->ring, data)) < 0) {
        return mp__queue_said(q, status, call);
    }
    return status;
}

int
mp_queue_cancel(mp_queue *q, void *data)
{
    return end(q, data, mp__ring_cancel, "mp_queue_cancel");
}

/* ---- reading one ----------------------------------------------------------------------------- */

int
mp_queue_peek_bytes(mp_queue *q, const void **ret_data, size_t *ret_len, double timeout)
{
    mp__deadline until;
    int status = mp__queue_begin(q, timeout, "mp_queue_peek_bytes", &until);
    if (status < 0) {
        return status;
    }
    if (!ret_data || !ret_len) {
        return mp__error(MP_EVALUE, "mp_queue_peek_bytes: NULL for the %s",
                         ret_data ? "length" : "data");
    }
    void *data;
    *ret_data = NULL;
    *ret_len = 0;
    status = mp__ring_peek_bytes(&q->ring, &data, ret_len, until);
    if (status == 0) {
        *ret_data = data;
    } else if (status == MP_ETYPE) {
        mp__error(MP_ETYPE, "mp_queue_peek_bytes: the next message is an object; peek it with "
                            "mp_queue_peek()");
    } else {
        mp__queue_said(q, status, "mp_queue_peek_bytes");
    }
    mp__watch_got(q, status == MP_EEMPTY);
    return status;
}

int
mp_queue_peek(mp_queue *q, mp_obj *ret_item, const void **ret_loan, double timeout)
{
    mp__deadline until;
    if (!ret_item || !ret_loan) {
        return mp__error(MP_EVALUE, "mp_queue_peek: NULL for the %s", ret_item ? "loan" : "item");
    }
    *ret_item = mp_none();
    *ret_loan = NULL;
    int status = mp__queue_begin(q, timeout, "mp_queue_peek", &until);
    if (status < 0) {
        return status;
    }
    void *data;
    size_t len;
    enum mp__ring_type type;
    status = mp__ring_peek(&q->ring, &data, &len, &type, until);
    if (status < 0) {
        mp__queue_said(q, status, "mp_queue_peek");
        mp__watch_got(q, status == MP_EEMPTY);
        return status;
    }
    if (type == MP__RING_OBJECT) {
        status = mp__obj_load(data, len, &mp__family_handles, ret_item);
    } else {
        *ret_item = mp_bytes(data, len);
        status = mp_obj_kind(*ret_item) == MP_KIND_FAILED ? MP_ENOMEM : 0;
    }
    if (status == 0) {
        *ret_loan = data;
    } else if (status == MP_ENOMEM) {
        *ret_item = mp_none();
        (void)mp__ring_give_back(&q->ring, data);
        mp__error(MP_ENOMEM, "mp_queue_peek: no memory to decode the message of %zu bytes", len);
    } else {
        (void)mp__ring_release(&q->ring, data);
    }
    mp__watch_changed(q);
    return status;
}

int
mp_queue_release(mp_queue *q, const void *data)
{
    return end(q, (void *)(uintptr_t)data, mp__ring_release, "mp_queue_release");
}

int
mp_queue_give_back(mp_queue *q, const void *data)
{
    int status = end(q, (void *)(uintptr_t)data, mp__ring_give_back, "mp_queue_give_back");
    if (status == 0) {
        if (q->kind == MP__QUEUE_JOINABLE && mp__ring_is_shutdown(&q->ring)) {
            mp__joinable_dropped(q);
        }
        mp__watch_changed(q);
    }
    return status;
}
