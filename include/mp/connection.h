/*
 * mp/connection.h: message pipes, on the wire what CPython's Connection speaks.
 *
 * Mirrors   multiprocessing.Pipe, multiprocessing.connection.Connection
 * Sharing   an end belongs to the process that has it.  A child gets one as an argument (mp_args):
 *           by fork, or as a duplicate of the descriptor under spawn and forkserver.  The end of
 *           file is seen when every process has closed the other end, so close your copy of an
 *           end after you gave it away.
 * Threads   one sender and one receiver at a time per end
 * Death     the other side's death is MP_EEOF for a receiver and -EPIPE for a sender; no SIGPIPE
 */
#ifndef MP_CONNECTION_H
#define MP_CONNECTION_H

#include <mp/error.h>
#include <mp/object.h>

MP_BEGIN_DECLS

/*
 * Two connected ends; Python: Pipe(duplex).  With duplex both send and receive; without, *ret_a
 * only receives and *ret_b only sends.  Descriptors are close-on-exec.
 * 0; -EMFILE and its like; MP_ENOMEM; MP_EVALUE for NULL.  On error both are NULL.
 */
MP_API int mp_pipe(mp_connection **ret_a, mp_connection **ret_b, bool duplex);

/*
 * Wrap a descriptor that speaks the framing; the connection owns it and closes it.
 * NULL: MP_EVALUE (fd negative, or neither readable nor writable), MP_ENOMEM; fd is then yours.
 */
MP_API mp_connection *mp_connection_new(int fd, bool readable, bool writable);

/* Close, if open, and free.  NULL is fine.  MP_EVALUE when it is no live connection. */
MP_API int mp_connection_free(mp_connection *c);

/*
 * Send one object, consumed, as one frame; waits while the kernel's buffer is full.
 * 0; -EPIPE or -ECONNRESET (nobody receives any more); MP_ECLOSED; MP_EDIRECTION; MP_ENOMEM;
 * MP_ERUNTIME (it holds a connection); MP_EENCODING (it nests too deep); MP_EVALUE; the code of a
 * failed value.
 */
MP_API int mp_connection_send(mp_connection *c, mp_obj item);

/*
 * Receive one object, yours to free; *ret_item is None on error.
 *   MP_EEOF         the other side is closed and nothing is left; as in Python also when it closed
 *                   between a message's length and its first byte
 *   MP_EBADMSG      end of file inside a message; or a length that cannot be, after which the
 *                   connection is as after a message too long for mp_connection_recv_bytes()
 *   MP_EUNPICKLING  no pickle, as an empty message is none; or of what libmp does not read
 *   MP_EOVERFLOW    an int of it has more than 64 bits
 *   MP_ENOMEM       no memory to take it
 *   MP_ECLOSED, MP_EDIRECTION, MP_EVALUE
 * After MP_EUNPICKLING, MP_EOVERFLOW and MP_ENOMEM the message is used up and the connection goes
 * on with the next.
 */
MP_API int mp_connection_recv(mp_connection *c, mp_obj *ret_item);

/* Send len bytes as one frame; len 0 is a message too.  Errors as mp_connection_send(). */
MP_API int mp_connection_send_bytes(mp_connection *c, const void *data, size_t len);

/*
 * Receive one whole frame into memory of malloc(), yours to free; *ret_len may be 0.
 * max_len bounds it (SIZE_MAX: no bound): a longer frame is MP_EBADMSG, and since its bytes cannot
 * be skipped the connection can only send from then on, or is closed if it could only receive.
 * Errors as mp_connection_recv(); *ret_data is NULL then.
 */
MP_API int mp_connection_recv_bytes(mp_connection *c, void **ret_data, size_t *ret_len,
                                    size_t max_len);

/*
 * Receive one frame into buf of cap bytes; *ret_len is its length.  MP_EBUFFERTOOSHORT: it is
 * longer, *ret_len says how long; as in Python it is used up, buf is untouched, and the connection
 * goes on.  Errors as mp_connection_recv().
 */
MP_API int mp_connection_recv_bytes_into(mp_connection *c, void *buf, size_t cap, size_t *ret_len);

/*
 * 1 when a message or the end of file is there within timeout, else 0; nothing is taken.
 * MP_ECLOSED, MP_EDIRECTION, MP_EVALUE (no live connection, or the time-out is NaN), -errno.
 */
MP_API int mp_connection_poll(mp_connection *c, double timeout);

/* The descriptor, still the connection's; MP_ECLOSED. */
MP_API int mp_connection_fileno(mp_connection *c);

/* Close this process's end; twice is fine.  The handle stays until mp_connection_free().
   0; MP_EVALUE; -errno when the system refused: the end is closed all the same. */
MP_API int mp_connection_close(mp_connection *c);

/* Whether it is closed (so are NULL and freed ones), and its directions, which closing keeps. */
MP_API bool mp_connection_closed(const mp_connection *c);
MP_API bool mp_connection_readable(const mp_connection *c);
MP_API bool mp_connection_writable(const mp_connection *c);

MP_END_DECLS

#ifndef __cplusplus
#define mp_connection_send(c, x) (mp_connection_send)((c), mp_from(x))
#endif

#endif
