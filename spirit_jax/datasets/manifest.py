"""Reads a corpus, from a manifest or from a folder of recordings: what is spoken, by whom, and when.

A manifest is JSON lines, one object a row. One of audio and text is required, all else is optional:

audio           path of the recording, relative to the manifest's folder; null for text alone
text            transcript
words           [[word, start s, end s], ...], the text with times
id              by default the audio's path without suffix
voice, source   names of the speaker and of the corpus
split           by default `train` for speech with text, else `speech` or `text`

Other keys are kept. A folder without a manifest is searched for recordings (wav, flac, mp3, ogg). Transcripts
are a `.txt` or `.lab` file of the same name, LibriSpeech's `*.trans.txt` (lines `ID TEXT`), or Sphinx's
`transcription` (lines `<s> text </s> (ID)`). Two recordings that differ only in their suffix keep it in their
ids. A row that cannot be used has a `Defect` under the key "defect".
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
LONGEST_S = 1e6  # no recording is as long
LONGEST_TEXT = 2**26  # bytes of a .txt that is one document; a tokenizer takes some 100 times as much memory


class Defect(NamedTuple):
    """Why a row cannot be used: a slug and a sentence. The type distinguishes it from a manifest's own key
    "defect".
    """

    reason: str
    detail: str


def read_corpus(path: Path, lines: bool = False) -> list[dict]:
    """Rows of a manifest file or of a folder, with unique ids and absolute audio paths.

    lines: each line of a `.txt` file is a text. UserError if the path does not exist or has no rows.
    """
    rows = read_folder(path) if path.is_dir() else read_manifest(path, lines)
    if not rows:
        raise UserError(
            "corpus", path, "holds no rows", "give recordings (wav, flac, mp3, ogg) or a manifest with lines"
        )
    return rows


def read_manifest(path: Path, lines: bool = False) -> list[dict]:
    """Checked rows of a JSON-lines manifest, or of a `.txt` file: one text, or with `lines` one a line.

    UserError for a row that breaks the rules, naming its line.
    """
    rows = list(stream_manifest(path, lines))
    _refuse_duplicates((row["id"], f"row {number}") for number, row in enumerate(rows, 1))
    return rows


def stream_texts(path: Path, lines: bool = False) -> Iterator[dict]:
    """The rows without audio of `read_corpus(path, lines)`, read as they are needed. Two may have one id."""
    manifest = _find_manifest(path) if path.is_dir() else path
    rows = read_folder(path) if manifest is None else stream_manifest(manifest, lines)
    return (row for row in rows if row["audio"] is None)


def stream_manifest(path: Path, lines: bool = False) -> Iterator[dict]:
    """The rows of `read_manifest`, read as they are needed. Two may have one id."""
    require_file(path, "manifest")
    if path.suffix.lower() in AUDIO_SUFFIXES:
        raise UserError("manifest", path, "is a recording", "give its folder, or a manifest that names it")
    if path.suffix != ".txt":
        given = read_jsonl(path)
    else:
        given = _read_lines(path) if lines else _read_document(path)
    return (_complete_row(row, path, number) for number, row in enumerate(given, 1))


def _read_document(path: Path) -> Iterator[dict]:
    """The row of a `.txt` file, its text byte for byte."""
    if (size := path.stat().st_size) > LONGEST_TEXT:
        rule = f"is one text of {size:,} bytes; the limit is {LONGEST_TEXT:,}"
        raise UserError("text", path, rule, "give --lines if each line is a text, or a manifest")
    text = _decode(path.read_bytes(), path)
    if text.strip():
        yield {"id": path.stem, "text": text}


def _read_lines(path: Path) -> Iterator[dict]:
    """The rows of a `.txt` file with a text a line."""
    with open(path, "rb") as file:
        for number, line in enumerate(file):
            text = _decode(line, f"{path} line {number + 1}").removesuffix("\n").removesuffix("\r")
            if text.strip():
                yield {"id": f"{path.stem}-{number:06d}", "text": text}


def _decode(content: bytes, where: object) -> str:
    """UTF-8, with or without a byte-order mark. UserError for other bytes."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError("text", where, f"must be UTF-8 ({error})", "convert it to UTF-8") from error


def read_folder(folder: Path) -> list[dict]:
    """Rows of the manifest in a folder (`manifest.jsonl`, or the only .jsonl file), else of its recordings,
    sorted by path.
    """
    if manifest := _find_manifest(folder):
        return read_manifest(manifest)
    files, manifests = _files_below(folder), sorted(folder.glob("*.jsonl"))
    recordings = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]
    if not recordings and manifests:
        raise UserError(
            "manifests",
            len(manifests),
            f"{folder} has several .jsonl files and no recordings",
            "name the manifest",
        )
    collected = _read_collections(files)
    single = {
        (path.with_suffix(""), path.suffix.lower()): path
        for path in files
        if path.suffix.lower() in TRANSCRIPT_SUFFIXES
    }
    rows = [_recording_row(folder, path, collected, single) for path in recordings]
    times = collections.Counter(row["id"] for row in rows)
    for row in rows:
        if times[row["id"]] > 1:
            row["id"] += Path(row["audio"]).suffix
    _refuse_duplicates((row["id"], row["audio"]) for row in rows)
    return rows


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


def _complete_row(row: dict, path: Path, number: int) -> dict:
    """A row with every key and an absolute audio path."""
    where = f"{path} row {number}"
    for key in ("audio", *TEXT_KEYS):
        if not isinstance(row.get(key), str | None):
            raise UserError(f"{where} {key}", row[key], "must be a string or null", "correct the row")
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
    """The words unchanged, or None for none. UserError unless they are [word, start, end] with 0 <= start <=
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
                "correct or drop the times",
            )
        latest = word[1]
    return words


def _default_split(audio: str | None, text: str | list | None) -> str:
    if audio is None:
        return "text"
    return "train" if text else "speech"


def _refuse_duplicates(named: Iterable[tuple[str, str]]) -> None:
    seen: dict[str, str] = {}
    for id, origin in named:
        if id in seen:
            raise UserError("id", id, f"names both {seen[id]} and {origin}", "rename or drop one of them")
        seen[id] = origin


def _files_below(folder: Path) -> list[Path]:
    """Files in a folder and below it, sorted. Follows links, but enters no folder twice. Hidden files and
    folders are left out.
    """
    files, seen = [], set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if real not in seen else []
        if real not in seen:
            files += [Path(parent) / name for name in names if not name.startswith(".")]
        seen.add(real)
    return sorted(files)


def _read_transcript(path: Path) -> str:
    """UTF-8 text, with or without a byte-order mark. Other bytes become lone surrogates, which
    `_find_foreign` finds.
    """
    return path.read_text(encoding="utf-8-sig", errors="surrogateescape")


def _read_collections(files: Iterable[Path]) -> dict[tuple[Path, str], str]:
    """Transcripts from files with one for each of many recordings, by (folder, recording's stem)."""
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
    folder: Path, path: Path, collected: dict[tuple[Path, str], str], single: dict[tuple[Path, str], Path]
) -> dict:
    """The row of one recording. A LibriSpeech name (speaker-chapter-number) contains the voice."""
    text = collected.get((path.parent, path.stem), "")
    for suffix in TRANSCRIPT_SUFFIXES:
        if not text.strip() and (transcript := single.get((path.with_suffix(""), suffix))):
            text = _read_transcript(transcript)
    defect = _find_foreign(str(path.absolute()), "name") or _find_foreign(text, "transcript")
    text = " ".join(text.split()) if defect is None else ""
    parts = path.stem.split("-")
    return {
        "id": _printable(path.relative_to(folder).with_suffix("").as_posix()),
        "audio": _printable(str(path.absolute())),
        "text": text or None,
        "words": None,
        "voice": parts[0] if len(parts) == 3 and all(part.isdigit() for part in parts) else "",
        "source": _printable(folder.absolute().name),
        "split": _default_split(str(path), text),
        **({} if defect is None else {"defect": defect}),
    }


def _find_foreign(text: str, what: str) -> Defect | None:
    """The defect of a text or path with bytes that are not UTF-8; each was read as a lone surrogate."""
    foreign = next((ord(c) - 0xDC00 for c in text if "\udc80" <= c <= "\udcff"), None)
    return (
        None
        if foreign is None
        else Defect(f"{what}_not_utf8", f"its {what} has the byte {foreign:#04x}, which is not UTF-8")
    )


def _printable(path: str) -> str:
    """A path in UTF-8: other bytes are written as `\\xe9`."""
    return os.fsencode(path).decode(errors="backslashreplace")
