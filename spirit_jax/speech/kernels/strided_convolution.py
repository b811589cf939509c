"""Convolutions that shorten a sequence, and a form that is faster on a GPU.

Legend: B rows, T samples, I channels in, O channels out, K taps, P samples of a stride together with their
channels.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from spirit_jax.speech.kernels.convolution import correlate, param
from spirit_jax.speech.kernels.product import product


class StridedConv(nnx.Module):
    """A convolution with kernel_KIO at each `stride` samples, with a bias or without."""

    def __init__(
        self,
        kernel_KIO: jax.Array | np.ndarray,
        bias_O: jax.Array | np.ndarray | None,
        stride: int,
    ):
        self.kernel_KIO, self.bias_O = param(kernel_KIO), None if bias_O is None else param(bias_O)
        self.stride = stride

    def __call__(self, x_BTI: jax.Array) -> jax.Array:
        """[B, T, I] -> [B, (T - K) // stride + 1, O]."""
        return add_bias(correlate_strided(x_BTI, self.kernel_KIO[...], self.stride), self.bias_O)


def add_bias(y_BTO: jax.Array, bias_O: nnx.Param | None) -> jax.Array:
    """The bias added, if there is one."""
    return y_BTO if bias_O is None else y_BTO + bias_O[...][None, None]


def correlate_strided(x_BTI: jax.Array, kernel_KIO: jax.Array, stride: int) -> jax.Array:
    """[B, (T - K) // stride + 1, O] in full float32."""
    if len(kernel_KIO) == stride:  # one product, without a copy
        return by_strides(x_BTI, kernel_KIO, stride)
    directly = functools.partial(correlate, stride=stride)
    if stride == 1 or x_BTI.shape[2] == 1:  # a product for each tap, or one of few factors
        return directly(x_BTI, kernel_KIO)
    by_products = functools.partial(by_strides, stride=stride)
    return jax.lax.platform_dependent(x_BTI, kernel_KIO, cuda=by_products, default=directly)


def by_strides(x_BTI: jax.Array, kernel_KIO: jax.Array, stride: int) -> jax.Array:
    """`correlate` with this stride as products, one for each stride of samples that a window covers, whose
    samples are neighbours in memory.

    Gain: on an NVIDIA GPU, with `product`, about half of the time of HuBERT (docs/benchmarks.md, H200).
    """
    (rows, time, inputs), (taps, _, outputs) = x_BTI.shape, kernel_KIO.shape
    frames, parts = max(0, (time - taps) // stride + 1), -(-taps // stride)
    end = (frames + parts - 1) * stride
    x_BTP = jnp.pad(x_BTI, ((0, 0), (0, max(0, end - time)), (0, 0)))[:, :end].reshape(
        rows, -1, stride * inputs
    )
    cut = [kernel_KIO[i * stride : (i + 1) * stride].reshape(-1, outputs) for i in range(parts)]
    return functools.reduce(
        jnp.add,
        [product(x_BTP[:, i : i + frames, : len(kernel_PO)], kernel_PO) for i, kernel_PO in enumerate(cut)],
    )
