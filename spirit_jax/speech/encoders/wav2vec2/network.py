"""The encoder of wav2vec 2.0 and HuBERT: waveform -> convolutions -> transformer. One module for units, style
and alignment.

Flax NNX modules that are plain pytrees; float32 throughout, weights named as in fairseq and stored inputs
first. Padding and other rows have no influence on a row.

Legend: B rows, S samples, T frames, I inputs, O outputs, K taps, D width.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from spirit_jax.speech.encoders.wav2vec2.config import Wav2Vec2Config
from spirit_jax.speech.encoders.wav2vec2.conv_stack import ConvStack, Norm
from spirit_jax.speech.kernels.attention import MASKED, Attention
from spirit_jax.speech.kernels.convolution import GroupedConv, param
from spirit_jax.speech.kernels.gelu import gelu
from spirit_jax.speech.kernels.product import product
from spirit_jax.speech.weights.readers import WeightReader

POSITION_CONV = "encoder.pos_conv.0"
NORMED_POSITION_CONV = "encoder.pos_conv.1"  # after a batch norm, which then has the name of the other


class Linear(nnx.Module):
    """An affine map."""

    def __init__(self, reader: WeightReader, names: tuple[str, ...], inputs: int, outputs: int):
        """Several names are maps of the same input, which are concatenated."""
        self.kernel_IO = param(
            jnp.concatenate([reader.array(f"{name}.weight", (outputs, inputs)).T for name in names], axis=1)
        )
        self.bias_O = param(jnp.concatenate([reader.array(f"{name}.bias", (outputs,)) for name in names]))

    def __call__(self, x_BTI: jax.Array) -> jax.Array:
        """[B, T, I] -> [B, T, O]."""
        return product(x_BTI, self.kernel_IO[...]) + self.bias_O[...][None, None]


class QueryKeyValue(Linear):
    """The maps to queries, keys and values of all heads, concatenated."""

    def __init__(self, reader: WeightReader, name: str, width: int, heads: int):
        super().__init__(reader, tuple(f"{name}.{x}_proj" for x in "qkv"), width, width)
        self.scale = (width // heads) ** -0.5

    def __call__(self, x_BTD: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """[B, T, D] -> three of the same; the queries times the scores' scale."""
        q_BTD, k_BTD, v_BTD = jnp.split(super().__call__(x_BTD), 3, axis=-1)
        return q_BTD * self.scale, k_BTD, v_BTD


class Block(nnx.Module):
    """A transformer layer, its norms after the sums or (`pre_norm`) before the branches."""

    def __init__(self, reader: WeightReader, cfg: Wav2Vec2Config, index: int):
        name, width = f"encoder.layers.{index}", cfg.width
        self.qkv = QueryKeyValue(reader, f"{name}.self_attn", width, cfg.heads)
        self.attention = Attention(cfg.heads)
        self.out = Linear(reader, (f"{name}.self_attn.out_proj",), width, width)
        self.attention_norm = Norm(reader, f"{name}.self_attn_layer_norm", width, cfg.norm_eps)
        self.up = Linear(reader, (f"{name}.fc1",), width, cfg.mlp_width)
        self.down = Linear(reader, (f"{name}.fc2",), cfg.mlp_width, width)
        self.mlp_norm = Norm(reader, f"{name}.final_layer_norm", width, cfg.norm_eps)
        self.pre_norm = cfg.pre_norm

    def __call__(self, x_BTD: jax.Array, bias_BT: jax.Array) -> jax.Array:
        """[B, T, D]; `bias_BT` is added to the attention scores of each frame as a key: 0, or MASKED for
        padding.
        """
        if self.pre_norm:
            x_BTD = x_BTD + self.attend(self.attention_norm(x_BTD), bias_BT)
            return x_BTD + self.down(gelu(self.up(self.mlp_norm(x_BTD))))
        x_BTD = self.attention_norm(x_BTD + self.attend(x_BTD, bias_BT))
        return self.mlp_norm(x_BTD + self.down(gelu(self.up(x_BTD))))

    def attend(self, x_BTD: jax.Array, bias_BT: jax.Array) -> jax.Array:
        """Self-attention over a row's own frames."""
        return self.out(self.attention(*self.qkv(x_BTD), bias_BT))


class PositionNorm(nnx.Module):
    """The batch norm before a positional convolution: a scale and a shift of each channel."""

    def __init__(self, reader: WeightReader, width: int):
        self.scale_D, self.shift_D = map(param, reader.batch_norm(POSITION_CONV, width))

    def __call__(self, x_BTD: jax.Array, inside_BT: jax.Array) -> jax.Array:
        """[B, T, D], 0 past a row's end: the convolution pads what comes out of the norm, with zeros."""
        y_BTD = x_BTD * self.scale_D[...][None, None] + self.shift_D[...][None, None]
        return jnp.where(inside_BT[..., None], y_BTD, 0)


class Wav2Vec2(nnx.Module):
    """The whole encoder. Call it through `encode_wavs`, or call its parts."""

    def __init__(self, reader: WeightReader, cfg: Wav2Vec2Config):
        self.cfg = cfg
        self.convs = ConvStack(reader, cfg)
        self.conv_norm = Norm(reader, "layer_norm", cfg.convs[-1].channels, cfg.norm_eps)
        self.project = (
            Linear(reader, ("post_extract_proj",), cfg.convs[-1].channels, cfg.width) if cfg.project else None
        )
        self.position_norm = PositionNorm(reader, cfg.width) if cfg.position_batch_norm else None
        self.positions = _read_positions(reader, cfg)
        self.norm = Norm(reader, "encoder.layer_norm", cfg.width, cfg.norm_eps)
        self.layers = nnx.List([Block(reader, cfg, i) for i in range(cfg.layers)])

    def embed(self, features_BTD: jax.Array, inside_BT: jax.Array) -> jax.Array:
        """Convolutional features -> the first layer's input."""
        x_BTD = self.conv_norm(features_BTD)
        x_BTD = x_BTD if self.project is None else self.project(x_BTD)
        x_BTD = jnp.where(inside_BT[..., None], x_BTD, 0)
        x_BTD = x_BTD + self.encode_positions(x_BTD, inside_BT)
        return x_BTD if self.cfg.pre_norm else self.norm(x_BTD)

    def encode_positions(self, x_BTD: jax.Array, inside_BT: jax.Array) -> jax.Array:
        """What the first layer's input gets for its positions, [B, T, D], from frames that are zero past a
        row's end.
        """
        if self.position_norm is not None:
            x_BTD = self.position_norm(x_BTD, inside_BT)
        return gelu(self.positions(x_BTD))

    def __call__(self, wav_BS: jax.Array, counts_B: jax.Array, last: int | None = None) -> list[jax.Array]:
        """The outputs of layers 1 to `last`, each [B, T, D]; None: of all, the final norm of a pre-norm
        encoder included in the last one.

        wav_BS: rows of `counts_B` samples each, S such that T is a multiple of `cfg.tile`. Frames past a
        row's end are arbitrary.
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


def _read_positions(reader: WeightReader, cfg: Wav2Vec2Config) -> GroupedConv:
    """The convolution that encodes positions."""
    name = NORMED_POSITION_CONV if cfg.position_batch_norm else POSITION_CONV
    shape = (cfg.width, cfg.width // cfg.position_groups, cfg.position_taps)
    kernel_KIO = reader.kernel(name, shape).transpose(2, 1, 0)
    return GroupedConv(kernel_KIO, reader.array(f"{name}.bias", (cfg.width,)), cfg.position_groups)
