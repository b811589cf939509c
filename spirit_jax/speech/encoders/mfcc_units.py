"""Phonetic units without downloaded weights: k-means over cepstra, each utterance with its nearest vocal
tract warp; or, where the times of words are known, over the directions of the cepstra of three units in which
parts of words differ most.

Legend: N units, K codes, D features, A warps, P directions.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.speech.encoders import mfcc
from spirit_jax.speech.encoders.word_classes import LEAST_TIMES, UNKNOWN, TimedWords, classify_units
from spirit_jax.speech.quantizers import kmeans
from spirit_jax.speech.quantizers.discriminant import fit_discriminant
from spirit_jax.speech.segments import Sounds, merge_rate
from spirit_jax.speech.weights.table import Table
from spirit_jax.tokens.streams import SAMPLE_RATE, Stream, unit_stream

# Our choices, measured: rounds of a short k-means and each utterance's nearest warp before the last k-means,
# and the cost of a change of unit in mean squared distances to the nearest code (fewer changes inside a
# phone).
WARP_ROUNDS = 6
WARP_ITERATIONS = 2
CHANGE_COST = 1.0
# The same cost where words are told apart, and the directions. Our choices, measured on SVOX Pico's voices.
WORDS_CHANGE_COST = 0.6
DIRECTIONS = 32


@dataclasses.dataclass(frozen=True)
class MfccUnits:
    """A unit encoder. Arrays: centroids [K, 52] of features divided by scale []; change_cost []. Where words
    were told apart, centroids [K, P] of neighbours' features times projection [156, P], and no scale.
    """

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
        """Of each segment the scaled cepstra with its nearest warp, float32 [N, 52], or their projection,
        [N, P].
        """
        return self._read(sounds.analyze(mfcc.log_mel))[0]

    def quantize(self, mels: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
        """Units of each log-mel [4 N, 64], int32 [N], and the warp of each, int [utterances]."""
        read, warps = self._read(mels)
        centroids_KD = self.mfcc_units["centroids"]
        return kmeans.assign_paths(read, centroids_KD, float(self.mfcc_units["change_cost"])), warps

    def _read(self, mels: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
        if "projection" in self.mfcc_units:
            return _project(mels, self.mfcc_units["projection"]), np.full(len(mels), mfcc.PLAIN)
        features = [mfcc.unit_features(mel_FM) / self.mfcc_units["scale"] for mel_FM in mels]
        warps = nearest_warps(features, self.mfcc_units["centroids"])
        return [x_AND[warp] for x_AND, warp in zip(features, warps)], warps


def fit_mfcc_units(mels: Sequence[np.ndarray], units: int, seed: int) -> MfccUnits:
    """Trains the codes on log-mels [4 N, 64]: k-means in turn with each utterance's choice of warp.

    UserError if there are fewer frames than codes.
    """
    features = [mfcc.unit_features(mel_FM) for mel_FM in mels]
    warps = np.full(len(mels), mfcc.PLAIN)
    scale = np.concatenate([x_AND[warp] for x_AND, warp in zip(features, warps)]).std() + np.float32(1e-6)
    features = [x_AND / scale for x_AND in features]
    for _ in range(WARP_ROUNDS):
        points_ND = np.concatenate([x_AND[warp] for x_AND, warp in zip(features, warps)])
        warps = nearest_warps(features, kmeans.train_kmeans(points_ND, units, seed, WARP_ITERATIONS))
    points_ND = np.concatenate([x_AND[warp] for x_AND, warp in zip(features, warps)])
    centroids_KD = kmeans.train_kmeans(points_ND, units, seed)
    return _make_units(points_ND, centroids_KD, CHANGE_COST, scale=scale)


def fit_word_units(
    mels: Sequence[np.ndarray], utterances: Sequence[TimedWords], units: int, seed: int
) -> MfccUnits:
    """Trains the codes on log-mels [4 N, 64] of utterances with word times: a linear discriminant analysis of
    the parts of words, then k-means.

    UserError if there are fewer frames than codes, or no more parts of words than directions.
    """
    counts = [len(mel_FM) // mfcc.FRAMES_PER_UNIT for mel_FM in mels]
    class_N = np.concatenate(classify_units(utterances, counts, SAMPLE_RATE / mfcc.UNIT_HOP))
    known_N = class_N != UNKNOWN
    found = len(np.unique(class_N[known_N]))
    if found <= DIRECTIONS:
        rule = f"must be more than {DIRECTIONS}, of words that are said {LEAST_TIMES} times or more"
        fix = "align more recordings (make align), or leave --words out"
        raise UserError("parts of words with times", found, rule, fix)
    x_ND = np.concatenate([mfcc.neighbour_features(mel_FM) for mel_FM in mels])
    projection_DP = fit_discriminant(x_ND[known_N], class_N[known_N], DIRECTIONS)
    points_NP = x_ND @ projection_DP
    centroids_KP = kmeans.train_kmeans(points_NP, units, seed)
    return _make_units(points_NP, centroids_KP, WORDS_CHANGE_COST, projection=projection_DP)


def _make_units(
    points_ND: np.ndarray, centroids_KD: np.ndarray, cost: float, **arrays: np.ndarray
) -> MfccUnits:
    """cost: of a change of unit, in mean squared distances to the nearest code."""
    change_cost = cost * float(kmeans.nearest(points_ND, centroids_KD)[1].mean())
    arrays |= {"centroids": centroids_KD, "change_cost": np.asarray(change_cost)}
    return MfccUnits(Table({name: np.asarray(array, np.float32) for name, array in arrays.items()}))


def _project(mels: Sequence[np.ndarray], projection_DP: np.ndarray) -> list[np.ndarray]:
    return [mfcc.neighbour_features(mel_FM) @ projection_DP for mel_FM in mels]


def nearest_warps(features: Sequence[np.ndarray], centroids_KD: np.ndarray) -> np.ndarray:
    """For each utterance's features [A, N, 52] the warp nearest to the codes: vocal tract length
    normalisation.
    """
    squares_AN = np.stack([kmeans.nearest(np.concatenate(x), centroids_KD)[1] for x in zip(*features)])
    ends = np.cumsum([x_AND.shape[1] for x_AND in features])[:-1]
    sums = [part_AN.sum(axis=1, dtype=np.float64) for part_AN in np.split(squares_AN, ends, axis=1)]
    return np.stack(sums).argmin(axis=1)
