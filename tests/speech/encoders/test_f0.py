import numpy as np
import pytest

from spirit_jax.speech.encoders import f0 as pitch
from tests.speech.synthetic import RATE, babble, tone


@pytest.mark.parametrize("hz", [65.0, 90.0, 123.4, 200.0, 317.0, 480.0])
@pytest.mark.parametrize("partials", [1, 12])
def test_steady_tones(hz, partials):
    (f0,) = pitch.track_f0([tone(hz, 1.0, partials)])
    voiced = f0[f0 > 0]
    assert len(f0) == 16_000 // 80 + 1
    assert len(voiced) > 0.95 * len(f0)
    assert np.median(np.abs(voiced / hz - 1)) < 0.003
    assert np.abs(voiced / hz - 1).max() < 0.02


def test_a_steady_offset_hides_no_voice():
    (f0,) = pitch.track_f0([0.5 + 0.005 * tone(150, 1.0)])
    assert (f0 > 0).mean() > 0.95


def test_a_glide_is_followed_in_time():
    hz = np.linspace(100, 250, 2 * RATE)
    wav = np.sign(np.sin(2 * np.pi * np.cumsum(hz) / RATE)).astype(np.float32)
    (f0,) = pitch.track_f0([wav])
    truth = np.interp(np.arange(len(f0)) * 80, np.arange(len(hz)), hz)
    assert np.median(np.abs(f0 / truth - 1)[10:-10]) < 0.01


def test_noise_and_silence_are_unvoiced():
    noise = np.random.default_rng(0).normal(size=2 * RATE).astype(np.float32)
    quiet = np.concatenate([tone(150, 0.5), 1e-4 * tone(150, 0.5), np.zeros(8000, np.float32)])
    f0_noise, f0_quiet = pitch.track_f0([noise, quiet])
    assert (f0_noise > 0).mean() < 0.01
    assert (f0_quiet[:95] > 0).mean() > 0.9
    assert (f0_quiet[110:] > 0).mean() < 0.02


def test_babble_has_its_pitch_where_there_are_vowels():
    wav, phones = babble(4.0, seed=0, hz=140)
    f0 = pitch.track_f0([wav])[0][:-1].reshape(-1, 8)
    voiced = f0[(phones < 5)]
    assert (voiced > 0).mean() > 0.85
    assert np.median(voiced[voiced > 0]) == pytest.approx(140, rel=0.01)
    assert (f0[phones == 5] > 0).mean() < 0.35  # only where a vowel is near


def test_a_wav_gives_the_same_alone_and_among_others():
    wavs = [babble(seconds, seed=i, hz=100 + 20 * i)[0] for i, seconds in enumerate((0.5, 2.03, 0.09, 12.0))]
    for wav, f0 in zip(wavs, pitch.track_f0(wavs)):
        np.testing.assert_array_equal(pitch.track_f0([wav])[0], f0)
