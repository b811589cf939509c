"""The folder that `data_prep units` writes: shards of rows, and a summary that is written last.

A row is a manifest row with `duration_s` and a list of codes for each stream of the codec. The summary
names the shards, the streams and the encoder's fingerprint.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json
from spirit_jax.tokens.streams import PUBLISHED_EXPRESSIVE, SpeechTokens, Streams, streams_from_dicts

SUMMARY = "summary.json"
FIX = "run python -m data_prep units"


@dataclasses.dataclass(frozen=True)
class UnitsFolder:
    """A finished folder. streams: of its codes; shards: its files in order."""

    path: Path
    encoder_fingerprint: str
    streams: Streams
    shards: tuple[str, ...]

    def rows(self) -> Iterator[dict]:
        """All rows in order, read as they are needed."""
        for name in self.shards:
            with open(self.path / name, encoding="utf-8") as file:
                yield from map(json.loads, file)

    def speech_of(self, row: Mapping[str, Any]) -> SpeechTokens:
        """The codes of a row."""
        return SpeechTokens(
            {stream.name: row[stream.name] for stream in self.streams if row.get(stream.name) is not None}
        )


def open_units(folder: str | Path) -> UnitsFolder:
    """Reads the summary. UserError where the extraction is unfinished or the summary lacks a key."""
    path = Path(folder)
    if not (path / SUMMARY).is_file():
        rule = f"has no {SUMMARY}: the extraction is unfinished"
        raise UserError("units", folder, rule, FIX)
    summary = read_json(path / SUMMARY)
    if missing := {"shards", "encoder_fingerprint"} - summary.keys():
        raise UserError(f"{path / SUMMARY}", ", ".join(summary), f"lacks {', '.join(sorted(missing))}", FIX)
    # Folders of earlier versions do not list their streams: they have the published ones, null where absent.
    streams = streams_from_dicts(summary["streams"]) if "streams" in summary else PUBLISHED_EXPRESSIVE
    return UnitsFolder(path, summary["encoder_fingerprint"], streams, tuple(summary["shards"]))
