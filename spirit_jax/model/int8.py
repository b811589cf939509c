"""Weights of one byte each: int8 with a scale for each output of a matrix, by qwix.

Activations, norms and the cache keep their type; a product's weight is widened where it is used. So a 7B
model takes 6.3 GiB in place of 12.6.
"""

import importlib
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from spirit_jax.core.errors import UserError
from spirit_jax.model.llama import Llama, is_param


def quantize_weights(llama: Llama) -> Llama:
    """The model with its matrices in int8, its tables included. UserError where qwix is not installed."""
    quantize = _require_qwix().quantize

    def of_matrix(variable: nnx.Variable) -> nnx.Variable:
        axes = variable.get_metadata("axes")
        if "norm" in axes:
            return variable
        outputs = [i for i, axis in enumerate(axes) if i not in _inputs(axes)]
        value = jax.jit(lambda w: quantize(w, jnp.int8, channelwise_axes=outputs))(variable[...])
        return nnx.Param(value, axes=axes, hijax=False)

    return jax.tree.map(of_matrix, llama, is_leaf=is_param)


def _inputs(axes: tuple[str, ...]) -> range:
    """The axes over which a product sums: the first ones of a layer's matrix, the last one of a table."""
    if axes[0] == "vocab":
        return range(1, 2)
    return range(1, len(axes) - 1) if axes[-1] == "width" else range(1, 2)


def _require_qwix() -> Any:
    try:
        return importlib.import_module("qwix")
    except ImportError as error:
        rule = "is not installed, and int8 weights need it"
        raise UserError("package", "qwix", rule, "pip install -r requirements-int8.txt") from error
