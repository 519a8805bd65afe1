/*
 * 002-6: the same value through a pipe.
 *
 * The parent closes its copy of the child's end after the start: should the child die, the parent
 * then gets MP_EEOF instead of waiting for ever.
 *
 *     Python                              C
 *     Pipe()                              mp_pipe(&parent_conn, &child_conn, true)
 *     conn.send([...]), conn.close()      mp_connection_send, mp_connection_close
 *     parent_conn.recv()                  mp_connection_recv(parent_conn, &item)
 */
#include <stdio.h>

#include <mp/mp.h>

static int
f(const mp_args *args)
{
    mp_connection *conn;
    mp_args_get(args, &conn);
    int status = mp_connection_send(conn, mp_list(42, mp_none(), "hello"));
    mp_connection_close(conn);
    return status;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    mp_connection *parent_conn, *child_conn;
    if (mp_pipe(&parent_conn, &child_conn, true) != 0) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    mp_process *p = mp_process_new(f, mp_args(child_conn), NULL);
    if (mp_process_start(p) != 0) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    mp_connection_close(child_conn);

    mp_obj item;
    if (mp_connection_recv(parent_conn, &item) != 0) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    mp_print(item);
    mp_obj_free(item);

    mp_process_join(p, MP_FOREVER);
    mp_process_free(p);
    mp_connection_free(child_conn);
    mp_connection_free(parent_conn);
    return 0;
}
