import numpy as np
import pytest

from spirit_jax.speech.encoders import mfcc
from tests.speech.synthetic import babble, tone


def test_unit_counts_are_whole_forty_milliseconds():
    assert [mfcc.unit_count(n) for n in (639, 640, 1280, 146_160)] == [0, 1, 2, 228]


@pytest.mark.slow
def test_log_mel_agrees_with_librosa():
    import librosa

    wav, _ = babble(1.0, seed=0)
    (ours,) = mfcc.log_mel([wav])
    level = wav / np.sqrt(np.mean(wav**2))
    padded = np.pad(level, (120, 400))
    frames = librosa.util.frame(padded, frame_length=400, hop_length=160)[:, : len(ours)].T
    filters = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=64, htk=True, norm=None)
    filters /= filters.sum(1, keepdims=True)
    power = np.abs(np.fft.rfft(frames * mfcc.analysis_window(), 512)) ** 2 @ filters.T
    np.testing.assert_allclose(ours, np.log(np.maximum(power, mfcc.FLOOR)), atol=2e-3)


def test_white_noise_has_a_level_spectrum_at_zero():
    (frames,) = mfcc.log_mel([np.random.default_rng(0).normal(size=32_000).astype(np.float32)])
    np.testing.assert_allclose(np.log(np.exp(frames).mean(0)), 0, atol=0.35)


def test_each_frame_is_where_its_sound_is():
    wav = np.zeros(16_000, np.float32)
    wav[8000 + 80] = 1
    (frames,) = mfcc.log_mel([wav])
    loud = frames.mean(1)
    assert loud.argmax() == 50
    assert loud[49] == pytest.approx(loud[51], abs=0.2)
    assert loud[50] > loud[49] + 1 > loud[47] + 2


def test_a_wav_gives_the_same_alone_and_among_others():
    wavs = [babble(seconds, seed=i)[0] for i, seconds in enumerate((0.5, 2.03, 0.09, 25.0, 1.0))]
    together = mfcc.log_mel(wavs)
    for wav, frames in zip(wavs, together):
        np.testing.assert_array_equal(mfcc.log_mel([wav])[0], frames)
        assert len(frames) == 4 * (len(wav) // 640)


def test_features_do_not_hear_loudness_or_a_fixed_filter():
    wav, _ = babble(2.0, seed=1)
    (frames,) = mfcc.log_mel([wav])
    tilted = frames + np.linspace(-1, 1, mfcc.MELS, dtype=np.float32)
    np.testing.assert_allclose(mfcc.unit_features(tilted), mfcc.unit_features(frames), atol=1e-4)
    np.testing.assert_allclose(mfcc.log_mel([0.1 * wav])[0], frames, atol=1e-3)


def test_a_warp_undoes_a_shorter_vocal_tract():
    (long_tract,), (short_tract,) = (
        mfcc.log_mel([babble(4.0, seed=2)[0]]),
        mfcc.log_mel([babble(4.0, seed=2, tract=1.15)[0]]),
    )
    plain = mfcc.WARPS.index(1.0)
    reference = mfcc.unit_features(long_tract)[plain]
    distances = [np.square(features - reference).mean() for features in mfcc.unit_features(short_tract)]
    assert mfcc.WARPS[int(np.argmin(distances))] == pytest.approx(1.15, abs=0.051)
    assert min(distances) < 0.7 * distances[plain]


def test_the_plain_warp_changes_nothing():
    np.testing.assert_allclose(mfcc.warp_matrix(mfcc.WARPS.index(1.0)), np.eye(mfcc.MELS), atol=1e-6)
    (frames,) = mfcc.log_mel([tone(200, 1.0, partials=20)])
    assert mfcc.unit_features(frames).shape == (len(mfcc.WARPS), 25, 52)
