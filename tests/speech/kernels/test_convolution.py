"""The rewritings give the plain convolution's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.speech.kernels.convolution import (
    POINTS,
    TILE,
    Conv,
    FoldedConv,
    NarrowConv,
    ToomCookConv,
    TransposedConv,
    by_strides,
    correlate,
    depthwise,
    toom_cook,
)


def random_conv(taps, inputs=6, outputs=5, seed=0):
    rng = np.random.default_rng(seed)
    return Conv(
        rng.standard_normal((taps, inputs, outputs)) / np.sqrt(taps * inputs), rng.standard_normal(outputs)
    )


def by_hand(x_TI, conv, dilation):
    """The definition, in float64."""
    kernel_KIO, bias_O = (
        np.asarray(conv.kernel_KIO[...], np.float64),
        np.asarray(conv.bias_O[...], np.float64),
    )
    reach = dilation * (len(kernel_KIO) - 1) // 2
    padded = np.pad(x_TI.astype(np.float64), ((reach, reach), (0, 0)))
    return (
        sum(padded[k * dilation : k * dilation + len(x_TI)] @ kernel for k, kernel in enumerate(kernel_KIO))
        + bias_O
    )


@pytest.mark.parametrize(("taps", "dilation", "time"), [(1, 1, 7), (3, 1, 1), (7, 5, 41), (11, 3, 64)])
def test_each_form_is_the_convolution(taps, dilation, time):
    conv = random_conv(taps)
    x_BTI = np.random.default_rng(1).standard_normal((2, time, 6)).astype(np.float32)
    for form in (conv, FoldedConv(conv), ToomCookConv(conv)):
        y_BTO = jax.jit(lambda x, form=form: form(x, dilation))(x_BTI)
        for x_TI, y_TO in zip(x_BTI, y_BTO):
            np.testing.assert_allclose(y_TO, by_hand(x_TI, conv, dilation), atol=2e-5)


@pytest.mark.parametrize(("taps", "dilation", "time"), [(1, 1, 7), (3, 1, 1), (7, 1, 41), (11, 3, 64)])
def test_the_narrow_form_is_the_convolution(taps, dilation, time):
    conv = random_conv(taps, outputs=1)
    x_BTI = np.random.default_rng(1).standard_normal((2, time, 6)).astype(np.float32)
    for x_TI, y_TO in zip(x_BTI, jax.jit(lambda x: NarrowConv(conv)(x, dilation))(x_BTI)):
        np.testing.assert_allclose(y_TO, by_hand(x_TI, conv, dilation), atol=2e-5)


@pytest.mark.parametrize(("taps", "stride"), [(3, 2), (2, 2), (10, 5), (5, 2), (10, 2), (2, 3)])
@pytest.mark.parametrize("time", [1, 4, 10, 11, 12, 47])
def test_strides_as_products_are_the_convolution(taps, stride, time):
    x_BTI, kernel_KIO = (
        np.random.default_rng(1).standard_normal((2, time, 6)).astype(np.float32),
        random_conv(taps).kernel_KIO[...],
    )
    every_BTO = correlate(x_BTI, kernel_KIO, (0, 0)) if time >= taps else np.zeros((2, 0, 5))
    for form in (
        lambda: by_strides(jnp.asarray(x_BTI), kernel_KIO, stride),
        lambda: correlate(x_BTI, kernel_KIO, (0, 0), stride=stride),
    ):
        np.testing.assert_allclose(form(), every_BTO[:, ::stride], atol=1e-5)


@pytest.mark.parametrize(("taps", "stride"), [(11, 5), (8, 4), (7, 4)])
def test_transposed_is_the_adjoint(taps, stride):
    """<up(x), y> = <x, down(y)> with the convolution of that stride, kernel and padding; an odd excess gives
    one sample more.
    """
    rng, padding = np.random.default_rng(0), (taps - stride) // 2
    kernel_KIO = rng.standard_normal((taps, 3, 2))
    up = TransposedConv(kernel_KIO, np.zeros(2), stride, padding)
    x_BTI = rng.standard_normal((1, 9, 3)).astype(np.float32)
    y_BTO = np.asarray(jax.jit(up)(x_BTI))
    assert y_BTO.shape == (1, up.length(9), 2)
    assert up.length(9) == 9 * stride + (taps - stride) % 2
    probe_BTO = rng.standard_normal(y_BTO.shape).astype(np.float32)
    down = Conv(kernel_KIO.transpose(0, 2, 1), np.zeros(3))
    back_BTI = jax.jit(lambda y: down(y, stride=stride, padding=padding))(probe_BTO)
    assert back_BTI.shape == x_BTI.shape
    np.testing.assert_allclose((y_BTO * probe_BTO).sum(), (np.asarray(back_BTI) * x_BTI).sum(), rtol=1e-4)


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


def test_toom_cook_saves_products_and_differentiates():
    assert len(POINTS) + 1 == 2 * TILE - 1
    conv = random_conv(7)
    x_BTI = np.random.default_rng(1).standard_normal((1, 30, 6)).astype(np.float32)
    fast = ToomCookConv(conv)
    assert [kernel_GIO.shape for kernel_GIO in fast.kernels_GIO] == (2 * TILE - 1) * [(2, 6, 5)]
    gradients = [
        jax.jit(jax.grad(lambda x, form=form: jnp.square(form(x, 3)).sum()))(x_BTI) for form in (conv, fast)
    ]
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-3)


@pytest.mark.parametrize("time", [1, 97, 200])
def test_depthwise(time):
    rng = np.random.default_rng(0)
    x_BTI, kernel_KI = (
        rng.standard_normal((2, time, 4)).astype(np.float32),
        rng.standard_normal((31, 4)).astype(np.float32),
    )
    expected = [
        [np.convolve(x_T, k_K[::-1])[15 : 15 + time] for x_T, k_K in zip(x_TI.T, kernel_KI.T)]
        for x_TI in x_BTI
    ]
    np.testing.assert_allclose(
        jax.jit(depthwise)(x_BTI, kernel_KI), np.array(expected).transpose(0, 2, 1), atol=1e-4
    )
