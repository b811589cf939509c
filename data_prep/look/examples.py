"""One record as the page shows it: a figure with its sound, its text, and the documents made from it."""

import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_prep.jobs.row_sound import load_row
from data_prep.look.items import Item, Subject
from data_prep.look.sequence import TokenRun, runs_of
from spirit_jax.pages.sound import player
from spirit_jax.pages.utterance import Drawn, Lanes, draw_utterance
from spirit_jax.speech import audio
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.encoders.f0 import track_f0
from spirit_jax.tokens.interleave import Arrangement, Spans, arrange
from spirit_jax.tokens.streams import SAMPLE_RATE, excerpt


@dataclasses.dataclass(frozen=True)
class Sounds:
    """Where the sound of a record is from: its own recording, one of `recordings` by id, or its codes, which
    the codec speaks. seconds: as much as is heard.
    """

    recordings: Mapping[str, Mapping[str, Any]]
    codec: Codec | None
    seconds: float

    def of(self, item: Item) -> tuple[np.ndarray | None, str]:
        """Float32 samples at 16 kHz, or None, and what they are or why there are none."""
        row = item.sound or self.recordings.get(item.id)
        if row is not None:
            try:
                return load_row(row)[: round(self.seconds * SAMPLE_RATE)], "as recorded"
            except audio.BadAudio as error:
                return None, f"no sound, {error.reason}: {error.detail}"
        if item.speech is not None and self.codec is not None:
            wav = self.codec.decode(item.speech)
            return wav[: round(self.seconds * SAMPLE_RATE)], "spoken from its codes"
        return None, "no sound" if item.spoken else "not spoken"


@dataclasses.dataclass(frozen=True)
class Example:
    """A record on the page. remarks: facts about it. documents: its runs, one list for each document."""

    id: str
    text: str
    remarks: list[str]
    figure: Drawn | None
    audio: str | None
    documents: list[list[TokenRun]]


def show(item: Item, subject: Subject, sounds: Sounds, spans: Spans, seed: int) -> Example:
    """The example of an item. Spans are drawn as in training, by the seed and the record's id."""
    wav, said = sounds.of(item)
    documents = _documents(item, subject, spans, seed)
    remarks = [f"split {item.split}", *_name("voice", item.voice), *_name("source", item.source), said]
    if item.seconds is not None:
        shown = f", the first {sounds.seconds:g} s are shown" if item.seconds > sounds.seconds else ""
        remarks.append(f"{item.seconds:.2f} s{shown}")
    if item.spoken and not item.words:
        remarks.append("no word times")
    return Example(
        item.id,
        item.text,
        remarks,
        _draw(item, wav, subject, sounds.seconds) if item.spoken else None,
        None if wav is None else player(wav),
        documents,
    )


def _name(what: str, value: str) -> list[str]:
    return [f"{what} {value}"] if value else []


def _draw(item: Item, wav: np.ndarray | None, subject: Subject, seconds: float) -> Drawn:
    words = [(word, start, min(end, seconds)) for word, start, end in item.words if start < seconds]
    speech = item.speech and excerpt(item.speech, 0.0, seconds, subject.streams)
    f0 = None if wav is None else track_f0([wav])[0]
    return draw_utterance(Lanes(wav, words, speech, subject.streams, f0, spectrogram=True))


def _documents(item: Item, subject: Subject, spans: Spans, seed: int) -> list[list[TokenRun]]:
    if subject.vocabulary is None:
        return []
    documents = [] if item.document is None else [item.document]
    if item.record is not None:
        rng = np.random.default_rng([seed, zlib.crc32(item.id.encode())])
        documents = arrange(item.record, Arrangement.INTERLEAVED, subject.vocabulary, spans, rng)
    words = [word for word, _, _ in item.words]
    return [runs_of(ids, subject.vocabulary, subject.tokenizer, item.record, words) for ids in documents]
