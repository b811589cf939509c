"""A corpus as it was read: its usable rows, what was set aside and why, and what was left unread."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.stored_rows import StoredRows


class BadRow(UserError):
    """A row that cannot be used. `reason` is a short slug for counting."""

    def __init__(self, reason: str, what: str, value: object, rule: str, fix: str):
        super().__init__(what, value, rule, fix)
        self.reason = reason


class ManifestRow(TypedDict):
    """A checked row of a corpus (`manifest_rows` says what the keys mean). Other keys are kept as they are
    given.
    """

    id: str
    audio: str | None
    text: str | None
    words: list | None
    voice: str
    source: str
    split: str
    offset: NotRequired[float]
    duration: NotRequired[float]
    channel: NotRequired[int]
    language: NotRequired[str | None]
    licence: NotRequired[str | None]
    speaking_style: NotRequired[str | None]


@dataclasses.dataclass(frozen=True)
class Corpus:
    """rows: usable, with unique ids. set_aside: lines of a quarantine, {"id", "audio", "reason", "detail"},
    and "line" for rows of a manifest. unread: why files of a folder were left out, with their number by
    suffix. untimed: rows that count as unaligned, since some of their words have no times. layout: how the
    corpus was read. ignored: keys and files that are not needed, with their number.
    """

    rows: Sequence[ManifestRow]
    set_aside: list[dict] = dataclasses.field(default_factory=list)
    unread: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)
    untimed: int = 0
    layout: str = "folder of recordings"
    ignored: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def recordings(self) -> Sequence[ManifestRow]:
        """The rows with sound."""
        if isinstance(self.rows, StoredRows):
            return self.rows.recordings  # type: ignore[return-value]
        return [row for row in self.rows if row["audio"]]

    @property
    def transcribed(self) -> int:
        """The number of recordings with a transcript."""
        return sum(bool(row["text"] or row["words"]) for row in self.recordings)

    def describe_unread(self) -> str:
        """For messages: `3 .txt/.tsv files fit no recording, 1 .m4a file is not read`; "" for none."""
        return ", ".join(_describe(why, counts) for why, counts in self.unread.items())

    def describe_layout(self) -> str:
        """For messages: `NeMo manifest (ignored: 3 pred_text)`."""
        ignored = ", ".join(f"{count:,} {name}" for name, count in sorted(self.ignored.items()))
        return f"{self.layout} (ignored: {ignored})" if ignored else self.layout


def _describe(why: str, counts: Mapping[str, int]) -> str:
    total, suffixes = sum(counts.values()), "/".join(counts)
    if total == 1:
        return f"1 {suffixes} file {why.replace('are ', 'is ').replace('fit ', 'fits ')}"
    return f"{total:,} {suffixes} files {why}"


def put_aside(id: str, audio: str | None, reason: str, detail: str, line: int | None = None) -> dict:
    """A line of a quarantine."""
    return {"id": id, "audio": audio, "reason": reason, "detail": detail} | (
        {} if line is None else {"line": line}
    )


def count_reasons(set_aside: Iterable[Mapping]) -> dict[str, int]:
    """How often each reason occurs, the commonest first."""
    return dict(collections.Counter(row["reason"] for row in set_aside).most_common())


def count_suffixes(files: Iterable[Path]) -> dict[str, int]:
    """Number of files by suffix, in lower case, the commonest first."""
    counts = collections.Counter(path.suffix.lower() or "suffixless" for path in files)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def default_split(audio: str | None, text: object) -> str:
    """The split of a row that names none."""
    if audio is None:
        return "text"
    return "train" if text else "speech"


def find_repeated(keys: Callable[[], Iterable[str]]) -> list[str]:
    """The keys that come again, as often as they do. Keeps 8 bytes of each; reads all again if one does."""
    hashes = np.fromiter(map(hash, keys()), np.int64)
    hashes.sort()
    twice = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    seen: set[str] = set()
    repeated = []
    for key in keys() if twice else ():
        if hash(key) in twice:
            repeated += [key] if key in seen else []
            seen.add(key)
    return repeated
