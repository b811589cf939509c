"""Opens a corpus: a manifest, a folder of recordings, or another layout that `corpora.layouts` knows.

A manifest is JSON lines, one object a row (`manifest_rows`); it may be compressed or in an object store. A
row that breaks a rule is set aside with its line; only if no row is left the command stops. A row with words
that have no times is kept as unaligned.
"""

import collections
import functools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.sound_part import Part
from spirit_jax.datasets.corpora.given import Given
from spirit_jax.datasets.corpora.layouts import Layout, recognise
from spirit_jax.datasets.corpus import BadRow, Corpus, ManifestRow, count_reasons, count_suffixes
from spirit_jax.datasets.manifest_rows import Rows
from spirit_jax.datasets.recordings import AUDIO_SUFFIXES, scan_folder, walk_files
from spirit_jax.datasets.splits import TRAINING_SPLITS
from spirit_jax.datasets.stored_rows import RowStore


def read_corpus(path: Path, lines: bool = False) -> Sequence[ManifestRow]:
    """The usable rows of `open_corpus`, with a warning that counts those that are set aside."""
    corpus = open_corpus(path, lines)
    if corpus.set_aside:
        _warn_of_set_aside(path, count_reasons(corpus.set_aside), corpus.set_aside[0]["detail"])
    return corpus.rows


def open_corpus(path: Path, lines: bool = False) -> Corpus:
    """Reads a corpus in the layout that its files have. Usable rows have unique ids and absolute audio paths.

    lines: each line of a `.txt` file is a text. UserError if the path does not exist, or has no usable rows.
    """
    layout = recognise(path, lines)
    corpus = scan_folder(path) if layout is None else _collect(path, layout)
    if not corpus.rows:
        formats = ", ".join(suffix[1:] for suffix in AUDIO_SUFFIXES)
        found = [f"{row['id']}: {row['detail']}" for row in corpus.set_aside[:1]]
        found += [corpus.describe_unread()] if corpus.unread else []
        rule = f"holds no usable rows ({'; '.join(found)})" if found else "holds no rows"
        fix = f"give recordings ({formats}) or a manifest with lines"
        raise UserError("corpus", path, rule, fix)
    return corpus


def stream_texts(path: Path, lines: bool = False) -> Iterator[ManifestRow]:
    """The rows without audio, read as they are needed. Two may have one id.

    Rows that break a rule are counted in a warning at the end. UserError if all of them do.
    """
    layout = recognise(path, lines)
    if layout is None:  # recordings, which may have no rows without audio
        yield from (row for row in read_corpus(path) if row["audio"] is None)
        return
    rows = Rows(layout.path, layout.path.is_dir())
    reasons: collections.Counter[str] = collections.Counter()
    first, usable = None, 0
    for given in layout.read(layout.path, collections.Counter()):
        row = rows.check(given)
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


def stream_corpus(path: Path) -> Iterator[tuple[ManifestRow, None] | tuple[None, dict]]:
    """All rows as they are needed: a usable row, or the line of the quarantine for one that breaks a rule.
    Two rows may have one id.
    """
    layout = recognise(path)
    if layout is None:
        corpus = scan_folder(path)
        yield from ((row, None) for row in corpus.rows)
        yield from ((None, bad) for bad in corpus.set_aside)
        return
    rows = Rows(layout.path, layout.path.is_dir())
    for given in layout.read(layout.path, collections.Counter()):
        row = rows.check(given)
        yield (None, rows.describe_bad(given, row, {})) if isinstance(row, BadRow) else (row, None)


def part_of(row: Mapping[str, Any]) -> Part | None:
    """The part of its recording that a row is; None for the whole recording."""
    if row.get("offset") is None:
        return None if row.get("channel") is None else Part(channel=row["channel"])
    return Part(row["offset"], row.get("duration"), row.get("channel"))


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


@functools.cache
def _warn_once(line: str) -> None:
    print(line, file=sys.stderr)


def _warn_of_set_aside(path: Path, reasons: Mapping[str, int], first: str) -> None:
    counted = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    _warn_once(f"warning: {path}: {sum(reasons.values())} rows are set aside: {counted}; first: {first}")


def _collect(path: Path, layout: Layout) -> Corpus:
    """Checked rows. Of two with one id the second is set aside. UserError if every row breaks a rule."""
    rows, store = Rows(layout.path, layout.path.is_dir()), RowStore()
    ignored: collections.Counter[str] = collections.Counter()
    set_aside, first, untimed = [], None, 0
    for given in layout.read(layout.path, ignored):
        row, known = rows.check(given), {}
        if not isinstance(row, BadRow) and not store.add(row, given.line):
            row, known = _duplicate(row["id"], given, store.line_of(row["id"])), {"id": row["id"]}
        if isinstance(row, BadRow):
            first = first or row
            set_aside.append(rows.describe_bad(given, row, known))
        else:
            untimed += row["words"] is None and _has_words(given.row)
    if first and not len(store.rows):
        raise _none_usable(first)
    unread = _count_unnamed(path, store, set_aside) if path.is_dir() else {}
    return Corpus(store.rows, set_aside, unread, untimed, layout.name, dict(ignored))


def _duplicate(id: str, given: Given, first: int | None) -> BadRow:
    """first: the line of the row that has the id already."""
    rule = f"is the id of {'an earlier row' if first is None else f'line {first}'} and of {given.where}"
    return BadRow("duplicate_id", "id", id, rule, "rename or drop one of them")


def _has_words(row: Any) -> bool:
    return isinstance(row, Mapping) and bool(row.get("words"))


def _count_unnamed(folder: Path, store: RowStore, set_aside: Iterable[dict]) -> dict[str, dict[str, int]]:
    """The recordings below a folder that no row names, as `Corpus.unread`."""
    aside = {os.path.normpath(row["audio"] or "") for row in set_aside}
    sounds = (path for path in walk_files(folder) if path.suffix.lower() in AUDIO_SUFFIXES)
    names = ((path, os.path.normpath(path.absolute())) for path in sounds)
    unnamed = count_suffixes(path for path, name in names if name not in aside and not store.names(name))
    return {"are named by no row": unnamed} if unnamed else {}


def _none_usable(first: BadRow) -> UserError:
    return UserError(first.what, first.value, f"{first.rule}; no other row can be used", first.fix)
