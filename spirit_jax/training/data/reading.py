"""Reading ahead: threads read the records to come, so that training does not wait for a slow disk or bucket.

Grain's threads do it. Their results come in order, so neither batches nor the state of a loader depend on
them. They only fetch what is stored: threads that parse and arrange too would hinder each other, since one
of them runs at a time. A thread reads a group of records, since a handover takes as long as some reads.
"""

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import grain

# Our choices, for each source of a record stream: 500 records a second where a read takes 30 ms
THREADS = 16
GROUP = 8  # records that a thread reads one after another
AHEAD = 2 * THREADS * GROUP  # records that wait, which bounds the memory
ENDLESS = 2**62
Key = TypeVar("Key")
Value = TypeVar("Value")


class ReadAhead(Generic[Value]):
    """A reader of the numbers `first`, `first` + `step`, .. whose next reads begin before they are asked for.

    Any other of these numbers is read too, and reading continues from there.
    """

    def __init__(self, read: Callable[[int], Value], first: int = 0, step: int = 1):
        self._numbers, self._next = range(first, ENDLESS, step), first
        self._groups = _read_groups(read, self._numbers)
        self._waiting = collections.deque[Value]()

    def __call__(self, number: int) -> Value:
        if number != self._next:
            group, before = divmod(self._numbers.index(number), GROUP)
            self._groups.set_state({"next_index": group})
            self._waiting = collections.deque(next(self._groups)[before:])
        elif not self._waiting:
            self._waiting.extend(next(self._groups))
        self._next = number + self._numbers.step
        return self._waiting.popleft()

    def close(self) -> None:
        """Ends the threads."""
        self._groups.close()


def read_in_order(read: Callable[[int], Value], numbers: range) -> Iterator[Value]:
    """What `read` gives for each number, in order, at most `AHEAD` of them read before they are taken."""
    return itertools.chain.from_iterable(_read_groups(read, numbers))


def _read_groups(read: Callable[[int], Value], numbers: range) -> grain.DatasetIterator[list[Value]]:
    """What `read` gives for each number, by groups of `GROUP`; the last group may be smaller."""
    groups = grain.MapDataset.range(-(-len(numbers) // GROUP))
    reads = groups.map(lambda group: [read(number) for number in numbers[GROUP * group :][:GROUP]])
    options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=AHEAD // GROUP - 1)
    return iter(reads.to_iter_dataset(options))


def read_all(read: Callable[[Key], Value], keys: Iterable[Key]) -> list[Value]:
    """What `read` gives for each key, in order, read at once: for few keys."""
    with ThreadPoolExecutor(4 * THREADS) as pool:
        return list(pool.map(read, keys))
