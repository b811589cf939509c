"""What an aligner found, and its words as a manifest has them."""

import dataclasses
from collections.abc import Sequence

from data_prep.alignment.spelling import Spelled


class NotAligned(ValueError):
    """An utterance without word times. `reason` is a slug for counting, `detail` a sentence for people.

    Reasons: no_spoken_words, too_little_sound, too_long, no_match, other_words, no_times; `BadAudio`'s.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclasses.dataclass(frozen=True)
class Timed:
    """When a written word is spoken, in seconds, and its score from 0 to 1 (None: no score)."""

    start: float
    end: float
    score: float | None = None


@dataclasses.dataclass(frozen=True)
class Aligned:
    """Word times of an utterance.

    words: [word, start s, end s]. A word without times is joined to its neighbour, so that no span is cut
    there: `["Press ...", 0.1, 0.6]`. scores: one for each entry of `words`. score: of the utterance. joined:
    spoken words without times.
    """

    words: list[list]
    scores: list[float | None]
    score: float | None
    joined: int


def assemble(
    spelled: Sequence[Spelled], times: Sequence[Timed | None], seconds: float, unexplained: float = 0.0
) -> Aligned:
    """The words of a text with their times, where `times` has them, in a recording of `seconds`.

    Entries do not overlap: a word ends where the next one starts, at the latest. An entry with a spoken word
    that has no times reaches to its neighbours. unexplained: seconds of sound that no word explains, which
    lower the utterance's score. NotAligned if no word has times.
    """
    groups = _group(spelled, times)
    spans = [next(t for t in (times[i] for i in group) if t is not None) for group in groups]
    words = []
    for number, (group, span) in enumerate(zip(groups, spans)):
        following = spans[number + 1].start if number + 1 < len(groups) else seconds
        first = next(i for i in group if times[i] is not None)
        start = 0.0 if any(_lost(spelled[i], times[i]) for i in group if i < first) else span.start
        stretched = any(_lost(spelled[i], times[i]) for i in group if i > first)
        end = following if stretched else min(span.end, max(following, span.start))
        written = " ".join(spelled[i].written for i in group)
        words.append([written, round(start, 4), round(max(start, end), 4)])
    scores = [None if span.score is None else round(span.score, 4) for span in spans]
    return Aligned(words, scores, mean_score(spans, unexplained), sum(map(_lost, spelled, times)))


def mean_score(spans: Sequence[Timed], unexplained: float) -> float | None:
    """The words' scores, weighted by their duration, and 0 for unexplained sound; None if a word has none."""
    if any(span.score is None for span in spans):
        return None
    weights = [max(span.end - span.start, 1e-3) for span in spans]
    return round(
        sum(w * (span.score or 0.0) for w, span in zip(weights, spans)) / (sum(weights) + unexplained), 4
    )


def _lost(spelled: Spelled, timed: Timed | None) -> bool:
    """Whether a word has a sound whose place is unknown."""
    return timed is None and not spelled.silent and not spelled.optional


def _group(spelled: Sequence[Spelled], times: Sequence[Timed | None]) -> list[list[int]]:
    """Indices of the words of each entry: one word with times, the words without times after it, and for the
    first entry also those before it.
    """
    groups: list[list[int]] = [[]]
    for index, timed in enumerate(times):
        if timed is not None and any(times[i] is not None for i in groups[-1]):
            groups.append([])
        groups[-1].append(index)
    if not any(timed is not None for timed in times):
        raise NotAligned("no_times", f"none of its {len(spelled)} words has times")
    return groups
