"""The folder that `data_prep units` writes: shards of rows, and a summary that is written last.

A row is a manifest row with `duration_s` and a list of codes for each stream of the codec. The summary
names the shards, the streams and the encoder's fingerprint. The shares of several hosts (`datasets.shares`)
are folders below one folder. That folder, and other folders of the same encoder, are read as one.
"""

import dataclasses
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json
from spirit_jax.datasets.shares import PART_FOLDER
from spirit_jax.tokens.streams import PUBLISHED_EXPRESSIVE, SpeechTokens, Streams, streams_from_dicts

SUMMARY = "summary.json"
FIX = "run python -m data_prep units"


@dataclasses.dataclass(frozen=True)
class UnitsFolder:
    """Finished folders that are read as one. path: for messages; streams: of the codes; files: the shards in
    order.
    """

    path: str
    encoder_fingerprint: str
    streams: Streams
    files: tuple[Path, ...]

    def rows(self) -> Iterator[dict]:
        """All rows in order, read as they are needed."""
        for path in self.files:
            with open(path, encoding="utf-8") as file:
                yield from map(json.loads, file)

    def speech_of(self, row: Mapping[str, Any]) -> SpeechTokens:
        """The codes of a row."""
        return SpeechTokens(
            {stream.name: row[stream.name] for stream in self.streams if row.get(stream.name) is not None}
        )


def open_units(*folders: str | Path) -> UnitsFolder:
    """Reads the summaries of folders and of the shares below them.

    UserError where an extraction is unfinished, a share is missing, a summary lacks a key, or two folders
    were made by different encoders.
    """
    opened = [_open_one(path) for folder in folders for path in _finished_folders(Path(folder))]
    first = opened[0]
    for other in opened:
        if (other.encoder_fingerprint, other.streams) != (first.encoder_fingerprint, first.streams):
            rule = f"is not the encoder of {first.path}, {first.encoder_fingerprint}"
            fix = "give folders of one codec"
            raise UserError(f"encoder of {other.path}", other.encoder_fingerprint, rule, fix)
    files = tuple(itertools.chain.from_iterable(one.files for one in opened))
    path = ", ".join(str(folder) for folder in folders)
    return dataclasses.replace(first, path=path, files=files)


def _finished_folders(path: Path) -> Sequence[Path]:
    """The folder itself, or those of all shares below it."""
    shares = {
        match: below for below in sorted(path.glob("part-*")) if (match := PART_FOLDER.fullmatch(below.name))
    }
    if not shares:
        return [path]
    counts = {int(match[2]) for match in shares}
    if len(counts) > 1 or (path / SUMMARY).exists():
        found = [f"parts of {count}" for count in sorted(counts)] + ["a whole"] * (path / SUMMARY).exists()
        raise UserError("units", path, f"has {' and '.join(found)}", "delete what is not needed")
    (count,) = counts
    missing = sorted(set(range(count)) - {int(match[1]) for match in shares})
    if missing:
        rule = f"lacks {len(missing)} of {count} parts, the first is {missing[0]}/{count}"
        raise UserError("units", path, rule, f"{FIX} --part {missing[0]}/{count}, or copy its folder here")
    return list(shares.values())


def _open_one(path: Path) -> UnitsFolder:
    if not (path / SUMMARY).is_file():
        rule = f"has no {SUMMARY}: the extraction is unfinished"
        raise UserError("units", path, rule, FIX)
    summary = read_json(path / SUMMARY)
    if missing := {"shards", "encoder_fingerprint"} - summary.keys():
        raise UserError(f"{path / SUMMARY}", ", ".join(summary), f"lacks {', '.join(sorted(missing))}", FIX)
    # Folders of earlier versions do not list their streams: they have the published ones, null where absent.
    streams = streams_from_dicts(summary["streams"]) if "streams" in summary else PUBLISHED_EXPRESSIVE
    files = tuple(path / name for name in summary["shards"])
    return UnitsFolder(str(path), summary["encoder_fingerprint"], streams, files)
