"""Convolution over time: directly, and rewritings that cost less on a CPU, or one on a GPU, and give the same
numbers.

A convolution here is a cross-correlation, as in PyTorch. Legend: B rows, T samples, I channels in, O channels
out, K taps, R residues (one for each sample of a dilation), N tiles of `size` samples, P points, or what a
stride of samples holds, G groups of `TILE` taps.
"""

import functools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from spirit_jax.speech.kernels.product import EXACT, product

TILE = 4  # outputs of a Toom-Cook tile, and taps of a group
# and infinity; fewer points are the first of these, which add the least rounding error of those tried
POINTS = (0, 1, -1, 2, -2, Fraction(1, 2))


def param(value: np.ndarray | jax.Array) -> nnx.Param:
    """A float32 parameter."""
    return nnx.Param(jnp.asarray(value, jnp.float32), hijax=False)


class Conv(nnx.Module):
    """A convolution with a bias over the last axis but one of [B, T, I]; kernel_KIO."""

    def __init__(self, kernel_KIO: jax.Array | np.ndarray, bias_O: jax.Array | np.ndarray):
        self.kernel_KIO, self.bias_O = param(kernel_KIO), param(bias_O)

    def __call__(
        self, x_BTI: jax.Array, dilation: int = 1, stride: int = 1, padding: int | None = None
    ) -> jax.Array:
        """[B, T', O]; zeros `padding` on both sides, by default as many as keep T of an odd kernel."""
        kernel_KIO = self.kernel_KIO[...]
        if padding is None:
            padding = dilation * (kernel_KIO.shape[0] - 1) // 2
        y_BTO = correlate(x_BTI, kernel_KIO, (padding, padding), dilation, stride)
        return y_BTO + self.bias_O[...][None, None]


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
        y_BNP = correlate(x_BTI, phases_QIP, (reach - 1, reach - 1))
        y_BTO = y_BNP.reshape(y_BNP.shape[0], -1, outputs)[
            :, self.padding : self.padding + self.length(x_BTI.shape[1])
        ]
        return y_BTO + self.bias_O[...][None, None]


class FoldedConv(nnx.Module):
    """A `Conv` of few channels, as one of `size` times as many: neighbours in time become channels. Faster
    where 16 channels fill no tile, but not for a dilation, whose neighbours must be brought together first.
    """

    def __init__(self, conv: Conv, size: int = 2):
        kernel_KIO = np.asarray(conv.kernel_KIO[...])
        taps, inputs, outputs = kernel_KIO.shape
        folded = np.zeros((-(-(taps + size - 1) // size), size, inputs, size, outputs), np.float32)
        for o in range(size):
            for tap in range(taps):
                folded[(tap + o) // size, (tap + o) % size, :, o] = kernel_KIO[tap]
        self.kernel_KIO = param(folded.reshape(len(folded), size * inputs, size * outputs))
        self.conv, self.size = conv, size

    def __call__(self, x_BTI: jax.Array, dilation: int = 1) -> jax.Array:
        """The convolution's [B, T, O]."""
        if dilation > 1:
            return self.conv(x_BTI, dilation)
        kernel_KIO = self.kernel_KIO[...]
        x_BNSI = _tiles(x_BTI, len(self.conv.kernel_KIO[...]), 1, self.size, len(kernel_KIO) - 1)
        y_BNO = correlate(x_BNSI.reshape(*x_BNSI.shape[:2], -1), kernel_KIO, (0, 0))
        y_BNSO = y_BNO.reshape(*y_BNO.shape[:2], self.size, -1)
        return _untiled(y_BNSO, x_BTI.shape[:2], 1) + self.conv.bias_O[...][None, None]


class NarrowConv(nnx.Module):
    """A `Conv` to one channel, of an odd kernel: all taps of a sample by one product, then each added where
    it belongs.
    """

    def __init__(self, conv: Conv):
        self.conv = conv

    def __call__(self, x_BTI: jax.Array, dilation: int = 1) -> jax.Array:
        """The convolution's [B, T, 1]."""
        kernel_KI, time = self.conv.kernel_KIO[...][..., 0], x_BTI.shape[1]
        reach = dilation * (len(kernel_KI) - 1) // 2
        y_BTK = product(jnp.pad(x_BTI, ((0, 0), (reach, reach), (0, 0))), kernel_KI.T)
        shifted = [y_BTK[:, i * dilation : i * dilation + time, i] for i in range(len(kernel_KI))]
        return functools.reduce(jnp.add, shifted)[..., None] + self.conv.bias_O[...][None, None]


class ToomCookConv(nnx.Module):
    """A `Conv` by Toom and Cook's (Winograd's) short convolution: 7 products for 4 outputs of 4 taps in place
    of 16, after a few sums.

    Rounding error is about six times the direct convolution's.
    """

    def __init__(self, conv: Conv):
        kernel_KIO = np.asarray(conv.kernel_KIO[...], np.float64)
        taps, inputs, outputs = kernel_KIO.shape
        kernel_GKIO = np.pad(kernel_KIO, ((0, -taps % TILE), (0, 0), (0, 0))).reshape(
            -1, TILE, inputs, outputs
        )
        # cut before, or each call copies
        self.kernels_GIO = nnx.List(
            [param(np.einsum("K,GKIO->GIO", row_K, kernel_GKIO)) for row_K in KERNEL_PK]
        )
        self.bias_O = conv.bias_O
        self.taps = taps

    def __call__(self, x_BTI: jax.Array, dilation: int = 1) -> jax.Array:
        """The convolution's [B, T, O]."""
        x_RNSI = _tiles(x_BTI, self.taps, dilation, TILE, -(-self.taps // TILE))
        samples = [x_RNSI[:, :-1, i] for i in range(TILE)] + [x_RNSI[:, 1:, i] for i in range(TILE - 1)]
        points = [
            correlate(combine(row, samples), kernel_GIO[...], (0, 0))
            for row, kernel_GIO in zip(INPUT_PS, self.kernels_GIO)
        ]
        y_RNSO = jnp.stack([combine(row, points) for row in OUTPUT_SP], axis=2)
        return _untiled(y_RNSO, x_BTI.shape[:2], dilation) + self.bias_O[...][None, None]


def correlate(
    x_BTI: jax.Array, kernel_KIO: jax.Array, padding: tuple[int, int], dilation: int = 1, stride: int = 1
) -> jax.Array:
    """[B, T', O] in full float32."""
    if dilation > 1 or padding != (0, 0):
        return _directly(x_BTI, kernel_KIO, stride, padding, dilation)
    if len(kernel_KIO) == stride:
        return by_strides(x_BTI, kernel_KIO, stride)
    if stride == 1 or x_BTI.shape[2] == 1:  # a product for each tap, or one too thin
        return _directly(x_BTI, kernel_KIO, stride)
    by_products, directly = (functools.partial(form, stride=stride) for form in (by_strides, _directly))
    return jax.lax.platform_dependent(x_BTI, kernel_KIO, cuda=by_products, default=directly)


def _directly(
    x_BTI: jax.Array, kernel_KIO: jax.Array, stride: int, padding: tuple[int, int] = (0, 0), dilation: int = 1
) -> jax.Array:
    """As an image one pixel high, which XLA's CPU code is faster at than a sequence."""
    y_BHTO = jax.lax.conv_general_dilated(
        x_BTI[:, None],
        kernel_KIO[None],
        (1, stride),
        ((0, 0), padding),
        rhs_dilation=(1, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=EXACT,
    )
    return y_BHTO[:, 0]


def by_strides(x_BTI: jax.Array, kernel_KIO: jax.Array, stride: int) -> jax.Array:
    """[B, T', O] as products, one for each stride of samples that a window covers: they lie side by side
    already. For GPUs.
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


def depthwise(x_BTI: jax.Array, kernel_KI: jax.Array) -> jax.Array:
    """Each channel with its own odd kernel, [B, T, I], zeros outside. XLA's CPU code for it is slow, so there
    it is a sum over taps.
    """
    return jax.lax.platform_dependent(x_BTI, kernel_KI, cpu=_depthwise_by_taps, default=_depthwise_by_groups)


def _depthwise_by_groups(x_BTI: jax.Array, kernel_KI: jax.Array) -> jax.Array:
    reach = len(kernel_KI) // 2
    y_BHTI = jax.lax.conv_general_dilated(
        x_BTI[:, None],
        kernel_KI[None, :, None],
        (1, 1),
        ((0, 0), (reach, reach)),
        feature_group_count=x_BTI.shape[-1],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=EXACT,
    )
    return y_BHTI[:, 0]


def _depthwise_by_taps(
    x_BTI: jax.Array, kernel_KI: jax.Array, stretch: int = 96, together: int = 4
) -> jax.Array:
    """In stretches of time that stay in the cache, a few taps at once."""
    (rows, time, channels), taps = x_BTI.shape, len(kernel_KI)
    kernel_KI = jnp.pad(kernel_KI, ((0, -taps % together), (0, 0)))
    x_BTI = jnp.pad(x_BTI, ((0, 0), (taps // 2, taps // 2 + together + -time % stretch), (0, 0)))

    def one_stretch(start: jax.Array) -> jax.Array:
        seen_BTI = jax.lax.dynamic_slice(
            x_BTI, (0, start, 0), (rows, stretch + taps - 1 + together, channels)
        )

        def add_taps(i: jax.Array, sum_BTI: jax.Array) -> jax.Array:
            for tap in range(together):
                shifted_BTI = jax.lax.dynamic_slice(
                    seen_BTI, (0, i * together + tap, 0), (rows, stretch, channels)
                )
                sum_BTI = (
                    sum_BTI
                    + shifted_BTI
                    * jax.lax.dynamic_slice(kernel_KI, (i * together + tap, 0), (1, channels))[None]
                )
            return sum_BTI

        return jax.lax.fori_loop(
            0, len(kernel_KI) // together, add_taps, jnp.zeros((rows, stretch, channels), x_BTI.dtype)
        )

    y_NBTI = jax.lax.map(one_stretch, jnp.arange(0, time, stretch))
    return y_NBTI.swapaxes(0, 1).reshape(rows, -1, channels)[:, :time]


def combine(weights: np.ndarray, terms: Sequence[jax.Array]) -> jax.Array:
    """The weighted sum, leaving out the zeros."""
    products = [float(weight) * term for weight, term in zip(weights, terms) if weight]
    return sum(products[1:], start=products[0])


def _tiles(x_BTI: jax.Array, taps: int, dilation: int, size: int, further: int) -> jax.Array:
    """[B dilation, N + further, size, I]: the samples of each residue by themselves, from the first that the
    first output reads.
    """
    rows, time, inputs = x_BTI.shape
    before = dilation * (taps - 1) // 2
    tiles = -(-time // (size * dilation)) + further
    x_BTI = jnp.pad(x_BTI, ((0, 0), (before, max(0, tiles * size * dilation - time - before)), (0, 0)))[
        :, : tiles * size * dilation
    ]
    x_BNSRI = x_BTI.reshape(rows, tiles, size, dilation, inputs)
    return x_BNSRI.transpose(0, 3, 1, 2, 4).reshape(rows * dilation, tiles, size, inputs)


def _untiled(y_RNSO: jax.Array, shape: tuple[int, ...], dilation: int) -> jax.Array:
    """Back to [B, T, O]."""
    rows, time = shape
    _, tiles, size, outputs = y_RNSO.shape
    y_BRNSO = y_RNSO.reshape(rows, dilation, tiles, size, outputs)
    return y_BRNSO.transpose(0, 2, 3, 1, 4).reshape(rows, -1, outputs)[:, :time]


def toom_cook(outputs: int, taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices A [outputs, P], G [P, taps], B [P, P] with A ((G g) * (B d)) = the correlation of d (P
    samples) with g, P = outputs + taps - 1.

    Polynomials are multiplied by evaluation at points and interpolation; a correlation is the transpose of
    that.
    """
    count = outputs + taps - 1
    evaluate = [[Fraction(point) ** power for power in range(count)] for point in POINTS[: count - 1]]
    evaluate.append([Fraction(int(power == count - 1)) for power in range(count)])
    input_PP = np.array(_inverse(evaluate), dtype=object).T
    output_PS, kernel_PK = (
        np.array([row[:size] for row in evaluate[:-1]] + [evaluate[-1][-size:]], dtype=object)
        for size in (outputs, taps)
    )
    # moved into the kernel's side, which is computed once, in float64
    largest_P1 = np.abs(input_PP).max(axis=1, keepdims=True)
    return (
        output_PS.T.astype(np.float64),
        (kernel_PK * largest_P1).astype(np.float64),
        (input_PP / largest_P1).astype(np.float64),
    )


def _inverse(matrix: list[list[Fraction]]) -> list[list[Fraction]]:
    """Gauss and Jordan's, exactly."""
    size = len(matrix)
    rows = [[*row, *(Fraction(int(i == j)) for j in range(size))] for i, row in enumerate(matrix)]
    for column in range(size):
        pivot = next(i for i in range(column, size) if rows[i][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for i in range(size):
            if i != column:
                rows[i] = [a - rows[i][column] * b for a, b in zip(rows[i], rows[column])]
    return [row[size:] for row in rows]


OUTPUT_SP, KERNEL_PK, INPUT_PS = toom_cook(TILE, TILE)
