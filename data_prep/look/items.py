"""What there is to see of a corpus: its utterances and texts one after another, from a manifest or
recordings, a units folder, or shards.
"""

import dataclasses
import enum
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from data_prep.shards.contents import NO_OFFSETS, build_record
from spirit_jax.core.errors import UserError
from spirit_jax.datasets.manifest import stream_corpus, text_of, timed_words
from spirit_jax.datasets.shards import Layout, find_version, open_shards, read_metadata, split_sizes
from spirit_jax.datasets.units_folder import SUMMARY, open_units
from spirit_jax.tokens.interleave import Record
from spirit_jax.tokens.streams import SpeechTokens, Streams, duration_s
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Vocabulary


class Kind(enum.Enum):
    """What the data is."""

    CORPUS = "manifest or recordings"
    UNITS = "units folder"
    RECORDS = "shards"
    DOCUMENTS = "shards of finished documents"


@dataclasses.dataclass(frozen=True)
class Item:
    """An utterance or a text, as far as it is known.

    seconds: None if unknown. words: (word, start s, end s), empty without times. spoken: whether it has sound
    or codes. sound: the manifest's row of its recording. record: None before it is tokenised. document: int32
    ids, of shards of finished documents.
    """

    id: str
    split: str
    source: str = ""
    voice: str = ""
    text: str = ""
    seconds: float | None = None
    words: list[tuple[str, float, float]] = dataclasses.field(default_factory=list)
    spoken: bool = False
    sound: Mapping[str, Any] | None = None
    speech: SpeechTokens | None = None
    record: Record | None = None
    document: np.ndarray | None = None

    @property
    def text_tokens(self) -> int:
        """The number of its text's tokens; 0 before it is tokenised."""
        return 0 if self.record is None else len(self.record.text_ids)


@dataclasses.dataclass(frozen=True)
class Subject:
    """What the page is about.

    path: of shards their version. streams: of its codes, none for a corpus. vocabulary: of its tokens, None
    if it has none. split: the only one that is read, None for all.
    """

    kind: Kind
    path: Path
    streams: Streams
    vocabulary: Vocabulary | None
    tokenizer: TextTokenizer | None
    split: str | None

    def items(self) -> Iterator[Item | dict]:
        """All items; for a row that breaks a rule its line of the quarantine."""
        if self.kind is Kind.CORPUS:
            yield from self._of_corpus()
        elif self.kind is Kind.UNITS:
            yield from self._of_units()
        else:
            yield from self._of_shards()

    def _of_corpus(self) -> Iterator[Item | dict]:
        for row, bad in stream_corpus(self.path):
            if bad is not None:
                yield bad
            elif row is not None and self.split in (None, row["split"]):
                yield _item_of(row, _seconds_of(row) if row["audio"] else None)

    def _of_units(self) -> Iterator[Item]:
        units = open_units(self.path)
        for row in units.rows():
            if self.split in (None, row["split"]):
                speech = units.speech_of(row)
                record = None if self.tokenizer is None else _tokenise(row, speech, self.tokenizer)
                item = _item_of(row, row["duration_s"])
                yield dataclasses.replace(item, speech=speech, record=record)

    def _of_shards(self) -> Iterator[Item]:
        for name in split_sizes(self.path) if self.split is None else [self.split]:
            rows = open_shards(self.path, split=name)
            for index in range(len(rows)):
                stored, row = rows.stored_row(index), rows[index]
                if isinstance(row, Record):
                    yield self._of_record(row, name, stored["text"].decode())
                else:
                    yield Item(stored["id"].decode(), name, stored["source"].decode(), document=row)

    def _of_record(self, record: Record, split: str, text: str) -> Item:
        seconds = duration_s(record.speech, self.streams) if record.speech else None
        words = list(zip(self._words_of(record, text), record.word_start_s, record.word_end_s))
        about = (record.id, split, record.source, record.voice, text, seconds, words)
        return Item(*about, record.speech is not None, None, record.speech, record)

    def _words_of(self, record: Record, text: str) -> list[str]:
        """The words of an aligned record, from its text; from its tokens where an entry has several words."""
        written = text.split(" ")
        if len(written) == record.words:
            return written
        if self.tokenizer is None:
            return ["?"] * record.words
        spans = zip(record.word_offsets[:-1], record.word_offsets[1:])
        return [self.tokenizer.decode(record.text_ids[first:last]).strip() for first, last in spans]


def open_subject(path: Path, tokenizer: TextTokenizer | None, split: str | None) -> Subject:
    """Recognises what `path` is. UserError for a split that shards do not have, or another tokenizer's."""
    if not path.exists():
        raise UserError("--data", path, "no such file or folder", "check the path")
    if path.is_dir() and (path / SUMMARY).is_file() and next(path.glob("units-*.jsonl"), None):
        streams, vocabulary = open_units(path).streams, None
        if tokenizer is not None:
            special = {name: getattr(tokenizer, name) for name in ("bos", "eos", "unk")}
            vocabulary = Vocabulary(tokenizer.size, streams, **special)
        return Subject(Kind.UNITS, path, streams, vocabulary, tokenizer, split)
    if path.is_dir() and next(path.rglob("dataset_info.json"), None):
        return _open_shards(find_version(path), tokenizer, split)
    return Subject(Kind.CORPUS, path, (), None, None, split)


def _open_shards(version: Path, tokenizer: TextTokenizer | None, split: str | None) -> Subject:
    metadata = read_metadata(version)
    if tokenizer and tokenizer.fingerprint != metadata.tokenizer_fingerprint:
        rule = f"the shards were made with {metadata.tokenizer_fingerprint}"
        raise UserError("--tokenizer", tokenizer.fingerprint, rule, "name that one, or leave it out")
    if split is not None:
        open_shards(version, split=split)  # complains if there is none
    kind = Kind.RECORDS if metadata.layout is Layout.ALIGNED else Kind.DOCUMENTS
    return Subject(kind, version, metadata.vocabulary.streams, metadata.vocabulary, tokenizer, split)


def _item_of(row: Mapping[str, Any], seconds: float | None) -> Item:
    """The item of a manifest's row."""
    words = [(word, start, end) for word, start, end in row["words"] or ()] if row["audio"] else []
    about = (row["id"], row["split"], row["source"], row["voice"], text_of(dict(row)), seconds, words)
    return Item(*about, bool(row["audio"]), row if row["audio"] else None)


def _tokenise(row: dict, speech: SpeechTokens, tokenizer: TextTokenizer) -> Record:
    """The record of an utterance, as shards have it."""
    words = timed_words(row)
    if words is not None:
        return build_record(row, speech, *tokenizer.encode_words(words))
    return build_record(row, speech, np.array(tokenizer.encode(text_of(row)), np.int32), NO_OFFSETS)


def _seconds_of(row: Mapping[str, Any]) -> float | None:
    """The length of a row's sound: as it says, or as the header of its file does; None where neither does."""
    stated = row.get("duration_s") or row.get("duration")
    if stated is not None:
        return float(stated)
    try:
        whole = soundfile.info(row["audio"]).duration
    except (soundfile.SoundFileError, OSError):
        return None
    return max(0.0, whole - (row.get("offset") or 0.0))
