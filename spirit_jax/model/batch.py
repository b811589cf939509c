"""Batches of packed rows for training and scoring. B rows, T tokens."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
    """Packed rows. Targets are already shifted; the model never shifts.

    tokens, targets, segment_ids, positions: int32 [B, T]; loss_weights: float32 [B, T]. Segment 0 is padding.
    Positions restart in each segment. loss_weights are 0 where there is no target, or where it is given.
    source_ids: int32 [B, T], the index of each token's source, for metrics; None outside training.
    seen_until: int32 [B, T], for scoring: see `attention.branch_mask`; None: attention is within segments.
    """

    tokens: jax.Array
    targets: jax.Array
    loss_weights: jax.Array
    segment_ids: jax.Array
    positions: jax.Array
    source_ids: jax.Array | None = None
    seen_until: jax.Array | None = None


def make_batch(
    rows: Sequence[Sequence[np.ndarray]],
    count: int,
    length: int,
    sources: Sequence[Sequence[int]] | None = None,
    given: Sequence[Sequence[int]] | None = None,
) -> Batch:
    """Packs sequences into a batch of host arrays [count, length].

    rows: the sequences of ids in each row; n + 1 ids take n slots. Other slots and missing rows are padding.
    sources: the index of each sequence's source. given: how many ids at its begin are no targets; None: 1.
    """
    tokens_BT, targets_BT, segment_ids_BT, positions_BT, source_ids_BT = (
        np.zeros((count, length), np.int32) for _ in range(5)
    )
    weights_BT, slots_T = np.zeros((count, length), np.float32), np.arange(length, dtype=np.int32)
    for row, sequences in enumerate(rows):
        start = 0
        for segment, ids in enumerate(sequences, 1):
            end = start + len(ids) - 1
            tokens_BT[row, start:end], targets_BT[row, start:end] = ids[:-1], ids[1:]
            segment_ids_BT[row, start:end], positions_BT[row, start:end] = segment, slots_T[: end - start]
            source_ids_BT[row, start:end] = sources[row][segment - 1] if sources else 0
            weights_BT[row, start + (given[row][segment - 1] - 1 if given else 0) : end] = 1
            start = end
    source_ids_BT = None if sources is None else source_ids_BT
    return Batch(tokens_BT, targets_BT, weights_BT, segment_ids_BT, positions_BT, source_ids_BT)  # pyright: ignore[reportArgumentType]
