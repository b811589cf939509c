import numpy as np

from spirit_jax.speech.encoders import f0 as pitch
from spirit_jax.speech.encoders import mfcc
from spirit_jax.speech.encoders.style import pooled as style
from tests.speech.synthetic import babble


def features(wav):
    return style.style_features(mfcc.log_mel([wav])[0], pitch.track_f0([wav])[0])


def test_a_tail_second_counts():
    assert [style.style_count(units) for units in (1, 25, 26, 50, 60)] == [1, 1, 2, 2, 3]
    assert features(babble(2.4, seed=0)[0]).shape == (3, len(style.FEATURES))


def test_pitch_and_loudness_show_in_their_second():
    low, high = babble(1.0, seed=0, hz=100)[0], babble(1.0, seed=0, hz=200)[0]
    rows = features(np.concatenate([low, 0.2 * high]))
    column = style.FEATURES.index
    assert 0.8 < rows[1, column("F0")] - rows[0, column("F0")] < 1.2
    assert rows[1, column("loudness")] < rows[0, column("loudness")] - 1


def test_noise_has_no_voice_and_finite_features():
    rows = features(np.random.default_rng(0).normal(size=24_000).astype(np.float32))
    assert np.isfinite(rows).all()
    assert rows[:, style.FEATURES.index("voiced share")].max() < 0.05
