"""The encoder of wav2vec 2.0 and HuBERT: waveform -> convolutions -> transformer. One module for units, style and alignment.

Flax NNX modules that are plain pytrees; float32 throughout, weights named as in fairseq and stored inputs first. Padded samples and frames have
no influence on the rest: a row's numbers are those that it gets alone.

Legend: B rows, S samples, T frames, I inputs, O outputs, K taps, D width, F MLP width, H heads, W head width, X query, key and value, G groups,
N blocks of frames of all rows, J of one row, M frequencies, P real and imaginary parts side by side.
"""

import copy

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from spirit_jax.speech.conv_stack import ConvLayer, ConvStack, HalvingConv, Norm, gelu
from spirit_jax.speech.convolution import param
from spirit_jax.speech.wav2vec2_config import Wav2Vec2Config
from spirit_jax.speech.weight_source import Drawn, Source

POSITION_CONV = "encoder.pos_conv.0"
MASKED = -1e30  # attention to padding: exp of it is exactly 0


class Linear(nnx.Module):
    """An affine map."""

    def __init__(self, source: Source, names: tuple[str, ...], inputs: int, outputs: int):
        """Several names are maps of the same input, made one."""
        self.kernel_IO = param(jnp.concatenate([source.array(f"{name}.weight", (outputs, inputs)).T for name in names], axis=1))
        self.bias_O = param(jnp.concatenate([source.array(f"{name}.bias", (outputs,)) for name in names]))

    def __call__(self, x_BTI: jax.Array) -> jax.Array:
        """[B, T, I] -> [B, T, O]."""
        return x_BTI @ self.kernel_IO[...] + self.bias_O[...][None, None]


class QueryKeyValue(Linear):
    """The maps to queries, keys and values of all heads, made one."""

    def __init__(self, source: Source, name: str, width: int, heads: int):
        super().__init__(source, tuple(f"{name}.{x}_proj" for x in "qkv"), width, width)
        self.scale = (width // heads) ** -0.5

    def __call__(self, x_BTD: jax.Array) -> tuple[jax.Array, ...]:
        """[B, T, D] -> three of the same; the queries times the scores' scale."""
        q_BTD, k_BTD, v_BTD = jnp.split(super().__call__(x_BTD), 3, axis=-1)
        return q_BTD * self.scale, k_BTD, v_BTD


class FoldedQueryKeyValue(nnx.Module):
    """A `QueryKeyValue` with the scale in its weights and without the biases of keys, which add the same to all scores of a query, and of values,
    which add the same to every output. On a CPU that gains a hundredth or two of the whole.
    """

    def __init__(self, maps: QueryKeyValue):
        q_DO, k_DO, v_DO = np.split(np.asarray(maps.kernel_IO[...]), 3, axis=1)
        self.q_DO, self.k_DO, self.v_DO = param(q_DO * maps.scale), param(k_DO), param(v_DO)
        self.q_bias_O = param(np.split(np.asarray(maps.bias_O[...]), 3)[0] * maps.scale)

    def __call__(self, x_BTD: jax.Array) -> tuple[jax.Array, ...]:
        """[B, T, D] -> three of the same."""
        return x_BTD @ self.q_DO[...] + self.q_bias_O[...][None, None], x_BTD @ self.k_DO[...], x_BTD @ self.v_DO[...]


class PositionConv(nnx.Module):
    """Adds where a frame stands: a grouped convolution over its surroundings."""

    def __init__(self, source: Source, cfg: Wav2Vec2Config):
        shape = (cfg.width, cfg.width // cfg.position_groups, cfg.position_taps)
        self.kernel_KIO = param(source.kernel(POSITION_CONV, shape).transpose(2, 1, 0))
        self.bias_O = param(source.array(f"{POSITION_CONV}.bias", (cfg.width,)))
        self.groups = cfg.position_groups

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """[B, T, D], before it is added. Centred; for an even number of taps a frame sees one more to the left than to the right."""
        reach = self.kernel_KIO.shape[0] // 2
        y_BHTD = jax.lax.conv_general_dilated(  # as many zeros on both sides, or XLA's CPU code takes five times as long
            x_BTD[:, None], self.kernel_KIO[...][None], (1, 1), ((0, 0), (reach, reach)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=self.groups, precision=jax.lax.Precision.HIGHEST,
        )  # fmt: skip
        return gelu(y_BHTD[:, 0, : x_BTD.shape[1]] + self.bias_O[...][None, None])


class SpectralPositionConv(nnx.Module):
    """A `PositionConv` by Fourier transforms of blocks of twice the taps: on a CPU four times as fast, and as exact."""

    def __init__(self, conv: PositionConv):
        kernel_KIO = np.asarray(conv.kernel_KIO[...], np.float64)
        taps, inputs, width = kernel_KIO.shape
        spectrum_MIO = np.fft.rfft(kernel_KIO, 2 * taps, axis=0).conj()  # conjugate: a correlation
        spectrum_MGIO = spectrum_MIO.reshape(-1, inputs, conv.groups, width // conv.groups).transpose(0, 2, 1, 3)
        self.spectrum_MGIP = param(np.concatenate([spectrum_MGIO.real, spectrum_MGIO.imag], axis=-1))
        self.bias_O = conv.bias_O

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """The convolution's [B, T, D]."""
        (rows, time, width), spectrum_MGIP = x_BTD.shape, self.spectrum_MGIP[...]
        taps, groups = spectrum_MGIP.shape[0] - 1, spectrum_MGIP.shape[1]
        blocks = -(-time // taps)
        x_BTD = jnp.pad(x_BTD, ((0, 0), (taps // 2, (blocks + 1) * taps - taps // 2 - time), (0, 0)))
        x_BJKD = x_BTD.reshape(rows, blocks + 1, taps, width)
        x_NKD = jnp.concatenate([x_BJKD[:, :-1], x_BJKD[:, 1:]], axis=2).reshape(-1, 2 * taps, width)
        x_NDM = jnp.fft.rfft(x_NKD.transpose(0, 2, 1))
        x_MGNI = x_NDM.reshape(rows * blocks, groups, width // groups, -1).transpose(3, 1, 0, 2)
        products_MGNP = jnp.concatenate([x_MGNI.real, x_MGNI.imag], axis=2) @ spectrum_MGIP  # all four of two complex numbers
        (rr, ri), (ir, ii) = (jnp.split(half, 2, axis=3) for half in jnp.split(products_MGNP, 2, axis=2))
        y_NDM = jax.lax.complex(rr - ii, ri + ir).transpose(2, 1, 3, 0).reshape(rows * blocks, width, -1)
        y_BTD = jnp.fft.irfft(y_NDM, 2 * taps)[..., :taps].transpose(0, 2, 1).reshape(rows, blocks * taps, width)
        return gelu(y_BTD[:, :time] + self.bias_O[...][None, None])


class Block(nnx.Module):
    """A transformer layer, its norms after the sums or (`pre_norm`) before the branches."""

    def __init__(self, source: Source, cfg: Wav2Vec2Config, index: int):
        name, width = f"encoder.layers.{index}", cfg.width
        self.qkv: QueryKeyValue | FoldedQueryKeyValue = QueryKeyValue(source, f"{name}.self_attn", width, cfg.heads)
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
        """Self-attention over a row's own frames, head by head, so that the scores fit the cache. The bias is a feature more of each key, times 1 of
        each query: on a CPU an addition to the scores would cost an eighth of the whole.
        """
        q_BTD, k_BTD, v_BTD = self.qkv(x_BTD)
        ones_BT1, bias_BT1 = jnp.ones((*x_BTD.shape[:2], 1)), bias_BT[..., None]

        def attend_head(q_BTW: jax.Array, k_BTW: jax.Array, v_BTW: jax.Array) -> jax.Array:
            q_BTW, k_BTW = jnp.concatenate([q_BTW, ones_BT1], axis=-1), jnp.concatenate([k_BTW, bias_BT1], axis=-1)
            scores_BTT = jnp.einsum("BTW,BSW->BTS", q_BTW, k_BTW)
            weights_BTT = jnp.exp(scores_BTT - jnp.max(scores_BTT, axis=-1, keepdims=True))
            return jnp.einsum("BTS,BSW->BTW", weights_BTT, v_BTW) / jnp.sum(weights_BTT, axis=-1)[..., None]

        heads = zip(*(jnp.split(y_BTD, self.heads, axis=-1) for y_BTD in (q_BTD, k_BTD, v_BTD)))
        return self.out(jnp.concatenate([attend_head(*head) for head in heads], axis=-1))  # a loop's copies cost a twentieth of the whole


class Wav2Vec2(nnx.Module):
    """The whole encoder. Call it under `encode`, or its parts one by one."""

    def __init__(self, source: Source, cfg: Wav2Vec2Config):
        self.cfg = cfg
        self.convs = ConvStack(source, cfg)
        self.conv_norm = Norm(source, "layer_norm", cfg.convs[-1].channels, cfg.norm_eps)
        self.project = Linear(source, ("post_extract_proj",), cfg.convs[-1].channels, cfg.width) if cfg.project else None
        self.positions: PositionConv | SpectralPositionConv = PositionConv(source, cfg)
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


def init_encoder(cfg: Wav2Vec2Config, key: jax.Array) -> Wav2Vec2:
    """Random weights."""
    return Wav2Vec2(Drawn(key), cfg)


def for_cpu(encoder: Wav2Vec2) -> Wav2Vec2:
    """The same function with what is faster on a CPU (measured). Its arrays are the encoder's own and some more; they aren't stored."""
    assert isinstance(encoder.positions, PositionConv), "in that form already"
    fast = copy.copy(encoder)
    fast.positions, fast.convs = SpectralPositionConv(encoder.positions), copy.copy(encoder.convs)
    fast.convs.layers = nnx.List([HalvingConv(layer) if isinstance(layer, ConvLayer) and layer.halves else layer for layer in encoder.convs.layers])
    fast.layers = nnx.List([_folded(layer) for layer in encoder.layers])
    return fast


def _folded(layer: Block) -> Block:
    assert isinstance(layer.qkv, QueryKeyValue), "in that form already"
    folded = copy.copy(layer)
    folded.qkv, folded.out = FoldedQueryKeyValue(layer.qkv), copy.copy(layer.out)
    v_bias_D = jnp.split(layer.qkv.bias_O[...], 3)[2]
    folded.out.bias_O = param(layer.out.bias_O[...] + v_bias_D @ layer.out.kernel_IO[...])
    return folded
