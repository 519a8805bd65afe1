/* queue/loan.c: bytes lent to be filled, and messages lent to be used in place. */
#include <string.h>

#include "base/error.h"
#include "heap/family.h"
#include "queue/inner.h"

static int
not_lent(const char *how, const void *data)
{
    return mp__error(MP_EVALUE, "%p is not %s by this process from this queue", data, how);
}

int
mp__ring_reserve(struct mp__ring *r, size_t len, void **ret_data)
{
    if (r->maxbytes && len > r->maxbytes) {
        return mp__error(MP_EVALUE, "a message of %zu bytes is above the queue's limit of %llu",
                         len, (unsigned long long)r->maxbytes);
    }
    if (len > mp__family->size) {
        return mp__error(MP_ENOMEM, "a message of %zu bytes does not fit the family's heap", len);
    }
    if (mp__ring_is_shutdown(r)) {
        return MP_ESHUTDOWN;
    }
    struct mp__slot *s = mp__slot_lend(r, len);
    if (!s) {
        return MP_ENOMEM;
    }
    struct mp__parcel *p = mp__slot_parcel(s);
    p->header = len;
    p->slot = s;
    *ret_data = p->bytes;
    return 0;
}

int
mp__ring_commit(struct mp__ring *r, enum mp__ring_type type, void *data, size_t len,
                mp__deadline until)
{
    struct mp__slot *s = mp__slot_lent(r, data, MP__SLOT_FILLING);
    if (!s) {
        return not_lent("reserved", data);
    }
    struct mp__parcel *p = mp__slot_parcel(s);
    uint64_t reserved = mp__record_len(p->header);
    if (len > reserved) {
        return mp__error(MP_EVALUE, "%zu bytes are to be committed and %llu were reserved", len,
                         (unsigned long long)reserved);
    }
    if (len > MP__INLINE_MOST && len >= reserved / 2) {
        int status = mp__ring_put_slot(r, type, s, len, until);
        if (status < 0 && status != MP_EVALUE) { /* freed meanwhile, with all that it lent */
            p->header = reserved;
        }
        return status;
    }
    /* A message must not hold much more memory than it needs. */
    int status = mp__ring_put(r, type, data, len, until);
    if (status == 0) {
        mp__slot_release(r, s, true);
    }
    return status;
}

/* Release what is lent; of two threads that do, one: the slot may be another process's then. */
static int
release(struct mp__ring *r, void *data, enum mp__slot_state from, enum mp__slot_state to,
        const char *how)
{
    struct mp__slot *s = mp__slot_lent(r, data, from);
    return s && mp__slot_move(s, from, to) ? (mp__slot_release(r, s, true), 0)
                                           : not_lent(how, data);
}

int
mp__ring_cancel(struct mp__ring *r, void *data)
{
    /* Any other state of ours will do in which it is freed when we die. */
    return release(r, data, MP__SLOT_FILLING, MP__SLOT_TAKING, "reserved");
}

int
mp__ring_release(struct mp__ring *r, void *data)
{
    return release(r, data, MP__SLOT_PEEKED, MP__SLOT_FILLING, "peeked"); /* queue.peek.release */
}

/* Under get_lock, which it lets go, as all that changes what is returned. */
static void
give_back(struct mp__ring *r, struct mp__slot *s)
{
    mp__slot_give_back(r, s);
    mp__slot_recount(r);
    mp__ring_unlock_get(r);
    mp__ring_came(r, 1);
}

int
mp__ring_give_back(struct mp__ring *r, void *data)
{
    mp__ring_lock_get(r);
    struct mp__slot *s = mp__slot_lent(r, data, MP__SLOT_PEEKED);
    if (!s) {
        mp__ring_unlock_get(r);
        return not_lent("peeked", data);
    }
    give_back(r, s);
    return 0;
}

int
mp__ring_put_back(struct mp__ring *r, enum mp__ring_type type, const void *data, size_t len)
{
    struct mp__slot *s = mp__slot_lend(r, len);
    if (!s) {
        return MP_ENOMEM;
    }
    struct mp__parcel *p = mp__slot_parcel(s);
    if (len) {
        memcpy(p->bytes, data, len);
    }
    p->header = mp__record_header(type, len);
    s->order = 0; /* before all that is out */
    mp__ring_lock_get(r);
    give_back(r, s);
    return 0;
}
