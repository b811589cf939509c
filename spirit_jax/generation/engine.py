"""Prefill and decode with a key/value cache, many rows at a time, on the device.

Shapes: B rows, P prompt slots, S slots of a row in all, V vocabulary rows.

`prefill` reads prompts into a `DecodeState`. `decode` generates tokens in each row, many in one call.
`insert` puts another row into a state, between two calls of `decode`. Each compiles once for each shape of
its arguments. `decode`, `insert` and `close` donate the state: they reuse its memory, so the state passed in
can't be used afterwards. For a model that is split over devices, call them under its mesh
(`sharding.use_mesh_of`), with rows that `data` and `fsdp` divide.

A row depends on its own state and rules only. Rows may be at different positions.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.generation.sampling import best, forbid, penalize, sample
from spirit_jax.model.cache import Cache, drop_row, new_cache
from spirit_jax.model.llama import Block, Llama
from spirit_jax.sharding import constrain


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DrawRules:
    """How each row's next token is drawn, as arrays: changing a value compiles nothing.

    forbidden_BV: bool, ids never drawn. eos_B: int32, the id that ends a row, unless it is forbidden.
    limit_B: int32, new tokens at most. temperature_B, top_p_B, penalty_B: float32, and top_k_B, int32: see
    `Sampling`.
    """

    forbidden_BV: jax.Array | np.ndarray
    eos_B: jax.Array | np.ndarray
    limit_B: jax.Array | np.ndarray
    temperature_B: jax.Array | np.ndarray
    top_p_B: jax.Array | np.ndarray
    top_k_B: jax.Array | np.ndarray
    penalty_B: jax.Array | np.ndarray


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DecodeState:
    """Rows in the middle of generation. A token's slot is its position.

    cache: keys and values, see `model.llama`. logits_BV: of the next token, float32. tokens_BS: int32 ids, of
    which the first lengths_B (int32) are the prompt, and the next counts_B (int32) are new, without EOS.
    log_probs_BS: float32, of the new ids, in nats, by the model alone: at temperature 1, nothing forbidden or
    penalized. keys_B: each row's random key. open_B: bool, rows that have neither ended nor reached their
    limit.
    """

    cache: Cache
    logits_BV: jax.Array
    tokens_BS: jax.Array
    log_probs_BS: jax.Array
    lengths_B: jax.Array
    counts_B: jax.Array
    keys_B: jax.Array
    open_B: jax.Array


@partial(jax.jit, static_argnames="slots")
def prefill(
    llama: Llama,
    tokens_BP: jax.Array | np.ndarray,
    lengths_B: jax.Array | np.ndarray,
    seeds_B: jax.Array | np.ndarray,
    draws_B: jax.Array | np.ndarray,
    *,
    slots: int,
) -> DecodeState:
    """Reads prompts, padded on the right, into rows of `slots` slots.

    tokens_BP: int32 ids. lengths_B: int32; a row of length 0 is empty, and closed. seeds_B, draws_B: uint32;
    a row's random key depends on these two alone.
    """
    rows, prompt_slots = tokens_BP.shape
    positions_BP = jnp.broadcast_to(jnp.arange(prompt_slots, dtype=jnp.int32)[None], (rows, prompt_slots))
    cache = new_cache(llama.cfg, rows, slots)
    # what padding writes behind a prompt is overwritten before it can be seen: see `model.attention`
    x_BPD, cache = llama.hidden(jnp.asarray(tokens_BP), positions_BP, cache=cache)
    last_B = jnp.maximum(lengths_B - 1, 0)
    x_B1D = jnp.take_along_axis(x_BPD, last_B[:, None, None], axis=1)
    return DecodeState(
        cache=cache,
        logits_BV=_next_logits(llama, x_B1D),
        tokens_BS=jnp.pad(jnp.asarray(tokens_BP), ((0, 0), (0, slots - prompt_slots))),
        log_probs_BS=jnp.zeros((rows, slots), jnp.float32),
        lengths_B=jnp.asarray(lengths_B),
        counts_B=jnp.zeros(rows, jnp.int32),
        keys_B=jax.vmap(lambda seed, draw: jax.random.fold_in(jax.random.key(seed), draw))(seeds_B, draws_B),
        open_B=jnp.asarray(lengths_B) > 0,
    )


@partial(jax.jit, donate_argnames="state")
def decode(llama: Llama, state: DecodeState, rules: DrawRules, count: int) -> DecodeState:
    """Generates `count` tokens in each open row, fewer where a row closes: at EOS or at its limit.

    `count` is no part of the compiled shape.
    """

    blocks = llama.blocks()

    def is_unfinished(carry: tuple[jax.Array, DecodeState]) -> jax.Array:
        taken, state = carry
        return (taken < count) & jnp.any(state.open_B & (state.counts_B + 1 < rules.limit_B))

    def advance(carry: tuple[jax.Array, DecodeState]) -> tuple[jax.Array, DecodeState]:
        taken, state = carry
        return taken + 1, _read_new(llama, blocks, *_draw(state, rules))

    start = dataclasses.replace(state, cache=drop_row(state.cache))
    taken, end = jax.lax.while_loop(is_unfinished, advance, (jnp.int32(0), start))
    cache = jax.tree.map(lambda old, new: new.reshape(old.shape), state.cache, end.cache)
    state = dataclasses.replace(end, cache=cache)
    # the last token of a row is drawn, but not read: nothing comes after it
    last_B = state.open_B & (state.counts_B + 1 >= rules.limit_B) & (taken < count)
    drawn, _ = _draw(dataclasses.replace(state, open_B=last_B), rules)
    return dataclasses.replace(drawn, open_B=drawn.open_B | (state.open_B & ~last_B))


@partial(jax.jit, donate_argnames=("state", "rules"))
def insert(
    state: DecodeState, rules: DrawRules, new: DecodeState, new_rules: DrawRules, row: int
) -> tuple[DecodeState, DrawRules]:
    """The state and its rules with the first row of `new` and of `new_rules` in place of the row `row`. Both
    states have equally many slots. `row` is no part of the compiled shape.
    """

    def put(axis: int):
        return lambda old, one: jax.lax.dynamic_update_slice_in_dim(
            old, jax.lax.slice_in_dim(jnp.asarray(one), 0, 1, axis=axis), row, axis
        )

    cache = jax.tree.map(lambda old, one: put(old.ndim - 4)(old, one), state.cache, new.cache)
    others = {
        field.name: put(0)(getattr(state, field.name), getattr(new, field.name))
        for field in dataclasses.fields(state)
        if field.name != "cache"
    }
    return DecodeState(cache=cache, **others), jax.tree.map(put(0), rules, new_rules)


@partial(jax.jit, donate_argnames="state")
def close(state: DecodeState, closed_B: jax.Array | np.ndarray) -> DecodeState:
    """The state with these rows closed (bool): they generate nothing more."""
    return dataclasses.replace(state, open_B=state.open_B & ~jnp.asarray(closed_B))


def _draw(state: DecodeState, rules: DrawRules) -> tuple[DecodeState, jax.Array]:
    """Draws the next token of each open row: the state with it, and the ids to be read, int32 [B]."""
    rows, slots = state.tokens_BS.shape
    # not in `draw`: there they make a step of eight greedy rows 6 % slower on a CPU
    keys_B = jax.vmap(jax.random.fold_in)(state.keys_B, state.counts_B)
    ends_B = state.lengths_B + state.counts_B

    def take_best() -> jax.Array:
        return best(forbid(state.logits_BV, rules.forbidden_BV))

    def draw() -> jax.Array:
        logits_BV = penalize(state.logits_BV, state.tokens_BS, ends_B, rules.penalty_B)
        logits_BV = forbid(logits_BV, rules.forbidden_BV)
        return sample(logits_BV, keys_B, rules.temperature_B, rules.top_p_B, rules.top_k_B)

    # greedy rows pay for nothing else
    plain = jnp.all((rules.temperature_B <= 0) & (rules.penalty_B == 1))
    drawn_B = jax.lax.cond(plain, take_best, draw)
    next_B = jnp.where(state.open_B, drawn_B, rules.eos_B)
    kept_B = state.open_B & (next_B != rules.eos_B)
    places = jnp.arange(rows), jnp.where(kept_B, ends_B, slots)  # beyond the last slot: dropped
    logit_B = jnp.take_along_axis(state.logits_BV, next_B[:, None], axis=1)[:, 0]
    log_prob_B = logit_B - jax.nn.logsumexp(state.logits_BV, axis=1)
    counts_B = state.counts_B + kept_B.astype(jnp.int32)
    drawn = dataclasses.replace(
        state,
        tokens_BS=state.tokens_BS.at[places].set(next_B, mode="drop"),
        log_probs_BS=state.log_probs_BS.at[places].set(log_prob_B, mode="drop"),
        counts_B=counts_B,
        open_B=kept_B & (counts_B < rules.limit_B),
    )
    return drawn, next_B


def _read_new(llama: Llama, blocks: list[Block] | None, state: DecodeState, next_B: jax.Array) -> DecodeState:
    """Feeds each row's newest token to the model."""
    positions_B = jnp.maximum(state.lengths_B + state.counts_B - 1, 0)
    places = next_B[:, None], positions_B[:, None]
    x_B1D, cache = llama.hidden(*places, cache=state.cache, blocks=blocks)
    return dataclasses.replace(state, cache=cache, logits_BV=_next_logits(llama, x_B1D))


def _next_logits(llama: Llama, x_B1D: jax.Array) -> jax.Array:
    """Float32 [B, V]; a row is whole on its device, where sampling sorts it."""
    return constrain(llama.logits(x_B1D)[:, 0], "batch", None)
