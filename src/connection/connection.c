/*
 * connection.c - one end of a message pipe: bytes and objects over a descriptor
 *
 * The object is of this process alone and stands in the set of live handles, so a freed one is an
 * error and not a crash.  It has no lock: a sender uses fd and writable, a receiver fd and
 * readable, and a receiver that gives up the stream closes fd only where nobody can send.
 */
#include "connection/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <mp/error.h>
#include <mp/object.h>

#include "base/deadline.h"
#include "base/error.h"
#include "base/handle.h"
#include "connection/framing.h"
#include "object/object.h"
#include "platform/platform.h"
#include "sync/handles.h"

#undef mp_connection_send

/* Pickles up to this size are written and read on the stack. */
#define SMALL 2048

struct mp_connection {
    int fd; /* -1: closed */
    bool readable;
    bool writable;
};

enum direction { ANY, RECEIVE, SEND };

/* The descriptor, if the connection is live, open and goes that way; else an error with text. */
static int
usable(const mp_connection *c, enum direction way, const char *call)
{
    int rc = mp__handle_check(c, MP__CONNECTION, call);
    if (rc) {
        return rc;
    }
    if (c->fd < 0) {
        return mp__error(MP_ECLOSED, "%s: the connection is closed", call);
    }
    if (way == RECEIVE && !c->readable) {
        return mp__error(MP_EDIRECTION, "%s: the connection is write-only", call);
    }
    if (way == SEND && !c->writable) {
        return mp__error(MP_EDIRECTION, "%s: the connection is read-only", call);
    }
    return c->fd;
}

/* ---- making, closing, freeing ---------------------------------------------------------------- */

mp_connection *
mp__connection_adopt(int fd, bool readable, bool writable)
{
    mp_connection *c = malloc(sizeof *c);
    if (!c) {
        mp__error(MP_ENOMEM, "out of memory for a connection");
        return NULL;
    }
    *c = (mp_connection){.fd = fd, .readable = readable, .writable = writable};
    if (mp__handle_add(c, MP__CONNECTION)) {
        free(c);
        return NULL;
    }
    return c;
}

mp_connection *
mp_connection_new(int fd, bool readable, bool writable)
{
    if (fd < 0) {
        mp__error(MP_EVALUE, "mp_connection_new: descriptor %d: must not be negative", fd);
        return NULL;
    }
    if (!readable && !writable) {
        mp__error(MP_EVALUE, "mp_connection_new: descriptor %d: neither readable nor writable", fd);
        return NULL;
    }
    return mp__connection_adopt(fd, readable, writable);
}

/* 0 or an errno.  After EINTR the descriptor is gone on every system that matters: no retry. */
static int
close_fd(mp_connection *c)
{
    int fd = c->fd;
    c->fd = -1;
    return fd >= 0 && close(fd) && errno != EINTR ? errno : 0;
}

int
mp_connection_close(mp_connection *c)
{
    int rc = mp__handle_check(c, MP__CONNECTION, "mp_connection_close");
    if (rc) {
        return rc;
    }
    int fd = c->fd, err = close_fd(c);
    return err ? mp__error_os(err, "mp_connection_close: descriptor %d", fd) : 0;
}

int
mp_connection_free(mp_connection *c)
{
    if (!c) {
        return 0;
    }
    if (!mp__handle_remove(c, MP__CONNECTION)) {
        return mp__handle_check(c, MP__CONNECTION, "mp_connection_free");
    }
    int saved = errno;
    close_fd(c);
    free(c);
    errno = saved;
    return 0;
}

/* ---- asking ---------------------------------------------------------------------------------- */

int
mp__connection_fd(const mp_connection *c, bool *readable, bool *writable)
{
    int fd = usable(c, ANY, "mp_connection");
    if (fd >= 0) {
        *readable = c->readable;
        *writable = c->writable;
    }
    return fd;
}

int
mp_connection_fileno(mp_connection *c)
{
    return usable(c, ANY, "mp_connection_fileno");
}

bool
mp_connection_closed(const mp_connection *c)
{
    return !mp__handle_live(c, MP__CONNECTION) || c->fd < 0;
}

bool
mp_connection_readable(const mp_connection *c)
{
    return mp__handle_live(c, MP__CONNECTION) && c->readable;
}

bool
mp_connection_writable(const mp_connection *c)
{
    return mp__handle_live(c, MP__CONNECTION) && c->writable;
}

int
mp_connection_poll(mp_connection *c, double timeout)
{
    mp__deadline until;
    int fd = usable(c, RECEIVE, "mp_connection_poll");
    if (fd < 0) {
        return fd;
    }
    int rc = mp__deadline_from(timeout, "mp_connection_poll", &until);
    if (rc) {
        return rc;
    }
    rc = mp__plat_poll_in(fd, until);
    return rc < 0 ? mp__error_os(-rc, "mp_connection_poll: descriptor %d", fd) : rc;
}

/* ---- sending --------------------------------------------------------------------------------- */

int
mp_connection_send_bytes(mp_connection *c, const void *data, size_t len)
{
    int fd = usable(c, SEND, "mp_connection_send_bytes");
    if (fd < 0) {
        return fd;
    }
    if (!data && len) {
        return mp__error(MP_EVALUE, "mp_connection_send_bytes: NULL with a length of %zu", len);
    }
    return mp__frame_write(fd, data, len, "mp_connection_send_bytes");
}

int
mp_connection_send(mp_connection *c, mp_obj item)
{
    unsigned char small[SMALL];
    void *spill;
    size_t len;
    int fd = usable(c, SEND, "mp_connection_send");
    if (fd < 0) {
        mp_obj_free(item);
        return fd;
    }
    int rc = mp__obj_dump_into(item, &mp__family_handles, small, SMALL, &len, &spill);
    mp_obj_free(item);
    if (rc) {
        return rc;
    }
    rc = mp__frame_write(fd, spill ? spill : small, len, "mp_connection_send");
    free(spill);
    return rc;
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* The next frame cannot be found any more: as in Python, keep only what can still be used. */
static void
lose_stream(mp_connection *c)
{
    if (c->writable) {
        c->readable = false;
    } else {
        close_fd(c);
    }
}

/* Read a frame's head, of at most max_len bytes of body. */
static int
read_head(mp_connection *c, int fd, size_t max_len, size_t *ret_len, const char *call)
{
    int rc = mp__frame_read_head(fd, ret_len, call);
    if (rc == 0 && *ret_len > max_len) {
        rc = mp__error(MP_EBADMSG, "%s: bad message length: %zu bytes came, %zu allowed", call,
                       *ret_len, max_len);
        lose_stream(c);
    } else if (rc == MP_EOVERFLOW) {
        rc = mp__error(MP_EBADMSG, "%s", mp_last_error_text());
        lose_stream(c);
    }
    return rc;
}

int
mp_connection_recv_bytes(mp_connection *c, void **ret_data, size_t *ret_len, size_t max_len)
{
    static const char call[] = "mp_connection_recv_bytes";
    void *data;
    size_t len;
    if (!ret_data || !ret_len) {
        return mp__error(MP_EVALUE, "%s: nowhere to put the message (NULL)", call);
    }
    *ret_data = NULL;
    *ret_len = 0;
    int fd = usable(c, RECEIVE, call);
    if (fd < 0) {
        return fd;
    }
    int rc = read_head(c, fd, max_len, &len, call);
    if (rc == 0) {
        rc = mp__frame_read_alloc(fd, len, &data, call);
    }
    if (rc) {
        return rc;
    }
    *ret_data = data;
    *ret_len = len;
    return 0;
}

int
mp_connection_recv_bytes_into(mp_connection *c, void *buf, size_t cap, size_t *ret_len)
{
    static const char call[] = "mp_connection_recv_bytes_into";
    size_t len;
    int fd = usable(c, RECEIVE, call);
    if (fd < 0) {
        return fd;
    }
    if (!ret_len || (!buf && cap)) {
        return mp__error(MP_EVALUE, "%s: nowhere to put the message (NULL)", call);
    }
    int rc = read_head(c, fd, SIZE_MAX, &len, call);
    if (rc) {
        return rc;
    }
    rc = len <= cap ? mp__frame_read_body(fd, buf, len, call) : mp__frame_skip(fd, len, call);
    if (rc) {
        return rc;
    }
    *ret_len = len;
    if (len > cap) {
        return mp__error(MP_EBUFFERTOOSHORT, "%s: the message had %zu bytes, the buffer %zu", call,
                         len, cap);
    }
    return 0;
}

int
mp_connection_recv(mp_connection *c, mp_obj *ret_item)
{
    static const char call[] = "mp_connection_recv";
    unsigned char small[SMALL];
    void *data = small;
    size_t len;
    if (!ret_item) {
        return mp__error(MP_EVALUE, "%s: nowhere to put the object (NULL)", call);
    }
    *ret_item = mp_none();
    int fd = usable(c, RECEIVE, call);
    if (fd < 0) {
        return fd;
    }
    int rc = read_head(c, fd, SIZE_MAX, &len, call);
    if (rc) {
        return rc;
    }
    rc = len <= SMALL ? mp__frame_read_body(fd, small, len, call)
                      : mp__frame_read_alloc(fd, len, &data, call);
    if (rc) {
        return rc;
    }
    mp_obj item;
    rc = mp__obj_load(data, len, &mp__family_handles, &item);
    if (data != small) {
        free(data);
    }
    if (rc == 0) {
        *ret_item = item;
    }
    return rc;
}
