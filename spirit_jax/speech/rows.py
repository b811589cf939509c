"""Sequences of many lengths as arrays of few shapes, so that jit compiles seldom.

The padded length depends on a sequence's own length only, and on a CPU rows go one by one: the same bits alone and among others.
"""

from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

ROWS = 16  # of a call on an accelerator (an H200 gains a fifth from 8 to 32); a CPU gains nothing from more than one


def row_count() -> int:
    """Rows of every call."""
    return 1 if jax.default_backend() == "cpu" else ROWS


def round_up(length: int) -> int:
    """A power of two, or one and a half: a choice, at most 8 compilations for a range of 1 to 16 and 17 % of padding on average."""
    power = 1 << max(0, length - 1).bit_length()
    return power * 3 // 4 if length <= power * 3 // 4 else power


def calls(lengths: Sequence[int], shortest: int, pad: Callable[[int], int] = round_up) -> Iterator[tuple[int, list[int]]]:
    """Padded lengths from `shortest`, each with the indices of up to `row_count()` sequences that are padded to it together."""
    padded = np.array([max(shortest, pad(length)) for length in lengths])
    for size in np.unique(padded).tolist():
        indices = np.flatnonzero(padded == size).tolist()
        for start in range(0, len(indices), row_count()):
            yield size, indices[start : start + row_count()]


def stack(values: Sequence[np.ndarray], size: int) -> np.ndarray:
    """[row_count(), size, ...] of arrays [length, ...], or [row_count()] of single numbers; zeros for what is missing."""
    first = values[0]
    stacked = np.zeros((row_count(), *((size, *first.shape[1:]) if first.ndim else ())), first.dtype)
    for row, value in enumerate(values):
        stacked[(row, slice(len(value))) if value.ndim else row] = value
    return stacked


def lengths_of(values: Sequence[np.ndarray]) -> np.ndarray:
    """int32 [row_count()]; 0 for a row that isn't there."""
    return stack([np.array(len(value), np.int32) for value in values], 0)
