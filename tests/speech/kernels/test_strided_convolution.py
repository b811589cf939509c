import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.speech.kernels.convolution import correlate
from spirit_jax.speech.kernels.strided_convolution import by_strides, correlate_strided
from tests.speech.kernels.layers import kernel, normal, random_strided


@pytest.mark.parametrize(("taps", "stride"), [(3, 2), (2, 2), (10, 5), (5, 2), (10, 2), (2, 3)])
@pytest.mark.parametrize("time", [1, 4, 10, 11, 12, 47])
def test_strides_as_products_are_the_convolution(taps, stride, time):
    x_BTI, kernel_KIO = jnp.asarray(normal(2, time, 6)), jnp.asarray(kernel(taps, 6, 5))
    every_BTO = correlate(x_BTI, kernel_KIO) if time >= taps else jnp.zeros((2, 0, 5))
    for form in (by_strides, correlate_strided):
        np.testing.assert_allclose(form(x_BTI, kernel_KIO, stride), every_BTO[:, ::stride], atol=1e-5)


def test_the_bias_is_optional():
    x_BTI = normal(2, 30, 6)
    biased, plain = random_strided(3, 2), random_strided(3, 2, bias=False)
    np.testing.assert_allclose(biased(x_BTI), plain(x_BTI) + biased.bias_O[...][None, None], atol=1e-6)


@pytest.mark.parametrize(("inputs", "halves"), [(6, True), (1, False)])
def test_gpus_take_products_of_halves_from_two_channels_on(inputs, halves):
    conv = random_strided(3, 2, inputs)
    text = jax.jit(conv).trace(normal(2, 30, inputs)).lower(lowering_platforms=("cuda",)).as_text()
    assert ("f16" in text, "stablehlo.convolution" in text) == (halves, not halves)
