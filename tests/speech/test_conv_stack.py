import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.speech.conv_stack import ConvLayer, HalvingConv, gelu
from spirit_jax.speech.wav2vec2_config import ConvNorm, ConvShape
from tests.speech.encoders import PRE_NORM, TINY, Varied, noisy_rows, own_frames, random_encoder


@pytest.mark.parametrize("time", [3, 5, 6, 7, 9, 12, 21])
def test_halving_is_a_convolution(time):
    layer = ConvLayer(Varied(time), dataclasses.replace(PRE_NORM, convs=(ConvShape(5, 4, 2), ConvShape(12, 3, 2))), 1)
    x_BTI = jnp.asarray(np.random.default_rng(time).normal(size=(2, time, 5)), jnp.float32)
    np.testing.assert_allclose(HalvingConv(layer)(x_BTI), layer(x_BTI), atol=1e-5)


@pytest.mark.parametrize("cfg", [TINY, PRE_NORM, dataclasses.replace(TINY, convs=TINY.convs[:1])])
def test_tiles_leave_no_seam(cfg):
    """Of some convolutions in tiles, or of all."""
    encoder = random_encoder(cfg)
    wav_BS, counts_B = noisy_rows(cfg, 25_000)

    @jax.jit
    def both_ways(convs):
        moments = convs.moments(wav_BS, counts_B) if cfg.conv_norm is ConvNorm.GROUP else None
        return convs(wav_BS, counts_B), convs.convolve(wav_BS[..., None], moments)[-1]

    tiled, whole = both_ways(encoder.convs)
    np.testing.assert_allclose(own_frames(cfg, tiled, (25_000,)), own_frames(cfg, whole, (25_000,)), atol=1e-5)


def test_group_norm_makes_each_channel_standard_before_its_scale():
    encoder = random_encoder(TINY)
    wav_BS, counts_B = noisy_rows(TINY, 20_000)
    first = encoder.convs.layers[0]
    y_BTO = first(wav_BS[:, :20_000, None])
    mean_BO, scale_BO = encoder.convs.moments(wav_BS, counts_B)
    np.testing.assert_allclose(mean_BO[0], y_BTO[0].mean(0), atol=1e-5)
    np.testing.assert_allclose(scale_BO[0], encoder.convs.norms[0].scale_D[...] / jnp.sqrt(y_BTO[0].var(0) + 1e-5), rtol=1e-4)


def test_gelu_is_exact():
    x = jnp.linspace(-8, 8, 1001)
    np.testing.assert_allclose(gelu(x), jax.nn.gelu(x, approximate=False), atol=1e-6)
