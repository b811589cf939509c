"""Long recordings in segments, as Meta's release cuts them, and segments in groups that fit into memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

from spirit_jax.core.batching import count_rows
from spirit_jax.speech.audio import MIN_SAMPLES
from spirit_jax.tokens.streams import SAMPLE_RATE, SpeechTokens

SEGMENT_SECONDS = 100  # longer recordings are encoded in segments of this length, as in Meta's release
GROUP_SECONDS = 300  # sound encoded at a time for each row of a call, which bounds memory

T = TypeVar("T")
R = TypeVar("R")


def cut(
    wavs: Sequence[np.ndarray], shortest: int = MIN_SAMPLES, longest: int | None = None
) -> tuple[list[np.ndarray], list[int]]:
    """Segments of wavs [samples] at 16 kHz, and the index of each segment's wav.

    A segment has at most `longest` samples, by default 100 s; one under `shortest` samples is dropped.
    """
    segments, owners, most = [], [], longest or round(SEGMENT_SECONDS * SAMPLE_RATE)
    for owner, wav in enumerate(wavs):
        cuts = [wav[i : i + most] for i in range(0, len(wav), most)]
        kept = [segment for segment in cuts if len(segment) >= shortest]
        segments += kept
        owners += [owner] * len(kept)
    return segments, owners


def merge_rate(rate: float, count: Callable[[int], int]) -> float | None:
    """Codes a second of a long recording: those of a segment, which `count` gives for its samples, over its
    length. None where that is `rate`.

    So code i of a long recording begins at i / merge_rate seconds, less than one code late.
    """
    per_second = count(round(SEGMENT_SECONDS * SAMPLE_RATE)) / SEGMENT_SECONDS
    return None if per_second == rate else per_second


def unit_starts(units: int, samples: int, count_units: Callable[[int], int], hop: int) -> np.ndarray:
    """The sample at which each of a wav's units begins, int64 [units].

    Units are counted from the start of each segment: the segment before may lack its last unit.
    """
    most = round(SEGMENT_SECONDS * SAMPLE_RATE)
    at_N = np.arange(units) * hop
    for number, first in enumerate(range(most, samples, most), 1):
        before = number * count_units(most)
        at_N[before:] = first + np.arange(max(0, units - before)) * hop
    return at_N


def join(
    segments: Sequence[SpeechTokens], owners: Sequence[int], count: int, names: Sequence[str]
) -> list[SpeechTokens]:
    """The segments' codes by wav, end to end, of the streams `names`; a wav without segments has no codes."""
    by_wav: list[list[SpeechTokens]] = [[] for _ in range(count)]
    for owner, speech in zip(owners, segments):
        by_wav[owner].append(speech)
    empty = np.zeros(0, np.int32)
    return [
        SpeechTokens({name: np.concatenate([empty, *(s.codes[name] for s in speeches)]) for name in names})
        for speeches in by_wav
    ]


def group_seconds() -> float:
    """Sound encoded at a time: on accelerators enough for many full calls on every device."""
    rows = count_rows(1, 1)
    return GROUP_SECONDS * (rows * jax.local_device_count() if rows > 1 else 1)


def groups(
    items: Iterable[T], seconds: float | None = None, samples: Callable[[T], int] = len
) -> Iterator[list[T]]:
    """Lists of items that hold about `seconds` of sound at 16 kHz, by default `group_seconds`; `samples`
    counts those of an item.
    """
    seconds = group_seconds() if seconds is None else seconds
    group, held = [], 0
    for item in items:
        group.append(item)
        held += samples(item)
        if held >= seconds * SAMPLE_RATE:
            yield group
            group, held = [], 0
    if group:
        yield group


class Sounds:
    """Segments of sound, float32 [samples] at 16 kHz, with analyses that several stream encoders share."""

    def __init__(self, wavs: Sequence[np.ndarray]):
        self.wavs = wavs
        self._results: dict[Any, Any] = {}

    def analyze(self, function: Callable[[Sequence[np.ndarray]], R]) -> R:
        """`function(wavs)`, computed once."""
        if function not in self._results:
            self._results[function] = function(self.wavs)
        return self._results[function]
