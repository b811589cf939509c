"""Sequences of many lengths as arrays of few shapes, so that jit compiles seldom.

The padded length depends on a sequence's own length only, and on a CPU rows go one by one: the same bits
alone and among others.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

# of a call on an accelerator, as for the H200's figures in docs/benchmarks.md; a CPU gains nothing from more
# than one
ROWS = 16
# times the shortest length: beyond it rows get fewer, since attention over 16 of 100 s would take up to 40 GB
FULL = 4


class Call(NamedTuple):
    """The padded length of all its rows, how many there are, and the indices of the sequences that fill the
    first of them.
    """

    size: int
    rows: int
    indices: list[int]


def row_count(size: int, shortest: int) -> int:
    """Rows of every call of this padded length: a power of two."""
    if jax.default_backend() == "cpu":
        return 1
    most = max(1, min(ROWS, ROWS * FULL * shortest // size))
    return 1 << most.bit_length() - 1


def round_up(length: int) -> int:
    """A power of two, or one and a half: a choice, at most 8 compilations for a range of 1 to 16 and 17 % of
    padding on average.
    """
    power = 1 << max(0, length - 1).bit_length()
    return power * 3 // 4 if length <= power * 3 // 4 else power


def calls(lengths: Sequence[int], shortest: int, pad: Callable[[int], int] = round_up) -> Iterator[Call]:
    """The calls that take all sequences, padded to few lengths from `shortest` on."""
    padded = np.array([max(shortest, pad(length)) for length in lengths])
    for size in np.unique(padded).tolist():
        indices, rows = np.flatnonzero(padded == size).tolist(), row_count(size, shortest)
        for start in range(0, len(indices), rows):
            yield Call(size, rows, indices[start : start + rows])


def stack(values: Sequence[np.ndarray], size: int, rows: int) -> np.ndarray:
    """[rows, size, ...] of arrays [length, ...], or [rows] of single numbers; zeros for what is missing."""
    first = values[0]
    stacked = np.zeros((rows, *((size, *first.shape[1:]) if first.ndim else ())), first.dtype)
    for row, value in enumerate(values):
        stacked[(row, slice(len(value))) if value.ndim else row] = value
    return stacked


def lengths_of(values: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """int32 [rows]; 0 for a row that isn't there."""
    return stack([np.array(len(value), np.int32) for value in values], 0, rows)
