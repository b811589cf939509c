"""Work on rows in several processes."""

import concurrent.futures
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from spirit_jax.core.errors import Halted

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 4  # items that a process is given at a time


class Processes:
    """Processes that are started when they are needed, and end with this one or with `close`."""

    def __init__(self, count: int):
        context = multiprocessing.get_context("spawn")
        self._pool = concurrent.futures.ProcessPoolExecutor(count, context, _end_with_parent)

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """`work(item)` of each item, in order. Halted if a process dies, for example for lack of memory."""
        try:
            yield from self._pool.map(work, items, chunksize=CHUNK)
        except concurrent.futures.BrokenExecutor as error:
            raise Halted(
                "a process died; finished parts are kept: run the same command again, with fewer --processes "
                "if memory was short"
            ) from error

    def close(self) -> None:
        """Ends the processes; work that has not begun is dropped."""
        self._pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Ends this process when the command that started it is killed."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
