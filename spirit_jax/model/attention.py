"""Who may look at whom, and the attention itself. The only place that knows about masks.

B rows, T query tokens, S key slots, H heads, G key/value heads, R = H/G query heads for each of them, K head width.

Training and scoring (`attend`): a token sees itself and the tokens before it that have its own segment id. Segment 0 is padding: it sees
only padding, and nobody else sees it, so no row of a mask is empty and no NaN can arise.
Decoding (`attend_cache`): a token's slot in the cache is its position, so a token at position p sees the slots 0..p. Prompts of unequal
length are padded on the right: what padding writes into the slots behind a prompt is overwritten by the generated token of that position
before it can be seen.
"""

import jax
import jax.numpy as jnp

QUERY_BLOCKS = 4  # a block of queries skips the keys behind it; 4 on CPU took 0.37 of the time of one block (4 x 512 tokens, 6 heads)
MIN_BLOCK = 64


def attend(q_BTHK: jax.Array, k_BTGK: jax.Array, v_BTGK: jax.Array, segment_ids_BT: jax.Array) -> jax.Array:
    """Causal self-attention within segments: [B, T, H, K]; scores scaled by 1/sqrt(K), softmax in float32.

    cuDNN's kernel serves bfloat16 on NVIDIA GPUs where it takes the head width; blocks of matrix products everything else.
    """
    if _fits_cudnn(q_BTHK):
        return jax.nn.dot_product_attention(q_BTHK, k_BTGK, v_BTGK, mask=segment_mask(segment_ids_BT), implementation="cudnn")
    length = q_BTHK.shape[1]
    block = length // QUERY_BLOCKS if length % QUERY_BLOCKS == 0 and length >= QUERY_BLOCKS * MIN_BLOCK else length
    k_BGTK, v_BGTK = k_BTGK.transpose(0, 2, 1, 3), v_BTGK.transpose(0, 2, 1, 3)
    outputs = []
    for start in range(0, length, block):
        end = start + block
        mask_B1TS = segment_mask(segment_ids_BT[:, :end])[:, :, start:]
        outputs.append(_attend(q_BTHK[:, start:end], k_BGTK[:, :, :end], v_BGTK[:, :, :end], mask_B1TS))
    return jnp.concatenate(outputs, axis=1)


def attend_cache(q_BTHK: jax.Array, k_BGSK: jax.Array, v_BGSK: jax.Array, positions_BT: jax.Array) -> jax.Array:
    """Attention of new tokens to a cache that holds them already: [B, T, H, K]."""
    mask_B1TS = (jnp.arange(k_BGSK.shape[2])[None, None, :] <= positions_BT[:, :, None])[:, None]
    return _attend(q_BTHK, k_BGSK, v_BGSK, mask_B1TS)


def attend_by_definition(q_BTHK: jax.Array, k_BSGK: jax.Array, v_BSGK: jax.Array, mask_B1TS: jax.Array) -> jax.Array:
    """Attention written out in float32: what the kernels are tested against."""
    repeat = q_BTHK.shape[2] // k_BSGK.shape[2]
    k_BSHK, v_BSHK = (jnp.repeat(x, repeat, axis=2).astype(jnp.float32) for x in (k_BSGK, v_BSGK))
    scores_BHTS = jnp.einsum("BTHK,BSHK->BHTS", q_BTHK.astype(jnp.float32), k_BSHK) / q_BTHK.shape[-1] ** 0.5
    weights_BHTS = jax.nn.softmax(jnp.where(mask_B1TS, scores_BHTS, -jnp.inf), axis=-1)
    return jnp.einsum("BHTS,BSHK->BTHK", weights_BHTS, v_BSHK).astype(q_BTHK.dtype)


def segment_mask(segment_ids_BT: jax.Array) -> jax.Array:
    """Causal and within one segment: bool [B, 1, T, T]."""
    slots = jnp.arange(segment_ids_BT.shape[1])
    same_BTS = segment_ids_BT[:, :, None] == segment_ids_BT[:, None, :]
    return (same_BTS & (slots[None, :] <= slots[:, None])[None])[:, None]


def _attend(q_BTHK: jax.Array, k_BGSK: jax.Array, v_BGSK: jax.Array, mask_B1TS: jax.Array) -> jax.Array:
    rows, length, heads, width = q_BTHK.shape
    groups = k_BGSK.shape[1]
    q_BGRTK = (q_BTHK * width**-0.5).reshape(rows, length, groups, heads // groups, width).transpose(0, 2, 3, 1, 4)
    scores_BGRTS = jnp.einsum("BGRTK,BGSK->BGRTS", q_BGRTK, k_BGSK, preferred_element_type=jnp.float32)
    scores_BGRTS = jnp.where(mask_B1TS[:, None], scores_BGRTS, -1e30)
    weights_BGRTS = jnp.exp(scores_BGRTS - jax.lax.stop_gradient(scores_BGRTS.max(-1, keepdims=True)))
    sums_BGRT1 = weights_BGRTS.sum(-1, keepdims=True)
    y_BGRTK = jnp.einsum("BGRTS,BGSK->BGRTK", weights_BGRTS.astype(v_BGSK.dtype), v_BGSK, preferred_element_type=jnp.float32) / sums_BGRT1
    return y_BGRTK.transpose(0, 3, 1, 2, 4).reshape(q_BTHK.shape).astype(q_BTHK.dtype)


def _fits_cudnn(q_BTHK: jax.Array) -> bool:
    width = q_BTHK.shape[-1]
    return jax.default_backend() == "gpu" and q_BTHK.dtype == jnp.bfloat16 and width % 8 == 0 and width <= 128
