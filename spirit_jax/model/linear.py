"""The matrix product of a linear layer. Its weight's gradient has the weight's own type, and is computed
without copying the wide operand.

B rows, T tokens, N tokens of all rows, D inputs, F outputs, V rows of a table.

The weight is cast to the activations' type inside the product. So the gradient of a float32 weight is a
float32 product, and devices sum it in float32. If the cast were outside, each device would round its part to
bfloat16 before the sum.

JAX's own rule computes the weight's gradient as [F, D] and transposes it. For that a CPU copies the gradient
of the outputs in transposed order, even if it is the wider operand. Here the narrower operand is transposed.
On TPUs it makes no difference: the compiler chooses the layouts, and spirit_base_7b_v6e_64 compiles to the
same size and the same collectives either way.
"""

from typing import Protocol

import jax
import jax.numpy as jnp

from spirit_jax.config import Dtype
from spirit_jax.model.stripes import Striped, multiply
from spirit_jax.sharding import constrain, mesh_sizes, platform

DTYPES = {Dtype.FLOAT32: jnp.float32, Dtype.BFLOAT16: jnp.bfloat16}
Axes = tuple[str | None, str | None]
# of a table for few rows on a CPU (measured for 1 to 64 rows and blocks of 128 to 2048)
TABLE_BLOCK, FEW_ROWS = 2048, range(2, 33)


class Int8(Protocol):
    """An array in int8 with scales that broadcast against it (qwix's QArray; `spirit_jax.model.int8`)."""

    qvalue: jax.Array
    scale: jax.Array


Weight = jax.Array | Int8 | Striped


def linear(x_BTD: jax.Array, weight_DF: Weight, axes: Axes | None = None) -> jax.Array:
    """`x_BTD @ weight_DF` in the type of x: [B, T, F]. Reverse-mode gradients only, and none of int8.

    axes: names of the weight's axes while it is used; the others are gathered, after the cast. None: the
    compiler decides.
    """
    if isinstance(weight_DF, jax.Array):
        return _product(x_BTD, weight_DF, axes)
    if isinstance(weight_DF, Striped):
        return _by_stripes(x_BTD, weight_DF, x_BTD.dtype)
    return (x_BTD @ weight_DF.qvalue.astype(x_BTD.dtype)) * weight_DF.scale[None].astype(x_BTD.dtype)


def widen(weight: Weight, dtype: jnp.dtype) -> jax.Array:
    """A table [V, D]: an int8 one in `dtype`, others in their type."""
    if isinstance(weight, jax.Array):
        return weight
    if isinstance(weight, Striped):
        return weight.whole().T
    return weight.qvalue.astype(dtype) * weight.scale.astype(dtype)


def take_rows(table_VD: jax.Array | Int8, ids_BT: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """The rows of a table, in `dtype`: [B, T, D]."""
    if isinstance(table_VD, jax.Array):
        return table_VD[ids_BT].astype(dtype)
    return table_VD.qvalue[ids_BT].astype(dtype) * table_VD.scale[ids_BT].astype(dtype)


def _linear(x_BTD: jax.Array, weight_DF: jax.Array, axes: Axes | None = None) -> jax.Array:
    return x_BTD @ _used(weight_DF, x_BTD.dtype, axes)


def against_table(x_BTD: jax.Array, table_VD: Weight) -> jax.Array:
    """Products of each x with each row of a table in the type of x, summed in float32: [B, T, V].

    For few x a CPU would spend most of the time on packing the whole table. So it takes a block after
    another, which stays in its cache.
    """
    if isinstance(table_VD, Striped):
        return _by_stripes(x_BTD, table_VD, jnp.float32)
    if not isinstance(table_VD, jax.Array):
        whole_VD = table_VD.qvalue.astype(x_BTD.dtype)
        return _against_whole(x_BTD, whole_VD) * table_VD.scale.T[None].astype(jnp.float32)
    table_VD = table_VD.astype(x_BTD.dtype)
    rows, length, width = x_BTD.shape
    few = rows * length in FEW_ROWS and len(table_VD) % TABLE_BLOCK == 0
    if not few or platform() != "cpu" or max(mesh_sizes().values()) > 1:
        return _against_whole(x_BTD, table_VD)
    x_ND = x_BTD.reshape(-1, width)

    def against_block(block_VD: jax.Array) -> jax.Array:
        return jnp.einsum("VD,ND->VN", block_VD, x_ND, preferred_element_type=jnp.float32)

    y_VN = jax.lax.map(against_block, table_VD.reshape(-1, TABLE_BLOCK, width)).reshape(len(table_VD), -1)
    return y_VN.T.reshape(rows, length, -1)


def _by_stripes(x_BTD: jax.Array, weight: Striped, dtype: jnp.dtype) -> jax.Array:
    rows, length, width = x_BTD.shape
    return multiply(x_BTD.reshape(-1, width), weight, dtype).reshape(rows, length, -1)


def _against_whole(x_BTD: jax.Array, table_VD: jax.Array) -> jax.Array:
    return jnp.einsum("BTD,VD->BTV", x_BTD, table_VD, preferred_element_type=jnp.float32)


_product = jax.custom_vjp(_linear, nondiff_argnums=(2,))


def _forward(
    x_BTD: jax.Array, weight_DF: jax.Array, axes: Axes | None
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _linear(x_BTD, weight_DF, axes), (x_BTD, weight_DF)


def _backward(
    axes: Axes | None, saved: tuple[jax.Array, jax.Array], dy_BTF: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x_BTD, weight_DF = saved
    dx_BTD = dy_BTF @ _used(weight_DF, x_BTD.dtype, axes).T
    if x_BTD.shape[-1] <= dy_BTF.shape[-1]:
        dw_DF = _sum_of_products("BTD,BTF->DF", x_BTD, dy_BTF, weight_DF.dtype)
    else:
        dw_FD = _sum_of_products("BTF,BTD->FD", dy_BTF, x_BTD, weight_DF.dtype)
        if platform() == "cpu":  # where XLA would swap the operands instead, which takes twice as long
            dw_FD = jax.lax.optimization_barrier(dw_FD)
        dw_DF = dw_FD.T
    return dx_BTD, dw_DF if axes is None else constrain(dw_DF, *axes)


_product.defvjp(_forward, _backward)


def _used(weight_DF: jax.Array, dtype: jnp.dtype, axes: Axes | None) -> jax.Array:
    weight_DF = weight_DF.astype(dtype)
    return weight_DF if axes is None else constrain(weight_DF, *axes)


def _sum_of_products(axes: str, a: jax.Array, b: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """An einsum whose result was never rounded to a narrower type than `dtype`."""
    if platform() == "cpu":  # which has no product of bfloat16 with a float32 result in all layouts
        a, b = a.astype(dtype), b.astype(dtype)
    return jnp.einsum(axes, a, b, preferred_element_type=dtype)
