/*
 * 001-6: a pipe between two processes, and its end.
 *
 * A receiver gets the end of file when no process holds the sender's end any more.  So everybody
 * closes what it does not use: the receiver its copy, the parent its own after the starts.
 *
 *     Python                              C
 *     Pipe()                              mp_pipe(&parent_conn, &child_conn, true)
 *     args=(child_conn, msg)              mp_args(child_conn, mp_list(...))
 *     conn.send(i), conn.recv()           mp_connection_send, mp_connection_recv
 *     except Exception as e               a status that is not 0; mp_err_name(status) is e's type
 */
#include <stdio.h>
#include <unistd.h>

#include <mp/mp.h>

static int
sender(const mp_args *args)
{
    mp_connection *conn;
    mp_obj msg;
    mp_args_get(args, &conn, &msg);

    int status = 0;
    for (ptrdiff_t i = 0; i < mp_obj_len(msg) && status == 0; i++) {
        /* The item is the list's and send consumes what it gets: give it a reference of its own. */
        status = mp_connection_send(conn, mp_obj_ref(mp_list_get(msg, i)));
        sleep(1);
    }
    mp_obj_free(msg);
    mp_connection_close(conn);
    return status;
}

static int
receive(const mp_args *args)
{
    mp_connection *conn, *other;
    mp_args_get(args, &conn, &other);

    mp_connection_close(other);
    for (;;) {
        mp_obj msg;
        int status = mp_connection_recv(conn, &msg);
        if (status != 0) {
            printf("%s\n", mp_err_name(status));
            return 0;
        }
        mp_print(msg);
        mp_obj_free(msg);
        sleep(1);
    }
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
    mp_obj msg = mp_list("my name is shiva", "this is msg to second person",
                         "i am talking class for multiprocesing");
    mp_process *m1 = mp_process_new(sender, mp_args(child_conn, msg), NULL);
    mp_process *m2 = mp_process_new(receive, mp_args(parent_conn, child_conn), NULL);
    if (mp_process_start(m1) != 0 || mp_process_start(m2) != 0) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    mp_connection_close(child_conn);
    mp_process_join(m1, MP_FOREVER);
    mp_process_join(m2, MP_FOREVER);

    mp_process_free(m1);
    mp_process_free(m2);
    mp_connection_free(child_conn);
    mp_connection_free(parent_conn);
    return 0;
}
