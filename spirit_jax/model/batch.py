"""What the loader hands to the training step. Shapes: B rows, T tokens."""

import dataclasses

import jax


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
    """Packed rows. Targets are shifted already; the model never shifts.

    tokens, targets, segment_ids, positions: int32 [B, T]; loss_weights: float32 [B, T]. Segment 0 is padding;
    positions restart in each segment; loss_weights are 0 where a target is none. source_ids: int32 [B, T],
    which source of the mixture a token is from, by index; only for metrics, None without them.
    """

    tokens: jax.Array
    targets: jax.Array
    loss_weights: jax.Array
    segment_ids: jax.Array
    positions: jax.Array
    source_ids: jax.Array | None = None
