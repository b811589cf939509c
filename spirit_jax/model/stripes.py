"""Matrices cut into stripes of columns, for products with few rows on a CPU.

N rows of all, D inputs, F outputs, C columns of a stripe, S stripes.

The kernel of a product with few rows goes down the columns of the weight, a few cache lines wide. In a matrix
that is stored row by row each step of it begins another page, and nothing is read ahead. In a stripe, what it
reads next is next in memory.
"""

import dataclasses
from functools import partial
from types import EllipsisType

import jax
import jax.numpy as jnp
from flax import nnx

STRIPE = 64  # columns of YNNPACK's kernel
# XLA runs independent products in more than one thread if there are more than 8. For smaller matrices the
# products take less time than handing them over.
PARTS, LARGE = 16, 2**22
# more rows than these are multiplied by the matrix as a whole
MOST_ROWS = 64


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Striped:
    """A matrix [D, F] as arrays [S, D, C] of stripes, one after another. shape: of the weight, which may have
    more axes.
    """

    parts: tuple[jax.Array, ...]
    shape: tuple[int, ...] = dataclasses.field(metadata={"static": True})

    def __getitem__(self, index: EllipsisType) -> "Striped":
        """The same: a parameter gives its value by `[...]`."""
        return self

    def reshape(self, *shape: int) -> "Striped":
        """The same with another `shape`; only the matrix counts in products."""
        return dataclasses.replace(self, shape=shape)

    def whole(self) -> jax.Array:
        """The weight, stored row by row."""
        stripes_SDC = jnp.concatenate(self.parts)
        return stripes_SDC.transpose(1, 0, 2).reshape(self.shape)


def stripe(matrix_DF: jax.Array, shape: tuple[int, ...] | None = None) -> Striped | jax.Array:
    """The matrix in stripes, or as it is if they do not divide it. shape: of the weight, if another."""
    inputs, outputs = matrix_DF.shape
    if outputs % STRIPE:
        return matrix_DF.reshape(shape or matrix_DF.shape)
    stripes_SDC = matrix_DF.reshape(inputs, -1, STRIPE).transpose(1, 0, 2)
    parts = PARTS if matrix_DF.size >= LARGE and len(stripes_SDC) % PARTS == 0 else 1
    return Striped(tuple(jnp.split(stripes_SDC, parts)), shape or matrix_DF.shape)


def multiply(x_ND: jax.Array, weight: Striped, dtype: jnp.dtype) -> jax.Array:
    """`x_ND @ weight` with factors in the type of x, summed in `dtype`: [N, F]."""
    rows, product = len(x_ND), partial(jnp.einsum, preferred_element_type=dtype)
    if rows > MOST_ROWS:
        return product("ND,DF->NF", x_ND, weight.whole().astype(x_ND.dtype))
    # of one row XLA would not make a matrix product
    x_ND = jnp.pad(x_ND, ((0, 1), (0, 0))) if rows == 1 else x_ND
    parts = [part.astype(x_ND.dtype) for part in weight.parts]
    x_SND = jnp.broadcast_to(x_ND[None], (len(parts[0]), *x_ND.shape))
    y_SNC = jnp.concatenate([product("SND,SDC->SNC", x_SND, part) for part in parts])
    return y_SNC[:, :rows].transpose(1, 0, 2).reshape(rows, -1)


def stacked(layers: nnx.Module) -> nnx.Module:
    """The layers of a model as one module, stacked, with whole matrices; a list of them is such as
    `model.cpu_weights` makes.
    """
    if not isinstance(layers, nnx.List):
        return layers
    blocks = [jax.tree.map(_whole, block, is_leaf=lambda x: isinstance(x, Striped)) for block in layers]
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *blocks)


def _whole(weight: Striped | jax.Array) -> jax.Array:
    return weight.whole() if isinstance(weight, Striped) else weight
