"""CPython's Pool in group wordcount: a Counter of each piece, merged; the pool's start counts too."""
import os
from collections import Counter

from peer import Alone, fork, serve

PATH = os.environ['MP_BENCH_TEXT']
PIECE = 1 << 20


def count(start):
    with open(PATH, 'rb') as text:
        # From the first whole line to the end of the line that the piece's end is in.
        text.seek(max(start - 1, 0))
        if start:
            text.readline()
        piece = text.read(max(start + PIECE - text.tell(), 0)) + text.readline()
    return Counter(piece.split())


def by_pool(workers):
    def work(ops):
        for _ in range(ops):
            with fork.Pool(workers) as pool:
                total = Counter()
                for part in pool.imap_unordered(count, range(0, os.path.getsize(PATH), PIECE)):
                    total.update(part)
            total.most_common(10)
    return Alone(work)


# One is enough: a round takes more than a second.
serve({('8 MiB, 2 workers', 'CPython Pool'): lambda: by_pool(2)})
