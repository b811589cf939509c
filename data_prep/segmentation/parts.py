"""A row of a long recording as rows of its parts, each with its own words and its own part of the text.

Legend: W words, G gaps.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data_prep.alignment.times import Timed, mean_score
from data_prep.segmentation.cuts import Gaps, Lengths, Stretch, choose_cuts
from data_prep.segmentation.silence import Loudness
from data_prep.segmentation.texts import UNKNOWN, Places, find_places

DIGITS = 4  # of times in seconds
OF_THE_WHOLE = ("start", "end", "word_scores", "alignment_score")  # keys that a part does not take over


class TooLong(NamedTuple):
    """A part that cannot be cut: its row, and why."""

    row: dict
    reason: str
    detail: str


class Cut(NamedTuple):
    """The parts of a row, in order; the seconds of its sound. other_text: the row's text does not have its
    words, so that the parts have their words as text.
    """

    parts: list[dict | TooLong]
    seconds: float
    other_text: bool


def cut_row(row: dict, sound: Loudness, lengths: Lengths) -> Cut:
    """Cuts a row that has word times, or no text. The texts of all parts, joined, are the row's text.

    Parts have the row's id with `#` and their number in five digits, from 1 on.
    """
    words = row["words"]
    places = find_places(row["text"], [str(word[0]) for word in words]) if words and row["text"] else None
    if words:
        indices_G, gaps = _gaps_between_words(words, places, sound, lengths.silence)
    else:
        gaps = _gaps_of_silence(sound, lengths.silence)
        indices_G = np.zeros(len(gaps.begin_G), np.int64)
    parts = []
    for number, stretch in enumerate(choose_cuts(gaps, lengths), 1):
        held = range(indices_G[stretch.first], indices_G[stretch.last])
        made = _part_row(row, f"{row['id']}#{number:05d}", stretch, held, places)
        too_long = stretch.end - stretch.begin > lengths.longest + 10**-DIGITS
        parts.append(_describe(made, stretch, bool(words), lengths) if too_long else made)
    return Cut(parts, sound.seconds, places is None and bool(words and row["text"]))


def _gaps_of_silence(sound: Loudness, shortest: float) -> Gaps:
    """The silences of at least `shortest` seconds, and the beginning and the end."""
    begin_R, end_R = sound.silences()
    speech = end_R[0] if len(begin_R) and begin_R[0] == 0 else 0.0
    silence = begin_R[-1] if len(begin_R) and end_R[-1] >= sound.seconds else sound.seconds
    inner = (begin_R > speech) & (end_R < silence) & (end_R - begin_R >= shortest)
    begin_G, end_G = np.r_[0.0, begin_R[inner], silence], np.r_[speech, end_R[inner], sound.seconds]
    return Gaps(begin_G, end_G, np.ones(len(begin_G), bool), np.zeros(len(begin_G)))


def _gaps_between_words(
    words: Sequence[Sequence], places: Places | None, sound: Loudness, shortest: float
) -> tuple[np.ndarray, Gaps]:
    """Where the row can be cut between words, and the word that is after each gap, int64 [G].

    A gap is the longest silence between its words, or the quietest point where none has `shortest` seconds.
    Words that overlap are not cut apart.
    """
    start_W = np.array([word[1] for word in words])
    end_W = np.maximum.accumulate([word[2] for word in words])
    open_W = start_W[1:] >= end_W[:-1]
    if places is not None:
        open_W &= places.begin_W[1:] != UNKNOWN
    after_G = np.flatnonzero(open_W) + 1
    begin_G, end_G = _longest_silences(end_W[after_G - 1], start_W[after_G], sound)
    silent_G = end_G - begin_G >= shortest
    level_G = np.zeros(len(after_G))
    for g in np.flatnonzero(~silent_G):
        point, level_G[g] = sound.quietest(end_W[after_G[g] - 1], start_W[after_G[g]])
        begin_G[g] = end_G[g] = point
    seconds = max(sound.seconds, end_W[-1])
    first = start_W[0] if places is None or places.starts else 0.0
    last = end_W[-1] if places is None or places.ends else seconds
    gaps = Gaps(
        np.r_[0.0, begin_G, last],
        np.r_[first, end_G, seconds],
        np.r_[True, silent_G, True],
        np.r_[0, level_G, 0],
    )
    return np.r_[0, after_G, len(words)], gaps


def _longest_silences(
    begin_G: np.ndarray, end_G: np.ndarray, sound: Loudness
) -> tuple[np.ndarray, np.ndarray]:
    """The longest silence in each stretch, without length where there is none. Only the first two silences of
    a stretch are compared.
    """
    silence_begin_R, silence_end_R = (np.append(edge_R, np.inf) for edge_R in sound.silences())
    best_begin_G, best_end_G = begin_G.copy(), begin_G.copy()
    first_G = np.searchsorted(silence_end_R, begin_G, side="right")
    for later in (0, 1):
        index_G = np.minimum(first_G + later, len(silence_end_R) - 1)
        from_G = np.maximum(silence_begin_R[index_G], begin_G)
        to_G = np.minimum(silence_end_R[index_G], end_G)
        longer_G = to_G - np.minimum(from_G, to_G) > best_end_G - best_begin_G
        best_begin_G, best_end_G = (
            np.where(longer_G, from_G, best_begin_G),
            np.where(longer_G, to_G, best_end_G),
        )
    return best_begin_G, best_end_G


def _part_row(row: dict, id: str, stretch: Stretch, held: range, places: Places | None) -> dict:
    """The row of a part. held: its words."""
    kept = {key: value for key, value in row.items() if key not in OF_THE_WHOLE}
    begin, end = round(stretch.begin, DIGITS), round(stretch.end, DIGITS)
    times = {
        "offset": round((row.get("offset") or 0.0) + begin, DIGITS),
        "duration": round(end - begin, DIGITS),
    }
    part = {**kept, "id": id, **times}
    if not row["words"]:
        return part
    words = [
        [word, *(round(max(0.0, time - begin), DIGITS) for time in span)]
        for word, *span in row["words"][held.start : held.stop]
    ]
    part |= {"words": words, "text": _part_text(row, held, places)}
    if row.get("word_scores"):
        scores = row["word_scores"][held.start : held.stop]
        spans = [Timed(word[1], word[2], score) for word, score in zip(words, scores)]
        part |= {"word_scores": scores, "alignment_score": mean_score(spans, 0.0)}
    return part


def _part_text(row: dict, held: range, places: Places | None) -> str | None:
    """The text of these words, as it is written; of a text that has other words, the words themselves."""
    if not row["text"]:
        return row["text"]
    if places is None:
        return " ".join(str(word[0]) for word in row["words"][held.start : held.stop])
    last = len(row["words"])
    end = len(row["text"]) if held.stop == last else places.begin_W[held.stop]
    return row["text"][places.begin_W[held.start] : end]


def _describe(row: dict, stretch: Stretch, timed: bool, lengths: Lengths) -> TooLong:
    where = f"{stretch.end - stretch.begin:.1f} s from {stretch.begin:.1f} s on"
    fix = f"cut with a longest of more than {lengths.longest:g} s"
    if timed:
        return TooLong(row, "no_cut", f"{where} have no point between words that can be cut; {fix}")
    without = f"{where} have no silence of {lengths.silence:g} s"
    return TooLong(row, "no_silence", f"{without}; give a shorter --silence, or {fix}")
