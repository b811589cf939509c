"""The plain convolutions agree with their definitions."""

import jax
import numpy as np
import pytest

from spirit_jax.speech.kernels.convolution import Conv, TransposedConv
from tests.speech.kernels.layers import normal, random_conv, random_grouped


def by_hand(x_TI: np.ndarray, kernel_KIO: np.ndarray, dilation: int) -> np.ndarray:
    """The definition, in float64."""
    kernel_KIO = np.asarray(kernel_KIO, np.float64)
    reach = dilation * (len(kernel_KIO) - 1) // 2
    padded = np.pad(x_TI.astype(np.float64), ((reach, reach), (0, 0)))
    return sum(
        padded[k * dilation : k * dilation + len(x_TI)] @ kernel for k, kernel in enumerate(kernel_KIO)
    )


@pytest.mark.parametrize(("taps", "dilation", "time"), [(1, 1, 7), (3, 1, 1), (7, 5, 41), (11, 3, 64)])
def test_conv(taps, dilation, time):
    conv, x_BTI = random_conv(taps), normal(2, time, 6)
    for x_TI, y_TO in zip(x_BTI, jax.jit(lambda x: conv(x, dilation))(x_BTI)):
        expected = by_hand(x_TI, conv.kernel_KIO[...], dilation) + np.asarray(conv.bias_O[...])
        np.testing.assert_allclose(y_TO, expected, atol=1e-5)


@pytest.mark.parametrize(("taps", "time"), [(5, 1), (5, 40), (6, 40)])
def test_grouped_conv(taps, time):
    """Groups are independent; an even kernel reads one sample more to the left."""
    conv, x_BTD = random_grouped(taps), normal(2, time, 16)
    y_BTD, size = np.asarray(jax.jit(conv)(x_BTD)), 16 // conv.groups
    odd_KIO = np.pad(np.asarray(conv.kernel_KIO[...]), ((0, (taps + 1) % 2), (0, 0), (0, 0)))
    for group in range(conv.groups):
        own = slice(group * size, (group + 1) * size)
        for x_TD, y_TD in zip(x_BTD, y_BTD):
            expected = by_hand(x_TD[:, own], odd_KIO[..., own], 1) + np.asarray(conv.bias_O[own])
            np.testing.assert_allclose(y_TD[:, own], expected, atol=1e-5)


@pytest.mark.parametrize(("taps", "stride"), [(11, 5), (8, 4), (7, 4), (4, 4)])
def test_transposed_is_the_adjoint(taps, stride):
    """<up(x), y> = <x, down(y)> with the convolution of that stride, kernel and padding; an odd excess gives
    one sample more.
    """
    rng, padding = np.random.default_rng(0), (taps - stride) // 2
    kernel_KIO = rng.standard_normal((taps, 3, 2)).astype(np.float32)
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
