"""Which part of which word each unit of a recording is in, from word times: classes that a linear
discriminant analysis tells apart.

So what differs between words counts, and what differs between voices that say the same word does not.
"""

import collections
from collections.abc import Sequence

import numpy as np

# Words of an utterance without casing and punctuation, each with its start and end in seconds; None without
# times.
TimedWords = Sequence[tuple[str, float, float]] | None

MOST_WORDS = 1000  # the most frequent ones have classes; our choice
LEAST_TIMES = 5  # that a word is said; our choice
OUTSIDE, UNKNOWN = 0, -1  # between words; in a word without classes, or in an utterance without times


def classify_units(utterances: Sequence[TimedWords], counts: Sequence[int], rate: float) -> list[np.ndarray]:
    """The class of each of `counts` units of each utterance, int [N], OUTSIDE or UNKNOWN.

    A word has a class for about each unit that it lasts on average: the word's sound is cut evenly.
    """
    parts = _count_parts(utterances, rate)
    firsts = dict(zip(parts, np.cumsum([OUTSIDE + 1, *parts.values()])))
    return [
        _classify(words, count, rate, parts, firsts) for words, count in zip(utterances, counts, strict=True)
    ]


def _count_parts(utterances: Sequence[TimedWords], rate: float) -> dict[str, int]:
    """Into how many parts each word is cut, by word."""
    seconds: dict[str, list[float]] = collections.defaultdict(list)
    for words in utterances:
        for word, start, end in words or ():
            seconds[word].append(end - start)
    frequent = sorted(seconds, key=lambda word: (-len(seconds[word]), word))[:MOST_WORDS]
    return {
        word: max(1, round(float(np.mean(seconds[word])) * rate))
        for word in frequent
        if len(seconds[word]) >= LEAST_TIMES
    }


def _classify(
    words: TimedWords, count: int, rate: float, parts: dict[str, int], firsts: dict[str, int]
) -> np.ndarray:
    """A unit is where its middle is."""
    class_N = np.full(count, UNKNOWN if words is None else OUTSIDE)
    for word, start, end in words or ():
        first, last = (int(np.ceil(seconds * rate - 0.5)) for seconds in (start, end))
        at = np.arange(max(first, 0), min(last, count))
        if word in parts:
            share = ((at + 0.5) / rate - start) / (end - start)
            class_N[at] = firsts[word] + np.minimum((share * parts[word]).astype(int), parts[word] - 1)
        else:
            class_N[at] = UNKNOWN
    return class_N
