"""CPython's multiprocessing in group process: start and join an empty target."""
import multiprocessing

from peer import Alone, serve


def nothing():
    pass


class Start(Alone):
    def __init__(self, method, big):
        self.context = multiprocessing.get_context(method)
        # Touched, as the C parent's.
        self.memory = bytearray(b'\1') * (256 << 20) if big else None
        super().__init__(self.start_and_join)

    def start_and_join(self, ops):
        for _ in range(ops):
            process = self.context.Process(target=nothing)
            process.start()
            process.join()


# Children of spawn and forkserver import this file too.
if __name__ == '__main__':
    table = {}
    for method in 'fork', 'spawn', 'forkserver':
        for size in 'small', 'big':
            table[f'{method}, {size}', 'CPython'] = (
                lambda method=method, size=size: Start(method, size == 'big'))
    serve(table)
