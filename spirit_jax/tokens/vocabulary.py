"""The token grammar: which ids are text, tags and speech, and how several streams become one.

The id layout is that of the published models: text, `[Text]`, `[Speech]`, then a range for each stream
(`[Hu0]`.., `[Pi0]`.., `[St0]`..), then padding rows that are never sampled. A merged stream is a pair of
arrays, stream_N (index in the table of streams) and code_N; N counts tokens.
"""

import dataclasses
import enum
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.streams import (
    COUNT_NAMES,
    PUBLISHED_BASE,
    PUBLISHED_EXPRESSIVE,
    SpeechTokens,
    Stream,
    Streams,
    check_streams,
    resized_streams,
    streams_from_dicts,
)


class Modality(enum.Enum):
    """What a span is, or what may be generated; ARBITRARY forbids nothing."""

    TEXT = "text"
    SPEECH = "speech"
    ARBITRARY = "arbitrary"


class TokenClass(enum.IntEnum):
    """What an id counts as when losses are reported separately. BOS, EOS and padding rows count as text."""

    TEXT = 0
    SPEECH = 1
    TAG = 2


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Id ranges: [0, text_size) text, then `[Text]`, `[Speech]`, then each stream directly after the one
    before.

    Without streams it is text only: no tags and no speech ids.
    """

    text_size: int
    streams: Streams = PUBLISHED_BASE
    bos: int = 1
    eos: int = 2
    unk: int = 0

    def __post_init__(self):
        object.__setattr__(self, "streams", check_streams(self.streams))
        for name in ("bos", "eos", "unk"):
            if not 0 <= getattr(self, name) < self.text_size:
                rule = f"must be a text id, below {self.text_size}"
                raise UserError(f"vocabulary.{name}", getattr(self, name), rule, "read it from the tokenizer")

    @classmethod
    def base(cls, text_size: int = 32_000) -> "Vocabulary":
        """The published Base layout."""
        return cls(text_size, PUBLISHED_BASE)

    @classmethod
    def expressive(cls, text_size: int = 32_000) -> "Vocabulary":
        """The published Expressive layout."""
        return cls(text_size, PUBLISHED_EXPRESSIVE)

    @classmethod
    def text_only(cls, text_size: int) -> "Vocabulary":
        """A plain language model's vocabulary."""
        return cls(text_size, ())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Vocabulary":
        """Reads what `to_dict` wrote, or an earlier version's file with counts of the published streams.

        UserError for unknown or missing keys.
        """
        special = ("text_size", "bos", "eos", "unk")
        if values.keys() == {*special, *COUNT_NAMES}:
            streams = resized_streams({name: int(values[key]) for key, name in COUNT_NAMES.items()})
        elif values.keys() == {*special, "streams"}:
            streams = streams_from_dicts(values["streams"])
        else:
            rule = f"must be {sorted([*special, 'streams'])}"
            raise UserError("vocabulary keys", sorted(values), rule, "write it with Vocabulary.to_dict")
        return cls(streams=streams, **{name: int(values[name]) for name in special})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**dataclasses.asdict(self), "streams": [stream.to_dict() for stream in self.streams]}

    @property
    def has_speech(self) -> bool:
        """Whether there are tags and streams."""
        return bool(self.streams)

    @property
    def text_tag(self) -> int:
        """Id of `[Text]`."""
        return self._tag(0)

    @property
    def speech_tag(self) -> int:
        """Id of `[Speech]`."""
        return self._tag(1)

    def _tag(self, offset: int) -> int:
        if not self.has_speech:
            rule = "a text-only vocabulary has no tags and no speech"
            raise UserError("vocabulary.streams", "none", rule, "use a vocabulary with speech")
        return self.text_size + offset

    @property
    def speech_start(self) -> int:
        """The first id of speech."""
        return self.text_size + 2 * self.has_speech

    @property
    def size(self) -> int:
        """Ids in use; the ids from here on are padding."""
        return self.speech_start + sum(stream.size for stream in self.streams)

    @cached_property
    def starts(self) -> np.ndarray:
        """The first id of each stream: int32 [streams]."""
        sizes = [stream.size for stream in self.streams]
        return np.cumsum([self.speech_start, *sizes], dtype=np.int32)[:-1]

    def rows(self, multiple: int = 128) -> int:
        """Height of the embedding table: `size` padded up.

        128 and 256 are the powers of two that give the published heights, 32512 (Base) and 32768
        (Expressive).
        """
        return -(-self.size // multiple) * multiple

    def added_tokens(self) -> list[str]:
        """The added tokens in id order, from id `text_size` on."""
        tags = ["[Text]", "[Speech]"] if self.has_speech else []
        return tags + [f"[{stream.mark}{code}]" for stream in self.streams for code in range(stream.size)]

    def forbidden(self, modality: Modality, rows: int | None = None, published: bool = False) -> np.ndarray:
        """Which ids may not be sampled: bool [rows], True is banned; `rows` is the table's height (default
        `rows()`).

        As observed in the published release: TEXT bans both tags and all speech, SPEECH bans all text (BOS
        and EOS with it) and both tags, ARBITRARY bans nothing. Padding rows are banned too, unless
        `published`: the release leaves them, which in Base are the ids of Expressive's further streams.
        """
        banned_V = np.zeros(self.rows() if rows is None else rows, bool)
        if modality is Modality.TEXT:
            banned_V[self.text_size :] = True
        if modality is Modality.SPEECH:
            banned_V[: self.speech_tag + 1] = True
        banned_V[self.size :] = not published
        return banned_V

    def classes_of(self, ids: np.ndarray) -> np.ndarray:
        """The `TokenClass` of each id: int8 of the same shape."""
        ids = np.asarray(ids)
        speech = (ids >= self.speech_start) & (ids < self.size)
        tag = (ids >= self.text_size) & (ids < self.speech_start)
        return speech * np.int8(TokenClass.SPEECH) + tag * np.int8(TokenClass.TAG)

    def encode_stream(self, stream_N: np.ndarray, code_N: np.ndarray) -> np.ndarray:
        """Ids of a merged stream: int32 [N]. UserError for a code that the vocabulary has no id for."""
        sizes = np.array([stream.size for stream in self.streams], np.int64)
        wrong_N = (code_N < 0) | (code_N >= sizes[stream_N])
        if wrong_N.any():
            at = int(np.argmax(wrong_N))
            stream: Stream = self.streams[stream_N[at]]
            rule = f"the vocabulary has {stream.size} {stream.mark} codes"
            fix = "use the codec it was made for"
            raise UserError("speech token", f"[{stream.mark}{code_N[at]}]", rule, fix)
        return self.starts[stream_N] + np.asarray(code_N, np.int32)

    def decode_stream(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The merged stream in `ids`: (stream_N int8, code_N int32). Text, tags and padding are skipped."""
        ids = np.asarray(ids, np.int32)
        ids_N = ids[(ids >= self.speech_start) & (ids < self.size)]
        stream_N = (np.searchsorted(self.starts, ids_N, side="right") - 1).astype(np.int8)
        return stream_N, ids_N - self.starts[stream_N] if len(ids_N) else ids_N


def merge(speech: SpeechTokens, streams: Streams) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An utterance's streams as one, as the models read it: (stream_N int8, code_N int32, time_N float64 s).

    Runs become their first token where the stream says so. Tokens are sorted by time. Equal times keep the
    reverse order of the table, so that a unit comes after the other codes of its time (observed in Meta's
    release). UserError for codes of a stream that is not in the table.
    """
    if unknown := speech.codes.keys() - {stream.name for stream in streams}:
        named = [stream.name for stream in streams]
        fix = "use a vocabulary and a codec that belong together"
        raise UserError("speech streams", ", ".join(sorted(unknown)), f"must be among {named}", fix)
    indices, codes, times = [], [], []
    for index, stream in reversed([*enumerate(streams)]):
        code_M = speech.codes.get(stream.name)
        if code_M is None or not len(code_M):
            continue
        kept_N = run_starts(code_M) if stream.deduplicate else np.arange(len(code_M))
        indices.append(np.full(len(kept_N), index, np.int8))
        codes.append(code_M[kept_N])
        times.append(kept_N / stream.times_per_second)
    if not indices:
        return np.zeros(0, np.int8), np.zeros(0, np.int32), np.zeros(0)
    if len(indices) == 1:
        return indices[0], codes[0], times[0]
    time_N = np.concatenate(times)
    order_N = np.argsort(time_N, kind="stable")
    return np.concatenate(indices)[order_N], np.concatenate(codes)[order_N], time_N[order_N]


def run_starts(code_M: np.ndarray) -> np.ndarray:
    """Indices at which a run of equal codes begins."""
    begins_M = np.ones(len(code_M), bool)
    np.not_equal(code_M[1:], code_M[:-1], out=begins_M[1:])
    return np.flatnonzero(begins_M)
