"""Recordings of a data set to speech tokens, in batches."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spirit_jax.core.progress import Progress
from spirit_jax.evals.layouts.trials import Sound
from spirit_jax.speech import audio
from spirit_jax.speech.codec import Codec
from spirit_jax.tokens.streams import SpeechTokens

SOUNDS = 128  # decoded at a time: 30 s each are 250 MB
Heard = SpeechTokens | audio.BadAudio  # a sound that cannot be used is its reason


def hear(codec: Codec, sounds: Sequence[Sound]) -> dict[Sound, Heard]:
    """Speech tokens of each recording, or why it has none. Sounds of similar size are encoded together."""
    heard: dict[Sound, Heard] = {}
    ordered = sorted(sounds, key=lambda sound: sound.size)
    with Progress("listen", len(ordered), "sound") as progress:
        for first in range(0, len(ordered), SOUNDS):
            called = ordered[first : first + SOUNDS]
            loaded = dict(zip(called, load_sounds(called)))
            wavs = {sound: wav for sound, wav in loaded.items() if isinstance(wav, np.ndarray)}
            encoded = dict(zip(wavs, codec.encode_batch(list(wavs.values()))))
            heard |= {sound: _checked(encoded.get(sound, loaded[sound])) for sound in called}
            progress.advance(len(called))
    return heard


def _checked(found: Heard | np.ndarray) -> Heard:
    if isinstance(found, SpeechTokens) and not len(found.units):
        return audio.BadAudio("too_short", "the codec gives no units")
    assert not isinstance(found, np.ndarray)
    return found


def load_sounds(sounds: Sequence[Sound]) -> list[np.ndarray | audio.BadAudio]:
    """The samples of each sound, float32 at 16 kHz, or why there are none."""
    with tempfile.TemporaryDirectory() as folder:
        unpacked = _unpack([sound for sound in sounds if sound.row is not None], Path(folder))
        return [_load(unpacked.get(sound, sound.path)) for sound in sounds]


def _load(path: Path) -> np.ndarray | audio.BadAudio:
    try:
        return audio.load(path)
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
                path.write_bytes(cells[sound.row].as_py()["bytes"] or b"")
                paths[sound] = path
    return paths
