/*
 * framing.c - read and write one frame of CPython's Connection
 *
 * What is odd on the wire is answered as CPython does: an end of file before a piece's first byte
 * is the end of the stream, and inside a piece a broken message.  The pieces are the length, its
 * 64-bit extension, and the body.  Two answers are stricter: a negative length, which CPython takes
 * for 0, is refused; and a reset connection is the end of the stream between frames only.
 */
#include "connection/framing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <mp/error.h>

#include "base/error.h"
#include "platform/platform.h"

#define SHORT_MAX  UINT32_C(0x7fffffff)
#define LONG_MARK  UINT32_C(0xffffffff)
#define HEAD_BYTES 12 /* of the long form */

static void
put_be(unsigned char *to, uint64_t x, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) {
        to[i] = (unsigned char)(x & 0xff);
        x >>= 8;
    }
}

static uint64_t
get_be(const unsigned char *from, int bytes)
{
    uint64_t x = 0;
    for (int i = 0; i < bytes; i++) {
        x = x << 8 | from[i];
    }
    return x;
}

int
mp__frame_write(int fd, const void *data, size_t len, const char *call)
{
    if ((uint64_t)len > (uint64_t)INT64_MAX) {
        return mp__error(MP_EOVERFLOW, "%s: %zu bytes are more than a frame holds", call, len);
    }
    unsigned char head[HEAD_BYTES];
    size_t head_len = 4;
    if (len <= SHORT_MAX) {
        put_be(head, len, 4);
    } else {
        put_be(head, LONG_MARK, 4);
        put_be(head + 4, len, 8);
        head_len = HEAD_BYTES;
    }
    /* Head and body in one call, whatever the size: a head alone in a TCP segment would make the
       body wait for its acknowledgement (Nagle). */
    struct iovec iov[2] = {{head, head_len}, {(void *)(uintptr_t)data, len}};
    int rc = mp__plat_write_all(fd, iov, len ? 2 : 1);
    return rc ? mp__error_os(-rc, "%s: message of %zu bytes", call, len) : 0;
}

/*
 * Read the len bytes of one piece, of which `had` are there already; only of the first read of a
 * piece, where `had` is 0, can an end of file be the stream's.
 */
static int
read_piece(int fd, void *buf, size_t len, size_t had, const char *call)
{
    ssize_t n = mp__plat_read_all(fd, buf, len);
    if (n < 0) {
        return mp__error_os((int)-n, "%s: receive", call);
    }
    if ((size_t)n == len) {
        return 0;
    }
    if (n == 0 && had == 0) {
        return mp__error(MP_EEOF, "%s: the other side is closed", call);
    }
    return mp__error(MP_EBADMSG, "%s: the other side closed inside a message", call);
}

/* A reset after the head of a frame cuts a message off; it is not the end between two of them. */
static int
in_message(int rc, const char *call)
{
    if (rc == -ECONNRESET) {
        return mp__error(MP_EBADMSG, "%s: the connection was reset inside a message", call);
    }
    return rc;
}

int
mp__frame_read_head(int fd, size_t *ret_len, const char *call)
{
    unsigned char head[8];
    int rc = read_piece(fd, head, 4, 0, call);
    if (rc == -ECONNRESET) {
        /* The other side closed before it read all we sent. */
        return mp__error(MP_EEOF, "%s: the other side is closed (connection reset)", call);
    }
    if (rc) {
        return rc;
    }
    uint64_t len = get_be(head, 4);
    if (len == LONG_MARK) {
        rc = in_message(read_piece(fd, head, 8, 0, call), call);
        if (rc) {
            return rc;
        }
        len = get_be(head, 8);
        if (len > (uint64_t)INT64_MAX || len > SIZE_MAX) {
            return mp__error(MP_EOVERFLOW, "%s: bad length of a message: %llu", call,
                             (unsigned long long)len);
        }
    } else if (len > SHORT_MAX) {
        return mp__error(MP_EOVERFLOW, "%s: bad length of a message: %lld", call,
                         (long long)len - (INT64_C(1) << 32));
    }
    *ret_len = (size_t)len;
    return 0;
}

int
mp__frame_read_body(int fd, void *buf, size_t len, const char *call)
{
    return len ? in_message(read_piece(fd, buf, len, 0, call), call) : 0;
}

/* Read the rest of a body of which `had` bytes were taken, and forget it. */
static int
skip(int fd, size_t len, size_t had, const char *call)
{
    unsigned char waste[4096];
    while (had < len) {
        size_t n = len - had < sizeof waste ? len - had : sizeof waste;
        int rc = in_message(read_piece(fd, waste, n, had, call), call);
        if (rc) {
            return rc;
        }
        had += n;
    }
    return 0;
}

int
mp__frame_skip(int fd, size_t len, const char *call)
{
    return skip(fd, len, 0, call);
}

int
mp__frame_read_alloc(int fd, size_t len, void **ret_data, const char *call)
{
    unsigned char *data = NULL;
    size_t had = 0, room = 0;
    do {
        /* The announced length is only believed as far as bytes have come. */
        size_t wanted = room ? room * 2 : MP__FRAME_CHUNK;
        room = wanted < room || wanted > len ? len : wanted;
        unsigned char *grown = realloc(data, room ? room : 1);
        if (!grown) {
            free(data);
            int rc = skip(fd, len, had, call); /* so that the connection can go on */
            return rc ? rc : mp__error(MP_ENOMEM, "%s: no memory for %zu bytes", call, len);
        }
        data = grown;
        if (room > had) {
            int rc = in_message(read_piece(fd, data + had, room - had, had, call), call);
            if (rc) {
                free(data);
                return rc;
            }
        }
        had = room;
    } while (had < len);
    *ret_data = data;
    return 0;
}
