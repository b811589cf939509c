"""Encode and decode, the only door between sound and units. A codec is a folder, whose `codec.json` says its
kind and sizes.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json
from spirit_jax.speech.codes import Codes
from spirit_jax.speech.embedded_codec import EmbeddedCodec
from spirit_jax.speech.speech_codec import SpeechCodec
from spirit_jax.speech.vocoded_codec import VocodedCodec
from spirit_jax.tokens.streams import SpeechTokens


class Codec(Protocol):
    """What the rest of the library knows of speech."""

    @property
    def unit_count(self) -> int:
        """Phonetic codes."""
        ...

    @property
    def pitch_count(self) -> int:
        """Pitch codes, 0 if it has none."""
        ...

    @property
    def style_count(self) -> int:
        """Style codes, 0 if it has none."""
        ...

    @property
    def fingerprint(self) -> str:
        """Names the codec's content: equal fingerprints give equal units."""
        ...

    @property
    def rates(self) -> dict[str, float]:
        """Codes a second of each stream."""
        ...

    def count_units(self, samples: int) -> int:
        """Units of a wav of so many samples, 100 s at most."""
        ...

    def encode_batch(self, wavs: Sequence[np.ndarray]) -> list[SpeechTokens]:
        """Units of float32 wavs [samples] at 16 kHz."""
        ...

    def decode(self, speech: Codes, speaker: int | None = None, style: int | None = None) -> np.ndarray:
        """Sound of an utterance's codes, or of spoken units or a token string, whose durations the codec
        predicts: float32 [samples] at 16 kHz.

        speaker, style: of the codec's voices and manners, its own choice where None; UserError for one that
        it hasn't.
        """
        ...

    def check_voice(self, speaker: int | None, style: int | None) -> None:
        """Raises the UserErrors that `decode` would, for lack of a vocoder, or of this speaker or style."""
        ...

    def save(self, folder: str | Path) -> None:
        """Writes the codec's folder whole or not at all. UserError where other things lie in it."""
        ...


@dataclasses.dataclass(frozen=True)
class Identity:
    """A codec's counts and fingerprint, as in `Codec`: all that training needs."""

    unit_count: int
    pitch_count: int
    style_count: int
    fingerprint: str


KINDS = {"embedded": EmbeddedCodec, "speech": SpeechCodec, "vocoded": VocodedCodec}


def load_codec(folder: str | Path) -> Codec:
    """The codec in a folder, by the kind that its codec.json names. UserError for a missing folder or an
    unknown kind.
    """
    return KINDS[_read(folder)["kind"]].load(folder)


def read_identity(folder: str | Path) -> Identity:
    """What a codec's folder says of it, without loading it. UserErrors as of `load_codec`, and for a
    codec.json that lacks a value.
    """
    about = _read(folder)
    names = [field.name for field in dataclasses.fields(Identity)]
    if missing := [name for name in names if name not in about]:
        raise UserError(f"{folder}/codec.json {missing[0]}", None, "is absent", "make the codec again")
    return Identity(*(about[name] for name in names))


def _read(folder: str | Path) -> dict:
    about = read_json(Path(folder) / "codec.json")
    if about.get("kind") not in KINDS:
        raise UserError(
            f"{folder}/codec.json kind",
            about.get("kind"),
            f"must be one of {', '.join(KINDS)}",
            "use a codec of this version",
        )
    return about
