"""Speech recognisers that a user names: a Whisper folder of faster-whisper or of transformers."""

import concurrent.futures
import importlib
import importlib.metadata
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, require_folder
from spirit_jax.core.progress import track
from spirit_jax.tokens.streams import SAMPLE_RATE

BEAM = 5
BATCH = 16


class Recogniser(Protocol):
    """Sound to text. about: what it is, with its version, for results."""

    @property
    def about(self) -> str:
        """The kind, the folder and the version."""
        ...

    def transcribe(self, wavs: Sequence[np.ndarray]) -> list[str]:
        """The words of each sound, float32 [samples] at 16 kHz; "" for an empty one."""
        ...


def load_recogniser(folder: Path) -> Recogniser:
    """The recogniser of a folder. UserError for a folder of another kind, or without the library for it."""
    require_folder(folder, "--asr")
    if (folder / "model.bin").is_file() and (folder / "tokenizer.json").is_file():
        return FasterWhisper(folder)
    if (folder / "config.json").is_file() and "model_type" in read_json(folder / "config.json"):
        return TransformersRecogniser(folder)
    rule = "has neither model.bin and tokenizer.json of faster-whisper, nor config.json of transformers"
    raise UserError("--asr", folder, rule, "give the folder of a Whisper model")


class FasterWhisper:
    """CTranslate2's Whisper in float32 by beam search, without timestamps and without other temperatures.

    A sound on each core: whatever a sound's length, the encoder reads 30 s.
    """

    def __init__(self, folder: Path):
        library = require_library("faster_whisper", "requirements-judges.txt")
        self._workers = os.cpu_count() or 1
        self._model = library.WhisperModel(
            str(folder), device="cpu", compute_type="float32", cpu_threads=1, num_workers=self._workers
        )
        self._language = None if self._model.model.is_multilingual else "en"
        self.about = f"{folder.name}, faster-whisper {library.__version__}, beam {BEAM}"

    def transcribe(self, wavs: Sequence[np.ndarray]) -> list[str]:
        """As many sounds at a time as there are cores."""
        with concurrent.futures.ThreadPoolExecutor(self._workers) as pool:
            return list(track(pool.map(self._transcribe, wavs), "recognise", len(wavs), "sound"))

    def _transcribe(self, wav: np.ndarray) -> str:
        if not len(wav):
            return ""
        segments, _ = self._model.transcribe(
            wav, language=self._language, beam_size=BEAM, temperature=0.0, without_timestamps=True
        )
        return " ".join(segment.text.strip() for segment in segments)


class TransformersRecogniser:
    """A folder that the automatic-speech-recognition pipeline of transformers loads; it has 5 beams."""

    def __init__(self, folder: Path):
        library = require_library("transformers", "requirements-parity.txt")
        self._pipeline = library.pipeline("automatic-speech-recognition", str(folder), device="cpu")
        self.about = f"{folder.name}, transformers {library.__version__}"

    def transcribe(self, wavs: Sequence[np.ndarray]) -> list[str]:
        """In batches."""
        present = [i for i, wav in enumerate(wavs) if len(wav)]
        inputs = [{"raw": wavs[i], "sampling_rate": SAMPLE_RATE} for i in present]
        found = self._pipeline(inputs, batch_size=BATCH) if inputs else []
        texts = {i: one["text"].strip() for i, one in zip(present, found)}
        return [texts.get(i, "") for i in range(len(wavs))]


def require_library(name: str, requirements: str) -> Any:
    """A module of an optional library. UserError that names its requirements file where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        rule = "is not installed, and what you named needs it"
        raise UserError("library", name, rule, f"pip install -r {requirements}") from error
