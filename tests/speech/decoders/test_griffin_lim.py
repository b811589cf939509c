import numpy as np
import pytest

from spirit_jax.speech.decoders import griffin_lim as vocoder
from spirit_jax.speech.encoders import f0 as pitch
from spirit_jax.speech.encoders import mfcc
from tests.speech.synthetic import babble


def frames_of(seconds, seed, hz=120.0):
    """Log-mel and F0 of babble, both at 100 Hz."""
    wav, _ = babble(seconds, seed=seed, hz=hz)
    (log_mel,), (f0,) = mfcc.log_mel([wav]), pitch.track_f0([wav])
    return log_mel, f0[1::2][: len(log_mel)]


def test_sound_has_the_spectrum_that_was_asked_for():
    asked, f0 = frames_of(2.0, seed=0)
    made = vocoder.synthesize(asked, f0)
    assert made.dtype == np.float32
    assert len(made) == len(asked) * mfcc.HOP
    (heard,) = mfcc.log_mel([made])
    loud = asked > asked.max() - 7
    smooth = mfcc.dct_matrix(20).T @ mfcc.dct_matrix(20)
    assert np.corrcoef((asked @ smooth)[loud], (heard @ smooth)[loud])[0, 1] > 0.9
    assert np.median(np.abs((asked - heard) @ smooth)[loud]) < 0.6


@pytest.mark.parametrize("hz", [90.0, 200.0])
def test_sound_has_the_pitch_that_was_asked_for(hz):
    asked, f0 = frames_of(2.0, seed=1)
    (heard,) = pitch.track_f0([vocoder.synthesize(asked, np.where(f0 > 0, hz, 0))])
    assert np.median(heard[heard > 0]) == pytest.approx(hz, rel=0.02)
    assert ((heard[1::2][: len(f0)] > 0) == (f0 > 0)).mean() > 0.75


def test_no_pitch_gives_noise():
    asked, f0 = frames_of(2.0, seed=2)
    (heard,) = pitch.track_f0([vocoder.synthesize(asked, np.zeros_like(f0))])
    assert (heard > 0).mean() < 0.1


def test_same_frames_same_sound_at_a_fixed_loudness():
    frames, f0 = frames_of(0.5, seed=1)
    first, louder = vocoder.synthesize(frames, f0), vocoder.synthesize(frames + 2, f0)
    np.testing.assert_array_equal(first, vocoder.synthesize(frames, f0))
    np.testing.assert_allclose(louder, first, atol=1e-2)
    assert 0.03 < np.sqrt(np.mean(first**2)) <= vocoder.RMS * 1.001
    assert np.abs(first).max() <= vocoder.PEAK
