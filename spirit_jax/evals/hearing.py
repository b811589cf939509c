"""Recordings of a data set, and what a codec makes of them, in batches."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from spirit_jax.core.progress import Progress
from spirit_jax.evals.layouts.trials import Sound
from spirit_jax.speech import audio
from spirit_jax.speech.codec import Codec
from spirit_jax.tokens.streams import SpeechTokens

SOUNDS = 128  # decoded at a time: 30 s each are 250 MB
Heard = SpeechTokens | audio.BadAudio  # a sound that cannot be used is its reason
Encoded = TypeVar("Encoded")


def hear(codec: Codec, sounds: Sequence[Sound]) -> dict[Sound, Heard]:
    """Speech tokens of each recording, or why it has none."""

    def encode(wavs: Sequence[np.ndarray]) -> list[Heard]:
        none = audio.BadAudio("too_short", "the codec gives no units")
        return [tokens if len(tokens.units) else none for tokens in codec.encode_batch(wavs)]

    return dict(encode_sounds(sounds, encode))


def encode_sounds(
    sounds: Sequence[Sound], encode: Callable[[Sequence[np.ndarray]], Sequence[Encoded]]
) -> Iterator[tuple[Sound, Encoded | audio.BadAudio]]:
    """What `encode` makes of each recording, or why it cannot be read. Those of similar size are encoded
    together, so the order is by size.
    """
    ordered = sorted(sounds, key=lambda sound: sound.size)
    with Progress("listen", len(ordered), "sound") as progress:
        for first in range(0, len(ordered), SOUNDS):
            called = ordered[first : first + SOUNDS]
            loaded = load_sounds(called)
            encoded = iter(encode([wav for wav in loaded if isinstance(wav, np.ndarray)]))
            for sound, wav in zip(called, loaded):
                yield sound, wav if isinstance(wav, audio.BadAudio) else next(encoded)
            progress.advance(len(called))


def load_sounds(sounds: Sequence[Sound]) -> list[np.ndarray | audio.BadAudio]:
    """The samples of each sound, float32 at 16 kHz, or why there are none."""
    with tempfile.TemporaryDirectory() as folder:
        unpacked = _unpack([sound for sound in sounds if sound.row is not None], Path(folder))
        return [_load(unpacked.get(sound, sound.path), sound) for sound in sounds]


def _load(path: Path, sound: Sound) -> np.ndarray | audio.BadAudio:
    try:
        return audio.load(path, part=sound.part)
    except audio.BadAudio as error:
        return error


def _unpack(sounds: Sequence[Sound], folder: Path) -> dict[Sound, Path]:
    """Writes the cells of parquet files into `folder`, each as a file."""
    paths: dict[Sound, Path] = {}
    for source in dict.fromkeys((sound.path, sound.column) for sound in sounds):
        from pyarrow.parquet import read_table

        cells = read_table(source[0], columns=[source[1]]).column(0)
        for sound in sounds:
            if (sound.path, sound.column) == source:
                path = folder / f"{len(paths)}"
                cell = cells[sound.row].as_py() or {}
                path.write_bytes(cell.get("bytes") or b"")
                paths[sound] = path
    return paths
