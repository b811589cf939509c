"""Speaking style at 1 Hz without learned weights: loudness, pitch and spectrum of a second, in place of the
paper's style encoder.

Legend: F frames, M mel bands, K seconds. A tail shorter than a second counts as one, as in the published
release.
"""

import numpy as np

from spirit_jax.speech.encoders import mfcc
from spirit_jax.speech.encoders.pitch import cross_correlation as pitch
from spirit_jax.tokens.streams import SAMPLE_RATE

FEATURES = ("loudness", "loudness spread", "tilt", "tilt spread", "pitch", "pitch spread", "voiced share")
REFERENCE_HZ = 128.0


def style_count(units: int) -> int:
    """Seconds that `units` at 25 Hz touch."""
    return -(-units * mfcc.UNIT_HOP // SAMPLE_RATE)


def style_features(log_mel_FM: np.ndarray, f0_F: np.ndarray) -> np.ndarray:
    """For each second: mean and spread of loudness (log power), tilt (the second cepstrum) and log2 F0, and
    the voiced share: float32 [seconds, 7].

    `log_mel_FM` at 100 Hz, `f0_F` at 200 Hz with 0 for unvoiced. A second without voice takes the utterance's
    mean pitch.
    """
    cepstra_FC = log_mel_FM @ mfcc.dct_matrix()[:2].T
    seconds = style_count(len(log_mel_FM) // mfcc.FRAMES_PER_UNIT)
    octaves_F = np.log2(np.maximum(f0_F, 1.0) / REFERENCE_HZ)
    usual = octaves_F[f0_F > 0].mean() if f0_F.any() else 0.0
    rows = []
    for second in range(seconds):
        part_FC = cepstra_FC[second * SAMPLE_RATE // mfcc.HOP : (second + 1) * SAMPLE_RATE // mfcc.HOP]
        span = slice(second * SAMPLE_RATE // pitch.HOP, (second + 1) * SAMPLE_RATE // pitch.HOP)
        voiced = f0_F[span] > 0
        octaves = octaves_F[span][voiced] if voiced.any() else np.array([usual])
        (loudness, tilt), (loudness_spread, tilt_spread) = part_FC.mean(0), part_FC.std(0)
        rows.append(
            (loudness, loudness_spread, tilt, tilt_spread, octaves.mean(), octaves.std(), voiced.mean())
        )
    return np.array(rows, np.float32).reshape(seconds, len(FEATURES))


def mean_octaves(features_KD: np.ndarray) -> float:
    """The pitch of seconds' features, in octaves over REFERENCE_HZ, each counting as much as it has voice."""
    octaves, voiced = features_KD[:, FEATURES.index("pitch")], features_KD[:, FEATURES.index("voiced share")]
    return float(np.average(octaves, weights=np.maximum(voiced, 1e-3)))
