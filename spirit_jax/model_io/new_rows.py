"""Initial rows for the speech tokens, drawn from statistics of the text rows. N old rows, M new rows, D
width.
"""

import dataclasses
import enum
import math
from collections.abc import Callable, Iterator

import numpy as np

from spirit_jax.core.errors import UserError

Read = Callable[[slice], np.ndarray]
SLICE_ROWS = 8192  # old rows in memory at a time


class Init(enum.Enum):
    """How new rows are initialised.

    RANDOM: normal around zero with the old rows' standard deviation (our choice; the paper says only
    "random"). MEAN: the old rows' mean. NORMAL: drawn from N(mean, scale · covariance) of the old rows.
    """

    RANDOM = "random"
    MEAN = "mean"
    NORMAL = "normal"


@dataclasses.dataclass(frozen=True)
class NewRowOptions:
    """How to make new rows. scale: of the covariance, for NORMAL; 1e-5 as in Spire, a similar model."""

    init: Init = Init.RANDOM
    scale: float = 1e-5
    seed: int = 0

    def __post_init__(self):
        for name in ("scale", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(
                    f"init {name}", getattr(self, name), "must be 0 or above", f"set a {name} of 0 or above"
                )


def new_rows(read: Read, old: int, new: int, options: NewRowOptions, table: int) -> np.ndarray:
    """`new` rows, float32 [M, D], from the first `old` rows that `read` returns.

    Tables of different index `table` get different draws.
    """
    rng = np.random.default_rng((options.seed, table))
    total_D = sum((rows_ND.sum(0) for rows_ND in _read_slices(read, old)), start=np.float64(0))
    mean_D = np.asarray(total_D) / old
    if options.init is Init.MEAN:
        return np.broadcast_to(mean_D, (new, len(mean_D))).astype(np.float32)
    if options.init is Init.RANDOM:
        squares = sum(((rows_ND - mean_D) ** 2).sum() for rows_ND in _read_slices(read, old))
        deviation = np.sqrt(squares / (old * len(mean_D)))
        return (rng.standard_normal((new, len(mean_D))) * deviation).astype(np.float32)
    sums_MD = np.zeros((new, len(mean_D)))
    # sums of the centred rows with normal weights have exactly their covariance, which is never formed
    for rows_ND in _read_slices(read, old):
        sums_MD += rng.standard_normal((new, len(rows_ND))) @ (rows_ND - mean_D)
    return (mean_D + sums_MD * np.sqrt(options.scale / max(1, old - 1))).astype(np.float32)


def _read_slices(read: Read, old: int) -> Iterator[np.ndarray]:
    """The first `old` rows, float64 [N, D] each, with N at most SLICE_ROWS."""
    for first in range(0, old, SLICE_ROWS):
        yield read(slice(first, min(first + SLICE_ROWS, old))).astype(np.float64)
