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

OBJECT_KINDS = {name: kind for name, kind in KINDS.items() if kind is not pipes}


def stream(message, kind):
    (put, get), _ = kind()

    def side(which, ops):
        if which == 0:
            for _ in repeat(None, ops):
                put(message)
        else:
            for _ in repeat(None, ops):
                get()
    return Pair(side)


def round_trip(message, kind):
    (put, get), (put_back, get_back) = kind()

    def side(which, ops):
        if which == 0:
            for _ in repeat(None, ops):
                put(message)
                get_back()
        else:
            for _ in repeat(None, ops):
                put_back(get())
    return Pair(side)


def by_one(message, kind):
    (put, get), _ = kind()

    def work(ops):
        for _ in repeat(None, ops):
            put(message)
            get()
    return Alone(work)


SHAPES = {
    '8 B': (stream, bytes(8)),
    '64 B': (stream, bytes(64)),
    '1 KiB': (stream, bytes(1024)),
    '64 KiB': (stream, bytes(64 << 10)),
    '1 MiB': (stream, bytes(1 << 20)),
    '8 B round trip': (round_trip, bytes(8)),
    '8 B put and got by one': (by_one, bytes(8)),
}
OBJECT_SHAPES = {
    "[42, None, 'hello']": (stream, [42, None, 'hello']),
    "[42, None, 'hello'] put and got by one": (by_one, [42, None, 'hello']),
}


def table():
    for case, (shape, message) in (SHAPES | OBJECT_SHAPES).items():
        for name, kind in (KINDS if case in SHAPES else OBJECT_KINDS).items():
            yield (case, name), lambda shape=shape, message=message, kind=kind: shape(message, kind)


serve(dict(table()))
