"""The matrix product of a linear layer, with its gradients written so that XLA's CPU compiler needn't move
the wide side.

B rows, T tokens, D inputs, F outputs. JAX's own rule asks for the weight's gradient as [F, D] and turns it
afterwards, for which a CPU copies the outputs' gradient in turned order, whichever side is the wider. Here
the narrower side is the one that is turned. The TPU compiler, which chooses layouts
itself, made spirit_base_7b_v6e_64 as large and with the same collectives either way.
"""

import jax
import jax.numpy as jnp


@jax.custom_vjp
def product(x_BTD: jax.Array, weight_DF: jax.Array) -> jax.Array:
    """`x_BTD @ weight_DF`: [B, T, F]. Reverse-mode gradients only."""
    return x_BTD @ weight_DF


def _forward(x_BTD: jax.Array, weight_DF: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return product(x_BTD, weight_DF), (x_BTD, weight_DF)


def _backward(saved: tuple[jax.Array, jax.Array], dy_BTF: jax.Array) -> tuple[jax.Array, jax.Array]:
    x_BTD, weight_DF = saved
    dx_BTD = dy_BTF @ weight_DF.T
    if x_BTD.shape[-1] <= dy_BTF.shape[-1]:
        return dx_BTD, jnp.einsum("BTD,BTF->DF", x_BTD, dy_BTF)
    return dx_BTD, jnp.einsum("BTF,BTD->FD", dy_BTF, x_BTD).T


product.defvjp(_forward, _backward)
