"""Prefill and decode with a key/value cache, many prompts at a time. Shapes: B rows, P prompt slots, N new
tokens, V vocabulary rows.

Prompts are sorted by length and padded, on the right, to few sizes; the number of rows and the budget of new
tokens too, so that a loop over many prompts compiles each size once.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.config import ModelConfig
from spirit_jax.core.errors import UserError
from spirit_jax.generation.sampling import Sampling, forbid, sample
from spirit_jax.model.llama import DTYPES, Cache, Llama, new_cache

MIN_PROMPT, NEW_STEP = 32, 32
ROWS = (1, 8, 64)
MAX_CACHE_BYTES = 2**31


@dataclasses.dataclass(frozen=True)
class Limits:
    """When to stop: after `max_new_tokens`, or at the id `eos` unless it is forbidden."""

    max_new_tokens: int
    eos: int

    def __post_init__(self):
        if not 1 <= self.max_new_tokens < 2**30:
            raise UserError(
                "max_new_tokens",
                self.max_new_tokens,
                "must be at least 1 and below 2^30",
                "the paper uses 50 for text, 200 to 300 for speech",
            )


def generate(
    llama: Llama,
    prompts: Sequence[np.ndarray],
    forbidden_V: np.ndarray,
    limits: Limits,
    sampling: Sampling,
    seed: int = 0,
) -> list[np.ndarray]:
    """Continues each prompt (int ids, at least one): int32 new ids, EOS left out, in the order of the
    prompts.

    forbidden_V: bool [V], ids never drawn. The same prompts and seed give the same ids; prompt i draws with a
    key of its own, (seed, i).
    """
    for prompt in prompts:
        if not len(prompt):
            raise UserError("prompt", "[]", "must hold at least one id", "start it with BOS")
    new = -(-limits.max_new_tokens // NEW_STEP) * NEW_STEP
    outputs: list[np.ndarray] = [np.zeros(0, np.int32)] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    most = _round_up(max(map(len, prompts), default=0), MIN_PROMPT)
    at = 0
    while at < len(order):
        slots = _round_up(len(prompts[order[at]]), MIN_PROMPT)
        # a size of its own is worth compiling only where it saves much
        slots = most if 4 * slots >= most else slots
        # for a short last batch too: empty rows cost less than compiling
        rows = choose_rows(len(prompts), llama.cfg, slots + new)
        group = order[at : at + rows]
        for i, ids in zip(
            group,
            _generate_group(llama, prompts, group, (rows, slots, new), forbidden_V, limits, sampling, seed),
        ):
            outputs[i] = ids
        at += rows
    return outputs


def choose_rows(wanted: int, cfg: ModelConfig, slots: int) -> int:
    """Rows of a batch: 1, 8 or 64, no more than needed and no more than the memory set aside for caches
    holds.
    """
    row_bytes = 2 * cfg.layers * slots * cfg.kv_heads * cfg.head_width * jnp.dtype(DTYPES[cfg.dtype]).itemsize
    enough = next((rows for rows in ROWS if rows >= wanted), ROWS[-1])
    return max(rows for rows in ROWS if rows == 1 or (rows <= enough and rows * row_bytes <= MAX_CACHE_BYTES))


def _generate_group(llama, prompts, group, shape, forbidden_V, limits, sampling, seed) -> list[np.ndarray]:
    rows, slots, new = shape
    tokens_BP, lengths_B = np.full((rows, slots), limits.eos, np.int32), np.ones(rows, np.int32)
    for row, i in enumerate(group):
        lengths_B[row] = len(prompts[i])
        tokens_BP[row, : lengths_B[row]] = prompts[i]
    numbers_B = np.zeros(rows, np.uint32)
    numbers_B[: len(group)] = group
    ids_BN, counts_B = _decode(
        llama,
        tokens_BP,
        lengths_B,
        np.arange(rows) < len(group),
        numbers_B,
        np.uint32(seed),
        forbidden_V,
        np.int32(limits.eos),
        np.int32(limits.max_new_tokens),
        np.float32(sampling.temperature),
        np.float32(sampling.top_p),
        new=new,
    )
    return [ids_N[:count] for ids_N, count in zip(np.asarray(ids_BN), np.asarray(counts_B)[: len(group)])]


def _round_up(count: int, least: int) -> int:
    """The smallest power of two times `least` that is not below `count`."""
    while least < count:
        least *= 2
    return least


@partial(jax.jit, static_argnames="new")
def _decode(
    llama,
    tokens_BP,
    lengths_B,
    live_B,
    numbers_B,
    seed,
    forbidden_V,
    eos,
    limit,
    temperature,
    top_p,
    *,
    new: int,
):
    """New ids int32 [B, new] and how many of each row count [B]; rows that are not live hold padding."""
    rows, slots = tokens_BP.shape
    keys_B = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), numbers_B)
    logits_BV, cache = _prefill(llama, tokens_BP, lengths_B, new_cache(llama.cfg, rows, slots + new))

    def goes_on(state):
        step, _, open_B, _, _ = state
        return (step < limit) & jnp.any(open_B)

    def advance(state):
        step, logits_BV, open_B, ids_BN, cache = state
        step_keys_B = jax.vmap(jax.random.fold_in, (0, None))(keys_B, step)
        next_B = jnp.where(
            open_B, sample(forbid(logits_BV, forbidden_V), step_keys_B, temperature, top_p), eos
        )
        ids_BN = jax.lax.dynamic_update_slice(ids_BN, next_B[:, None], (0, step))
        x_B1D, cache = llama.hidden(next_B[:, None], (lengths_B + step)[:, None], cache=cache)
        return step + 1, llama.logits(x_B1D)[:, 0], open_B & (next_B != eos), ids_BN, cache

    start = (jnp.int32(0), logits_BV, live_B, jnp.full((rows, new), eos, jnp.int32), cache)
    steps, _, _, ids_BN, _ = jax.lax.while_loop(goes_on, advance, start)
    ended_BN = jnp.cumsum(ids_BN == eos[None, None], axis=1) > 0
    return ids_BN, jnp.sum(~ended_BN & (jnp.arange(new) < steps)[None], axis=1)


def _prefill(
    llama: Llama, tokens_BP: jax.Array, lengths_B: jax.Array, cache: Cache
) -> tuple[jax.Array, Cache | None]:
    """Logits [B, V] after each prompt's last token, and the filled cache."""
    rows, slots = tokens_BP.shape
    positions_BP = jnp.broadcast_to(jnp.arange(slots, dtype=jnp.int32)[None], (rows, slots))
    x_BPD, filled = llama.hidden(tokens_BP, positions_BP, cache=cache)
    x_B1D = jnp.take_along_axis(x_BPD, (lengths_B - 1)[:, None, None], axis=1)
    return llama.logits(x_B1D)[:, 0], filled
