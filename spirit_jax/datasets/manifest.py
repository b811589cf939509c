"""Corpora as manifests: what is spoken, by whom, where the recording lies, and when each word is said.

A manifest is JSON lines: {"id", "audio", "text", "words", "voice", "source", "split"}. audio: path, relative
to the manifest's folder, or null for text alone. text: transcript or null. words: [[word, start s, end s],
...] or null where unaligned; they are the text where they are given. Everything but one of audio and text may
be left out, and the split is then `train` for speech with text, `speech` or `text`. Other keys are kept.

A folder needs none: recordings (wav, flac, mp3, ogg, searched below it) with a `.txt` or `.lab` beside each,
LibriSpeech's `*.trans.txt` (ID TEXT a line), or Sphinx' `transcription` (`<s> text </s> (ID)` a line). A
recording's id is its path without the suffix, or with it where two differ in nothing else. Rows that can't be
used carry a `Problem` as "problem".
"""

import collections
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_jsonl, require_file
from spirit_jax.datasets.splits import TRAINING_SPLITS

AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg")
TRANSCRIPT_SUFFIXES = (".txt", ".lab")
SPHINX_LINE = re.compile(r"^\s*(?:<s>)?\s*(.*?)\s*(?:</s>)?\s*\(([^()\s]+)\)\s*$")
SPLIT_NAME = re.compile(r"(?!all$)\w[\w-]*")
TEXT_KEYS = ("id", "text", "voice", "source", "split")
LONGEST_S = 1e6  # what is beyond no recording reaches


class Problem(NamedTuple):
    """Why a row can't be used: a slug and a sentence. A type of its own, since a manifest may have a key
    "problem" too.
    """

    reason: str
    detail: str


def read_corpus(path: Path) -> list[dict]:
    """Rows of a manifest file or of a folder, with ids that differ and absolute audio paths. UserError:
    nothing there, nothing in it.
    """
    rows = find_corpus(path) if path.is_dir() else read_manifest(path)
    if not rows:
        raise UserError(
            "corpus", path, "holds no rows", "give recordings (wav, flac, mp3, ogg) or a manifest with lines"
        )
    return rows


def read_manifest(path: Path) -> list[dict]:
    """Checked rows of a JSON-lines manifest, or of a `.txt` file with a text a line. A row that breaks the
    rules is a UserError naming its line.
    """
    require_file(path, "manifest")
    if path.suffix.lower() in AUDIO_SUFFIXES:
        raise UserError("manifest", path, "is a recording", "give its folder, or a manifest that names it")
    if path.suffix == ".txt":
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        given = (
            {"id": f"{path.stem}-{number:06d}", "text": line}
            for number, line in enumerate(lines)
            if line.strip()
        )
    else:
        given = read_jsonl(path)
    rows = [_complete_row(row, path, number) for number, row in enumerate(given, 1)]
    _refuse_duplicates((row["id"], f"row {number}") for number, row in enumerate(rows, 1))
    return rows


def find_corpus(folder: Path) -> list[dict]:
    """Rows of a folder, sorted by path: its manifest (`manifest.jsonl`, or the only .jsonl in it), else its
    recordings with the transcripts found.
    """
    manifests = (
        [folder / "manifest.jsonl"]
        if (folder / "manifest.jsonl").is_file()
        else sorted(folder.glob("*.jsonl"))
    )
    if len(manifests) == 1:
        return read_manifest(manifests[0])
    files = _files_below(folder)
    recordings = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]
    if not recordings and manifests:
        raise UserError(
            "manifests",
            len(manifests),
            f"{folder} has several .jsonl files and no recordings",
            "name the manifest",
        )
    collected = _collected_transcripts(files)
    beside = {
        (path.with_suffix(""), path.suffix.lower()): path
        for path in files
        if path.suffix.lower() in TRANSCRIPT_SUFFIXES
    }
    rows = [_recording_row(folder, path, collected, beside) for path in recordings]
    times = collections.Counter(row["id"] for row in rows)
    for row in rows:
        if times[row["id"]] > 1:
            row["id"] += Path(row["audio"]).suffix
    _refuse_duplicates((row["id"], row["audio"]) for row in rows)
    return rows


def split_words(row: dict) -> list[str]:
    """The words of a row's text; those with times where it has them."""
    return [str(word) for word, _, _ in row["words"]] if row["words"] else str(row["text"] or "").split()


def training_texts(rows: Iterable[dict]) -> Iterator[str]:
    """Texts of the rows that may be trained on: none from a held-out split."""
    for row in rows:
        if row["split"] in TRAINING_SPLITS and (words := split_words(row)):
            yield " ".join(words)


def _complete_row(row: dict, path: Path, number: int) -> dict:
    """A row with every key and an absolute audio path."""
    where = f"{path} row {number}"
    for key in ("audio", *TEXT_KEYS):
        if not isinstance(row.get(key), str | None):
            raise UserError(f"{where} {key}", row[key], "must be a string or null", "mend the row")
    audio, text = row.get("audio") or None, row.get("text") if (row.get("text") or "").strip() else None
    if audio is None and text is None:
        raise UserError(
            where, row.get("id"), "has neither audio nor text", "give one of them or drop the row"
        )
    words = _check_words(row.get("words"), where)
    id = row.get("id") or (os.path.splitext(audio)[0] if audio else f"{path.stem}-{number:06d}")
    split = row.get("split") or _default_split(audio, text or words)
    if not SPLIT_NAME.fullmatch(split):
        raise UserError(
            f"{where} split",
            split,
            "must be letters, digits, - and _, and not all: TFDS reads the rest as ranges",
            "rename the split",
        )
    named = {"voice": row.get("voice") or "", "source": row.get("source") or path.stem, "split": split}
    return {
        **row,
        "id": id,
        "audio": str(path.parent.absolute() / audio) if audio else None,
        "text": text,
        "words": words,
        **named,
    }


def _check_words(words: Any, where: str) -> list | None:
    """Word times as they are, or None; a UserError where they aren't [word, start, end] with 0 <= start <=
    end, in order of their starts.
    """
    if not words:
        return None
    latest = 0.0
    for word in words if isinstance(words, list) else [words]:
        shaped = isinstance(word, list) and len(word) == 3 and isinstance(word[0], str) and word[0].strip()
        timed = shaped and all(isinstance(t, int | float) and t < LONGEST_S for t in word[1:])
        if not timed or not latest <= word[1] <= word[2]:
            raise UserError(
                f"{where} words",
                word,
                "must be [word, start s, end s] with 0 <= start <= end, in order",
                "mend or drop the times",
            )
        latest = word[1]
    return words


def _default_split(audio: str | None, text: str | list | None) -> str:
    if audio is None:
        return "text"
    return "train" if text else "speech"


def _refuse_duplicates(named: Iterable[tuple[str, str]]) -> None:
    seen: dict[str, str] = {}
    for id, place in named:
        if id in seen:
            raise UserError("id", id, f"names both {seen[id]} and {place}", "rename or drop one of them")
        seen[id] = place


def _files_below(folder: Path) -> list[Path]:
    """Files in a folder and below it, sorted; through links to folders too, but into none twice. Hidden files
    and folders are left out.
    """
    files, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if real not in seen else []
        if real not in seen:
            files += [Path(place) / name for name in names if not name.startswith(".")]
        seen.add(real)
    return sorted(files)


def _read_transcript(path: Path) -> str:
    """UTF-8 text, with or without a byte-order mark; other bytes become lone surrogates, which
    `_recording_row` tells of.
    """
    return path.read_text(encoding="utf-8-sig", errors="surrogateescape")


def _collected_transcripts(files: Iterable[Path]) -> dict[tuple[Path, str], str]:
    """Transcripts of files that hold many, by (folder, recording's stem)."""
    found = {}
    for path in files:
        librispeech, sphinx = path.name.endswith(".trans.txt"), path.name.endswith("transcription")
        if not librispeech and not sphinx:
            continue
        for line in _read_transcript(path).splitlines():
            if sphinx and (match := SPHINX_LINE.match(line)):
                found[path.parent, match[2]] = match[1]
            elif librispeech and line.strip():
                stem, *text = line.split(maxsplit=1)
                found[path.parent, stem] = "".join(text)
    return found


def _recording_row(
    folder: Path, path: Path, collected: dict[tuple[Path, str], str], beside: dict[tuple[Path, str], Path]
) -> dict:
    """The row of one recording; a LibriSpeech name (speaker-chapter-number) tells the voice."""
    text = collected.get((path.parent, path.stem), "")
    for suffix in TRANSCRIPT_SUFFIXES:
        if not text.strip() and (transcript := beside.get((path.with_suffix(""), suffix))):
            text = _read_transcript(transcript)
    problem = _find_foreign(str(path.absolute()), "name") or _find_foreign(text, "transcript")
    text = " ".join(text.split()) if problem is None else ""
    parts = path.stem.split("-")
    return {
        "id": _printable(path.relative_to(folder).with_suffix("").as_posix()),
        "audio": _printable(str(path.absolute())),
        "text": text or None,
        "words": None,
        "voice": parts[0] if len(parts) == 3 and all(part.isdigit() for part in parts) else "",
        "source": _printable(folder.absolute().name),
        "split": _default_split(str(path), text),
        **({} if problem is None else {"problem": problem}),
    }


def _find_foreign(text: str, what: str) -> Problem | None:
    """The problem of a text, or a path, that was read from bytes which are no UTF-8: a lone surrogate stands
    for each of them.
    """
    foreign = next((ord(c) - 0xDC00 for c in text if "\udc80" <= c <= "\udcff"), None)
    return (
        None
        if foreign is None
        else Problem(f"{what}_not_utf8", f"its {what} holds the byte {foreign:#04x}, which is no UTF-8")
    )


def _printable(path: str) -> str:
    """A path as UTF-8 can hold it: what is no UTF-8 in it is written `\\xe9`."""
    return os.fsencode(path).decode(errors="backslashreplace")
