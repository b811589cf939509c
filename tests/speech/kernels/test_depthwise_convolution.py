import jax
import numpy as np
import pytest

from spirit_jax.speech.kernels.depthwise_convolution import depthwise, depthwise_by_groups, depthwise_by_taps
from tests.speech.kernels.layers import normal


@pytest.mark.parametrize("form", [depthwise, depthwise_by_groups, depthwise_by_taps])
@pytest.mark.parametrize("time", [1, 97, 200])
def test_each_channel_has_its_kernel(time, form):
    x_BTI, kernel_KI = normal(2, time, 4), normal(31, 4)
    expected = [
        [np.convolve(x_T, k_K[::-1])[15 : 15 + time] for x_T, k_K in zip(x_TI.T, kernel_KI.T)]
        for x_TI in x_BTI
    ]
    np.testing.assert_allclose(
        jax.jit(form)(x_BTI, kernel_KI), np.array(expected).transpose(0, 2, 1), atol=1e-4
    )
