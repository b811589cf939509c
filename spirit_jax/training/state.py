"""The state before the first step, as arrays or as shapes with shardings."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from spirit_jax.model.llama import Llama, is_param
from spirit_jax.runs.state import TrainState
from spirit_jax.sharding import place_axes
from spirit_jax.training.guard import Guard


def make_state(model: Llama, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step."""
    return TrainState(jnp.zeros((), jnp.int32), model, optimizer.init(model), Guard.new())


def abstract_state(model: Llama, optimizer: optax.GradientTransformation, mesh: Mesh) -> TrainState:
    """The state as shapes with shardings, from a model or its abstract: every copy of a parameter is split
    like it.

    Call it outside `jax.set_mesh`.
    """

    def place(leaf: Any) -> Any:
        def shape_of(array: Any) -> jax.ShapeDtypeStruct:
            whole = NamedSharding(mesh, PartitionSpec())
            sharding = place_axes(mesh, leaf.get_metadata("axes"), array.shape) if is_param(leaf) else whole
            return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)

        return jax.tree.map(shape_of, leaf)

    return jax.tree.map(place, jax.eval_shape(lambda m: make_state(m, optimizer), model), is_leaf=is_param)
