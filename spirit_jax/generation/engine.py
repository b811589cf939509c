"""Prefill and decode with a key/value cache, many prompts at a time.

Shapes: B rows, P prompt slots, N slots for new tokens, S = P + N cache slots, V vocabulary rows.

`prefill` reads prompts into a `DecodeState`. `step` generates one token in each row; `decode` runs many steps
in one call, on the device. Each compiles once for each shape of its arguments. `step` and `decode` donate the
state: they reuse its memory, so the state passed in can't be used afterwards. `generate` runs a list of
prompts to the end. For a model that is split over devices, call the first three under its mesh
(`sharding.use_mesh_of`), with rows that `data` and `fsdp` divide.

A row depends on its own state only. Rows may be at different positions.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.generation.prompt_batches import batch_prompts
from spirit_jax.generation.sampling import Sampling, forbid, sample
from spirit_jax.model.llama import Cache, Llama, new_cache
from spirit_jax.sharding import constrain, use_mesh_of

NEW_SLOTS = 32  # slots for new tokens are a multiple of it, so that few shapes are compiled


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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DrawRules:
    """How the next token is drawn, as arrays: changing a value compiles nothing.

    forbidden_V: bool, ids never drawn. eos: int32, the id that ends a row. temperature, top_p: float32; see
    `Sampling`.
    """

    forbidden_V: np.ndarray
    eos: np.int32
    temperature: np.float32
    top_p: np.float32


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DecodeState:
    """Rows in the middle of generation.

    cache: keys and values, [L, B, G, S, K]. logits_BV: of the next token, float32. lengths_B: int32, tokens
    of each prompt. keys_B: each row's random key. ids_BN: int32, new ids without EOS, of which the first
    counts_B (int32) are valid. open_B: bool, rows that have neither ended nor run out of slots.
    """

    cache: Cache
    logits_BV: jax.Array
    lengths_B: jax.Array
    keys_B: jax.Array
    ids_BN: jax.Array
    counts_B: jax.Array
    open_B: jax.Array


def make_rules(forbidden_V: np.ndarray, eos: int, sampling: Sampling) -> DrawRules:
    """The rules as arrays of fixed types. forbidden_V: bool [V]."""
    return DrawRules(forbidden_V, np.int32(eos), np.float32(sampling.temperature), np.float32(sampling.top_p))


@partial(jax.jit, static_argnames="new_slots")
def prefill(
    llama: Llama,
    tokens_BP: jax.Array | np.ndarray,
    lengths_B: jax.Array | np.ndarray,
    numbers_B: jax.Array | np.ndarray,
    seed: np.uint32,
    *,
    new_slots: int,
) -> DecodeState:
    """Reads prompts, padded on the right, and makes room for `new_slots` new tokens in each row.

    tokens_BP: int32 ids. lengths_B: int32; a row of length 0 is empty, and closed. numbers_B: uint32; a row's
    random key depends on `seed` and its number alone.
    """
    rows, slots = tokens_BP.shape
    positions_BP = jnp.broadcast_to(jnp.arange(slots, dtype=jnp.int32)[None], (rows, slots))
    cache = new_cache(llama.cfg, rows, slots + new_slots)
    # what padding writes behind a prompt is overwritten before it can be seen: see `model.attention`
    x_BPD, cache = llama.hidden(jnp.asarray(tokens_BP), positions_BP, cache=cache)
    last_B = jnp.maximum(lengths_B - 1, 0)
    x_B1D = jnp.take_along_axis(x_BPD, last_B[:, None, None], axis=1)
    return DecodeState(
        cache=cache,
        logits_BV=_next_logits(llama, x_B1D),
        lengths_B=jnp.asarray(lengths_B),
        keys_B=jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), numbers_B),
        ids_BN=jnp.zeros((rows, new_slots), jnp.int32),
        counts_B=jnp.zeros(rows, jnp.int32),
        open_B=jnp.asarray(lengths_B) > 0,
    )


@partial(jax.jit, donate_argnames="state")
def step(llama: Llama, state: DecodeState, rules: DrawRules) -> tuple[DecodeState, jax.Array]:
    """Draws the next token of each open row and feeds it to the model: the new state, and the ids, int32 [B].

    A row closes at EOS, or when its slots are full. A closed row gives EOS; its ids and its count stay.
    """
    return _advance(llama, state, rules)


@partial(jax.jit, donate_argnames="state")
def decode(llama: Llama, state: DecodeState, rules: DrawRules, count: int) -> DecodeState:
    """At most `count` calls of `step`, fewer if all rows close. `count` is no part of the compiled shape."""

    def is_unfinished(carry: tuple[jax.Array, DecodeState]) -> jax.Array:
        taken, state = carry
        return (taken < count) & jnp.any(state.open_B)

    def advance(carry: tuple[jax.Array, DecodeState]) -> tuple[jax.Array, DecodeState]:
        taken, state = carry
        return taken + 1, _advance(llama, state, rules)[0]

    return jax.lax.while_loop(is_unfinished, advance, (jnp.int32(0), state))[1]


def generate(
    llama: Llama,
    prompts: Sequence[np.ndarray],
    forbidden_V: np.ndarray,
    limits: Limits,
    sampling: Sampling,
    seed: int = 0,
) -> list[np.ndarray]:
    """Continues each prompt (int ids, at least one): int32 new ids without EOS, in the order of the prompts.

    forbidden_V: bool [V], ids never drawn. The same prompts and seed give the same ids: prompt i draws with
    the key (seed, i), whatever the other prompts are.
    """
    new_slots = -(-limits.max_new_tokens // NEW_SLOTS) * NEW_SLOTS
    rules = make_rules(forbidden_V, limits.eos, sampling)
    outputs: list[np.ndarray] = [np.zeros(0, np.int32)] * len(prompts)
    with use_mesh_of(llama):
        for batch in batch_prompts(prompts, llama.cfg, new_slots):
            state = prefill(llama, *batch, np.uint32(seed), new_slots=new_slots)
            state = decode(llama, state, rules, limits.max_new_tokens)
            ids_BN, counts_B = np.asarray(state.ids_BN), np.asarray(state.counts_B)
            for row in np.flatnonzero(batch.lengths_B):
                outputs[batch.numbers_B[row]] = ids_BN[row, : counts_B[row]]
    return outputs


def _next_logits(llama: Llama, x_B1D: jax.Array) -> jax.Array:
    """Float32 [B, V]; a row is whole on its device, where sampling sorts it."""
    return constrain(llama.logits(x_B1D)[:, 0], "batch", None)


def _advance(llama: Llama, state: DecodeState, rules: DrawRules) -> tuple[DecodeState, jax.Array]:
    rows, new_slots = state.ids_BN.shape
    keys_B = jax.vmap(jax.random.fold_in)(state.keys_B, state.counts_B)
    logits_BV = forbid(state.logits_BV, rules.forbidden_V)
    next_B = jnp.where(state.open_B, sample(logits_BV, keys_B, rules.temperature, rules.top_p), rules.eos)
    kept_B = state.open_B & (next_B != rules.eos)
    slots_B = jnp.where(kept_B, state.counts_B, new_slots)  # beyond the last slot: dropped
    positions_B = state.lengths_B + state.counts_B
    x_B1D, cache = llama.hidden(next_B[:, None], positions_B[:, None], cache=state.cache)
    counts_B = state.counts_B + kept_B.astype(jnp.int32)
    advanced = dataclasses.replace(
        state,
        cache=cache,
        logits_BV=_next_logits(llama, x_B1D),
        ids_BN=state.ids_BN.at[jnp.arange(rows), slots_B].set(next_B, mode="drop"),
        counts_B=counts_B,
        open_B=kept_B & (counts_B < new_slots),
    )
    return advanced, next_B
