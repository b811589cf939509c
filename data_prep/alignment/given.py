"""Word times that another aligner made: TextGrid (Montreal Forced Aligner), CTM and JSON."""

import dataclasses
import difflib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_prep.alignment.spelling import Spelled, spell
from data_prep.alignment.times import NotAligned, Timed
from spirit_jax.core.errors import UserError

SUFFIXES = (".textgrid", ".ctm", ".json")
# labels of pauses, and of words that the other aligner did not know
PAUSES = frozenset(("", "sil", "sp", "<sil>", "<eps>", "<p>", "<s>", "</s>", "[noise]", "{sl}"))
UNKNOWN = frozenset(("<unk>", "spn", "[unk]", "<spoken_noise>", "[bracketed]", "[speech]"))
LEAST_EQUAL = 0.5  # share of a text's words that the times must have, our choice
TEXTGRID_VALUE = re.compile(r'"((?:[^"]|"")*)"|(?<![\w\[.-])(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w\].])')


@dataclasses.dataclass(frozen=True)
class Given:
    """A word of another aligner, in seconds; score: from 0 to 1, or None."""

    word: str
    start: float
    end: float
    score: float | None = None


def read_times(path: Path) -> dict[str, list[Given]]:
    """The words of each recording in a file or in the files below a folder, by the recording's name.

    A TextGrid or JSON file has the name of its recording; a CTM file contains the names. Names of files in a
    folder include the folders below it. UserError for a path without such files and for a broken file.
    """
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
    files = [file for file in files if file.suffix.lower() in SUFFIXES]
    if not files:
        raise UserError("--times", path, "has no .TextGrid, .ctm or .json file", "check the path")
    times: dict[str, list[Given]] = {}
    for file in files:
        name = (file.relative_to(path) if path.is_dir() else Path(file.name)).with_suffix("").as_posix()
        try:
            found = _READERS[file.suffix.lower()](_decode(file), name)
            for recording, words in found:
                times.setdefault(recording, []).extend(words)
        except (ValueError, LookupError, TypeError, AttributeError, StopIteration) as error:
            rule = f"is no word times of a known form ({type(error).__name__}: {error})"
            raise UserError("--times", file, rule, "correct or remove the file") from error
    return {name: sorted(words, key=lambda word: word.start) for name, words in times.items()}


def cut_times(words: Sequence[Given], part: tuple[float, float | None] | None) -> list[Given]:
    """The words of a part of a recording, (where it begins, its length or None), in seconds from there."""
    if part is None:
        return list(words)
    first, last = part[0], float("inf") if part[1] is None else sum(filter(None, part))
    inside = (word for word in words if first <= (word.start + word.end) / 2 < last)
    return [
        dataclasses.replace(word, start=max(0.0, word.start - first), end=word.end - first) for word in inside
    ]


def match_given(spelled: Sequence[Spelled], given: Sequence[Given]) -> list[Timed | None]:
    """The time of each written word, None where the given words lack it.

    Both sides are spelled, so that `1st` and `first` are the same. NotAligned if less than half of the text's
    words are there.
    """
    words = [word for word in given if word.word.lower() not in PAUSES]
    ours = [(said, i) for i, word in enumerate(spelled) for said in (word.readings or [()])[0]]
    theirs = [(said, i) for i, word in enumerate(words) for said in _said(word.word)]
    matcher = difflib.SequenceMatcher(None, [o[0] for o in ours], [t[0] for t in theirs], autojunk=False)
    pairs: dict[int, list[Given]] = {}
    equal = 0
    for tag, first, last, their_first, their_last in matcher.get_opcodes():
        equal += (last - first) * (tag == "equal")
        if last - first == their_last - their_first:
            for (_, our), (_, their) in zip(ours[first:last], theirs[their_first:their_last]):
                pairs.setdefault(our, []).append(words[their])
    if equal < LEAST_EQUAL * len(ours) or not ours:
        raise NotAligned("other_words", f"the times have {equal} of the text's {len(ours)} spoken words")
    return [_merge(pairs[i]) if i in pairs else None for i in range(len(spelled))]


def _said(label: str) -> Sequence[str]:
    if label.lower() in UNKNOWN:
        return ("<unk>",)
    (word,) = spell(["".join(label.split())])
    return word.readings[0] if word.readings else ()


def _merge(words: Sequence[Given]) -> Timed:
    scores = [word.score for word in words if word.score is not None]
    score = sum(scores) / len(scores) if scores else None
    return Timed(min(word.start for word in words), max(word.end for word in words), score)


def _read_textgrid(text: str, name: str) -> list[tuple[str, list[Given]]]:
    """Tiers named `words`, or `speaker - words`; the long and the short form have the same values."""
    values = iter(
        match[2] if match[2] is not None else '"' + match[1].replace('""', '"')
        for match in TEXTGRID_VALUE.finditer(text)
    )
    if [next(values), next(values)] != ['"ooTextFile', '"TextGrid']:
        raise ValueError("no TextGrid")
    _skip_bounds(values)
    words = []
    for _ in range(int(next(values))):
        kind, tier = next(values)[1:], next(values)[1:]
        _skip_bounds(values)
        rows = [
            [next(values) for _ in range(3 if kind == "IntervalTier" else 2)]
            for _ in range(int(next(values)))
        ]
        if kind == "IntervalTier" and tier.lower().strip().endswith(("words", "word")):
            words += [Given(label[1:].strip(), float(start), float(end)) for start, end, label in rows]
    if not words:
        raise ValueError("no tier named words")
    return [(name, words)]


def _skip_bounds(values: Iterator[str]) -> None:
    """The first and last second."""
    for _ in range(2):
        next(values)


def _read_ctm(text: str, _: str) -> Iterator[tuple[str, list[Given]]]:
    """Lines `recording channel start duration word [score]`."""
    for line in text.splitlines():
        if line.strip() and not line.startswith((";;", "#")):
            recording, _, start, duration, word, *score = line.split()
            end = float(start) + float(duration)
            yield recording, [Given(word, float(start), end, float(score[0]) if score else None)]


def _read_json(text: str, name: str) -> Iterator[tuple[str, list[Given]]]:
    """`words`, `segments` with `words` (Whisper), or MFA's `tiers`. A word is an object or a list."""
    content = json.loads(text)
    if "tiers" in content:
        entries = [
            [label, start, end]
            for tier, held in content["tiers"].items()
            if tier.endswith("words")
            for start, end, label in held["entries"]
        ]
    elif "segments" in content:
        entries = [word for segment in content["segments"] for word in segment["words"]]
    else:
        entries = content["words"]
    yield name, [given for entry in entries if (given := _entry(entry)) is not None]


def _entry(entry: Any) -> Given | None:
    """None for a word without times, as Whisper and Gentle write for words that they did not find."""
    if isinstance(entry, list):
        return Given(str(entry[0]).strip(), float(entry[1]), float(entry[2]))
    word = str(entry["word"] if "word" in entry else entry["text"]).strip()
    if entry.get("start") is None or entry.get("end") is None:
        return None
    score = next((entry[key] for key in ("score", "probability", "confidence") if key in entry), None)
    return Given(word, float(entry["start"]), float(entry["end"]), None if score is None else float(score))


def _decode(file: Path) -> str:
    content = file.read_bytes()
    return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


_READERS = {".textgrid": _read_textgrid, ".ctm": _read_ctm, ".json": _read_json}
