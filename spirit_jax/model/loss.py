"""Cross-entropy without an array of all logits.

B rows, T tokens, C chunks, D width, V vocabulary rows, M modalities, N sources.

The float32 logits of a chunk of tokens exist only while the chunk is computed. The pass that computes them
also computes their gradient. So nothing is computed twice, no [B, T, V] array is stored, and there are three
matrix products in all. On a mesh each device computes its own tokens against its own vocabulary rows, and the
head's gradient is summed over devices once, after the last chunk.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from spirit_jax.model.batch import Batch
from spirit_jax.model.linear import widen
from spirit_jax.model.llama import Llama
from spirit_jax.sharding import mesh_sizes, pspec
from spirit_jax.tokens.vocabulary import TokenClass

MODALITIES = tuple(kind.name.lower() for kind in TokenClass)  # order of the sums by modality
LOGITS_BYTES = 2**26  # float32 logits of a chunk on one device: our choice
TOKENS = pspec(("batch", "sequence"))
ROWS = ("data", "fsdp", "context")  # mesh axes that split the tokens


def loss_terms(
    llama: Llama, batch: Batch, text_size: int, sources: int = 1, text_weight: float = 1.0
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The sum of weight · nll over the batch, to be differentiated, and its parts. nll is -ln p(target).

    text_size: the number of text ids (`Vocabulary.text_size`). The target decides a token's modality: text
    below it, the two tags from it on, then speech. sources: N; without `batch.source_ids` all tokens count
    for source 0. Parts: "nll" and "weight", the sums of weight · nll and of weights, float32 [M] in the order
    of MODALITIES; "source_nll" and "source_weight", the same by source, float32 [N]. A mean is a sum divided
    by its sum of weights; sums of several batches can be added. text_weight: text counts that much more in
    the sum that is differentiated (`weigh`), not in the parts.
    """
    hidden_BTD, _ = llama.hidden(batch.tokens, batch.positions, batch.segment_ids)
    head_VD = widen(llama.output_VD, hidden_BTD.dtype)
    text_BT = batch.targets < text_size
    weights_BT = jnp.where(text_BT, text_weight, 1.0) * batch.loss_weights
    total, nll_BT = cross_entropy(hidden_BTD, head_VD, batch.targets, weights_BT)
    not_text_BT = jnp.where(batch.targets < text_size + 2, int(TokenClass.TAG), int(TokenClass.SPEECH))
    kinds_BT = jnp.where(text_BT, int(TokenClass.TEXT), not_text_BT)
    nll_BT = jax.lax.stop_gradient(nll_BT)
    nll_M, weight_M = _sums_by_kind(nll_BT, batch.loss_weights, kinds_BT, len(MODALITIES))
    source_ids_BT = jnp.zeros_like(batch.targets) if batch.source_ids is None else batch.source_ids
    nll_N, weight_N = _sums_by_kind(nll_BT, batch.loss_weights, source_ids_BT, sources)
    return total, {"nll": nll_M, "weight": weight_M, "source_nll": nll_N, "source_weight": weight_N}


def weigh(weight_M: jax.Array, text_weight: float) -> jax.Array:
    """The sum of weights by modality, [M], in which text counts `text_weight` times."""
    return weight_M.sum() + (text_weight - 1) * weight_M[TokenClass.TEXT]


def _sums_by_kind(
    nll_BT: jax.Array, weights_BT: jax.Array, kinds_BT: jax.Array, kinds: int
) -> tuple[jax.Array, jax.Array]:
    """Sums of weight · nll and of weight over the tokens of each kind."""
    weights_KBT = jnp.where(kinds_BT[None] == jnp.arange(kinds)[:, None, None], weights_BT[None], 0)
    return jnp.einsum("KBT,BT->K", weights_KBT, nll_BT), weights_KBT.sum((1, 2))


def token_nll(llama: Llama, batch: Batch, slots_BN: jax.Array | None = None) -> jax.Array:
    """-ln p(target), for scoring: float32 [B, T], or [B, N] for the slots that are given."""
    x_BTD, _ = llama.hidden(batch.tokens, batch.positions, batch.segment_ids, seen_until_BT=batch.seen_until)
    targets_BT, weights_BT = batch.targets, batch.loss_weights
    if slots_BN is not None:
        x_BTD = jnp.take_along_axis(x_BTD, slots_BN[:, :, None], axis=1)
        targets_BT, weights_BT = (jnp.take_along_axis(x, slots_BN, axis=1) for x in (targets_BT, weights_BT))
    return cross_entropy(x_BTD, widen(llama.output_VD, x_BTD.dtype), targets_BT, weights_BT)[1]


@jax.custom_vjp
def cross_entropy(
    x_BTD: jax.Array, head_VD: jax.Array, targets_BT: jax.Array, weights_BT: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The sum of weight · nll, and nll [B, T], both float32. Only the sum has a gradient, for x
    and the head.
    """
    return _on_each_device(_values, (TOKENS,))(x_BTD, head_VD.astype(x_BTD.dtype), targets_BT, weights_BT)


def _forward(x_BTD: jax.Array, head_VD: jax.Array, targets_BT: jax.Array, weights_BT: jax.Array):
    slopes = _on_each_device(_values_and_slopes, (TOKENS, TOKENS, pspec(("vocab", "width"))))
    total, nll_BT, slope_BTD, grad_VD = slopes(x_BTD, head_VD.astype(x_BTD.dtype), targets_BT, weights_BT)
    return (total, nll_BT), (slope_BTD, grad_VD)


def _backward(slopes: tuple[jax.Array, jax.Array], cotangents: tuple[jax.Array, jax.Array]):
    slope_BTD, grad_VD = slopes
    scale = cotangents[0]
    return slope_BTD * scale.astype(slope_BTD.dtype), grad_VD * scale, None, None


cross_entropy.defvjp(_forward, _backward)


def _on_each_device(local: Callable[..., Any], outputs: tuple[PartitionSpec, ...]) -> Callable[..., Any]:
    """`local`, run by each device on its own tokens and vocabulary rows. So the sums over chunks cross the
    network once, not once per chunk.
    """
    if math.prod(mesh_sizes().values()) == 1:
        return local
    inputs = (TOKENS, pspec(("vocab", None)), TOKENS, TOKENS)
    return jax.shard_map(local, in_specs=inputs, out_specs=(PartitionSpec(), *outputs), check_vma=False)


def _values(x_BTD: jax.Array, head_VD: jax.Array, targets_BT: jax.Array, weights_BT: jax.Array):
    def chunk(_: None, part: Any):
        x_BTD, targets_BT = part
        return None, _nll(_logits(x_BTD, head_VD), _hits(targets_BT, head_VD))[0]

    _, nll_CBT = jax.lax.scan(chunk, None, _split((x_BTD, targets_BT), head_VD.shape[0]))
    nll_BT = _join(nll_CBT)
    return _sum((nll_BT * weights_BT).sum(), *ROWS), nll_BT


def _values_and_slopes(x_BTD: jax.Array, head_VD: jax.Array, targets_BT: jax.Array, weights_BT: jax.Array):
    def chunk(grad_DV: jax.Array, part: Any):
        x_BTD, targets_BT, weights_BT = part
        logits_BTV, hits_BTV = _logits(x_BTD, head_VD), _hits(targets_BT, head_VD)
        nll_BT, sum_BT = _nll(logits_BTV, hits_BTV)
        slope_BTV = (jnp.exp(logits_BTV - sum_BT[:, :, None]) - hits_BTV.astype(jnp.float32)) * weights_BT[
            :, :, None
        ]
        slope_BTV = slope_BTV.astype(x_BTD.dtype)
        # DV is faster than VD on CPU
        grad_DV += jnp.einsum("BTD,BTV->DV", x_BTD, slope_BTV, preferred_element_type=jnp.float32)
        return grad_DV, (nll_BT, jnp.einsum("BTV,VD->BTD", slope_BTV, head_VD))

    parts = _split((x_BTD, targets_BT, weights_BT), head_VD.shape[0])
    grad_DV, (nll_CBT, slope_CBTD) = jax.lax.scan(chunk, jnp.zeros(head_VD.shape[::-1], jnp.float32), parts)
    # without the barrier XLA transposes the product of a single chunk, which its CPU code cannot run in
    # bfloat16
    grad_DV = jax.lax.optimization_barrier(grad_DV)
    nll_BT, slope_BTD = _join(nll_CBT), _sum(_join(slope_CBTD), "tensor")
    if mesh_sizes()["fsdp"] > 1:
        grad_DV = jax.lax.psum_scatter(grad_DV, "fsdp", scatter_dimension=0, tiled=True)
    return _sum((nll_BT * weights_BT).sum(), *ROWS), nll_BT, slope_BTD, _sum(grad_DV, "data", "context").T


def _sum(x: jax.Array, *axes: str) -> jax.Array:
    """The sum of x over the devices along these axes of the mesh."""
    split = tuple(axis for axis in axes if mesh_sizes()[axis] > 1)
    return jax.lax.psum(x, split) if split else x


def _logits(x_BTD: jax.Array, head_VD: jax.Array) -> jax.Array:
    return jnp.einsum("BTD,VD->BTV", x_BTD, head_VD, preferred_element_type=jnp.float32)


def _hits(targets_BT: jax.Array, head_VD: jax.Array) -> jax.Array:
    """Whether a vocabulary row of this device is the target: bool [B, T, V]."""
    rows = head_VD.shape[0]
    first = jax.lax.axis_index("tensor") * rows if mesh_sizes()["tensor"] > 1 else 0
    return targets_BT[:, :, None] == first + jnp.arange(rows)[None, None]


def _nll(logits_BTV: jax.Array, hits_BTV: jax.Array) -> tuple[jax.Array, jax.Array]:
    """-ln p(target), and the logarithm of the sum of exp(logits), each [B, T]."""
    peak_BT = logits_BTV.max(-1)
    if mesh_sizes()["tensor"] > 1:
        peak_BT = jax.lax.pmax(peak_BT, "tensor")
    sum_BT = peak_BT + jnp.log(_sum(jnp.exp(logits_BTV - peak_BT[:, :, None]).sum(-1), "tensor"))
    return sum_BT - _sum(jnp.where(hits_BTV, logits_BTV, 0).sum(-1), "tensor"), sum_BT


def _split(arrays: tuple[jax.Array, ...], vocabulary: int) -> Any:
    """[B, T, ...] -> [C, B, T/C, ...], with as few chunks as LOGITS_BYTES allows."""
    rows, length = arrays[0].shape[:2]
    wanted = rows * length * vocabulary * 4 / LOGITS_BYTES
    chunks = next(n for n in range(1, length + 1) if length % n == 0 and (n >= wanted or n == length))
    return jax.tree.map(
        lambda x: jnp.moveaxis(x.reshape(rows, chunks, length // chunks, *x.shape[2:]), 1, 0), arrays
    )


def _join(x_CBT: jax.Array) -> jax.Array:
    """[C, B, T/C, ...] -> [B, T, ...]."""
    return jnp.moveaxis(x_CBT, 0, 1).reshape(x_CBT.shape[1], -1, *x_CBT.shape[3:])
