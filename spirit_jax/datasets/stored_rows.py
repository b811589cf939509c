"""The rows of a corpus on disk, so that memory does not grow with their number."""

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, overload

Row = dict[str, Any]
TABLE = """CREATE TABLE rows (
    number INTEGER PRIMARY KEY, spoken INTEGER, id TEXT, line INTEGER, audio TEXT, row TEXT);
CREATE UNIQUE INDEX ids ON rows (id);
CREATE UNIQUE INDEX recordings ON rows (spoken);
CREATE INDEX names ON rows (audio)"""
FETCHED = 256  # rows that are read from disk at once


class RowStore:
    """Rows in a temporary database, in the order in which they were added, with unique ids.

    It is in the folder that TMPDIR names, and goes with this object.
    """

    def __init__(self):
        self.database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self.database.executescript(TABLE)
        self.database.execute("BEGIN")
        self._count = self._spoken = 0

    def add(self, row: Row, line: int | None = None) -> bool:
        """Adds a row, which came from a line of a manifest; False if an earlier one has its id."""
        number, spoken = self._count, self._spoken if row["audio"] else None
        audio = row["audio"] and os.path.normpath(row["audio"])
        values = (number, spoken, row["id"], line, audio, json.dumps(row))
        if not self.database.execute("INSERT OR IGNORE INTO rows VALUES (?, ?, ?, ?, ?, ?)", values).rowcount:
            return False
        self._count += 1
        self._spoken += spoken is not None
        return True

    def line_of(self, id: str) -> int | None:
        """The line of the row that has an id."""
        return self.database.execute("SELECT line FROM rows WHERE id = ?", (id,)).fetchone()[0]

    def names(self, audio: str) -> bool:
        """Whether a row has this normalised path."""
        return bool(self.database.execute("SELECT 1 FROM rows WHERE audio = ?", (audio,)).fetchone())

    @property
    def rows(self) -> "StoredRows":
        """All rows."""
        return StoredRows(self, "number", self._count)

    @property
    def recordings(self) -> "StoredRows":
        """The rows with sound."""
        return StoredRows(self, "spoken", self._spoken)


class StoredRows(Sequence[Row]):
    """Rows of a store by index; each is read when it is needed. A slice is a list.

    key: the column that numbers them from 0.
    """

    def __init__(self, store: RowStore, key: str, count: int):
        self._store, self._key, self._count = store, key, count

    @property
    def recordings(self) -> "StoredRows":
        """Those with sound, of all rows of the store."""
        return self._store.recordings

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        for first in range(0, self._count, FETCHED):
            yield from self._read(first, min(first + FETCHED, self._count))

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            first, last, step = index.indices(self._count)
            if step != 1:
                return [self[number] for number in range(first, last, step)]
            return list(self._read(first, last))
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return next(self._read(index % self._count, index % self._count + 1))

    def _read(self, first: int, last: int) -> Iterator[Row]:
        query = f"SELECT row FROM rows WHERE {self._key} >= ? AND {self._key} < ? ORDER BY {self._key}"
        found = self._store.database.execute(query, (first, last)).fetchall()
        return (json.loads(row) for (row,) in found)
