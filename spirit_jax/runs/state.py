"""What a step of training changes, and a checkpoint holds."""

import dataclasses
from typing import Any

import jax


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """A training's state, a pytree.

    step: int32 scalar, the number of updates made. model: a tree of modules and arrays. opt: optax's state,
    sharded like the parameters. guard: what skips harmful steps (`spirit_jax.training.guard`), None without.
    """

    step: jax.Array
    model: Any
    opt: Any
    guard: Any = None
