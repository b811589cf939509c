"""Speaking style at 1 Hz without learned weights: loudness, F0 and spectrum of a second, in place of the
paper's style encoder.

Legend: F frames, M mel bands, K seconds. A tail shorter than a second counts as one, as in Meta's
release.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from spirit_jax.speech.encoders import mfcc
from spirit_jax.speech.encoders.f0 import HOP, track_f0
from spirit_jax.speech.quantizers import kmeans
from spirit_jax.speech.segments import Sounds
from spirit_jax.speech.weights.table import Table
from spirit_jax.tokens.streams import SAMPLE_RATE, Stream, style_stream

FEATURES = ("loudness", "loudness spread", "tilt", "tilt spread", "F0", "F0 spread", "voiced share")
REFERENCE_HZ = 128.0


@dataclasses.dataclass(frozen=True)
class PooledStyle:
    """A style encoder. Arrays: centroids [K, 7] of features less mean [7], divided by scale [7]."""

    pooled_style: Table

    @property
    def stream(self) -> Stream:
        """The style codes, one a second."""
        return style_stream(len(self.pooled_style["centroids"]), 1.0)

    def encode(self, sounds: Sounds) -> list[np.ndarray]:
        """Codes of each segment, int32 [K]."""
        mels, f0s = sounds.analyze(mfcc.log_mel), sounds.analyze(track_f0)
        pooled = [style_features(mel_FM, f0_F) for mel_FM, f0_F in zip(mels, f0s)]
        table = self.pooled_style
        codes = kmeans.assign((np.concatenate(pooled) - table["mean"]) / table["scale"], table["centroids"])
        return np.split(codes, np.cumsum([len(rows) for rows in pooled[:-1]]))


def fit_pooled_style(
    mels: Sequence[np.ndarray], f0s: Sequence[np.ndarray], codes: int, seed: int
) -> PooledStyle:
    """Trains the codes, one for each second where there are fewer, on log-mels [4 units, 64] and F0 tracks
    [F].
    """
    pooled_KD = np.concatenate([style_features(mel_FM, f0_F) for mel_FM, f0_F in zip(mels, f0s)])
    mean, scale = pooled_KD.mean(0), pooled_KD.std(0) + 1e-6
    centroids = kmeans.train_kmeans((pooled_KD - mean) / scale, min(codes, len(pooled_KD)), seed)
    arrays = {"mean": mean, "scale": scale, "centroids": centroids}
    return PooledStyle(Table({name: np.asarray(array, np.float32) for name, array in arrays.items()}))


def style_count(units: int) -> int:
    """Seconds that `units` at 25 Hz cover, the last one in part."""
    return -(-units * mfcc.UNIT_HOP // SAMPLE_RATE)


def style_features(log_mel_FM: np.ndarray, f0_F: np.ndarray) -> np.ndarray:
    """For each second: mean and spread of loudness (log power), tilt (the second cepstrum) and log2 F0, and
    the voiced share: float32 [seconds, 7].

    `log_mel_FM` at 100 Hz, `f0_F` at 200 Hz with 0 for unvoiced. A second without voice has the utterance's
    mean F0.
    """
    cepstra_FC = log_mel_FM @ mfcc.dct_matrix()[:2].T
    seconds = style_count(len(log_mel_FM) // mfcc.FRAMES_PER_UNIT)
    octaves_F = np.log2(np.maximum(f0_F, 1.0) / REFERENCE_HZ)
    usual = octaves_F[f0_F > 0].mean() if f0_F.any() else 0.0
    rows = []
    for second in range(seconds):
        part_FC = cepstra_FC[second * SAMPLE_RATE // mfcc.HOP : (second + 1) * SAMPLE_RATE // mfcc.HOP]
        span = slice(second * SAMPLE_RATE // HOP, (second + 1) * SAMPLE_RATE // HOP)
        voiced = f0_F[span] > 0
        octaves = octaves_F[span][voiced] if voiced.any() else np.array([usual])
        (loudness, tilt), (loudness_spread, tilt_spread) = part_FC.mean(0), part_FC.std(0)
        rows.append(
            (loudness, loudness_spread, tilt, tilt_spread, octaves.mean(), octaves.std(), voiced.mean())
        )
    return np.array(rows, np.float32).reshape(seconds, len(FEATURES))


def mean_octaves(features_KD: np.ndarray) -> float:
    """The mean log2 F0 of seconds' features, in octaves over REFERENCE_HZ, weighted by their voiced share."""
    octaves, voiced = features_KD[:, FEATURES.index("F0")], features_KD[:, FEATURES.index("voiced share")]
    return float(np.average(octaves, weights=np.maximum(voiced, 1e-3)))
