import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.speech.encoders.wav2vec2.config import ConvNorm
from tests.speech.tiny_encoders import PRE_NORM, TINY, noisy_rows, own_frames, random_encoder


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
    np.testing.assert_allclose(
        own_frames(cfg, tiled, (25_000,)), own_frames(cfg, whole, (25_000,)), atol=1e-5
    )


def test_group_norm_makes_each_channel_standard_before_its_scale():
    encoder = random_encoder(TINY)
    wav_BS, counts_B = noisy_rows(TINY, 20_000)
    first = encoder.convs.layers[0]
    y_BTO = first(wav_BS[:, :20_000, None])
    mean_BO, scale_BO = encoder.convs.moments(wav_BS, counts_B)
    np.testing.assert_allclose(mean_BO[0], y_BTO[0].mean(0), atol=1e-5)
    np.testing.assert_allclose(
        scale_BO[0], encoder.convs.norms[0].scale_D[...] / jnp.sqrt(y_BTO[0].var(0) + 1e-5), rtol=1e-4
    )


def test_the_scale_of_a_slow_sound_under_kernels_that_hear_fast_ones_only():
    """Their output is some thousandths of the sound at most."""
    convs = random_encoder(TINY).convs
    taps, channels = TINY.convs[0].taps, TINY.convs[0].channels
    kernel_KO = np.pad(np.array([1.0, -2.0, 1.0]), (0, taps - 3))[:, None] * np.arange(1, channels + 1)
    convs.layers[0].kernel_KIO[...] = jnp.asarray(kernel_KO[:, None], jnp.float32)
    sound_S = (0.3 + np.sin(2 * np.pi * 60 * np.arange(30_000) / 16_000)).astype(np.float32)
    y_TO = (
        np.lib.stride_tricks.sliding_window_view(sound_S.astype(np.float64), taps)[:: TINY.convs[0].stride]
        @ kernel_KO
    )
    assert y_TO.std(axis=0).max() < 4e-3
    wav_BS, counts_B = noisy_rows(TINY, 30_000)
    _, scale_BO = jax.jit(lambda convs: convs.moments(wav_BS.at[0, :30_000].set(sound_S), counts_B))(convs)
    np.testing.assert_allclose(
        scale_BO[0], convs.norms[0].scale_D[...] / np.sqrt(y_TO.var(axis=0) + 1e-5), rtol=1e-4
    )


@pytest.mark.parametrize("length", [30_000, 1_600_000])
def test_an_offset_costs_no_digits(length):
    """Of a quiet sound under an offset that kernels let through, short or as long as 100 s."""
    convs = random_encoder(TINY).convs
    sound_S = (0.9 + 1e-3 * np.random.default_rng(0).normal(size=length)).astype(np.float32)
    shape, kernel_KO = TINY.convs[0], np.asarray(convs.layers[0].kernel_KIO[...], np.float64)[:, 0]
    y_TO = np.lib.stride_tricks.sliding_window_view(sound_S.astype(np.float64), shape.taps)[:: shape.stride]
    y_TO = y_TO @ kernel_KO
    mean_BO, scale_BO = jax.jit(lambda convs: convs.moments(sound_S[None], jnp.array([length])))(convs)
    np.testing.assert_allclose(mean_BO[0], y_TO.mean(axis=0), atol=1e-6)
    expected_O = convs.norms[0].scale_D[...] / np.sqrt(y_TO.var(axis=0) + 1e-5)
    np.testing.assert_allclose(scale_BO[0], expected_O, rtol=1e-4)
