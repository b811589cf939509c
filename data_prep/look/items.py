"""What there is to see of a corpus: its utterances and texts one after another, from a manifest or
recordings, a units folder, or shards.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from data_prep.token_shards import build_record
from spirit_jax.core.errors import UserError
from spirit_jax.datasets.manifest import stream_corpus, text_of, timed_words
from spirit_jax.datasets.shards import Layout, find_version, open_shards, read_metadata, split_sizes
from spirit_jax.datasets.units_folder import SUMMARY, UnitsFolder, open_units
from spirit_jax.tokens.interleave import Record
from spirit_jax.tokens.streams import SpeechTokens, Streams, duration_s
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Vocabulary

Words = list[tuple[str, float, float]]


@dataclasses.dataclass(frozen=True)
class Item:
    """An utterance or a text, as far as it is known.

    seconds: None if unknown. words: (word, start s, end s), empty without times. sound: the manifest's row of
    its recording. text_tokens: None before it is tokenised. document: of shards of finished documents.
    """

    id: str
    split: str
    source: str = ""
    voice: str = ""
    text: str = ""
    seconds: float | None = None
    words: Words = dataclasses.field(default_factory=list)
    spoken: bool = False
    sound: Mapping[str, Any] | None = None
    speech: SpeechTokens | None = None
    record: Record | None = None
    document: np.ndarray | None = None

    @property
    def text_tokens(self) -> int | None:
        """The number of its text's tokens."""
        return None if self.record is None else len(self.record.text_ids)


@dataclasses.dataclass(frozen=True)
class Source:
    """What the page is about. kind: for people. streams: of its codes, None if it has none. vocabulary: of
    its tokens, None if it has none. bad: why rows were left out.
    """

    kind: str
    path: Path
    streams: Streams = ()
    vocabulary: Vocabulary | None = None
    tokenizer: TextTokenizer | None = None
    units: UnitsFolder | None = None
    split: str | None = None

    def items(self) -> Iterator[Item | dict]:
        """All items of the split, or of every split; for a row that breaks a rule its line of the
        quarantine.
        """
        if self.kind == SHARDS:
            yield from self._of_shards()
            return
        rows = ((row, None) for row in self.units.rows()) if self.units else stream_corpus(self.path)
        for row, bad in rows:
            if bad is not None:
                yield bad
            elif self.split in (None, row["split"]):
                yield self._of_row(row)

    def _of_row(self, row: Mapping[str, Any]) -> Item:
        words, text = timed_words(row), text_of(row)
        speech = self.units.speech_of(row) if self.units and row["audio"] else None
        record = None
        if self.tokenizer is not None:
            ids = self.tokenizer.encode_words(words) if words else (self.tokenizer.encode(text), [])
            record = build_record(dict(row), speech, *(np.asarray(part, np.int32) for part in ids))
        return Item(
            row["id"],
            row["split"],
            row["source"],
            row["voice"],
            text,
            _seconds_of(row) if row["audio"] else None,
            [(word, start, end) for word, start, end in row["words"]] if words else [],
            bool(row["audio"]),
            row if row["audio"] else None,
            speech,
            record,
        )

    def _of_shards(self) -> Iterator[Item]:
        for name in split_sizes(self.path) if self.split is None else [self.split]:
            rows = open_shards(self.path, split=name)
            for index in range(len(rows)):
                stored = rows.stored_row(index)
                if "tokens" in stored:
                    source, id = stored["source"].decode(), stored["id"].decode()
                    yield Item(id, name, source, document=stored["tokens"])
                else:
                    record = rows[index]
                    assert isinstance(record, Record)
                    yield self._of_record(record, name, stored["text"].decode())

    def _of_record(self, record: Record, split: str, text: str) -> Item:
        seconds = duration_s(record.speech, self.streams) if record.speech else None
        words = list(zip(self._words_of(record, text), record.word_start_s, record.word_end_s))
        about = (record.id, split, record.source, record.voice, text, seconds, words)
        return Item(*about, record.speech is not None, None, record.speech, record)

    def _words_of(self, record: Record, text: str) -> list[str]:
        """The words of an aligned record: from its text, or where entries have several words from its
        tokens.
        """
        written = text.split(" ")
        if len(written) == record.words or self.tokenizer is None:
            return written if len(written) == record.words else ["?"] * record.words
        spans = zip(record.word_offsets[:-1], record.word_offsets[1:])
        return [self.tokenizer.decode(record.text_ids[first:last]).strip() for first, last in spans]


SHARDS, UNITS_FOLDER, CORPUS = "shards", "units folder", "manifest or recordings"


def open_source(path: Path, tokenizer: TextTokenizer | None, split: str | None) -> Source:
    """Recognises what `path` is. UserError for a split that shards do not have, or another tokenizer's."""
    if not path.exists():
        raise UserError("--data", path, "no such file or folder", "check the path")
    open_as = functools.partial(Source, path=path, tokenizer=tokenizer, split=split)
    if path.is_dir() and (path / SUMMARY).is_file() and next(path.glob("units-*.jsonl"), None):
        units = open_units(path)
        special = {name: getattr(tokenizer, name) for name in ("bos", "eos", "unk")} if tokenizer else {}
        vocabulary = Vocabulary(tokenizer.size, units.streams, **special) if tokenizer else None
        return open_as(UNITS_FOLDER, streams=units.streams, vocabulary=vocabulary, units=units)
    if not path.is_dir() or next(path.rglob("dataset_info.json"), None) is None:
        return open_as(CORPUS)
    version = find_version(path)
    metadata = read_metadata(version)
    if tokenizer and tokenizer.fingerprint != metadata.tokenizer_fingerprint:
        rule = f"the shards were made with {metadata.tokenizer_fingerprint}"
        raise UserError("--tokenizer", tokenizer.fingerprint, rule, "name that one, or leave it out")
    if split is not None:
        open_shards(version, split=split)  # complains if there is none
    return open_as(SHARDS, path=version, streams=metadata.vocabulary.streams, vocabulary=metadata.vocabulary)


def is_finished(source: Source) -> bool:
    """Whether it is shards of finished documents."""
    return source.kind == SHARDS and read_metadata(source.path).layout is Layout.INTERLEAVED


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
