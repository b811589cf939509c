"""How much of what shards hold: utterances, hours and tokens, by source, licence and language."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from spirit_jax.tokens.interleave import Record
from spirit_jax.tokens.vocabulary import Vocabulary, merge

KINDS = ("source", "licence", "language")
UNKNOWN = "unknown"


class Counts:
    """Counts of the records of a split.

    tokens: of text, then of each stream, deduplicated as a model reads them. words: with times. shares: of
    each of `KINDS`, by its names, utterances and texts with their seconds. seen_V: ids that occur.
    """

    def __init__(self, vocabulary: Vocabulary):
        self.vocabulary = vocabulary
        self.rows = self.spoken = self.aligned = self.words = 0
        self.seconds = 0.0
        self.tokens = np.zeros(1 + len(vocabulary.streams), np.int64)
        self.voices: set[str] = set()
        self.shares: dict[str, dict[str, list]] = {kind: {} for kind in KINDS}
        self.seen_V = np.zeros(vocabulary.size, bool)

    def add(self, record: Record, row: Mapping[str, Any]) -> None:
        """Counts a record. row: says its source, licence and language, if it has them."""
        streams, seconds = self.vocabulary.streams, 0.0
        self.rows += 1
        self.aligned += record.aligned
        self.words += record.words if record.aligned else 0
        self.tokens[0] += len(record.text_ids)
        self.seen_V[record.text_ids] = True
        if record.speech is not None:
            seconds = len(record.speech.units) / streams[0].rate
            self.spoken, self.seconds = self.spoken + 1, self.seconds + seconds
            stream_N, code_N, _ = merge(record.speech, streams)
            self.tokens[1:] += np.bincount(stream_N, minlength=len(streams))
            self.seen_V[self.vocabulary.encode_stream(stream_N, code_N)] = True
        if record.voice:
            self.voices.add(record.voice)
        for kind, shares in self.shares.items():
            share = shares.setdefault(row.get(kind) or UNKNOWN, [0, 0.0])
            share[0] += 1
            share[1] += seconds

    def update(self, other: "Counts") -> None:
        """Adds the counts of other records."""
        for name in ("rows", "spoken", "aligned", "words", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.tokens += other.tokens
        self.voices |= other.voices
        self.seen_V |= other.seen_V
        for kind, shares in other.shares.items():
            for name, (rows, seconds) in shares.items():
                share = self.shares[kind].setdefault(name, [0, 0.0])
                share[0] += rows
                share[1] += seconds

    @property
    def tokens_per_second(self) -> float:
        """Tokens of speech a second of speech."""
        return int(self.tokens[1:].sum()) / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        names = ["text", *(stream.name for stream in self.vocabulary.streams)]
        return {
            "rows": self.rows,
            "spoken": self.spoken,
            "aligned": self.aligned,
            "words_with_times": self.words,
            "hours": round(self.seconds / 3600, 6),
            "tokens": dict(zip(names, self.tokens.tolist())),
            "speech_tokens_per_second": round(self.tokens_per_second, 4),
            "speakers": len(self.voices),
            "shares": {kind: _describe_shares(shares) for kind, shares in self.shares.items()},
        }

    def coverage(self) -> dict[str, list[int]]:
        """Of text and of each stream, how many ids occur, and how many there are."""
        vocabulary = self.vocabulary
        ranges = {"text": (0, vocabulary.text_size)}
        ranges |= {s.name: (int(first), s.size) for s, first in zip(vocabulary.streams, vocabulary.starts)}
        return {name: [int(self.seen_V[at:][:size].sum()), size] for name, (at, size) in ranges.items()}


def total(counts: Iterable[Counts], vocabulary: Vocabulary) -> Counts:
    """All of them together."""
    whole = Counts(vocabulary)
    for one in counts:
        whole.update(one)
    return whole


def _describe_shares(shares: Mapping[str, list]) -> dict[str, dict[str, float]]:
    """The largest first."""
    ordered = sorted(shares.items(), key=lambda pair: (-pair[1][1], -pair[1][0], pair[0]))
    return {name: {"rows": rows, "hours": round(seconds / 3600, 6)} for name, (rows, seconds) in ordered}
