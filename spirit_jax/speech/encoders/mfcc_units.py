"""Phonetic units without downloaded weights: k-means over cepstra, each utterance with its nearest vocal
tract warp.

Legend: N units, K codes, D features, A warps.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from spirit_jax.speech.encoders import mfcc
from spirit_jax.speech.quantizers import kmeans
from spirit_jax.speech.segments import Sounds, merge_rate
from spirit_jax.speech.weights.table import Table
from spirit_jax.tokens.streams import SAMPLE_RATE, Stream, unit_stream

# Our choices, measured: rounds of a short k-means and each utterance's nearest warp before the last k-means,
# and the cost of a change of unit in mean squared distances to the nearest code (fewer changes inside a
# phone).
WARP_ROUNDS = 6
WARP_ITERATIONS = 2
CHANGE_COST = 1.0


@dataclasses.dataclass(frozen=True)
class MfccUnits:
    """A unit encoder. Arrays: centroids [K, 52] of features divided by scale []; change_cost []."""

    mfcc_units: Table

    @property
    def stream(self) -> Stream:
        """The units."""
        rate = SAMPLE_RATE / mfcc.UNIT_HOP
        return unit_stream(self.spoken_count, rate, merge_rate(rate, self.count_units))

    @property
    def spoken_count(self) -> int:
        """All units: there is no blank."""
        return len(self.mfcc_units["centroids"])

    def count_units(self, samples: int) -> int:
        """Units of a segment of `samples` samples."""
        return mfcc.unit_count(samples)

    def encode(self, sounds: Sounds) -> list[np.ndarray]:
        """Units of each segment, int32 [N]."""
        return self.quantize(sounds.analyze(mfcc.log_mel))[0]

    def features(self, sounds: Sounds) -> list[np.ndarray]:
        """The scaled cepstra of each segment with its nearest warp, float32 [N, 52]."""
        return self._read(sounds.analyze(mfcc.log_mel))[0]

    def quantize(self, mels: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
        """Units of each log-mel [4 N, 64], int32 [N], and the warp of each, int [utterances]."""
        read, warps = self._read(mels)
        centroids_KD = self.mfcc_units["centroids"]
        return kmeans.assign_paths(read, centroids_KD, float(self.mfcc_units["change_cost"])), warps

    def _read(self, mels: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
        features = [mfcc.unit_features(mel_FM) / self.mfcc_units["scale"] for mel_FM in mels]
        warps = nearest_warps(features, self.mfcc_units["centroids"])
        return [x_AND[warp] for x_AND, warp in zip(features, warps)], warps


def fit_mfcc_units(mels: Sequence[np.ndarray], units: int, seed: int) -> MfccUnits:
    """Trains the codes on log-mels [4 N, 64]: k-means in turn with each utterance's choice of warp.

    UserError if there are fewer frames than codes.
    """
    features = [mfcc.unit_features(mel_FM) for mel_FM in mels]
    warps = np.full(len(mels), mfcc.WARPS.index(1.0))
    scale = np.concatenate([x_AND[warp] for x_AND, warp in zip(features, warps)]).std() + np.float32(1e-6)
    features = [x_AND / scale for x_AND in features]
    for _ in range(WARP_ROUNDS):
        points_ND = np.concatenate([x_AND[warp] for x_AND, warp in zip(features, warps)])
        warps = nearest_warps(features, kmeans.train_kmeans(points_ND, units, seed, WARP_ITERATIONS))
    points_ND = np.concatenate([x_AND[warp] for x_AND, warp in zip(features, warps)])
    centroids_KD = kmeans.train_kmeans(points_ND, units, seed)
    change_cost = CHANGE_COST * float(kmeans.nearest(points_ND, centroids_KD)[1].mean())
    arrays = {"centroids": centroids_KD, "scale": scale, "change_cost": change_cost}
    return MfccUnits(Table({name: np.asarray(array, np.float32) for name, array in arrays.items()}))


def nearest_warps(features: Sequence[np.ndarray], centroids_KD: np.ndarray) -> np.ndarray:
    """For each utterance's features [A, N, 52] the warp nearest to the codes: vocal tract length
    normalisation.
    """
    squares_AN = np.stack([kmeans.nearest(np.concatenate(x), centroids_KD)[1] for x in zip(*features)])
    ends = np.cumsum([x_AND.shape[1] for x_AND in features])[:-1]
    sums = [part_AN.sum(axis=1, dtype=np.float64) for part_AN in np.split(squares_AN, ends, axis=1)]
    return np.stack(sums).argmin(axis=1)
