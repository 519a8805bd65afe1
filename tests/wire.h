/* wire.h: what the tests of connections share: a bare descriptor as the other end. */
#ifndef MP_TESTS_WIRE_H
#define MP_TESTS_WIRE_H

#include "mp_test.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A connection over one end of a stream, and the bare descriptor of the other end. */
static inline mp_connection *
connection_and_wire(int *ret_wire)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    mp_connection *c = mp_connection_new(fds[0], true, true);
    assert_non_null(c);
    *ret_wire = fds[1];
    return c;
}

static inline void
put(int wire, const void *data, size_t len)
{
    assert_int_equal(write(wire, data, len), (ssize_t)len);
}

/* Bytes of a literal, without its NUL. */
#define PUT(wire, literal) put((wire), literal, sizeof literal - 1)

static inline void
assert_receives(mp_connection *c, const void *expected, size_t len)
{
    void *data;
    size_t got;
    mp_assert_ok(mp_connection_recv_bytes(c, &data, &got, SIZE_MAX));
    assert_int_equal(got, len);
    assert_memory_equal(data, expected, len);
    free(data);
}

/* What receiving gives; 1 when it fails without clearing what it was to fill in. */
static inline int
recv_code(mp_connection *c)
{
    void *data = &data;
    size_t len = 1;
    int rc = mp_connection_recv_bytes(c, &data, &len, SIZE_MAX);
    if (rc == 0) {
        free(data);
    } else if (data || len) {
        return 1;
    }
    return rc;
}

/* len bytes that differ for each seed, to be freed. */
static inline unsigned char *
pattern(size_t len, unsigned seed)
{
    unsigned char *p = malloc(len ? len : 1);
    for (size_t i = 0; p && i < len; i++) {
        seed = seed * 1103515245u + 12345u;
        p[i] = (unsigned char)(seed >> 16);
    }
    return p;
}

/* Sending in a thread, so that a message may be larger than the kernel's buffer. */
struct sending {
    mp_connection *c;
    const void *data;
    size_t len;
    int rc;
};

static inline void *
send_in_thread(void *arg)
{
    struct sending *s = arg;
    s->rc = mp_connection_send_bytes(s->c, s->data, s->len);
    return NULL;
}

#endif
