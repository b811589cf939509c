"""Products with weights as exact as float32 on every kind of device.

By default accelerators round the factors of a float32 product to 8 bits (TPUs) or 11 (GPUs), which changes
some units. NVIDIA's cores multiply float16 with float32 sums far faster than float32. So there each factor is
split into two numbers of float16, 22 bits together, and three of the four products of those are added; the
fourth is about as large as float32's rounding. The split and the scaling of its lower part are Ootomo and
Yokota's (2022, https://doi.org/10.1177/10943420221090256); the sums are left to the cores.

Legend: ... any axes, I inputs, O outputs.
"""

import jax
import jax.numpy as jnp

EXACT = jax.lax.Precision.HIGHEST
EXPONENT_BITS, MANTISSA_BITS = 5, 10  # of float16
LOWER = 2.0 ** (MANTISSA_BITS + 1)  # the lower part is that much smaller, so it is stored that much larger
# what the largest number of a row becomes, about, so that small numbers of the row keep their bits too;
# float16 ends at 65,504
LARGEST = 2.0**14
LEAST, MOST = 2.0**-100, 2.0**100  # taken for the largest of a row, so that scales are numbers too


@jax.custom_jvp
def product(x_I: jax.Array, kernel_IO: jax.Array) -> jax.Array:
    """float32 [..., O] of [..., I] and [I, O]."""
    return jax.lax.platform_dependent(x_I, kernel_IO, cuda=by_halves, default=_directly)


@product.defjvp
def _differentiate(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """By products of float32: the split is not linear, so it has no transpose for the gradient."""
    return product(*primals), _directly(tangents[0], primals[1]) + _directly(primals[0], tangents[1])


def by_halves(x_I: jax.Array, kernel_IO: jax.Array) -> jax.Array:
    """The product by three of float16, for numbers up to 1e30. Rows of x and columns of the kernel are scaled
    first: what is below about 2^-28 of the largest in its row keeps 11 bits, and below 2^-39 fewer.

    Gain: HuBERT base takes 24.5 ms instead of 51.0 for 8 rows of 19.2 s on an H200 (docs/benchmarks.md).
    """
    x_scale, (x_upper, x_lower) = _split(x_I, axis=-1)
    kernel_scale, (upper_IO, lower_IO) = _split(kernel_IO, axis=0)

    def multiply(x_I: jax.Array, kernel_IO: jax.Array) -> jax.Array:
        return jnp.matmul(x_I, kernel_IO, preferred_element_type=jnp.float32)

    small = multiply(x_upper, lower_IO) + multiply(x_lower, upper_IO)
    return (
        (multiply(x_upper, upper_IO) + small / LOWER)
        * x_scale
        * kernel_scale.reshape((1,) * (x_I.ndim - 1) + (-1,))
    )


def _directly(x_I: jax.Array, kernel_IO: jax.Array) -> jax.Array:
    """The reference."""
    return jnp.matmul(x_I, kernel_IO, precision=EXACT)


def _split(x: jax.Array, axis: int) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """A power of two for each row, and what is left of x over it as upper and lower parts."""
    largest = jnp.clip(jnp.max(jnp.abs(x), axis=axis, keepdims=True), LEAST, MOST)
    inverse = jax.lax.reduce_precision(LARGEST / largest, 8, 0)  # a power of two, though GPUs divide roughly
    scale = jax.lax.reduce_precision(1 / inverse, 8, 0)
    x = x * inverse
    # XLA would leave out a conversion to float16 and back
    upper = jax.lax.reduce_precision(x, EXPONENT_BITS, MANTISSA_BITS)
    return scale, (upper.astype(jnp.float16), ((x - upper) * LOWER).astype(jnp.float16))
