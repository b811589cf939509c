"""Work on rows in several processes."""

import collections
import concurrent.futures
import itertools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from spirit_jax.core.errors import Halted
from spirit_jax.core.process_setup import set_up_heap

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 4  # items that a process is given at a time
AHEAD = 4  # chunks for each process that are given out before their results are asked for


class Processes:
    """Processes that are started when they are needed, and end with this one or with `close`."""

    def __init__(self, count: int):
        context = multiprocessing.get_context("spawn")
        self._pool = concurrent.futures.ProcessPoolExecutor(count, context, _begin)
        self._most = AHEAD * count

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """`work(item)` of each item, in order; items are taken as they are needed. Halted if a process dies,
        for example for lack of memory.
        """
        left, waiting = iter(items), collections.deque()
        try:
            while some := list(itertools.islice(left, CHUNK)):
                waiting.append(self._pool.submit(_work_on, work, some))
                if len(waiting) == self._most:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except concurrent.futures.BrokenExecutor as error:
            raise Halted(
                "a process died: run the same command again, with fewer --processes if memory was short; "
                "parts that were finished are kept"
            ) from error

    def close(self) -> None:
        """Ends the processes; work that has not begun is dropped."""
        self._pool.shutdown(cancel_futures=True)


def _work_on(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return list(map(work, items))


def _begin() -> None:
    set_up_heap()
    _end_with_parent()


def _end_with_parent() -> None:
    """Ends this process when the command that started it is killed."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
