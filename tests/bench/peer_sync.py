"""CPython's multiprocessing in group sync."""
from itertools import repeat

from peer import Alone, Pair, fork, serve


def alone(thing):
    def work(ops):
        acquire, release = thing.acquire, thing.release
        for _ in repeat(None, ops):
            acquire()
            release()
    return Alone(work)


def contended(thing):
    number = fork.RawValue('l', 0)

    def side(which, ops):
        acquire, release = thing.acquire, thing.release
        for _ in repeat(None, ops):
            acquire()
            number.value += 1
            release()
    return Pair(side, per=2)


def condition():
    c, turn = fork.Condition(), fork.RawValue('i', 0)

    def side(which, ops):
        for _ in repeat(None, ops):
            with c:
                while turn.value != which:
                    c.wait()
                turn.value = 1 - which
                c.notify()
    return Pair(side)


def event():
    events = fork.Event(), fork.Event()

    def side(which, ops):
        mine, other = events[which], events[1 - which]
        for _ in repeat(None, ops):
            if which == 0:
                other.set()
            mine.wait()
            mine.clear()
            if which == 1:
                other.set()
    return Pair(side)


def barrier():
    b = fork.Barrier(2)

    def side(which, ops):
        for _ in repeat(None, ops):
            b.wait()
    return Pair(side)


def value(kind, **more):
    v = fork.Value('l', 0)

    def side(which, ops):
        for _ in repeat(None, ops):
            with v.get_lock():
                v.value += 1
    return kind(side, **more)


TABLE = {
    'Lock free': lambda: alone(fork.Lock()),
    'Lock contended': lambda: contended(fork.Lock()),
    'RLock free': lambda: alone(fork.RLock()),
    'RLock contended': lambda: contended(fork.RLock()),
    'Semaphore free': lambda: alone(fork.Semaphore(1)),
    'Semaphore contended': lambda: contended(fork.Semaphore(1)),
    'Condition ping-pong': condition,
    'Event ping-pong': event,
    'Barrier of 2': barrier,
    'Value += 1 free': lambda: value(lambda side: Alone(lambda ops: side(0, ops))),
    'Value += 1 contended': lambda: value(Pair, per=2),
}

serve({(case, 'CPython'): contender for case, contender in TABLE.items()})
