"""CPython's multiprocessing in group queue."""
from itertools import repeat

from peer import Alone, Pair, fork, serve


def queues(make):
    there, back = make(), make()
    return (there.put, there.get), (back.put, back.get)


def pipes():
    there, back = fork.Pipe(duplex=False), fork.Pipe(duplex=False)
    return (there[1].send_bytes, there[0].recv_bytes), (back[1].send_bytes, back[0].recv_bytes)


KINDS = {
    'CPython Queue': lambda: queues(fork.Queue),
    'CPython SimpleQueue': lambda: queues(fork.SimpleQueue),
    'CPython Pipe': pipes,
}


def stream(size, kind):
    (put, get), _ = kind()
    message = bytes(size)

    def side(which, ops):
        if which == 0:
            for _ in repeat(None, ops):
                put(message)
        else:
            for _ in repeat(None, ops):
                get()
    return Pair(side)


def round_trip(size, kind):
    (put, get), (put_back, get_back) = kind()
    message = bytes(size)

    def side(which, ops):
        if which == 0:
            for _ in repeat(None, ops):
                put(message)
                get_back()
        else:
            for _ in repeat(None, ops):
                put_back(get())
    return Pair(side)


def by_one(size, kind):
    (put, get), _ = kind()
    message = bytes(size)

    def work(ops):
        for _ in repeat(None, ops):
            put(message)
            get()
    return Alone(work)


SHAPES = {
    '8 B': (stream, 8),
    '64 B': (stream, 64),
    '4 KiB': (stream, 4096),
    '8 B round trip': (round_trip, 8),
    '8 B put and got by one': (by_one, 8),
}

serve({(case, name): lambda shape=shape, size=size, kind=kind: shape(size, kind)
       for case, (shape, size) in SHAPES.items() for name, kind in KINDS.items()})
