"""The token grammar: which ids are text, tags, phonetic units, pitch and style, and how three unit streams
become one.

The id layout is that of the published models: text, `[Text]`, `[Speech]`, `[Hu0]`.., `[Pi0]`.., `[St0]`..,
then padding rows that are never sampled. A stream is a pair of arrays, kind_N (a `Kind`) and code_N; N counts
tokens.
"""

import dataclasses
import enum
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.streams import PITCH_RATE, STYLE_RATE, UNIT_TIME_RATE, SpeechTokens

UNITS, PITCHES, STYLES = 501, 64, 100  # of the published models
MARKS = ("St", "Pi", "Hu")  # by Kind


class Kind(enum.IntEnum):
    """Speech token kinds, in the order that equal times keep."""

    STYLE = 0
    PITCH = 1
    UNIT = 2


class Modality(enum.Enum):
    """What a span is, or what may be generated; ARBITRARY forbids nothing."""

    TEXT = "text"
    SPEECH = "speech"
    ARBITRARY = "arbitrary"


class TokenClass(enum.IntEnum):
    """What an id counts as when losses are told apart. BOS, EOS and padding rows count as text."""

    TEXT = 0
    SPEECH = 1
    TAG = 2


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Id ranges. `units == 0` means text only: no tags and no speech ids.

    Ids: [0, text_size) text, then `[Text]`, `[Speech]`, units, pitches, styles, each range directly after the
    one before.
    """

    text_size: int
    units: int = UNITS
    pitches: int = 0
    styles: int = 0
    bos: int = 1
    eos: int = 2
    unk: int = 0

    def __post_init__(self):
        for name in ("units", "pitches", "styles"):
            if getattr(self, name) < 0:
                raise UserError(
                    f"vocabulary.{name}",
                    getattr(self, name),
                    "must not be negative",
                    "count the codes of the codec",
                )
        for name in ("bos", "eos", "unk"):
            if not 0 <= getattr(self, name) < self.text_size:
                raise UserError(
                    f"vocabulary.{name}",
                    getattr(self, name),
                    f"must be a text id, below {self.text_size}",
                    "read it from the tokenizer",
                )
        if not self.units and (self.pitches or self.styles):
            raise UserError(
                "vocabulary.units",
                0,
                "pitch and style need units",
                "set vocabulary.units to the codec's unit count",
            )

    @classmethod
    def base(cls, text_size: int = 32_000) -> "Vocabulary":
        """The published Base layout: 501 units."""
        return cls(text_size)

    @classmethod
    def expressive(cls, text_size: int = 32_000) -> "Vocabulary":
        """The published Expressive layout: 501 units, 64 pitches, 100 styles."""
        return cls(text_size, UNITS, PITCHES, STYLES)

    @classmethod
    def text_only(cls, text_size: int) -> "Vocabulary":
        """A plain language model's vocabulary."""
        return cls(text_size, 0)

    @classmethod
    def from_dict(cls, values: dict) -> "Vocabulary":
        """Reads what `to_dict` wrote; unknown or missing keys are UserErrors."""
        names = {field.name for field in dataclasses.fields(cls)}
        if set(values) != names:
            raise UserError(
                "vocabulary keys",
                sorted(values),
                f"must be {sorted(names)}",
                "write it with Vocabulary.to_dict",
            )
        return cls(**{name: int(value) for name, value in values.items()})

    def to_dict(self) -> dict[str, int]:
        """Plain JSON values."""
        return dataclasses.asdict(self)

    @property
    def has_speech(self) -> bool:
        """Whether there are tags and units."""
        return self.units > 0

    @property
    def has_pitch(self) -> bool:
        """Whether there are pitch tokens."""
        return self.pitches > 0

    @property
    def has_style(self) -> bool:
        """Whether there are style tokens."""
        return self.styles > 0

    @property
    def text_tag(self) -> int:
        """Id of `[Text]`."""
        return self._tag(0)

    @property
    def speech_tag(self) -> int:
        """Id of `[Speech]`."""
        return self._tag(1)

    def _tag(self, place: int) -> int:
        if not self.has_speech:
            raise UserError(
                "vocabulary.units",
                0,
                "a text-only vocabulary has no tags and no speech",
                "use a vocabulary with units",
            )
        return self.text_size + place

    @property
    def unit_start(self) -> int:
        """Id of `[Hu0]`."""
        return self.text_size + 2 * self.has_speech

    @property
    def pitch_start(self) -> int:
        """Id of `[Pi0]`."""
        return self.unit_start + self.units

    @property
    def style_start(self) -> int:
        """Id of `[St0]`."""
        return self.pitch_start + self.pitches

    @property
    def size(self) -> int:
        """Ids in use; the ids from here on are padding."""
        return self.style_start + self.styles

    def rows(self, multiple: int = 128) -> int:
        """Height of the embedding table: `size` padded up.

        128 and 256 are the powers of two that give the published heights, 32512 (Base) and 32768
        (Expressive).
        """
        return -(-self.size // multiple) * multiple

    def pieces(self) -> list[str]:
        """The added tokens in id order, from id `text_size` on."""
        tags = ["[Text]", "[Speech]"] if self.has_speech else []
        counts = (("Hu", self.units), ("Pi", self.pitches), ("St", self.styles))
        return tags + [f"[{mark}{code}]" for mark, count in counts for code in range(count)]

    def forbidden(self, modality: Modality, rows: int | None = None) -> np.ndarray:
        """Which ids may not be sampled: bool [rows], True is banned; `rows` is the table's height (default
        `rows()`).

        As observed in the published release: TEXT bans both tags and all speech, SPEECH bans all text (BOS
        and EOS with it) and both tags, ARBITRARY bans nothing. Padding rows are always banned.
        """
        banned_V = np.zeros(self.rows() if rows is None else rows, bool)
        if modality is Modality.TEXT:
            banned_V[self.text_size :] = True
        if modality is Modality.SPEECH:
            banned_V[: self.speech_tag + 1] = True
        banned_V[self.size :] = True
        return banned_V

    def modality_of(self, ids: np.ndarray) -> np.ndarray:
        """The `TokenClass` of each id: int8 of the same shape."""
        ids = np.asarray(ids)
        speech = (ids >= self.unit_start) & (ids < self.size)
        tag = (ids >= self.text_size) & (ids < self.unit_start)
        return speech * np.int8(TokenClass.SPEECH) + tag * np.int8(TokenClass.TAG)

    @cached_property
    def _ranges(self) -> tuple[np.ndarray, np.ndarray]:
        starts = np.array([self.style_start, self.pitch_start, self.unit_start], np.int32)
        return starts, np.array([self.styles, self.pitches, self.units], np.int32)

    def encode_stream(self, kind_N: np.ndarray, code_N: np.ndarray) -> np.ndarray:
        """Ids of a stream: int32 [N]. A code that the vocabulary has no id for is a UserError."""
        starts, counts = self._ranges
        wrong_N = (code_N < 0) | (code_N >= counts[kind_N])
        if wrong_N.any():
            at = int(np.argmax(wrong_N))
            mark, count = MARKS[kind_N[at]], counts[kind_N[at]]
            raise UserError(
                "speech token",
                f"[{mark}{code_N[at]}]",
                f"the vocabulary has {count} {mark} codes",
                "use the codec it was made for",
            )
        return starts[kind_N] + np.asarray(code_N, np.int32)

    def decode_stream(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The stream in `ids`: (kind_N int8, code_N int32). Text, tags and padding are passed over."""
        ids = np.asarray(ids, np.int32)
        ids_N = ids[(ids >= self.unit_start) & (ids < self.size)]
        kind_N = (
            np.int8(Kind.UNIT) - (ids_N >= self.pitch_start).astype(np.int8) - (ids_N >= self.style_start)
        )
        return kind_N, ids_N - self._ranges[0][kind_N]


def merge(speech: SpeechTokens) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One stream of an utterance's units, pitch and style, as the models read it: (kind_N int8, code_N int32,
    time_N float64 s).

    Runs of units and of pitch are cut to their first token, style is kept whole; tokens are sorted by time, a
    unit's being index / 24.99, and equal times keep the order style, pitch, unit (observed in the published
    release).
    """
    empty = np.zeros(0, np.int32)
    return merge_streams(
        (
            (empty if speech.style is None else speech.style, STYLE_RATE, False),
            (empty if speech.pitch is None else speech.pitch, PITCH_RATE, True),
            (speech.units, UNIT_TIME_RATE, True),
        )
    )


def merge_streams(
    streams: Sequence[tuple[np.ndarray, float, bool]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Merges (codes, rate in Hz, whether to deduplicate runs), given in `Kind` order; codes of any dtype."""
    kinds, codes, times = [], [], []
    for kind, (code_M, rate, deduplicated) in enumerate(streams):
        if not len(code_M):
            continue
        index_M = run_starts(code_M) if deduplicated else np.arange(len(code_M))
        kinds.append(np.full(len(index_M), kind, np.int8))
        codes.append(code_M[index_M])
        times.append(index_M / rate)
    if not kinds:
        return np.zeros(0, np.int8), np.zeros(0, np.int32), np.zeros(0)
    if len(kinds) == 1:
        return kinds[0], codes[0], times[0]
    time_N = np.concatenate(times)
    order_N = np.argsort(time_N, kind="stable")
    return np.concatenate(kinds)[order_N], np.concatenate(codes)[order_N], time_N[order_N]


def run_starts(code_M: np.ndarray) -> np.ndarray:
    """Indices at which a run of equal codes begins."""
    begins_M = np.ones(len(code_M), bool)
    np.not_equal(code_M[1:], code_M[:-1], out=begins_M[1:])
    return np.flatnonzero(begins_M)
