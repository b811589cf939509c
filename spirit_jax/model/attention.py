"""Who may look at whom, and the attention itself. The only place that knows about masks.

B rows, T query tokens, S key slots, H heads, G key/value heads, K head width.

Training and scoring: a token sees the tokens before it, and itself, with its own segment id. Segment 0 is padding: it sees only padding, and
nobody else sees it, so no row of the mask is empty and no NaN can arise.
Decoding: a token's slot in the cache is its position, so a token at position p sees the slots 0..p. Prompts of unequal length are padded on
the right: what padding writes into the slots behind a prompt is overwritten by the generated token of that position before it can be seen.
"""

import jax
import jax.numpy as jnp


def segment_mask(segment_ids_BT: jax.Array) -> jax.Array:
    """Causal and within one segment: bool [B, 1, T, T]."""
    same_BTS = segment_ids_BT[:, :, None] == segment_ids_BT[:, None, :]
    return (same_BTS & causal_mask(segment_ids_BT.shape[1])[0])[:, None]


def causal_mask(length: int) -> jax.Array:
    """Each token sees itself and those before it: bool [1, 1, T, T]."""
    return jnp.tril(jnp.ones((length, length), bool))[None, None]


def cache_mask(positions_BT: jax.Array, slots: int) -> jax.Array:
    """Each token sees the slots up to its own position: bool [B, 1, T, S]."""
    return (jnp.arange(slots)[None, None, :] <= positions_BT[:, :, None])[:, None]


def attend(q_BTHK: jax.Array, k_BSGK: jax.Array, v_BSGK: jax.Array, mask_B1TS: jax.Array) -> jax.Array:
    """Softmax attention [B, T, H, K], scaled by 1/sqrt(K), softmax in float32; head h reads key head h // (H/G).

    cuDNN's kernel serves bfloat16 on NVIDIA GPUs where it takes the head width; XLA's everything else.
    """
    kernel = "cudnn" if _fits_cudnn(q_BTHK) else "xla"
    return jax.nn.dot_product_attention(q_BTHK, k_BSGK, v_BSGK, mask=mask_B1TS, implementation=kernel)


def attend_by_definition(q_BTHK: jax.Array, k_BSGK: jax.Array, v_BSGK: jax.Array, mask_B1TS: jax.Array) -> jax.Array:
    """`attend` written out in float32: what the kernels are tested against."""
    repeat = q_BTHK.shape[2] // k_BSGK.shape[2]
    k_BSHK, v_BSHK = (jnp.repeat(x, repeat, axis=2).astype(jnp.float32) for x in (k_BSGK, v_BSGK))
    scores_BHTS = jnp.einsum("BTHK,BSHK->BHTS", q_BTHK.astype(jnp.float32), k_BSHK) / q_BTHK.shape[-1] ** 0.5
    weights_BHTS = jax.nn.softmax(jnp.where(mask_B1TS, scores_BHTS, -jnp.inf), axis=-1)
    return jnp.einsum("BHTS,BSHK->BTHK", weights_BHTS, v_BSHK).astype(q_BTHK.dtype)


def _fits_cudnn(q_BTHK: jax.Array) -> bool:
    width = q_BTHK.shape[-1]
    return jax.default_backend() == "gpu" and q_BTHK.dtype == jnp.bfloat16 and width % 8 == 0 and width <= 128
