"""Sound files and token strings for the commands that use a codec."""

import argparse
import collections
import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.speech import audio
from spirit_jax.speech.codec import Codec, Speech
from spirit_jax.speech.segments import groups
from spirit_jax.tokens.streams import SAMPLE_RATE, SpeechTokens, Streams
from spirit_jax.tokens.strings import render

HELD_SECONDS = 600  # sound in memory at a time, or one longer file: our choice


@dataclasses.dataclass(frozen=True)
class Heard:
    """A file with its codes and seconds, or with the reason why it could not be read."""

    path: str
    speech: SpeechTokens | None = None
    seconds: float = 0.0
    problem: audio.BadAudio | None = None

    @property
    def about(self) -> dict[str, Any]:
        """The fields of its JSON line: {"audio", "seconds"}, or {"audio", "error", "detail"}."""
        if self.problem is not None:
            return {"audio": self.path, "error": self.problem.reason, "detail": self.problem.detail}
        return {"audio": self.path, "seconds": round(self.seconds, 4)}


def hear(codec: Codec, paths: Sequence[str]) -> Iterator[Heard]:
    """Encodes each file, in order. One that cannot be read has a `problem`, and the others continue."""
    loaded = ((path, _load(path)) for path in paths)
    for group in groups(loaded, HELD_SECONDS, lambda item: _samples(item[1])):
        good = [wav for _, wav in group if isinstance(wav, np.ndarray)]
        codes = iter(codec.encode_batch(good) if good else [])
        for path, wav in group:
            yield (
                Heard(path, problem=wav)
                if isinstance(wav, audio.BadAudio)
                else Heard(path, next(codes), len(wav) / SAMPLE_RATE)
            )


def describe(speech: SpeechTokens, streams: Streams) -> dict[str, Any]:
    """An utterance's codes as JSON values: a list for each stream, and `tokens`, a language
    model's string.
    """
    return {
        **{stream.name: speech.codes[stream.name].tolist() for stream in streams},
        "tokens": render(speech, streams),
    }


def wav_names(stems: Sequence[str]) -> list[str]:
    """A file name for each, with a number where the name is taken."""
    names: dict[str, None] = {}
    used: collections.Counter[str] = collections.Counter()
    for stem in stems:
        name = f"{stem}.wav"
        while name in names:
            used[stem] += 1
            name = f"{stem}-{used[stem]}.wav"
        names[name] = None
    return list(names)


def print_line(values: dict[str, Any]) -> None:
    """Prints a JSON object on one line and flushes."""
    print(json.dumps(values, ensure_ascii=False), flush=True)


def speak(codec: Codec, speech: Speech, args: argparse.Namespace, name: str) -> dict[str, Any]:
    """Writes an utterance as 16-bit sound to `args.out`; returns the fields of its JSON line: {"wav",
    "seconds"}, or {"error", "detail"} where its codes cannot be decoded.
    """
    try:
        require_units(codec, speech)
        wav = codec.decode(speech, args.speaker, args.style)
    except UserError as error:
        return {"error": "codes", "detail": str(error)}
    audio.save(args.out / name, wav)
    return {"wav": str(args.out / name), "seconds": round(len(wav) / SAMPLE_RATE, 4)}


def require_units(codec: Codec, speech: Speech) -> None:
    """Raises a UserError for an utterance without units, or with codes that the codec does not have."""
    if not len(codec.read(speech).units):
        rule = "has nothing to be spoken"
        raise UserError("utterance", "no units", rule, "give at least one [Hu..]")


def _samples(wav: np.ndarray | audio.BadAudio) -> int:
    return len(wav) if isinstance(wav, np.ndarray) else 0


def _load(path: str) -> np.ndarray | audio.BadAudio:
    try:
        return audio.load(path)
    except audio.BadAudio as error:
        return error
