"""Recordings that threads read ahead of the encoder, bounded by their number and by their seconds."""

import collections
import concurrent.futures
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from spirit_jax.speech.segments import group_seconds

Item = TypeVar("Item")
Sound = TypeVar("Sound")
Admit = Callable[[float], None]

READERS = max(4, len(os.sched_getaffinity(0)))  # threads
AHEAD = 1024  # items that may wait
AHEAD_GROUPS = 2  # groups of decoded sound that may wait, on a CPU 600 s: our choice


class _Closed(Exception):
    """Nobody takes the sound any more."""


def read_ahead(
    items: Iterable[Item], read: Callable[[Item, Admit], Sound], seconds: float | None = None
) -> Iterator[tuple[Item, Sound]]:
    """Each item with what `read(item, admit)` gives, in order. Threads read while the caller works.

    `read` calls `admit(s)` before it decodes s seconds of sound; it waits while more than `seconds` would be
    in memory that the caller has not taken, by default `AHEAD_GROUPS` groups. Close the iterator if it is not
    read to its end.
    """
    budget = _Budget(AHEAD_GROUPS * group_seconds() if seconds is None else seconds)
    pending: collections.deque[tuple[Item, int, concurrent.futures.Future[Sound]]] = collections.deque()

    def work(item: Item, turn: int) -> Sound:
        admitted = []

        def admit(length: float) -> None:
            budget.enter(turn, length)
            admitted.append(length)

        try:
            return read(item, admit)
        finally:
            if not admitted:
                budget.enter(turn, 0.0)

    with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        try:
            for turn, item in enumerate(items):
                pending.append((item, turn, pool.submit(work, item, turn)))
                if len(pending) >= AHEAD:
                    yield _take(*pending.popleft(), budget)
            while pending:
                yield _take(*pending.popleft(), budget)
        finally:
            budget.close()
            for _, _, future in pending:
                future.cancel()


def _take(
    item: Item, turn: int, future: concurrent.futures.Future[Sound], budget: "_Budget"
) -> tuple[Item, Sound]:
    sound = future.result()
    budget.leave(turn)
    return item, sound


class _Budget:
    """Seconds of sound that wait. Items enter in order, so that the first one can always be read."""

    def __init__(self, seconds: float):
        self._limit, self._next, self._closed = seconds, 0, False
        self._held: dict[int, float] = {}
        self._changed = threading.Condition()

    def enter(self, turn: int, seconds: float) -> None:
        """Waits until all earlier items have entered and there is room; an empty queue has room for any."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or (self._next == turn and self._has_room(seconds)))
            if self._closed:
                raise _Closed
            self._held[turn] = seconds
            self._next += 1
            self._changed.notify_all()

    def leave(self, turn: int) -> None:
        """The item is taken."""
        with self._changed:
            del self._held[turn]
            self._changed.notify_all()

    def close(self) -> None:
        """Ends all waiting with `_Closed`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_room(self, seconds: float) -> bool:
        return not seconds or not self._held or sum(self._held.values()) + seconds <= self._limit
