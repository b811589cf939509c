"""The contour of an F0 track (Hz, 0 where unvoiced): filled, centred, and as codes without a learned network.

Legend: F frames (5 ms), K codes.
"""

import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np

from spirit_jax.speech.encoders.f0 import HOP, track_f0
from spirit_jax.speech.encoders.mfcc import unit_count
from spirit_jax.speech.quantizers import kmeans
from spirit_jax.speech.segments import Sounds
from spirit_jax.speech.weights.table import Table
from spirit_jax.tokens.streams import SAMPLE_RATE, Stream, pitch_stream

FRAMES_PER_CODE = 16
CHANGE_COST = 0.02  # octaves squared: a change is worth it at about two semitones of error; our choice


@dataclasses.dataclass(frozen=True)
class ContourPitch:
    """A pitch encoder. Arrays: octaves [K], ascending, around the utterance's voiced mean."""

    contour_pitch: Table

    @property
    def stream(self) -> Stream:
        """The pitch codes."""
        return pitch_stream(len(self.contour_pitch["octaves"]), SAMPLE_RATE / HOP / FRAMES_PER_CODE)

    def encode(self, sounds: Sounds) -> list[np.ndarray]:
        """Codes of each segment, int32 [K], one for two units of 40 ms."""
        counts = [code_count(len(wav)) for wav in sounds.wavs]
        contours = [contour(f0_F, count)[:, None] for f0_F, count in zip(sounds.analyze(track_f0), counts)]
        return kmeans.assign_paths(contours, self.contour_pitch["octaves"][:, None], CHANGE_COST)


def fit_contour_pitch(
    f0s: Sequence[np.ndarray], samples: Sequence[int], codes: int, seed: int
) -> ContourPitch:
    """Trains the codes on F0 tracks [F] of sounds of `samples` samples each."""
    octaves_N = np.concatenate([contour(f0_F, code_count(count)) for f0_F, count in zip(f0s, samples)])
    octaves_K = np.sort(kmeans.train_kmeans(octaves_N[:, None], codes, seed)[:, 0])
    return ContourPitch(Table(octaves=np.asarray(octaves_K, np.float32)))


def code_count(samples: int) -> int:
    """Codes of a sound: one for two units of 40 ms, the last for one if their number is odd."""
    return -(-unit_count(samples) // 2)


def contour(f0_F: np.ndarray, codes: int) -> np.ndarray:
    """The smooth log-F0 contour, in octaves around the utterance's voiced mean, at 12.5 Hz: float32 [codes].

    Unvoiced stretches are interpolated and the ends held; without a voiced frame it is flat.
    """
    voiced = np.flatnonzero(f0_F)
    if not len(voiced):
        return np.zeros(codes, np.float32)
    octaves = np.log2(f0_F[voiced])
    octaves = octaves - octaves.mean()
    padded = np.interp(np.arange(codes * FRAMES_PER_CODE), voiced, octaves)
    return padded.reshape(codes, FRAMES_PER_CODE).mean(axis=1).astype(np.float32)


def interpolate(f0_F: np.ndarray, fill_ends: bool = True) -> np.ndarray:
    """The track with unvoiced frames on a straight line between their voiced neighbours: float64 [F].

    The ends are held if `fill_ends`, else 0. A track with fewer than two voiced frames is returned as it is
    (observed in Meta's release).
    """
    f0_F = np.asarray(f0_F, np.float64)
    voiced = np.flatnonzero(f0_F)
    if len(voiced) < 2:
        return f0_F.copy()
    ends = {} if fill_ends else {"left": 0.0, "right": 0.0}
    return np.interp(np.arange(len(f0_F)), voiced, f0_F[voiced], **ends)


def subtract_mean(f0_F: np.ndarray, vuv_F: np.ndarray, mean: float | None = None) -> np.ndarray:
    """The track less `mean` (a speaker's), by default the mean of its voiced frames; frames of 0 Hz stay 0.

    A track with Hz but no voiced frame has no mean and becomes NaN, as in Meta's release; one that is 0
    throughout stays 0.
    """
    if mean is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing
            mean = f0_F[np.asarray(vuv_F, bool)].mean()
    return np.where(f0_F == 0, 0, f0_F - np.asarray(mean, f0_F.dtype)).astype(f0_F.dtype)
