"""Recordings with their units as training rows, from the folder that `make units` wrote.

Legend: S samples.
"""

import collections
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import grain
import jax
import numpy as np

from spirit_jax.codec_training.config import CorpusConfig
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import fingerprint
from spirit_jax.core.sound_part import Part
from spirit_jax.core.stored_files import is_stored
from spirit_jax.datasets.manifest import part_of
from spirit_jax.datasets.splits import split_rows
from spirit_jax.datasets.units_folder import UnitsFolder, open_units
from spirit_jax.speech import audio
from spirit_jax.tokens.streams import SpeechTokens

# root mean square of recordings after scaling, and their highest peak, since units do not encode the level;
# our choice
LEVEL, PEAK = 0.08, 0.95


@dataclasses.dataclass(frozen=True)
class Recording:
    """A file, or a part of one, and its codes. part: None for the whole file."""

    id: str
    path: str
    voice: str
    speech: SpeechTokens
    part: Part | None = None

    def load(self) -> np.ndarray:
        """The wave at the common level, float32 [S]. UserError if it cannot be read any more."""
        try:
            wav_S = audio.load(self.path, part=self.part)
        except audio.BadAudio as error:
            raise UserError(
                "recording",
                self.path,
                str(error),
                "restore it, or make the units again and begin a new run",
            ) from error
        return at_level(wav_S)


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Recordings to train on and to be evaluated on."""

    train: list[Recording]
    held_out: list[Recording]

    @property
    def voices(self) -> list[str]:
        """The names of the training voices, in order."""
        return sorted({recording.voice for recording in self.train})

    @property
    def fingerprint(self) -> str:
        """Identifies the training recordings by their names, voices and codes."""
        parts: list[bytes] = []
        for recording in self.train:
            parts += recording.id.encode(), recording.voice.encode()
            for name, codes in recording.speech.codes.items():
                parts += name.encode(), codes.tobytes()
        return fingerprint(*parts)


def draw_batches(
    items: Sequence[Any], cut: Callable[[Any, np.random.Generator], Any], rows: int, seed: int
) -> grain.MapDataset:
    """Endless batches of this process' share of `rows` rows. `cut` makes a row from an item; each item is
    used once per epoch.
    """
    own = items[jax.process_index() :: jax.process_count()]
    return (
        grain.MapDataset.source(own)
        .seed(seed)
        .shuffle()
        .repeat()
        .random_map(cut)
        .batch(rows // jax.process_count())
    )


def at_level(wav_S: np.ndarray) -> np.ndarray:
    """The wave at LEVEL, or lower if its peak would be over PEAK."""
    gain = LEVEL / np.sqrt(np.mean(np.square(wav_S)) + 1e-12)
    return (wav_S * min(gain, PEAK / max(np.abs(wav_S).max(), 1e-12))).astype(np.float32)


def read_corpus(cfg: CorpusConfig, made_with: str, known_voices: bool = False) -> Corpus:
    """The rows of a units folder. UserError for units of another codec than that of the fingerprint
    `made_with`, for no recordings to train on or to hold out, and for missing files.

    known_voices: leave out held-out recordings of voices that are not trained on.
    """
    folder = open_units(*([cfg.units] if isinstance(cfg.units, str) else cfg.units))
    if (found := folder.encoder_fingerprint) != made_with:
        fix = "make the units with this codec"
        raise UserError(f"{folder.path} fingerprint", found, f"must be the codec's, {made_with}", fix)
    known, held_out = split_rows(folder.rows(), cfg.held_out)
    voices = {row["voice"] for row in known}
    chosen = [row for row in held_out if not known_voices or row["voice"] in voices]
    if not known or not chosen:
        rule = (
            f"has {len(known)} recordings to train on and "
            f"{len(chosen)}{' of their voices' if known_voices else ''} to hold out"
        )
        raise UserError(
            "corpus.units", cfg.units, rule, f"give more, or a manifest with some of the split {cfg.held_out}"
        )
    counts = collections.Counter(row["id"] for row in known + held_out)
    if twice := [id for id, count in counts.items() if count > 1]:
        rule, fix = f"{len(twice)} ids name two recordings", "leave out what is given twice"
        raise UserError("corpus.units", f"id {twice[0]}", rule, fix)
    if gone := [row["audio"] for row in known + chosen if not is_stored(row["audio"])]:
        fix = "restore them, or make the units again and begin a new run"
        raise UserError("recordings", f"{len(gone)}, the first is {gone[0]}", "no such file", fix)
    evaluated = _spread(chosen, cfg.evaluated)
    return Corpus([_recording(row, folder) for row in known], [_recording(row, folder) for row in evaluated])


def _recording(row: dict, folder: UnitsFolder) -> Recording:
    return Recording(row["id"], row["audio"], row["voice"], folder.speech_of(row), part_of(row))


def _spread(rows: list[dict], count: int) -> list[dict]:
    """`count` of the rows, evenly."""
    return [
        rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))
    ]
