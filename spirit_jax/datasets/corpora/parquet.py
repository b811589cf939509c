"""Texts in parquet files: a column `text`, and any of `id`, `source`, `split`, `language` and `licence`.

Other columns are ignored and named. A folder's files are read in the order of their names.
"""

import collections
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.stored_files import open_stored
from spirit_jax.datasets.corpora.given import Given
from spirit_jax.datasets.recordings import AUDIO_SUFFIXES, files_below

READ = ("id", "text", "source", "split", "language", "licence")
ROWS = 1024  # that are decoded together


def is_parquet(folder: Path) -> bool:
    """Whether a folder has parquet files, and no recordings."""
    sounds = (path for path in files_below(folder) if path.suffix.lower() in AUDIO_SUFFIXES)
    return any(folder.glob("*.parquet")) and not any(sounds)


def read_parquet(path: Path, ignored: collections.Counter[str]) -> Iterator[Given]:
    """The rows of a file, or of all files of a folder, as they are needed."""
    for file in sorted(path.glob("*.parquet")) if path.is_dir() else [path]:
        yield from _read_file(file, ignored)


def _read_file(path: Path, ignored: collections.Counter[str]) -> Iterator[Given]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    with open_stored(path, "parquet file") as stored:
        try:
            file = pyarrow.parquet.ParquetFile(stored)
            for batch in _batches(file, _columns(file.schema_arrow.names, path, ignored)):
                for row in batch.to_pylist():
                    number += 1
                    if isinstance(row.get("id"), int):
                        row["id"] = str(row["id"])
                    yield Given(row, number, f"{path} row {number}")
        except (pyarrow.ArrowException, OSError) as error:
            rule = f"is damaged after row {number} ({error})"
            raise UserError("parquet file", path, rule, "copy it again") from error


def _columns(names: list[str], path: Path, ignored: collections.Counter[str]) -> list[str]:
    """Those of `names` that are read. UserError without texts."""
    if "text" not in names:
        rule = f"has no column text, but {', '.join(names)}"
        raise UserError("parquet file", path, rule, "rename the column of the texts")
    ignored.update(name for name in names if name not in READ)
    return [name for name in READ if name in names]


def _batches(file: Any, columns: list[str]) -> Iterator[Any]:
    """Rows that are decoded together; group after group, since a reader of all groups keeps some of each."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(ROWS, row_groups=[group], columns=columns, use_threads=False)
