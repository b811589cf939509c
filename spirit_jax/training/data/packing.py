"""Pack: documents fill rows, best fit; no document that fits a row is cut.

B rows, T tokens. A piece is a run of n + 1 ids with n targets: it fills n tokens of a row.
"""

from collections.abc import Sequence

import numpy as np

from spirit_jax.model.batch import Batch

# rows filled at once: 98 % full at 4096 with documents of 500 tokens, 96 % at 256 with 80; 64 gain 0.3 % more
BINS = 32

# its name (source, number of the read there, number among the record's pieces) and its ids
Piece = tuple[tuple[int, int, int], np.ndarray]


class Bins:
    """Open rows. A piece goes where it leaves the least room; if none has room for it, the fullest row is
    done and an empty one takes it.
    """

    def __init__(self, length: int, count: int = BINS):
        self.rows: list[list[Piece]] = [[] for _ in range(count)]
        self._length, self._free = length, np.full(count, length)

    def add(self, piece: Piece) -> list[Piece] | None:
        """Adds a piece; returns the row that is done, if any."""
        size, done = len(piece[1]) - 1, None
        room = self._free - size
        room[room < 0] = self._length + 1
        bin = int(room.argmin())
        if room[bin] > self._length:
            bin = int(self._free.argmin())
            done, self.rows[bin], self._free[bin] = self.rows[bin], [], self._length
        self.rows[bin].append(piece)
        self._free[bin] -= size
        return done

    def put(self, bin: int, pieces: Sequence[Piece]) -> None:
        """Fills an empty row, to restore a state."""
        self.rows[bin] = list(pieces)
        self._free[bin] = self._length - sum(len(ids) - 1 for _, ids in pieces)


def make_batch(rows: Sequence[Sequence[Piece]], count: int, length: int) -> Batch:
    """A batch of host arrays [count, length]; what no piece fills, and missing rows, are padding."""
    tokens_BT, targets_BT, segment_ids_BT, positions_BT, source_ids_BT = (
        np.zeros((count, length), np.int32) for _ in range(5)
    )
    arange_T = np.arange(length, dtype=np.int32)
    for row, pieces in enumerate(rows):
        start = 0
        for segment, ((source, _, _), ids) in enumerate(pieces, 1):
            end = start + len(ids) - 1
            tokens_BT[row, start:end], targets_BT[row, start:end] = ids[:-1], ids[1:]
            segment_ids_BT[row, start:end], positions_BT[row, start:end] = segment, arange_T[: end - start]
            source_ids_BT[row, start:end] = source
            start = end
    weights_BT = (segment_ids_BT > 0).astype(np.float32)
    return Batch(tokens_BT, targets_BT, weights_BT, segment_ids_BT, positions_BT, source_ids_BT)  # pyright: ignore[reportArgumentType]
