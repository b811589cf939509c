"""A corpus divided among hosts: each recording is in one share, and the shares are about equally long."""

import collections
import dataclasses
import heapq
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.corpus import Corpus, ManifestRow


class Share(NamedTuple):
    """One of `count` shares; the first has index 0."""

    index: int = 0
    count: int = 1

    def folder(self, out: Path) -> Path:
        """Where the results of this share are written; `out` itself if there is no other share."""
        return out if self.count == 1 else out / f"part-{self.index:05d}-of-{self.count:05d}"


PART_FOLDER = re.compile(r"part-(\d{5})-of-(\d{5})")


def read_share(text: str) -> Share:
    """The share that `INDEX/COUNT` names. UserError unless 0 <= INDEX < COUNT."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    share = Share(*map(int, match.groups())) if match else Share(1, 0)
    if not share.index < share.count:
        raise UserError(
            "--part", text, "must be INDEX/COUNT, from 0/COUNT on", "for example 0/4, 1/4, 2/4, 3/4"
        )
    return share


def share_corpus(corpus: Corpus, share: Share) -> Corpus:
    """The recordings of a share. What was set aside and left unread is the first share's."""
    rows = share_rows(corpus.recordings, share)
    if share.index == 0:
        return dataclasses.replace(corpus, rows=rows)
    return Corpus(rows, layout=corpus.layout)


def share_rows(rows: Sequence[ManifestRow], share: Share) -> Sequence[ManifestRow]:
    """The rows of a share, in their order. All rows of one recording are in the same share.

    The longest recordings are dealt first, each to the share that is shortest so far. A row without a
    duration counts as one of mean duration.
    """
    if share.count == 1:
        return rows
    known = [duration for row in rows if (duration := row.get("duration")) is not None]
    mean = sum(known) / len(known) if known else 1.0
    seconds: collections.Counter[str | None] = collections.Counter()
    for row in rows:
        duration = row.get("duration")
        seconds[row["audio"]] += mean if duration is None else duration  # type: ignore[assignment]
    filled = [(0.0, index) for index in range(share.count)]
    own = set()
    for name, length in sorted(seconds.items(), key=lambda item: (-item[1], item[0])):
        shortest, index = filled[0]
        heapq.heapreplace(filled, (shortest + length, index))
        own |= {name} if index == share.index else set()
    return [row for row in rows if row["audio"] in own]
