/* queue/batch.c: many messages in one call. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "object/object.h"
#include "queue/queue.h"
#include "sync/handles.h"

/* Messages told to the ring at a time. */
#define PARTS 64

/* Bytes of objects that are copied out at a time, to be decoded without a lock. */
#define BASKET ((size_t)64 << 10)

/* ---- putting --------------------------------------------------------------------------------- */

/*
 * Messages one behind the other at data: of lens[0], lens[1] ... bytes, or all of `each`.  *ret_done
 * is how many are in.
 */
static int
put_parts(mp_queue *q, enum mp__ring_type type, const char *data, const size_t *lens, size_t each,
          size_t n, size_t *ret_done, mp__deadline until, const char *call)
{
    int status = 0;
    size_t done = 0;
    while (done < n && status == 0) {
        struct mp__ring_part parts[PARTS];
        size_t count = 0, some = 0;
        const char *next = data;
        for (; count < PARTS && done + count < n; count++) {
            parts[count].data = next;
            parts[count].len = lens ? lens[done + count] : each;
            next += parts[count].len;
        }
        if (q->kind == MP__QUEUE_JOINABLE && (status = mp__joinable_check_room(q, call)) < 0) {
            break;
        }
        status = mp__ring_put_many(&q->ring, type, parts, count, &some, until);
        done += some;
        data = next; /* of no more interest when not all are in */
    }
    *ret_done = done;
    if (status < 0) {
        mp__queue_said(q, status, call);
    }
    if (done) {
        mp__watch_changed(q);
    }
    return status;
}

int
mp_queue_put_many_bytes(mp_queue *q, const void *data, const size_t *lens, size_t n,
                        size_t *ret_count, double timeout)
{
    static const char call[] = "mp_queue_put_many_bytes";
    mp__deadline until;
    size_t done = 0;
    int status = mp__queue_begin(q, timeout, call, &until);
    if (status == 0 && !lens && q->element == 0) {
        status = mp__error(MP_EVALUE, "%s: NULL for the lengths", call);
    }
    size_t bytes = 0;
    for (size_t i = 0; status == 0 && i < n; i++) {
        status = lens ? mp__queue_check_size(q, lens[i], call) : 0;
        bytes |= lens ? lens[i] : q->element;
    }
    if (status == 0 && !data && bytes) {
        status = mp__error(MP_EVALUE, "%s: NULL for the data", call);
    }
    if (status == 0) {
        status = put_parts(q, MP__RING_BYTES, data, lens, q->element, n, &done, until, call);
    }
    if (ret_count) {
        *ret_count = done;
    }
    return status;
}

/* Pickles one behind the other. */
struct pickles {
    char *data;
    size_t *lens;
    size_t used, room;
};

static int
no_memory(const char *call, size_t n)
{
    return mp__error(MP_ENOMEM, "%s: no memory to encode %zu items", call, n);
}

static int
add_pickle(struct pickles *p, size_t i, mp_obj item, const char *call, size_t n)
{
    unsigned char small[MP__QUEUE_SMALL];
    void *spill = NULL;
    size_t len;
    int status = mp__obj_dump_into(item, &mp__family_handles, small, sizeof small, &len, &spill);
    if (status < 0) {
        return status;
    }
    if (len > p->room - p->used) {
        size_t room = p->room * 2 > p->used + len ? p->room * 2 : p->used + len;
        char *grown = realloc(p->data, room);
        if (!grown) {
            free(spill);
            return no_memory(call, n);
        }
        p->data = grown;
        p->room = room;
    }
    memcpy(p->data + p->used, spill ? spill : small, len);
    p->used += len;
    p->lens[i] = len;
    free(spill);
    return 0;
}

static int
encode(mp_queue *q, struct pickles *p, size_t n, const mp_obj *items, const char *call)
{
    p->room = n <= SIZE_MAX / 128 ? n * 64 : 0;
    p->data = malloc(p->room);
    p->lens = malloc(n * sizeof *p->lens);
    if (!p->data || !p->lens || n > SIZE_MAX / 128) {
        return no_memory(call, n);
    }
    int status = 0;
    for (size_t i = 0; i < n && status == 0; i++) {
        status = add_pickle(p, i, items[i], call, n);
        if (status < 0) {
            mp__queue_not_encoded(q, items[i], status);
        }
    }
    return status;
}

int
mp_queue_put_many(mp_queue *q, size_t n, const mp_obj *items, size_t *ret_count, double timeout)
{
    static const char call[] = "mp_queue_put_many";
    mp__deadline until;
    size_t done = 0;
    int status = mp__queue_begin(q, timeout, call, &until);
    if (status == 0 && !items && n) {
        status = mp__error(MP_EVALUE, "%s: NULL for %zu items", call, n);
    }
    if (status == 0 && q->element) {
        status = mp__error(MP_ETYPE, "%s: the queue is for elements of %zu bytes, not for objects",
                           call, q->element);
    }
    if (status == 0 && n) {
        struct pickles p = {NULL, NULL, 0, 0};
        status = encode(q, &p, n, items, call);
        if (status == 0) {
            status = put_parts(q, MP__RING_OBJECT, p.data, p.lens, 0, n, &done, until, call);
        }
        free(p.data);
        free(p.lens);
    }
    for (size_t i = 0; items && i < n; i++) {
        mp_obj_free(items[i]);
    }
    if (ret_count) {
        *ret_count = done;
    }
    return status;
}

/* ---- getting bytes --------------------------------------------------------------------------- */

/* The caller's buffer. */
struct buffer {
    char *data;
    size_t cap, used;
    size_t *lens; /* NULL: not wanted */
    size_t count;
};

static void *
place_behind(void *ctx, enum mp__ring_type type, size_t len, int *ret_status)
{
    static const char call[] = "mp_queue_get_many_bytes";
    struct buffer *b = ctx;
    if (type != MP__RING_BYTES) {
        *ret_status = b->count ? MP_ETYPE
                               : mp__error(MP_ETYPE,
                                           "%s: the next message is an object; take it "
                                           "with mp_queue_get()",
                                           call);
        return NULL;
    }
    if (len > b->cap - b->used) {
        if (b->count == 0) {
            if (b->lens) {
                b->lens[0] = len;
            }
            mp__error(MP_EBUFFERTOOSHORT, "%s: the message has %zu bytes, the buffer %zu", call,
                      len, b->cap);
        }
        *ret_status = MP_EBUFFERTOOSHORT;
        return NULL;
    }
    void *to = b->data ? b->data + b->used : (void *)b; /* empty messages need no buffer */
    if (b->lens) {
        b->lens[b->count] = len;
    }
    b->used += len;
    b->count++;
    return to;
}

int
mp_queue_get_many_bytes(mp_queue *q, void *buf, size_t cap, size_t *ret_lens, size_t most,
                        size_t *ret_count, double timeout)
{
    static const char call[] = "mp_queue_get_many_bytes";
    mp__deadline until;
    if (!ret_count) {
        return mp__error(MP_EVALUE, "%s: NULL for the count", call);
    }
    *ret_count = 0;
    int status = mp__queue_begin(q, timeout, call, &until);
    if (status < 0) {
        return status;
    }
    if ((!ret_lens && q->element == 0) || (!buf && cap) || most == 0) {
        return mp__error(MP_EVALUE, "%s: %s", call,
                         most == 0 ? "no messages are wanted"
                         : buf     ? "NULL for the lengths"
                                   : "NULL for the buffer");
    }
    struct buffer b = {buf, cap, 0, ret_lens, 0};
    status = mp__ring_get_many(&q->ring, place_behind, &b, most, ret_count, until);
    if (status == MP_EEMPTY || status == MP_ESHUTDOWN) {
        mp__queue_said(q, status, call);
    }
    mp__watch_got(q, *ret_count < most);
    return status;
}

/* ---- getting objects ------------------------------------------------------------------------- */

/* Some messages, copied out under the lock, with their types and lengths. */
struct basket {
    char *data;
    size_t used;
    size_t count;
    struct {
        enum mp__ring_type type;
        size_t len;
    } of[PARTS];
};

static void *
place_in_basket(void *ctx, enum mp__ring_type type, size_t len, int *ret_status)
{
    struct basket *b = ctx;
    if (len > BASKET - b->used) {
        *ret_status = MP_EBUFFERTOOSHORT;
        return NULL;
    }
    void *to = b->data + b->used;
    b->of[b->count].type = type;
    b->of[b->count].len = len;
    b->used += len;
    b->count++;
    return to;
}

/* One that is used up, but cannot be read, stands there as its error. */
static mp_obj
item_of(enum mp__ring_type type, const void *data, size_t len)
{
    mp_obj item;
    if (type == MP__RING_BYTES) {
        return mp_bytes(data, len);
    }
    int status = mp__obj_load(data, len, &mp__family_handles, &item);
    return status < 0 ? mp_error_new(status, NULL, mp_last_error_text()) : item;
}

/* What the basket has: *ret_done items more. */
static int
get_basket(mp_queue *q, struct basket *b, size_t room, mp_obj *ret_items, size_t *ret_done,
           mp__deadline until)
{
    b->used = b->count = 0;
    int status = mp__ring_get_many(&q->ring, place_in_basket, b, room < PARTS ? room : PARTS,
                                   ret_done, until);
    size_t at = 0;
    for (size_t i = 0; i < *ret_done; i++) {
        ret_items[i] = item_of(b->of[i].type, b->data + at, b->of[i].len);
        at += b->of[i].len;
    }
    return status;
}

int
mp_queue_get_many(mp_queue *q, size_t room, mp_obj *ret_items, size_t *ret_count, double timeout)
{
    static const char call[] = "mp_queue_get_many";
    mp__deadline until;
    if (!ret_count) {
        return mp__error(MP_EVALUE, "%s: NULL for the count", call);
    }
    *ret_count = 0;
    int status = mp__queue_begin(q, timeout, call, &until);
    if (status < 0) {
        return status;
    }
    if (!ret_items || room == 0) {
        return mp__error(MP_EVALUE, "%s: no room for items", call);
    }
    struct basket b;
    b.data = malloc(BASKET);
    if (!b.data) {
        return mp__error(MP_ENOMEM, "%s: no memory for %zu bytes", call, BASKET);
    }
    size_t done = 0, some = 1;
    while (done < room && some) {
        status = get_basket(q, &b, room - done, ret_items + done, &some, done ? MP__TRY : until);
        if (some == 0 && status == MP_EBUFFERTOOSHORT) { /* a big one, by itself */
            status = mp__queue_get_one(q, ret_items + done, done ? MP__TRY : until, call);
            some = status == 0;
        }
        done += some;
    }
    free(b.data);
    *ret_count = done;
    mp__watch_got(q, done < room);
    if (done) {
        return 0;
    }
    if (status == MP_EEMPTY || status == MP_ESHUTDOWN) {
        mp__queue_said(q, status, call);
    }
    return status;
}
