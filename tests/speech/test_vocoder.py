import numpy as np

from spirit_jax.speech import mfcc, vocoder
from tests.speech.synthetic import babble


def test_sound_has_the_spectrum_that_was_asked_for():
    wav, _ = babble(2.0, seed=0)
    (asked,) = mfcc.log_mel([wav])
    made = vocoder.synthesize(asked)
    assert made.dtype == np.float32
    assert len(made) == len(asked) * mfcc.HOP
    (heard,) = mfcc.log_mel([made])
    loud = asked > asked.max() - 7
    assert np.corrcoef(asked[loud], heard[loud])[0, 1] > 0.95
    assert np.median(np.abs(asked - heard)[loud]) < 0.5


def test_same_frames_same_sound_at_a_fixed_loudness():
    (frames,) = mfcc.log_mel([babble(0.5, seed=1)[0]])
    first, louder = vocoder.synthesize(frames), vocoder.synthesize(frames + 2)
    np.testing.assert_array_equal(first, vocoder.synthesize(frames))
    np.testing.assert_allclose(louder, first, atol=1e-2)
    assert 0.03 < np.sqrt(np.mean(first**2)) <= vocoder.RMS * 1.001
    assert np.abs(first).max() <= vocoder.PEAK


def test_griffin_lim_keeps_magnitudes_of_a_real_spectrum():
    magnitude = np.exp(0.5 * mfcc.log_mel([babble(1.0, seed=2)[0]])[0]) @ np.ones((mfcc.MELS, 257), np.float32) / mfcc.MELS
    wav = vocoder.griffin_lim(magnitude.astype(np.float32))
    assert len(wav) == len(magnitude) * mfcc.HOP
    assert np.isfinite(wav).all()
