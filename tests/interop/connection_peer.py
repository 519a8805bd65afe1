"""The CPython end of test_interop_connection.c.

connection_peer.py READ_FD WRITE_FD: obeys commands, each a message of bytes, until the end of file.
The same descriptor twice is a duplex connection, two are the ends of two pipes.
"""

import pickle
import sys
from multiprocessing.connection import Connection


def obey(command, rx, tx):
    if command == b"bytes":
        tx.send_bytes(rx.recv_bytes())
    elif command == b"object":
        tx.send(rx.recv())
    elif command == b"repr":
        tx.send(repr(rx.recv()))
    elif command == b"eval":
        tx.send(eval(rx.recv()))
    elif command == b"pickle":
        protocol, text = rx.recv()
        tx.send_bytes(pickle.dumps(eval(text), protocol))
    else:
        raise ValueError(command)


def main():
    read_fd, write_fd = int(sys.argv[1]), int(sys.argv[2])
    if read_fd == write_fd:
        rx = tx = Connection(read_fd)
    else:
        rx = Connection(read_fd, writable=False)
        tx = Connection(write_fd, readable=False)
    while True:
        try:
            command = rx.recv_bytes()
        except EOFError:
            return
        if command == b"leave":
            return
        obey(command, rx, tx)


main()
