"""From logits to the next token. Shapes: B rows, V vocabulary rows."""

import dataclasses

import jax
import jax.numpy as jnp

from spirit_jax.core.errors import UserError

HOTTEST = 1e6  # all is equally likely long before; far beyond, float32 has no such quotients


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Temperature 0 is greedy. Defaults: paper section 4."""

    temperature: float = 0.8
    top_p: float = 0.95

    def __post_init__(self):
        if not 0 <= self.temperature <= HOTTEST:
            raise UserError(
                "temperature",
                self.temperature,
                f"must be at least 0 and at most {HOTTEST:g}",
                "use 0 for greedy decoding, 0.8 for the paper's sampling",
            )
        if not 0 < self.top_p <= 1:
            raise UserError(
                "top_p", self.top_p, "must be above 0 and at most 1", "use 0.95, or 1 to keep every token"
            )


GREEDY = Sampling(temperature=0.0)


def forbid(logits_BV: jax.Array, forbidden_V: jax.Array) -> jax.Array:
    """Logits in which the forbidden ids can never be drawn."""
    return jnp.where(forbidden_V[None], -jnp.inf, logits_BV.astype(jnp.float32))


def nucleus(logits_BV: jax.Array, top_p: jax.Array) -> jax.Array:
    """Keeps the fewest likeliest ids whose probabilities reach `top_p`, the likeliest always; the others
    become -inf. Ties stay together.
    """
    ordered_BV = jnp.sort(logits_BV, axis=-1, descending=True)
    probability_BV = jax.nn.softmax(ordered_BV, axis=-1)
    before_BV = jnp.cumsum(probability_BV, axis=-1) - probability_BV
    kept_B1 = jnp.sum(before_BV < top_p, axis=-1, keepdims=True)
    least_B1 = jnp.take_along_axis(ordered_BV, jnp.maximum(kept_B1 - 1, 0), axis=-1)
    return jnp.where(logits_BV >= least_B1, logits_BV, -jnp.inf)


def sample(logits_BV: jax.Array, keys_B: jax.Array, temperature: jax.Array, top_p: jax.Array) -> jax.Array:
    """Draws one id a row, int32 [B]; temperature and top_p are float32 scalars, so that changing them
    compiles nothing.

    Each row has its own key: what a row draws does not depend on its neighbours.
    """

    def draw(logits_BV: jax.Array) -> jax.Array:
        kept_BV = nucleus(logits_BV / jnp.maximum(temperature, 1e-6), top_p)
        return jax.vmap(jax.random.categorical)(keys_B, kept_BV).astype(jnp.int32)

    def take_best(logits_BV: jax.Array) -> jax.Array:
        return jnp.argmax(logits_BV, axis=-1).astype(jnp.int32)

    return jax.lax.cond(temperature > 0, draw, take_best, logits_BV)
