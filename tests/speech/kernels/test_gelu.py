import math

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.speech.kernels.gelu import gelu


def test_gelu_is_exact():
    """Against float64 and JAX's own."""
    x = np.concatenate([np.linspace(-8, 8, 10_001), [-1e30, -1e4, 1e4, 1e30]]).astype(np.float32)
    expected = [0.5 * value * math.erfc(-value / math.sqrt(2)) for value in x.astype(float)]
    np.testing.assert_allclose(jax.jit(gelu)(x), expected, rtol=2e-7, atol=7e-7)
    np.testing.assert_allclose(gelu(x), jax.nn.gelu(x, approximate=False), rtol=2e-7, atol=1e-6)
    assert np.isnan(gelu(jnp.float32(np.nan)))
