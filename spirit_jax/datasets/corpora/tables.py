"""Reads tables and small text files of a corpus. What is not UTF-8 is a bad row."""

from collections.abc import Iterator
from pathlib import Path

from spirit_jax.core.stored_files import stream_lines
from spirit_jax.datasets.corpus import BadRow


def table_lines(path: Path, columns: int) -> Iterator[tuple[int, list[str] | BadRow]]:
    """The number and the fields of each line that is not blank: split at blanks into at most `columns`, the
    last one with blanks; missing ones are "". BadRow for bytes that are not UTF-8.
    """
    for number, line in stream_lines(path, path.name):
        try:
            fields = line.decode("utf-8-sig").split(maxsplit=columns - 1)
        except UnicodeDecodeError as error:
            yield number, not_utf8(error, f"{path} line {number}")
            continue
        if fields:
            fields[-1] = fields[-1].strip()
            yield number, fields + [""] * (columns - len(fields))


def columns_of(path: Path) -> set[str]:
    """The names in the first line of a table; none for a file that does not exist."""
    first = next(stream_lines(path, path.name), (0, b"")) if path.is_file() else (0, b"")
    return set(first[1].decode("utf-8-sig", "replace").rstrip("\r\n").split("\t"))


def table_rows(path: Path) -> Iterator[tuple[int, dict[str, str] | BadRow]]:
    """The number and the fields by column of each line of a table, split at tabs; quotes are letters."""
    header: list[str] = []
    for number, line in stream_lines(path, path.name):
        where = f"{path} line {number}"
        try:
            fields = line.decode("utf-8-sig").rstrip("\r\n").split("\t")
        except UnicodeDecodeError as error:
            yield number, not_utf8(error, where)
            continue
        if not header:
            header = fields
        elif len(fields) != len(header):
            rule, fix = f"the header has {len(header)}", "correct the line"
            yield number, BadRow("bad_row", f"{where} fields", len(fields), rule, fix)
        else:
            yield number, dict(zip(header, fields))


def read_transcript(path: Path) -> str | BadRow:
    """A text file, its blanks single."""
    try:
        return " ".join(path.read_text(encoding="utf-8-sig").split())
    except UnicodeDecodeError as error:
        return not_utf8(error, str(path))


def not_utf8(error: UnicodeDecodeError, where: str) -> BadRow:
    """A line or a text that cannot be decoded."""
    return BadRow("text_not_utf8", "text", where, f"must be UTF-8 ({error})", "convert it to UTF-8")
