"""The Llama as Flax NNX modules. They are plain pytrees, for jax.jit, jax.grad and jax.lax.scan.

B rows, T tokens, V vocabulary rows, D width, F MLP width, H heads, G key/value heads, K head
width, L layers.

Parameters are float32 in training; inference may hold them in the activations' type. Matrices are stored
inputs first (D, F), the head like the embedding (V, D). The rotary embedding is Hugging Face's half rotation:
component i of a head pairs with component i + K/2. A tied model has no head; its embedding is also the output
matrix.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import Mesh

from spirit_jax.config import Dtype, ModelConfig, Remat
from spirit_jax.model.attention import SAVED, attend, attend_cache
from spirit_jax.model.cache import Cache, LayerCache, is_unrolled
from spirit_jax.model.linear import DTYPES, Weight, against_table, linear, take_rows
from spirit_jax.model.stripes import stacked
from spirit_jax.sharding import RULES, constrain, place_axes, platform

# names of products for remat policies
NARROW, WIDE = (SAVED, "query", "key", "value", "out"), ("gate", "up")
POLICIES = {
    Remat.NONE: jax.checkpoint_policies.everything_saveable,
    Remat.SAVE_DOTS: jax.checkpoint_policies.save_only_these_names(*NARROW, *WIDE),
    Remat.SAVE_NARROW: jax.checkpoint_policies.save_only_these_names(*NARROW),
    Remat.OFFLOAD: jax.checkpoint_policies.save_and_offload_only_these_names(
        names_which_can_be_saved=[],
        names_which_can_be_offloaded=[*NARROW, *WIDE],
        offload_src="device",
        offload_dst="pinned_host",
    ),
    Remat.FULL: jax.checkpoint_policies.nothing_saveable,
}


def is_param(x: object) -> bool:
    """Whether x is a parameter, with its axis names; for `is_leaf`."""
    return isinstance(x, nnx.Variable)


def param(value: jax.Array, *axes: str) -> nnx.Param:
    """A parameter with named axes. One rule shards it and everything that copies it."""
    assert len(axes) == value.ndim, f"{axes} for shape {value.shape}"
    assert set(axes) <= set(RULES), f"{axes} not all in sharding.RULES"
    return nnx.Param(value, axes=axes, hijax=False)


class TokenInfo(NamedTuple):
    """What every layer needs to know about the tokens. rotation: from `rotation_of`."""

    positions_BT: jax.Array
    segment_ids_BT: jax.Array
    seen_until_BT: jax.Array | None
    rotation: tuple[jax.Array, jax.Array]


class Norm(nnx.Module):
    """Root-mean-square norm with a scale, computed in float32."""

    def __init__(self, cfg: ModelConfig):
        self.scale = param(jnp.ones(cfg.width), "norm")
        self.eps = cfg.norm_eps

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """[B, T, D] -> [B, T, D]."""
        y_BTD = x_BTD.astype(jnp.float32)
        y_BTD = y_BTD * jax.lax.rsqrt(jnp.mean(y_BTD * y_BTD, axis=-1, keepdims=True) + self.eps)
        return (y_BTD * self.scale[...].astype(jnp.float32)[None, None]).astype(x_BTD.dtype)


class Attention(nnx.Module):
    """Grouped-query self-attention."""

    def __init__(self, cfg: ModelConfig, key: jax.Array):
        q, k, v, o = jax.random.split(key, 4)
        wide, narrow = (cfg.width, cfg.heads, cfg.head_width), (cfg.width, cfg.kv_heads, cfg.head_width)
        self.q_DHK = param(_normal(q, wide, cfg.width), "width", "heads", "head_width")
        self.k_DGK = param(_normal(k, narrow, cfg.width), "width", "kv_heads", "head_width")
        self.v_DGK = param(_normal(v, narrow, cfg.width), "width", "kv_heads", "head_width")
        out = (cfg.heads, cfg.head_width, cfg.width)
        self.o_HKD = param(
            _normal(o, out, cfg.heads * cfg.head_width * 2 * cfg.layers), "heads", "head_width", "width"
        )

    def __call__(self, x_BTD: jax.Array, info: TokenInfo, cache: LayerCache | None):
        """Returns [B, T, D], and the cache with this layer's keys and values in the slots of
        their positions.
        """
        q_BTHK = checkpoint_name(rotate(_to_heads(x_BTD, self.q_DHK), info.rotation), "query")
        k_BTGK = checkpoint_name(rotate(_to_heads(x_BTD, self.k_DGK), info.rotation), "key")
        v_BTGK = checkpoint_name(_to_heads(x_BTD, self.v_DGK), "value")
        if cache is None:
            y_BTHK = attend(q_BTHK, k_BTGK, v_BTGK, info.segment_ids_BT, info.seen_until_BT)
        else:
            cache = cache.write(k_BTGK, v_BTGK, info.positions_BT)
            y_BTHK = attend_cache(q_BTHK, *cache.of_layer(), info.positions_BT)
        y_BTE = y_BTHK.reshape(*y_BTHK.shape[:2], -1)
        return checkpoint_name(linear(y_BTE, _as_matrix(self.o_HKD, 2), ("heads", None)), "out"), cache


class Mlp(nnx.Module):
    """SwiGLU."""

    def __init__(self, cfg: ModelConfig, key: jax.Array):
        gate, up, down = jax.random.split(key, 3)
        self.gate_DF = param(_normal(gate, (cfg.width, cfg.mlp_width), cfg.width), "width", "mlp")
        self.up_DF = param(_normal(up, (cfg.width, cfg.mlp_width), cfg.width), "width", "mlp")
        self.down_FD = param(
            _normal(down, (cfg.mlp_width, cfg.width), cfg.mlp_width * 2 * cfg.layers), "mlp", "width"
        )

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """[B, T, D] -> [B, T, D]."""
        gate_BTF = checkpoint_name(linear(x_BTD, self.gate_DF[...]), "gate")
        up_BTF = checkpoint_name(linear(x_BTD, self.up_DF[...]), "up")
        return linear(jax.nn.silu(gate_BTF) * up_BTF, self.down_FD[...])


class Block(nnx.Module):
    """One layer: attention and MLP, each on a normalised copy of the residual stream."""

    def __init__(self, cfg: ModelConfig, key: jax.Array):
        attention, mlp = jax.random.split(key)
        self.attention_norm, self.attention = Norm(cfg), Attention(cfg, attention)
        self.mlp_norm, self.mlp = Norm(cfg), Mlp(cfg, mlp)

    def __call__(self, x_BTD: jax.Array, info: TokenInfo, cache: LayerCache | None):
        """Returns [B, T, D] and the cache."""
        y_BTD, cache = self.attention(self.attention_norm(x_BTD), info, cache)
        x_BTD = x_BTD + y_BTD
        return x_BTD + self.mlp(self.mlp_norm(x_BTD)), cache


class Llama(nnx.Module):
    """A Llama 2 or 3. It has no state: a call takes a cache and returns the new one."""

    def __init__(self, cfg: ModelConfig, key: jax.Array):
        embed, layers, head = jax.random.split(key, 3)
        self.cfg = cfg
        self.embed_VD = param(_normal(embed, (cfg.rows, cfg.width), cfg.width), "vocab", "width")
        self.layers = _stack(lambda k: Block(cfg, k), jax.random.split(layers, cfg.layers))
        self.norm = Norm(cfg)
        self.head_VD = (
            None if cfg.tied else param(_normal(head, (cfg.rows, cfg.width), cfg.width), "vocab", "width")
        )

    @property
    def output_VD(self) -> Weight:
        """The output matrix [V, D]: the head, or the embedding if tied."""
        return (self.embed_VD if self.head_VD is None else self.head_VD)[...]

    def __call__(
        self,
        tokens_BT: jax.Array,
        positions_BT: jax.Array,
        segment_ids_BT: jax.Array | None = None,
        cache: Cache | None = None,
    ):
        """Logits, float32 [B, T, V], and the cache; see `hidden`."""
        x_BTD, cache = self.hidden(tokens_BT, positions_BT, segment_ids_BT, cache)
        return self.logits(x_BTD), cache

    def logits(self, x_BTD: jax.Array) -> jax.Array:
        """Logits of hidden states [B, T, D], float32 [B, T, V]: in bfloat16 the best tokens would tie.

        Padding rows of the vocabulary are not masked.
        """
        return against_table(x_BTD, self.output_VD)

    def hidden(
        self,
        tokens_BT: jax.Array,
        positions_BT: jax.Array,
        segment_ids_BT: jax.Array | None = None,
        cache: Cache | None = None,
        seen_until_BT: jax.Array | None = None,
        blocks: Sequence[Block] | None = None,
    ):
        """Hidden states after the last norm [B, T, D], and the cache.

        Without a cache, attention is causal within segments (`segment_ids_BT`; 0 is padding; None: a row is
        one segment), or with `seen_until_BT` within branches (`attention.branch_mask`). With a cache
        (`model.cache`), a row is one segment: its positions rise by one, its keys and values are written to
        the slots of their positions, and a token attends to all slots up to its own. blocks: what `blocks`
        gives, for a call inside a loop.
        """
        assert cache is None or (segment_ids_BT is None and seen_until_BT is None), (
            "a cached row is one segment"
        )
        segment_ids_BT = jnp.ones_like(tokens_BT) if segment_ids_BT is None else segment_ids_BT
        info = TokenInfo(positions_BT, segment_ids_BT, seen_until_BT, rotation_of(positions_BT, self.cfg))

        def layer(carry: Any, block_and_index: Any):
            (x_BTD, cache), (block, index) = carry, block_and_index
            seen = None if cache is None else LayerCache(cache[0][0], cache[1][0], index)
            # a carried cache is updated in place
            x_BTD, seen = block(x_BTD, info, seen)
            cache = None if seen is None else ((seen.keys,), (seen.values,))
            return (constrain(x_BTD, "batch", "sequence", None), cache), None

        if cache is None and self.cfg.remat is not Remat.NONE:
            layer = jax.checkpoint(layer, policy=POLICIES[self.cfg.remat], prevent_cse=False)
        x_BTD = constrain(lookup(self.embed_VD[...], tokens_BT, self.cfg), "batch", "sequence", None)
        if cache is not None and is_unrolled(self.cfg):
            blocks, caches = self.blocks() if blocks is None else blocks, []
            for block, keys, values in zip(blocks, *cache, strict=True):
                x_BTD, seen = block(x_BTD, info, LayerCache(keys, values, None))
                x_BTD = constrain(x_BTD, "batch", "sequence", None)
                caches.append(seen)
            return self.norm(x_BTD), (tuple(c.keys for c in caches), tuple(c.values for c in caches))
        unroll = self.cfg.layers if is_unrolled(self.cfg) else 1
        (x_BTD, cache), _ = jax.lax.scan(
            layer, (x_BTD, cache), (stacked(self.layers), jnp.arange(self.cfg.layers)), unroll=unroll
        )
        return self.norm(x_BTD), cache

    def layer_states(self, tokens_BT: jax.Array | np.ndarray) -> jax.Array:
        """The residual stream of rows that are one segment: the embedding, then the state after each layer,
        [L + 1, B, T, D]. For probes of small batches.
        """
        tokens_BT = jnp.asarray(tokens_BT)
        positions_BT = jnp.broadcast_to(jnp.arange(tokens_BT.shape[1])[None], tokens_BT.shape)
        info = TokenInfo(positions_BT, jnp.ones_like(tokens_BT), None, rotation_of(positions_BT, self.cfg))

        def layer(x_BTD: jax.Array, block: Block):
            x_BTD = constrain(block(x_BTD, info, None)[0], "batch", "sequence", None)
            return x_BTD, x_BTD

        x_BTD = constrain(lookup(self.embed_VD[...], tokens_BT, self.cfg), "batch", "sequence", None)
        _, states_LBTD = jax.lax.scan(layer, x_BTD, stacked(self.layers))
        return jnp.concatenate([x_BTD[None], states_LBTD])

    def blocks(self) -> list[Block] | None:
        """Each layer's block by itself; None for a model that is a loop over its layers. A loop around the
        model must take them from outside: it would copy all weights in every round.
        """
        if not is_unrolled(self.cfg):
            return None
        if isinstance(self.layers, nnx.List):
            return list(self.layers)
        return [jax.tree.map(lambda a, i=i: a[i], self.layers) for i in range(self.cfg.layers)]


def lookup(table_VD: Weight, tokens_BT: jax.Array, cfg: ModelConfig) -> jax.Array:
    """Embeddings [B, T, D] in the activation dtype."""
    table_VD = constrain(table_VD, "vocab", None) if isinstance(table_VD, jax.Array) else table_VD
    return take_rows(table_VD, tokens_BT, DTYPES[cfg.dtype])


def _to_heads(x_BTD: jax.Array, weight_DHK: nnx.Param) -> jax.Array:
    """[B, T, H, K]."""
    y_BTE = linear(x_BTD, _as_matrix(weight_DHK, 1), (None, "heads"))
    return y_BTE.reshape(*x_BTD.shape[:2], *weight_DHK.shape[1:])


def _as_matrix(weight: nnx.Param, inputs: int) -> Weight:
    """A weight as a matrix, its first `inputs` axes merged and the others merged, to be gathered over fsdp.

    TPUs lay out a weight of three axes with D innermost and cannot gather along it. They would sum arrays
    that are zero except for one part, at twice the cost.
    """
    return weight[...].reshape(math.prod(weight.shape[:inputs]), math.prod(weight.shape[inputs:]))


def frequencies(cfg: ModelConfig) -> np.ndarray:
    """Rotary frequencies in radians per position, float32 [K/2], scaled as in Llama 3 if `rope_scaling` is
    set.
    """
    freq = 1.0 / cfg.rope_theta ** (np.arange(0, cfg.head_width, 2, dtype=np.float64) / cfg.head_width)
    if cfg.rope_scaling is not None:
        scaling = cfg.rope_scaling
        turns = scaling.original_max_position * freq / (2 * np.pi)
        blend = np.clip(
            (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor), 0, 1
        )
        freq = (1 - blend) * freq / scaling.factor + blend * freq
    return freq.astype(np.float32)


def rotation_of(positions_BT: jax.Array, cfg: ModelConfig) -> tuple[jax.Array, jax.Array]:
    """Cosine and sine of each position's angles, each float32 [B, T, 1, K/2]."""

    def of_row(positions_T: jax.Array) -> tuple[jax.Array, jax.Array]:
        angle_T1K = positions_T[:, None, None].astype(jnp.float32) * jnp.asarray(frequencies(cfg))[None, None]
        return jnp.cos(angle_T1K), jnp.sin(angle_T1K)

    if platform() == "cpu" and positions_BT.shape[1] > 1:
        # a loop's results are stored. Otherwise XLA computes them again wherever a layer uses them, which is
        # a tenth of the step of the demo's model
        return jax.lax.map(of_row, positions_BT)
    return jax.vmap(of_row)(positions_BT)


def rotate(x_BTHK: jax.Array, rotation: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Rotates each pair (i, i + K/2) of a head by its position's angle, in float32: [B, T, H, K]."""
    cos, sin = rotation
    left, right = jnp.split(x_BTHK.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([left * cos - right * sin, right * cos + left * sin], axis=-1).astype(x_BTHK.dtype)


def abstract(cfg: ModelConfig, mesh: Mesh, dtype: Dtype = Dtype.FLOAT32) -> Llama:
    """The model as shapes with shardings, for initialisation, restoring and ahead-of-time compilation.

    dtype: of the parameters. UserError if the mesh does not divide the model. Call it outside `jax.set_mesh`.
    """

    def with_sharding(variable: nnx.Variable) -> nnx.Variable:
        axes = variable.get_metadata("axes")
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, DTYPES[dtype], sharding=place_axes(mesh, axes, a.shape)),
            variable,
        )

    return jax.tree.map(
        with_sharding, jax.eval_shape(lambda: Llama(cfg, jax.random.key(0))), is_leaf=is_param
    )


def init_sharded(cfg: ModelConfig, key: jax.Array, mesh: Mesh) -> Llama:
    """Random weights, each made on the devices that store it. The values do not depend on the mesh."""
    shardings = jax.tree.map(lambda a: a.sharding, abstract(cfg, mesh))
    return jax.jit(lambda k: Llama(cfg, k), out_shardings=shardings)(key)


def flops_per_token(cfg: ModelConfig, length: int) -> float:
    """Floating-point operations per training token in rows of `length`.

    Each weight of a matrix product counts 6 (forward 2, backward 4). Scores and sums of attention count
    12 · heads · head width · length per layer, halved because attention is causal. Recomputation and the
    embedding's gather do not count; the head counts even if tied.
    """
    projections = cfg.width * cfg.head_width * 2 * (cfg.heads + cfg.kv_heads)
    matrices = cfg.layers * (projections + 3 * cfg.width * cfg.mlp_width) + cfg.rows * cfg.width
    return 6.0 * matrices + 6.0 * cfg.layers * cfg.heads * cfg.head_width * length


def _normal(key: jax.Array, shape: tuple[int, ...], fan_in: int) -> jax.Array:
    """Normal with variance 1/fan_in. For the 2 · layers matrices that write to the residual stream, callers
    multiply fan_in by their number (our choice).
    """
    return jax.random.normal(key, shape, jnp.float32) * fan_in**-0.5


def _stack(make: Callable[[jax.Array], nnx.Module], keys: jax.Array) -> nnx.Module:
    """Stacks modules into one whose parameters have a leading 'layers' axis."""
    many = jax.vmap(make)(keys)
    return jax.tree.map(lambda v: v.copy(axes=("layers", *v.get_metadata("axes"))), many, is_leaf=is_param)
