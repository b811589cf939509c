"""Counts of a corpus, of its units or of its shards: hours, tokens, rates, voices and durations."""

import collections
import dataclasses
from collections.abc import Mapping

import numpy as np

from data_prep.look.items import Item
from spirit_jax.pages.histogram import Histogram
from spirit_jax.tokens.streams import Streams
from spirit_jax.tokens.vocabulary import run_starts

LONGEST_S = 40.0  # of the histogram of durations; longer ones count as this


@dataclasses.dataclass
class SplitCounts:
    """Counts of one split. unknown: utterances whose length is not known; they have no part in `seconds`."""

    utterances: int = 0
    texts: int = 0
    aligned: int = 0
    unknown: int = 0
    seconds: float = 0.0
    words: int = 0
    spoken_words: int = 0
    text_tokens: int = 0
    documents: int = 0
    document_tokens: int = 0
    tokens: collections.Counter = dataclasses.field(default_factory=collections.Counter)  # by stream

    @property
    def speech_rate(self) -> float | None:
        """Tokens of speech a second."""
        return self.tokens.total() / self.seconds if self.seconds and self.tokens else None

    @property
    def word_rate(self) -> float | None:
        """Words a second of the utterances that have a text."""
        return self.spoken_words / self.seconds if self.seconds and self.spoken_words else None


class Statistics:
    """Counts items one after another. streams: those whose tokens are counted, as a model reads them."""

    def __init__(self, streams: Streams):
        self._streams = streams
        self.splits: dict[str, SplitCounts] = {}
        self.voices: collections.Counter[str] = collections.Counter()  # seconds by voice
        self.sources: collections.Counter[str] = collections.Counter()
        self.reasons: collections.Counter[str] = collections.Counter()
        self._durations: list[float] = []
        self.durations = Histogram.of([], 0.0, LONGEST_S)

    def add(self, item: Item) -> None:
        """Counts an item."""
        counts = self.splits.setdefault(item.split, SplitCounts())
        self.sources[item.source] += 1
        if item.document is not None:
            counts.documents += 1
            counts.document_tokens += len(item.document)
            return
        words = len(item.text.split())
        counts.words += words
        counts.text_tokens += item.text_tokens
        if not item.spoken:
            counts.texts += 1
            return
        counts.utterances += 1
        counts.aligned += bool(item.words)
        if item.seconds is None:
            counts.unknown += 1
        else:
            counts.seconds += item.seconds
            counts.spoken_words += words
            self.voices[item.voice] += item.seconds
            self._keep_duration(item.seconds)
        codes = item.speech.codes if item.speech else {}
        counts.tokens.update(_count_tokens(codes, self._streams))

    def add_bad(self, reason: str) -> None:
        """Counts a row that cannot be used."""
        self.reasons[reason] += 1

    def _keep_duration(self, seconds: float) -> None:
        self._durations.append(seconds)
        if len(self._durations) == 4096:
            self.finish()

    def finish(self) -> None:
        """Puts the last durations into the histogram."""
        self.durations += Histogram.of(self._durations, 0.0, LONGEST_S)
        self._durations = []


def _count_tokens(codes: Mapping[str, np.ndarray], streams: Streams) -> dict[str, int]:
    """Tokens of each stream, runs of equal codes as one where the stream says so."""
    return {
        stream.name: len(run_starts(codes[stream.name])) if stream.deduplicate else len(codes[stream.name])
        for stream in streams
        if stream.name in codes
    }
