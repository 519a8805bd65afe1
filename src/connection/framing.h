/*
 * connection/framing.h: one message on a descriptor, as CPython's Connection writes it.
 *
 *     n <= 0x7fffffff    i32 big endian n, then n bytes
 *     n >  0x7fffffff    i32 big endian -1, u64 big endian n, then n bytes
 *
 * Nothing is read ahead: after a frame the descriptor stands at the next one's first byte, so that
 * another process may go on reading it, and a descriptor can be sent between two frames.
 *
 * `call` is the public call on whose behalf it happens, for the text of errors.
 */
#ifndef MP_CONNECTION_FRAMING_H
#define MP_CONNECTION_FRAMING_H

#include <stddef.h>
#include <stdint.h>

/* Frames of at most this size are received without growing a buffer. */
#define MP__FRAME_CHUNK ((size_t)65536)

/* Write one frame.  0, -EPIPE and what else the system says, MP_EOVERFLOW (beyond 2^63). */
int mp__frame_write(int fd, const void *data, size_t len, const char *call);

/*
 * Read the head of a frame; its body of *ret_len bytes must be taken next by one of the calls
 * below.  0; MP_EEOF; MP_EBADMSG (end of file inside the head); -errno; MP_EOVERFLOW when the head
 * announces no length that can be: then the stream has no next frame to be found.
 */
int mp__frame_read_head(int fd, size_t *ret_len, const char *call);

/* Read a body of len bytes into buf.  0; MP_EEOF (it ends before the first byte); MP_EBADMSG. */
int mp__frame_read_body(int fd, void *buf, size_t len, const char *call);

/*
 * The same into memory of malloc(); never more of it than twice what has arrived.  len 0 gives a
 * pointer to free as well.  MP_ENOMEM: the frame is used up nevertheless.
 */
int mp__frame_read_alloc(int fd, size_t len, void **ret_data, const char *call);

/* Read a body and forget it. */
int mp__frame_skip(int fd, size_t len, const char *call);

#endif
