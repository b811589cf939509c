"""Speech and vocabularies of the published streams, with few words."""

from pathlib import Path

from spirit_jax.core.files import write_json
from spirit_jax.tokens.streams import SpeechTokens, SpokenUnits, Streams, resized_streams
from spirit_jax.tokens.vocabulary import Vocabulary


def _named(units, pitch, style):
    given = {"units": units, "pitch": pitch, "style": style}
    return {name: codes for name, codes in given.items() if codes is not None}


def make_speech(units, pitch=None, style=None) -> SpeechTokens:
    return SpeechTokens(_named(units, pitch, style))


def make_spoken(units, pitch=None, style=None) -> SpokenUnits:
    return SpokenUnits(_named(units, pitch, style))


def make_streams(units=501, pitches=0, styles=0) -> Streams:
    return resized_streams({"units": units, "pitch": pitches, "style": styles})


def make_vocabulary(text_size, units=501, pitches=0, styles=0, *special, **named) -> Vocabulary:
    return Vocabulary(text_size, make_streams(units, pitches, styles), *special, **named)


def write_codec_json(folder: Path, streams: Streams, fingerprint: str = "made") -> None:
    """A codec's folder without networks: as much as training reads of it."""
    table = [stream.to_dict() for stream in streams]
    parts = {"encoders": [], "decoder": None}
    write_json(folder / "codec.json", {"format": 2, "streams": table, "fingerprint": fingerprint, **parts})
