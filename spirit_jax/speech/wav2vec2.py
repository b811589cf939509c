"""The encoder of wav2vec 2.0 and HuBERT: waveform -> convolutions -> transformer. One module for units, style and alignment.

Flax NNX modules that are plain pytrees; float32 throughout, weights named as in fairseq and stored inputs first. Padded samples and frames have
no influence on the rest: a row's numbers are those that it gets alone.

Legend: B rows, S samples, T frames, N frames of a tile, I inputs, O outputs, K taps, D width, F MLP width, H heads, W head width, G groups.
"""

import enum
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from spirit_jax.config import part, require_positive
from spirit_jax.errors import UserError
from spirit_jax.speech.convolution import correlate, param
from spirit_jax.speech.weight_source import Drawn, Source
from spirit_jax.units import SAMPLE_RATE

POSITION_CONV = "encoder.pos_conv.0"
NORM_EPS = 1e-5  # of the normalisations in front of the transformer, which no configuration changes
MASKED = -1e30  # attention to padding: exp of it is exactly 0


class ConvNorm(enum.Enum):
    """What follows the convolutions: a norm of each channel over time after the first one, or a norm over the channels after each."""

    GROUP = "group"
    LAYER = "layer"


@part
class ConvShape:
    """Channels, taps and stride of one convolution."""

    channels: int
    taps: int
    stride: int

    def __post_init__(self):
        require_positive(self, "convolution", "channels", "taps", "stride")


@part
class Wav2Vec2Config:
    """Sizes of an encoder. `project`: a linear layer from the convolutions' channels to the width; fairseq leaves it out where the two are equal."""

    convs: tuple[ConvShape, ...]
    width: int
    mlp_width: int
    heads: int
    layers: int
    position_taps: int
    position_groups: int
    conv_norm: ConvNorm = ConvNorm.GROUP
    conv_bias: bool = False
    project: bool = True
    pre_norm: bool = False
    norm_eps: float = NORM_EPS

    def __post_init__(self):
        require_positive(self, "encoder", "width", "mlp_width", "heads", "layers", "position_taps", "position_groups", "norm_eps")
        if not self.convs:
            raise UserError("encoder.convs", "()", "needs at least one convolution", "use a complete configuration")
        for name, divisor in (("heads", self.heads), ("position_groups", self.position_groups)):
            if self.width % divisor:
                raise UserError(f"encoder.{name}", divisor, f"must divide the width {self.width}", "use a matching configuration")
        if not self.project and self.convs[-1].channels != self.width:
            raise UserError("encoder.project", False, f"needs as many channels as width, {self.width}", "use a matching configuration")

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        hop = 1
        for conv in self.convs:
            hop *= conv.stride
        return hop

    def sample_count(self, frames: int) -> int:
        """Samples that so many frames look at."""
        for conv in reversed(self.convs):
            frames = (frames - 1) * conv.stride + conv.taps
        return frames

    def most_samples(self, frames: int) -> int:
        """Samples that give so many frames, of which the norm over time sees more than the frames do."""
        return self.sample_count(frames + 1) - 1

    def frame_count(self, samples):
        """Frames of so many samples, an int or an array: 0 if there are too few for one."""
        for conv in self.convs:
            samples = (samples - conv.taps) // conv.stride + 1
        return (samples + abs(samples)) // 2

    @property
    def tile(self) -> int:
        """Frames that the convolutions work out at a time, about a second: activations stay in the cache, memory stays flat."""
        return max(1, round(SAMPLE_RATE / self.hop))


class Norm(nnx.Module):
    """Layer norm over the last axis."""

    def __init__(self, source: Source, name: str, width: int, eps: float):
        self.scale_D, self.bias_D = param(source.array(f"{name}.weight", (width,))), param(source.array(f"{name}.bias", (width,)))
        self.eps = eps

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """[B, T, D] -> [B, T, D]."""
        y_BTD = x_BTD - jnp.mean(x_BTD, axis=-1, keepdims=True)
        y_BTD = y_BTD * jax.lax.rsqrt(jnp.mean(y_BTD * y_BTD, axis=-1, keepdims=True) + self.eps)
        return y_BTD * self.scale_D[...][None, None] + self.bias_D[...][None, None]


class Linear(nnx.Module):
    """An affine map."""

    def __init__(self, source: Source, names: tuple[str, ...], inputs: int, outputs: int):
        """Several names are maps of the same input, made one."""
        self.kernel_IO = param(jnp.concatenate([source.array(f"{name}.weight", (outputs, inputs)).T for name in names], axis=1))
        self.bias_O = param(jnp.concatenate([source.array(f"{name}.bias", (outputs,)) for name in names]))

    def __call__(self, x_BTI: jax.Array) -> jax.Array:
        """[B, T, I] -> [B, T, O]."""
        return x_BTI @ self.kernel_IO[...] + self.bias_O[...][None, None]


class ConvLayer(nnx.Module):
    """One convolution of the stack."""

    def __init__(self, source: Source, cfg: Wav2Vec2Config, index: int):
        shape, inputs = cfg.convs[index], cfg.convs[index - 1].channels if index else 1
        name = f"feature_extractor.conv_layers.{index}.0"
        self.kernel_KIO = param(source.array(f"{name}.weight", (shape.channels, inputs, shape.taps)).transpose(2, 1, 0))
        self.bias_O = param(source.array(f"{name}.bias", (shape.channels,))) if cfg.conv_bias else None
        self.stride = shape.stride

    def __call__(self, x_BTI: jax.Array) -> jax.Array:
        """[B, T, I] -> [B, (T - K) // stride + 1, O]."""
        y_BTO = correlate(x_BTI, self.kernel_KIO[...], (0, 0), stride=self.stride)
        return y_BTO if self.bias_O is None else y_BTO + self.bias_O[...][None, None]


class ConvStack(nnx.Module):
    """Waveform -> frames, in tiles of about a second. `norms`: one, over time after the first layer, or one over the channels after each."""

    def __init__(self, source: Source, cfg: Wav2Vec2Config):
        self.cfg = cfg
        self.layers = nnx.List([ConvLayer(source, cfg, i) for i in range(len(cfg.convs))])
        suffix, count = ("2", 1) if cfg.conv_norm is ConvNorm.GROUP else ("2.1", len(cfg.convs))
        names = [f"feature_extractor.conv_layers.{i}.{suffix}" for i in range(count)]
        self.norms = nnx.List([Norm(source, name, conv.channels, NORM_EPS) for name, conv in zip(names, cfg.convs)])

    def __call__(self, wav_BS: jax.Array, counts_B: jax.Array) -> jax.Array:
        """[B, S] with counts_B samples each -> [B, T, D]; T a multiple of the tile. Past a row's end: arbitrary frames."""
        cfg = self.cfg
        width, frames = cfg.sample_count(cfg.tile), cfg.frame_count(wav_BS.shape[1])
        moments = self.moments(wav_BS, counts_B) if cfg.conv_norm is ConvNorm.GROUP else None

        def add_tile(i: jax.Array, out_BTD: jax.Array) -> jax.Array:
            tile_BS = jax.lax.dynamic_slice_in_dim(wav_BS, i * cfg.tile * cfg.hop, width, 1)
            return jax.lax.dynamic_update_slice_in_dim(out_BTD, self.convolve(tile_BS, moments)[-1], i * cfg.tile, 1)

        out_BTD = jnp.zeros((len(wav_BS), frames, cfg.convs[-1].channels), jnp.float32)
        tiles = -(-jnp.max(cfg.frame_count(counts_B)) // cfg.tile)
        return jax.lax.fori_loop(0, tiles, add_tile, out_BTD)

    def convolve(self, wav_BS: jax.Array, moments: tuple[jax.Array, jax.Array] | None) -> list[jax.Array]:
        """The output [B, T, O] of every layer, without tiles. `moments` of the whole rows: see there; None for norms over the channels."""
        outputs = []
        for i, layer in enumerate(self.layers):
            y_BTO = layer(outputs[-1] if i else wav_BS[..., None])
            if moments is None:
                y_BTO = self.norms[i](y_BTO)
            elif i == 0:
                mean_BO, scale_BO = moments
                y_BTO = (y_BTO - mean_BO[:, None]) * scale_BO[:, None] + self.norms[0].bias_D[...][None, None]
            outputs.append(gelu(y_BTO))
        return outputs

    def moments(self, wav_BS: jax.Array, counts_B: jax.Array) -> tuple[jax.Array, jax.Array]:
        """For the norm over time: each row's mean over its own frames of the first convolution, and the scale over its deviation; [B, O] each."""
        layer, norm, shape = self.layers[0], self.norms[0], self.cfg.convs[0]
        counts_B = (counts_B - shape.taps) // shape.stride + 1
        size = self.cfg.sample_count(self.cfg.tile) // shape.stride
        span = (size - 1) * shape.stride + shape.taps
        wav_BS = jnp.pad(wav_BS, ((0, 0), (0, span)))

        def sum_over(term: Callable[[jax.Array], jax.Array]) -> jax.Array:
            def add_tile(i: jax.Array, sum_BO: jax.Array) -> jax.Array:
                tile_BS = jax.lax.dynamic_slice_in_dim(wav_BS, i * size * shape.stride, span, 1)
                inside_BN1 = (i * size + jnp.arange(size)[None] < counts_B[:, None])[..., None]
                return sum_BO + jnp.sum(jnp.where(inside_BN1, term(layer(tile_BS[..., None])), 0), axis=1)

            zero_BO = jnp.zeros((len(wav_BS), shape.channels), jnp.float32)
            return jax.lax.fori_loop(0, -(-jnp.max(counts_B) // size), add_tile, zero_BO)

        count_B1 = jnp.maximum(counts_B, 1)[:, None].astype(jnp.float32)
        mean_BO = sum_over(lambda y_BNO: y_BNO) / count_B1
        variance_BO = sum_over(lambda y_BNO: jnp.square(y_BNO - mean_BO[:, None])) / count_B1
        return mean_BO, jax.lax.rsqrt(variance_BO + norm.eps) * norm.scale_D[...][None]


class PositionConv(nnx.Module):
    """Adds where a frame stands: a grouped convolution over its surroundings."""

    def __init__(self, source: Source, cfg: Wav2Vec2Config):
        shape = (cfg.width, cfg.width // cfg.position_groups, cfg.position_taps)
        self.kernel_KIO = param(source.kernel(POSITION_CONV, shape).transpose(2, 1, 0))
        self.bias_O = param(source.array(f"{POSITION_CONV}.bias", (cfg.width,)))
        self.groups = cfg.position_groups

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """[B, T, D], before it is added. A frame more to the left than to the right for an even number of taps."""
        taps = self.kernel_KIO.shape[0]
        y_BHTD = jax.lax.conv_general_dilated(
            x_BTD[:, None], self.kernel_KIO[...][None], (1, 1), ((0, 0), (taps // 2, (taps - 1) // 2)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=self.groups, precision=jax.lax.Precision.HIGHEST,
        )  # fmt: skip
        return gelu(y_BHTD[:, 0] + self.bias_O[...][None, None])


class Block(nnx.Module):
    """A transformer layer, its norms after the sums or (`pre_norm`) before the branches."""

    def __init__(self, source: Source, cfg: Wav2Vec2Config, index: int):
        name, width = f"encoder.layers.{index}", cfg.width
        self.qkv = Linear(source, tuple(f"{name}.self_attn.{x}_proj" for x in "qkv"), width, width)
        self.out = Linear(source, (f"{name}.self_attn.out_proj",), width, width)
        self.attention_norm = Norm(source, f"{name}.self_attn_layer_norm", width, cfg.norm_eps)
        self.up = Linear(source, (f"{name}.fc1",), width, cfg.mlp_width)
        self.down = Linear(source, (f"{name}.fc2",), cfg.mlp_width, width)
        self.mlp_norm = Norm(source, f"{name}.final_layer_norm", width, cfg.norm_eps)
        self.heads, self.pre_norm = cfg.heads, cfg.pre_norm

    def __call__(self, x_BTD: jax.Array, bias_BT: jax.Array) -> jax.Array:
        """[B, T, D]; `bias_BT` is added to the attention scores of each frame as a key: 0, or MASKED for padding."""
        if self.pre_norm:
            x_BTD = x_BTD + self.attend(self.attention_norm(x_BTD), bias_BT)
            return x_BTD + self.down(gelu(self.up(self.mlp_norm(x_BTD))))
        x_BTD = self.attention_norm(x_BTD + self.attend(x_BTD, bias_BT))
        return self.mlp_norm(x_BTD + self.down(gelu(self.up(x_BTD))))

    def attend(self, x_BTD: jax.Array, bias_BT: jax.Array) -> jax.Array:
        """Self-attention over a row's own frames."""
        rows, frames, width = x_BTD.shape
        qkv_BTXHW = self.qkv(x_BTD).reshape(rows, frames, 3, self.heads, width // self.heads)
        q_BTHW, k_BTHW, v_BTHW = (qkv_BTXHW[:, :, i] for i in range(3))
        scores_BHTT = jnp.einsum("BTHW,BSHW->BHTS", q_BTHW * (width // self.heads) ** -0.5, k_BTHW) + bias_BT[:, None, None]
        y_BTHW = jnp.einsum("BHTS,BSHW->BTHW", jax.nn.softmax(scores_BHTT), v_BTHW)
        return self.out(y_BTHW.reshape(rows, frames, width))


class Wav2Vec2(nnx.Module):
    """The whole encoder. Call it under `encode`, or its parts one by one."""

    def __init__(self, source: Source, cfg: Wav2Vec2Config):
        self.cfg = cfg
        self.convs = ConvStack(source, cfg)
        self.conv_norm = Norm(source, "layer_norm", cfg.convs[-1].channels, NORM_EPS)
        self.project = Linear(source, ("post_extract_proj",), cfg.convs[-1].channels, cfg.width) if cfg.project else None
        self.positions = PositionConv(source, cfg)
        self.norm = Norm(source, "encoder.layer_norm", cfg.width, cfg.norm_eps)
        self.layers = nnx.List([Block(source, cfg, i) for i in range(cfg.layers)])

    def embed(self, features_BTD: jax.Array, inside_BT: jax.Array) -> jax.Array:
        """Convolutional features -> the first layer's input; padding is zero before frames see their surroundings."""
        x_BTD = self.conv_norm(features_BTD)
        x_BTD = x_BTD if self.project is None else self.project(x_BTD)
        x_BTD = jnp.where(inside_BT[..., None], x_BTD, 0)
        x_BTD = x_BTD + self.positions(x_BTD)
        return x_BTD if self.cfg.pre_norm else self.norm(x_BTD)

    def __call__(self, wav_BS: jax.Array, counts_B: jax.Array, last: int | None = None) -> list[jax.Array]:
        """The outputs of layers 1 to `last`, each [B, T, D]; None: of all, the final norm of a pre-norm encoder included in the last one.

        wav_BS: rows of `counts_B` samples each, S such that T is a multiple of `cfg.tile`. Frames past a row's end are arbitrary.
        """
        features_BTD = self.convs(wav_BS, counts_B)
        inside_BT = jnp.arange(features_BTD.shape[1])[None] < self.cfg.frame_count(counts_B)[:, None]
        bias_BT = jnp.where(inside_BT, 0.0, MASKED)
        x_BTD, outputs = self.embed(features_BTD, inside_BT), []
        for layer in self.layers[:last]:
            x_BTD = layer(x_BTD, bias_BT)
            outputs.append(x_BTD)
        if last is None and self.cfg.pre_norm:
            outputs[-1] = self.norm(outputs[-1])
        return outputs


def gelu(x: jax.Array) -> jax.Array:
    """The exact GELU, by erf: on a CPU three times as fast as by erfc."""
    return 0.5 * x * (1.0 + jax.lax.erf(x * 0.5**0.5))


def init_encoder(cfg: Wav2Vec2Config, key: jax.Array) -> Wav2Vec2:
    """Random weights."""
    return Wav2Vec2(Drawn(key), cfg)
