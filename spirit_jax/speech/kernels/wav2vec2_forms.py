"""The same encoder in the forms that are fastest on a CPU and on a GPU (measured). Their arrays are the
encoder's own and some more; they aren't stored.

Legend: B rows, T frames, S frames as keys, I inputs, O outputs, K taps, D width, H heads, W head width, G
groups, N blocks of all rows, J of one, M frequencies, P real and imaginary parts side by side.
"""

import copy

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from spirit_jax.speech.encoders.wav2vec2.conv_stack import ConvLayer, HalvingConv, gelu
from spirit_jax.speech.encoders.wav2vec2.network import Block, PositionConv, QueryKeyValue, Wav2Vec2
from spirit_jax.speech.kernels.convolution import param
from spirit_jax.speech.kernels.product import EXACT


def fast_form(encoder: Wav2Vec2) -> Wav2Vec2:
    """Another encoder, the same function in the form for the devices that JAX uses; on TPUs a copy, which a
    table may hold as long as the first.
    """
    return {"cpu": for_cpu, "gpu": for_gpu}.get(jax.default_backend(), copy.copy)(encoder)


def for_gpu(encoder: Wav2Vec2) -> Wav2Vec2:
    """Its positions by Fourier transforms: written out they are a sixth of the whole."""
    assert isinstance(encoder.positions, PositionConv), "in that form already"
    fast = copy.copy(encoder)
    fast.positions = SpectralPositionConv(encoder.positions)
    return fast


def for_cpu(encoder: Wav2Vec2) -> Wav2Vec2:
    """That, its convolutions of stride 2 by fewer products, and its attention head by head."""
    fast = for_gpu(encoder)
    fast.convs = copy.copy(encoder.convs)
    fast.convs.layers = nnx.List(
        [
            HalvingConv(layer) if isinstance(layer, ConvLayer) and layer.halves else layer
            for layer in encoder.convs.layers
        ]
    )
    folded: list[Block] = [FoldedBlock(layer) for layer in encoder.layers]
    fast.layers = nnx.List(folded)
    return fast


class FoldedBlock(Block):
    """A `Block` with a `FoldedQueryKeyValue`, whose attention takes the heads one by one, so that the scores
    fit the cache.
    """

    def __init__(self, block: Block):
        assert isinstance(block.qkv, QueryKeyValue), "in that form already"
        self.qkv, self.out = FoldedQueryKeyValue(block.qkv), copy.copy(block.out)
        v_bias_D = jnp.split(block.qkv.bias_O[...], 3)[2]
        self.out.bias_O = param(block.out.bias_O[...] + v_bias_D @ block.out.kernel_IO[...])
        self.attention_norm, self.up, self.down, self.mlp_norm = (
            block.attention_norm,
            block.up,
            block.down,
            block.mlp_norm,
        )
        self.heads, self.pre_norm = block.heads, block.pre_norm

    def attend(self, x_BTD: jax.Array, bias_BT: jax.Array) -> jax.Array:
        """The bias is a feature more of each key, times 1 of each query: an addition to the scores would cost
        an eighth of the whole.
        """
        q_BTD, k_BTD, v_BTD = self.qkv(x_BTD)
        ones_BT1, bias_BT1 = jnp.ones((*x_BTD.shape[:2], 1)), bias_BT[..., None]

        def attend_head(q_BTW: jax.Array, k_BTW: jax.Array, v_BTW: jax.Array) -> jax.Array:
            q_BTW, k_BTW = (
                jnp.concatenate([q_BTW, ones_BT1], axis=-1),
                jnp.concatenate([k_BTW, bias_BT1], axis=-1),
            )
            scores_BTT = jnp.einsum("BTW,BSW->BTS", q_BTW, k_BTW)
            weights_BTT = jnp.exp(scores_BTT - jnp.max(scores_BTT, axis=-1, keepdims=True))
            return jnp.einsum("BTS,BSW->BTW", weights_BTT, v_BTW) / jnp.sum(weights_BTT, axis=-1)[..., None]

        heads = zip(*(jnp.split(y_BTD, self.heads, axis=-1) for y_BTD in (q_BTD, k_BTD, v_BTD)))
        # a loop's copies cost a twentieth of the whole
        return self.out(jnp.concatenate([attend_head(*head) for head in heads], axis=-1))


class FoldedQueryKeyValue(nnx.Module):
    """A `QueryKeyValue` with the scale in its weights and without the biases of keys, which add the same to
    all scores of a query, and of values, which add the same to every output. That gains a hundredth or two of
    the whole.
    """

    def __init__(self, maps: QueryKeyValue):
        q_DO, k_DO, v_DO = np.split(np.asarray(maps.kernel_IO[...]), 3, axis=1)
        self.q_DO, self.k_DO, self.v_DO = param(q_DO * maps.scale), param(k_DO), param(v_DO)
        self.q_bias_O = param(np.split(np.asarray(maps.bias_O[...]), 3)[0] * maps.scale)

    def __call__(self, x_BTD: jax.Array) -> tuple[jax.Array, ...]:
        """[B, T, D] -> three of the same."""
        return (
            x_BTD @ self.q_DO[...] + self.q_bias_O[...][None, None],
            x_BTD @ self.k_DO[...],
            x_BTD @ self.v_DO[...],
        )


class SpectralPositionConv(nnx.Module):
    """A `PositionConv` by Fourier transforms of blocks of twice the taps: on a CPU four times as fast, and as
    exact.
    """

    def __init__(self, conv: PositionConv):
        kernel_KIO = np.asarray(conv.kernel_KIO[...], np.float64)
        taps, inputs, width = kernel_KIO.shape
        spectrum_MIO = np.fft.rfft(kernel_KIO, 2 * taps, axis=0).conj()  # conjugate: a correlation
        spectrum_MGIO = spectrum_MIO.reshape(-1, inputs, conv.groups, width // conv.groups).transpose(
            0, 2, 1, 3
        )
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
        x_MGNI = jnp.concatenate([x_MGNI.real, x_MGNI.imag], axis=2)
        products_MGNP = jnp.matmul(x_MGNI, spectrum_MGIP, precision=EXACT)  # all four of two complex numbers
        (rr, ri), (ir, ii) = (jnp.split(half, 2, axis=3) for half in jnp.split(products_MGNP, 2, axis=2))
        y_NDM = jax.lax.complex(rr - ii, ri + ir).transpose(2, 1, 3, 0).reshape(rows * blocks, width, -1)
        y_BTD = (
            jnp.fft.irfft(y_NDM, 2 * taps)[..., :taps].transpose(0, 2, 1).reshape(rows, blocks * taps, width)
        )
        return gelu(y_BTD[:, :time] + self.bias_O[...][None, None])
