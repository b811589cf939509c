"""From logits to the next token. Shapes: B rows, V vocabulary rows, S slots of a row, C candidates."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from spirit_jax.core.errors import UserError

# all ids are equally likely long before; at far higher ones the quotients underflow in float32
MAX_TEMPERATURE = 1e6
# the likeliest ids are looked at first, all of them only in a step where a row's draw may lie beyond
CANDIDATES = 128


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

    def apply(logits_BV: jax.Array) -> jax.Array:
        said_BS = jnp.take_along_axis(logits_BV, tokens_BS, axis=1)
        said_BS = jnp.where(said_BS > 0, said_BS / penalty_B[:, None], said_BS * penalty_B[:, None])
        beyond = logits_BV.shape[1]  # dropped
        ids_BS = jnp.where(jnp.arange(slots)[None] < ends_B[:, None], tokens_BS, beyond)
        return logits_BV.at[jnp.arange(rows)[:, None], ids_BS].set(said_BS, mode="drop")

    return jax.lax.cond(jnp.any(penalty_B != 1), apply, lambda logits_BV: logits_BV, logits_BV)


def sample(
    logits_BV: jax.Array,
    keys_B: jax.Array,
    temperature_B: jax.Array,
    top_p_B: jax.Array,
    top_k_B: jax.Array,
) -> jax.Array:
    """Draws one id in each row with the row's own key: int32 [B]. Other rows have no influence.

    temperature_B, top_p_B: float32; top_k_B: int32, at least V for all ids; see `Sampling`.
    """

    def draw(logits_BV: jax.Array) -> jax.Array:
        scaled_BV = logits_BV / jnp.maximum(temperature_B, 1e-6)[:, None]
        total_B = jax.nn.logsumexp(scaled_BV, axis=1)
        uniform_B = jax.vmap(jax.random.uniform)(keys_B)
        greedy_B = temperature_B <= 0

        def among(count: int) -> tuple[jax.Array, jax.Array]:
            values_BC, ids_BC = jax.lax.top_k(scaled_BV, count)
            place_B, sure_B = _pick(values_BC, total_B, uniform_B, top_p_B, top_k_B)
            return jnp.take_along_axis(ids_BC, place_B[:, None], axis=1)[:, 0], sure_B

        size = logits_BV.shape[1]
        found_B, sure_B = among(min(CANDIDATES, size))
        if size <= CANDIDATES:
            return found_B
        found_B = jax.lax.cond(
            jnp.all(sure_B | greedy_B),
            lambda: found_B,
            lambda: jnp.where(sure_B, found_B, among(size)[0]),
        )
        return jnp.where(greedy_B, _best(logits_BV), found_B)

    return jax.lax.cond(jnp.any(temperature_B > 0), draw, _best, logits_BV)


def _best(logits_BV: jax.Array) -> jax.Array:
    return jnp.argmax(logits_BV, axis=-1).astype(jnp.int32)


def _pick(
    values_BC: jax.Array, total_B: jax.Array, uniform_B: jax.Array, top_p_B: jax.Array, top_k_B: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The drawn candidate's place, int32 [B], and whether ids beyond the candidates could not have been drawn
    instead, bool [B].

    values_BC: the largest logits, in descending order. total_B: log of the sum of the exponentials of all.
    The draw is the place where the cumulative probability passes uniform_B, a share of what is kept.
    """
    count = values_BC.shape[1]
    ranks_BC = jnp.arange(count)[None]
    values_BC = jnp.where(ranks_BC < top_k_B[:, None], values_BC, -jnp.inf)
    cut_B = top_k_B <= count
    total_B = jnp.where(cut_B, jax.nn.logsumexp(values_BC, axis=1), total_B)
    probability_BC = jnp.exp(values_BC - total_B[:, None])
    cumulative_BC = jnp.cumsum(probability_BC, axis=1)
    kept_BC = (cumulative_BC - probability_BC < top_p_B[:, None]) & (probability_BC > 0)
    kept_BC = kept_BC | (ranks_BC == 0)
    whole_B = top_p_B >= 1
    mass_B = jnp.where(whole_B, 1.0, jnp.sum(jnp.where(kept_BC, probability_BC, 0.0), axis=1))
    target_B = uniform_B * mass_B
    passed_B = jnp.sum((cumulative_BC <= target_B[:, None]).astype(jnp.int32), axis=1)
    last_B = jnp.sum(kept_BC.astype(jnp.int32), axis=1) - 1
    reached_B = jnp.where(whole_B, target_B, top_p_B) < cumulative_BC[:, -1]
    return jnp.minimum(passed_B, last_B), reached_B | cut_B
