/*
 * connection/connection.h: the connection as other rooms see it.
 *
 * Threads   as the public object: one sender and one receiver at a time
 * Fork      the child has the same object over the same descriptor
 */
#ifndef MP_CONNECTION_CONNECTION_H
#define MP_CONNECTION_CONNECTION_H

#include <stdbool.h>

#include <mp/connection.h>

/*
 * The descriptor of an open connection, still the connection's, and its directions.
 * MP_EVALUE (no live connection), MP_ECLOSED; *readable and *writable are then untouched.
 */
int mp__connection_fd(const mp_connection *c, bool *readable, bool *writable);

/* A connection that owns fd.  NULL with MP_ENOMEM: fd is still the caller's. */
mp_connection *mp__connection_adopt(int fd, bool readable, bool writable);

#endif
