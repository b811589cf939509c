"""Progress on stderr: a bar on a terminal, lines in a log; with rate and time left."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
LOG_EVERY_S = 10.0


def track(items: Iterable[T], what: str, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Yields `items` and shows progress."""
    with Progress(
        what, total if total is not None else getattr(items, "__len__", lambda: None)(), unit
    ) as progress:
        for item in items:
            yield item
            progress.advance()


class Progress:
    """A counter shown as a tqdm bar on a terminal and as a line every ten seconds elsewhere."""

    def __init__(self, what: str, total: int | None, unit: str = "it"):
        live = sys.stderr.isatty()
        self.what, self.unit, self.start = what, unit, time.monotonic()
        self.bar = (
            tqdm(total=total, desc=what, unit=unit, disable=not live, dynamic_ncols=True) if live else None
        )
        self.total, self.done, self.shown, self.last, self.note = total, 0, 0, self.start, ""

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
        elif self.done != self.shown:
            self._line()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Counts `count` more items; `note` is shown after the numbers until the next note."""
        self.done, self.note = self.done + count, note or self.note
        if self.bar is not None:
            self.bar.set_postfix_str(self.note, refresh=False)
            self.bar.update(count)
        elif time.monotonic() - self.last >= LOG_EVERY_S:
            self._line()

    def _line(self) -> None:
        self.shown, self.last = self.done, time.monotonic()
        spent = self.last - self.start
        rate = self.done / max(spent, 1e-9)
        left = f", {(self.total - self.done) / max(rate, 1e-9):.0f} s left" if self.total else ""
        of = f"/{self.total}" if self.total else ""
        print(
            f"{self.what}: {self.done}{of} {self.unit}, {rate:.1f}/s, "
            f"{spent:.0f} s{left} {self.note}".rstrip(),
            file=sys.stderr,
            flush=True,
        )
