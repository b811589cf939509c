"""New rows for the speech tokens, from the old rows of the text tokens. N old rows, M new rows, D width."""

import dataclasses
import enum
import math
from collections.abc import Callable, Iterator

import numpy as np

from spirit_jax.core.errors import UserError

Read = Callable[[slice], np.ndarray]
PIECE = 8192  # old rows at a time


class Init(enum.Enum):
    """How new rows begin. RANDOM: normal around zero with the old rows' standard deviation; the paper says
    only "random".

    MEAN: the old rows' mean. NORMAL: drawn from N(mean, scale · covariance) of the old rows.
    """

    RANDOM = "random"
    MEAN = "mean"
    NORMAL = "normal"


@dataclasses.dataclass(frozen=True)
class Start:
    """An initialisation. scale: of the covariance, for NORMAL; 1e-5 is what a peer (Spire) uses."""

    init: Init = Init.RANDOM
    scale: float = 1e-5
    seed: int = 0

    def __post_init__(self):
        for name in ("scale", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(
                    f"init {name}", getattr(self, name), "must be 0 or above", f"set a {name} of 0 or above"
                )


def new_rows(read: Read, old: int, new: int, start: Start, stream: int) -> np.ndarray:
    """float32 [M, D] from the first `old` rows that `read` gives, piece by piece. `stream` tells apart the
    draws of different tables.
    """
    rng = np.random.default_rng((start.seed, stream))
    total_D = sum((piece_ND.sum(0) for piece_ND in _pieces(read, old)), start=np.float64(0))
    mean_D = np.asarray(total_D) / old
    if start.init is Init.MEAN:
        return np.broadcast_to(mean_D, (new, len(mean_D))).astype(np.float32)
    if start.init is Init.RANDOM:
        square = sum(((piece_ND - mean_D) ** 2).sum() for piece_ND in _pieces(read, old)) / (
            old * len(mean_D)
        )
        return (rng.standard_normal((new, len(mean_D))) * np.sqrt(square)).astype(np.float32)
    rows_MD = np.zeros((new, len(mean_D)))
    # normal weights on the centred rows have exactly their covariance; it is never formed
    for piece_ND in _pieces(read, old):
        rows_MD += rng.standard_normal((new, len(piece_ND))) @ (piece_ND - mean_D)
    return (mean_D + rows_MD * np.sqrt(start.scale / max(1, old - 1))).astype(np.float32)


def _pieces(read: Read, old: int) -> Iterator[np.ndarray]:
    for first in range(0, old, PIECE):
        yield read(slice(first, min(first + PIECE, old))).astype(np.float64)
