"""From logits to the next token. Shapes: B rows, V vocabulary rows."""

import dataclasses

import jax
import jax.numpy as jnp

from spirit_jax.core.errors import UserError

# all ids are equally likely long before; at far higher ones the quotients underflow in float32
MAX_TEMPERATURE = 1e6


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Temperature and nucleus sampling; temperature 0 takes the likeliest id. Defaults: paper, section 4."""

    temperature: float = 0.8
    top_p: float = 0.95

    def __post_init__(self):
        if not 0 <= self.temperature <= MAX_TEMPERATURE:
            raise UserError(
                "temperature",
                self.temperature,
                f"must be at least 0 and at most {MAX_TEMPERATURE:g}",
                "use 0 for greedy decoding, 0.8 for the paper's sampling",
            )
        if not 0 < self.top_p <= 1:
            raise UserError(
                "top_p", self.top_p, "must be above 0 and at most 1", "use 0.95, or 1 to keep every token"
            )


GREEDY = Sampling(temperature=0.0)


def forbid(logits_BV: jax.Array, forbidden_V: jax.Array) -> jax.Array:
    """The logits, -inf for the forbidden ids (bool [V])."""
    return jnp.where(forbidden_V[None], -jnp.inf, logits_BV)


def nucleus(logits_BV: jax.Array, top_p: jax.Array) -> jax.Array:
    """Logits of the fewest likeliest ids whose probabilities reach `top_p`, -inf for the others.

    The likeliest id is always kept. Ids of equal logits are kept or dropped together.
    """
    ordered_BV = jnp.sort(logits_BV, axis=-1, descending=True)
    probability_BV = jax.nn.softmax(ordered_BV, axis=-1)
    before_BV = jnp.cumsum(probability_BV, axis=-1) - probability_BV
    kept_B1 = jnp.sum(before_BV < top_p, axis=-1, keepdims=True)
    least_B1 = jnp.take_along_axis(ordered_BV, jnp.maximum(kept_B1 - 1, 0), axis=-1)
    return jnp.where(logits_BV >= least_B1, logits_BV, -jnp.inf)


def sample(logits_BV: jax.Array, keys_B: jax.Array, temperature: jax.Array, top_p: jax.Array) -> jax.Array:
    """Draws one id in each row with the row's own key: int32 [B]. Other rows have no influence.

    temperature, top_p: float32 scalars, see `Sampling`; changing them compiles nothing.
    """

    def draw(logits_BV: jax.Array) -> jax.Array:
        kept_BV = nucleus(logits_BV / jnp.maximum(temperature, 1e-6), top_p)
        return jax.vmap(jax.random.categorical)(keys_B, kept_BV).astype(jnp.int32)

    def take_best(logits_BV: jax.Array) -> jax.Array:
        return jnp.argmax(logits_BV, axis=-1).astype(jnp.int32)

    return jax.lax.cond(temperature > 0, draw, take_best, logits_BV)
