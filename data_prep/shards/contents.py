"""What token shards are made of: units and texts as rows, their records, and the rows that are stored.

The text of an utterance with word times is tokenised word by word, so that a reader can cut it at any word;
all other text whole, byte for byte.
"""

import dataclasses
import itertools
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from data_prep.shards.counts import Counts
from data_prep.shards.shard_files import serialize
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_jsonl
from spirit_jax.datasets.manifest import stream_texts, text_of, timed_words
from spirit_jax.datasets.shards import Finished, Layout, Metadata, row_from_record
from spirit_jax.datasets.units_folder import UnitsFolder, open_units
from spirit_jax.speech.codec_identity import read_identity
from spirit_jax.tokens.interleave import Arrangement, Record, Spans, arrange
from spirit_jax.tokens.streams import SpeechTokens
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Vocabulary

INTS = tfds.features.Tensor(shape=(None,), dtype=np.int32)
FLOATS = tfds.features.Tensor(shape=(None,), dtype=np.float32)
TEXT = tfds.features.Text()
NO_OFFSETS = np.zeros(0, np.int32)


class Example(NamedTuple):
    """A row of the shards: its split, its key there, and its bytes."""

    split: str
    key: str
    stored: bytes


class Made(NamedTuple):
    """What is stored of some rows, and their counts by split."""

    examples: list[Example]
    counts: dict[str, Counts]


class Part(NamedTuple):
    """What is read as one stream: a file of units, or a corpus of texts."""

    path: Path
    is_units: bool


@dataclasses.dataclass(frozen=True)
class Draws:
    """Documents of a record in the interleaved config: its arrangement, and for spans `count` draws by a
    seed.
    """

    count: int = 1
    seed: int = 0
    spans: Spans = Spans()
    arrangement: Arrangement = Arrangement.INTERLEAVED


@dataclasses.dataclass(frozen=True)
class Contents:
    """What the shards are made of. The rows can be read several times.

    lines: a `.txt` of `texts` has a text a line. threads: of the tokenizer, by default one for each core.
    """

    metadata: Metadata
    tokenizer: TextTokenizer
    units: UnitsFolder | None
    texts: tuple[Path, ...] = ()
    draws: Draws = Draws()
    lines: bool = False
    threads: int | None = None

    @property
    def stored_metadata(self) -> Metadata:
        """The metadata, and how finished documents are made."""
        if self.metadata.layout is Layout.ALIGNED:
            return self.metadata
        finished = Finished(self.draws.arrangement, self.draws.spans).to_dict()
        return dataclasses.replace(self.metadata, finished=finished)

    @property
    def parts(self) -> list[Part]:
        """What is read, in order: utterances with their codes, then texts without speech."""
        units = [Part(path, True) for path in self.units.files] if self.units else []
        return units + [Part(path, False) for path in self.texts]

    def read(self, part: Part) -> Iterator[Mapping[str, Any]]:
        """The rows of a part."""
        return read_jsonl(part.path) if part.is_units else stream_texts(part.path, self.lines)

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """The rows of all parts."""
        return itertools.chain.from_iterable(map(self.read, self.parts))

    def records(self, rows: Sequence[dict]) -> list[Record]:
        """The records of some of the rows, tokenised together. One has word times only if it has speech."""
        cut = [timed_words(row) for row in rows]
        texts = [text_of(row) for row, words in zip(rows, cut) if words is None]
        whole = iter(self.tokenizer.encode_texts(texts, self.threads))
        records = []
        for row, words in zip(rows, cut):
            speech = self.units.speech_of(row) if self.units and row["audio"] else None
            ids = (next(whole), NO_OFFSETS) if words is None else self.tokenizer.encode_words(words)
            records.append(build_record(row, speech, *ids))
        return records

    def make(self, rows: Sequence[dict]) -> Made:
        """What is stored of some of the rows."""
        to_examples = aligned_examples if self.metadata.layout is Layout.ALIGNED else interleaved_examples
        examples, counts = [], {}
        for row, record in zip(rows, self.records(rows)):
            split = row["split"]
            if split not in counts:
                counts[split] = Counts(self.metadata.vocabulary)
            counts[split].add(record, row)
            made = to_examples(row, record, self)
            examples += [Example(split, key, serialize(example)) for key, example in made]
        return Made(examples, counts)

    def check_aligned(self) -> None:
        """Raises a UserError if there are utterances and none of them has word times."""
        count = 0
        for row in self.units.rows() if self.units else ():
            if row["words"]:
                return
            count += 1
        if count:
            raise UserError(
                "--units",
                f"0 of {count:,} utterances are aligned",
                f"the arrangement {self.draws.arrangement.value} needs word times",
                "add them with make align, or write aligned shards",
            )


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What names the contents: paths and settings, which another machine can open too."""

    tokenizer: Path
    codec: Path | None
    units: tuple[Path, ...]
    texts: tuple[Path, ...]
    layout: Layout
    draws: Draws
    lines: bool = False

    def open(self) -> Contents:
        """UserError where they do not fit each other."""
        tokenizer = TextTokenizer.load(self.tokenizer)
        units = open_units(*self.units) if self.units else None
        metadata = make_metadata(self.layout, tokenizer, self.codec, units)
        contents = Contents(metadata, tokenizer, units, self.texts, self.draws, self.lines)
        if self.layout is Layout.INTERLEAVED:
            contents.check_aligned()
        return contents


def make_metadata(
    layout: Layout, tokenizer: TextTokenizer, codec_folder: Path | None, units: UnitsFolder | None
) -> Metadata:
    """Vocabulary and fingerprints. UserError if the units were made with another codec."""
    special = {"bos": tokenizer.bos, "eos": tokenizer.eos, "unk": tokenizer.unk}
    if codec_folder is None:
        if units is not None:
            raise UserError("--codec", None, "is needed with --units", "name the codec that made them")
        return Metadata(layout, Vocabulary(tokenizer.size, (), **special), tokenizer.fingerprint, None)
    codec = read_identity(codec_folder)
    if units is not None and units.encoder_fingerprint != codec.fingerprint:
        rule = f"{units.path} was made with codec {units.encoder_fingerprint}"
        raise UserError("codec", codec.fingerprint, rule, "name that codec, or extract the units again")
    vocabulary = Vocabulary(tokenizer.size, codec.streams, **special)
    return Metadata(layout, vocabulary, tokenizer.fingerprint, codec.fingerprint)


def features_of(metadata: Metadata) -> dict[str, Any]:
    """The columns of the layout; aligned rows have one for each stream of the vocabulary."""
    if metadata.layout is Layout.INTERLEAVED:
        return {"id": TEXT, "source": TEXT, "draw": tfds.features.Scalar(dtype=np.int32), "tokens": INTS}
    streams = [stream.name for stream in metadata.vocabulary.streams]
    return {
        **dict.fromkeys(("id", "source", "voice", "text"), TEXT),
        **dict.fromkeys((*streams, "text_ids", "word_offsets"), INTS),
        **dict.fromkeys(("word_start_s", "word_end_s"), FLOATS),
    }


def grouped(rows: Iterable[dict], most: int, letters: int) -> Iterator[list[dict]]:
    """The rows in groups that are tokenised together: `most` of them, or fewer with so many letters."""
    group, written = [], 0
    for row in rows:
        group.append(row)
        written += len(row["text"] or "")
        if len(group) == most or written >= letters:
            yield group
            group, written = [], 0
    if group:
        yield group


def build_record(
    row: dict, speech: SpeechTokens | None, text_ids: np.ndarray, word_offsets: np.ndarray
) -> Record:
    """The record of a row with its speech and its text's ids. It has the row's word times if there are word
    offsets, so if there is speech.
    """
    times_W2 = np.array([word[1:] for word in row["words"]] if len(word_offsets) else [], np.float32)
    starts_W, ends_W = times_W2.reshape(-1, 2).T
    return Record(row["id"], row["source"], row["voice"], speech, text_ids, word_offsets, starts_W, ends_W)


def aligned_examples(row: dict, record: Record, contents: Contents) -> Iterator[tuple[str, dict]]:
    """Key and example of a row."""
    yield record.id, row_from_record(record, text_of(row), contents.metadata.vocabulary.streams)


def interleaved_examples(row: dict, record: Record, contents: Contents) -> Iterator[tuple[str, dict]]:
    """Key and example of each document: of an aligned record `draws.count` draws, seeded by (seed, draw, id);
    of any other record, or without spans to draw, one.
    """
    draws = contents.draws
    drawn = record.aligned and draws.arrangement is Arrangement.INTERLEAVED
    for draw in range(draws.count if drawn else 1):
        rng = np.random.default_rng([draws.seed, draw, zlib.crc32(record.id.encode())])
        documents = arrange(record, draws.arrangement, contents.metadata.vocabulary, draws.spans, rng)
        for index, tokens in enumerate(documents):
            yield (
                f"{record.id}/{draw}/{index}",
                {"id": record.id, "source": record.source, "draw": draw, "tokens": tokens},
            )
