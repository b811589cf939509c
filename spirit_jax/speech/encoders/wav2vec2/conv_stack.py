"""The convolutions before a wav2vec 2.0 or HuBERT encoder: waveform -> frames. The first and largest run in
tiles, so that memory is bounded.

Legend: B rows, S samples, T frames, I inputs, O outputs, D channels.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from spirit_jax.speech.encoders.wav2vec2.config import NORM_EPS, ConvNorm, Wav2Vec2Config
from spirit_jax.speech.kernels.convolution import param
from spirit_jax.speech.kernels.gelu import gelu
from spirit_jax.speech.kernels.strided_convolution import StridedConv
from spirit_jax.speech.weights.readers import WeightReader


class Norm(nnx.Module):
    """Layer norm over the last axis."""

    def __init__(self, reader: WeightReader, name: str, width: int, eps: float):
        self.scale_D, self.bias_D = (
            param(reader.array(f"{name}.weight", (width,))),
            param(reader.array(f"{name}.bias", (width,))),
        )
        self.eps = eps

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """[B, T, D] -> [B, T, D]."""
        y_BTD = x_BTD - jnp.mean(x_BTD, axis=-1, keepdims=True)
        y_BTD = y_BTD * jax.lax.rsqrt(jnp.mean(y_BTD * y_BTD, axis=-1, keepdims=True) + self.eps)
        return y_BTD * self.scale_D[...][None, None] + self.bias_D[...][None, None]


class ConvStack(nnx.Module):
    """Waveform -> frames. `norms`: one over time, after the first layer, or one over the channels after each
    layer.
    """

    def __init__(self, reader: WeightReader, cfg: Wav2Vec2Config):
        self.cfg = cfg
        self.layers = nnx.List([_read_layer(reader, cfg, i) for i in range(len(cfg.convs))])
        suffix, count = ("2", 1) if cfg.conv_norm is ConvNorm.GROUP else ("2.1", len(cfg.convs))
        names = [f"feature_extractor.conv_layers.{i}.{suffix}" for i in range(count)]
        self.norms = nnx.List(
            [Norm(reader, name, conv.channels, NORM_EPS) for name, conv in zip(names, cfg.convs)]
        )

    def __call__(self, wav_BS: jax.Array, counts_B: jax.Array) -> jax.Array:
        """[B, S] with counts_B samples each -> [B, T, D]; T a multiple of the tile. Frames past a row's end
        are arbitrary.
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
        """The outputs [B, T, O] of the layers `first` to `end`, without tiles. moments: what `self.moments`
        gives for the whole rows; None for norms over the channels.
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
        """For the norm over time: the mean of the first convolution's output over each row's own frames, and
        the norm's scale divided by the deviation; [B, O] each.

        Computed tile by tile: squares are summed about each tile's own mean and the sums merged as by Chan,
        Golub and LeVeque (1979), so that neither an offset nor a long sound costs precision.
        """
        cfg, layer, norm = self.cfg, self.layers[0], self.norms[0]
        counts_B = jnp.maximum((counts_B - cfg.convs[0].taps) // cfg.convs[0].stride + 1, 0)
        step = cfg.tile * cfg.hop
        frames = step // cfg.convs[0].stride
        width = (frames - 1) * cfg.convs[0].stride + cfg.convs[0].taps
        wav_BS = jnp.pad(wav_BS, ((0, 0), (0, width)))

        def add_tile(i: jax.Array, moments: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            x_BTO = layer(jax.lax.dynamic_slice_in_dim(wav_BS, i * step, width, 1)[..., None])
            inside_BT1 = (i * frames + jnp.arange(frames)[None] < counts_B[:, None])[..., None]
            return _merge(moments, _moments(x_BTO, inside_BT1))

        zeros_BO = jnp.zeros((len(wav_BS), cfg.convs[0].channels), jnp.float32)
        count_B1, mean_BO, squares_BO = jax.lax.fori_loop(
            0, -(-jnp.max(counts_B) // frames), add_tile, (zeros_BO[:, :1], zeros_BO, zeros_BO)
        )
        variance_BO = squares_BO / jnp.maximum(count_B1, 1)
        return mean_BO, jax.lax.rsqrt(variance_BO + norm.eps) * norm.scale_D[...][None]


def _read_layer(reader: WeightReader, cfg: Wav2Vec2Config, index: int) -> StridedConv:
    shape, inputs = cfg.convs[index], cfg.convs[index - 1].channels if index else 1
    name = f"feature_extractor.conv_layers.{index}.0"
    weight_OIK = reader.array(f"{name}.weight", (shape.channels, inputs, shape.taps))
    bias_O = reader.array(f"{name}.bias", (shape.channels,)) if cfg.conv_bias else None
    return StridedConv(weight_OIK.transpose(2, 1, 0), bias_O, shape.stride)


def _moments(x_BTO: jax.Array, inside_BT1: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Frames that count [B, 1], their mean, and the sum of their squares about it [B, O]."""
    count_B1 = jnp.sum(inside_BT1, axis=1, dtype=jnp.float32)
    mean_BO = jnp.sum(jnp.where(inside_BT1, x_BTO, 0), axis=1) / jnp.maximum(count_B1, 1)
    centred_BTO = jnp.where(inside_BT1, x_BTO - mean_BO[:, None], 0)
    return count_B1, mean_BO, jnp.sum(centred_BTO * centred_BTO, axis=1)


def _merge(moments: tuple[jax.Array, ...], others: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    """The moments of two sets together."""
    (count_B1, mean_BO, squares_BO), (other_count_B1, other_mean_BO, other_squares_BO) = moments, others
    total_B1, shift_BO = count_B1 + other_count_B1, other_mean_BO - mean_BO
    share_B1 = other_count_B1 / jnp.maximum(total_B1, 1)
    squares_BO = squares_BO + other_squares_BO + shift_BO * shift_BO * count_B1 * share_B1
    return total_B1, mean_BO + shift_BO * share_B1, squares_BO
