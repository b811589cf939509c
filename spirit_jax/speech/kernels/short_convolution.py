"""Short convolutions of Toom and Cook (Winograd's), which need fewer products than one for each tap.

Legend: B rows, T samples, I channels in, O channels out, K taps, R residues (one for each sample of a
dilation), N tiles, S samples or outputs of a tile, P points, G groups of `TILE` taps.
"""

from collections.abc import Sequence
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from spirit_jax.speech.kernels.convolution import Conv, correlate, param
from spirit_jax.speech.kernels.product import product
from spirit_jax.speech.kernels.strided_convolution import StridedConv, add_bias

TILE = 4  # outputs of a tile, and taps of a group
# and infinity; fewer points are the first of these, which add the least rounding error of those tried
POINTS = (0, 1, -1, 2, -2, Fraction(1, 2))


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
    """By Gauss and Jordan's elimination, exactly."""
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
HALVING_OUTPUT_SP, HALVING_KERNEL_PK, HALVING_INPUT_PS = toom_cook(TILE, 2)


class ToomCookConv(nnx.Module):
    """A `Conv` by 7 products for 4 outputs of 4 taps in place of 16. Rounding error is about six times the
    direct convolution's.

    Gain: HiFi-GAN takes 19 % less CPU time (`python -m benchmarks.bench_speech hifigan`, 2 cores of Zen 4).
    """

    def __init__(self, conv: Conv):
        kernel_KIO = np.asarray(conv.kernel_KIO[...], np.float64)
        taps, inputs, outputs = kernel_KIO.shape
        kernel_GKIO = np.pad(kernel_KIO, ((0, -taps % TILE), (0, 0), (0, 0))).reshape(
            -1, TILE, inputs, outputs
        )
        # split here, or each call copies
        self.kernels_GIO = nnx.List(
            [param(np.einsum("K,GKIO->GIO", row_K, kernel_GKIO)) for row_K in KERNEL_PK]
        )
        self.bias_O = conv.bias_O
        self.taps = taps

    def __call__(self, x_BTI: jax.Array, dilation: int = 1) -> jax.Array:
        """The convolution's [B, T, O]."""
        x_RNSI = _tiles(x_BTI, self.taps, dilation, -(-self.taps // TILE))
        samples = [x_RNSI[:, :-1, i] for i in range(TILE)] + [x_RNSI[:, 1:, i] for i in range(TILE - 1)]
        points = [
            _correlate(combine(row, samples), kernel_GIO[...])
            for row, kernel_GIO in zip(INPUT_PS, self.kernels_GIO)
        ]
        y_RNSO = jnp.stack([combine(row, points) for row in OUTPUT_SP], axis=2)
        return _untiled(y_RNSO, x_BTI.shape[:2], dilation) + self.bias_O[...][None, None]


class HalvingConv(nnx.Module):
    """A `StridedConv` of 3 taps and stride 2 by 9 products for 4 outputs in place of 12.

    The outer taps make a convolution of 2 taps over the even samples, which takes 5 products. Rounding error
    is about three times the direct convolution's.

    Gain: HuBERT takes 14 % less CPU time (`python -m benchmarks.bench_speech hubert`, 2 cores of Zen 4).
    """

    def __init__(self, conv: StridedConv):
        first_IO, middle_IO, last_IO = np.asarray(conv.kernel_KIO[...], np.float64)
        self.outer_IO = nnx.List([param(a * first_IO + b * last_IO) for a, b in HALVING_KERNEL_PK])
        self.middle_IO = param(middle_IO)
        self.bias_O = conv.bias_O

    def __call__(self, x_BTI: jax.Array) -> jax.Array:
        """[B, T, I] -> [B, (T - 3) // 2 + 1, O]."""
        rows, time, _ = x_BTI.shape
        frames, stride = (time - 3) // 2 + 1, 2 * TILE
        end = -(-frames // TILE) * stride
        x_BTI = jnp.pad(x_BTI, ((0, 0), (0, max(0, end + 1 - time)), (0, 0)))
        even = [x_BTI[:, 2 * i : end + 2 * i : stride] for i in range(TILE + 1)]
        points = [
            product(combine(row, even), kernel_IO[...])
            for row, kernel_IO in zip(HALVING_INPUT_PS, self.outer_IO)
        ]
        outer_BNSO = jnp.stack([combine(row, points) for row in HALVING_OUTPUT_SP], axis=2)
        middle_BTO = product(x_BTI[:, 1:end:2], self.middle_IO[...])
        return add_bias((outer_BNSO.reshape(middle_BTO.shape) + middle_BTO)[:, :frames], self.bias_O)


def combine(weights: np.ndarray, terms: Sequence[jax.Array]) -> jax.Array:
    """The weighted sum, without the zeros."""
    products = [float(weight) * term for weight, term in zip(weights, terms) if weight]
    return sum(products[1:], start=products[0])


def _correlate(x_BTI: jax.Array, kernel_KIO: jax.Array) -> jax.Array:
    """[B, T - K + 1, O]; one tap is a product."""
    return product(x_BTI, kernel_KIO[0]) if len(kernel_KIO) == 1 else correlate(x_BTI, kernel_KIO)


def _tiles(x_BTI: jax.Array, taps: int, dilation: int, further: int) -> jax.Array:
    """[B dilation, N + further, TILE, I]: the samples of each residue, from the first that the first output
    reads.
    """
    rows, time, inputs = x_BTI.shape
    before = dilation * (taps - 1) // 2
    tiles = -(-time // (TILE * dilation)) + further
    x_BTI = jnp.pad(x_BTI, ((0, 0), (before, max(0, tiles * TILE * dilation - time - before)), (0, 0)))[
        :, : tiles * TILE * dilation
    ]
    x_BNSRI = x_BTI.reshape(rows, tiles, TILE, dilation, inputs)
    return x_BNSRI.transpose(0, 3, 1, 2, 4).reshape(rows * dilation, tiles, TILE, inputs)


def _untiled(y_RNSO: jax.Array, shape: tuple[int, ...], dilation: int) -> jax.Array:
    """Back to [B, T, O]."""
    rows, time = shape
    _, tiles, size, outputs = y_RNSO.shape
    y_BRNSO = y_RNSO.reshape(rows, dilation, tiles, size, outputs)
    return y_BRNSO.transpose(0, 2, 3, 1, 4).reshape(rows, -1, outputs)[:, :time]
