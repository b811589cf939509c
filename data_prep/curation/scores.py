"""The scores of an utterance: from its sound, its text, its word times and its units.

A score that cannot be had, for example of the text of a recording without one, is None and has no limit.
"""

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from data_prep.curation import sound
from data_prep.jobs.row_sound import load_row
from spirit_jax.datasets.manifest import text_of
from spirit_jax.speech import audio
from spirit_jax.tokens.streams import SAMPLE_RATE

LETTERS_OF_A_DIGIT = 4  # the mean of the English names
# what is added to the alignment score of an utterance of n words, times 1 / sqrt(n): our choice, since the
# scores of right texts vary as much more as there are fewer words
FEW_WORDS = 0.17


class Score(NamedTuple):
    """A score: what it is called, its unit with the space before it, and the range of its histogram."""

    title: str
    unit: str
    low: float
    high: float


# By the name of its limits in `CurationConfig`.
SCORES = {
    "alignment": Score("Alignment score, raised where there are few words", "", 0, 1.2),
    "coverage": Score("Share of the sound, without silence, inside words", "", 0, 1),
    "character_rate": Score("Characters a second, silence left out", "/s", 0, 40),
    "word_rate": Score("Words a second, silence left out", "/s", 0, 8),
    "unit_rate": Score("Units a second, runs of equal ones as one", "/s", 0, 50),
    "silence": Score("Share of silence", "", 0, 1),
    "clipping": Score("Share of clipped samples", "", 0, 0.1),
    "noise": Score("Signal to noise", " dB", 0, 80),
    "duration": Score("Duration", " s", 0, 40),
}


@dataclasses.dataclass(frozen=True)
class Measured:
    """What is known of a row with sound.

    scores: by the names of `SCORES`. timed: whether it has word times. text_key, sound_key: equal for equal
    texts, whatever their casing and punctuation, and for equal samples; text_key is empty without a text.
    outline: nearly equal for two versions of a recording. sounding_s: seconds that are not silent.
    """

    id: str
    voice: str
    timed: bool
    seconds: float
    sounding_s: float
    scores: Mapping[str, float | None]
    text_key: str
    sound_key: str
    outline: str


class Task(NamedTuple):
    """A row with sound, and the units of its utterance a second, where they are known."""

    row: Mapping[str, Any]
    unit_rate: float | None = None


class Unusable(NamedTuple):
    """Why the sound of a row cannot be used."""

    reason: str
    detail: str


class Entry(NamedTuple):
    """A row with its scores. measured: None without sound. unusable: why its sound has no scores."""

    row: dict
    measured: Measured | None
    unusable: Unusable | None


def measure(task: Task) -> Measured | Unusable:
    """The scores of a row."""
    row = task.row
    try:
        wav = load_row(row)
    except audio.BadAudio as error:
        return Unusable(error.reason, error.detail)
    levels_T = sound.frame_levels(wav)
    sounding_T = sound.sounding(levels_T)
    seconds, sounding_s = len(wav) / SAMPLE_RATE, sounding_T.sum() * sound.FRAME / SAMPLE_RATE
    text = text_of(row)
    scores = {
        **_text_scores(row, text, sounding_s),
        "coverage": _coverage(row["words"], sounding_T) if row["words"] else None,
        "unit_rate": task.unit_rate,
        "silence": 1 - sounding_T.mean(),
        "clipping": sound.clipping_share(wav),
        "noise": sound.signal_to_noise(levels_T),
        "duration": seconds,
    }
    return Measured(
        row["id"],
        row["voice"],
        bool(row["words"]),
        seconds,
        round(float(sounding_s), 4),
        {name: None if scores[name] is None else round(float(scores[name]), 4) for name in SCORES},
        text_key(text),
        sound.sound_key(wav),
        sound.outline(wav, levels_T),
    )


def _text_scores(row: Mapping[str, Any], text: str, sounding_s: float) -> dict[str, float | None]:
    letters = count_letters(text)
    if not letters:
        return {"alignment": None, "character_rate": None, "word_rate": None}
    words = sum(any(c.isalnum() for c in word) for word in text.split())
    aligned = row.get("alignment_score")
    return {
        "alignment": None
        if aligned is None
        else aligned + FEW_WORDS / math.sqrt(len(row["words"] or text.split())),
        "character_rate": letters / sounding_s,
        "word_rate": words / sounding_s,
    }


def _coverage(words: Sequence[Sequence], sounding_T: np.ndarray) -> float:
    """Share of the sounding frames whose middle is inside a word."""
    middle_T = (np.arange(len(sounding_T)) + 0.5) * sound.FRAME / SAMPLE_RATE
    inside_T = np.zeros(len(sounding_T), bool)
    for _, start, end in words:
        first, last = np.searchsorted(middle_T, [start, end])
        inside_T[first:last] = True
    return float(inside_T[sounding_T].mean())


def count_letters(text: str) -> int:
    """Letters that are spoken, roughly: a digit counts as four.

    >>> count_letters("Room 12, please!")
    18
    """
    return sum(LETTERS_OF_A_DIGIT if c.isdecimal() else c.isalpha() for c in text)


def text_key(text: str) -> str:
    """Equal for texts with the same letters and digits; empty for a text without any."""
    letters = "".join(c for c in text.casefold() if c.isalnum())
    return key_of(letters) if letters else ""


def key_of(text: str) -> str:
    """64 bits as hexadecimal, equal for equal texts."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
