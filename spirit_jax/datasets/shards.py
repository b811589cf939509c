"""Token shards on disk: rows, metadata, reading, and compatibility with a reader. Needs no TensorFlow.

They are one TFDS data set, `spirit_tokens`, in two configs. `data_prep.shards.token_shards` writes them.

aligned       a row is a `Record`: codes of each stream, text ids, word times. Spans are drawn at every pass
interleaved   a row is one finished document, for any trainer
"""

import dataclasses
import enum
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import fingerprint, read_json, require_folder
from spirit_jax.tokens.interleave import Arrangement, Record, Spans
from spirit_jax.tokens.streams import UNITS, SpeechTokens, Streams
from spirit_jax.tokens.vocabulary import Vocabulary

DATASET = "spirit_tokens"
FORMAT = 2  # format 1, with counts of the three published streams in place of a table, is still read
POISSON = "data.poisson_span_words"  # absent from shards of earlier versions, which drew none so
SAMPLED = 16  # rows that enter a fingerprint


class Layout(enum.Enum):
    """The TFDS config: what a row is."""

    ALIGNED = "aligned"
    INTERLEAVED = "interleaved"


@dataclasses.dataclass(frozen=True)
class Finished:
    """How finished documents were made, which a reader can no longer choose. Without spans where the
    arrangement draws none.
    """

    arrangement: Arrangement
    spans: Spans
    append_eos: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, by the names of a recipe's settings."""
        drawn = {
            "data.text_span_words": list(self.spans.text),
            "data.speech_span_words": list(self.spans.speech),
            "data.speech_first": self.spans.speech_first,
            POISSON: None if self.spans.poisson is None else list(self.spans.poisson),
        }
        made = {"arrangement": self.arrangement.value, "data.append_eos": self.append_eos}
        return made | (drawn if self.arrangement is Arrangement.INTERLEAVED else {})


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What the shards were made with. encoder_fingerprint: None for shards of text alone.

    whole_text: text that is not cut at words was tokenised whole, with its line breaks and runs of spaces;
    earlier versions tokenised all text word by word. finished: as of `Finished.to_dict`; None for aligned
    shards and those of earlier versions.
    """

    layout: Layout
    vocabulary: Vocabulary
    tokenizer_fingerprint: str
    encoder_fingerprint: str | None
    whole_text: bool = True
    finished: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, as TFDS stores them."""
        finished = {} if self.finished is None else {"finished": self.finished}
        return {
            "format": FORMAT,
            "config": self.layout.value,
            "vocabulary": self.vocabulary.to_dict(),
            "tokenizer_fingerprint": self.tokenizer_fingerprint,
            "encoder_fingerprint": self.encoder_fingerprint,
            "whole_text": self.whole_text,
            **finished,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Metadata":
        """Reads what `to_dict` wrote, in this format or format 1. UserError for any other."""
        if values.get("format") not in (1, FORMAT):
            rule = f"this version reads 1 and {FORMAT}"
            raise UserError("shards' format", values.get("format"), rule, "write the shards again")
        return cls(
            Layout(values["config"]),
            Vocabulary.from_dict(values["vocabulary"]),
            values["tokenizer_fingerprint"],
            values["encoder_fingerprint"],
            values.get("whole_text", False),
            values.get("finished"),
        )


class ShardSplit(Sequence):
    """One split by index: a `Record` where aligned, int32 ids [n] of one document where interleaved.

    Grain reads it as a data source, also in other processes.
    """

    def __init__(self, folder: Path, metadata: Metadata, split: str):
        import tensorflow_datasets as tfds

        self.folder, self.metadata, self.split = folder, metadata, split
        rows: Any = tfds.builder_from_directory(folder).as_data_source(split)  # pyright: ignore[reportCallIssue]
        self.stored: Any = rows.data_source  # array_record's, which fetches several rows by one call too

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: int) -> Record | np.ndarray:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.parse(self._at(index))

    def parse(self, stored: bytes) -> Record | np.ndarray:
        """What `split[index]` is, from `split.stored[index]`."""
        row = _columns_of(stored)
        if self.metadata.layout is Layout.INTERLEAVED:
            return row["tokens"]
        return record_from_row(row, self.metadata.vocabulary.streams)

    def __repr__(self) -> str:
        return f"ShardSplit({self.folder}, {self.split!r})"

    @property
    def fingerprint(self) -> str:
        """Changes with the rows: a hash of the number of rows of each file, of the bytes of all, and of
        `SAMPLED` rows.
        """
        info = read_json(self.folder / "dataset_info.json")
        stored = next(split for split in info["splits"] if split["name"] == whole_split(self.split))
        sampled = (
            self.stored[int(index)] for index in np.linspace(0, len(self) - 1, min(SAMPLED, len(self)))
        )
        return fingerprint(json.dumps([stored["shardLengths"], stored["numBytes"]]).encode(), *sampled)

    def stored_row(self, index: int) -> dict[str, Any]:
        """The row as stored, by column: int32 or float32 arrays [n], and bytes for strings."""
        return _columns_of(self._at(index))

    def _at(self, index: int) -> bytes:
        if not 0 <= index < len(self):
            raise IndexError(f"{self} has rows 0 to {len(self) - 1}, not {index}")
        return self.stored[index]


def _columns_of(stored: bytes) -> dict[str, Any]:
    """A stored row by column. Parses the `tf.train.Example` directly: the same as `as_data_source` in two
    fifths of the time.
    """
    from tensorflow_datasets.proto import tf_example_pb2

    row = {}
    example: Any = tf_example_pb2.Example.FromString(stored)  # pyright: ignore[reportAttributeAccessIssue]
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        if kind == "bytes_list":
            row[name] = b"".join(feature.bytes_list.value)
        else:
            # from a list, since numpy takes each value of protobuf's own sequence by a call
            values = getattr(feature, kind).value[:]
            dtype = np.int32 if kind == "int64_list" else np.float32
            row[name] = np.fromiter(values, dtype, len(values))
    return row


def open_shards(folder: str | Path, config: Layout | str | None = None, split: str = "train") -> ShardSplit:
    """Opens one split of a data set.

    folder: what `data_prep shards --out` wrote, or a folder below it down to the version. config: None for
    the only layout that is there, or aligned. split: a name, or a part of one as TFDS writes it,
    `train[:10%]`; rows are stored in random order. UserError for a config or a split that is not there.
    """
    version = find_version(folder, None if config is None else Layout(config))
    names = split_sizes(version)
    if whole_split(split) not in names:
        raise UserError("split", split, f"{version} has {', '.join(names)}", "choose one of them")
    try:
        return ShardSplit(version, read_metadata(version), split)
    except ValueError as error:
        fix = f"for example {whole_split(split)}[:10%]"
        raise UserError("split", split, f"is no part of a split ({error})", fix) from error


def whole_split(split: str) -> str:
    """The split that `split` is or is a part of.

    >>> whole_split("train[:10%]")
    'train'
    """
    return split.partition("[")[0]


def find_version(folder: str | Path, layout: Layout | None = None) -> Path:
    """The folder NAME/CONFIG/VERSION inside `folder`, or `folder` itself: the newest version, aligned if
    both layouts are there.
    """
    folder = require_folder(folder, "shards")
    for root in (folder, folder / DATASET):
        for pattern in ("dataset_info.json", "*/dataset_info.json", "*/*/dataset_info.json"):
            found = [
                path.parent for path in sorted(root.glob(pattern), reverse=True) if not _hidden(path, folder)
            ]
            layouts = {read_metadata(version).layout: version for version in reversed(found)}
            if layout is None and layouts:
                return layouts.get(Layout.ALIGNED) or layouts[Layout.INTERLEAVED]
            if layout in layouts:
                return layouts[layout]
    wanted = layout.value if layout else "aligned or interleaved"
    raise UserError(
        "shards", folder, f"has no {wanted} {DATASET}", "write it with python -m data_prep shards"
    )


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def read_metadata(version: Path) -> Metadata:
    """The metadata of a version folder. UserError for another data set."""
    path = version / "metadata.json"
    if not path.is_file():
        raise UserError(
            "shards",
            version,
            f"is not a {DATASET} data set (no metadata.json)",
            "name a folder that data_prep shards wrote",
        )
    return Metadata.from_dict(read_json(path))


def split_sizes(version: Path) -> dict[str, int]:
    """Number of rows of each split."""
    info = read_json(version / "dataset_info.json")
    return {split["name"]: sum(int(length) for length in split["shardLengths"]) for split in info["splits"]}


def check_compatible(
    metadata: Metadata,
    vocabulary: Vocabulary | None = None,
    tokenizer_fingerprint: str | None = None,
    encoder_fingerprint: str | None = None,
) -> None:
    """Raises a UserError, naming both sides, where shards and reader differ. None is not compared.

    Vocabularies agree if their text ranges are equal and the reader has an id for every code, or has no
    speech (it can then train on text alone). Shards of text alone fit any encoder.
    """
    stored = metadata.vocabulary
    if tokenizer_fingerprint is not None and tokenizer_fingerprint != metadata.tokenizer_fingerprint:
        _refuse(
            "tokenizer",
            tokenizer_fingerprint,
            metadata.tokenizer_fingerprint,
            "set data.tokenizer to the one they were made with",
        )
    if (
        None not in (encoder_fingerprint, metadata.encoder_fingerprint)
        and encoder_fingerprint != metadata.encoder_fingerprint
    ):
        _refuse(
            "speech encoder",
            encoder_fingerprint,
            metadata.encoder_fingerprint,
            "set data.codec to the one they were made with",
        )
    if vocabulary is None or vocabulary == stored:
        return
    text_names = ("text_size", "bos", "eos", "unk")
    same_text = all(getattr(vocabulary, name) == getattr(stored, name) for name in text_names)
    # interleaved shards store ids, so every range must start at the same id
    frozen = metadata.layout is Layout.INTERLEAVED
    if (
        frozen
        or not same_text
        or (vocabulary.has_speech and not _includes(vocabulary.streams, stored.streams))
    ):
        _refuse("vocabulary", vocabulary.to_dict(), stored.to_dict(), "use a model and codec that fit them")


def check_finished(metadata: Metadata, wanted: Finished, name: str) -> str:
    """Raises a UserError for a source of finished documents that were made otherwise than the recipe says. A
    remark instead where the shards don't say how they were made, else "".
    """
    settings = wanted.to_dict()
    if metadata.finished is None:
        return f"its shards don't say how documents were made, so {', '.join(settings)} are not compared"
    for key, made in ({POISSON: None} | metadata.finished).items():
        if key in settings and settings[key] != made:
            rule = f"its shards are finished documents made with {made}"
            fix = "set it so, or train on aligned shards, which are arranged when they are read"
            raise UserError(f"source {name}'s {key}", settings[key], rule, fix)
    return ""


def _includes(streams: Streams, stored: Streams) -> bool:
    """Whether every stored stream is one of `streams`, with as many codes or more."""
    readers = {stream.name: stream for stream in streams}
    return all(
        stream.name in readers
        and readers[stream.name].size >= stream.size
        and dataclasses.replace(readers[stream.name], size=stream.size) == stream
        for stream in stored
    )


def _refuse(what: str, readers: object, stored: object, fix: str) -> None:
    raise UserError(what, readers, f"the shards were made with {stored}", f"{fix}, or write the shards again")


def row_from_record(record: Record, text: str, streams: Streams) -> dict[str, Any]:
    """The aligned row of a record, with a column for each stream. `record_from_row` is its inverse.

    text: what `record.text_ids` were made from. Text that is not cut at words has no word_offsets.
    """
    codes = record.speech.codes if record.speech else {}
    return {
        "id": record.id,
        "source": record.source,
        "voice": record.voice,
        "text": text,
        **{stream.name: codes.get(stream.name, np.zeros(0, np.int32)) for stream in streams},
        "text_ids": np.asarray(record.text_ids, np.int32),
        "word_offsets": np.asarray(record.word_offsets, np.int32),
        "word_start_s": np.asarray(record.word_start_s, np.float32),
        "word_end_s": np.asarray(record.word_end_s, np.float32),
    }


def record_from_row(row: dict[str, Any], streams: Streams) -> Record:
    """The record of an aligned row. Without units it has no speech; other empty streams are absent."""
    codes = {stream.name: row[stream.name] for stream in streams if len(row[stream.name])}
    return Record(
        id=row["id"].decode(),
        source=row["source"].decode(),
        voice=row["voice"].decode(),
        speech=SpeechTokens(codes) if UNITS in codes else None,
        text_ids=row["text_ids"],
        word_offsets=row["word_offsets"],
        word_start_s=row["word_start_s"],
        word_end_s=row["word_end_s"],
    )
