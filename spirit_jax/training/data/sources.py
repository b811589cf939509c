"""Open: what a run reads, checked before step 0: tokenizer, vocabulary, shards that agree with them."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from spirit_jax.config import DataConfig
from spirit_jax.core.errors import UserError
from spirit_jax.datasets.shards import (
    Finished,
    Layout,
    ShardSplit,
    check_compatible,
    check_finished,
    open_shards,
)
from spirit_jax.speech.codec_identity import read_identity
from spirit_jax.tokens.interleave import Arrangement, Record, arrange
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Vocabulary
from spirit_jax.training.data.alignment import Alignment, measure_alignment
from spirit_jax.training.data.reading import Rows

PROBED = 1000  # records searched for one that gives a document


@dataclasses.dataclass(frozen=True)
class OpenSource:
    """One source of the mixture.

    name: for messages and metrics. rows: as they are stored. parse: stored row -> its `Record`, or its
    finished document (int32 ids). arrange: (record, rng) -> the record's documents,
    `tokens.interleave.arrange` with all else chosen. vocabulary: of the documents. weight: share of the
    tokens, in any unit. alignment: of an arrangement that needs word times. remark: what a user should know
    of the shards.
    """

    name: str
    rows: Rows
    parse: Callable[[Any], Record | np.ndarray]
    arrange: Callable[..., list[np.ndarray]]
    vocabulary: Vocabulary
    weight: float = 1.0
    alignment: Alignment | None = None
    remark: str = ""


@dataclasses.dataclass(frozen=True)
class OpenData:
    """Everything a run reads. train, validation: in the configuration's order. fingerprints: of the shards,
    by source.
    """

    vocabulary: Vocabulary
    tokenizer: TextTokenizer
    train: tuple[OpenSource, ...]
    validation: tuple[OpenSource, ...]
    fingerprints: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def shares(self) -> dict[str, dict[str, float]]:
        """The shares of records with and without word times, by source of an arrangement that needs them."""
        sources = self.train + self.validation
        return {source.name: source.alignment.shares for source in sources if source.alignment}


def open_data(config: DataConfig) -> OpenData:
    """Opens tokenizer, codec and shards.

    The vocabulary is the tokenizer's text and the codec's codes; without a codec, text alone if all sources
    are TEXT, else that of the first source with speech. Raises a UserError for shards made with another
    tokenizer, encoder or vocabulary (naming both), finished documents made otherwise than configured, and for
    a source that is empty, gives no document, has fewer records than there are streams, or no word times
    though its arrangement needs them.
    """
    tokenizer = TextTokenizer.load(config.tokenizer)
    chosen = config.sources + config.validation
    splits = [open_shards(source.shards, split=source.split) for source in chosen]
    vocabulary, encoder = _grammar(config, tokenizer, splits)
    for split in splits:
        check_compatible(split.metadata, vocabulary, tokenizer.fingerprint, encoder)
    _warn_of_cut_texts(splits)
    as_configured = partial(
        arrange,
        vocabulary=vocabulary,
        spans=config.spans,
        asr_marker_ids=tuple(tokenizer.encode(config.asr_marker)),
        tts_marker_ids=tuple(tokenizer.encode(config.tts_marker)),
        append_eos=config.append_eos,
    )
    opened = []
    for index, (source, split) in enumerate(zip(chosen, splits)):
        name, arranged = (
            f"{index}-{source.arrangement.value}",
            partial(as_configured, arrangement=source.arrangement),
        )
        found = OpenSource(name, split.stored, split.parse, arranged, vocabulary, source.weight)
        check_source(found, config.streams if index < len(config.sources) else 1)
        opened.append(_examine(found, split, Finished(source.arrangement, config.spans, config.append_eos)))
    count = len(config.sources)
    fingerprints = {source.name: split.fingerprint for source, split in zip(opened, splits)}
    return OpenData(vocabulary, tokenizer, tuple(opened[:count]), tuple(opened[count:]), fingerprints)


def _warn_of_cut_texts(splits: Sequence[ShardSplit]) -> None:
    """Says which shards of an earlier version lack the layout of their texts."""
    for folder in sorted({split.folder for split in splits if not split.metadata.whole_text}):
        says = "its texts were tokenised word by word, without line breaks or indentation"
        print(f"warning: {folder}: {says}; write the shards again to train on them", file=sys.stderr)


def _examine(source: OpenSource, split: ShardSplit, wanted: Finished) -> OpenSource:
    """The source with what its records say. Raises a UserError if they don't suit the arrangement."""
    if split.metadata.layout is Layout.INTERLEAVED:
        return dataclasses.replace(source, remark=check_finished(split.metadata, wanted, source.name))
    if not wanted.arrangement.needs_word_times:
        return source
    found = measure_alignment(source.name, split, wanted.arrangement)  # pyright: ignore[reportArgumentType]
    return dataclasses.replace(source, alignment=found)


def documents(source: OpenSource, stored: Any, draw: Sequence[int]) -> list[np.ndarray]:
    """The documents of a stored row, int32 ids each; `draw` seeds the spans. Finished documents are left as
    they are.
    """
    row = source.parse(stored)
    return [row] if isinstance(row, np.ndarray) else source.arrange(row, rng=draw)


def check_source(source: OpenSource, streams: int = 1) -> None:
    """Raises a UserError if there are fewer records than streams, or none of the first records gives a
    document.
    """
    check_count(source, streams)
    count = len(source.rows)
    probed = range(min(count, PROBED))
    if not any(len(ids) > 1 for index in probed for ids in documents(source, source.rows[index], (index,))):
        raise UserError(
            f"source {source.name}",
            f"{count} records",
            "no record gives a document",
            "choose an arrangement that fits the shards",
        )


def check_count(source: OpenSource, streams: int) -> None:
    """Raises a UserError if there are fewer records than streams."""
    if len(source.rows) < streams:
        raise UserError(
            f"source {source.name}",
            f"{len(source.rows)} records",
            f"needs one for each of the {streams} streams",
            "use more data, or fewer processes and data.streams",
        )


def _grammar(
    config: DataConfig, tokenizer: TextTokenizer, splits: Sequence[ShardSplit]
) -> tuple[Vocabulary, str | None]:
    """The run's vocabulary and its encoder's fingerprint."""
    text = {"text_size": tokenizer.size, "bos": tokenizer.bos, "eos": tokenizer.eos, "unk": tokenizer.unk}
    if config.codec is not None:
        codec = read_identity(config.codec)
        return Vocabulary(streams=codec.streams, **text), codec.fingerprint
    spoken = [
        split.metadata
        for split, source in zip(splits, config.sources + config.validation)
        if split.metadata.layout is Layout.INTERLEAVED or source.arrangement is not Arrangement.TEXT
    ]
    if not spoken:
        return Vocabulary(streams=(), **text), None
    return spoken[0].vocabulary, spoken[0].encoder_fingerprint
