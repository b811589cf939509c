"""The weights of a model laid out for decoding on a CPU: each layer's by themselves, its matrices in stripes.

A model whose layers are stacked would copy them out of the stack in every call.
"""

import math

import jax
from flax import nnx

from spirit_jax.model.cache import is_unrolled
from spirit_jax.model.llama import Llama, is_param
from spirit_jax.model.stripes import Striped, stripe
from spirit_jax.sharding import mesh_sizes, platform, use_mesh_of


def lay_out(llama: Llama) -> Llama:
    """The same model for decoding. The one given if it runs on another device or on several, if it is a loop
    over its layers, or in int8. A tied model gets a head, since its embedding is also looked up.
    """
    with use_mesh_of(llama):
        if platform() != "cpu" or max(mesh_sizes().values()) > 1:
            return llama
        if not is_unrolled(llama.cfg) or not isinstance(llama.output_VD, jax.Array):
            return llama
        return jax.jit(_in_stripes)(llama)


def _in_stripes(llama: Llama) -> Llama:
    blocks, output_VD = llama.blocks(), llama.output_VD
    assert blocks is not None
    assert isinstance(output_VD, jax.Array)
    laid_out = jax.tree.map(lambda variable: variable, llama, is_leaf=is_param)
    laid_out.layers = nnx.List([jax.tree.map(_of_layer, block, is_leaf=is_param) for block in blocks])
    head = stripe(output_VD.T)
    if isinstance(head, Striped):
        laid_out.head_VD = nnx.data(nnx.Param(head, axes=("vocab", "width"), hijax=False))
    return laid_out


def _of_layer(variable: nnx.Variable) -> nnx.Variable:
    """A layer's variable, its matrix in stripes; norms as they are."""
    weight, axes = variable[...], variable.get_metadata("axes")
    if "norm" in axes:
        return variable
    inputs = weight.ndim - 1 if axes[-1] == "width" else 1
    matrix_DF = weight.reshape(math.prod(weight.shape[:inputs]), -1)
    return variable.copy(value=stripe(matrix_DF, weight.shape))
