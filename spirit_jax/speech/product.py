"""Products with weights in full float32 on every kind of device.

Accelerators round the factors of a float32 product unless they are told not to, to 8 bits (TPUs) or 11 (GPUs), and then some units come out
different. NVIDIA's cores take ten times as long for float32 as for float16 with float32 sums. So there each factor is split into two numbers of
float16, and three of the four products of those are added; the fourth is below float32's rounding (Ootomo and Yokota 2022,
https://doi.org/10.1177/10943420221090256, which also has the scaling of the lower part).

Legend: ... any axes, I inputs, O outputs.
"""

import jax
import jax.numpy as jnp

EXACT = jax.lax.Precision.HIGHEST
EXPONENT_BITS, MANTISSA_BITS = 5, 10  # of float16
LOWER = 2.0 ** (MANTISSA_BITS + 1)  # the lower part is that much smaller, so it is stored that much larger


@jax.custom_jvp
def product(x_I: jax.Array, kernel_IO: jax.Array) -> jax.Array:
    """float32 [..., O] of [..., I] and [I, O]."""
    return jax.lax.platform_dependent(x_I, kernel_IO, cuda=by_halves, default=_directly)


@product.defjvp
def _differentiate(primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Gradients may be too small for float16, so they are products of float32."""
    return product(*primals), _directly(tangents[0], primals[1]) + _directly(primals[0], tangents[1])


def by_halves(x_I: jax.Array, kernel_IO: jax.Array) -> jax.Array:
    """The product by three of float16. Rows of x and columns of the kernel are scaled to about 1, so their size doesn't matter."""
    x_scale, (x_upper, x_lower) = _split(x_I, axis=-1)
    kernel_scale, (upper_IO, lower_IO) = _split(kernel_IO, axis=0)

    def multiply(x_I: jax.Array, kernel_IO: jax.Array) -> jax.Array:
        return jnp.matmul(x_I, kernel_IO, preferred_element_type=jnp.float32)

    small = multiply(x_upper, lower_IO) + multiply(x_lower, upper_IO)
    return (multiply(x_upper, upper_IO) + small / LOWER) * x_scale * kernel_scale.reshape((1,) * (x_I.ndim - 1) + (-1,))


def _directly(x_I: jax.Array, kernel_IO: jax.Array) -> jax.Array:
    return jnp.matmul(x_I, kernel_IO, precision=EXACT)


def _split(x: jax.Array, axis: int) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """A power of two for each row, and what is left of x over it as upper and lower parts."""
    largest = jnp.maximum(jnp.max(jnp.abs(x), axis=axis, keepdims=True), 2.0**-100)
    scale = jax.lax.reduce_precision(largest, 8, 0)
    x = x / scale
    upper = jax.lax.reduce_precision(x, EXPONENT_BITS, MANTISSA_BITS)  # XLA would leave out a conversion to float16 and back
    return scale, (upper.astype(jnp.float16), ((x - upper) * LOWER).astype(jnp.float16))
