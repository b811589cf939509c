"""What a run reads, opened and checked before step 0: tokenizer, vocabulary, shards that agree with them."""

import dataclasses
from collections.abc import Sequence

from spirit_jax.config import DataConfig, Source
from spirit_jax.core.errors import UserError
from spirit_jax.datasets.shards import Layout, ShardSplit, check_compatible, open_shards
from spirit_jax.speech.codec import read_identity
from spirit_jax.tokens.interleave import Arrangement, Spans
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Vocabulary
from spirit_jax.training.data.batches import Arranger, Feed

PROBED = 1000  # records looked at for one that gives a document


@dataclasses.dataclass(frozen=True)
class Sources:
    """Everything that is read. train, validation: opened sources in the configuration's order; fingerprints:
    of the shards of `train`, by name.
    """

    vocabulary: Vocabulary
    tokenizer: TextTokenizer
    arranger: Arranger
    train: tuple[Feed, ...]
    validation: tuple[Feed, ...]
    fingerprints: dict[str, str] = dataclasses.field(default_factory=dict)


def open_sources(config: DataConfig) -> Sources:
    """Opens tokenizer, codec and shards.

    The vocabulary is the tokenizer's text and the codec's codes; without a codec, text alone if all sources
    are TEXT, else that of the first source with speech. Raises a UserError for shards made with another
    tokenizer, encoder or vocabulary (naming both), and for a source that is empty, gives no document, or has
    fewer records than there are streams.
    """
    tokenizer = TextTokenizer.load(config.tokenizer)
    sources = config.sources + config.validation
    splits = [open_shards(source.shards, split=source.split) for source in sources]
    vocabulary, encoder = _grammar(config, tokenizer, splits)
    for split in splits:
        check_compatible(split.metadata, vocabulary, tokenizer.fingerprint, encoder)
    markers = [tuple(tokenizer.encode(marker)) for marker in (config.asr_marker, config.tts_marker)]
    spans = Spans(config.text_span_words, config.speech_span_words, config.speech_first)
    arranger = Arranger(vocabulary, spans, *markers, append_eos=config.append_eos)
    feeds = [
        Feed(_name(place, source), split, source.arrangement, source.weight)
        for place, (source, split) in enumerate(zip(sources, splits))
    ]
    count = len(config.sources)
    for place, feed in enumerate(feeds):
        check_feed(feed, arranger, config.streams if place < count else 1)
    fingerprints = {feed.name: split.fingerprint for feed, split in zip(feeds[:count], splits)}
    return Sources(vocabulary, tokenizer, arranger, tuple(feeds[:count]), tuple(feeds[count:]), fingerprints)


def check_feed(feed: Feed, arranger: Arranger, streams: int = 1) -> None:
    """Raises a UserError if there are fewer records than streams, or none of the first records gives a
    document.
    """
    count = len(feed.rows)
    if count < streams:
        rule = f"needs one for each of the {streams} streams"
        raise UserError(
            f"source {feed.name}",
            f"{count} records",
            rule,
            "use more data, or fewer processes and data.streams",
        )
    probed = range(min(count, PROBED))
    if not any(
        len(document) > 1
        for index in probed
        for document in arranger.documents(feed.rows[index], feed.arrangement, (index,))
    ):
        raise UserError(
            f"source {feed.name}",
            f"{count} records",
            "no record gives a document",
            "choose an arrangement that fits the shards",
        )


def _name(place: int, source: Source) -> str:
    return f"{place}-{source.arrangement.value}"


def _grammar(
    config: DataConfig, tokenizer: TextTokenizer, splits: Sequence[ShardSplit]
) -> tuple[Vocabulary, str | None]:
    """The run's vocabulary and its encoder's fingerprint."""
    text = {"text_size": tokenizer.size, "bos": tokenizer.bos, "eos": tokenizer.eos, "unk": tokenizer.unk}
    if config.codec is not None:
        codec = read_identity(config.codec)
        return Vocabulary(
            units=codec.unit_count, pitches=codec.pitch_count, styles=codec.style_count, **text
        ), codec.fingerprint
    sources = config.sources + config.validation
    frozen = [split.metadata.layout is Layout.INTERLEAVED for split in splits]
    spoken = [
        split
        for split, source, is_frozen in zip(splits, sources, frozen)
        if is_frozen or source.arrangement is not Arrangement.TEXT
    ]
    if not spoken:
        return Vocabulary(units=0, **text), None
    return spoken[0].metadata.vocabulary, spoken[0].metadata.encoder_fingerprint
