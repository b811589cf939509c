"""Sequences of many lengths as arrays of few shapes, so that jit compiles seldom.

Three ways, by what a kernel sees:

map_frames   a kernel of short context: all wavs end to end, cut into equal blocks; one compilation.
map_blocks   a kernel of single rows: all rows end to end, cut into equal blocks; one compilation.
buckets      a kernel of whole sequences: each padded to one of few lengths; a compilation for each length.

A sequence gives the same numbers alone and among others. `cut_document` cuts documents of ids that are
longer than a row.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

FRAMES = 2048  # frames in a call of map_frames's kernel; 20 s at 10 ms
ROWS = 16  # rows of a call on an accelerator (figures of an H200); a CPU gains nothing from more than one
FULL = 4  # times the shortest length; longer rows come fewer at a time (16 of 100 s would take 40 GB)


def map_frames(
    kernel: Callable[[np.ndarray], jax.Array],
    wavs: Sequence[np.ndarray],
    counts: Sequence[int],
    hop: int,
    before: int,
    context: int,
) -> list[np.ndarray]:
    """Runs `kernel` ([FRAMES + context, hop] samples -> [FRAMES, D]) over all wavs: float32 [counts[i], D].

    Frame j of a wav sees hops j to j + context of the wav preceded by `before` zeros; past the end there are
    zeros.
    """
    starts = np.cumsum([0, *(count + context for count in counts)])
    blocks = max(1, -(-int(starts[-1]) // FRAMES))
    stream_HS = np.zeros(((blocks * FRAMES + context), hop), np.float32)
    flat = stream_HS.reshape(-1)
    for wav, start, count in zip(wavs, starts, counts):
        room = (count + context) * hop - before
        flat[start * hop + before :][: min(len(wav), room)] = wav[:room]
    outputs = [kernel(stream_HS[b * FRAMES : (b + 1) * FRAMES + context]) for b in range(blocks)]
    frames_HD = np.concatenate([np.asarray(output) for output in outputs])
    return [frames_HD[start : start + count] for start, count in zip(starts, counts)]


def map_blocks(
    kernel: Callable[[np.ndarray], jax.Array], sequences: Sequence[np.ndarray], block: int
) -> list[np.ndarray]:
    """Runs `kernel` ([block, D] -> [block, ...]) over the rows of all sequences [N, D]."""
    if not sequences:
        return []
    ends = np.cumsum([len(rows_ND) for rows_ND in sequences])
    padding = -ends[-1] % block or block * (ends[-1] == 0)
    padded_ND = np.pad(np.concatenate(sequences), ((0, padding), (0, 0)))
    outputs = [kernel(padded_ND[i : i + block]) for i in range(0, len(padded_ND), block)]
    return np.split(np.concatenate([np.asarray(output) for output in outputs])[: ends[-1]], ends[:-1])


class Bucket(NamedTuple):
    """One call: the padded length, the number of rows, and the sequences that fill the first rows."""

    size: int
    rows: int
    indices: list[int]


def buckets(
    lengths: Sequence[int], shortest: int, round_up: Callable[[int], int] | None = None
) -> Iterator[Bucket]:
    """The calls that take all sequences, padded to few lengths from `shortest` on."""
    round_up = round_up or round_up_length
    padded = np.array([max(shortest, round_up(length)) for length in lengths])
    for size in np.unique(padded).tolist():
        indices, rows = np.flatnonzero(padded == size).tolist(), count_rows(size, shortest)
        for start in range(0, len(indices), rows):
            yield Bucket(size, rows, indices[start : start + rows])


def count_rows(size: int, shortest: int) -> int:
    """Rows of every call of this padded length: a power of two; on a CPU one."""
    if jax.default_backend() == "cpu":
        return 1
    most = max(1, min(ROWS, ROWS * FULL * shortest // size))
    return 1 << most.bit_length() - 1


def round_up_length(length: int) -> int:
    """A power of two, or one and a half (our choice).

    At most 8 compilations for a range of 1 to 16, and 17 % of padding on average.
    """
    power = 1 << max(0, length - 1).bit_length()
    return power * 3 // 4 if length <= power * 3 // 4 else power


def stack(values: Sequence[np.ndarray], size: int, rows: int) -> np.ndarray:
    """[rows, size, ...] of arrays [length, ...], or [rows] of single numbers; zeros for what is missing."""
    first = values[0]
    stacked = np.zeros((rows, *((size, *first.shape[1:]) if first.ndim else ())), first.dtype)
    for row, value in enumerate(values):
        stacked[(row, slice(len(value))) if value.ndim else row] = value
    return stacked


def lengths_of(values: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """int32 [rows]; 0 for a row that is not there."""
    return stack([np.array(len(value), np.int32) for value in values], 0, rows)


def cut_document(ids: np.ndarray, length: int) -> list[np.ndarray]:
    """Pieces of a document, each with at most `length` targets: length + 1 ids.

    Neighbours share one id, so that no target is lost. A document without a target has no pieces.
    """
    return [ids[start : start + length + 1] for start in range(0, len(ids) - 1, length)]
