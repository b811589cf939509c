"""The short convolutions agree with the plain one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.speech.kernels.short_convolution import POINTS, TILE, HalvingConv, ToomCookConv, toom_cook
from tests.speech.kernels.layers import normal, random_conv, random_strided


@pytest.mark.parametrize(("outputs", "taps"), [(4, 4), (4, 2), (2, 3), (1, 2)])
def test_toom_cook_is_a_correlation(outputs, taps):
    output_SP, kernel_PK, input_PS = toom_cook(outputs, taps)
    rng = np.random.default_rng(0)
    kernel_K, samples_S = rng.normal(size=taps), rng.normal(size=outputs + taps - 1)
    np.testing.assert_allclose(
        output_SP @ ((kernel_PK @ kernel_K) * (input_PS @ samples_S)),
        np.correlate(samples_S, kernel_K),
        atol=1e-12,
    )


@pytest.mark.parametrize(("taps", "dilation", "time"), [(1, 1, 7), (3, 1, 1), (7, 5, 41), (11, 3, 64)])
def test_toom_cook_conv(taps, dilation, time):
    conv, x_BTI = random_conv(taps), normal(2, time, 6)
    short = jax.jit(lambda x: ToomCookConv(conv)(x, dilation))(x_BTI)
    np.testing.assert_allclose(short, conv(x_BTI, dilation), atol=2e-5)


def test_toom_cook_saves_products_and_differentiates():
    assert len(POINTS) + 1 == 2 * TILE - 1
    conv, x_BTI = random_conv(7), normal(1, 30, 6)
    fast = ToomCookConv(conv)
    assert [kernel_GIO.shape for kernel_GIO in fast.kernels_GIO] == (2 * TILE - 1) * [(2, 6, 5)]
    gradients = [
        jax.jit(jax.grad(lambda x, form=form: jnp.square(form(x, 3)).sum()))(x_BTI) for form in (conv, fast)
    ]
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-3)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("time", [3, 5, 6, 7, 9, 12, 21])
def test_halving_conv(time, bias):
    conv, x_BTI = random_strided(3, 2, bias=bias), jnp.asarray(normal(2, time, 6))
    np.testing.assert_allclose(HalvingConv(conv)(x_BTI), conv(x_BTI), atol=1e-5)
