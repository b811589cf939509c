"""The rows of a corpus: their keys, and the rules that each of them is checked by.

One of audio and text is required, all else is optional:

audio               path of the recording, relative to the manifest's folder and below it, or absolute; null
                    for text alone
text                transcript
words               [[word, start s, end s], ...], the text with times from where the row's sound begins
offset, duration    the row is this part of the recording, in seconds; `start` and `end` are the same.
                    `duration` alone is the length of the whole recording
channel             of a recording with several, 0 for the first; by default the mean of all
id                  by default the audio's path without suffix, for a part with `#` and a number
voice               who speaks; `speaker` is the same
speaking_style      how it is said; `style` is the same, where it is a name and not codes
language, licence   of the row; `license` is the same
source              name of the corpus
split               by default `train` for speech with text, else `speech` or `text`

Other keys are kept.
"""

import collections
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.stored_files import bare_name, join, leads_out
from spirit_jax.datasets.corpora.given import Given
from spirit_jax.datasets.corpus import BadRow, ManifestRow, default_split, put_aside

SPLIT_NAME = re.compile(r"(?!all$)\w[\w-]*")
SAME = {"speaker": "voice", "style": "speaking_style", "license": "licence"}
TEXT_KEYS = ("audio", "id", "text", "voice", "source", "split", "language", "speaking_style", "licence")
LONGEST_S = 1e6  # no recording is as long


class Rows:
    """Checks the rows of one corpus, in order.

    path: its manifest or its folder; it names the rows without id and source, and relative paths begin there.
    """

    def __init__(self, path: Path, folder: bool):
        self._base, self._name = (path, path.absolute().name) if folder else (path.parent, bare_name(path))
        self._number = 0
        self._parts: collections.Counter[str] = collections.Counter()  # rows so far of each recording

    def check(self, given: Given) -> ManifestRow | BadRow:
        """A row with every key and an absolute audio path, or the rule that it breaks."""
        self._number += 1
        try:
            return self._complete(given)
        except BadRow as error:
            return error

    def describe_bad(self, given: Given, error: BadRow, known: Mapping[str, Any]) -> dict:
        """A line of the quarantine, with the id and the audio as far as they are strings. known: what is
        already known of the row.
        """
        row = {"id": given.id, "audio": given.audio} if isinstance(given.row, UserError) else given.row
        row = {**row, **known}
        id, audio = (row[key] if isinstance(row.get(key), str) else "" for key in ("id", "audio"))
        whole = join(self._base, audio) if audio else None
        name = id or (self._name if given.line is None else f"{self._name} line {given.line}")
        return put_aside(name, whole, error.reason, str(error), given.line)

    def _complete(self, given: Given) -> ManifestRow:
        row = _rename(_given_row(given), given.where)
        for key in TEXT_KEYS:
            if not isinstance(row.get(key), str | None):
                rule = "must be a string or null"
                raise BadRow("bad_row", f"{given.where} {key}", row[key], rule, "correct the row")
        audio = row.get("audio") or None
        text = None if (row.get("text") or " ").isspace() else row["text"]
        if audio is None and text is None:
            fix = "give one of them or drop the row"
            raise BadRow("bad_row", given.where, row.get("id"), "has neither audio nor text", fix)
        if audio and leads_out(audio):
            rule, fix = "leads out of the corpus", "write the absolute path if it is meant"
            raise BadRow("outside_corpus", f"{given.where} audio", audio, rule, fix)
        words, plain = _read_words(row.get("words"), given.where)
        part = _read_part(row, given.where) if audio else {}
        split = row.get("split") or default_split(audio, text or words or plain)
        if not SPLIT_NAME.fullmatch(split):
            rule = "must be letters, digits, - and _, and not all: TFDS reads the rest as ranges"
            raise BadRow("bad_row", f"{given.where} split", split, rule, "rename the split")
        return {  # type: ignore[return-value]
            **row,
            "id": row.get("id") or self._default_id(audio, part.keys() & {"offset", "channel"}),
            "audio": join(self._base, audio) if audio else None,
            "text": text or plain,
            "words": words,
            "voice": row.get("voice") or "",
            "source": row.get("source") or self._name,
            "split": split,
            **part,
        }

    def _default_id(self, audio: str | None, part: Collection[str]) -> str:
        if audio is None:
            return f"{self._name}-{self._number:06d}"
        bare = os.path.splitext(audio)[0]
        if not part:
            return bare
        self._parts[bare] += 1
        return f"{bare}#{self._parts[bare]}"


def _given_row(given: Given) -> Mapping[str, Any]:
    if isinstance(given.row, BadRow):
        raise given.row
    if isinstance(given.row, UserError):
        error = given.row
        raise BadRow("bad_json", error.what, error.value, error.rule, error.fix) from error
    return given.row


def _rename(row: Mapping[str, Any], where: str) -> dict:
    """The row in the words of the manifest. BadRow where two keys that mean the same differ."""
    renamed = dict(row)
    for other, key in SAME.items():
        if other in row and not (other == "style" and isinstance(row[other], list)):  # codes of unit files
            value = renamed.pop(other)
            if value and renamed.get(key) and renamed[key] != value:
                rule = f"and {other} {value!r} mean the same"
                raise BadRow("bad_row", f"{where} {key}", renamed[key], rule, "give one of them")
            renamed[key] = renamed.get(key) or value
    return renamed


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
    """`offset` and `duration` in seconds, as far as a row has them, or has `start` and `end`; and `channel`.

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
    times = {"offset": begin, "duration": length}
    part = {key: float(value) for key, value in times.items() if value is not None}
    channel = row.get("channel")
    if channel is not None and (type(channel) is not int or channel < 0):
        rule = "must be the number of a channel, 0 for the first"
        raise BadRow("bad_part", f"{where} channel", channel, rule, "correct or drop the key")
    return part if channel is None else {**part, "channel": channel}


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LONGEST_S
