"""Steps that would do harm are left out: a loss or gradient that is not finite, or a gradient that towers
over those before.

All inside the compiled step: a step that is left out changes neither weights nor moments, and costs nothing
more to check.
"""

import dataclasses

import jax
import jax.numpy as jnp

SPIKE = 10.0  # times the mean gradient norm: a choice
MEMORY = 100  # steps over which that mean is taken: a choice
FAMILIAR = 20  # steps before which nothing counts as a spike: a choice
LIMIT = 10  # steps left out in a row that end a run: a choice


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Guard:
    """What steps so far tell, scalars. mean_norm: float32, running mean of the gradient norm over steps that
    counted; counted, skipped, in_a_row: int32, steps made, left out, and left out since the last one made.
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
    """Whether a step with this loss and gradient norm is to be made, a bool scalar, and the guard
    after it.
    """
    spike = (guard.counted >= FAMILIAR) & (norm > SPIKE * guard.mean_norm)
    good = jnp.isfinite(loss) & jnp.isfinite(norm) & ~spike
    weight = 1.0 / jnp.minimum(guard.counted + 1, MEMORY).astype(jnp.float32)
    mean_norm = jnp.where(good, guard.mean_norm + weight * (norm - guard.mean_norm), guard.mean_norm)
    made, left_out = good.astype(jnp.int32), (~good).astype(jnp.int32)
    return good, Guard(
        mean_norm, guard.counted + made, guard.skipped + left_out, (guard.in_a_row + 1) * left_out
    )
