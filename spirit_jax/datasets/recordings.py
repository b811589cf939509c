"""A folder of recordings without a manifest: which files are sound, and which hold their transcripts.

Recordings are wav, flac, mp3, ogg and opus files anywhere below the folder. A transcript is, in this order,
a line of a file for many recordings, or a file for one:

NAME.trans.txt          LibriSpeech: lines `ID TEXT`, of recordings in the same folder
NAMEtranscription       Sphinx: lines `<s> text </s> (ID)`, of recordings in the same folder
transcripts.txt         Multilingual LibriSpeech: lines `ID`, tab, `TEXT`, of recordings below its folder
NAME.tsv                Common Voice: columns `path` and `sentence`, of recordings below its folder
ID.txt, ID.lab, ID.normalized.txt, ID.original.txt     in the recording's folder

A transcript that cannot be read sets its recording aside; a file for many that cannot be read is unread.

ID is the recording's name without its suffix. Of LibriSpeech, Multilingual LibriSpeech and LibriTTS, what is
below a folder named after a held-out split, such as `dev-clean`, has that split; of a .tsv so named as well.
"""

import collections
import csv
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.corpora.given import held_out_split
from spirit_jax.datasets.corpus import Corpus, count_suffixes, default_split, put_aside

AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus")
TRANSCRIPT_ENDS = (".txt", ".lab", ".normalized.txt", ".original.txt")
TEXT_SUFFIXES = (".txt", ".lab", ".tsv", ".csv", ".json", ".jsonl", ".textgrid", ".srt", ".vtt", ".xml")
SPHINX_LINE = re.compile(r"^\s*(?:<s>)?\s*(.*?)\s*(?:</s>)?\s*\(([^()\s]+)\)\s*$")
SPEAKER_FIRST = re.compile(r"(\d+)([-_])\d+\2\d+(\2\d+)?$")  # names of recordings of LibriSpeech and its kin
CORPORA = {  # known by the end of their transcripts' names
    ".trans.txt": "LibriSpeech",
    "transcripts.txt": "Multilingual LibriSpeech",
    ".normalized.txt": "LibriTTS",
    ".original.txt": "LibriTTS",
    "transcription": "Sphinx",
}
REJECTED = "invalidated.tsv"  # Common Voice's clips whose sentence was voted to be wrong


class Transcripts(NamedTuple):
    """Texts with the files that they come from. of_folder: by (folder, ID), of recordings in that folder;
    below: the same, of recordings anywhere below it; single: files by their path in lower-case suffixes.
    unreadable: files for many recordings that cannot be read.
    """

    of_folder: dict[tuple[Path, str], tuple[str, Path]]
    below: dict[tuple[Path, str], tuple[str, Path]]
    single: dict[str, Path]
    unreadable: set[Path]


def scan_folder(folder: Path) -> Corpus:
    """The recordings below a folder, sorted by path, with their transcripts. All other files are unread.

    UserError if two recordings would have the same id.
    """
    files = files_below(folder)
    recordings = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]
    transcripts = _collect(files)
    stems = collections.Counter(path.stem for path in recordings)
    rows, set_aside, used, known = [], [], set(recordings), set()
    ids = _name_recordings(folder, recordings)
    for path in recordings:
        own = _own_files(path, transcripts)
        used.update(own)
        try:
            text, origin = _find_text(path, folder, transcripts, own, unique=stems[path.stem] == 1)
        except OSError as error:
            detail = f"its transcript cannot be read ({error.strerror})"
            set_aside.append(put_aside(ids[path], _printable(str(path)), "transcript_unreadable", detail))
            continue
        used.update([origin] if origin else [])
        corpus = _corpus_of(origin)
        known.add(corpus)
        row = _recording_row(folder, path, ids[path], " ".join(text.split()))
        row |= {"split": _split_of(folder, path, origin) or row["split"]} if text else {}
        defect = _find_foreign(str(path.absolute()), "name") or _find_foreign(text, "transcript")
        if defect is None:
            rows.append(row)
        else:
            set_aside.append(put_aside(row["id"], row["audio"], *defect))
    unread = _unread((path for path in files if path not in used), transcripts.unreadable)
    layout = ", ".join(["folder of recordings", *sorted(filter(None, known))])
    return Corpus(rows, set_aside, unread, layout=layout)


def _corpus_of(origin: Path | None) -> str | None:
    """The corpus that a file of transcripts is from, where its name says so."""
    name = origin.name.lower() if origin else ""
    return next((corpus for end, corpus in CORPORA.items() if name.endswith(end)), None)


def _split_of(folder: Path, path: Path, origin: Path | None) -> str | None:
    """The split that a folder of a published corpus is named after, such as `dev-clean`, or a .tsv; else
    None.
    """
    if origin and origin.suffix.lower() == ".tsv":
        return held_out_split(origin.stem)
    named = path.relative_to(folder).parts[:-1] if _corpus_of(origin) else ()
    return next((split for split in map(held_out_split, named) if split), None)


def files_below(folder: Path) -> list[Path]:
    """The files of `walk_files`, sorted."""
    return sorted(walk_files(folder))


def walk_files(folder: Path) -> Iterator[Path]:
    """Files in a folder and below it. Follows links, but enters no folder twice. Hidden files and folders are
    left out. A folder that cannot be read counts as a file, so that it is not lost from sight.
    """
    seen, unreadable = set(), []
    for parent, folders, names in os.walk(folder, onerror=unreadable.append, followlinks=True):
        real = os.path.realpath(parent)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if real not in seen else []
        if real not in seen:
            yield from (Path(parent) / name for name in names if not name.startswith("."))
        seen.add(real)
    yield from (Path(error.filename) for error in unreadable)


def _unread(files: Iterable[Path], unreadable: set[Path]) -> dict[str, dict[str, int]]:
    left: dict[str, list[Path]] = {"fit no recording": [], "are not read": [], "are not readable": []}
    for path in files:
        text = path.suffix.lower() in TEXT_SUFFIXES
        why = "fit no recording" if text else "are not read"
        left["are not readable" if path in unreadable else why].append(path)
    return {why: count_suffixes(paths) for why, paths in left.items() if paths}


def _name_recordings(folder: Path, recordings: list[Path]) -> dict[Path, str]:
    """The id of each recording: its path without the suffix, or with it where two would be the same."""
    bare = {path: _printable(path.relative_to(folder).with_suffix("").as_posix()) for path in recordings}
    times = collections.Counter(bare.values())
    ids = {path: id + _printable(path.suffix) if times[id] > 1 else id for path, id in bare.items()}
    owners: dict[str, Path] = {}
    for path, id in ids.items():
        if id in owners:
            raise UserError("id", id, f"names both {owners[id]} and {path}", "rename or drop one of them")
        owners[id] = path
    return ids


def _collect(files: Iterable[Path]) -> Transcripts:
    """Reads the files that hold many transcripts, and lists those that may hold one."""
    found = Transcripts({}, {}, {}, set())
    for path in files:
        try:
            _collect_file(path, found)
        except OSError:
            found.unreadable.add(path)
    return found


def _collect_file(path: Path, found: Transcripts) -> None:
    name, suffix = path.name.lower(), path.suffix.lower()
    if name.endswith(".trans.txt"):
        _add(found.of_folder, path, (line.split(maxsplit=1) for line in _read_text(path).splitlines()))
    elif name.endswith("transcription"):
        matches = map(SPHINX_LINE.match, _read_text(path).splitlines())
        _add(found.of_folder, path, ((match[2], match[1]) for match in matches if match))
    elif name == "transcripts.txt":
        _add(found.below, path, (line.split("\t", 1) for line in _read_text(path).splitlines()))
    elif suffix == ".tsv" and name != REJECTED:
        _add(found.below, path, _read_sentences(path))
    elif suffix in (".txt", ".lab"):
        found.single[str(path.with_suffix(suffix))] = path


def _add(into: dict[tuple[Path, str], tuple[str, Path]], path: Path, lines: Iterable) -> None:
    """Adds pairs of an ID and a text; the text may be missing."""
    for id, *text in filter(None, lines):
        into.setdefault((path.parent, id), ("".join(text), path))


def _read_sentences(path: Path) -> Iterator[tuple[str, str]]:
    """IDs and texts of a table with the columns `path` and `sentence`; of other tables none."""
    lines = csv.DictReader(_read_text(path).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    if {"path", "sentence"} <= set(lines.fieldnames or ()):
        for line in lines:
            yield Path(line["path"] or "").stem, line["sentence"] or ""


def _own_files(path: Path, transcripts: Transcripts) -> list[Path]:
    """Files that may hold the transcript of one recording alone, the first choice first."""
    bare = path.with_suffix("")
    return [own for end in TRANSCRIPT_ENDS if (own := transcripts.single.get(f"{bare}{end}"))]


def _find_text(
    path: Path, folder: Path, transcripts: Transcripts, own: list[Path], unique: bool
) -> tuple[str, Path | None]:
    """A recording's transcript and the file that it is from; "" and None without one. unique: no other
    recording has its name, so that a file further up can mean no other.
    """
    found = transcripts.of_folder.get((path.parent, path.stem), ("", None))
    for parent in path.parents if unique and found[1] is None else ():
        found = transcripts.below.get((parent, path.stem), found)
        if parent == folder or found[1]:
            break
    for single in own:
        if not found[0].strip():
            found = _read_text(single), single
    return found


def _read_text(path: Path) -> str:
    """UTF-8 text, with or without a byte-order mark. Other bytes become lone surrogates, which
    `_find_foreign` finds.
    """
    return path.read_text(encoding="utf-8-sig", errors="surrogateescape")


def _recording_row(folder: Path, path: Path, id: str, text: str) -> dict:
    """The row of one recording. A name as in LibriSpeech (speaker-chapter-number) contains the voice."""
    speaker = SPEAKER_FIRST.match(path.stem)
    return {
        "id": id,
        "audio": _printable(str(path.absolute())),
        "text": text or None,
        "words": None,
        "voice": speaker[1] if speaker else "",
        "source": _printable(folder.absolute().name),
        "split": default_split(str(path), text),
    }


def _find_foreign(text: str, what: str) -> tuple[str, str] | None:
    """The reason and the detail for a text or path with bytes that are not UTF-8; each was read as a lone
    surrogate.
    """
    foreign = next((ord(c) - 0xDC00 for c in text if "\udc80" <= c <= "\udcff"), None)
    if foreign is None:
        return None
    return f"{what}_not_utf8", f"its {what} has the byte {foreign:#04x}, which is not UTF-8"


def _printable(path: str) -> str:
    """A path in UTF-8: other bytes are written as `\\xe9`."""
    return os.fsencode(path).decode(errors="backslashreplace")
