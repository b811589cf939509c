"""Writes units and texts as token shards (`spirit_jax.datasets.shards`), a split for each of the manifest's.

    python -m data_prep shards --units units --texts corpus/manifest.jsonl \
        --tokenizer tokenizer --codec codec --out shards

ArrayRecord files by TFDS, without TensorFlow. Text is tokenised word by word, so that a reader can cut it at
any word.
"""

import argparse
import contextlib
import dataclasses
import io
import itertools
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import drop_partials, require_output_folder, require_renames, write_atomically
from spirit_jax.core.progress import track
from spirit_jax.datasets.manifest import read_corpus, split_words
from spirit_jax.datasets.shards import DATASET, Layout, Metadata, row_from_record, split_sizes
from spirit_jax.datasets.units_folder import UnitsFolder, open_units
from spirit_jax.speech.codec_folder import read_identity
from spirit_jax.tokens.interleave import Arrangement, Record, Spans, arrange
from spirit_jax.tokens.streams import SpeechTokens
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Vocabulary

INTS = tfds.features.Tensor(shape=(None,), dtype=np.int32)
FLOATS = tfds.features.Tensor(shape=(None,), dtype=np.float32)
TEXT = tfds.features.Text()


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
    """Documents of a record in the interleaved config: `count` draws of its spans, by a seed."""

    count: int = 1
    seed: int = 0
    spans: Spans = Spans()


@dataclasses.dataclass(frozen=True)
class Contents:
    """What the shards are made of. The rows can be read several times."""

    metadata: Metadata
    tokenizer: TextTokenizer
    units: UnitsFolder | None
    texts: Path | None
    draws: Draws

    def rows(self) -> Iterator[dict]:
        """All rows: utterances, then texts without speech."""
        return itertools.chain(self.spoken(), self.written())

    def spoken(self) -> Iterator[dict]:
        """Rows of utterances, with their codes."""
        return self.units.rows() if self.units else iter(())

    def written(self) -> Iterator[dict]:
        """Rows of texts without speech."""
        return (row for row in read_corpus(self.texts) if row["audio"] is None) if self.texts else iter(())

    def record(self, row: dict) -> Record:
        """The record of one of the rows."""
        speech = self.units.speech_of(row) if self.units and row["audio"] else None
        return build_record(row, self.tokenizer.encode_words, speech)

    def check_ids(self) -> None:
        """Raises a UserError if an utterance and a text of one split have the same id."""
        written = {(row["split"], row["id"]) for row in self.written()}
        for row in self.spoken() if written else ():
            if (row["split"], row["id"]) in written:
                raise UserError(
                    "id",
                    row["id"],
                    f"names a row of units and one of {self.texts}, both of split {row['split']}",
                    "rename one",
                )


class SpiritTokens(tfds.core.GeneratorBasedBuilder):
    """The TFDS builder; its rows come from `Contents`, not from a download."""

    name = DATASET
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=layout.value) for layout in Layout]

    def __init__(self, contents: Contents, data_dir: Path):
        self.contents = contents
        super().__init__(config=contents.metadata.layout.value, data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        metadata = self.contents.metadata
        features = tfds.features.FeaturesDict(features_of(metadata))
        return tfds.core.DatasetInfo(
            builder=self,
            features=features,
            metadata=tfds.core.MetadataDict(metadata.to_dict()),
            description=__doc__,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        names = sorted({row["split"] for row in self.contents.rows()})
        return {name: self._generate_examples(name) for name in names}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
        examples = (
            aligned_examples if self.contents.metadata.layout is Layout.ALIGNED else interleaved_examples
        )
        rows = (row for row in self.contents.rows() if row["split"] == split)
        for row in track(rows, f"shards: {split}", unit="rows"):
            yield from examples(row, self.contents)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    draws = Draws()
    parser.add_argument("--units", type=Path, help="folder that data_prep units wrote")
    parser.add_argument(
        "--texts", type=Path, help="manifest whose rows without audio are texts, or .txt with a text a line"
    )
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
    for name, (low, high) in (("--text-span", args.text_span), ("--speech-span", args.speech_span)):
        if not 1 <= low <= high:
            raise UserError(name, (low, high), "needs 1 <= LOW <= HIGH", f"for example {name} 5 15")
    if args.draws < 1:
        raise UserError("--draws", args.draws, "counts documents", "give 1 or more")
    require_output_folder(args.out, "--out")
    require_renames(args.out, "--out")
    tokenizer = TextTokenizer.load(args.tokenizer)
    units = open_units(args.units) if args.units else None
    metadata = _metadata(Layout(args.config), tokenizer, args.codec, units)
    spans = Spans(tuple(args.text_span), tuple(args.speech_span))
    contents = Contents(metadata, tokenizer, units, args.texts, Draws(args.draws, args.seed, spans))
    contents.check_ids()
    version = write_shards(contents, args.out)
    print(f"{version}: " + ", ".join(f"{count} {name}" for name, count in split_sizes(version).items()))
    return 0


def write_shards(contents: Contents, out: Path) -> Path:
    """Writes OUT/spirit_tokens/CONFIG/VERSION atomically, replacing an older one; returns that folder."""
    if next(contents.rows(), None) is None:
        raise UserError("shards", out, "would have no rows", "give units or texts with rows")
    config = out / DATASET / contents.metadata.layout.value
    drop_partials(config.parent, config.name)
    with write_atomically(config) as partial:
        tfds.disable_progress_bar()
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints about downloads and folders
            SpiritTokens(contents, partial.parent).download_and_prepare()
        (partial.parent / DATASET / config.name).rename(partial)
    return config / str(SpiritTokens.VERSION)


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
    row: dict,
    encode_words: Callable[[list[str]], tuple[np.ndarray, np.ndarray]],
    speech: SpeechTokens | None,
) -> Record:
    """The record of a row, its text tokenised. It has word times only if it has speech."""
    text_ids, word_offsets = encode_words(split_words(row))
    times_W2 = np.array([word[1:] for word in row["words"] or ()], np.float32).reshape(-1, 2)
    times_W2 = times_W2 if speech is not None else times_W2[:0]
    return Record(
        row["id"], row["source"], row["voice"], speech, text_ids, word_offsets, times_W2[:, 0], times_W2[:, 1]
    )


def aligned_examples(row: dict, contents: Contents) -> Iterator[tuple[str, dict]]:
    """Key and example of a row."""
    record = contents.record(row)
    text = " ".join(split_words(row))
    yield record.id, row_from_record(record, text, contents.metadata.vocabulary.streams)


def interleaved_examples(row: dict, contents: Contents) -> Iterator[tuple[str, dict]]:
    """Key and example of each document: of an aligned record `draws.count` draws, seeded by (seed, draw, id);
    of any other record one.
    """
    record = contents.record(row)
    draws = contents.draws
    for draw in range(draws.count if record.aligned else 1):
        rng = np.random.default_rng([draws.seed, draw, zlib.crc32(record.id.encode())])
        documents = arrange(record, Arrangement.INTERLEAVED, contents.metadata.vocabulary, draws.spans, rng)
        for index, tokens in enumerate(documents):
            yield (
                f"{record.id}/{draw}/{index}",
                {"id": record.id, "source": record.source, "draw": draw, "tokens": tokens},
            )
