"""Attention and its masks. No other module knows about masks.

B rows, T query tokens, S key slots, H heads, G key/value heads, R = H/G query heads per key/value head, K
head width.

Training and scoring (`attend`): a token attends to itself and to earlier tokens of its segment. Segment 0 is
padding, which attends only to padding. So no row of a mask is empty, and no NaN can arise. Where sequences
share a beginning, it is in the row once: a slot names the slots up to which it is seen, so that a token
attends to its own beginning and not to other continuations of it (`branch_mask`). Decoding
(`attend_cache`): a token's slot in the cache is its position, and a token at position p attends to the slots
0..p. Prompts of unequal length are padded on the right. The generated token of a position overwrites the
padding's entry in that slot before any token attends to it.

`attend` has three kernels, each tested against `attend_by_definition`: splash attention on TPUs, cuDNN's on
NVIDIA GPUs, and blocks of matrix products elsewhere and for shapes that the other two do not support. On a
mesh each device computes its own rows, heads and queries. Rows that are split over `context` gather their
keys and values first (our choice). A ring would need less memory but send as many bytes, and the keys of a
row are small compared with the weights that each layer gathers.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import NamedSharding, PartitionSpec

from spirit_jax.sharding import mesh_sizes, platform, pspec

# A block of queries skips later keys. On CPU 4 blocks take 0.37 of the time of one (4 x 512 tokens, 6 heads).
QUERY_BLOCKS = 4
MIN_BLOCK = 64
# queries and keys of a splash block; the largest that divides the length is used (2048 overflow VMEM on v5e)
SPLASH_BLOCKS = (512, 256, 128)
SAVED = "attention"  # name for remat policies of what a kernel saves for the backward pass
SPLASH_SIZES = (
    "block_q",
    "block_kv",
    "block_kv_compute",
    "block_q_dkv",
    "block_kv_dkv",
    "block_kv_dkv_compute",
    "block_q_dq",
    "block_kv_dq",
)
QUERIES = pspec(("batch", "sequence", "heads", None))
KEYS = pspec(("batch", None, "kv_heads", None))
ROWS = pspec(("batch", None))


def attend(
    q_BTHK: jax.Array,
    k_BTGK: jax.Array,
    v_BTGK: jax.Array,
    segment_ids_BT: jax.Array,
    seen_until_BT: jax.Array | None = None,
) -> jax.Array:
    """Causal self-attention within segments, or within branches (`branch_mask`) if `seen_until_BT` is given:
    [B, T, H, K]. Scores are scaled by 1/sqrt(K), the softmax is in float32. Splash attention has no mask for
    branches, so TPUs take matrix products for them.
    """
    where, branched = platform(), seen_until_BT is not None
    if where == "tpu" and not branched and _splash_block(q_BTHK.shape[1]):
        return attend_splash(q_BTHK, k_BTGK, v_BTGK, segment_ids_BT)
    kernel = partial(
        _cudnn if where == "gpu" and _fits_cudnn(q_BTHK) else _products,
        make_mask=branch_mask if branched else segment_mask,
    )
    marks_BT = seen_until_BT if branched else segment_ids_BT
    if not _is_split():
        return checkpoint_name(kernel(q_BTHK, k_BTGK, v_BTGK, marks_BT, 0), SAVED)

    def local(q_BTHK: jax.Array, k_BSGK: jax.Array, v_BSGK: jax.Array, marks_BS: jax.Array) -> jax.Array:
        first = jax.lax.axis_index("context") * q_BTHK.shape[1] if mesh_sizes()["context"] > 1 else 0
        return kernel(q_BTHK, k_BSGK, v_BSGK, marks_BS, first)

    attend_locally = jax.shard_map(
        local, in_specs=(QUERIES, KEYS, KEYS, ROWS), out_specs=QUERIES, check_vma=False
    )
    return checkpoint_name(attend_locally(q_BTHK, k_BTGK, v_BTGK, marks_BT), SAVED)


def attend_splash(
    q_BTHK: jax.Array,
    k_BTGK: jax.Array,
    v_BTGK: jax.Array,
    segment_ids_BT: jax.Array,
    interpret: bool = False,
) -> jax.Array:
    """`attend` by splash attention, which skips the blocks after each query. T on each device must be a
    multiple of 128.

    `interpret` runs the kernel on a CPU, for tests.
    """
    # imported here because the import takes seconds, and only a TPU needs it
    from jax.experimental.pallas.ops.tpu import splash_attention as splash

    sizes, length = mesh_sizes(), q_BTHK.shape[1]
    block, parts = _splash_block(length), sizes["context"]
    causal = splash.CausalMask((length, length), shard_count=parts)
    kernel = splash.make_splash_mha(
        splash.MultiHeadMask([causal] * (q_BTHK.shape[2] // sizes["tensor"])),
        block_sizes=splash.BlockSizes(**dict.fromkeys(SPLASH_SIZES, block)),
        head_shards=1,
        q_seq_shards=parts,
        residual_checkpoint_name=SAVED,
        interpret=interpret,
    )

    def local(kernel, q_BTHK, k_BSGK, v_BSGK, segments_BT, segments_BS):
        q_BHTK, k_BGSK, v_BGSK = (
            x.swapaxes(1, 2) for x in (q_BTHK * q_BTHK.shape[-1] ** -0.5, k_BSGK, v_BSGK)
        )
        y_BHTK = jax.vmap(kernel)(q_BHTK, k_BGSK, v_BGSK, splash.SegmentIds(segments_BT, segments_BS))
        return y_BHTK.swapaxes(1, 2).astype(q_BTHK.dtype)

    if _is_split():
        masks = kernel.manual_sharding_spec(
            NamedSharding(jax.sharding.get_abstract_mesh(), PartitionSpec(None, "context"))
        )
        inputs = (masks, QUERIES, KEYS, KEYS, pspec(("batch", "sequence")), ROWS)
        local = jax.shard_map(local, in_specs=inputs, out_specs=QUERIES, check_vma=False)
    return local(kernel, q_BTHK, k_BTGK, v_BTGK, segment_ids_BT, segment_ids_BT)


def attend_cache(
    q_BTHK: jax.Array, k_BGSK: jax.Array, v_BGSK: jax.Array, positions_BT: jax.Array
) -> jax.Array:
    """Attention of new tokens to a cache that already contains them: [B, T, H, K]."""
    mask_B1TS = (jnp.arange(k_BGSK.shape[2])[None, None, :] <= positions_BT[:, :, None])[:, None]
    return _attend(q_BTHK, k_BGSK, v_BGSK, mask_B1TS)


def attend_by_definition(
    q_BTHK: jax.Array, k_BSGK: jax.Array, v_BSGK: jax.Array, mask_B1TS: jax.Array
) -> jax.Array:
    """The plain reference in float32, which the kernels are tested against: [B, T, H, K]."""
    repeat = q_BTHK.shape[2] // k_BSGK.shape[2]
    k_BSHK, v_BSHK = (jnp.repeat(x, repeat, axis=2).astype(jnp.float32) for x in (k_BSGK, v_BSGK))
    scores_BHTS = jnp.einsum("BTHK,BSHK->BHTS", q_BTHK.astype(jnp.float32), k_BSHK) / q_BTHK.shape[-1] ** 0.5
    weights_BHTS = jax.nn.softmax(jnp.where(mask_B1TS, scores_BHTS, -jnp.inf), axis=-1)
    return jnp.einsum("BHTS,BSHK->BTHK", weights_BHTS, v_BSHK).astype(q_BTHK.dtype)


def segment_mask(
    segment_ids_BS: jax.Array, first: jax.Array | int = 0, count: int | None = None
) -> jax.Array:
    """Causal mask within segments for the queries in slots first..first + count - 1: bool [B, 1, T, S]."""
    slots_S = jnp.arange(segment_ids_BS.shape[1])
    count = len(slots_S) if count is None else count
    slots_T = first + jnp.arange(count)
    segment_ids_BT = jax.lax.dynamic_slice_in_dim(segment_ids_BS, first, count, axis=1)
    same_BTS = segment_ids_BT[:, :, None] == segment_ids_BS[:, None, :]
    return (same_BTS & (slots_S[None, :] <= slots_T[:, None])[None])[:, None]


def branch_mask(seen_until_BS: jax.Array, first: jax.Array | int = 0, count: int | None = None) -> jax.Array:
    """The same for sequences in the order of a tree: slot s is seen from the slots s..seen_until[s] - 1."""
    slots_S = jnp.arange(seen_until_BS.shape[1])
    slots_T = first + jnp.arange(len(slots_S) if count is None else count)
    seen_BTS = slots_T[None, :, None] < seen_until_BS[:, None, :]
    return (seen_BTS & (slots_S[None, :] <= slots_T[:, None])[None])[:, None]


def _products(
    q_BTHK: jax.Array,
    k_BSGK: jax.Array,
    v_BSGK: jax.Array,
    marks_BS: jax.Array,
    first: jax.Array | int,
    make_mask: Callable[..., jax.Array],
) -> jax.Array:
    """Attention of the queries from slot `first` on, by matrix products. If the queries cover the row, each
    block of them skips later keys.
    """
    length, whole = q_BTHK.shape[1], q_BTHK.shape[1] == k_BSGK.shape[1]
    block = (
        length // QUERY_BLOCKS
        if whole and length % QUERY_BLOCKS == 0 and length >= QUERY_BLOCKS * MIN_BLOCK
        else length
    )
    k_BGSK, v_BGSK = k_BSGK.transpose(0, 2, 1, 3), v_BSGK.transpose(0, 2, 1, 3)
    outputs = []
    for start in range(0, length, block):
        end = start + block if whole else k_BSGK.shape[1]
        mask_B1TS = make_mask(marks_BS[:, :end], first + start, block)
        outputs.append(
            _attend(q_BTHK[:, start : start + block], k_BGSK[:, :, :end], v_BGSK[:, :, :end], mask_B1TS)
        )
    return jnp.concatenate(outputs, axis=1)


def _cudnn(
    q_BTHK: jax.Array,
    k_BSGK: jax.Array,
    v_BSGK: jax.Array,
    marks_BS: jax.Array,
    first: jax.Array | int,
    make_mask: Callable[..., jax.Array],
) -> jax.Array:
    """Attention of the queries from slot `first` on, by cuDNN's kernel. If the queries cover the row, the
    mask is declared causal, and the kernel skips blocks.
    """
    mask_B1TS = make_mask(marks_BS, first, q_BTHK.shape[1])
    causal = q_BTHK.shape[1] == k_BSGK.shape[1]
    return jax.nn.dot_product_attention(
        q_BTHK, k_BSGK, v_BSGK, mask=mask_B1TS, is_causal=causal, implementation="cudnn"
    )


def _attend(q_BTHK: jax.Array, k_BGSK: jax.Array, v_BGSK: jax.Array, mask_B1TS: jax.Array) -> jax.Array:
    rows, length, heads, width = q_BTHK.shape
    groups, slots = k_BGSK.shape[1:3]
    q_BGRTK = (
        (q_BTHK * width**-0.5).reshape(rows, length, groups, heads // groups, width).transpose(0, 2, 3, 1, 4)
    )
    mask_B1QS = jnp.broadcast_to(mask_B1TS[:, :, None], (rows, 1, heads // groups, length, slots)).reshape(
        rows, 1, -1, slots
    )
    y_BGQK = _weigh(q_BGRTK.reshape(rows, groups, -1, width), k_BGSK, v_BGSK, mask_B1QS)
    return y_BGQK.reshape(q_BGRTK.shape).transpose(0, 3, 1, 2, 4).reshape(q_BTHK.shape)


@jax.custom_vjp
def _weigh(q_BGQK: jax.Array, k_BGSK: jax.Array, v_BGSK: jax.Array, mask_B1QS: jax.Array) -> jax.Array:
    """Sums of values weighted by the softmax of the scores. Q: the queries of all heads of a group.

    The gradient is written by hand; on CPU it takes 0.65 of the time of JAX's.
    """
    return _weigh_forward(q_BGQK, k_BGSK, v_BGSK, mask_B1QS)[0]


def _weigh_forward(q_BGQK: jax.Array, k_BGSK: jax.Array, v_BGSK: jax.Array, mask_B1QS: jax.Array):
    scores_BGQS = jnp.einsum("BGQK,BGSK->BGQS", q_BGQK, k_BGSK, preferred_element_type=jnp.float32)
    scores_BGQS = jnp.where(mask_B1QS, scores_BGQS, -1e30)
    weights_BGQS = jnp.exp(scores_BGQS - scores_BGQS.max(-1, keepdims=True))
    weights_BGQS = (weights_BGQS * (1 / weights_BGQS.sum(-1, keepdims=True))).astype(v_BGSK.dtype)
    y_BGQK = jnp.einsum("BGQS,BGSK->BGQK", weights_BGQS, v_BGSK)
    return y_BGQK, (q_BGQK, k_BGSK, v_BGSK, weights_BGQS, y_BGQK)


def _weigh_backward(saved: tuple[jax.Array, ...], dy_BGQK: jax.Array):
    q_BGQK, k_BGSK, v_BGSK, weights_BGQS, y_BGQK = saved
    # K before S, so that the wide operand is not transposed
    dv_BGKS = jnp.einsum("BGQK,BGQS->BGKS", dy_BGQK, weights_BGQS)
    dweights_BGQS = jnp.einsum("BGQK,BGSK->BGQS", dy_BGQK, v_BGSK, preferred_element_type=jnp.float32)
    mean_BGQ1 = jnp.sum(dy_BGQK.astype(jnp.float32) * y_BGQK.astype(jnp.float32), axis=-1, keepdims=True)
    dscores_BGQS = (weights_BGQS.astype(jnp.float32) * (dweights_BGQS - mean_BGQ1)).astype(q_BGQK.dtype)
    dk_BGKS = jnp.einsum("BGQK,BGQS->BGKS", q_BGQK, dscores_BGQS)
    return (
        jnp.einsum("BGQS,BGSK->BGQK", dscores_BGQS, k_BGSK),
        dk_BGKS.swapaxes(2, 3),
        dv_BGKS.swapaxes(2, 3),
        None,
    )


_weigh.defvjp(_weigh_forward, _weigh_backward)


def _fits_cudnn(q_BTHK: jax.Array) -> bool:
    width = q_BTHK.shape[-1]
    return q_BTHK.dtype == jnp.bfloat16 and width % 8 == 0 and width <= 128


def _splash_block(length: int) -> int | None:
    """The block size for rows of `length`; None if no size divides each device's part."""
    return next((block for block in SPLASH_BLOCKS if length % (block * mesh_sizes()["context"]) == 0), None)


def _is_split() -> bool:
    return max(mesh_sizes().values()) > 1
