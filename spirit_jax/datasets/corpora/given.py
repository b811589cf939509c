"""What a corpus says about one row, in the words of the manifest, before the row is checked."""

import collections
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spirit_jax.core.errors import UserError
from spirit_jax.core.storage import stream_lines
from spirit_jax.datasets.corpus import BadRow

HELD_OUT = re.compile(r"^(dev|test|valid|validation|eval|heldout)(?![a-z])", re.IGNORECASE)


class Given(NamedTuple):
    """row: the keys of a manifest (`spirit_jax.datasets.manifest_rows`), or why there are none; then `id` and
    `audio` name it in the quarantine. line: in the file that `where` names.
    """

    row: Mapping[str, Any] | UserError
    line: int | None
    where: str
    id: str = ""
    audio: str = ""


# (corpus, what is ignored with the number of times) -> rows
Read = Callable[[Path, collections.Counter[str]], Iterator[Given]]


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


def not_utf8(error: UnicodeDecodeError, where: str) -> BadRow:
    """A line or a text that cannot be decoded."""
    return BadRow("text_not_utf8", "text", where, f"must be UTF-8 ({error})", "convert it to UTF-8")


def missing_partner(where: str, value: object, rule: str) -> BadRow:
    """An entry whose other half is absent, for example a text without a recording."""
    return BadRow("no_partner", where, value, rule, "add it or drop the entry")


def held_out_split(name: str) -> str | None:
    """The split that a file's or folder's name begins with, such as `dev` of `dev-clean`; None for others."""
    match = HELD_OUT.match(name)
    return match[1].lower() if match else None
