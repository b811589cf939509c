"""Where a long recording is cut, so that no part is longer than a limit: at the longest silences first.

All times are seconds from where the row's sound begins. Legend: G gaps.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from spirit_jax.core.errors import UserError, require_positive
from spirit_jax.core.settings import part

MARGIN_S = 0.25  # of the silence at a cut that stays with a part, at most: our choice


@part
class Lengths:
    """Seconds. shortest: of a part, where that can be had. longest: of a part. silence: the shortest silence
    that counts as one.
    """

    shortest: float = 2.0
    longest: float = 30.0
    silence: float = 0.3

    def __post_init__(self):
        require_positive(self, "lengths", "longest", "silence")
        if not 0 <= self.shortest <= self.longest / 2:
            rule = f"must be at least 0 and at most half of the longest, {self.longest}"
            raise UserError("lengths.shortest", self.shortest, rule, "give a shorter one")


@dataclasses.dataclass(frozen=True)
class Gaps:
    """The stretches without speech, in order: the first is before all speech, the last after it.

    begin_G, end_G: at a point, both are equal. silent_G: whether it is a silence, or else a point between two
    words. level_G: its loudness.
    """

    begin_G: np.ndarray
    end_G: np.ndarray
    silent_G: np.ndarray
    level_G: np.ndarray

    @property
    def stops_G(self) -> np.ndarray:
        """Where a part ends that is before the gap."""
        stops_G = np.minimum(self._middle_G, self.begin_G + MARGIN_S)
        stops_G[-1] = min(self.end_G[-1], self.begin_G[-1] + MARGIN_S)
        return stops_G

    @property
    def starts_G(self) -> np.ndarray:
        """Where a part begins that is after the gap."""
        starts_G = np.maximum(self._middle_G, self.end_G - MARGIN_S)
        starts_G[0] = max(self.begin_G[0], self.end_G[0] - MARGIN_S)
        return starts_G

    @property
    def _middle_G(self) -> np.ndarray:
        return (self.begin_G + self.end_G) / 2


class Stretch(NamedTuple):
    """A part: from gap `first` to gap `last`, and its seconds."""

    first: int
    last: int
    begin: float
    end: float


def choose_cuts(gaps: Gaps, lengths: Lengths) -> list[Stretch]:
    """The parts, in order. One is longer than the limit only if it has no gap inside.

    A part that is too long is cut at the longest silence that leaves `shortest` seconds on both sides, or
    else at the quietest point between words that does. If there is neither, a side is shorter.
    """
    starts_G, stops_G = gaps.starts_G, gaps.stops_G
    # larger is better: silences by their length, above all other points by their loudness
    rank_G = np.where(gaps.silent_G, 1e6 + gaps.end_G - gaps.begin_G, -gaps.level_G)
    todo, done = [(0, len(starts_G) - 1)], []
    while todo:
        first, last = todo.pop()
        begin, end = float(starts_G[first]), float(stops_G[last])
        if end - begin <= lengths.longest or last - first < 2:
            done.append(Stretch(first, last, begin, end))
            continue
        inside = slice(first + 1, last)
        left_G, right_G = stops_G[inside] - begin, end - starts_G[inside]
        long_enough_G = np.minimum(left_G, right_G) >= lengths.shortest
        chosen = first + 1 + int(np.argmax(rank_G[inside] + 1e9 * long_enough_G))
        todo += [(chosen, last), (first, chosen)]
    return done
