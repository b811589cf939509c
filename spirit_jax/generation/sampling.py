"""From logits to the next token. Shapes: B rows, V vocabulary rows, S slots of a row, N blocks of C ids."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from spirit_jax.core.errors import UserError

# all ids are equally likely long before; at far higher ones the quotients underflow in float32
MAX_TEMPERATURE = 1e6
BLOCK = 128  # ids whose probabilities are summed first, to find a draw without a running sum over all


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. Defaults: paper, section 4.

    temperature: 0 takes the likeliest id. top_p: draw from the fewest likeliest ids that have this
    probability together. top_k: draw from the `top_k` likeliest ids; None for all. With both, `top_p` is of
    what `top_k` leaves. repetition_penalty: logits of ids that the row contains are divided by it if they are
    positive, otherwise multiplied (Keskar et al. 2019).
    """

    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self):
        if not 0 <= self.temperature <= MAX_TEMPERATURE:
            raise UserError(
                "temperature",
                self.temperature,
                f"must be at least 0 and at most {MAX_TEMPERATURE:g}",
                "use 0 for greedy decoding, 0.8 for the paper's sampling",
            )
        if not 0 < self.top_p <= 1:
            fix = "use 0.95, or 1 to keep every token"
            raise UserError("top_p", self.top_p, "must be above 0 and at most 1", fix)
        if self.top_k is not None and not 1 <= self.top_k < 2**31:
            raise UserError("top_k", self.top_k, "counts ids, from 1", "leave it out to keep every token")
        if not 0 < self.repetition_penalty < math.inf:
            fix = "use 1 for none, 1.2 for a usual one"
            raise UserError("repetition_penalty", self.repetition_penalty, "must be above 0", fix)


GREEDY = Sampling(temperature=0.0)


def forbid(logits_BV: jax.Array, forbidden_BV: jax.Array) -> jax.Array:
    """The logits, -inf for each row's forbidden ids (bool)."""
    return jnp.where(forbidden_BV, -jnp.inf, logits_BV)


def penalize(
    logits_BV: jax.Array, tokens_BS: jax.Array, ends_B: jax.Array, penalty_B: jax.Array
) -> jax.Array:
    """The logits after the repetition penalty for the ids in the first ends_B slots of each row."""
    rows, slots = tokens_BS.shape
    said_BS = jnp.take_along_axis(logits_BV, tokens_BS, axis=1)
    said_BS = jnp.where(said_BS > 0, said_BS / penalty_B[:, None], said_BS * penalty_B[:, None])
    beyond = logits_BV.shape[1]  # dropped
    ids_BS = jnp.where(jnp.arange(slots)[None] < ends_B[:, None], tokens_BS, beyond)
    return logits_BV.at[jnp.arange(rows)[:, None], ids_BS].set(said_BS, mode="drop")


def best(logits_BV: jax.Array) -> jax.Array:
    """The likeliest id of each row, the first of equal ones: int32 [B]."""
    ids_1V = jnp.arange(logits_BV.shape[1], dtype=jnp.int32)[None]
    is_best_BV = logits_BV == jnp.max(logits_BV, axis=1, keepdims=True)
    # on a CPU `argmax` takes six times as long
    return jnp.min(jnp.where(is_best_BV, ids_1V, logits_BV.shape[1] - 1), axis=1)


def sample(
    logits_BV: jax.Array,
    keys_B: jax.Array,
    temperature_B: jax.Array,
    top_p_B: jax.Array,
    top_k_B: jax.Array,
) -> jax.Array:
    """Draws one id in each row with the row's own key: int32 [B]. Other rows have no influence.

    temperature_B, top_p_B: float32; top_k_B: int32, at least V for all ids; see `Sampling`. Ids of equal
    logits are kept or dropped together. Nothing is sorted: the least kept logit is found bit by bit.
    """
    scaled_BV = logits_BV / jnp.maximum(temperature_B, 1e-6)[:, None]
    probability_BV = jnp.exp(scaled_BV - jnp.max(scaled_BV, axis=1, keepdims=True))
    order_BV, size = _in_order(scaled_BV), logits_BV.shape[1]
    least_B = jax.lax.cond(
        jnp.any(top_k_B < size),
        lambda: _least_kept(order_BV, jnp.ones_like(scaled_BV), top_k_B.astype(jnp.float32)),
        lambda: jnp.zeros(len(top_k_B), jnp.uint32),
    )
    probability_BV = jnp.where(order_BV >= least_B[:, None], probability_BV, 0.0)
    wanted_B = jnp.minimum(top_p_B, 1.0) * _sum(probability_BV)
    least_B = _least_kept(order_BV, probability_BV, wanted_B)
    probability_BV = jnp.where(order_BV >= least_B[:, None], probability_BV, 0.0)
    drawn_B = _draw(probability_BV, jax.vmap(jax.random.uniform)(keys_B))
    return jnp.where(temperature_B <= 0, best(logits_BV), drawn_B)


def _draw(probability_BV: jax.Array, uniform_B: jax.Array) -> jax.Array:
    """The id at which the running sum passes a share of the whole sum: int32 [B]. Probabilities need not sum
    to 1.
    """
    rows, size = probability_BV.shape
    padded_BV = jnp.pad(probability_BV, ((0, 0), (0, -size % BLOCK)))
    blocks_BNC = padded_BV.reshape(rows, -1, BLOCK)
    block_B, left_B = _pass(jnp.sum(blocks_BNC, axis=2), uniform_B)
    block_BC = jnp.take_along_axis(blocks_BNC, block_B[:, None, None], axis=1)[:, 0]
    return block_B * BLOCK + _pass(block_BC, left_B)[0]


def _pass(weight_BX: jax.Array, share_B: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The place where the running sum passes a share of the whole, int32 [B], among those of weight above 0;
    and the share of that place's weight that is left, below 1.
    """
    running_BX = jnp.cumsum(weight_BX, axis=1)
    target_B1 = (share_B * running_BX[:, -1])[:, None]
    passed_B = jnp.sum((running_BX <= target_B1).astype(jnp.int32), axis=1)
    places_1X = jnp.arange(weight_BX.shape[1], dtype=jnp.int32)[None]
    last_B = jnp.max(jnp.where(weight_BX > 0, places_1X, 0), axis=1)  # where rounding takes the target beyond
    place_B1 = jnp.minimum(passed_B, last_B)[:, None]
    weight_B1 = jnp.take_along_axis(weight_BX, place_B1, axis=1)
    before_B1 = jnp.take_along_axis(running_BX, place_B1, axis=1) - weight_B1
    left_B1 = (target_B1 - before_B1) / weight_B1
    return place_B1[:, 0], jnp.clip(left_B1[:, 0], 0.0, 1.0)


def _in_order(x_BV: jax.Array) -> jax.Array:
    """uint32 in the order of the float32 values."""
    bits_BV = jax.lax.bitcast_convert_type(x_BV, jnp.uint32)
    top = jnp.uint32(1 << 31)
    return jnp.where(bits_BV >= top, ~bits_BV, bits_BV | top)


def _least_kept(order_BV: jax.Array, weight_BV: jax.Array, wanted_B: jax.Array) -> jax.Array:
    """The largest number so that the ids of this order or more have the wanted weight: uint32 [B]."""

    def try_bit(i: jax.Array, least_B: jax.Array) -> jax.Array:
        higher_B = least_B | (jnp.uint32(1 << 31) >> i.astype(jnp.uint32))
        weight_B = _sum(jnp.where(order_BV >= higher_B[:, None], weight_BV, 0.0))
        return jnp.where(weight_B >= wanted_B, higher_B, least_B)

    return jax.lax.fori_loop(0, 32, try_bit, jnp.zeros(len(wanted_B), jnp.uint32))


def _sum(x_BV: jax.Array) -> jax.Array:
    return jnp.sum(x_BV, axis=1)
