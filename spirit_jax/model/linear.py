"""The matrix product of a linear layer, with gradients that XLA's CPU compiler computes without copying the
wide operand.

B rows, T tokens, D inputs, F outputs. JAX's own rule computes the weight's gradient as [F, D] and transposes
it. For that a CPU copies the gradient of the outputs in transposed order, even if it is the wider operand.
Here the narrower operand is transposed. On TPUs it makes no difference: the compiler chooses the layouts, and
spirit_base_7b_v6e_64 compiles to the same size and the same collectives either way.
"""

import jax
import jax.numpy as jnp


@jax.custom_vjp
def linear(x_BTD: jax.Array, weight_DF: jax.Array) -> jax.Array:
    """`x_BTD @ weight_DF`: [B, T, F]. Reverse-mode gradients only."""
    return x_BTD @ weight_DF


def _forward(x_BTD: jax.Array, weight_DF: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return linear(x_BTD, weight_DF), (x_BTD, weight_DF)


def _backward(saved: tuple[jax.Array, jax.Array], dy_BTF: jax.Array) -> tuple[jax.Array, jax.Array]:
    x_BTD, weight_DF = saved
    dx_BTD = dy_BTF @ weight_DF.T
    if x_BTD.shape[-1] <= dy_BTF.shape[-1]:
        return dx_BTD, jnp.einsum("BTD,BTF->DF", x_BTD, dy_BTF)
    return dx_BTD, jnp.einsum("BTF,BTD->FD", dy_BTF, x_BTD).T


linear.defvjp(_forward, _backward)
