"""The keys and values of the tokens that a model has read, for decoding.

B rows, S cache slots, T tokens, G key/value heads, K head width, L layers. A token's slot is its position.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from spirit_jax.config import ModelConfig
from spirit_jax.model.linear import DTYPES
from spirit_jax.sharding import constrain

# keys and values: an array [B, G, S, K] for each layer in a model that compiles without a loop, otherwise one
# [L, B, G, S, K] of all layers; [G, S, K] where `drop_row` has made it so
Cache = tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]
CACHE_AXES = ("layers", "batch", "kv_heads", None, "head_width")
# models of at most so many layers compile without a loop: a step on CPU is 1.15 to 1.2 times as fast
UNROLLED_LAYERS = 8


class LayerCache(NamedTuple):
    """What a layer sees of the cache. layer: its index in arrays of all layers; None for its own arrays."""

    keys: jax.Array
    values: jax.Array
    layer: jax.Array | None

    def write(self, keys_BTGK: jax.Array, values_BTGK: jax.Array, positions_BT: jax.Array) -> "LayerCache":
        """The cache with the layer's new entries in the slots of their positions."""
        axes = CACHE_AXES[-self.keys.ndim :]

        def put(old: jax.Array, new_BTGK: jax.Array) -> jax.Array:
            return constrain(self._put(old, new_BTGK.astype(old.dtype), positions_BT), *axes)

        return self._replace(keys=put(self.keys, keys_BTGK), values=put(self.values, values_BTGK))

    def _put(self, old: jax.Array, new_BTGK: jax.Array, positions_BT: jax.Array) -> jax.Array:
        if old.ndim == 3:  # positions follow each other
            return jax.lax.dynamic_update_slice_in_dim(old, new_BTGK[0].swapaxes(0, 1), positions_BT[0, 0], 1)
        at = jnp.arange(len(positions_BT))[:, None], slice(None), positions_BT
        return old.at[at if self.layer is None else (self.layer, *at)].set(new_BTGK)

    def of_layer(self) -> tuple[jax.Array, jax.Array]:
        """The layer's keys and values [B, G, S, K]."""
        if self.keys.ndim == 3:
            return self.keys[None], self.values[None]
        if self.layer is None:
            return self.keys, self.values
        return self.keys[self.layer], self.values[self.layer]


def new_cache(cfg: ModelConfig, rows: int, slots: int) -> Cache:
    """An empty cache for `rows` sequences of at most `slots` tokens: zeros in the activation dtype."""
    shape = (cfg.layers, rows, cfg.kv_heads, slots, cfg.head_width)
    if is_unrolled(cfg):
        empty = constrain(jnp.zeros(shape[1:], DTYPES[cfg.dtype]), *CACHE_AXES[1:])
        return (empty,) * cfg.layers, (empty,) * cfg.layers
    empty = constrain(jnp.zeros(shape, DTYPES[cfg.dtype]), *CACHE_AXES)
    return (empty,), (empty,)


def drop_row(cache: Cache) -> Cache:
    """The cache of one row without the axis of rows, for a loop. With it XLA copies all keys and values three
    times in a step: 64 tokens of 36 M parameters take 140 ms instead of 148 (two cores of Zen 5, idle). The
    cache as it is, if it has several rows or is of all layers.
    """
    one = all(x.ndim == 4 and len(x) == 1 for x in jax.tree.leaves(cache))
    return jax.tree.map(lambda x: x[0], cache) if one else cache


def is_unrolled(cfg: ModelConfig) -> bool:
    """Whether the model compiles without a loop over its layers."""
    return cfg.layers <= UNROLLED_LAYERS
