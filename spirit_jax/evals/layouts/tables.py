"""Tables of data sets: csv files."""

import csv
from collections.abc import Iterable
from pathlib import Path

from spirit_jax.core.errors import UserError

Row = tuple[int, dict[str, str]]  # the number of its line, and its cells by column


def read_table(path: Path, needed: Iterable[str]) -> list[Row]:
    """The rows below the heading; "" for a cell that is not there. UserError for a column that is missing."""
    heading, *rows = read_cells(path) or [(0, [])]
    names = heading[1]
    if missing := [name for name in needed if name not in names]:
        rule = f"has no column {missing[0]}, its columns are {', '.join(names)}"
        raise UserError("table", path, rule, "use the file as published")
    return [(line, dict.fromkeys(names, "") | dict(zip(names, cells))) for line, cells in rows]


def read_cells(path: Path) -> list[tuple[int, list[str]]]:
    """All rows that are not empty, each with the number of its line. UserError for a file that is not csv in
    UTF-8.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            return [(reader.line_num, cells) for cells in reader if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            "table", path, f"must be csv in UTF-8 ({error})", "use the file as published"
        ) from error
