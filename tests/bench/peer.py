"""peer.py: the frame of contenders in Python, see bench_add_peer() in bench.h.

A contender is a function or class in a table {(case, name): open}.  open() returns an object with
round(ops), which gives the nanoseconds of one operation, and may have close().
"""
import multiprocessing
import os
import sys
import time

clock = time.monotonic_ns
fork = multiprocessing.get_context('fork')


class Alone:
    """A contender in one process: work(ops)."""

    def __init__(self, work):
        self.work = work

    def round(self, ops):
        began = clock()
        self.work(ops)
        return (clock() - began) / ops


class Pair:
    """A contender in two processes: side(which, ops).  `per` operations are done in a step."""

    def __init__(self, side, per=1):
        self.side, self.per = side, per
        self.mine, theirs = fork.Pipe()
        self.process = fork.Process(target=self.serve, args=(theirs,), daemon=True)
        self.process.start()

    @staticmethod
    def pin(which):
        try:
            cpus = sorted(os.sched_getaffinity(0))
            if len(cpus) > 1:
                os.sched_setaffinity(0, {cpus[which]})
            return cpus
        except (AttributeError, OSError):
            return None

    def serve(self, theirs):
        self.pin(1)
        while ops := theirs.recv():
            theirs.send(0)
            theirs.recv()
            self.side(1, ops)
            theirs.send(clock())

    def round(self, ops):
        before = self.pin(0)
        self.mine.send(ops)
        self.mine.recv()
        self.mine.send(1)
        began = clock()
        self.side(0, ops)
        done = clock()
        done = max(done, self.mine.recv())
        if before:
            os.sched_setaffinity(0, before)
        return (done - began) / (ops * self.per)

    def close(self):
        self.mine.send(0)
        self.process.join()


def serve(table):
    """Answer until stdin ends."""
    requests, answers = sys.stdin, os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    opened = {}
    while line := requests.readline():
        verb, case, name, *ops = line.rstrip('\n').split('\t')
        key = case, name
        if verb == 'open':
            answer = 'ok' if key in table else 'none'
            if key in table:
                try:
                    opened[key] = table[key]()
                except (ImportError, OSError, NotImplementedError) as error:
                    answer = f'missing\t{error}'
        elif verb == 'round':
            answer = repr(opened[key].round(int(ops[0])))
        else:
            contender = opened.pop(key)
            if hasattr(contender, 'close'):
                contender.close()
            answer = 'ok'
        print(answer, file=answers, flush=True)
