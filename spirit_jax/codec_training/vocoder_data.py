"""Rows of the vocoder's batches: stretches of recordings with their units, and deduplicated units with their durations.

Legend: B rows, T frames of 25 Hz, S samples, N deduplicated units.
"""

from collections.abc import Sequence

import grain
import numpy as np

from spirit_jax.codec_training.corpus import Recording, draw_batches
from spirit_jax.speech.hifigan import GeneratorConfig
from spirit_jax.speech.synthesis import line_up

RUNS = 64  # deduplicated units a row of the duration predictor, about 4 s: a choice


def batches(recordings: Sequence[Recording], voices: Sequence[str], cfg: GeneratorConfig, frames: int, rows: int, seed: int) -> grain.MapDataset:
    """Endless batches of `rows` rows of this process, each recording once an epoch: see `cut`."""
    return draw_batches(recordings, lambda recording, rng: cut(recording, voices, cfg, frames, rng), rows, seed)


def frame_codes(recording: Recording, voices: Sequence[str], cfg: GeneratorConfig) -> dict[str, np.ndarray]:
    """Every code that the generator takes, at the units' rate, int32 [T]; the voice's number, int32 []."""
    speech = recording.speech
    codes = {"dict": speech.units, "f0_dict": speech.pitch, "style_dict": speech.style, "spkr": np.array(_number(recording.voice, voices), np.int32)}
    return line_up(cfg, {name: codes[name] for name in cfg.tables})


def cut(recording: Recording, voices: Sequence[str], cfg: GeneratorConfig, frames: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A stretch of `frames` units drawn at random: codes [T] by table, `wav` [S]; `runs`, `run_frames` [RUNS] of which the first `run_count` count.

    A recording that is too short is followed by itself.
    """
    codes, wav_S = frame_codes(recording, voices, cfg), recording.load()
    wav_S = np.pad(wav_S, (0, max(0, len(codes["dict"]) * cfg.hop - len(wav_S))))
    length = len(codes["dict"])
    start = int(rng.integers(max(1, length - frames + 1)))
    at_T = (start + np.arange(frames)) % length
    samples = (at_T[:, None] * cfg.hop + np.arange(cfg.hop)).reshape(-1)
    row = {name: values[at_T] if values.ndim else values for name, values in codes.items()}
    return {**row, "wav": wav_S[samples], **_draw_runs(codes["dict"], rng)}


def runs_of(units_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Deduplicated units and how many frames each lasts, int32 [N]."""
    starts_N = np.flatnonzero(np.diff(units_T, prepend=~units_T[:1]))
    return units_T[starts_N], np.diff(starts_N, append=len(units_T)).astype(np.int32)


def _draw_runs(units_T: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    units_N, frames_N = runs_of(units_T)
    start = int(rng.integers(max(1, len(units_N) - RUNS + 1)))
    units_N, frames_N = units_N[start : start + RUNS], frames_N[start : start + RUNS]
    room = (0, RUNS - len(units_N))
    return {"runs": np.pad(units_N, room), "run_frames": np.pad(frames_N, room).astype(np.float32), "run_count": np.array(len(units_N), np.int32)}


def _number(voice: str, voices: Sequence[str]) -> int:
    return list(voices).index(voice) if voice in voices else 0
