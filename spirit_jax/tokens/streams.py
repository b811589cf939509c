"""The table of streams: which sequences of codes speech is made of, and an utterance's codes between the
codec and the token grammar (paper section 3.1).

A codec states its streams as a tuple of `Stream`s, the phonetic units first. Vocabulary, strings, unit files,
shards, training and generation of tokens loop over that tuple; none of them knows how many streams there are.
HiFi-GAN does: its generator has embeddings of units, pitch and style.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from spirit_jax.core.errors import UserError

SAMPLE_RATE = 16_000
UNITS = "units"  # name of the first stream of every table
RESERVED = frozenset(  # names of other columns of unit files and shards
    ("id", "audio", "offset", "duration", "text", "words", "voice", "source", "split", "duration_s")
    + ("language", "licence", "speaking_style", "channel")
    + ("word_scores", "alignment_score", "scores")
    + ("text_ids", "word_offsets", "word_start_s", "word_end_s", "tokens", "draw")
)


@dataclasses.dataclass(frozen=True)
class Stream:
    """One stream of codes.

    name: key in unit files, columns of shards. mark: begins its tokens, as in `[Hu3]`. size: number of codes.
    rate: codes a second before deduplication. deduplicate: whether a run of equal codes becomes one token.
    merge_rate: the token at index i is merged at i / merge_rate seconds; None: the rate itself. It differs
    where a segment of a long recording gives fewer codes than its seconds times the rate. Streams that
    differ in it alone are equal: they have the same codes.
    """

    name: str
    mark: str
    size: int
    rate: float
    deduplicate: bool = True
    merge_rate: float | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self):
        if not self.name.isidentifier() or self.name in RESERVED:
            raise UserError(
                "stream name", self.name, "must be a free identifier", "name it like pitch or style"
            )
        if not (self.mark.isascii() and self.mark.isalpha()):
            raise UserError(f"stream {self.name} mark", self.mark, "must be ASCII letters", "for example Hu")
        if self.size < 1 or not self.rate > 0 or (self.merge_rate is not None and not self.merge_rate > 0):
            sizes = (self.size, self.rate, self.merge_rate)
            raise UserError(f"stream {self.name} size and rates", sizes, "must be above 0", "ask the codec")

    @property
    def times_per_second(self) -> float:
        """The rate that token times count on."""
        return self.merge_rate or self.rate

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)


Streams = tuple[Stream, ...]


def unit_stream(size: int, rate: float, merge_rate: float | None = None) -> Stream:
    """The phonetic units."""
    return Stream(UNITS, "Hu", size, rate, merge_rate=merge_rate)


def pitch_stream(size: int, rate: float, merge_rate: float | None = None) -> Stream:
    """Pitch codes."""
    return Stream("pitch", "Pi", size, rate, merge_rate=merge_rate)


def style_stream(size: int, rate: float) -> Stream:
    """Style codes, which are not deduplicated (observed in Meta's release)."""
    return Stream("style", "St", size, rate, deduplicate=False)


# HuBERT's 2,499 units of a segment of 100 s are merged at index / 24.99 (observed in Meta's release)
PUBLISHED_EXPRESSIVE: Streams = (
    unit_stream(501, 25.0, merge_rate=24.99),
    pitch_stream(64, 12.5),
    style_stream(100, 1.0),
)
PUBLISHED_BASE: Streams = PUBLISHED_EXPRESSIVE[:1]
# published streams by the name of their counts: options of `convert import`, keys of files before format 2
COUNT_NAMES = {"units": "units", "pitches": "pitch", "styles": "style"}


def check_streams(streams: Sequence[Stream]) -> Streams:
    """The table as a tuple. UserError unless the units come first and names and marks differ."""
    if not isinstance(streams, Sequence):
        fix = "for example Vocabulary(32_000, resized_streams({'units': 501}))"
        raise UserError("streams", streams, "must be a table, not a number of codes", fix)
    names, marks = [s.name for s in streams], [s.mark for s in streams]
    if names and names[0] != UNITS:
        raise UserError("streams", names, f"must begin with {UNITS}", "put the phonetic units first")
    if len(set(names)) < len(names) or len(set(marks)) < len(marks) or {"Text", "Speech"} & set(marks):
        pairs = [f"{name} [{mark}]" for name, mark in zip(names, marks)]
        raise UserError("streams", ", ".join(pairs), "must differ in name and mark", "rename one")
    return tuple(streams)


def streams_from_dicts(values: Iterable[Mapping[str, Any]]) -> Streams:
    """Reads what `Stream.to_dict` wrote, one mapping a stream. UserError for other keys."""
    known = {field.name for field in dataclasses.fields(Stream)}
    rows = [dict(row) for row in values]
    for row in rows:
        if row.keys() != known:
            raise UserError("stream keys", sorted(row), f"must be {sorted(known)}", "make the file again")
    return check_streams([Stream(**row) for row in rows])


def resized_streams(sizes: Mapping[str, int]) -> Streams:
    """The published table with other numbers of codes; a stream of size 0, or without a size, is left out."""
    table = [
        dataclasses.replace(s, size=size) for s in PUBLISHED_EXPRESSIVE if (size := sizes.get(s.name, 0))
    ]
    return check_streams(table)


def describe_streams(streams: Streams) -> str:
    """For messages: `500 units, 64 pitch`; `no speech` for an empty table."""
    return ", ".join(f"{stream.size} {stream.name}" for stream in streams) or "no speech"


@dataclasses.dataclass(frozen=True)
class SpeechTokens:
    """One utterance's codes by the name of their stream, not deduplicated: int32 [n] each, at the stream's
    rate.

    `units` must be there. UserError for codes that are no sequence of whole numbers.
    """

    codes: Mapping[str, np.ndarray]

    def __post_init__(self):
        object.__setattr__(self, "codes", _to_arrays(self.codes, "SpeechTokens"))

    @property
    def units(self) -> np.ndarray:
        """The phonetic units, int32 [N]."""
        return self.codes[UNITS]


@dataclasses.dataclass(frozen=True)
class SpokenUnits:
    """What a token string or a model says: units in order, without durations.

    codes: int32 [N] by stream: the units, and of the other streams the codes in force at each unit. A stream
    that was not mentioned is absent.
    """

    codes: Mapping[str, np.ndarray]

    def __post_init__(self):
        object.__setattr__(self, "codes", _to_arrays(self.codes, "SpokenUnits"))
        for name, codes in self.codes.items():
            if len(codes) != len(self.units):
                rule = f"must be one for each of {len(self.units)} units"
                raise UserError(
                    f"SpokenUnits.{name}", f"{len(codes)} codes", rule, "repeat the code in force"
                )

    @property
    def units(self) -> np.ndarray:
        """The phonetic units, int32 [N]."""
        return self.codes[UNITS]


def duration_s(speech: SpeechTokens, streams: Streams) -> float:
    """Seconds of speech that the units stand for."""
    return len(speech.units) / streams[0].rate


def excerpt(speech: SpeechTokens, begin_s: float, end_s: float, streams: Streams) -> SpeechTokens:
    """The codes between two times; of every stream but the units at least one."""
    codes = {}
    end_s = np.inf if end_s >= duration_s(speech, streams) else end_s
    for stream in streams:
        rate = stream.times_per_second
        last = round(end_s * rate) if end_s < np.inf else None
        if stream.name == UNITS:
            first = round(begin_s * rate)
        else:
            first = int(begin_s * rate)
            last = None if last is None else max(first + 1, last)
        if stream.name in speech.codes:
            codes[stream.name] = speech.codes[stream.name][first:last]
    return SpeechTokens(codes)


def lengthen(spoken: SpokenUnits, frames_N: np.ndarray, streams: Streams) -> SpeechTokens:
    """The utterance in which unit n lasts frames_N[n] frames of the unit rate; other streams at
    their rates.
    """
    rates = {stream.name: stream.rate for stream in streams}
    codes = {}
    for name, codes_N in spoken.codes.items():
        repeated_T = np.repeat(codes_N, frames_N)
        count = int(np.ceil(len(repeated_T) * rates[name] / rates[UNITS]))
        at = np.round(np.arange(count) * (rates[UNITS] / rates[name])).astype(np.int64)
        codes[name] = repeated_T[at[at < len(repeated_T)]]
    return SpeechTokens(codes)


def _to_arrays(codes: Mapping[str, Any], owner: str) -> dict[str, np.ndarray]:
    """Each stream as an int32 array [n]."""
    if UNITS not in codes:
        raise UserError(
            f"{owner} streams", ", ".join(codes), f"must include {UNITS}", "give the phonetic units"
        )
    return {name: _to_array(values, f"{owner}.{name}") for name, values in codes.items()}


def _to_array(values: Any, what: str) -> np.ndarray:
    if isinstance(values, np.ndarray) and values.dtype == np.int32 and values.ndim == 1:
        return values
    try:
        given = np.asarray(values)
        with np.errstate(invalid="ignore"):
            codes = given.astype(np.int32)
    except (ValueError, TypeError, OverflowError) as error:
        fix = "pass a 1-D array for one utterance"
        raise UserError(what, str(values)[:40], "must be whole numbers", fix) from error
    if codes.ndim != 1:
        raise UserError(what, codes.shape, "must be one sequence", "pass a 1-D array for one utterance")
    if given.dtype.kind in "iuf" and len(other := given[codes != given]):
        raise UserError(
            f"{what} code", other[0].item(), "must be a whole number of 32 bits", "correct the codes"
        )
    return codes
