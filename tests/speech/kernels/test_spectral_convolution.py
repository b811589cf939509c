import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.speech.kernels.spectral_convolution import SpectralConv
from tests.speech.kernels.layers import normal, random_grouped


@pytest.mark.parametrize("taps", [1, 2, 5, 8])
@pytest.mark.parametrize("time", [1, 7, 8, 9, 40])
def test_spectra_are_a_convolution(taps, time):
    conv, x_BTD = random_grouped(taps), jnp.asarray(normal(3, time, 16))
    np.testing.assert_allclose(SpectralConv(conv)(x_BTD), conv(x_BTD), atol=5e-6)
