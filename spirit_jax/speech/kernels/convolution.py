"""Convolutions over time, written plainly. Their fast forms are in the modules next to this one.

A convolution here is a cross-correlation, as in PyTorch. Legend: B rows, T samples, I channels in, O channels
out, K taps, U groups of taps, P phases of a stride together with the channels out, D width.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from spirit_jax.speech.kernels.product import EXACT


def param(value: np.ndarray | jax.Array) -> nnx.Param:
    """A float32 parameter."""
    return nnx.Param(jnp.asarray(value, jnp.float32), hijax=False)


def correlate(
    x_BTI: jax.Array,
    kernel_KIO: jax.Array,
    padding: int = 0,
    dilation: int = 1,
    stride: int = 1,
    groups: int = 1,
) -> jax.Array:
    """[B, T', O] in full float32, with `padding` zeros on both sides; as an image one pixel high, for which
    XLA's CPU code is faster than for a sequence.
    """
    y_BHTO = jax.lax.conv_general_dilated(
        x_BTI[:, None],
        kernel_KIO[None],
        (1, stride),
        ((0, 0), (padding, padding)),
        rhs_dilation=(1, dilation),
        feature_group_count=groups,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=EXACT,
    )
    return y_BHTO[:, 0]


class Conv(nnx.Module):
    """A convolution with kernel_KIO and a bias."""

    def __init__(self, kernel_KIO: jax.Array | np.ndarray, bias_O: jax.Array | np.ndarray):
        self.kernel_KIO, self.bias_O = param(kernel_KIO), param(bias_O)

    def __call__(
        self, x_BTI: jax.Array, dilation: int = 1, stride: int = 1, padding: int | None = None
    ) -> jax.Array:
        """[B, T, I] -> [B, T', O]; `padding` zeros on both sides, by default as many as keep T for an odd
        kernel.
        """
        if padding is None:
            padding = dilation * (self.kernel_KIO.shape[0] - 1) // 2
        y_BTO = correlate(x_BTI, self.kernel_KIO[...], padding, dilation, stride)
        return y_BTO + self.bias_O[...][None, None]


class GroupedConv(nnx.Module):
    """A convolution of `groups` groups of channels with a bias, that keeps the length. kernel_KIO holds the
    channels in of one group.
    """

    def __init__(self, kernel_KIO: jax.Array | np.ndarray, bias_O: jax.Array | np.ndarray, groups: int):
        self.kernel_KIO, self.bias_O, self.groups = param(kernel_KIO), param(bias_O), groups

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """[B, T, D] -> [B, T, D], centred; for an even number of taps a sample sees one more to the left than
        to the right.
        """
        # as many zeros on both sides, or XLA's CPU code takes five times as long
        y_BTD = correlate(x_BTD, self.kernel_KIO[...], self.kernel_KIO.shape[0] // 2, groups=self.groups)
        return y_BTD[:, : x_BTD.shape[1]] + self.bias_O[...][None, None]


class TransposedConv(nnx.Module):
    """Upsamples [B, T, I] by `stride`: each sample adds a scaled kernel_KIO to the output, from which
    `padding` is cut at both ends.
    """

    def __init__(
        self, kernel_KIO: jax.Array | np.ndarray, bias_O: jax.Array | np.ndarray, stride: int, padding: int
    ):
        self.kernel_KIO, self.bias_O = param(kernel_KIO), param(bias_O)
        self.stride, self.padding = stride, padding

    def length(self, time: Any) -> Any:
        """Samples that come out of `time` samples, a number or an array of them."""
        return (time - 1) * self.stride - 2 * self.padding + self.kernel_KIO.shape[0]

    def __call__(self, x_BTI: jax.Array) -> jax.Array:
        """[B, length(T), O], by one convolution that yields all `stride` phases of an output at once."""
        kernel_KIO = self.kernel_KIO[...]
        taps, inputs, outputs = kernel_KIO.shape
        reach = -(-taps // self.stride)
        phases_QUIO = jnp.pad(kernel_KIO, ((0, reach * self.stride - taps), (0, 0), (0, 0))).reshape(
            reach, self.stride, inputs, outputs
        )
        phases_QIP = phases_QUIO[::-1].transpose(0, 2, 1, 3).reshape(reach, inputs, self.stride * outputs)
        y_BNP = correlate(x_BTI, phases_QIP, reach - 1)
        y_BTO = y_BNP.reshape(y_BNP.shape[0], -1, outputs)[
            :, self.padding : self.padding + self.length(x_BTI.shape[1])
        ]
        return y_BTO + self.bias_O[...][None, None]
