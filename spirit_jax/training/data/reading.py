"""Reading ahead: threads read the records to come, so that training does not wait for a slow disk or bucket.

Grain's threads do it. Their results come in order, so neither batches nor the state of a loader depend on
them.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import grain

# Our choices, for each source of a record stream: 500 records a second where a read takes 30 ms
THREADS = 16
AHEAD = 2 * THREADS  # records that wait, which bounds the memory
ENDLESS = 2**62
Key = TypeVar("Key")
Value = TypeVar("Value")


class ReadAhead(Generic[Value]):
    """A reader of the numbers `first`, `first` + `step`, .. whose next reads begin before they are asked for.

    Any other of these numbers is read too, and reading continues from there.
    """

    def __init__(self, read: Callable[[int], Value], first: int = 0, step: int = 1):
        self._first, self._step, self._next = first, step, first
        self._values = read_in_order(read, range(first, ENDLESS, step))

    def __call__(self, number: int) -> Value:
        if number != self._next:
            self._values.set_state({"next_index": (number - self._first) // self._step})
        self._next = number + self._step
        return next(self._values)

    def close(self) -> None:
        """Ends the threads."""
        self._values.close()


def read_in_order(read: Callable[[int], Value], numbers: range) -> grain.DatasetIterator[Value]:
    """What `read` gives for each number, in order, at most `AHEAD` of them read before they are taken."""
    reads = grain.MapDataset.range(numbers.start, numbers.stop, numbers.step).map(read)
    return iter(reads.to_iter_dataset(grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=AHEAD)))


def read_all(read: Callable[[Key], Value], keys: Iterable[Key]) -> list[Value]:
    """What `read` gives for each key, in order, read at once: for few keys."""
    with ThreadPoolExecutor(4 * THREADS) as pool:
        return list(pool.map(read, keys))
