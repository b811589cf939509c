"""Harmful steps are skipped: those whose loss or gradient is not finite, or whose gradient is many times
larger than before.

All of it is part of the compiled step: a skipped step changes neither weights nor moments, and the check
costs nothing more.
"""

import dataclasses

import jax
import jax.numpy as jnp

SPIKE = 10.0  # times the mean gradient norm: our choice
MEMORY = 100  # steps over which that mean is taken: our choice
FAMILIAR = 20  # steps before which nothing counts as a spike: our choice
LIMIT = 10  # skipped steps in a row that end a run: our choice


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Guard:
    """What the steps so far showed, scalars. mean_norm: float32, running mean of the gradient norm over steps
    that were made; counted, skipped, in_a_row: int32, steps made, skipped, and skipped since the last one
    made.
    """

    mean_norm: jax.Array
    counted: jax.Array
    skipped: jax.Array
    in_a_row: jax.Array

    @classmethod
    def new(cls) -> "Guard":
        """Before the first step."""
        return cls(jnp.zeros((), jnp.float32), *(jnp.zeros((), jnp.int32) for _ in range(3)))


def judge(guard: Guard, loss: jax.Array, norm: jax.Array) -> tuple[jax.Array, Guard]:
    """Whether to make a step with this loss and gradient norm, a bool scalar, and the guard after it."""
    spike = (guard.counted >= FAMILIAR) & (norm > SPIKE * guard.mean_norm)
    good = jnp.isfinite(loss) & jnp.isfinite(norm) & ~spike
    weight = 1.0 / jnp.minimum(guard.counted + 1, MEMORY).astype(jnp.float32)
    mean_norm = jnp.where(good, guard.mean_norm + weight * (norm - guard.mean_norm), guard.mean_norm)
    made, skipped = good.astype(jnp.int32), (~good).astype(jnp.int32)
    return good, Guard(
        mean_norm, guard.counted + made, guard.skipped + skipped, (guard.in_a_row + 1) * skipped
    )
