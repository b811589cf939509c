"""The losses of the vocoder: mel, discriminators, durations, and the rows of its batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.codec_training import losses
from spirit_jax.codec_training import vocoder_rows as vocoder_data
from spirit_jax.codec_training.config import DiscriminatorSizes, MelConfig
from spirit_jax.codec_training.corpus import at_level
from spirit_jax.codec_training.discriminators import Discriminators, fold, halve
from spirit_jax.codec_training.mel import log_mel
from tests.codec_training.world import make_wav

SIZES = DiscriminatorSizes((2, 3), (4, 6), 2, ((4, 15, 1, 1), (8, 41, 2, 4)))


def test_log_mel_is_librosas():
    import librosa

    wav, cfg = make_wav(0, 0), MelConfig()
    ours = np.asarray(jax.jit(lambda wav: log_mel(wav, cfg))(jnp.asarray(wav)[None]))[0]
    padded = np.pad(wav, (cfg.window - cfg.hop) // 2, mode="reflect")
    spectrum = np.abs(librosa.stft(padded, n_fft=cfg.window, hop_length=cfg.hop, center=False))
    theirs = np.log(
        np.maximum(librosa.filters.mel(sr=16000, n_fft=cfg.window, n_mels=cfg.bands) @ spectrum, 1e-5)
    ).T
    # a quiet band's amplitude is a difference of float32 roundings
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_silence_has_a_gradient():
    slope = jax.jit(jax.grad(lambda wav: losses.mel_distance(wav, jnp.ones((1, 4096)), MelConfig())))(
        jnp.zeros((1, 4096))
    )
    assert np.isfinite(slope).all()


def test_folding_puts_a_period_beside_itself():
    x_BT = jnp.arange(14.0).reshape(2, 7)
    rows = np.asarray(fold(x_BT, 3))[..., 0]
    # two samples are reflected: 5, 4
    np.testing.assert_array_equal(rows[:3], [[0, 3, 6], [1, 4, 5], [2, 5, 4]])
    np.testing.assert_array_equal(rows[3], [7, 10, 13])


def test_halving_averages_four():
    np.testing.assert_allclose(halve(jnp.arange(6.0)[None])[0], [0.25, 1.5, 3.5, 2.25], rtol=1e-6)


def test_each_discriminator_returns_all_its_layers():
    outputs = jax.eval_shape(lambda wav: Discriminators(SIZES, jax.random.key(0))(wav), jnp.zeros((1, 3000)))
    assert [len(layers) for layers in outputs] == [3, 3, 3, 3]
    assert outputs[0][0].shape == (2, 500, 4)
    assert outputs[2][1].shape == (1, 1500, 8)
    assert all(layers[-1].shape[-1] == 1 for layers in outputs)


def test_adversaries_pull_apart():
    good, bad = [[jnp.ones((1, 5, 1))]], [[jnp.zeros((1, 5, 1))]]
    assert losses.discriminator_loss(bad, good) == 0
    assert losses.discriminator_loss(good, bad) == 2
    assert losses.generator_loss(bad) == 1
    assert losses.feature_distance(good, bad) == 1


def test_durations_count_inside_only():
    predicted, frames = jnp.log1p(jnp.array([[1.0, 3.0, 9.0]])), jnp.array([[1.0, 1.0, 1.0]])
    assert losses.duration_error(predicted, frames, jnp.array([1])) == 0
    assert losses.duration_error(predicted, frames, jnp.array([2])) == pytest.approx(
        np.log(2) ** 2 / 2, rel=1e-5
    )


def test_runs_and_level():
    units, frames = vocoder_data.runs_of(np.array([4, 4, 7, 4, 4, 4], np.int32))
    assert (units.tolist(), frames.tolist()) == ([4, 7, 4], [2, 1, 3])
    wav = at_level(0.01 * make_wav(0, 0))
    assert np.sqrt(np.mean(np.square(wav))) == pytest.approx(0.08, rel=1e-4)
    spiky = np.zeros(16000, np.float32)
    spiky[100] = 0.5
    assert np.abs(at_level(spiky)).max() == pytest.approx(0.95, rel=1e-4)
