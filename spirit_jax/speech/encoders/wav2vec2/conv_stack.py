"""The convolutions in front of a wav2vec 2.0 or HuBERT encoder: waveform -> frames, the first and largest in
tiles, whatever the length.

Legend: B rows, S samples or outputs of a group, T frames, N groups or blocks of frames, I inputs, O outputs,
D channels, K taps, R samples of a stride, P and Q polynomials.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from spirit_jax.speech.encoders.wav2vec2.config import NORM_EPS, ConvNorm, ConvShape, Wav2Vec2Config
from spirit_jax.speech.kernels.convolution import combine, correlate, param, toom_cook
from spirit_jax.speech.weights.readers import Source

# The eighth root of twice the normal distribution's tail beyond 2a, for a to TAIL_END: the polynomial,
# highest power first, whose 8th power times a is off by 3e-9 at most (fitted by linear programming).
TAIL_ROOT = (
    -8.2600581e-05,
    0.0010440287,
    -0.0042055194,
    0.0011967537,
    0.02624831,
    -0.0058621862,
    -0.13927126,
    -0.19947004,
    0.99999996,
)
TAIL_END = 3.0
BLOCK = 256  # frames whose squares are summed by themselves first, so that long sounds lose no digits
OUTPUTS = 4  # at a time, of a convolution that halves; on a CPU faster than 2, 3 or 6, and 5 are no faster
OUTPUT_SP, OUTER_PK, EVEN_PS = toom_cook(OUTPUTS, 2)


class Norm(nnx.Module):
    """Layer norm over the last axis."""

    def __init__(self, source: Source, name: str, width: int, eps: float):
        self.scale_D, self.bias_D = (
            param(source.array(f"{name}.weight", (width,))),
            param(source.array(f"{name}.bias", (width,))),
        )
        self.eps = eps

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """[B, T, D] -> [B, T, D]."""
        y_BTD = x_BTD - jnp.mean(x_BTD, axis=-1, keepdims=True)
        y_BTD = y_BTD * jax.lax.rsqrt(jnp.mean(y_BTD * y_BTD, axis=-1, keepdims=True) + self.eps)
        return y_BTD * self.scale_D[...][None, None] + self.bias_D[...][None, None]


class ConvLayer(nnx.Module):
    """One convolution of the stack."""

    def __init__(self, source: Source, cfg: Wav2Vec2Config, index: int):
        shape, inputs = cfg.convs[index], cfg.convs[index - 1].channels if index else 1
        name = f"feature_extractor.conv_layers.{index}.0"
        self.kernel_KIO = param(
            source.array(f"{name}.weight", (shape.channels, inputs, shape.taps)).transpose(2, 1, 0)
        )
        self.bias_O = param(source.array(f"{name}.bias", (shape.channels,))) if cfg.conv_bias else None
        self.stride = shape.stride

    @property
    def halves(self) -> bool:
        """Whether it can become a `HalvingConv` with a gain."""
        taps, inputs, _ = self.kernel_KIO.shape
        return taps == 3 and self.stride == 2 and inputs > 1

    def __call__(self, x_BTI: jax.Array) -> jax.Array:
        """[B, T, I] -> [B, (T - K) // stride + 1, O]."""
        y_BTO = correlate(x_BTI, self.kernel_KIO[...], (0, 0), stride=self.stride)
        return y_BTO if self.bias_O is None else y_BTO + self.bias_O[...][None, None]


class HalvingConv(nnx.Module):
    """A `ConvLayer` of 3 taps and stride 2 by 9 products for 4 outputs in place of 12, which a CPU gains by.

    The outer taps make a convolution of 2 taps over the even samples, which Toom and Cook's way takes 5
    products for. Rounding error is about three times the direct convolution's.
    """

    def __init__(self, layer: ConvLayer):
        first_IO, middle_IO, last_IO = np.asarray(layer.kernel_KIO[...], np.float64)
        self.outer_IO = nnx.List([param(a * first_IO + b * last_IO) for a, b in OUTER_PK])
        self.middle_IO = param(middle_IO)
        self.bias_O = layer.bias_O

    def __call__(self, x_BTI: jax.Array) -> jax.Array:
        """[B, T, I] -> [B, (T - 3) // 2 + 1, O]."""
        rows, time, _ = x_BTI.shape
        frames, stride = (time - 3) // 2 + 1, 2 * OUTPUTS
        end = -(-frames // OUTPUTS) * stride
        x_BTI = jnp.pad(x_BTI, ((0, 0), (0, max(0, end + 1 - time)), (0, 0)))
        even = [x_BTI[:, 2 * i : end + 2 * i : stride] for i in range(OUTPUTS + 1)]
        points = [combine(row, even) @ kernel_IO[...] for row, kernel_IO in zip(EVEN_PS, self.outer_IO)]
        outer_BNSO = jnp.stack([combine(row, points) for row in OUTPUT_SP], axis=2)
        y_BTO = (outer_BNSO.reshape(rows, end // 2, -1) + x_BTI[:, 1:end:2] @ self.middle_IO[...])[:, :frames]
        return y_BTO if self.bias_O is None else y_BTO + self.bias_O[...][None, None]


class ConvStack(nnx.Module):
    """Waveform -> frames. `norms`: one, over time after the first layer, or one over the channels
    after each.
    """

    def __init__(self, source: Source, cfg: Wav2Vec2Config):
        self.cfg = cfg
        self.layers: nnx.List[ConvLayer | HalvingConv] = nnx.List(
            [ConvLayer(source, cfg, i) for i in range(len(cfg.convs))]
        )
        suffix, count = ("2", 1) if cfg.conv_norm is ConvNorm.GROUP else ("2.1", len(cfg.convs))
        names = [f"feature_extractor.conv_layers.{i}.{suffix}" for i in range(count)]
        self.norms = nnx.List(
            [Norm(source, name, conv.channels, NORM_EPS) for name, conv in zip(names, cfg.convs)]
        )

    def __call__(self, wav_BS: jax.Array, counts_B: jax.Array) -> jax.Array:
        """[B, S] with counts_B samples each -> [B, T, D]; T a multiple of the tile. Past a row's end:
        arbitrary frames.
        """
        cfg = self.cfg
        moments = self.moments(wav_BS, counts_B) if cfg.conv_norm is ConvNorm.GROUP else None
        tiled, width = cfg.tiled_convs, cfg.sample_count(cfg.tile)
        step = cfg.tile * math.prod(conv.stride for conv in cfg.convs[tiled:])

        def add_tile(i: jax.Array, x_BTI: jax.Array) -> jax.Array:
            tile_BS = jax.lax.dynamic_slice_in_dim(wav_BS, i * cfg.tile * cfg.hop, width, 1)
            return jax.lax.dynamic_update_slice_in_dim(
                x_BTI, self.convolve(tile_BS[..., None], moments, 0, tiled)[-1], i * step, 1
            )

        x_BTI = jnp.zeros(
            (
                len(wav_BS),
                cfg.sample_count(cfg.frame_count(wav_BS.shape[1]), tiled),
                cfg.convs[tiled - 1].channels,
            ),
            jnp.float32,
        )
        x_BTI = jax.lax.fori_loop(0, -(-jnp.max(cfg.frame_count(counts_B)) // cfg.tile), add_tile, x_BTI)
        return [x_BTI, *self.convolve(x_BTI, moments, tiled)][-1]

    def convolve(
        self,
        x_BTI: jax.Array,
        moments: tuple[jax.Array, jax.Array] | None,
        first: int = 0,
        end: int | None = None,
    ) -> list[jax.Array]:
        """The outputs [B, T, O] of the layers `first` to `end`, without tiles. `moments` of the whole rows:
        see there; None for norms over the channels.
        """
        outputs = []
        for i, layer in [*enumerate(self.layers)][first:end]:
            x_BTI = layer(x_BTI)
            if moments is None:
                x_BTI = self.norms[i](x_BTI)
            elif i == 0:
                mean_BO, scale_BO = moments
                x_BTI = (x_BTI - mean_BO[:, None]) * scale_BO[:, None] + self.norms[0].bias_D[...][None, None]
            outputs.append(x_BTI := gelu(x_BTI))
        return outputs

    def moments(self, wav_BS: jax.Array, counts_B: jax.Array) -> tuple[jax.Array, jax.Array]:
        """For the norm over time: each row's mean over its own frames of the first convolution, and the scale
        over its deviation; [B, O] each.

        Both follow from the mean and the covariance of the windows that it sees, without the convolution
        itself. The covariance is one of coefficients of polynomials: so a kernel that lets no slow sound
        through gets no rounding errors of it either.
        """
        layer, norm, shape = self.layers[0], self.norms[0], self.cfg.convs[0]
        assert isinstance(layer, ConvLayer), "one channel goes in, so it doesn't halve"
        kernel_KO, basis_KP = layer.kernel_KIO[...][:, 0], jnp.asarray(orthonormal_polynomials(shape.taps))
        counts_B = jnp.maximum((counts_B - shape.taps) // shape.stride + 1, 0)
        count_B1 = jnp.maximum(counts_B, 1)[:, None].astype(jnp.float32)
        x_BNTK = windows(wav_BS, shape)
        inside_BNT1 = (jnp.arange(x_BNTK.shape[1] * BLOCK)[None] < counts_B[:, None]).reshape(
            *x_BNTK.shape[:3], 1
        )
        mean_BK = jnp.sum(jnp.where(inside_BNT1, x_BNTK, 0), axis=2).sum(axis=1) / count_B1
        x_BNTK = jnp.where(inside_BNT1, x_BNTK - mean_BK[:, None, None], 0)
        with jax.default_matmul_precision("highest"):
            x_BNTP, kernel_PO = (
                jnp.einsum("BNTK,KP->BNTP", x_BNTK, basis_KP),
                jnp.einsum("KO,KP->PO", kernel_KO, basis_KP),
            )
            covariance_BPQ = (
                jnp.sum(jnp.einsum("BNTP,BNTQ->BNPQ", x_BNTP, x_BNTP), axis=1) / count_B1[..., None]
            )
            squares_PQO = kernel_PO[:, None] * kernel_PO[None]
            variance_BO = covariance_BPQ.reshape(len(wav_BS), -1) @ squares_PQO.reshape(shape.taps**2, -1)
            mean_BO = (
                mean_BK @ kernel_KO if layer.bias_O is None else mean_BK @ kernel_KO + layer.bias_O[...][None]
            )
        return mean_BO, jax.lax.rsqrt(variance_BO + norm.eps) * norm.scale_D[...][None]


def windows(wav_BS: jax.Array, shape: ConvShape) -> jax.Array:
    """What a convolution of one channel sees, [B, N, BLOCK, K], and zeros to fill the last block."""
    frames, strides = -(-wav_BS.shape[1] // (shape.stride * BLOCK)) * BLOCK, -(-shape.taps // shape.stride)
    x_BS = jnp.pad(wav_BS, ((0, 0), (0, (frames + strides - 1) * shape.stride - wav_BS.shape[1])))
    x_BTR = x_BS.reshape(len(wav_BS), -1, shape.stride)
    x_BTK = jnp.concatenate([x_BTR[:, i : i + frames] for i in range(strides)], axis=-1)[..., : shape.taps]
    return x_BTK.reshape(len(wav_BS), -1, BLOCK, shape.taps)


def orthonormal_polynomials(count: int) -> np.ndarray:
    """float32 [K, P]: of degree P at K places, K of them."""
    places_K = np.linspace(-1, 1, count)
    return np.linalg.qr(np.vander(places_K, increasing=True))[0].astype(np.float32)


def gelu(x: jax.Array) -> jax.Array:
    """The exact GELU, x times the normal distribution, with an error below 3e-7: no more than by erf, and on
    a CPU in less time.
    """
    half = 0.5 * x
    size = jnp.abs(half)
    inside = jnp.where(size < TAIL_END, size, TAIL_END)
    root = functools.reduce(lambda sum_, coefficient: sum_ * inside + coefficient, TAIL_ROOT)
    return half + size - inside * root**8
