/* pipe.c - two connected ends in one call: a socket pair, or an OS pipe for one direction. */
#include <stdbool.h>
#include <unistd.h>

#include <mp/connection.h>
#include <mp/error.h>

#include "base/error.h"
#include "connection/connection.h"
#include "platform/platform.h"

int
mp_pipe(mp_connection **ret_a, mp_connection **ret_b, bool duplex)
{
    int fds[2];
    if (ret_a) {
        *ret_a = NULL;
    }
    if (ret_b) {
        *ret_b = NULL;
    }
    if (!ret_a || !ret_b) {
        return mp__error(MP_EVALUE, "mp_pipe: nowhere to put an end (NULL)");
    }
    int rc = duplex ? mp__plat_socketpair(fds) : mp__plat_pipe(fds);
    if (rc) {
        return mp__error_os(-rc, "mp_pipe: %s", duplex ? "socketpair" : "pipe");
    }
    mp_connection *a = mp__connection_adopt(fds[0], true, duplex);
    if (!a) {
        close(fds[0]);
        close(fds[1]);
        return MP_ENOMEM;
    }
    mp_connection *b = mp__connection_adopt(fds[1], duplex, true);
    if (!b) {
        mp_connection_free(a);
        close(fds[1]);
        return MP_ENOMEM;
    }
    *ret_a = a;
    *ret_b = b;
    return 0;
}
