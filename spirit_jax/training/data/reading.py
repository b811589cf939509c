"""Reading ahead: threads read the records to come, so that training does not wait for a slow disk or bucket.

Grain's threads do it. Their results come in order, so neither batches nor the state of a loader depend on
them. They only fetch what is stored: threads that parse and arrange too would hinder each other, since one
of them runs at a time. A thread fetches a group of records by one call, for the same reason: after each call
it waits for its turn to run Python, and training's thread for it.
"""

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar

import grain

# Our choices, for each source of a record stream: 250 records a second where a read takes 30 ms and those of
# a group follow one another
THREADS = 8
GROUP = 128  # records that a thread fetches by one call
AHEAD = (THREADS + 1) * GROUP  # records that wait, which bounds the memory
ENDLESS = 2**62
Key = TypeVar("Key")
Value = TypeVar("Value")


class Rows(Protocol):
    """Random access to rows as they are stored. `__getitems__` fetches several by one call (Grain's name)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...

    def __getitems__(self, indices: Sequence[int], /) -> Sequence[Any]: ...


class ReadAhead(Generic[Value]):
    """Gives what `read` gives for each of the numbers `first`, `first` + `step`, .., read in groups before it
    is asked for.

    Any other of these numbers is read too, and reading continues from there.
    """

    def __init__(self, read: Callable[[Sequence[int]], Sequence[Value]], first: int = 0, step: int = 1):
        self._numbers, self._next = range(first, ENDLESS, step), first
        self._groups = _read_groups(read, self._numbers)
        self._waiting = collections.deque[Value]()
        self._passed = 0  # numbers of the next group that are not asked for

    def start(self, number: int) -> None:
        """Begins to read from `number` on."""
        if number != self._next:
            group, self._passed = divmod(self._numbers.index(number), GROUP)
            self._groups.set_state({"next_index": group})
            self._waiting.clear()
            self._next = number
        self._groups.start_prefetch()

    def __call__(self, number: int) -> Value:
        if number != self._next:
            self.start(number)
        if not self._waiting:
            self._waiting.extend(next(self._groups)[self._passed :])
            self._passed = 0
        self._next = number + self._numbers.step
        return self._waiting.popleft()

    def close(self) -> None:
        """Ends the threads."""
        self._groups.close()


def read_in_order(read: Callable[[Sequence[int]], Sequence[Value]], numbers: range) -> Iterator[Value]:
    """What `read` gives for the numbers, in order, at most `AHEAD` of them read before they are taken."""
    return itertools.chain.from_iterable(_read_groups(read, numbers))


def _read_groups(
    read: Callable[[Sequence[int]], Sequence[Value]], numbers: range
) -> grain.DatasetIterator[Sequence[Value]]:
    """What `read` gives for groups of `GROUP` numbers; the last group may be smaller."""
    groups = grain.MapDataset.range(-(-len(numbers) // GROUP))
    reads = groups.map(lambda group: read(numbers[GROUP * group :][:GROUP]))
    options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=AHEAD // GROUP - 1)
    return iter(reads.to_iter_dataset(options))


def read_all(read: Callable[[Key], Value], keys: Iterable[Key]) -> list[Value]:
    """What `read` gives for each key, in order, read at once: for few keys."""
    with ThreadPoolExecutor(8 * THREADS) as pool:
        return list(pool.map(read, keys))
