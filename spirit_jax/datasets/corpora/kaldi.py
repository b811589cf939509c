"""A Kaldi data folder.

wav.scp     `RECORDING PATH`. A command, which ends in `|`, is never run: its utterances are set aside
segments    `UTTERANCE RECORDING START END`; an END below 0 is the recording's. Without this file each
            recording is an utterance
text        `UTTERANCE TEXT`
utt2spk     `UTTERANCE SPEAKER`; utt2lang is read in the same way

A path is relative to the folder, or to the nearest folder above it where the first such path exists: Kaldi's
recipes write paths from the folder that they run in. All other files are ignored and named.
"""

import collections
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from spirit_jax.datasets.corpora.given import Given, held_out_split, missing_partner
from spirit_jax.datasets.corpora.tables import table_lines
from spirit_jax.datasets.corpus import BadRow

READ = ("wav.scp", "segments", "text", "utt2spk", "utt2lang")
IN_ARCHIVE = re.compile(r"\.ark:\d+$")


def is_kaldi(folder: Path) -> bool:
    """Whether a folder has a wav.scp."""
    return (folder / "wav.scp").is_file()


def read_kaldi(folder: Path, ignored: collections.Counter[str]) -> Iterator[Given]:
    """The utterances of a folder, in the order of `segments` or `wav.scp`, then what has no recording."""
    for path in folder.iterdir():
        if path.is_file() and path.name not in READ and not path.name.startswith("."):
            ignored[path.name] += 1
    bad: list[Given] = []
    recordings, texts, voices, languages = (
        _read_table(folder / name, bad) for name in ("wav.scp", "text", "utt2spk", "utt2lang")
    )
    base, seen = _base_of(folder, recordings.values()), set()
    for id, recording, part, line, where in _utterances(folder, recordings):
        seen.add(id)
        audio = part if isinstance(part, BadRow) else _path_of(recordings, recording, where)
        if isinstance(part, BadRow) or isinstance(audio, BadRow):
            yield Given(audio, line, where, id)  # type: ignore[arg-type]
        else:
            row = {"id": id, "audio": str(base / audio), **part, "text": texts.get(id)}
            row |= {"voice": voices.get(id), "language": languages.get(id)}
            yield Given({**row, "split": held_out_split(folder.name)}, line, where)
    yield from bad
    for id in texts.keys() - seen:
        where = f"{folder / 'text'} utterance"
        yield Given(missing_partner(where, id, "has no recording or segment"), None, where, id)


def _read_table(path: Path, bad: list[Given]) -> dict[str, str]:
    """What each line says after its first field, by that field. Lines that cannot be used are added to `bad`.
    A file that does not exist has no lines.
    """
    values: dict[str, str] = {}
    for line, fields in table_lines(path, 2) if path.is_file() else ():
        where = f"{path} line {line}"
        if isinstance(fields, BadRow):
            bad.append(Given(fields, line, where))
        elif fields[0] in values:
            rule, fix = "is named by an earlier line", "drop one of them"
            error = BadRow("duplicate_id", where, fields[0], rule, fix)
            bad.append(Given(error, line, where, fields[0]))
        else:
            values[fields[0]] = fields[1]
    return values


class _Utterance(NamedTuple):
    """part: `start` and `end`, if they are given and can be read."""

    id: str
    recording: str
    part: dict[str, float] | BadRow
    line: int | None
    where: str


def _utterances(folder: Path, recordings: Iterable[str]) -> Iterator[_Utterance]:
    path = folder / "segments"
    if not path.is_file():
        for id in recordings:
            yield _Utterance(id, id, {}, None, f"{folder / 'wav.scp'} recording {id}")
        return
    for line, fields in table_lines(path, 4):
        where = f"{path} line {line}"
        if isinstance(fields, BadRow):
            yield _Utterance("", "", fields, line, where)
        else:
            yield _Utterance(fields[0], fields[1], _part_of(fields, where), line, where)


def _part_of(fields: list[str], where: str) -> dict[str, float] | BadRow:
    try:
        start, end = map(float, fields[2:])
    except ValueError:
        rule = "must be UTTERANCE RECORDING START END, in seconds"
        return BadRow("bad_part", where, " ".join(fields), rule, "correct the line")
    return {"start": start} if end < 0 else {"start": start, "end": end}


def _path_of(recordings: dict[str, str], recording: str, where: str) -> str | BadRow:
    """The path of a recording, if it is one."""
    path = recordings.get(recording)
    if path is None:
        return missing_partner(where, recording, "is no recording of wav.scp")
    if _is_command(path):
        fix = "run it, and give the path of the sound"
        return BadRow("command", where, path, "is a command; none is run", fix)
    if path in ("", "-") or IN_ARCHIVE.search(path):
        return BadRow("bad_source", where, path, "is no path of a sound file", "write the sound to a file")
    return path


def _is_command(path: str) -> bool:
    return path.startswith("|") or path.endswith("|")


def _base_of(folder: Path, paths: Iterable[str]) -> Path:
    """The folder that relative paths begin at."""
    relative = (path for path in paths if path and not _is_command(path) and not path.startswith("/"))
    first, here = next(relative, None), folder.absolute()
    return next((base for base in (here, *here.parents) if first and (base / first).is_file()), here)
