"""Writes units and texts as token shards (`spirit_jax.datasets.shards`), a split for each of the manifest's.

    python -m data_prep shards --units units --texts corpus/manifest.jsonl \
        --tokenizer tokenizer --codec codec --out shards

The text of an utterance with word times is tokenised word by word, so that a reader can cut it at any word;
all other text whole, byte for byte. Rows are read and written as a stream, and tokenised in groups.
"""

import argparse
import collections
import dataclasses
import itertools
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data_prep.shard_files import VERSION, SplitFiles, write_info
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import drop_partials, require_output_folder, require_renames, write_atomically
from spirit_jax.core.progress import track
from spirit_jax.core.stored_files import format_suffix
from spirit_jax.datasets.manifest import stream_texts, text_of, timed_words
from spirit_jax.datasets.shards import DATASET, Finished, Layout, Metadata, row_from_record, split_sizes
from spirit_jax.datasets.units_folder import UnitsFolder, open_units
from spirit_jax.speech.codec_folder import read_identity
from spirit_jax.tokens.interleave import Arrangement, Record, Spans, arrange
from spirit_jax.tokens.streams import SpeechTokens
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Vocabulary

INTS = tfds.features.Tensor(shape=(None,), dtype=np.int32)
FLOATS = tfds.features.Tensor(shape=(None,), dtype=np.float32)
TEXT = tfds.features.Text()
NO_OFFSETS = np.zeros(0, np.int32)
GROUP_ROWS, GROUP_LETTERS = 1024, 2**22  # rows that are tokenised together: as many, or with so many letters


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

    lines: a `.txt` of `texts` has a text a line.
    """

    metadata: Metadata
    tokenizer: TextTokenizer
    units: UnitsFolder | None
    texts: Path | None
    draws: Draws
    lines: bool = False

    @property
    def stored_metadata(self) -> Metadata:
        """The metadata, and how finished documents are made."""
        if self.metadata.layout is Layout.ALIGNED:
            return self.metadata
        finished = Finished(self.draws.arrangement, self.draws.spans).to_dict()
        return dataclasses.replace(self.metadata, finished=finished)

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """All rows: utterances with their codes, then texts without speech."""
        spoken = self.units.rows() if self.units else ()
        return itertools.chain(spoken, stream_texts(self.texts, self.lines) if self.texts else ())

    def records(self, rows: Sequence[dict]) -> list[Record]:
        """The records of some of the rows, tokenised together. One has word times only if it has speech."""
        cut = [timed_words(row) for row in rows]
        texts = [text_of(row) for row, words in zip(rows, cut) if words is None]
        whole = iter(self.tokenizer.encode_texts(texts))
        records = []
        for row, words in zip(rows, cut):
            speech = self.units.speech_of(row) if self.units and row["audio"] else None
            ids = (next(whole), NO_OFFSETS) if words is None else self.tokenizer.encode_words(words)
            records.append(build_record(row, speech, *ids))
        return records

    def check_aligned(self) -> None:
        """Raises a UserError if there are utterances and none of them has word times."""
        aligned = [bool(row["words"]) for row in self.units.rows()] if self.units else []
        if aligned and not any(aligned):
            raise UserError(
                "--units",
                f"0 of {len(aligned):,} utterances are aligned",
                f"the arrangement {self.draws.arrangement.value} needs word times",
                "add them with make align, or write aligned shards",
            )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    draws = Draws()
    parser.add_argument("--units", type=Path, nargs="+", help="folders that data_prep units wrote")
    parser.add_argument(
        "--texts", type=Path, help="manifest whose rows without audio are texts, or a .txt that is one text"
    )
    parser.add_argument("--lines", action="store_true", help="each line of the .txt is a text")
    parser.add_argument(
        "--tokenizer", type=Path, required=True, help="tokenizer.model, tokenizer.json or their folder"
    )
    parser.add_argument(
        "--codec",
        type=Path,
        help="codec folder; needed with --units, and for texts that are to be mixed with speech",
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", choices=[layout.value for layout in Layout], default=Layout.ALIGNED.value)
    parser.add_argument(
        "--arrangement",
        choices=[way.value for way in Arrangement if way.needs_word_times],
        default=draws.arrangement.value,
        help="interleaved: how words become documents",
    )
    parser.add_argument(
        "--draws", type=int, default=draws.count, help="interleaved: documents an aligned utterance"
    )
    parser.add_argument("--seed", type=int, default=draws.seed, help="interleaved: seed of the draws")
    parser.add_argument(
        "--text-span",
        type=int,
        nargs=2,
        default=draws.spans.text,
        metavar=("LOW", "HIGH"),
        help="interleaved: words",
    )
    parser.add_argument(
        "--speech-span",
        type=int,
        nargs=2,
        default=draws.spans.speech,
        metavar=("LOW", "HIGH"),
        help="interleaved: words",
    )


def run(args: argparse.Namespace) -> int:
    """Checks that the inputs fit each other, writes the data set atomically, and prints rows by split."""
    if args.units is None and args.texts is None:
        raise UserError("--units, --texts", None, "at least one is needed", "name what data_prep units wrote")
    if args.lines and (args.texts is None or format_suffix(args.texts) != ".txt"):
        raise UserError("--lines", args.texts, "needs --texts with a .txt file", "leave it out")
    for name, (low, high) in (("--text-span", args.text_span), ("--speech-span", args.speech_span)):
        if not 1 <= low <= high:
            raise UserError(name, (low, high), "needs 1 <= LOW <= HIGH", f"for example {name} 5 15")
    if args.draws < 1:
        raise UserError("--draws", args.draws, "counts documents", "give 1 or more")
    require_output_folder(args.out, "--out")
    require_renames(args.out, "--out")
    tokenizer = TextTokenizer.load(args.tokenizer)
    units = open_units(*args.units) if args.units else None
    metadata = _metadata(Layout(args.config), tokenizer, args.codec, units)
    spans, arrangement = Spans(tuple(args.text_span), tuple(args.speech_span)), Arrangement(args.arrangement)
    draws = Draws(args.draws, args.seed, spans, arrangement)
    contents = Contents(metadata, tokenizer, units, args.texts, draws, args.lines)
    if metadata.layout is Layout.INTERLEAVED:
        contents.check_aligned()
    if args.texts and (lost := tokenizer.lost_layout()):
        print(f"warning: {args.tokenizer} drops {', '.join(lost)} of texts", file=sys.stderr)
    version = write_shards(contents, args.out)
    print(f"{version}: " + ", ".join(f"{count} {name}" for name, count in split_sizes(version).items()))
    return 0


def write_shards(contents: Contents, out: Path) -> Path:
    """Writes OUT/spirit_tokens/CONFIG/VERSION atomically, replacing an older one; returns that folder."""
    if next(iter(contents.rows()), None) is None:
        raise UserError("shards", out, "would have no rows", "give units or texts with rows")
    if repeated := find_repeated(lambda: (f"{row['split']}/{row['id']}" for row in contents.rows())):
        split, _, id = repeated[0].partition("/")
        rule = f"names two rows of split {split}; {len(repeated):,} ids do so"
        raise UserError("id", id, rule, "rename them, or leave out what is given twice")
    metadata = contents.stored_metadata
    config = out / DATASET / metadata.layout.value
    drop_partials(config.parent, config.name)
    with write_atomically(config) as partial:
        version = partial / VERSION
        version.mkdir(parents=True)
        splits = write_splits(version, contents)
        write_info(version, DATASET, config.name, features_of(metadata), metadata.to_dict(), splits)
    return config / VERSION


def write_splits(folder: Path, contents: Contents) -> list[tfds.core.SplitInfo]:
    """Writes the files of all splits at once, in one pass over the rows."""
    examples = aligned_examples if contents.metadata.layout is Layout.ALIGNED else interleaved_examples
    splits: dict[str, SplitFiles] = {}
    for group, records in tokenised(contents):
        for row, record in zip(group, records):
            name = row["split"]
            if name not in splits:
                splits[name] = SplitFiles(folder, DATASET, name)
            for key, example in examples(row, record, contents):
                splits[name].add(key, example)
    return [splits[name].finish() for name in sorted(splits)]


def tokenised(contents: Contents) -> Iterator[tuple[list[dict], list[Record]]]:
    """All rows in groups, with their records: a thread makes those of the next group while one is used."""
    waiting: collections.deque[tuple[list[dict], Future]] = collections.deque()
    with ThreadPoolExecutor(1) as thread:
        for group in grouped(track(contents.rows(), "shards", unit="rows")):
            waiting.append((group, thread.submit(contents.records, group)))
            if len(waiting) > 1:
                rows, future = waiting.popleft()
                yield rows, future.result()
        for rows, future in waiting:
            yield rows, future.result()


def grouped(rows: Iterable[dict]) -> Iterator[list[dict]]:
    """The rows in groups of `GROUP_ROWS`, or fewer with `GROUP_LETTERS` letters of text."""
    group, letters = [], 0
    for row in rows:
        group.append(row)
        letters += len(row["text"] or "")
        if len(group) == GROUP_ROWS or letters >= GROUP_LETTERS:
            yield group
            group, letters = [], 0
    if group:
        yield group


def find_repeated(keys: Callable[[], Iterable[str]]) -> list[str]:
    """The keys that come again. Takes 8 bytes a key; reads them again only if there are any."""
    hashes = np.sort(np.fromiter(map(hash, keys()), np.int64))
    twice = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    seen: set[str] = set()
    repeated = []
    for key in keys() if twice else ():
        if hash(key) in twice:
            repeated += [key] if key in seen else []
            seen.add(key)
    return repeated


def _metadata(
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
