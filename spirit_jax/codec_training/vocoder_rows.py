"""Rows of the vocoder's batches: segments of recordings with their units, and deduplicated units with their
durations.

Legend: B rows, T frames, one a unit, S samples (of a unit in [T, S]), N deduplicated units.
"""

import dataclasses
from collections.abc import Callable, Sequence

import grain
import numpy as np

from spirit_jax.codec_training.corpus import Recording, draw_batches
from spirit_jax.core.batching import stack
from spirit_jax.speech.decoders.hifigan_config import TABLES, GeneratorConfig
from spirit_jax.speech.decoders.hifigan_synthesis import align
from spirit_jax.speech.segments import unit_starts

RUNS = 64  # deduplicated units a row of the duration predictor, about 4 s: our choice


@dataclasses.dataclass(frozen=True)
class SegmentSampler:
    """Draws random segments of recordings. It knows the voices, the generator's sizes, and the codec's
    `count_units`.
    """

    voices: Sequence[str]
    cfg: GeneratorConfig
    count_units: Callable[[int], int]

    def batches(self, recordings: Sequence[Recording], frames: int, rows: int, seed: int) -> grain.MapDataset:
        """Endless batches of `rows` rows of this process, each recording once per epoch: see `sample`."""
        return draw_batches(
            recordings, lambda recording, rng: self.sample(recording, frames, rng), rows, seed
        )

    def align(self, recording: Recording) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Every code that the generator takes, at the units' rate, int32 [T], and the voice's number, int32
        []; the sound of each unit, [T, S].
        """
        speech, wav_S = recording.speech, recording.load()
        codes = {TABLES[stream]: speech.codes[stream] for stream in self.cfg.streams}
        codes |= {"spkr": self._number(recording.voice)} if self.cfg.speakers else {}
        starts_T = unit_starts(len(speech.units), len(wav_S), self.count_units, self.cfg.hop)
        wav_S = np.pad(wav_S, (0, max(0, starts_T[-1] + self.cfg.hop - len(wav_S))))
        return align(self.cfg, codes, starts_T), wav_S[starts_T[:, None] + np.arange(self.cfg.hop)]

    def sample(self, recording: Recording, frames: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """A random segment of `frames` units: codes [T] by table, `wav` [S]; `runs`, `run_frames`
        [RUNS], of which `run_count` count.

        A recording that is too short is repeated.
        """
        codes, wav_TS = self.align(recording)
        start = int(rng.integers(max(1, len(wav_TS) - frames + 1)))
        at_T = (start + np.arange(frames)) % len(wav_TS)
        row = {name: values[at_T] if values.ndim else values for name, values in codes.items()}
        return {**row, "wav": wav_TS[at_T].reshape(-1), **draw_runs(runs_of(codes["dict"]), rng)}

    def _number(self, voice: str) -> np.ndarray:
        return np.array(list(self.voices).index(voice) if voice in self.voices else 0, np.int32)


def runs_of(units_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Deduplicated units and how many frames each lasts, int32 [N]."""
    starts_N = np.flatnonzero(np.diff(units_T, prepend=~units_T[:1]))
    return units_T[starts_N], np.diff(starts_N, append=len(units_T)).astype(np.int32)


def draw_runs(runs: tuple[np.ndarray, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """From a random one of a recording's runs (`runs_of`) on: `runs`, `run_frames` [RUNS], of which
    `run_count` count.
    """
    units_N, frames_N = runs
    start = int(rng.integers(max(1, len(units_N) - RUNS + 1)))
    units_N, frames_N = units_N[start : start + RUNS], frames_N[start : start + RUNS]
    return {
        "runs": stack([units_N], RUNS, 1)[0],
        "run_frames": stack([frames_N], RUNS, 1)[0].astype(np.float32),
        "run_count": np.array(len(units_N), np.int32),
    }
