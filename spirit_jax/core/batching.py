"""Sequences of many lengths as arrays of few shapes, so that jit compiles seldom.

Five ways, by the context of a kernel:

map_frames   few frames: all wavs end to end, cut into equal blocks; one compilation
map_blocks   one row: all rows end to end, cut into equal blocks; one compilation
buckets      a whole sequence: each is padded to one of a few lengths; one compilation for each length
pack         a whole sequence, other segments masked: several sequences in each row; all are known
OpenRows     the same for an endless stream: a few rows are open at a time, and the state can be restored

The first three give a sequence the same numbers alone and among others; the last two, up to rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

import jax
import numpy as np

FRAMES = 2048  # frames of a call of the kernel of `map_frames`; 20 s at 10 ms
ROWS = 16  # rows of a call on an accelerator (measured on an H200); a CPU gains nothing from more than one
OPEN = 32  # open rows: 98 % full at 4096 with documents of 500, 96 % at 256 with 80; 64 rows gain 0.3 %
FULL = 4  # ROWS rows up to this many times the shortest length, then fewer (16 of 100 s would take 40 GB)

Name = TypeVar("Name")
# a document, or a stretch of one: the caller's name and n + 1 ids, which are n pairs (token, target) of a row
Chunk = tuple[Name, np.ndarray]


def map_frames(
    kernel: Callable[[np.ndarray], jax.Array],
    wavs: Sequence[np.ndarray],
    counts: Sequence[int],
    hop: int,
    before: int,
    context: int,
) -> list[np.ndarray]:
    """Runs `kernel` ([FRAMES + context, hop] samples -> [FRAMES, D]) over all wavs: float32 [counts[i], D].

    Frame j depends on hops j to j + context of its wav, which has `before` zeros in front and zeros behind.
    """
    starts = np.cumsum([0, *(count + context for count in counts)])
    blocks = max(1, -(-int(starts[-1]) // FRAMES))
    stream_HS = np.zeros(((blocks * FRAMES + context), hop), np.float32)
    flat = stream_HS.reshape(-1)
    for wav, start, count in zip(wavs, starts, counts):
        longest = (count + context) * hop - before
        flat[start * hop + before :][: min(len(wav), longest)] = wav[:longest]
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
    """One call: the padded length, the rows of a device, and the sequences that fill the first rows. More
    sequences than rows are divided among all devices.
    """

    size: int
    rows: int
    indices: list[int]


def buckets(
    lengths: Sequence[int],
    shortest: int,
    round_up: Callable[[int], int] | None = None,
    devices: int = 1,
    most: Callable[[int], int] | None = None,
) -> Iterator[Bucket]:
    """The calls that cover all sequences, padded to few lengths of at least `shortest`.

    devices: among which a call may be divided. most: rows of a device at most, for a padded length; asked
    before each call.
    """
    round_up = round_up or round_up_length
    padded = np.array([max(shortest, round_up(length)) for length in lengths])
    for size in np.unique(padded).tolist():
        left = np.flatnonzero(padded == size).tolist()
        while left:
            rows = count_rows(size, shortest)
            rows = rows if most is None else max(1, min(rows, most(size)))
            yield Bucket(size, rows, left[: rows * devices])
            left = left[rows * devices :]


def count_rows(size: int, shortest: int) -> int:
    """Rows of a call of this padded length: a power of two; on a CPU one."""
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


def round_up_doubling(length: int, shortest: int) -> int:
    """The smallest power of two times `shortest` that is at least `length`: for shapes that take long to
    compile.
    """
    while shortest < length:
        shortest *= 2
    return shortest


def stack(values: Sequence[np.ndarray], size: int, rows: int) -> np.ndarray:
    """[rows, size, ...] of arrays [length, ...], or [rows] of single numbers, padded with zeros."""
    first = values[0]
    stacked = np.zeros((rows, *((size, *first.shape[1:]) if first.ndim else ())), first.dtype)
    for row, value in enumerate(values):
        stacked[(row, slice(len(value))) if value.ndim else row] = value
    return stacked


def lengths_of(values: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """int32 [rows]; 0 for rows of padding."""
    return stack([np.array(len(value), np.int32) for value in values], 0, rows)


def pack(chunks: Sequence[Chunk[Name]], length: int) -> list[list[Chunk[Name]]]:
    """Rows of at most `length` pairs that hold all chunks: best fit, the longest chunk first."""
    packer = OpenRows[Name](length, len(chunks))
    for chunk in sorted(chunks, key=lambda chunk: -len(chunk[1])):
        packer.add(chunk)
    return [row for row in packer.rows if row]


class OpenRows(Generic[Name]):
    """Rows that are being filled by best fit: a chunk goes where it leaves the least space. If it fits none,
    the fullest is finished and replaced by an empty one.
    """

    def __init__(self, length: int, count: int = OPEN):
        self.rows: list[list[Chunk[Name]]] = [[] for _ in range(count)]
        self._length, self._free = length, np.full(count, length)

    def add(self, chunk: Chunk[Name]) -> list[Chunk[Name]] | None:
        """Takes a chunk of at most `length` pairs; returns the row that was finished, if any."""
        size, finished = len(chunk[1]) - 1, None
        left = self._free - size
        left[left < 0] = self._length + 1
        row = int(left.argmin())
        if left[row] > self._length:
            row = int(self._free.argmin())
            finished, self.rows[row], self._free[row] = self.rows[row], [], self._length
        self.rows[row].append(chunk)
        self._free[row] -= size
        return finished

    def restore(self, row: int, chunks: Sequence[Chunk[Name]]) -> None:
        """Fills an empty row as it was when its state was saved."""
        self.rows[row] = list(chunks)
        self._free[row] = self._length - sum(len(ids) - 1 for _, ids in chunks)
