"""Reads a corpus, from a manifest or from a folder of recordings: what is spoken, by whom, and when.

A manifest is JSON lines, one object a row. One of audio and text is required, all else is optional:

audio               path of the recording, relative to the manifest's folder; null for text alone
text                transcript
words               [[word, start s, end s], ...], the text with times from where the row's sound begins
offset, duration    the row is this part of the recording, in seconds; `start` and `end` are the same.
                    `duration` alone is the length of the whole recording
id                  by default the audio's path without suffix, for a part with `#` and a number
voice, source       names of the speaker and of the corpus
split               by default `train` for speech with text, else `speech` or `text`

Other keys are kept. A row that breaks a rule is set aside with its line; only if no row is left the command
stops. A row with words that have no times is kept as unaligned. A folder without a manifest is read by
`recordings`.
"""

import collections
import dataclasses
import functools
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import parse_lines, require_file
from spirit_jax.datasets.corpus import (
    BadRow,
    Corpus,
    count_reasons,
    count_suffixes,
    default_split,
    put_aside,
)
from spirit_jax.datasets.recordings import AUDIO_SUFFIXES, files_below, scan_folder
from spirit_jax.datasets.splits import TRAINING_SPLITS
from spirit_jax.datasets.text_files import read_texts

SPLIT_NAME = re.compile(r"(?!all$)\w[\w-]*")
TEXT_KEYS = ("id", "text", "voice", "source", "split")
LONGEST_S = 1e6  # no recording is as long


def read_corpus(path: Path, lines: bool = False) -> list[dict]:
    """The usable rows of `open_corpus`, with a warning that counts those that are set aside."""
    corpus = open_corpus(path, lines)
    if corpus.set_aside:
        _warn_of_set_aside(path, count_reasons(corpus.set_aside), corpus.set_aside[0]["detail"])
    return corpus.rows


def open_corpus(path: Path, lines: bool = False) -> Corpus:
    """Reads a manifest file or a folder. Usable rows have unique ids and absolute audio paths.

    lines: each line of a `.txt` file is a text. UserError if the path does not exist, or has no usable rows.
    """
    corpus = _open_folder(path) if path.is_dir() else _read_manifest(path, lines)
    if not corpus.rows:
        formats = ", ".join(suffix[1:] for suffix in AUDIO_SUFFIXES)
        found = [f"{row['id']}: {row['detail']}" for row in corpus.set_aside[:1]]
        found += [corpus.describe_unread()] if corpus.unread else []
        rule = f"holds no usable rows ({'; '.join(found)})" if found else "holds no rows"
        fix = f"give recordings ({formats}) or a manifest with lines"
        raise UserError("corpus", path, rule, fix)
    return corpus


def stream_texts(path: Path, lines: bool = False) -> Iterator[dict]:
    """The rows without audio, read as they are needed. Two may have one id.

    Rows that break a rule are counted in a warning at the end. UserError if all of them do.
    """
    manifest = _find_manifest(path) if path.is_dir() else path
    if manifest is None:  # recordings, which may have no rows without audio
        yield from (row for row in read_corpus(path) if row["audio"] is None)
        return
    reasons: collections.Counter[str] = collections.Counter()
    first, usable = None, 0
    for _, _, row in _stream_manifest(manifest, lines):
        if isinstance(row, BadRow):
            first = first or row
            reasons[row.reason] += 1
        else:
            usable += 1
            if row["audio"] is None:
                yield row
    if first and not usable:
        raise _none_usable(first)
    if first:
        _warn_of_set_aside(path, dict(reasons.most_common()), str(first))


def part_of(row: Mapping[str, Any]) -> tuple[float, float | None] | None:
    """Where a row's sound begins in its recording and how long it is, in seconds, the second None for up to
    the end; None for the whole recording.
    """
    return None if row.get("offset") is None else (row["offset"], row.get("duration"))


def timed_words(row: dict) -> list[str] | None:
    """The words between which a row can be cut: those with times of a recording. None for a row that stays
    whole.
    """
    return [str(word) for word, _, _ in row["words"]] if row["audio"] and row["words"] else None


def text_of(row: dict) -> str:
    """A row's text: its timed words with single spaces between them, or else the text as it was given."""
    words = timed_words(row)
    return str(row["text"] or "") if words is None else " ".join(words)


def training_texts(rows: Iterable[dict]) -> Iterator[str]:
    """Texts of the training splits."""
    return (text for row in rows if row["split"] in TRAINING_SPLITS and (text := text_of(row)))


def _find_manifest(folder: Path) -> Path | None:
    """The manifest in a folder: `manifest.jsonl`, or the only .jsonl file."""
    named, found = folder / "manifest.jsonl", sorted(folder.glob("*.jsonl"))
    return named if named.is_file() else found[0] if len(found) == 1 else None


@functools.cache
def _warn_once(line: str) -> None:
    print(line, file=sys.stderr)


def _warn_of_set_aside(path: Path, reasons: Mapping[str, int], first: str) -> None:
    counted = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    _warn_once(f"warning: {path}: {sum(reasons.values())} rows are set aside: {counted}; first: {first}")


def _open_folder(folder: Path) -> Corpus:
    """The manifest in a folder, else its recordings."""
    if manifest := _find_manifest(folder):
        corpus = _read_manifest(manifest)
        named = {os.path.normpath(row["audio"] or "") for row in (*corpus.rows, *corpus.set_aside)}
        sounds = (path for path in files_below(folder) if path.suffix.lower() in AUDIO_SUFFIXES)
        unnamed = count_suffixes(path for path in sounds if os.path.normpath(path.absolute()) not in named)
        return dataclasses.replace(corpus, unread={"are named by no row": unnamed} if unnamed else {})
    corpus, manifests = scan_folder(folder), sorted(folder.glob("*.jsonl"))
    if manifests and not corpus.rows:
        rule = f"{folder} has several .jsonl files and no recordings"
        raise UserError("manifests", len(manifests), rule, "name the manifest")
    return corpus


def _read_manifest(path: Path, lines: bool = False) -> Corpus:
    """Checked rows of a JSON-lines manifest, or of a `.txt` file: one text, or with `lines` one a line.

    UserError if every row breaks the rules, naming the first, and for two rows of one id.
    """
    rows: dict[int, dict] = {}
    set_aside, first, untimed = [], None, 0
    for line, given, row in _stream_manifest(path, lines):
        if isinstance(row, BadRow):
            first = first or row
            set_aside.append(_describe_bad(given, path, line, row))
        else:
            rows[line] = row
            untimed += row["words"] is None and bool(given.get("words"))
    if first and not rows:
        raise _none_usable(first)
    _refuse_duplicates((row["id"], f"line {line}") for line, row in rows.items())
    return Corpus(list(rows.values()), set_aside, untimed=untimed)


def _none_usable(first: BadRow) -> UserError:
    return UserError(first.what, first.value, f"{first.rule}; no other row can be used", first.fix)


def _stream_manifest(path: Path, lines: bool) -> Iterator[tuple[int, Any, dict | BadRow]]:
    """For each row its line, what the file says, and the checked row or why it cannot be used."""
    require_file(path, "manifest")
    if path.suffix.lower() in AUDIO_SUFFIXES:
        raise UserError("manifest", path, "is a recording", "give its folder, or a manifest that names it")
    parts: collections.Counter[str] = collections.Counter()
    found = read_texts(path, lines) if path.suffix == ".txt" else parse_lines(path)
    for number, (line, given) in enumerate(found, 1):
        try:
            row: dict | BadRow = _complete_row(given, path, line, number, parts)
        except BadRow as error:
            row = error
        yield line, given, row


def _complete_row(
    row: dict | UserError, path: Path, line: int, number: int, parts: collections.Counter[str]
) -> dict:
    """A row with every key and an absolute audio path. parts: how many of each recording there were so far.

    BadRow for one that breaks a rule.
    """
    if isinstance(row, BadRow):
        raise row
    if isinstance(row, UserError):
        raise BadRow("bad_json", row.what, row.value, row.rule, row.fix) from row
    where = f"{path} line {line}"
    for key in ("audio", *TEXT_KEYS):
        if not isinstance(row.get(key), str | None):
            raise BadRow("bad_row", f"{where} {key}", row[key], "must be a string or null", "correct the row")
    audio, text = row.get("audio") or None, row.get("text") if (row.get("text") or "").strip() else None
    if audio is None and text is None:
        fix = "give one of them or drop the row"
        raise BadRow("bad_row", where, row.get("id"), "has neither audio nor text", fix)
    words, plain = _read_words(row.get("words"), where)
    part = _read_part(row, where) if audio else {}
    split = row.get("split") or default_split(audio, text or words or plain)
    if not SPLIT_NAME.fullmatch(split):
        rule = "must be letters, digits, - and _, and not all: TFDS reads the rest as ranges"
        raise BadRow("bad_row", f"{where} split", split, rule, "rename the split")
    return {
        **row,
        "id": row.get("id") or _default_id(audio, path, number, parts if "offset" in part else None),
        "audio": str(path.parent.absolute() / audio) if audio else None,
        "text": text or plain,
        "words": words,
        "voice": row.get("voice") or "",
        "source": row.get("source") or path.stem,
        "split": split,
        **part,
    }


def _default_id(audio: str | None, path: Path, number: int, parts: collections.Counter[str] | None) -> str:
    """parts: given where the row is a part of its recording."""
    if audio is None:
        return f"{path.stem}-{number:06d}"
    bare = os.path.splitext(audio)[0]
    if parts is None:
        return bare
    parts[bare] += 1
    return f"{bare}#{parts[bare]}"


def _describe_bad(given: dict | UserError, path: Path, line: int, error: BadRow) -> dict:
    """A line of the quarantine, with the id and the audio as far as they are strings."""
    row = {} if isinstance(given, UserError) else given
    id, audio = (row[key] if isinstance(row.get(key), str) else "" for key in ("id", "audio"))
    whole = str(path.parent.absolute() / audio) if audio else None
    return put_aside(id or f"{path.stem} line {line}", whole, error.reason, str(error), line)


def _read_words(words: Any, where: str) -> tuple[list | None, str | None]:
    """The words with their times, and None; or None and their text where a word has null for a time; or None
    and None for no words.

    BadRow unless they are [word, start, end] with 0 <= start <= end, in order of their starts.
    """
    if not words:
        return None, None
    given = words if isinstance(words, list) else [words]
    for word in given:
        if not (isinstance(word, list) and len(word) == 3 and isinstance(word[0], str) and word[0].strip()):
            raise _bad_words(word, where)
    if any(time is None for word in given for time in word[1:]):
        return None, " ".join(word[0].strip() for word in given)
    latest = 0.0
    for word in given:
        timed = all(_is_time(time) for time in word[1:])
        if not timed or not latest <= word[1] <= word[2]:
            raise _bad_words(word, where)
        latest = word[1]
    return given, None


def _bad_words(word: Any, where: str) -> BadRow:
    rule = "must be [word, start s, end s] with 0 <= start <= end, in order"
    return BadRow("word_times", f"{where} words", word, rule, "correct or drop the times")


def _read_part(row: dict, where: str) -> dict[str, float]:
    """`offset` and `duration` in seconds, as far as a row has them, or has `start` and `end`.

    BadRow for values that are no times or contradict each other, and for a part without length.
    """
    given = {key: row[key] for key in ("offset", "duration", "start", "end") if row.get(key) is not None}
    for key, value in given.items():
        if not _is_time(value):
            raise BadRow("bad_part", f"{where} {key}", value, "must be seconds", "correct or drop the key")
    begin, length = given.get("offset", given.get("start")), given.get("duration")
    agree = begin == given.get("start", begin)
    if "end" in given:
        begin = begin or 0.0
        length = given["end"] - begin if length is None else length
        agree = agree and abs(begin + length - given["end"]) < 0.01
    if not agree or (length is not None and not length > 0):
        rule = "must be one part of the recording, longer than 0 s"
        raise BadRow("bad_part", f"{where} times", given, rule, "correct the times")
    part = {"offset": begin, "duration": length}
    return {key: float(value) for key, value in part.items() if value is not None}


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LONGEST_S


def _refuse_duplicates(named: Iterable[tuple[str, str]]) -> None:
    seen: dict[str, str] = {}
    for id, origin in named:
        if id in seen:
            raise UserError("id", id, f"names both {seen[id]} and {origin}", "rename or drop one of them")
        seen[id] = origin
